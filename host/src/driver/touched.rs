//! What a transaction has really done.

use crate::capability::Access;

/// What the open transaction has done since the session was given to a migration, by what the database itself knows of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Touched {
    /// What was done to which objects, as far as the database can tell. Columns are not told apart.
    pub accesses: Vec<Access>,
    /// Rows that were added, changed or removed, by triggers and cascades as well.
    pub rows_written: u64,
}
