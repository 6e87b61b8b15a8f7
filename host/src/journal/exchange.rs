//! What stands in a journal, as data.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::driver::tape::Question;
use crate::driver::{Column, CursorId, DatabaseError, Dialect, DriverError, Rows, Value};
use crate::migration::{Call, MigrationError, Work};
use crate::revision::Direction;

/// What one call of a component was told at its begin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Told {
    /// The revision.
    pub revision: String,
    /// The direction.
    pub direction: Direction,
    /// The dialect of the session.
    pub dialect: Dialect,
    /// The SHA-256 of the component.
    pub component: String,
    /// The run it belonged to, which it was not told.
    pub run: String,
    /// The time of the run, in microseconds since 1970-01-01 UTC.
    pub now: i64,
    /// The seed.
    pub seed: [u8; 8],
    /// The parameters.
    pub parameters: serde_json::Map<String, serde_json::Value>,
    /// Whether a script was being written.
    pub is_offline: bool,
}

impl Told {
    /// What a component with this digest is told by `call`.
    pub(crate) fn new(call: &Call, component: String) -> Self {
        Self {
            revision: call.revision.to_string(),
            direction: call.direction,
            dialect: call.dialect,
            component,
            run: call.run.to_string(),
            now: call.now.as_microsecond(),
            seed: call.seed,
            parameters: (*call.parameters).clone(),
            is_offline: call.is_offline,
        }
    }
}

/// What a component asked the database for. Cursors go by the number that the session gave them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Asked {
    /// To run a statement.
    Execute(Question),
    /// To run a statement for each row of a batch.
    ExecuteMany(Question),
    /// To add the rows of a batch to a table; the text names table and columns.
    CopyIn(Question),
    /// To run a statement and read its rows.
    Query(Question),
    /// To open a cursor.
    OpenCursor(Question),
    /// For the next rows of a cursor.
    Fetch {
        /// Which.
        cursor: u32,
        /// The most that it wanted.
        max_rows: u32,
    },
    /// To close a cursor.
    CloseCursor(u32),
    /// To set a savepoint.
    Savepoint(String),
    /// To release a savepoint.
    Release(String),
    /// To roll back to a savepoint.
    RollBack(String),
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Execute(question) => write!(f, "execute {question}"),
            Self::ExecuteMany(question) => write!(f, "execute for each row {question}"),
            Self::CopyIn(question) => write!(f, "copy into {question}"),
            Self::Query(question) => write!(f, "query {question}"),
            Self::OpenCursor(question) => write!(f, "open a cursor over {question}"),
            Self::Fetch { cursor, max_rows } => {
                write!(f, "fetch at most {max_rows} rows of cursor {cursor}")
            }
            Self::CloseCursor(cursor) => write!(f, "close cursor {cursor}"),
            Self::Savepoint(name) => write!(f, "set savepoint {name}"),
            Self::Release(name) => write!(f, "release savepoint {name}"),
            Self::RollBack(name) => write!(f, "roll back to savepoint {name}"),
        }
    }
}

/// What it was answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answered {
    /// It is done.
    Done,
    /// So many rows were touched.
    Touched(u64),
    /// Rows.
    Rows {
        /// Their columns.
        columns: Vec<Column>,
        /// The rows.
        rows: Vec<Vec<Value>>,
    },
    /// A cursor is open.
    Cursor {
        /// Its number.
        cursor: u32,
        /// Its columns.
        columns: Vec<Column>,
    },
    /// It failed.
    Failed(Fault),
}

impl Answered {
    pub(crate) fn touched(outcome: &Result<u64, DriverError>) -> Self {
        Self::from(outcome, |touched| Self::Touched(*touched))
    }

    pub(crate) fn done(outcome: &Result<(), DriverError>) -> Self {
        Self::from(outcome, |()| Self::Done)
    }

    pub(crate) fn rows(outcome: &Result<Rows, DriverError>) -> Self {
        Self::from(outcome, |rows| Self::Rows {
            columns: rows.columns.to_vec(),
            rows: rows.clone().into_rows(),
        })
    }

    pub(crate) fn cursor(outcome: &Result<CursorId, DriverError>, columns: &[Column]) -> Self {
        Self::from(outcome, |cursor| Self::Cursor {
            cursor: cursor.0,
            columns: columns.to_vec(),
        })
    }

    fn from<T>(outcome: &Result<T, DriverError>, answer: impl FnOnce(&T) -> Self) -> Self {
        match outcome {
            Ok(value) => answer(value),
            Err(error) => Self::Failed(Fault::from(error)),
        }
    }
}

/// A [`DriverError`] as far as components can tell it from others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The database rejected the statement.
    Database(Box<DatabaseError>),
    /// The statement was not allowed.
    Denied {
        /// What was tried.
        operation: String,
        /// On what.
        object: String,
        /// Why not.
        reason: String,
    },
    /// The result had more rows than the limit.
    TooManyRows(u64),
    /// The result had more bytes than the limit.
    TooManyBytes(u64),
    /// A value could not be converted.
    Conversion(String),
    /// There was no database to answer.
    Offline,
    /// The record of an earlier dry run had no answer.
    Unrecorded(String),
    /// The statement was cancelled.
    Cancelled,
    /// The connection was lost, in these words.
    Lost(String),
}

impl From<&DriverError> for Fault {
    fn from(error: &DriverError) -> Self {
        match error {
            DriverError::Database(error) => Self::Database(error.clone()),
            DriverError::Denied {
                operation,
                object,
                reason,
            } => Self::Denied {
                operation: operation.clone(),
                object: object.clone(),
                reason: reason.clone(),
            },
            DriverError::NotGranted(refusal) => Self::Denied {
                operation: refusal.access.action.to_string(),
                object: format!("{}{}", refusal.access.object, refusal.access.columns),
                reason: refusal.reason(),
            },
            DriverError::Limit { unit, limit } if *unit == "rows" => Self::TooManyRows(*limit),
            DriverError::Limit { limit, .. } => Self::TooManyBytes(*limit),
            DriverError::Conversion(message) => Self::Conversion(message.clone()),
            DriverError::Offline => Self::Offline,
            DriverError::Unrecorded(reason) => Self::Unrecorded(reason.clone()),
            DriverError::Cancelled => Self::Cancelled,
            lost => Self::Lost(lost.to_string()),
        }
    }
}

impl From<Fault> for DriverError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Database(error) => Self::Database(error),
            Fault::Denied {
                operation,
                object,
                reason,
            } => Self::Denied {
                operation,
                object,
                reason,
            },
            Fault::TooManyRows(limit) => Self::Limit {
                unit: "rows",
                limit,
            },
            Fault::TooManyBytes(limit) => Self::Limit {
                unit: "bytes",
                limit,
            },
            Fault::Conversion(message) => Self::Conversion(message),
            Fault::Offline => Self::Offline,
            Fault::Unrecorded(reason) => Self::Unrecorded(reason),
            Fault::Cancelled => Self::Cancelled,
            Fault::Lost(_) => Self::Closed { source: None },
        }
    }
}

/// One thing that a component asked for, and the answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Exchange {
    /// What it asked for.
    pub asked: Asked,
    /// What it was answered.
    pub answered: Answered,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Ending {
    /// The fuel that it used.
    pub fuel: u64,
    /// What it did.
    pub statements: u64,
    /// The rows that it touched.
    pub rows: u64,
    /// What it failed with, if it did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
    /// Whether it was ended by something that it was not told of: a user, the clock, a lost connection.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub is_stopped: bool,
}

impl Ending {
    /// How a call ended, with the fuel that it used.
    pub(crate) fn new(fuel: u64, outcome: &Result<Work, MigrationError>) -> Self {
        let work = outcome.as_ref().copied().unwrap_or_default();
        let error = outcome.as_ref().err();
        let is_lost =
            |source: &DriverError| matches!(Fault::from(source), Fault::Lost(_) | Fault::Cancelled);
        Self {
            fuel,
            statements: work.statements,
            rows: work.rows,
            error: error.map(|error| match error {
                MigrationError::Statement { source, .. } => format!("{error}: {source}"),
                error => error.to_string(),
            }),
            is_stopped: error.is_some_and(|error| match error {
                MigrationError::Cancelled | MigrationError::Limit { what: "time", .. } => true,
                MigrationError::Statement { source, .. } => is_lost(source),
                _ => false,
            }),
        }
    }
}
