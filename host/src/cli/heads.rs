//! `whimbrel heads`

use super::context::Context;
use super::failure::Failure;
use super::report::Verdict;
use super::view::{self, Detail};

/// Show the revisions that no other revises
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(context: &Context) -> Result<Verdict, Failure> {
    let (_, project) = context.project()?;
    let graph = project.graph();
    view::print(&context.report, graph, graph.heads(), None, Detail::Short);
    Ok(Verdict::Done)
}
