//! What a call of the host fails with.

use std::fmt;

use crate::bindings::whimbrel::migrate::types;

pub use types::{DbError as DatabaseError, Denial};

/// Why a statement, a row or a parameter could not be had.
///
/// A migration that does not handle it lets `?` return it: it then reaches the host whole, SQLSTATE, position and
/// all.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// The database rejected the statement. On PostgreSQL only a savepoint brings the transaction back.
    Database(Box<DatabaseError>),
    /// The statement may not run here, or the operator's grant does not cover it.
    Denied(Box<Denial>),
    /// A limit of the sandbox was hit. The run fails, whatever the migration does.
    Limit {
        /// Which one, as `[limits]` in `migration.toml` spells it.
        name: String,
        /// Its value.
        value: i64,
    },
    /// A value does not fit: which column or parameter, and why.
    Conversion(String),
    /// Nothing can be read while a script is being generated.
    Offline(String),
    /// The user stopped the run. It fails, whatever the migration does.
    Cancelled,
    /// A query returned another number of rows than was asked for.
    RowCount {
        /// What was expected, in words.
        expected: &'static str,
        /// How many there were.
        found: usize,
    },
    /// A parameter is not set, or has another form than was asked for.
    Parameter(String),
}

impl Error {
    /// The database's own report, where it is one.
    pub fn database(&self) -> Option<&DatabaseError> {
        match self {
            Self::Database(error) => Some(error),
            _ => None,
        }
    }

    /// SQLSTATE on PostgreSQL, the name of the result code (`SQLITE_CONSTRAINT_UNIQUE`) on SQLite.
    pub fn sqlstate(&self) -> Option<&str> {
        self.database()?.sqlstate.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(error) => f.write_str(&error.message),
            Self::Denied(denial) => {
                write!(
                    f,
                    "{} is not allowed here: {}",
                    denial.operation, denial.reason
                )
            }
            Self::Limit { name, value } => write!(f, "the limit `{name}` of {value} was hit"),
            Self::Conversion(message) | Self::Offline(message) | Self::Parameter(message) => {
                f.write_str(message)
            }
            Self::Cancelled => f.write_str("the run was cancelled"),
            Self::RowCount { expected, found } => {
                write!(f, "the query returned {found} rows instead of {expected}")
            }
        }
    }
}

impl std::error::Error for Error {}

impl From<types::Error> for Error {
    fn from(error: types::Error) -> Self {
        match error {
            types::Error::Database(error) => Self::Database(Box::new(error)),
            types::Error::Denied(denial) => Self::Denied(Box::new(denial)),
            types::Error::Limit((name, value)) => Self::Limit { name, value },
            types::Error::Conversion(message) => Self::Conversion(message),
            types::Error::Failed(failure) => Self::Conversion(failure.message),
            types::Error::Offline(message) => Self::Offline(message),
            types::Error::Cancelled => Self::Cancelled,
        }
    }
}
