//! What can be wrong with what a database says of itself, and what can be done about it.

use std::fmt;

use thiserror::Error;

use super::Inconsistency;
use crate::revision::RevisionId;

/// One thing that is wrong with what a database says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Problem {
    /// The ledger and the files differ: no run goes on.
    #[error(transparent)]
    Inconsistent(Inconsistency),
    /// A row of the version table that no migration has: no run goes on.
    #[error("the database is at revision {revision}, which no migration has{}", then(before.as_deref()))]
    Missing {
        /// The row.
        revision: String,
        /// The rows that the ledger proves to have been there before it; none where it cannot.
        before: Option<Vec<RevisionId>>,
    },
    /// A row of the version table that another one implies: runs go on, and take it away with their next step.
    #[error("the version table has a row for {revision}, which its row for {by} implies")]
    Implied {
        /// The row.
        revision: RevisionId,
        /// One that implies it.
        by: RevisionId,
    },
    /// The version table is not as the ledger's last row left it: runs go on from what is there.
    #[error(
        "the version table was changed by something else than Whimbrel since the last run: its rows are {}{}",
        at(rows),
        although(lost)
    )]
    Moved {
        /// The rows that are there.
        rows: Vec<RevisionId>,
        /// The latest revisions that the ledger has as applied and the version table has not.
        lost: Vec<RevisionId>,
    },
    /// An index that PostgreSQL does not use, since `CREATE INDEX CONCURRENTLY` or its like did not come to its end.
    #[error("the index {index} on {table} is invalid: what built it did not come to its end")]
    InvalidIndex {
        /// The index, with its schema, quoted as SQL.
        index: String,
        /// Its table, with its schema, quoted as SQL.
        table: String,
    },
}

/// What is to be made of a problem. Each is a statement of what is so, which the engine writes down; none of them
/// changes the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Remedy {
    /// All of the revision is in effect.
    Applied,
    /// Nothing of the revision is in effect.
    NotApplied,
    /// What has become of the migration's code is as good as what ran.
    Accept,
    /// The row of the version table goes. Where it is the only one that no migration has, the rows come back that were
    /// there before it.
    Forget,
    /// The rows of the version table are right as they are.
    Rows,
}

impl Problem {
    /// The revision that it is about, where it is about one.
    pub fn revision(&self) -> Option<&str> {
        match self {
            Self::Inconsistent(
                Inconsistency::Changed { revision, .. }
                | Inconsistency::Unfinished { revision, .. },
            )
            | Self::Implied { revision, .. } => Some(revision.as_str()),
            Self::Missing { revision, .. } => Some(revision),
            Self::Moved { .. } | Self::InvalidIndex { .. } => None,
        }
    }

    /// What can be done about it.
    pub fn remedies(&self) -> &'static [Remedy] {
        match self {
            Self::Inconsistent(Inconsistency::Unfinished { .. }) => {
                &[Remedy::Applied, Remedy::NotApplied]
            }
            Self::Inconsistent(Inconsistency::Changed { .. }) => &[Remedy::Accept],
            Self::Implied { .. }
            | Self::Missing {
                before: Some(_), ..
            } => &[Remedy::Forget],
            Self::Moved { .. } => &[Remedy::Rows],
            Self::Missing { before: None, .. } | Self::InvalidIndex { .. } => &[],
        }
    }
}

/// Why a problem cannot be repaired as was asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RepairError {
    /// There is no such problem, or not any more.
    #[error("{} has no problem that {remedy} would solve", subject(revision.as_deref()))]
    NothingToRepair {
        /// The revision.
        revision: Option<String>,
        /// What was to be done.
        remedy: Remedy,
    },
    /// What the revision needs is not applied.
    #[error(
        "revision {revision} cannot count as applied while {}, which it needs, does not",
        list(needs)
    )]
    Needs {
        /// The revision.
        revision: RevisionId,
        /// What it needs.
        needs: Vec<RevisionId>,
    },
    /// An applied revision needs it.
    #[error("revision {revision} cannot count as not applied while what needs it does")]
    Needed {
        /// The revision.
        revision: RevisionId,
    },
    /// The ledger does not prove what was there before.
    #[error("the ledger does not tell what was applied before {revision}")]
    NotProved {
        /// The revision.
        revision: String,
    },
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Applied => "counting it as applied",
            Self::NotApplied => "counting it as not applied",
            Self::Accept => "accepting its change",
            Self::Forget => "forgetting its row",
            Self::Rows => "taking its rows for right",
        })
    }
}

fn subject(revision: Option<&str>) -> String {
    match revision {
        Some(revision) => format!("revision {revision}"),
        None => "the version table".to_owned(),
    }
}

fn list(revisions: &[RevisionId]) -> String {
    let names: Vec<&str> = revisions.iter().map(RevisionId::as_str).collect();
    names.join(", ")
}

fn at(rows: &[RevisionId]) -> String {
    match rows {
        [] => "gone".to_owned(),
        rows => list(rows),
    }
}

fn although(lost: &[RevisionId]) -> String {
    match lost {
        [] => String::new(),
        lost => format!(", while the ledger has {} as applied", list(lost)),
    }
}

fn then(before: Option<&[RevisionId]>) -> String {
    match before {
        None => String::new(),
        Some([]) => "; before it was applied, it was at base".to_owned(),
        Some(before) => format!("; before it was applied, it was at {}", list(before)),
    }
}
