//! `whimbrel stamp`

use whimbrel::project::RunOptions;
use whimbrel::revision::RevisionId;
use whimbrel::target::Target;

use super::context::{Context, block_on};
use super::failure::Failure;
use super::report::{Format, Verdict};

/// Say what is applied, without running anything
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Revisions, `head`, `heads` or `base`
    #[arg(value_name = "REVISION", required = true)]
    revisions: Vec<String>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Verdict, Failure> {
    let config = context.config()?;
    let targets = args
        .revisions
        .iter()
        .map(|revision| revision.parse())
        .collect::<Result<Vec<Target>, _>>()?;
    let rows = block_on(async {
        let connected = context.connect(&config, RunOptions::default()).await?;
        Ok(connected.engine.stamp(&targets).await?)
    })?;
    let report = context.report;
    match report.format() {
        Format::Json => report.json(&rows),
        Format::Text => rows.iter().for_each(|row| report.line(row)),
    }
    if rows.is_empty() {
        report.message("Nothing counts as applied now.");
    } else {
        let rows: Vec<&str> = rows.iter().map(RevisionId::as_str).collect();
        report.message(format_args!(
            "The database counts as at {} now.",
            rows.join(", ")
        ));
    }
    Ok(Verdict::Done)
}
