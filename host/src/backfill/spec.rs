//! What the author of a backfill says about it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a backfill works on, and how. Names of tables and columns are written as in SQL: without quotes they fold as the
/// database folds them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Spec {
    /// The table, with or without a schema.
    pub table: String,
    /// What `condition` and an expression call the table, where that is not its own name.
    pub alias: Option<String>,
    /// The columns that rows are taken in the order of: those of a unique index, none of which can be null. Empty for the
    /// primary key.
    pub key: Vec<String>,
    /// The columns that the new values are made of. For an expression none need to be named.
    pub reads: Vec<String>,
    /// The columns that get new values.
    pub writes: Vec<String>,
    /// A condition of SQL that holds for the rows to be worked on.
    pub condition: Option<String>,
    /// How new values are made.
    pub change: Change,
    /// From which end of the key.
    pub order: Order,
    /// What becomes of rows that others change when they have been worked on.
    pub changed: Option<Changed>,
    /// Whether what is overwritten is kept.
    pub keep: Keep,
    /// Whether rows may be deleted.
    pub drops: Drops,
    /// How long one batch should take; the operator's setting comes before it.
    pub batch: Option<Duration>,
    /// How many workers; the operator's setting comes before it.
    pub workers: Option<u32>,
}

/// How new values are made.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// By code, from the columns that are read.
    #[default]
    Transform,
    /// By the database: what stands behind SET in an UPDATE.
    Expression(String),
}

/// From which end of the key the ranges are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// From the smallest.
    #[default]
    Ascending,
    /// From the largest: what came last is done first. Within a range it is upwards all the same.
    Descending,
}

/// What becomes of rows that others change when they have been worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Changed {
    /// They are worked on once more: their new values are made of what the columns that are read hold now.
    Again,
    /// They stay as they are; only rows that are new are still worked on.
    Leave,
}

/// Whether what is overwritten is kept, for the way back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// It is not.
    #[default]
    Nothing,
    /// In a table beside Whimbrel's own, from which a downgrade takes it.
    OldValues,
}

/// Whether rows may be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Drops {
    /// None is.
    #[default]
    Never,
    /// Those are that the code says so of.
    Rows,
}

impl Change {
    /// What stands behind SET.
    pub(super) fn expression(&self) -> Option<&str> {
        match self {
            Self::Transform => None,
            Self::Expression(set) => Some(set),
        }
    }
}

impl Changed {
    /// Reads `again` or `leave`.
    pub fn read(text: &str) -> Option<Self> {
        match text {
            "again" => Some(Self::Again),
            "leave" => Some(Self::Leave),
            _ => None,
        }
    }
}

impl Order {
    /// Reads `ascending` or `descending`.
    pub fn read(text: &str) -> Option<Self> {
        match text {
            "ascending" => Some(Self::Ascending),
            "descending" => Some(Self::Descending),
            _ => None,
        }
    }
}
