//! Copies of a whole database, and the way back.

use std::io;

use async_trait::async_trait;
use camino::Utf8PathBuf;
use thiserror::Error;

use super::{CommitError, DriverError, Session, Statement};

/// A backup on its way back into the database. Dropping it leaves the database as it was.
#[async_trait]
pub trait Restoration: Send {
    /// A session that sees the database as it is going to be, once [`load`](Self::load) has returned. The engine begins
    /// its transaction before that.
    fn session(&mut self) -> &mut dyn Session;

    /// Takes all that the database holds away and puts what the backup holds in its place, seen by the session alone.
    ///
    /// # Errors
    /// A [`BackupError`].
    async fn load(&mut self) -> Result<(), BackupError>;

    /// Makes it so, for all who look at once: with host-made changes, each of which must touch exactly one row. Durable
    /// when this returns.
    ///
    /// # Errors
    /// A [`CommitError`]; with [`DriverError::CommitUnknown`] when the connection broke before the answer came.
    async fn finish(self: Box<Self>, records: &[Statement]) -> Result<(), CommitError>;
}

/// Why a backup could not be made or read.
#[derive(Debug, Error)]
pub enum BackupError {
    /// The database's own program is not on this machine, or only for older servers.
    #[error(
        "there is no `{program}` of PostgreSQL {major} or newer on this machine{}",
        too_old(found)
    )]
    NoProgram {
        /// `pg_dump` or `pg_restore`.
        program: &'static str,
        /// The server's major version.
        major: u32,
        /// The versions that are there.
        found: Vec<u32>,
    },
    /// The database's own program failed.
    #[error("`{program}` failed ({status})")]
    Program {
        /// Its name.
        program: &'static str,
        /// How it ended.
        status: String,
        /// What it said.
        #[source]
        said: Said,
    },
    /// The file is not a backup of such a database.
    #[error("{file} is not a backup of this kind of database: {reason}")]
    NotABackup {
        /// The file.
        file: Utf8PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file is in the way.
    #[error("{file} exists already, and nothing is overwritten")]
    Exists {
        /// The file.
        file: Utf8PathBuf,
    },
    /// A file cannot be read or written.
    #[error("cannot {action} {file}")]
    File {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        file: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The database refused.
    #[error(transparent)]
    Database(#[from] DriverError),
}

/// What a program wrote to its stderr.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Said(pub String);

impl BackupError {
    pub(crate) fn reading(file: impl Into<Utf8PathBuf>, source: io::Error) -> Self {
        Self::File {
            action: "read",
            file: file.into(),
            source,
        }
    }

    pub(crate) fn writing(file: impl Into<Utf8PathBuf>, source: io::Error) -> Self {
        Self::File {
            action: "write",
            file: file.into(),
            source,
        }
    }
}

fn too_old(found: &[u32]) -> String {
    match found {
        [] => String::new(),
        found => {
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            format!(", only of {}", found.join(" and "))
        }
    }
}
