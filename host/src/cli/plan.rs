//! `whimbrel plan`

use std::sync::Arc;

use clap::ValueEnum;
use owo_colors::OwoColorize;
use whimbrel::graph::Graph;
use whimbrel::plan::Plan;
use whimbrel::project::RunOptions;
use whimbrel::revision::Direction;
use whimbrel::target::{Anchor, Target};

use super::context::{Context, block_on};
use super::failure::Failure;
use super::report::{Format, Report, Verdict};

/// Show what an upgrade or a downgrade would do
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to: a revision, `head`, `heads`, `base`, `+N` or `-N`
    #[arg(default_value = "head", allow_negative_numbers = true)]
    target: String,
    /// Which way [default: down for `base` and `-N`, else up]
    #[arg(short, long, value_enum)]
    direction: Option<Way>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Way {
    Upgrade,
    Downgrade,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Verdict, Failure> {
    let config = context.config()?;
    let target: Target = args.target.parse()?;
    let direction = direction(&target, args.direction);
    let (project, plan) = block_on(async {
        let connected = context.connect(&config, RunOptions::default()).await?;
        let plan = connected.engine.plan(&target, direction).await?;
        Ok((Arc::clone(&connected.project), plan))
    })?;
    match context.report.format() {
        Format::Json => context.report.json(&plan),
        Format::Text => print(&context.report, project.graph(), &plan),
    }
    Ok(Verdict::Done)
}

fn direction(target: &Target, way: Option<Way>) -> Direction {
    match (way, target) {
        (Some(Way::Upgrade), _) => Direction::Upgrade,
        (Some(Way::Downgrade), _) => Direction::Downgrade,
        (None, target) => match (&target.anchor, target.offset) {
            (Anchor::Base, None) => Direction::Downgrade,
            (Anchor::Here, Some(steps)) if steps < 0 => Direction::Downgrade,
            _ => Direction::Upgrade,
        },
    }
}

fn print(report: &Report, graph: &Graph, plan: &Plan) {
    if plan.is_empty() {
        return report.line("Nothing to do.");
    }
    for step in &plan.steps {
        let message = graph
            .get(step.revision.as_str())
            .map_or("", |revision| revision.message.as_str());
        report.line(format_args!(
            "{} {}  {message}",
            step.direction,
            step.revision.yellow()
        ));
    }
}
