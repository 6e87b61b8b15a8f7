//! The locks of PostgreSQL, and how long they matter.

use std::fmt;

use serde::{Serialize, Serializer};

/// A table, or another relation, as the statement names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Relation {
    /// The schema, where the statement says it.
    pub schema: Option<String>,
    /// The name, without quotes and folded as the server folds it.
    pub name: String,
}

impl Relation {
    /// A relation whose schema is looked up by the server.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            schema: None,
            name: name.into(),
        }
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{}.", Quoted(schema))?;
        }
        write!(f, "{}", Quoted(&self.name))
    }
}

impl Serialize for Relation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A name in quotes where it needs them.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let starts_plain = !self.0.starts_with(|c: char| c.is_ascii_digit());
        if starts_plain && !self.0.is_empty() && self.0.chars().all(is_plain) {
            f.write_str(self.0)
        } else {
            write!(f, "\"{}\"", self.0.replace('"', "\"\""))
        }
    }
}

/// A lock mode of PostgreSQL, from the weakest to the strongest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LockMode {
    /// `ACCESS SHARE`: reading.
    AccessShare,
    /// `ROW SHARE`: `SELECT … FOR UPDATE`.
    RowShare,
    /// `ROW EXCLUSIVE`: writing rows.
    RowExclusive,
    /// `SHARE UPDATE EXCLUSIVE`: what may go on beside writers, one at a time.
    ShareUpdateExclusive,
    /// `SHARE`: `CREATE INDEX`.
    Share,
    /// `SHARE ROW EXCLUSIVE`: triggers and foreign keys.
    ShareRowExclusive,
    /// `EXCLUSIVE`: `REFRESH MATERIALIZED VIEW CONCURRENTLY`.
    Exclusive,
    /// `ACCESS EXCLUSIVE`: alone.
    AccessExclusive,
}

const MODES: [LockMode; 8] = [
    LockMode::AccessShare,
    LockMode::RowShare,
    LockMode::RowExclusive,
    LockMode::ShareUpdateExclusive,
    LockMode::Share,
    LockMode::ShareRowExclusive,
    LockMode::Exclusive,
    LockMode::AccessExclusive,
];

impl LockMode {
    /// Its name in the documentation of PostgreSQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::AccessShare => "ACCESS SHARE",
            Self::RowShare => "ROW SHARE",
            Self::RowExclusive => "ROW EXCLUSIVE",
            Self::ShareUpdateExclusive => "SHARE UPDATE EXCLUSIVE",
            Self::Share => "SHARE",
            Self::ShareRowExclusive => "SHARE ROW EXCLUSIVE",
            Self::Exclusive => "EXCLUSIVE",
            Self::AccessExclusive => "ACCESS EXCLUSIVE",
        }
    }

    /// The mode that `pg_locks` calls so, such as `AccessShareLock`.
    pub fn in_pg_locks(name: &str) -> Option<Self> {
        let words = name.strip_suffix("Lock")?;
        MODES
            .into_iter()
            .find(|mode| mode.name().replace(' ', "").eq_ignore_ascii_case(words))
    }

    /// What others cannot do with the table meanwhile.
    pub fn blocks(self) -> Blocks {
        match self {
            Self::AccessShare
            | Self::RowShare
            | Self::RowExclusive
            | Self::ShareUpdateExclusive => Blocks::SchemaChanges,
            Self::Share | Self::ShareRowExclusive | Self::Exclusive => Blocks::Writes,
            Self::AccessExclusive => Blocks::ReadsAndWrites,
        }
    }
}

impl fmt::Display for LockMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for LockMode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// What a lock keeps others from, the worst of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Blocks {
    /// Changes of the table's schema; reads and writes go on.
    SchemaChanges,
    /// Writes; reads go on.
    Writes,
    /// Reads and writes.
    ReadsAndWrites,
}

impl fmt::Display for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::SchemaChanges => "other schema changes",
            Self::Writes => "writes",
            Self::ReadsAndWrites => "reads and writes",
        })
    }
}

/// What a statement does while it holds a lock, which is what its time grows with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Toll {
    /// It changes the catalog only: an instant, however large the table.
    Instant,
    /// It writes the rows that it is told to.
    Rows,
    /// It reads the whole table.
    Scan,
    /// It writes the whole table anew.
    Rewrite,
}

impl fmt::Display for Toll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Instant => "for an instant",
            Self::Rows => "while rows are written",
            Self::Scan => "while the table is scanned",
            Self::Rewrite => "while the table is rewritten",
        })
    }
}

/// Which relation a lock is on, where the statement names another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The one that is named.
    Itself,
    /// The table of the index that is named.
    TableOfIndex,
}

/// Foreign keys that go with what a statement drops, and for which it locks the tables at their other ends in the same
/// mode. Only the database knows these.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ForeignKeys {
    /// All of the table, from it and to it.
    All,
    /// Those from this column.
    OfColumn(String),
    /// The one of this name, if the constraint is a foreign key.
    Named(String),
}

/// One lock of one statement. It is held until the end of the transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// The relation that the statement names.
    pub relation: Relation,
    /// What of it is locked.
    pub part: Part,
    /// How.
    pub mode: LockMode,
    /// What the statement does meanwhile.
    pub toll: Toll,
    /// What is locked with it.
    pub foreign_keys: Vec<ForeignKeys>,
    /// A gentler way.
    pub advice: Option<Advice>,
}

impl Lock {
    pub(super) fn new(relation: Relation, mode: LockMode, toll: Toll) -> Self {
        Self {
            relation,
            part: Part::Itself,
            mode,
            toll,
            foreign_keys: Vec::new(),
            advice: None,
        }
    }
}

/// A way to the same end that blocks less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Advice {
    /// `CREATE INDEX CONCURRENTLY`.
    IndexConcurrently,
    /// A constraint that is first added `NOT VALID`.
    NotValid,
    /// `NOT NULL` that a valid check proves.
    ProveNotNull,
    /// A key over an index that is there.
    UsingIndex,
    /// A new column that is filled in batches.
    NewColumn,
    /// A column without the default, which is filled afterwards.
    FillAfterwards,
    /// `REINDEX CONCURRENTLY`.
    ReindexConcurrently,
    /// `REFRESH MATERIALIZED VIEW CONCURRENTLY`.
    RefreshConcurrently,
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::IndexConcurrently => "CREATE INDEX CONCURRENTLY, without a transaction, lets writers go on",
            Self::NotValid => "add it NOT VALID, and VALIDATE it in a migration of its own",
            Self::ProveNotNull => "a CHECK (… IS NOT NULL) that was validated before saves the scan",
            Self::UsingIndex => "build the index CONCURRENTLY before, and add the constraint USING INDEX",
            Self::NewColumn => "types of the same binary form, such as a longer varchar, need no rewrite; else fill a new column in batches",
            Self::FillAfterwards => "add the column first, set its default, and fill it in batches",
            Self::ReindexConcurrently => "REINDEX CONCURRENTLY, without a transaction, lets writers go on",
            Self::RefreshConcurrently => "REFRESH MATERIALIZED VIEW CONCURRENTLY lets readers go on",
        })
    }
}
