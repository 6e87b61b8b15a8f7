//! A node of the revision graph, as plain data.

pub mod message;

use std::fmt;
use std::sync::Arc;

use camino::Utf8PathBuf;
use jiff::Timestamp;
use serde::{Serialize, Serializer};
use thiserror::Error;

/// The identifier of a revision: ASCII letters, digits, `_` and `.`, at most 64 of them.
///
/// The other characters are either part of the target language (`@ : + -`) or trouble in file names.
/// Cloning is cheap.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RevisionId(Arc<str>);

/// The words that targets give a meaning of their own, so that no revision or label may bear them.
pub const RESERVED_WORDS: [&str; 4] = ["head", "heads", "base", "current"];

const MAX_ID_LEN: usize = 64;

/// Why a text is not a revision id or a branch label.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidName {
    /// There is nothing between the separators.
    #[error("an empty name is not a revision id")]
    Empty,
    /// The name has more than 64 characters.
    #[error("`{0}` is longer than {MAX_ID_LEN} characters")]
    TooLong(String),
    /// The name has a character that targets or file systems treat specially.
    #[error("`{name}` contains `{}`; ids and labels use letters, digits, `_` and `.`", character.escape_default())]
    Character {
        /// The whole name.
        name: String,
        /// The first character that is not allowed.
        character: char,
    },
    /// The name means something else in a target.
    #[error("`{0}` is a reserved word")]
    Reserved(String),
}

impl RevisionId {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// [`InvalidName`] says what is wrong with it.
    pub fn new(name: &str) -> Result<Self, InvalidName> {
        check_name(name)?;
        Ok(Self(name.into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Checks that `name` can name a revision or a branch.
///
/// # Errors
/// [`InvalidName`] says what is wrong with it.
pub fn check_name(name: &str) -> Result<(), InvalidName> {
    if name.is_empty() {
        return Err(InvalidName::Empty);
    }
    if let Some(character) = name
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.')))
    {
        return Err(InvalidName::Character {
            name: name.to_owned(),
            character,
        });
    }
    if name.len() > MAX_ID_LEN {
        return Err(InvalidName::TooLong(name.to_owned()));
    }
    if RESERVED_WORDS.contains(&name) {
        return Err(InvalidName::Reserved(name.to_owned()));
    }
    Ok(())
}

impl AsRef<str> for RevisionId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for RevisionId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RevisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for RevisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for RevisionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// Which way a step goes through a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Towards the heads.
    Upgrade,
    /// Towards the bases.
    Downgrade,
}

impl Direction {
    /// Its name, as files and messages spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Upgrade => "upgrade",
            Self::Downgrade => "downgrade",
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a migration is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// One file of SQL.
    Sql,
    /// A folder with a WebAssembly component.
    Component,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Sql => "sql",
            Self::Component => "component",
        })
    }
}

/// Whether a migration runs inside a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Transactional {
    /// In one transaction together with its version row and its ledger row; in which others take part, where a whole run
    /// has one.
    #[default]
    Yes,
    /// In a transaction that is committed before the next migration begins, whatever the settings say.
    Alone,
    /// Statement by statement, each committed at once: for `CREATE INDEX CONCURRENTLY` and its like.
    No,
    /// Batch by batch, each with the place that it has come to: a backfill. Its way back may be an ordinary migration.
    Batches,
}

/// How the steps of a plan share transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TransactionMode {
    /// Each migration has one of its own, together with its version row and its ledger row.
    #[default]
    Migration,
    /// All of them share one: the plan is in effect as a whole, or not at all.
    Run,
}

/// One revision: its place in the graph and what a reader wants to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// Its name in the version table.
    pub id: RevisionId,
    /// Its parents; none makes it a base, more than one a merge point.
    pub revises: Vec<RevisionId>,
    /// Revisions that must be applied before it without being its parents.
    pub depends_on: Vec<RevisionId>,
    /// Names for the branch that starts here.
    pub labels: Vec<String>,
    /// What it does, in one line.
    pub message: String,
    /// When it was written.
    pub created: Option<Timestamp>,
    /// The file or folder it was read from, relative to the project.
    pub path: Utf8PathBuf,
    /// What it is made of.
    pub kind: Kind,
    /// Whether it runs in a transaction.
    pub transactional: Transactional,
}
