//! What is asked of the catalog. Each name and operator in it says its schema: a temporary table or type that a migration made
//! would come before the catalog's.

/// What the transaction holds and has counted. In it stands `$THOROUGH`: whether every relation's counts are wanted.
pub(super) const FACTS: &str = include_str!("facts.sql");

/// Whether a function can roll back a part of the transaction, which leaves counts and no locks. Other languages than those
/// that are known may do anything.
pub(super) const THOROUGH: &str = include_str!("thorough.sql");

/// Whatever [`show`] names, as a query's snapshot has it.
pub(super) const OBJECTS: &str = include_str!("objects.sql");

/// Rows of the catalog that the transaction wrote; those of relations where [`show`] names the relation.
pub(super) const WRITTEN: &str = include_str!("written.sql");

/// A cursor over [`OBJECTS`]: it reads when it is fetched, and what it reads is the catalog as it was when it was declared.
pub(super) const DECLARE: &str = concat!(
    "DECLARE whimbrel_before NO SCROLL CURSOR WITHOUT HOLD FOR ",
    include_str!("objects.sql")
);
pub(super) const FETCH: &str = "FETCH ALL FROM whimbrel_before";
pub(super) const CLOSE: &str = "CLOSE whimbrel_before";

/// Whether a statement that the migration has prepared may stand in for one of the session's own.
pub(super) const STAND_INS: &str =
    "SELECT FROM pg_catalog.pg_prepared_statement() WHERE from_sql LIMIT 1";

/// Puts the list of what [`OBJECTS`] and [`WRITTEN`] tell where they look for it.
pub(super) fn show(list: &str) -> String {
    format!("SELECT pg_catalog.set_config('whimbrel.seen', '{list}', true)")
}
