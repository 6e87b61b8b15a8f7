//! What can be wrong with a set of revisions.

use std::fmt;

use camino::Utf8PathBuf;
use thiserror::Error;

use crate::revision::RevisionId;

/// A way in which one revision refers to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// The other is its parent.
    Revises,
    /// The other must be applied before it.
    DependsOn,
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Revises => "revises",
            Self::DependsOn => "depends on",
        })
    }
}

/// One thing that is wrong with a set of revisions, with the files where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GraphError {
    /// Two migrations have the same id.
    #[error("revision {id} exists twice: in {first} and in {second}")]
    DuplicateId {
        /// The id.
        id: RevisionId,
        /// One of the two files.
        first: Utf8PathBuf,
        /// The other.
        second: Utf8PathBuf,
    },
    /// Two revisions have the same label, or a label is also the id of a revision.
    #[error("branch label `{label}` is used twice: in {first} and in {second}")]
    DuplicateLabel {
        /// The label.
        label: String,
        /// One of the two files.
        first: Utf8PathBuf,
        /// The other.
        second: Utf8PathBuf,
    },
    /// A revision refers to one that no file has.
    #[error("revision {id} {edge} {missing}, which no migration has ({path})")]
    Unknown {
        /// The revision that refers.
        id: RevisionId,
        /// How.
        edge: Edge,
        /// What it refers to.
        missing: RevisionId,
        /// Its file.
        path: Utf8PathBuf,
    },
    /// A revision refers to itself.
    #[error("revision {id} {edge} itself ({path})")]
    SelfReference {
        /// The revision.
        id: RevisionId,
        /// How.
        edge: Edge,
        /// Its file.
        path: Utf8PathBuf,
    },
    /// Revisions lead back to themselves.
    #[error(
        "revisions form a cycle: {} ({})",
        join(path.iter().chain(path.first()).map(|(id, _)| id), " -> "),
        join(path.iter().map(|(_, file)| file), ", ")
    )]
    Cycle {
        /// The way round, each with its file: every one revises or depends on the next, and the last on the first.
        path: Vec<(RevisionId, Utf8PathBuf)>,
    },
}

fn join<T: fmt::Display>(items: impl Iterator<Item = T>, separator: &str) -> String {
    items
        .map(|item| item.to_string())
        .collect::<Vec<_>>()
        .join(separator)
}

/// Everything that is wrong with a set of revisions; never empty.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}", join(.0.iter(), "\n"))]
pub struct GraphErrors(pub Vec<GraphError>);
