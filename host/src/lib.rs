//! Whimbrel: a migration engine for SQL databases whose migrations are sandboxed WebAssembly components.
//!
//! A [`Project`](project::Project) is a set of migrations: SQL files and components, read from a folder or out of a
//! program. An [`Engine`](engine::Engine) brings one database along the graph that they make, each migration in a
//! transaction of its own together with the rows that record it. The library never prints; a run tells what it does
//! to an [`Observer`](event::Observer).
//!
//! An application that brings its own database up to date:
//!
//! ```
//! use whimbrel::embedded::Embedded;
//! use whimbrel::embedded::include_dir::{self, Dir, include_dir};
//! use whimbrel::project::RunOptions;
//! use whimbrel::revision::Direction;
//! use whimbrel::target::Target;
//!
//! static MIGRATIONS: Dir<'static> =
//!     include_dir!("$CARGO_MANIFEST_DIR/../examples/embed/migrations");
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let migrations = Embedded::read(&MIGRATIONS)?;
//!     let engine = migrations.engine("sqlite::memory:", RunOptions::default())?;
//!
//!     let report = engine.run(&Target::HEAD, Direction::Upgrade).await?;
//!     let applied: Vec<&str> = report.steps.iter().map(|step| step.revision.as_str()).collect();
//!     assert_eq!(applied, ["3c5a90d1e7b4", "a17e64f20c58"]);
//!
//!     let again = engine.run(&Target::HEAD, Direction::Upgrade).await?;
//!     assert!(again.steps.is_empty());
//!     Ok(())
//! }
//! ```
//!
//! A program that works on a project in a folder, as the `whimbrel` command does, starts from
//! [`Config::load`](config::Config::load) and [`Project::open_and_connect`](project::Project::open_and_connect).
//!
//! # Running
//!
//! The engine needs a tokio runtime with IO and time enabled; a run can be spawned on one of many threads. Making
//! components ready ([`Library::prepare`](migration::Library::prepare)) computes on the thread of the run. A run stops,
//! and rolls back, when its [`Cancel`](migration::Cancel) is asked to; a future that is dropped ends its connection,
//! and with it the transaction.
//!
//! # Features
//!
//! - `postgres` and `sqlite`: the drivers; both are on by default.
//! - `parser`: PostgreSQL's own parser, which says what its statements lock and lose before they run; on by default. It
//!   is C, and takes a C compiler and libclang to build.
//! - `cli`: the `whimbrel` program; on by default, and not needed by applications.

#![deny(unsafe_code)]

pub mod backfill;
pub mod build;
mod cache;
pub mod capability;
pub mod config;
pub mod digest;
mod document;
pub mod driver;
pub mod embedded;
pub mod engine;
pub mod event;
pub mod graph;
pub mod history;
pub mod journal;
pub mod migration;
pub mod picture;
pub mod plan;
pub mod policy;
pub mod printable;
pub mod project;
pub mod revision;
pub mod scaffold;
pub mod signature;
pub mod source;
pub mod sql;
pub mod target;
pub mod wasm;
