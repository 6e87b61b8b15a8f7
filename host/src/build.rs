//! Source of a migration to component.
