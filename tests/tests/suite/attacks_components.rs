//! Components written by hand to break out of the sandbox, or to use up what runs it.
//!
//! Each entry is what no honest compiler would write, and the verdict that it must end in.

mod admission;
mod instances;
mod module;

pub(crate) use module::component;
