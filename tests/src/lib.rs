//! What Whimbrel's tests stand on: a database for each test, the built `whimbrel` program in a folder of its own,
//! and documentation that runs.
//!
//! Everything here panics with a message that says what is missing or wrong: a test has nobody to return to.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a failing support function is a failing test"
)]

mod authority;
mod backend;
mod conformance;
pub mod database;
mod dump;
mod project;
mod transcript;
mod workspace;

pub use authority::{as_file, as_guest};
pub use backend::Backend;
pub use conformance::run;
pub use database::Database;
pub use project::{Outcome, Project, Running};
pub use transcript::follow;
pub use whimbrel_cluster::{Cluster, PgBouncer, Setup};
pub use workspace::{guest, root};
