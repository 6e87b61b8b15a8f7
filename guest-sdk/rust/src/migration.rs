//! What a migration is, and how it becomes a component.

use crate::db::Db;

pub use whimbrel_sdk_macros::migration;

/// A migration: what it does to the database, and how that is undone.
///
/// Both run inside a transaction that the host commits when they return `Ok` and rolls back otherwise. After a
/// deadlock or a lock timeout the host runs the whole call again, so that a migration keeps no state of its own.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is marked `#[whimbrel::migration]` but is no migration",
    note = "write `impl Migration for {Self}` with `upgrade` and `downgrade`"
)]
pub trait Migration {
    /// Applies the revision.
    ///
    /// # Errors
    /// Any error rolls back; the host shows its chain, and the statement where the database rejected one.
    fn upgrade(db: &Db) -> anyhow::Result<()>;

    /// Undoes what `upgrade` did. One that cannot be undone returns an error that says why.
    ///
    /// # Errors
    /// As for `upgrade`.
    fn downgrade(db: &Db) -> anyhow::Result<()>;
}
