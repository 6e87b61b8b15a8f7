//! `whimbrel upgrade` and `whimbrel downgrade`

use std::sync::Arc;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use clap::ValueEnum;
use serde::Serialize;
use whimbrel::backfill::Settings;
use whimbrel::config::Config;
use whimbrel::driver::tape::Tape;
use whimbrel::engine::{BackfillMode, Backfills, Patience, RunFailure};
use whimbrel::event::RunReport;
use whimbrel::journal::Journal;
use whimbrel::migration::Cancel;
use whimbrel::project::{Pinning, Project, RunOptions, Start};
use whimbrel::revision::{Direction, TransactionMode};
use whimbrel::target::Target;

use super::context::{Connected, Context, block_on};
use super::dry_run::{self, DryRun};
use super::failure::Failure;
use super::progress::{Progress, count, human};
use super::report::{self, Format, Report, Verdict};

/// Apply revisions
#[derive(Debug, clap::Args)]
pub(crate) struct UpgradeArgs {
    /// Where to: a revision, `head`, `heads`, `+N` or one of these of a branch (`label@head`); with --sql also `FROM:TO`
    #[arg(default_value = "head", allow_negative_numbers = true)]
    target: String,
    /// Build nothing, and refuse what whimbrel.lock does not pin
    #[arg(long)]
    locked: bool,
    /// Only begin backfills, for `whimbrel backfill work`, and leave out what depends on them
    #[arg(long, conflicts_with_all = ["sql", "dry_run"])]
    detach: bool,
    #[command(flatten)]
    waiting: Waiting,
}

/// Revert revisions
#[derive(Debug, clap::Args)]
pub(crate) struct DowngradeArgs {
    /// Where to: a revision that stays, `base`, `-N` or one of these of a branch (`label@-1`); with --sql `FROM:TO`
    #[arg(allow_negative_numbers = true)]
    target: String,
    #[command(flatten)]
    waiting: Waiting,
}

/// What both commands have in common.
#[derive(Debug, clap::Args)]
struct Waiting {
    /// Print the run as a script for psql or sqlite3 instead
    #[arg(long)]
    sql: bool,
    /// Run everything, report what it did and which locks it took, and roll it back
    #[arg(long, conflicts_with = "sql")]
    dry_run: bool,
    /// With --dry-run, try backfills on N rows from all over the table, and leave out what depends on them
    #[arg(long, value_name = "N", requires = "dry_run", value_parser = clap::value_parser!(u64).range(1..))]
    sample: Option<u64>,
    /// With --dry-run, keep here what components read; with --sql, answer them from it
    #[arg(long, value_name = "FILE")]
    record: Option<Utf8PathBuf>,
    /// One transaction for each migration, or one for the whole run [default: as in whimbrel.toml]
    #[arg(
        long,
        value_name = "migration|run",
        hide_possible_values = true,
        value_enum
    )]
    transaction: Option<Shared>,
    /// A word for the migrations, which they get as the parameter `tag`
    #[arg(long, value_name = "WORD")]
    tag: Option<String>,
    /// Back the database up to this file first, which must not exist yet; `whimbrel restore` goes back to it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["sql", "dry_run"])]
    backup: Option<Utf8PathBuf>,
    /// Write down here, in a new file, what components are told and answered, for `whimbrel replay`
    #[arg(long, value_name = "FILE", conflicts_with = "sql")]
    journal: Option<Utf8PathBuf>,
    /// How many workers backfills have
    #[arg(long, value_name = "N", conflicts_with_all = ["sql", "dry_run"])]
    workers: Option<u32>,
    /// How long to wait for another run to finish
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    lock_wait: Duration,
}

/// How steps share transactions.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shared {
    Migration,
    Run,
}

impl Waiting {
    fn transaction(&self, config: &Config) -> TransactionMode {
        match self.transaction {
            None => config.transaction,
            Some(Shared::Migration) => TransactionMode::Migration,
            Some(Shared::Run) => TransactionMode::Run,
        }
    }
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    text.parse::<jiff::SignedDuration>()
        .ok()
        .and_then(|duration| Duration::try_from(duration).ok())
        .ok_or_else(|| "write for example 30s, 500ms or 1m30s".to_owned())
}

pub(crate) fn upgrade(args: UpgradeArgs, context: &Context) -> Result<Verdict, Failure> {
    let config = context.config()?;
    let root = Arc::clone(&config.root);
    let pinning = if args.locked {
        Pinning::Locked(root)
    } else {
        Pinning::Develop(root)
    };
    run(
        context,
        &config,
        &args.target,
        Direction::Upgrade,
        pinning,
        &args.waiting,
        match args.detach {
            true => BackfillMode::Detached,
            false => BackfillMode::Attached,
        },
    )
}

pub(crate) fn downgrade(args: DowngradeArgs, context: &Context) -> Result<Verdict, Failure> {
    let config = context.config()?;
    let pinning = Pinning::Develop(Arc::clone(&config.root));
    run(
        context,
        &config,
        &args.target,
        Direction::Downgrade,
        pinning,
        &args.waiting,
        BackfillMode::Attached,
    )
}

fn run(
    context: &Context,
    config: &Config,
    target: &str,
    direction: Direction,
    pinning: Pinning,
    waiting: &Waiting,
    mode: BackfillMode,
) -> Result<Verdict, Failure> {
    let mut parameters = config.parameters.clone();
    if let Some(tag) = &waiting.tag {
        parameters.insert("tag".to_owned(), tag.clone());
    }
    if waiting.record.is_some() && !waiting.sql && !waiting.dry_run {
        return Err(Failure::Usage(
            "--record goes with --dry-run, which writes it, or with --sql, which reads it"
                .to_owned(),
        ));
    }
    let transaction = waiting.transaction(config);
    if waiting.sql {
        let options = RunOptions {
            parameters,
            transaction,
            pinning,
            ..RunOptions::default()
        };
        return script(
            context,
            config,
            target,
            direction,
            options,
            waiting.record.as_deref(),
        );
    }
    let target: Target = target.parse()?;
    let report = context.report;
    let progress = Arc::new(match waiting.dry_run {
        true => Progress::of_dry_run(report),
        false => Progress::new(report),
    });
    let cancel = Cancel::default();
    stop_on_signal(report, cancel.clone())?;
    let options = RunOptions {
        observer: Arc::clone(&progress) as _,
        cancel,
        patience: Patience {
            lock_wait: waiting.lock_wait,
            ..Patience::default()
        },
        parameters,
        transaction,
        pinning,
        backup: waiting.backup.as_ref().map(|file| context.path(file)),
        backfills: Backfills {
            changes: backfill_changes(config, waiting.workers)?,
            mode,
            sample: waiting.sample,
        },
        journal: match &waiting.journal {
            Some(file) => Some(Journal::create(&context.path(file))?),
            None => None,
        },
    };
    if waiting.dry_run {
        let run = DryRun {
            target: &target,
            direction,
            record: waiting.record.as_deref(),
        };
        return run.show(context, config, options, &progress);
    }
    let (outcome, location) = block_on(async {
        let (project, engine) = match Project::start(config, options, &target, direction).await? {
            Start::Settled { report, driver } => return Ok((Ok(report), driver.location())),
            Start::Open(project, engine) => (project, *engine),
        };
        let Connected { project, engine } = Connected::keep(project, engine);
        let outcome = engine.run(&target, direction).await;
        if let Ok(report) = &outcome {
            project.remember(report);
        }
        Ok((outcome, engine.driver.location()))
    })?;
    progress.clear();
    let backup = match &waiting.backup {
        None => Backup::NotAsked,
        Some(file) if progress.has_backup() => Backup::Made(context.way_back(file)),
        Some(_) => Backup::NotMade,
    };
    match outcome {
        Ok(done) => {
            finish(report, &done, &location, &backup);
            Ok(Verdict::Done)
        }
        Err(failure) => {
            if report.format() == Format::Json {
                report.json(&Ended::failed(&failure, backup.way_back()));
            }
            Err(match backup {
                Backup::Made(way_back) => Failure::BackedUp { failure, way_back },
                Backup::NotAsked | Backup::NotMade => failure.into(),
            })
        }
    }
}

/// The settings of backfills, as the project and the command line have them.
fn backfill_changes(config: &Config, workers: Option<u32>) -> Result<Vec<String>, Failure> {
    let mut changes = config.backfill().to_vec();
    changes.extend(workers.map(workers_change).transpose()?);
    Ok(changes)
}

/// The setting that `--workers` makes.
pub(super) fn workers_change(workers: u32) -> Result<String, Failure> {
    let change = format!("workers={workers}");
    let checked = Settings::default().set(&change);
    checked.map_err(|error| Failure::Usage(error.to_string()))?;
    Ok(change)
}

/// What became of the backup that a run is to begin with.
enum Backup {
    NotAsked,
    NotMade,
    /// The command that goes back to it.
    Made(String),
}

impl Backup {
    fn way_back(&self) -> Option<&str> {
        match self {
            Self::Made(way_back) => Some(way_back),
            Self::NotAsked | Self::NotMade => None,
        }
    }
}

/// Prints what a run would do, as a script.
fn script(
    context: &Context,
    config: &Config,
    target: &str,
    direction: Direction,
    options: RunOptions,
    record: Option<&Utf8Path>,
) -> Result<Verdict, Failure> {
    let (from, to) = match target.split_once(':') {
        Some((from, to)) => (Some(from.parse()?), to),
        None => (None, target),
    };
    if direction == Direction::Downgrade && from.is_none() {
        return Err(Failure::Usage(
            "with --sql a downgrade needs to know where it starts: FROM:TO".to_owned(),
        ));
    }
    let to: Target = to.parse()?;
    let options = RunOptions {
        observer: Arc::new(Progress::new(context.report)),
        ..options
    };
    let engine = context.offline(config, options)?;
    let tape = match record {
        Some(path) => Some(Tape::load(path, engine.driver.dialect())?),
        None => None,
    };
    let script = block_on(async {
        Ok(engine
            .script(from.as_ref(), &to, direction, tape.as_ref())
            .await?)
    })?;
    context.report.raw(&script);
    Ok(Verdict::Done)
}

/// The last event of a run.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(super) enum Ended<'a> {
    RunFinished {
        #[serde(flatten)]
        report: &'a RunReport,
        #[serde(skip_serializing_if = "Option::is_none")]
        way_back: Option<&'a str>,
    },
    RunFailed {
        error: String,
        state: String,
        done: usize,
        planned: usize,
        #[serde(skip_serializing_if = "Option::is_none")]
        way_back: Option<&'a str>,
    },
}

impl<'a> Ended<'a> {
    pub(super) fn finished(report: &'a RunReport, way_back: Option<&'a str>) -> Self {
        Self::RunFinished { report, way_back }
    }

    pub(super) fn failed(failure: &RunFailure, way_back: Option<&'a str>) -> Self {
        Self::RunFailed {
            error: failure.cause.to_string(),
            state: failure.state(),
            done: failure.done.len(),
            planned: failure.planned,
            way_back,
        }
    }
}

fn finish(report: Report, done: &RunReport, location: &str, backup: &Backup) {
    let way_back = backup.way_back();
    if report.format() == Format::Json {
        return report.json(&Ended::finished(done, way_back));
    }
    let at = dry_run::at(&done.heads);
    if done.steps.is_empty() && !done.detached.is_empty() {
        return tell_detached(report, done);
    }
    if done.steps.is_empty() {
        let no_backup = match backup {
            Backup::NotMade => "; no backup was made",
            Backup::NotAsked | Backup::Made(_) => "",
        };
        return report.message(format_args!(
            "Nothing to do: {location} is at {at}{no_backup}."
        ));
    }
    let statements = done.steps.iter().map(|step| step.work.statements).sum();
    let rows = done.steps.iter().map(|step| step.work.rows).sum();
    let verb = match done.direction {
        Direction::Upgrade => "Upgraded",
        Direction::Downgrade => "Downgraded",
    };
    report.message(format_args!(
        "{verb} {location} to {at}: {}, {}, {} in {}.",
        count(done.steps.len() as u64, "migration"),
        count(statements, "statement"),
        count(rows, "row"),
        human(done.duration)
    ));
    tell_detached(report, done);
    if let Some(way_back) = way_back {
        report.message(format_args!("{WAY_BACK} {way_back}"));
    }
}

/// Says which backfills wait for workers.
fn tell_detached(report: Report, done: &RunReport) {
    for revision in &done.detached {
        report.paragraph(&format!(
            "The backfill {revision} is ready; `whimbrel backfill work {revision}` does it, on as many machines as you like, \
             and what depends on it waits."
        ));
    }
}

/// What stands before the command that goes back to a backup.
pub(super) const WAY_BACK: &str = "To go back to the backup:";

/// Stops the run at the first Ctrl-C, and the process at the second.
pub(super) fn stop_on_signal(report: Report, cancel: Cancel) -> Result<(), Failure> {
    ctrlc::set_handler(move || {
        if cancel.is_requested() {
            report::abort();
        }
        cancel.request();
        report.message("Stopping and rolling back; press Ctrl-C again to leave at once.");
    })?;
    Ok(())
}
