//! `whimbrel backfill …`

mod look;
mod status;
mod view;
mod watch;
mod work;

use serde::Serialize;
use whimbrel::backfill::{Settings, State, Status};
use whimbrel::engine::Engine;
use whimbrel::project::RunOptions;
use whimbrel::revision::RevisionId;
use whimbrel::target::Target;

use super::context::{Context, block_on};
use super::failure::Failure;
use super::lines::{WIDTH, fit};
use super::progress::count;
use super::report::{Format, Verdict};
use view::Detail;

/// See and steer backfills, from any terminal
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Show how far backfills are, how fast, and who works on them
    Status {
        /// The revision [default: all]
        revision: Option<String>,
        /// Show those that are not done again every second, until all of them are over
        #[arg(long)]
        watch: bool,
        /// Show each range of keys as well
        #[arg(long)]
        ranges: bool,
    },
    /// Show the rows that were set aside, and why
    Rows {
        #[command(flatten)]
        which: Which,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: u64,
    },
    /// Have its workers wait
    Pause(Which),
    /// Have its workers go on
    Resume(Which),
    /// Have its workers end; the next upgrade goes on from there
    Stop {
        #[command(flatten)]
        which: Which,
        /// Give it up: forget how far it has come. Rows that have new values keep them
        #[arg(long)]
        abandon: bool,
    },
    /// Have the rows that were set aside worked on once more, with the next upgrade
    Retry(Which),
    /// Change how it runs, while it does
    #[command(after_help = SETTINGS)]
    Set {
        /// The revision, needed where several are going on; then settings, each by itself or with commas between them
        #[arg(required = true, value_name = "[REVISION] NAME=VALUE")]
        changes: Vec<String>,
    },
    /// Work on it, beside the upgrade or other workers, until it is done
    Work {
        #[command(flatten)]
        which: Which,
        /// How many workers it has from now on, in each process
        #[arg(long, value_name = "N")]
        workers: Option<u32>,
    },
}

const SETTINGS: &str = "\
Settings:
  workers=N         How many workers each process has; on SQLite always one
  batch=DURATION    How long a batch should take (250ms), from which follows how
                    many rows it has
  rate=N            At most so many rows a second, of all workers together
  max-lag=DURATION  Wait while a replica is further behind than this (2s)
  load=SQL          Wait while the first value of this query is true, or a
                    number other than 0; the last one where there are several,
                    since it may have commas
  window=FROM-TO    Work at this time of day only, by the clock of the database
                    (22:00-06:00)
  max-dead=N        Wait for autovacuum while the table has more dead rows
  bad-rows=WHAT     What becomes of rows that cannot be worked on: `fail` at the
                    first, `set-aside` and work on the others, or `leave` them
                    and be done without
  max-bad-rows=N    Fail where more rows than this would be set aside

`none` takes rate, max-lag, load, window or max-dead away again. Workers look
at the settings at least twice a second. The same names stand in whimbrel.toml,
under [backfill], and hold for those that begin later.";

/// The backfill.
#[derive(Debug, clap::Args)]
pub(crate) struct Which {
    /// The revision; needed where several are going on
    revision: Option<String>,
}

pub(crate) fn run(command: Command, context: &Context) -> Result<Verdict, Failure> {
    match command {
        Command::Status {
            revision,
            watch,
            ranges,
        } => {
            let detail = match ranges {
                true => Detail::Ranges,
                false => Detail::Short,
            };
            match watch {
                true => watch::watch(revision, detail, context),
                false => status::show(revision, detail, context),
            }
        }
        Command::Rows { which, limit } => rows(&which, limit, context),
        Command::Pause(which) => set_state(&which, State::Paused, context),
        Command::Resume(which) => set_state(&which, State::Running, context),
        Command::Stop {
            which,
            abandon: false,
        } => set_state(&which, State::Stopped, context),
        Command::Stop { which, .. } => give_up(&which, context),
        Command::Retry(which) => retry(&which, context),
        Command::Set { changes } => set(changes, context),
        Command::Work { which, workers } => work::work(&which, workers, context),
    }
}

/// The backfill that is meant: the one that is named, or the only one that is not done.
async fn find(engine: &Engine, which: &Which) -> Result<RevisionId, Failure> {
    let named = match &which.revision {
        Some(name) => {
            let target: Target = name.parse()?;
            let positions = target.resolve(&engine.graph, &[])?;
            positions
                .first()
                .map(|&at| engine.graph.revision(at).id.clone())
        }
        None => None,
    };
    if let Some(named) = named {
        return Ok(named);
    }
    let all = engine.backfill_status(None).await?;
    let open: Vec<&Status> = all
        .iter()
        .filter(|status| status.state != State::Done)
        .collect();
    let ids: Vec<&str> = open.iter().map(|status| status.revision.as_str()).collect();
    match ids.as_slice() {
        [only] => RevisionId::new(only).map_err(|error| {
            Failure::Usage(format!("the database has a backfill `{only}`: {error}"))
        }),
        [] => Err(Failure::Usage("no backfill is going on".to_owned())),
        several => Err(Failure::Usage(format!(
            "several backfills are going on: name one of {}",
            several.join(", ")
        ))),
    }
}

/// What a command has made of a backfill, as `--json` prints it.
#[derive(Serialize)]
struct Steered<'a> {
    revision: &'a RevisionId,
    state: &'a str,
}

fn rows(which: &Which, limit: u64, context: &Context) -> Result<Verdict, Failure> {
    let config = context.config()?;
    let (revision, rows, all) = block_on(async {
        let connected = context.connect(&config, RunOptions::default()).await?;
        let engine = &connected.engine;
        let revision = find(engine, which).await?;
        let rows = engine.bad_rows(&revision, limit).await?;
        let status = engine.backfill_status(Some(&revision)).await?;
        let all = status.first().map_or(0, |status| status.bad_rows);
        Ok((revision, rows, all))
    })?;
    let report = context.report;
    if report.format() == Format::Json {
        report.json(&rows);
        return Ok(Verdict::Done);
    }
    for row in &rows {
        let error = format!("{}  {}", row.key, row.error);
        let mut lines = fit(&error, "  ", WIDTH);
        if let Some(input) = &row.input {
            lines.extend(fit(&format!("    {input}"), "    ", WIDTH));
        }
        lines.iter().for_each(|line| report.line(line));
    }
    let shown = rows.len() as u64;
    if all == 0 {
        report.message("No rows are set aside.");
    } else if all > shown {
        let more = count(all - shown, "row");
        report.message(format_args!(
            "… {more} more: `whimbrel backfill rows {revision} --limit {all}`"
        ));
    }
    Ok(Verdict::Done)
}

fn set_state(which: &Which, state: State, context: &Context) -> Result<Verdict, Failure> {
    let config = context.config()?;
    let (revision, status) = block_on(async {
        let connected = context.connect(&config, RunOptions::default()).await?;
        let engine = &connected.engine;
        let revision = find(engine, which).await?;
        engine.set_backfill_state(&revision, state).await?;
        let status = engine.backfill_status(Some(&revision)).await?;
        Ok((revision, status.into_iter().next()))
    })?;
    let report = context.report;
    if report.format() == Format::Json {
        report.json(&Steered {
            revision: &revision,
            state: state.name(),
        });
        return Ok(Verdict::Done);
    }
    let direction = (status.as_ref()).map_or("upgrade", |status| status.direction.as_str());
    let is_worked_on = status.as_ref().is_some_and(Status::is_worked_on);
    report.paragraph(&match (state, is_worked_on) {
        (State::Paused, _) => {
            format!("{revision} is paused; `whimbrel backfill resume` goes on.")
        }
        (State::Running, true) => format!("{revision} goes on."),
        (State::Running, false) => {
            format!("{revision} may go on, but {}.", view::nobody(direction))
        }
        _ => format!("{revision} is stopped; `whimbrel {direction}` goes on from where it is."),
    });
    Ok(Verdict::Done)
}

fn give_up(which: &Which, context: &Context) -> Result<Verdict, Failure> {
    let config = context.config()?;
    let revision = block_on(async {
        let connected = context.connect(&config, RunOptions::default()).await?;
        let revision = find(&connected.engine, which).await?;
        connected.engine.abandon_backfill(&revision).await?;
        Ok(revision)
    })?;
    let report = context.report;
    match report.format() {
        Format::Json => report.json(&Steered {
            revision: &revision,
            state: "abandoned",
        }),
        Format::Text => report.paragraph(&format!(
            "{revision} is given up: it is not applied, and rows that have new values keep them."
        )),
    }
    Ok(Verdict::Done)
}

/// What was taken back, as `--json` prints it.
#[derive(Serialize)]
struct Retried<'a> {
    revision: &'a RevisionId,
    rows: u64,
}

fn retry(which: &Which, context: &Context) -> Result<Verdict, Failure> {
    let config = context.config()?;
    let (revision, rows) = block_on(async {
        let connected = context.connect(&config, RunOptions::default()).await?;
        let revision = find(&connected.engine, which).await?;
        let rows = connected.engine.retry_backfill(&revision).await?;
        Ok((revision, rows))
    })?;
    let report = context.report;
    match (report.format(), rows) {
        (Format::Json, _) => report.json(&Retried {
            revision: &revision,
            rows,
        }),
        (Format::Text, 0) => {
            report.message(format_args!("No rows of {revision} are set aside."));
        }
        (Format::Text, _) => report.paragraph(&format!(
            "{} of {revision} will be worked on once more by the next `whimbrel upgrade`, or by the one that is running.",
            count(rows, "row")
        )),
    }
    Ok(Verdict::Done)
}

/// The settings of `workers=4,rate=5000`. A load query, which may have commas of its own, is the last.
fn one_by_one(mut text: &str) -> Vec<&str> {
    let mut all = Vec::new();
    while !text.starts_with("load=")
        && let Some((one, rest)) = text.split_once(',')
    {
        all.push(one);
        text = rest;
    }
    all.push(text);
    all
}

fn set(mut changes: Vec<String>, context: &Context) -> Result<Verdict, Failure> {
    let revision = match changes.first() {
        Some(first) if !first.contains('=') => Some(changes.remove(0)),
        _ => None,
    };
    let changes: Vec<String> = (changes.iter())
        .flat_map(|change| one_by_one(change))
        .map(str::to_owned)
        .collect();
    let mut checked = Settings::default();
    for change in &changes {
        let set = checked.set(change);
        set.map_err(|error| Failure::Usage(error.to_string()))?;
    }
    let config = context.config()?;
    let (revision, settings) = block_on(async {
        let connected = context.connect(&config, RunOptions::default()).await?;
        let revision = find(&connected.engine, &Which { revision }).await?;
        let settings = connected.engine.set_backfill(&revision, &changes).await?;
        Ok((revision, settings))
    })?;
    let report = context.report;
    match report.format() {
        Format::Json => report.json(&settings),
        Format::Text => {
            let text = format!("{revision}: {}", view::settings(&settings));
            let lines = fit(&text, "  ", WIDTH);
            lines.iter().for_each(|line| report.message(line));
        }
    }
    Ok(Verdict::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_may_come_with_commas_between_them() {
        assert_eq!(one_by_one("rate=5"), ["rate=5"]);
        assert_eq!(
            one_by_one("workers=4,rate=5,load=SELECT a, b=1"),
            ["workers=4", "rate=5", "load=SELECT a, b=1"]
        );
    }
}
