//! Throw-away PostgreSQL clusters for the tests and the benches.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! let mut cluster = whimbrel_cluster::Cluster::start(15)?;
//! println!("{}", cluster.url("postgres"));
//! cluster.crash()?;
//! cluster.restart()?;
//! # Ok(())
//! # }
//! ```
//!
//! A cluster ends with the value that stands for it. When the process is killed, the kernel stops the server, and
//! the next cluster that anyone starts removes what it left on disk.

mod account;
mod cluster;
mod leftovers;
mod pooler;
mod process;
mod server;
mod storage;

pub use cluster::{Cluster, Setup};
pub use pooler::PgBouncer;
pub use server::{LOCAL, Server, VERSIONS};
