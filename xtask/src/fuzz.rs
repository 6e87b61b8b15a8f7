//! `cargo xtask fuzz`: the readers, on mutated seeds.

use anyhow::Result;

use crate::process::{cargo, run};

/// What to run, and for how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// One of statement, sql_split, capability, sql_file, manifest and policy, or all of them in turn.
    #[arg(default_value = "all")]
    target: String,
    /// How long each of them runs.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Where the random numbers start: the same inputs come again from the same one.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Builds the targets and runs them.
pub(crate) fn run_fuzz(options: &Options) -> Result<()> {
    let mut fuzz = cargo();
    fuzz.args(["run", "--quiet", "--package", "whimbrel-fuzz", "--"]);
    fuzz.args([
        options.target.clone(),
        options.seconds.to_string(),
        options.seed.to_string(),
    ]);
    run(&mut fuzz)
}
