//! `whimbrel heads`

use super::context::Context;
use super::failure::Failure;
use super::report::Verdict;
use super::view::{self, Detail};

/// Show the revisions that no other revises
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Leave out those that another revision depends on
    #[arg(long)]
    resolve_dependencies: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Verdict, Failure> {
    let (_, project) = context.project()?;
    let graph = project.graph();
    let heads = match args.resolve_dependencies {
        true => graph.effective_heads(),
        false => graph.heads(),
    };
    view::print(&context.report, graph, heads, None, Detail::Short);
    Ok(Verdict::Done)
}
