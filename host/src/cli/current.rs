//! `whimbrel current`

use whimbrel::graph::Position;
use whimbrel::plan::PlanError;

use super::context::Context;
use super::failure::Failure;
use super::report::Verdict;
use super::view::{self, Detail};

/// Show the revisions that the database is at
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Exit with 3 unless the database is at all heads
    #[arg(long)]
    check_heads: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Verdict, Failure> {
    let (project, rows) = context.project_and_rows()?;
    let graph = project.graph();
    let positions: Vec<Position> = rows.iter().filter_map(|row| graph.position(row)).collect();
    view::print(
        &context.report,
        graph,
        positions.iter().copied(),
        Some(&rows),
        Detail::Short,
    );

    let unknown: Vec<String> = rows
        .iter()
        .filter(|row| graph.position(row).is_none())
        .cloned()
        .collect();
    if !unknown.is_empty() {
        return Err(PlanError::UnknownApplied { unknown }.into());
    }
    let is_at_heads = graph
        .effective_heads()
        .iter()
        .all(|head| positions.contains(head));
    if args.check_heads && !is_at_heads {
        context.report.message("The database is not at all heads.");
        return Ok(Verdict::Found);
    }
    Ok(Verdict::Done)
}
