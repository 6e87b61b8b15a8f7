//! `whimbrel ensure-version`

use whimbrel::history::History;
use whimbrel::project::{RunOptions, open_driver};

use super::context::{Context, block_on};
use super::failure::Failure;
use super::report::{Format, Verdict};

/// Make the version table and the ledger where they are missing
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print the SQL instead of running it
    #[arg(long)]
    sql: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Verdict, Failure> {
    let config = context.config()?;
    let report = context.report;
    if args.sql {
        let driver = open_driver(&config)?;
        let history = History::new(&config.version_table, driver.dialect());
        match report.format() {
            Format::Json => report.json(&history.definitions()),
            Format::Text => {
                for definition in history.definitions() {
                    report.line(format_args!("{definition};"));
                }
            }
        }
        return Ok(Verdict::Done);
    }
    block_on(async {
        let connected = context.connect(&config, RunOptions::default()).await?;
        Ok(connected.engine.ensure_version().await?)
    })?;
    report.message(format_args!(
        "The version table {} and the ledger are there.",
        config.version_table
    ));
    Ok(Verdict::Done)
}
