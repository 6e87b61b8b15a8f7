//! What is asked of the catalog. Each name and operator in it says its schema: a temporary table or type that a migration made
//! would come before the catalog's.

/// Before a migration and after it the same is asked, so that a row that was there before is known by its place.
pub(super) const LOOK: &str = include_str!("look.sql");
