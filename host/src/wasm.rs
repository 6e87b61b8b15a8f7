//! Components as migrations: the sandbox.
//!
//! A [`Runtime`] holds what all components share; a [`ComponentMigration`] is one component. A guest gets the
//! interfaces of `whimbrel:migrate` and nothing else, a fresh store for each call, and [`Limits`] on all that it
//! uses. What it may ask for is decided from its imports before any of it runs: [`admit`].

mod admission;
mod backfill;
mod backfill_bindings;
mod bindings;
mod cache;
mod component;
mod console;
mod convert;
mod guest;
mod host;
mod loan;
mod meter;
mod runtime;
mod trap;
mod wasi;
mod watch;

pub use admission::{Interface, Wasi, admit, imports, interface};
pub use backfill::ComponentBackfill;
pub use component::{ComponentMigration, ReadComponent};
pub use runtime::Runtime;
