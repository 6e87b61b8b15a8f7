//! `whimbrel backfill …`

use std::sync::Arc;
use std::time::Duration;

use whimbrel::backfill::{Settings, State, Status};
use whimbrel::engine::{Engine, RunFailure};
use whimbrel::migration::Cancel;
use whimbrel::project::{Pinning, RunOptions};
use whimbrel::revision::{Direction, RevisionId};
use whimbrel::target::Target;

use super::backfill_view;
use super::context::{Context, block_on};
use super::failure::Failure;
use super::progress::{Progress, count};
use super::report::{Format, Showing, Verdict};
use super::run::{backfill_changes, stop_on_signal};

/// See and steer backfills, from any terminal
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Show how far backfills are, and who works on them
    Status {
        /// The revision; all, where none is named
        revision: Option<String>,
        /// Show it again and again until it is over
        #[arg(long)]
        watch: bool,
        /// Show each range
        #[arg(long)]
        ranges: bool,
    },
    /// Show the rows that were set aside
    Rows {
        #[command(flatten)]
        which: Which,
        /// At most so many
        #[arg(long, default_value_t = 20)]
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
    /// Change how it runs, each by itself or with commas between them: workers=4, rate=5000, batch=250ms, max-lag=2s, load=SQL, window=22:00-06:00, max-dead=N,
    /// bad-rows=fail|set-aside|leave, max-bad-rows=N; `none` takes a limit away
    Set {
        /// The revision, where several are going on; then NAME=VALUE
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
            watch: false,
            ranges,
        } => show(revision.as_deref(), ranges, context),
        Command::Status {
            revision, ranges, ..
        } => watch(revision.as_deref(), ranges, context),
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
        Command::Work { which, workers } => work(&which, workers, context),
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

fn status_of(name: Option<&str>, context: &Context) -> Result<Vec<Status>, Failure> {
    let config = context.config()?;
    block_on(async {
        let connected = context.connect(&config, RunOptions::default()).await?;
        let engine = &connected.engine;
        let revision = match name {
            Some(name) => {
                let revision = Some(name.to_owned());
                Some(find(engine, &Which { revision }).await?)
            }
            None => None,
        };
        Ok(engine.backfill_status(revision.as_ref()).await?)
    })
}

fn show(name: Option<&str>, ranges: bool, context: &Context) -> Result<Verdict, Failure> {
    let all = status_of(name, context)?;
    let report = context.report;
    if report.format() == Format::Json {
        report.json(&all);
        return Ok(Verdict::Done);
    }
    if all.is_empty() {
        report.message("There has been no backfill here.");
    }
    for status in &all {
        report.line(backfill_view::text(status, None, detail(ranges)));
    }
    Ok(Verdict::Done)
}

fn detail(ranges: bool) -> backfill_view::Detail {
    match ranges {
        true => backfill_view::Detail::Ranges,
        false => backfill_view::Detail::Short,
    }
}

fn watch(name: Option<&str>, ranges: bool, context: &Context) -> Result<Verdict, Failure> {
    const OFTEN: Duration = Duration::from_secs(1);
    let report = context.report;
    let mut rates = backfill_view::Rates::default();
    let mut lines = 0;
    loop {
        let all = status_of(name, context)?;
        let mut text = String::new();
        for status in &all {
            let rate = rates.learn(status);
            text.push_str(&backfill_view::text(status, rate, detail(ranges)));
            text.push('\n');
        }
        match report.format() {
            Format::Json => report.json(&all),
            Format::Text => {
                if report.showing() == Showing::Live && lines > 0 {
                    report.raw(&format!("\x1b[{lines}A\x1b[J"));
                }
                report.raw(&text);
                lines = text.lines().count();
            }
        }
        let is_over = |status: &Status| !matches!(status.state, State::Running | State::Paused);
        if all.iter().all(is_over) {
            return Ok(Verdict::Done);
        }
        std::thread::sleep(OFTEN);
    }
}

fn rows(which: &Which, limit: u64, context: &Context) -> Result<Verdict, Failure> {
    let config = context.config()?;
    let rows = block_on(async {
        let connected = context.connect(&config, RunOptions::default()).await?;
        let revision = find(&connected.engine, which).await?;
        Ok(connected.engine.bad_rows(&revision, limit).await?)
    })?;
    let report = context.report;
    if report.format() == Format::Json {
        report.json(&rows);
        return Ok(Verdict::Done);
    }
    if rows.is_empty() {
        report.message("No rows are set aside.");
    }
    for row in rows {
        report.line(format_args!("{}  {}", row.key, row.error));
        if let Some(input) = row.input {
            report.line(format_args!("    {input}"));
        }
    }
    Ok(Verdict::Done)
}

fn set_state(which: &Which, state: State, context: &Context) -> Result<Verdict, Failure> {
    let config = context.config()?;
    let revision = block_on(async {
        let connected = context.connect(&config, RunOptions::default()).await?;
        let revision = find(&connected.engine, which).await?;
        connected
            .engine
            .set_backfill_state(&revision, state)
            .await?;
        Ok(revision)
    })?;
    context.report.message(match state {
        State::Paused => format!("{revision} is paused; `whimbrel backfill resume` goes on."),
        State::Running => format!("{revision} goes on."),
        _ => format!("{revision} is stopped; `whimbrel upgrade` goes on from where it is."),
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
    context.report.message(format_args!(
        "{revision} is given up: it is not applied, and rows that have new values keep them."
    ));
    Ok(Verdict::Done)
}

fn retry(which: &Which, context: &Context) -> Result<Verdict, Failure> {
    let config = context.config()?;
    let (revision, rows) = block_on(async {
        let connected = context.connect(&config, RunOptions::default()).await?;
        let revision = find(&connected.engine, which).await?;
        let rows = connected.engine.retry_backfill(&revision).await?;
        Ok((revision, rows))
    })?;
    context.report.message(format_args!(
        "{} of {revision} will be worked on once more by the next `whimbrel upgrade`, or by the one that is running.",
        count(rows, "row")
    ));
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
        Format::Text => report.message(format_args!(
            "{revision}: {}",
            backfill_view::settings(&settings)
        )),
    }
    Ok(Verdict::Done)
}

fn work(which: &Which, workers: Option<u32>, context: &Context) -> Result<Verdict, Failure> {
    let config = context.config()?;
    let report = context.report;
    let progress = Arc::new(Progress::new(report));
    let cancel = Cancel::default();
    stop_on_signal(report, cancel.clone())?;
    let changes = backfill_changes(&config, workers)?;
    let options = RunOptions {
        observer: Arc::clone(&progress) as _,
        cancel,
        pinning: Pinning::AsIs,
        ..RunOptions::default()
    };
    let outcome: Result<(RevisionId, Result<(), RunFailure>), Failure> = block_on(async {
        let connected = context.connect(&config, options).await?;
        let engine = &connected.engine;
        let revision = find(engine, which).await?;
        if workers.is_some() {
            let change = changes.last().cloned().into_iter().collect::<Vec<_>>();
            engine.set_backfill(&revision, &change).await?;
        }
        let worked = engine.work_on(&revision).await;
        if worked.is_err() {
            return Ok((revision, worked));
        }
        // Whoever comes last ends it; an upgrade that waits for it is that one.
        let found = engine.backfill_status(Some(&revision)).await?;
        let is_upgrade = found
            .first()
            .is_none_or(|status| status.direction == Direction::Upgrade.name());
        let ended = match is_upgrade {
            true => {
                let target: Target = revision.as_str().parse()?;
                engine.run(&target, Direction::Upgrade).await.map(|_| ())
            }
            false => Ok(()),
        };
        Ok((revision, ended))
    });
    progress.clear();
    let (revision, ended) = outcome?;
    ended?;
    report.message(format_args!("{revision} is done."));
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
