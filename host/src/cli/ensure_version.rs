//! `whimbrel ensure-version`

use whimbrel::driver::GuestRole;
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
    /// Make the role that isolated migrations log in as as well, and check that it may nothing by itself; its password is the
    /// file's `guest_password`
    #[arg(long, value_name = "NAME", conflicts_with = "sql")]
    guest_role: Option<String>,
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
    let notes = block_on(async {
        let connected = context.connect(&config, RunOptions::default()).await?;
        connected.engine.ensure_version().await?;
        let Some(name) = &args.guest_role else {
            return Ok(Vec::new());
        };
        let guest = GuestRole::new(name, config.guest_password()?);
        Ok(connected.engine.driver.ensure_guest(&guest).await?)
    })?;
    report.message(format_args!(
        "The version table {} and the ledger are there.",
        config.version_table
    ));
    if let Some(name) = &args.guest_role {
        report.message(format_args!(
            "The role {name} is ready: with isolation = \"role\" and guest_role = \"{name}\" in {}, it may what a \
             migration was granted, for as long as it runs.",
            config.path()
        ));
    }
    for note in notes {
        report.message(format_args!("Note: {note}."));
    }
    Ok(Verdict::Done)
}
