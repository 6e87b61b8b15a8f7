//! The one test binary: linking the host once keeps the whole run short.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod examples;
mod sqlite_driver;
mod engine;
mod support;
mod tidy;
