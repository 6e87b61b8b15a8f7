//! What a statement does to which objects, so that a grant can be asked about it.
//!
//! PostgreSQL's statements are parsed by its own parser and walked whole: every place where a name can stand. Names are
//! resolved as the server would, by a [`Catalog`] that the caller fills: the walk says what it [wants](Wanted) to know
//! and is repeated. What the walk does not know it refuses.
//!
//! No server is asked here, and no stack of a guest is used: parsing and walking use the stack as deep as a statement is
//! nested, so call them on a thread of the usual size.

mod catalog;
mod changes;
#[cfg(feature = "parser")]
mod known;
#[cfg(feature = "parser")]
mod postgres;
mod shape;

use thiserror::Error;

pub use catalog::{
    Catalog, Occasion, Origin, Relation, RelationKind, Routine, Type, UserCast, Wanted,
};
pub use changes::{Change, Changes, Made};
#[cfg(feature = "parser")]
pub use postgres::Parsed;
pub use shape::shape;

use super::guard::Protected;
use crate::capability::Access;

/// The longest statement that is read, in bytes: what is larger should come as parameters.
pub const LONGEST: usize = 1 << 20;

/// Extensions whose functions and operators compute, and do nothing else: calling them needs no grant.
pub const HARMLESS_EXTENSIONS: [&str; 17] = [
    "btree_gin",
    "btree_gist",
    "citext",
    "cube",
    "earthdistance",
    "fuzzystrmatch",
    "hstore",
    "intagg",
    "intarray",
    "isn",
    "ltree",
    "pg_trgm",
    "pgcrypto",
    "seg",
    "unaccent",
    "uuid-ossp",
    "vector",
];

/// Whose statement it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A component's: the author may be anyone.
    Component,
    /// That of a SQL file whose grant does not reach everything.
    File,
}

/// What is known when a statement is read.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// What the database has.
    pub catalog: &'a Catalog,
    /// What this call has made and renamed.
    pub changes: &'a Changes,
    /// What belongs to Whimbrel.
    pub protected: &'a Protected,
    /// Whose statement it is.
    pub subject: Subject,
}

/// An access, and where the statement says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What is done to what.
    pub access: Access,
    /// The byte of the statement where its object stands, where that is known.
    pub at: Option<usize>,
}

/// Whether another statement of the same shape does the same, see [`shape`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Literals {
    /// It does, whatever its literals are.
    Immaterial,
    /// It may not: a literal names something.
    Telling,
}

/// Whether a statement leaves the names of the catalog as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Definitions {
    /// It does.
    #[default]
    Kept,
    /// It may make, change or remove relations and types.
    Relations,
    /// It may change more than these, or run code that does.
    Anything,
}

/// All that a statement does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The accesses that a grant must cover.
    pub accesses: Vec<Found>,
    /// What it makes and renames, once it has run.
    pub changes: Vec<Change>,
    /// Whether the verdict holds for other literals.
    pub literals: Literals,
    /// Whether what is known of the catalog holds after it.
    pub definitions: Definitions,
}

/// What came of reading a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All is known.
    Read(Reading),
    /// More must be known of the catalog first.
    Ask(Wanted),
}

/// What a refusal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// It is never allowed.
    Forbidden,
    /// The parser does not take the statement, so that nobody knows what it would do.
    Syntax,
}

/// Why a statement may not run, whatever is granted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{operation} is not allowed here: {reason}")]
pub struct Refusal {
    /// What was tried.
    pub operation: String,
    /// On what; may be empty.
    pub object: String,
    /// Why not.
    pub reason: String,
    /// The byte of the statement where it stands, where that is known.
    pub at: Option<usize>,
    /// What it is about.
    pub fault: Fault,
}

impl Refusal {
    /// That of an operation.
    pub(crate) fn new(operation: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            operation: operation.into(),
            object: String::new(),
            reason: reason.into(),
            at: None,
            fault: Fault::Forbidden,
        }
    }

    /// That of the parser, in its words.
    pub(crate) fn syntax(message: String) -> Self {
        Self {
            fault: Fault::Syntax,
            ..Self::new("a statement that the parser does not take", message)
        }
    }

    /// The same, about one object.
    pub(crate) fn of(mut self, object: impl Into<String>) -> Self {
        self.object = object.into();
        self
    }

    /// The same, with its place in the statement.
    pub(crate) fn at(mut self, location: i32) -> Self {
        self.at = usize::try_from(location)
            .ok()
            .filter(|at| *at > 0)
            .or(self.at);
        self
    }
}
