//! Faults: whatever goes wrong, and on whichever database, nothing is half-applied.
//!
//! Every fault is a test of its own for each database, so that the list of the tests is the table of what was proved.
//! The migrations are a line `a`, `b`, `c`, …, each of which makes a table `t_a`, `t_b`, `t_c`, so that what is in
//! effect can be read off the schema, and compared with the version table and the ledger.

mod aftermath;
mod connections;
mod crashes;
mod guests;
mod processes;
mod proxy;
mod records;
mod storage;
mod tmpfs;

pub(crate) use aftermath::{after, told, unharmed};
