//! The locks on relations that a transaction holds.

use crate::sql::effects::LockMode;

/// A lock on one relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelationLock {
    /// The number of the relation in the database's catalog.
    pub relation: u32,
    /// The mode.
    pub mode: LockMode,
}
