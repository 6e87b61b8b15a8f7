//! `whimbrel completions`

use clap::CommandFactory;
use clap_complete::Shell;

use super::context::Context;
use super::failure::Failure;
use super::report::Verdict;

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Verdict, Failure> {
    let mut command = super::Cli::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    context
        .report
        .line(String::from_utf8_lossy(&script).trim_end());
    Ok(Verdict::Done)
}
