//! What is asked of the catalog. Each name and operator in it says its schema: a temporary table or type that a migration made
//! would come before the catalog's.

/// What there is, and what the transaction has written. Before a migration and after it the same is asked, so that a row that
/// was there before is known by its place.
pub(super) const LOOK: &str = concat!(include_str!("look.sql"), include_str!("written.sql"));

/// What there is, where the transaction has written nothing.
pub(super) const LOOK_UNWRITTEN: &str = include_str!("look.sql");

/// Whether the transaction may have written something.
pub(super) const HAS_WRITTEN: &str =
    "SELECT pg_catalog.pg_current_xact_id_if_assigned() IS NOT NULL";
