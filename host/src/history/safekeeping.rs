//! Rows of the ledger that belong to no revision: a backup was made, a backup was restored.
//!
//! They have no revision, the digest of the backup's file as theirs, and a [`Note`] as JSON where other rows have an error.
//! Like every other row they carry the tally of what is applied, since any of them may be the last one.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::record::number;
use super::{History, Outcome, Tally};
use crate::driver::{DriverError, ResultLimit, Session, Statement, Value};

/// What such a row says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The backup's file, by its absolute path at that time.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// Of a restored one: what had been applied since, and is not any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undone: Vec<String>,
    /// Of a restored one: what had been reverted since, and is applied again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redone: Vec<String>,
}

/// What was done with a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Safekeeping {
    /// It was made.
    Backup,
    /// It took the place of the database.
    Restore,
}

impl Safekeeping {
    /// How the ledger spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Restore => "restore",
        }
    }
}

/// A row about a backup.
#[derive(Debug, Clone)]
pub struct Kept {
    /// The run.
    pub run: Uuid,
    /// What was done.
    pub action: Safekeeping,
    /// The SHA-256 of the file.
    pub sha256: String,
    /// When it started.
    pub started: Timestamp,
    /// How long it took.
    pub duration: Duration,
    /// The user and the host.
    pub performed_by: String,
    /// The tally of what is applied; none where that cannot be told.
    pub tally: Option<Tally>,
    /// The rest.
    pub note: Note,
}

impl History {
    /// Writes such a row; touches one row.
    pub fn record_kept(&self, kept: &Kept) -> Statement {
        // A struct of texts and numbers has a form in JSON.
        let note = serde_json::to_string(&kept.note).unwrap_or_default();
        let values = vec![
            Value::from(kept.run.to_string()),
            Value::from(""),
            Value::from(kept.action.as_str()),
            Value::from(Outcome::Done.as_str()),
            Value::from(kept.sha256.as_str()),
            Value::from(None::<String>),
            Value::from(None::<String>),
            Value::from(number(kept.duration.as_micros())),
            Value::from(0_i64),
            Value::from(0_i64),
            Value::from(kept.performed_by.as_str()),
            Value::from(env!("CARGO_PKG_VERSION")),
            Value::from(note),
            Value::from(kept.tally.map(|tally| tally.to_string())),
        ];
        self.insert_row(values, Some(kept.started))
    }

    /// When the database was last as a backup has it that the ledger knows: when that was made, or restored.
    ///
    /// # Errors
    /// A database error.
    pub async fn last_backup(
        &self,
        session: &mut dyn Session,
    ) -> Result<Option<Timestamp>, DriverError> {
        let sql = format!(
            "SELECT CAST(started_at AS text) FROM {} WHERE action IN ('backup', 'restore') ORDER BY id DESC LIMIT 1",
            self.ledger
        );
        match session.query(&sql, &[], ResultLimit::NONE).await {
            Ok(rows) => {
                let time = rows.into_rows().into_iter().flatten().next();
                Ok(super::text(time).parse().ok())
            }
            Err(error) if error.is_undefined_table() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the ledger knows a backup by the digest of its file. A database without one knows none.
    ///
    /// # Errors
    /// A database error.
    pub async fn knows_backup(
        &self,
        session: &mut dyn Session,
        sha256: &str,
    ) -> Result<bool, DriverError> {
        let sql = format!(
            "SELECT id FROM {} WHERE action IN ('backup', 'restore') AND digest = $1",
            self.ledger
        );
        match session
            .query(&sql, &[Value::from(sha256)], ResultLimit::NONE)
            .await
        {
            Ok(rows) => Ok(!rows.into_rows().is_empty()),
            Err(error) if error.is_undefined_table() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The note of a row, where it is one about a backup.
pub(super) fn note(action: &str, text: &str) -> Option<Note> {
    let is_kept = [Safekeeping::Backup, Safekeeping::Restore]
        .iter()
        .any(|known| known.as_str() == action);
    is_kept.then(|| serde_json::from_str(text).ok()).flatten()
}
