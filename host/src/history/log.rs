//! The ledger, read for people.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::safekeeping::{Note, note};
use super::{History, Outcome, text};
use crate::driver::{DriverError, ResultLimit, Session, Value};

/// One row of the ledger: what became of one step, or was done with a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The run: the same for all steps of one.
    pub run: String,
    /// The revision; empty where it is about a backup.
    pub revision: String,
    /// `upgrade`, `downgrade`, `stamp`, `repair`, `backup` or `restore`.
    pub action: String,
    /// What became of it; none where a later version has written what this one does not know.
    pub outcome: Option<Outcome>,
    /// When it started.
    pub started: Option<Timestamp>,
    /// How long it took, in microseconds.
    pub duration_us: u64,
    /// How many statements it ran.
    pub statements: u64,
    /// How many rows they touched.
    pub rows: u64,
    /// The user and the host.
    pub performed_by: String,
    /// The version of Whimbrel.
    pub whimbrel: String,
    /// The error, in one line.
    pub error: Option<String>,
    /// What backup it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<Note>,
}

impl Entry {
    /// How long it took.
    pub fn duration(&self) -> Duration {
        Duration::from_micros(self.duration_us)
    }
}

impl History {
    /// All rows of the ledger, the newest first. A database without one has none.
    ///
    /// # Errors
    /// A database error.
    pub async fn log(&self, session: &mut dyn Session) -> Result<Vec<Entry>, DriverError> {
        match session
            .query(&self.log_query(), &[], ResultLimit::NONE)
            .await
        {
            Ok(rows) => Ok(rows.into_rows().into_iter().map(entry).collect()),
            Err(error) if error.is_undefined_table() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

fn entry(row: Vec<Value>) -> Entry {
    let mut values = row.into_iter();
    let mut words = std::iter::from_fn(|| values.next());
    let mut word = || text(words.next());
    let (run, revision, action, outcome, started) = (word(), word(), word(), word(), word());
    let (performed_by, whimbrel, error) = (word(), word(), word());
    let mut number = || match values.next() {
        Some(Value::Int64(number)) => number.try_into().unwrap_or_default(),
        _ => 0,
    };
    let backup = note(&action, &error);
    Entry {
        run,
        revision,
        action,
        outcome: outcome.parse().ok(),
        started: started.parse().ok(),
        duration_us: number(),
        statements: number(),
        rows: number(),
        performed_by,
        whimbrel,
        error: Some(error).filter(|error| !error.is_empty() && backup.is_none()),
        backup,
    }
}
