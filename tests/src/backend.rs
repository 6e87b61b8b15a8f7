//! The databases that the suite runs on.

use std::collections::BTreeMap;
use std::env;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use whimbrel_cluster::Cluster;

/// A kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// A SQLite file.
    Sqlite,
    /// A database on a PostgreSQL server of this major version.
    Postgres(u32),
}

impl Backend {
    /// Whether it is PostgreSQL.
    pub fn is_postgres(self) -> bool {
        matches!(self, Self::Postgres(_))
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite => write!(f, "SQLite"),
            Self::Postgres(major) => write!(f, "PostgreSQL {major}"),
        }
    }
}

/// Clusters that this process had to start by itself, with their URLs. They end with the process.
static STARTED: Mutex<BTreeMap<u32, Cluster>> = Mutex::new(BTreeMap::new());

/// The URL of the maintenance database of a server: the one that `cargo xtask test` or the user names in the
/// environment, or else one that this process starts.
pub(crate) fn server_url(major: u32) -> String {
    if let Ok(url) = env::var(format!("WHIMBREL_TEST_POSTGRES_{major}")) {
        return url;
    }
    let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    started
        .entry(major)
        .or_insert_with(|| {
            Cluster::start(major)
                .unwrap_or_else(|error| panic!("the tests need PostgreSQL {major}: {error:#}"))
        })
        .url("postgres")
}
