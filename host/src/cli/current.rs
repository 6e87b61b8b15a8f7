//! `whimbrel current`

use whimbrel::graph::Position;
use whimbrel::plan::{Applied, PlanError};
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
    let (engine, rows) = block_on(async {
        let connected = context.connect(&config, RunOptions::default()).await?;
        let rows = connected.engine.state().await?.rows;
        Ok((&connected.engine, rows))
    })?;
    let graph = &engine.graph;
    let (known, unknown): (Vec<String>, Vec<String>) = rows
        .into_iter()
        .partition(|row| graph.position(row).is_some());
    let applied = Applied::from_rows(graph, &known)?;
    // As in Alembic, also the end of a branch that only a dependency of another one implies.
    let is_end = |&at: &Position| {
        let mut children = graph.children(at).iter();
        !children.any(|&child| applied.selection().contains(child))
    };
    let ends: Vec<Position> = applied.selection().iter().filter(is_end).collect();
    let names: Vec<String> = ends
        .iter()
        .map(|&at| graph.revision(at).id.to_string())
        .collect();
    if context.report.is_verbose() {
        let place = engine.driver.location();
        context
            .report
            .message(format_args!("Current revisions of {place}:"));
    }
    view::print(
        &context.report,
        graph,
        ends.iter().copied(),
        Some(&names),
        Detail::Short,
    );
    if !unknown.is_empty() {
        return Err(PlanError::UnknownApplied { unknown }.into());
    }
    let lacking: Vec<&str> = graph
        .heads()
        .iter()
        .filter(|head| !applied.selection().contains(**head))
        .map(|&head| graph.revision(head).id.as_str())
        .collect();
    if args.check_heads && !lacking.is_empty() {
        context.report.message(format_args!(
            "The database is not at all heads: it lacks {}.",
            lacking.join(", ")
        ));
        return Ok(Verdict::Found);
    }
    Ok(Verdict::Done)
}
