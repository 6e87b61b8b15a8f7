//! The language that names revisions.
