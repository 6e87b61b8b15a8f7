//! The project's settings: file, environment and flags.
