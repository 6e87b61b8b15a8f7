//! Ledger rows.

use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use super::{History, Tally};
use crate::driver::{Dialect, Statement, Value};
use crate::migration::{Fingerprint, Work};
use crate::revision::RevisionId;

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It is in effect.
    Done,
    /// It was rolled back: nothing of it is in effect.
    Failed,
    /// A migration without a transaction began. If nothing followed, it was interrupted.
    Started,
    /// A migration without a transaction failed after it had begun: a part of it may be in effect.
    Partial,
    /// Nothing of it is in effect any more, as whoever stamped or repaired the database has said.
    Undone,
}

impl Outcome {
    /// How the ledger spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Started => "started",
            Self::Partial => "partial",
            Self::Undone => "undone",
        }
    }

    /// Whether a part of the revision may be in effect, so that no run may go on before someone has looked.
    pub fn is_unfinished(self) -> bool {
        matches!(self, Self::Started | Self::Partial)
    }
}

impl FromStr for Outcome {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let all = [
            Self::Done,
            Self::Failed,
            Self::Started,
            Self::Partial,
            Self::Undone,
        ];
        all.into_iter()
            .find(|outcome| outcome.as_str() == text)
            .ok_or(())
    }
}

/// One try of a step, as the ledger records it.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The run.
    pub run: Uuid,
    /// The revision.
    pub revision: RevisionId,
    /// `upgrade`, `downgrade`, `stamp` or `repair`.
    pub action: &'static str,
    /// What its code was.
    pub fingerprint: Fingerprint,
    /// When it started; none in a script, which says when it runs.
    pub started: Option<Timestamp>,
    /// How long it took.
    pub duration: Duration,
    /// What it did.
    pub work: Work,
    /// What became of it.
    pub outcome: Outcome,
    /// The error, in one line.
    pub error: Option<String>,
    /// The user and the host.
    pub performed_by: String,
    /// The tally of what is applied with this; none where that cannot be told.
    pub tally: Option<Tally>,
}

impl History {
    /// Writes an attempt; touches one row.
    pub fn record(&self, attempt: &Attempt) -> Statement {
        let values = vec![
            Value::from(attempt.run.to_string()),
            Value::from(attempt.revision.as_str()),
            Value::from(attempt.action),
            Value::from(attempt.outcome.as_str()),
            Value::from(attempt.fingerprint.content.as_str()),
            Value::from(attempt.fingerprint.source.clone()),
            Value::from(attempt.fingerprint.parameters.clone()),
            Value::from(number(attempt.duration.as_micros())),
            Value::from(number(attempt.work.statements.into())),
            Value::from(number(attempt.work.rows.into())),
            Value::from(attempt.performed_by.as_str()),
            Value::from(env!("CARGO_PKG_VERSION")),
            Value::from(attempt.error.clone()),
            Value::from(attempt.tally.map(|tally| tally.to_string())),
        ];
        self.insert_row(values, attempt.started)
    }

    /// Writes a row, whose values come in the order of the columns; one without a time has that at which it is written.
    pub(super) fn insert_row(
        &self,
        mut values: Vec<Value>,
        started: Option<Timestamp>,
    ) -> Statement {
        let started = match (started, self.dialect) {
            (Some(started), _) => {
                values.push(Value::from(started.to_string()));
                "$15"
            }
            // When its transaction began.
            (None, Dialect::Postgresql) => "now()",
            (None, Dialect::Sqlite) => "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')",
        };
        Statement::new(
            format!(
                "INSERT INTO {} (run, revision, action, outcome, digest, source_digest, parameters_digest, \
                 duration_us, statements, rows_touched, performed_by, whimbrel, error, tally, started_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, {started})",
                self.ledger
            ),
            values,
        )
    }

    /// Says what became of an attempt that was recorded as [`Outcome::Started`]; touches one row.
    pub fn conclude(&self, attempt: &Attempt) -> Statement {
        Statement::new(
            format!(
                "UPDATE {} SET outcome = $1, duration_us = $2, statements = $3, rows_touched = $4, error = $5, tally = $6 \
                 WHERE run = $7 AND revision = $8 AND action = $9 AND outcome = 'started'",
                self.ledger
            ),
            [
                Value::from(attempt.outcome.as_str()),
                Value::from(number(attempt.duration.as_micros())),
                Value::from(number(attempt.work.statements.into())),
                Value::from(number(attempt.work.rows.into())),
                Value::from(attempt.error.clone()),
                Value::from(attempt.tally.map(|tally| tally.to_string())),
                Value::from(attempt.run.to_string()),
                Value::from(attempt.revision.as_str()),
                Value::from(attempt.action),
            ],
        )
    }
}

/// Counts beyond what a database's integer holds are as good as the largest one.
pub(super) fn number(count: u128) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
