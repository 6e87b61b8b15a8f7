//! `whimbrel show`

use super::context::{Context, resolve_all};
use super::failure::Failure;
use super::report::Verdict;
use super::view::{self, Detail};

/// Show all about some revisions
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Revisions, `head`, `heads` or `current`
    #[arg(value_name = "REVISION", required = true)]
    revisions: Vec<String>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Verdict, Failure> {
    let (project, positions) = resolve_all(context, &args.revisions)?;
    view::print(
        &context.report,
        project.graph(),
        positions,
        None,
        Detail::Long,
    );
    Ok(Verdict::Done)
}
