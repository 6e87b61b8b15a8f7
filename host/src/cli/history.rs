//! `whimbrel history`

use std::sync::Arc;

use whimbrel::graph::Position;
use whimbrel::project::RunOptions;
use whimbrel::target::Range;

use super::context::{Context, block_on};
use super::failure::Failure;
use super::report::Verdict;
use super::view::{self, Detail};

/// List the revisions, the newest first
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these: `FROM:TO`, `FROM:` or `:TO`, both included; `-3:current` are the last ones that are applied
    #[arg(short = 'r', long, value_name = "FROM:TO", allow_hyphen_values = true)]
    rev_range: Option<String>,
    /// Mark the revisions that the database is at
    #[arg(short, long)]
    indicate_current: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Verdict, Failure> {
    let range: Option<Range> = match &args.rev_range {
        Some(text) => Some(text.parse()?),
        None => None,
    };
    let asks = args.indicate_current || range.as_ref().is_some_and(Range::names_current);
    let (project, rows) = if asks {
        let config = context.config()?;
        block_on(async {
            let connected = context.connect(&config, RunOptions::default()).await?;
            let state = connected.engine.state().await?;
            Ok((Arc::clone(&connected.project), Some(state.rows)))
        })?
    } else {
        (Arc::new(context.project()?.1), None)
    };
    let graph = project.graph();
    let oldest_first: Vec<Position> = match range {
        Some(range) => {
            let rows = rows.iter().flatten();
            let current: Vec<Position> = rows.filter_map(|row| graph.position(row)).collect();
            range.resolve(graph, &current)?
        }
        None => graph.positions().collect(),
    };
    let shown = rows.filter(|_| args.indicate_current);
    view::print(
        &context.report,
        graph,
        oldest_first.into_iter().rev(),
        shown.as_deref(),
        Detail::Step,
    );
    Ok(Verdict::Done)
}
