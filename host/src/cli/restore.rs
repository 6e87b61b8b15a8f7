//! `whimbrel restore`

use std::sync::Arc;
use std::time::Duration;

use camino::Utf8PathBuf;
use serde::Serialize;
use whimbrel::engine::Patience;
use whimbrel::event::RestoreReport;
use whimbrel::migration::Cancel;
use whimbrel::project::{RunOptions, open_driver};

use super::context::{Context, block_on};
use super::failure::Failure;
use super::progress::{Progress, human};
use super::report::{Answer, Format, Report, Verdict};
use super::run::{duration, stop_on_signal};

/// Put a backup in the place of everything that the database holds
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file that `upgrade --backup` or `downgrade --backup` wrote
    file: Utf8PathBuf,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// How long to wait for another run to finish
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    lock_wait: Duration,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Verdict, Failure> {
    let config = context.config()?;
    let report = context.report;
    let location = open_driver(&config)?.location();
    if !args.yes {
        confirm(report, args, &location)?;
    }
    let progress = Arc::new(Progress::new(report));
    let cancel = Cancel::default();
    stop_on_signal(report, cancel.clone())?;
    let options = RunOptions {
        observer: Arc::clone(&progress) as _,
        cancel,
        patience: Patience {
            lock_wait: args.lock_wait,
            ..Patience::default()
        },
        ..RunOptions::default()
    };
    let file = context.path(&args.file);
    let outcome = block_on(async {
        let connected = context.connect(&config, options).await?;
        Ok(connected.engine.restore(&file).await)
    });
    progress.clear();
    finish(report, &outcome??, &location);
    Ok(Verdict::Done)
}

fn confirm(report: Report, args: &Args, location: &str) -> Result<(), Failure> {
    let question = format!(
        "Everything in {location} is replaced by what the backup {} holds. Go on?",
        args.file
    );
    match report.confirm(&question) {
        Answer::Yes => Ok(()),
        Answer::No => Err(Failure::Usage(
            "not confirmed; nothing was changed".to_owned(),
        )),
        Answer::NobodyThere => Err(Failure::Usage(format!(
            "restoring {} replaces everything in {location}, and there is no terminal to ask on; say --yes",
            args.file
        ))),
    }
}

/// The last event of a restore.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Ended<'a> {
    Restored {
        #[serde(flatten)]
        report: &'a RestoreReport,
    },
}

fn finish(report: Report, done: &RestoreReport, location: &str) {
    if report.format() == Format::Json {
        return report.json(&Ended::Restored { report: done });
    }
    let at = match done.heads.as_slice() {
        [] => "base".to_owned(),
        heads => heads.join(", "),
    };
    let named = |what: &str, revisions: &[String]| match revisions {
        [] => String::new(),
        revisions => format!("; {what}: {}", revisions.join(", ")),
    };
    report.message(format_args!(
        "Restored {location} to {at} in {}{}{}.",
        human(done.duration),
        named("undone", &done.undone),
        named("applied again", &done.redone),
    ));
}
