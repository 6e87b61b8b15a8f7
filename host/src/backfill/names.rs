//! What a backfill makes in the database beside its rows.

use super::notes::{UPDATE, VALUE};
use super::store::Store;
use crate::digest::Digest;
use crate::driver::Dialect;
use crate::revision::RevisionId;
use crate::sql::guard::{NOTE_TRIGGER_PREFIX, NOTES_PREFIX};

/// The names of the table of notes, of the trigger that writes them, of its function, and of the table of old values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    dialect: Dialect,
    /// Where what others have changed is noted.
    pub(super) notes: String,
    /// The same without its schema.
    pub(super) bare_notes: String,
    /// Without quotes.
    pub(super) trigger: String,
    /// The trigger's function.
    pub(super) noting: String,
    /// Where old values are.
    pub(super) kept: String,
}

impl Names {
    /// Those of a revision's backfill, in the schema of these tables.
    pub(super) fn new(store: &Store, revision: &RevisionId, dialect: Dialect) -> Self {
        let suffix = suffix(revision);
        let trigger = format!("{NOTE_TRIGGER_PREFIX}{suffix}");
        Self {
            dialect,
            notes: store.name(&format!("{NOTES_PREFIX}{suffix}")),
            bare_notes: format!("\"{NOTES_PREFIX}{suffix}\""),
            noting: store.name(&trigger),
            trigger,
            kept: store.name(&format!("whimbrel_old_{suffix}")),
        }
    }

    /// What takes all of that away but the old values, wherever the table is by now.
    pub(super) fn removals(&self) -> Vec<String> {
        match self.dialect {
            // The trigger goes with its function, which nobody else could put anywhere.
            Dialect::Postgresql => vec![
                format!("DROP FUNCTION IF EXISTS {}() CASCADE", self.noting),
                format!("DROP TABLE IF EXISTS {}", self.notes),
            ],
            Dialect::Sqlite => {
                let drop = |end| format!("DROP TRIGGER IF EXISTS main.\"{}{end}\"", self.trigger);
                let mut all: Vec<String> = ["", UPDATE, VALUE].map(drop).into();
                all.push(format!("DROP TABLE IF EXISTS {}", self.notes));
                all
            }
        }
    }
}

/// What ends the names of things that one revision has in the database: short enough for any of them.
pub(super) fn suffix(revision: &RevisionId) -> String {
    match revision.as_str().len() <= 32 {
        true => revision.as_str().to_owned(),
        false => Digest::of(revision.as_str().as_bytes()).to_string()[..32].to_owned(),
    }
}
