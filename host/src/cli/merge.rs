//! `whimbrel merge`

use super::context::Context;
use super::failure::Failure;
use super::report::Verdict;
use super::revision::{New, Output, resolve_each, write};

/// Write a migration that joins branches
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What it joins: revisions, or `heads`
    #[arg(value_name = "REVISION", required = true)]
    revisions: Vec<String>,
    /// What it does, in one line
    #[arg(short, long, default_value = "merge")]
    message: String,
    #[command(flatten)]
    new: New,
}

pub(crate) fn run(args: Args, context: &Context) -> Result<Verdict, Failure> {
    write(context, args.message, args.new, Output::Files, |graph| {
        let joined = resolve_each(graph, &args.revisions)?;
        match joined.as_slice() {
            [] | [_] => Err(Failure::Usage(
                "there is nothing to merge: name two revisions or more".to_owned(),
            )),
            _ => Ok(joined),
        }
    })
}
