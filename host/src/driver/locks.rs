//! The locks on relations that a transaction holds.

use std::fmt;
use std::str::FromStr;

/// How much a lock on a table keeps out; from the weakest to the strongest, as PostgreSQL orders them
/// (<https://www.postgresql.org/docs/current/explicit-locking.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LockMode {
    /// Taken by reading.
    AccessShare,
    /// Taken by `SELECT … FOR UPDATE` and its kin, and on the table that a foreign key refers to.
    RowShare,
    /// Taken by writing rows.
    RowExclusive,
    /// Keeps out other schema changes and VACUUM; taken by `CREATE INDEX CONCURRENTLY` and by validating.
    ShareUpdateExclusive,
    /// Keeps out writes; taken by `CREATE INDEX`.
    Share,
    /// Keeps out writes; taken by `CREATE TRIGGER` and by adding foreign keys.
    ShareRowExclusive,
    /// Keeps out all but reads.
    Exclusive,
    /// Keeps out everything, reads among it.
    AccessExclusive,
}

const MODES: [(LockMode, &str, &str); 8] = [
    (LockMode::AccessShare, "ACCESS SHARE", "AccessShareLock"),
    (LockMode::RowShare, "ROW SHARE", "RowShareLock"),
    (LockMode::RowExclusive, "ROW EXCLUSIVE", "RowExclusiveLock"),
    (
        LockMode::ShareUpdateExclusive,
        "SHARE UPDATE EXCLUSIVE",
        "ShareUpdateExclusiveLock",
    ),
    (LockMode::Share, "SHARE", "ShareLock"),
    (
        LockMode::ShareRowExclusive,
        "SHARE ROW EXCLUSIVE",
        "ShareRowExclusiveLock",
    ),
    (LockMode::Exclusive, "EXCLUSIVE", "ExclusiveLock"),
    (
        LockMode::AccessExclusive,
        "ACCESS EXCLUSIVE",
        "AccessExclusiveLock",
    ),
];

impl LockMode {
    /// Its name, as `LOCK TABLE` spells it.
    pub fn name(self) -> &'static str {
        MODES
            .iter()
            .find(|(mode, ..)| *mode == self)
            .map_or("", |(_, name, _)| name)
    }
}

impl fmt::Display for LockMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for LockMode {
    type Err = ();

    /// Reads a mode as `pg_locks` spells it.
    fn from_str(text: &str) -> Result<Self, ()> {
        MODES
            .iter()
            .find(|(_, _, spelled)| *spelled == text)
            .map(|(mode, ..)| *mode)
            .ok_or(())
    }
}

impl serde::Serialize for LockMode {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

/// A lock on one relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelationLock {
    /// The number of the relation in the database's catalog.
    pub relation: u32,
    /// The mode.
    pub mode: LockMode,
}
