//! The one test binary: linking the host once keeps the whole run short.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod alembic;
mod attacks;
mod attacks_components;
mod attacks_sqlite;
mod audit;
mod backfill;
mod backups;
mod build_rust;
mod bulk;
mod cancel;
mod cli;
mod effects;
mod engine;
mod examples;
mod faults;
mod forecasts;
mod fuzz;
mod grants;
mod guests;
mod isolation;
mod journal;
mod legitimate;
mod lock_timeouts;
mod oracle;
mod pods;
mod policy;
mod pooler;
mod postgres_driver;
mod reading;
mod readme;
mod repair;
mod scripts;
mod seals;
mod settled;
mod sqlite_driver;
mod staging;
mod support;
mod tidy;
mod together;
mod values;
