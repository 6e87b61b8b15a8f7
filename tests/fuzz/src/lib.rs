//! What must hold for any input of Whimbrel's readers, and a driver that runs it over mutated seeds.
//!
//! Each target panics where something does not hold. The suite runs each for a moment, `cargo xtask fuzz` for long.
#![expect(clippy::panic, reason = "a target fails by panicking")]

mod driver;
mod policies;
mod sources;
mod statements;

pub use driver::{Report, run};

/// One of the readers.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Holds it to what must hold.
    pub check: fn(&str),
    /// What the driver starts from; more comes from the repository's SQL files.
    pub seeds: &'static [&'static str],
}

/// Holds a reader to what must hold for a text.
///
/// # Panics
/// When it does not hold, and when no reader is called so.
pub fn check(name: &str, text: &str) {
    let Some(target) = TARGETS.iter().find(|target| target.name == name) else {
        panic!("no reader is called {name}");
    };
    (target.check)(text);
}

/// All of them.
pub const TARGETS: [Target; 6] = [
    Target {
        name: "statement",
        check: statements::statement,
        seeds: statements::SEEDS,
    },
    Target {
        name: "sql_split",
        check: statements::split_is_stable,
        seeds: statements::SEEDS,
    },
    Target {
        name: "capability",
        check: sources::capability,
        seeds: sources::CAPABILITIES,
    },
    Target {
        name: "sql_file",
        check: sources::sql_file,
        seeds: sources::SQL_FILES,
    },
    Target {
        name: "manifest",
        check: sources::manifest,
        seeds: sources::MANIFESTS,
    },
    Target {
        name: "policy",
        check: policies::policy,
        seeds: policies::SEEDS,
    },
];
