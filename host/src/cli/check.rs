//! `whimbrel check`

use owo_colors::OwoColorize;
use whimbrel::project::RunOptions;
use whimbrel::revision::Direction;
use whimbrel::target::Target;

use super::context::{Context, block_on};
use super::failure::Failure;
use super::policy;
use super::progress::count;
use super::report::{Format, Verdict};

/// Exit with 3 if the database lacks a revision
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(context: &Context) -> Result<Verdict, Failure> {
    let config = context.config()?;
    let (project, plan) = block_on(async {
        let connected = context.connect(&config, RunOptions::default()).await?;
        let engine = &connected.engine;
        let plan = engine.plan(&Target::HEADS, Direction::Upgrade).await?;
        Ok((&connected.project, plan))
    })?;
    let report = context.report;
    for warning in policy::warnings(project, &config) {
        report.message(format_args!("{} {warning}", "warning:".yellow()));
    }
    if report.format() == Format::Json {
        report.json(&plan);
    } else if plan.is_empty() {
        report.line("The database has all revisions.");
    } else {
        let pending: Vec<&str> = plan
            .steps
            .iter()
            .map(|step| step.revision.as_str())
            .collect();
        report.line(format_args!(
            "The database lacks {}: {}",
            count(pending.len() as u64, "revision"),
            pending.join(", ")
        ));
    }
    Ok(match plan.is_empty() {
        true => Verdict::Done,
        false => Verdict::Found,
    })
}
