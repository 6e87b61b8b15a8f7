//! `cargo xtask`: the project's own tasks. Each sets up what a fresh machine lacks.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a task talks to whoever started it"
)]

mod bench;
mod demo;
mod fuzz;
mod guests;
mod install;
mod process;
mod seed;
mod table;
mod test;

use clap::Parser;

/// Whimbrel's own tasks.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Task {
    /// Runs the reference project on a fresh SQLite database: up, down and up again.
    Demo(demo::Options),
    /// Runs all tests, on SQLite and on PostgreSQL 13, 15 and 18, after setting up what they need.
    Test(test::Options),
    /// Compares Whimbrel's speed with that of other tools, and prints a table of ratios.
    Bench(bench::Options),
    /// Holds Whimbrel's readers to what must hold for any input, on mutated seeds.
    Fuzz(fuzz::Options),
    /// Installs what the tests need and this machine lacks.
    Setup,
    /// Builds the guest programs of the tests that are stale.
    Guests,
}

fn main() -> anyhow::Result<()> {
    match Task::parse() {
        Task::Demo(options) => demo::run_demo(&options),
        Task::Test(options) => test::run_tests(&options),
        Task::Bench(options) => bench::run_benches(&options),
        Task::Fuzz(options) => fuzz::run_fuzz(&options),
        Task::Setup => test::set_up(),
        Task::Guests => guests::build(),
    }
}
