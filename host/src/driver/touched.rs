//! What a transaction has really done.

use crate::capability::Access;

/// What a migration has done to a database since it was given the session, as the database itself tells it: not what its
/// statements say that they do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Touched {
    /// Each kind of thing that was done to each object. What the migration made itself is left out, and so is what a
    /// database cannot tell.
    pub accesses: Vec<Access>,
    /// Rows that were added, changed and removed, those of triggers and cascades included.
    pub rows_written: u64,
}
