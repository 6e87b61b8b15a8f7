//! Why a backfill does not go on.

use thiserror::Error;

use crate::driver::DriverError;
use crate::migration::MigrationError;

/// Why a backfill does not go on. What was committed stays, and the next run goes on from there, unless said otherwise.
#[derive(Debug, Clone, Error)]
pub enum BackfillError {
    /// What its author says does not fit the database.
    #[error("{0}")]
    Unfit(String),
    /// A row cannot be worked on, and is not to be set aside.
    #[error("the row with the key {key} of {table} cannot be worked on: {reason}")]
    BadRow {
        /// The table.
        table: String,
        /// The row's key.
        key: String,
        /// Why.
        reason: String,
    },
    /// More rows than allowed could not be worked on.
    #[error(
        "{count} rows of {table} could not be worked on, and at most {limit} may be set aside; the last one ({key}): {reason}"
    )]
    TooManyBadRows {
        /// The table.
        table: String,
        /// How many.
        count: u64,
        /// How many may be.
        limit: u64,
        /// The key of the last one.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// All is done but the rows that were set aside.
    #[error(
        "{} set aside, and all others are done: `whimbrel backfill rows {revision}` shows them; mend them and `whimbrel backfill retry {revision}`, or leave them as they are with `whimbrel backfill set {revision} bad-rows=leave`, then upgrade",
        match count { 1 => "1 row is".to_owned(), more => format!("{more} rows are") }
    )]
    BadRowsLeft {
        /// The revision.
        revision: String,
        /// How many.
        count: u64,
    },
    /// Another worker has ended it; the text is its reason.
    #[error("{0}")]
    Failed(String),
    /// Its operator has stopped it.
    #[error("it was stopped; `whimbrel upgrade` goes on from where it was")]
    Stopped,
    /// It began with other code, or with code that said something else of itself.
    #[error(
        "it began with other code than there is now, or the code says something else of itself now: bring that back, or give it up with `whimbrel backfill stop {revision} --abandon`"
    )]
    Changed {
        /// The revision.
        revision: String,
    },
    /// Not all of the table was worked on. This is a fault of Whimbrel's.
    #[error("the verification at the end failed: {0}; nothing was recorded as done")]
    Unproven(String),
    /// The code that makes new values failed, and no single row is the reason.
    #[error(transparent)]
    Migration(#[from] MigrationError),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DriverError),
    /// A record was refused by a commit, since another worker has taken the range over.
    #[error("another worker has taken the range over")]
    TakenOver,
    /// The user asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl BackfillError {
    /// Whether the same may work in a while: the connection is gone, or something was locked.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Database(error) => error.is_transient() || error.is_lost(),
            error => error.is_transient(),
        }
    }

    /// Whether the same transaction may succeed when it is tried again, over the same connection.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Database(error) => error.is_transient(),
            Self::Migration(error) => error.is_transient(),
            _ => false,
        }
    }

    /// Whether a row's content is the reason: a value that is out of range, or that a constraint refuses.
    pub(crate) fn is_about_data(&self) -> bool {
        match self {
            Self::Database(DriverError::Conversion(_)) => true,
            Self::Database(error) => error.database().is_some_and(|error| {
                error.sqlstate.as_deref().is_some_and(|state| {
                    ["22", "23", "P0001", "SQLITE_CONSTRAINT", "SQLITE_MISMATCH"]
                        .iter()
                        .any(|class| state.starts_with(class))
                })
            }),
            Self::Migration(error) => match error {
                MigrationError::Cancelled | MigrationError::Admission { .. } => false,
                // An answer that does not fit the question would fit a smaller one by chance.
                MigrationError::Unfinished(_) => false,
                // To look for a row that takes all there is would take that again and again.
                MigrationError::Limit {
                    what: "time" | "fuel" | "rows-written",
                    ..
                } => false,
                _ => !error.is_transient(),
            },
            _ => false,
        }
    }
}
