//! `whimbrel show`

use super::context::{Context, resolve};
use super::failure::Failure;
use super::report::Verdict;
use super::view::{self, Detail};

/// Show all about some revisions
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Revisions, `head`, `heads`
    #[arg(value_name = "REVISION", required = true)]
    revisions: Vec<String>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Verdict, Failure> {
    let (_, project) = context.project()?;
    let graph = project.graph();
    let mut positions = Vec::new();
    for revision in &args.revisions {
        positions.extend(resolve(graph, revision)?);
    }
    view::print(&context.report, graph, positions, None, Detail::Long);
    Ok(Verdict::Done)
}
