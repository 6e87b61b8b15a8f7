//! Whimbrel: a migration engine for SQL databases whose migrations are sandboxed WebAssembly components.

#![deny(unsafe_code)]

pub mod build;
pub mod config;
pub mod digest;
mod document;
pub mod driver;
pub mod embedded;
pub mod engine;
pub mod event;
pub mod graph;
pub mod history;
pub mod migration;
pub mod plan;
pub mod project;
pub mod revision;
pub mod scaffold;
pub mod source;
pub mod sql;
pub mod target;
pub mod wasm;
