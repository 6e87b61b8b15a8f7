//! The one test binary: linking the host once keeps the whole run short.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod alembic;
mod build_rust;
mod cli;
mod engine;
mod examples;
mod faults;
mod guests;
mod lock_timeouts;
mod pods;
mod pooler;
mod postgres_driver;
mod readme;
mod scripts;
mod settled;
mod sqlite_driver;
mod staging;
mod support;
mod tidy;
mod values;
