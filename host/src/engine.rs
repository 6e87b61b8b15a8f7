//! The one place that locks, begins, commits and rolls back.
