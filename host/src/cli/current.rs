//! `whimbrel current`

use std::sync::Arc;

use whimbrel::graph::Position;
use whimbrel::plan::PlanError;
use whimbrel::project::RunOptions;

use super::context::{Context, block_on};
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
    let config = context.config()?;
    let (project, rows) = block_on(async {
        let connected = context.connect(&config, RunOptions::default()).await?;
        let state = connected.engine.state().await?;
        Ok((Arc::clone(&connected.project), state.rows))
    })?;
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
