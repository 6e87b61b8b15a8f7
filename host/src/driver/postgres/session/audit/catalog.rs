//! What is asked of the catalog. The session has its own settings when it is asked, so that no name is a migration's.

/// Before a migration and after it the same is asked, so that a row that was there before is known by its place.
pub(super) const LOOK: &str = include_str!("look.sql");
