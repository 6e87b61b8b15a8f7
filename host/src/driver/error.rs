//! What can go wrong between the host and a database.

use std::sync::Arc;

use thiserror::Error;

use crate::capability::NotGranted;
use crate::printable;

/// An error that the database itself reported.
#[derive(Debug, Clone, PartialEq, Eq, Default, Error, serde::Serialize, serde::Deserialize)]
#[error("{message}")]
#[serde(default)]
pub struct DatabaseError {
    /// The five characters of SQLSTATE; on SQLite the name of the result code (`SQLITE_BUSY`, `SQLITE_CONSTRAINT_UNIQUE`).
    pub sqlstate: Option<String>,
    /// The primary message.
    pub message: String,
    /// More about it.
    pub detail: Option<String>,
    /// What the database suggests.
    pub hint: Option<String>,
    /// 1-based character position in the statement.
    pub position: Option<u32>,
    /// The schema concerned.
    pub schema: Option<String>,
    /// The table concerned.
    pub table: Option<String>,
    /// The column concerned.
    pub column: Option<String>,
    /// The constraint concerned.
    pub constraint: Option<String>,
}

impl DatabaseError {
    /// The same, as it can be shown: the texts may quote values, and a guest may have written them.
    #[must_use]
    pub fn printable(&self) -> Self {
        let shown = |text: &Option<String>| text.as_deref().map(printable::lines);
        Self {
            sqlstate: shown(&self.sqlstate),
            message: printable::lines(&self.message),
            detail: shown(&self.detail),
            hint: shown(&self.hint),
            position: self.position,
            schema: shown(&self.schema),
            table: shown(&self.table),
            column: shown(&self.column),
            constraint: shown(&self.constraint),
        }
    }
}

/// What a session or a lock can fail with.
#[derive(Debug, Clone, Error)]
pub enum DriverError {
    /// The database cannot be reached or refuses the login.
    #[error("cannot connect to {location}")]
    Connect {
        /// The database, without a password.
        location: String,
        /// Why.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The address of the database, or a setting of the connection, makes no sense.
    #[error("{message}")]
    Settings {
        /// What is wrong, and where it was set.
        message: String,
    },
    /// The database rejected a statement.
    #[error(transparent)]
    Database(#[from] Box<DatabaseError>),
    /// A statement may not run under the session's [`Authority`](super::Authority).
    #[error("{operation} is not allowed here: {reason}")]
    Denied {
        /// What was tried (`COMMIT`).
        operation: String,
        /// On what; may be empty.
        object: String,
        /// Why not.
        reason: String,
    },
    /// A statement does what its [`Grant`](crate::capability::Grant) does not cover.
    #[error(transparent)]
    NotGranted(#[from] Box<NotGranted>),
    /// A result or a row is larger than the host is willing to hold.
    #[error("{}", over(unit, *limit))]
    Limit {
        /// `rows` or `bytes` of a result; `rows written` or `statements` of a call.
        unit: &'static str,
        /// How many are allowed.
        limit: u64,
    },
    /// A value cannot be converted; the message names column or parameter, and type.
    #[error("{0}")]
    Conversion(String),
    /// A migration reads while a script is written: there is no database to answer.
    #[error("a script is being written, without a database that could answer")]
    Offline,
    /// A migration reads while a script is written, and the record of an earlier dry run has no answer; the text says why.
    #[error("a script is being written, and the record has no answer to this: {0}")]
    Unrecorded(String),
    /// The statement was cancelled by [`Canceller::cancel`](super::Canceller::cancel) or by an operator.
    #[error("the statement was cancelled")]
    Cancelled,
    /// The connection has ended, or the handle is no longer valid.
    #[error("the connection to the database has ended")]
    Closed {
        /// Why, where known.
        #[source]
        source: Option<Arc<dyn std::error::Error + Send + Sync>>,
    },
    /// The connection ended before the answer to COMMIT came, so that the transaction may or may not have taken effect.
    #[error("the connection ended before the database confirmed the commit")]
    CommitUnknown {
        /// Why, where known.
        #[source]
        source: Option<Arc<dyn std::error::Error + Send + Sync>>,
    },
}

fn over(unit: &str, limit: u64) -> String {
    match unit {
        "rows" | "bytes" => format!("the result is larger than the limit of {limit} {unit}"),
        _ => format!("the migration exceeds its limit of {limit} {unit}"),
    }
}

impl DriverError {
    /// Whether the same transaction may succeed when it is run again from its start: a lock timeout (55P03), a
    /// serialization failure (40001), a deadlock (40P01), or SQLite's busy and locked.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Database(error) => matches!(
                error.sqlstate.as_deref(),
                Some("55P03" | "40001" | "40P01" | "SQLITE_BUSY" | "SQLITE_LOCKED")
            ),
            _ => false,
        }
    }

    /// Whether the connection is gone, or the server is not there for now (class 08, or 57P01 to 57P03), so that a new
    /// connection may do.
    pub fn is_lost(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Closed { .. } | Self::CommitUnknown { .. } => true,
            Self::Database(error) => error.sqlstate.as_deref().is_some_and(|state| {
                state.starts_with("08") || matches!(state, "57P01" | "57P02" | "57P03" | "53300")
            }),
            _ => false,
        }
    }

    /// Whether a statement failed because a table it names does not exist.
    pub fn is_undefined_table(&self) -> bool {
        self.database().is_some_and(|error| {
            matches!(error.sqlstate.as_deref(), Some("42P01" | "3F000"))
                || error.message.starts_with("no such table")
        })
    }

    /// The database's own report, where it is one.
    pub fn database(&self) -> Option<&DatabaseError> {
        match self {
            Self::Database(error) => Some(error),
            _ => None,
        }
    }
}

/// Why a transaction was not committed.
#[derive(Debug, Clone, Error)]
pub enum CommitError {
    /// One of its records could not be written.
    #[error(transparent)]
    Record(DriverError),
    /// One of its records touched another number of rows than one: someone else has changed the table.
    #[error("a row that was expected is not there any more")]
    Conflict,
    /// The commit itself failed.
    #[error(transparent)]
    Commit(DriverError),
}

impl From<CommitError> for DriverError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Record(error) | CommitError::Commit(error) => error,
            CommitError::Conflict => Box::new(DatabaseError {
                message: error.to_string(),
                ..DatabaseError::default()
            })
            .into(),
        }
    }
}
