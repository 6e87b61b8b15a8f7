//! `whimbrel history`

use std::sync::Arc;

use whimbrel::project::RunOptions;

use super::context::{Context, block_on};
use super::failure::Failure;
use super::report::Verdict;
use super::view::{self, Detail};

/// List all revisions, the newest first
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Mark the revisions that the database is at
    #[arg(short, long)]
    indicate_current: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Verdict, Failure> {
    let (project, rows) = if args.indicate_current {
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
    let newest_first = graph.positions().rev();
    view::print(
        &context.report,
        graph,
        newest_first,
        rows.as_deref(),
        Detail::Step,
    );
    Ok(Verdict::Done)
}
