//! `whimbrel stamp`

use whimbrel::engine::Stamping;
use whimbrel::project::RunOptions;
use whimbrel::revision::RevisionId;
use whimbrel::target::Target;

use super::context::{Context, block_on};
use super::failure::Failure;
use super::report::{Format, Verdict};

/// Say what is applied, without running anything
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Revisions, `head`, `heads` or `base`, also of a branch (`label@head`)
    #[arg(value_name = "REVISION", required = true)]
    revisions: Vec<String>,
    /// Take all rows of the version table away first, also such as no migration has
    #[arg(long)]
    purge: bool,
    /// Print the SQL instead of running it; the first revision may be `FROM:TO`
    #[arg(long)]
    sql: bool,
    /// Taken as in Alembic, and without effect: a stamp runs no migration that could read it
    #[arg(long, value_name = "WORD")]
    tag: Option<String>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Verdict, Failure> {
    if args.tag.is_some() {
        context
            .report
            .message("warning: --tag has no effect: a stamp runs no migration that could read it");
    }
    let config = context.config()?;
    let mut from: Option<Target> = None;
    let mut targets = Vec::new();
    for revision in &args.revisions {
        let revision = match revision.split_once(':') {
            Some((start, revision)) if args.sql => {
                let start = start.parse()?;
                if from.as_ref().is_some_and(|other| *other != start) {
                    return Err(Failure::Usage("a script starts at one revision".to_owned()));
                }
                from = Some(start);
                revision
            }
            _ => revision,
        };
        targets.push(revision.parse()?);
    }
    let stamping = match args.purge {
        true => Stamping::Purge,
        false => Stamping::Move,
    };
    if args.sql {
        let engine = context.offline(&config, RunOptions::default())?;
        let script = block_on(async {
            Ok(engine
                .stamp_script(from.as_ref(), &targets, stamping)
                .await?)
        })?;
        context.report.raw(&script);
        return Ok(Verdict::Done);
    }
    let rows = block_on(async {
        let connected = context.connect(&config, RunOptions::default()).await?;
        Ok(connected.engine.stamp(&targets, stamping).await?)
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
