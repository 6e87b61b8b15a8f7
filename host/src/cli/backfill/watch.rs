//! `whimbrel backfill status --watch`

use std::collections::BTreeSet;
use std::error::Error;
use std::time::Duration;

use whimbrel::backfill::{State, Status};
use whimbrel::driver::DriverError;
use whimbrel::engine::{Cause, Engine, RunFailure};
use whimbrel::project::RunOptions;
use whimbrel::revision::RevisionId;

use super::look::{Look, Rates};
use super::status::named;
use super::view::{self, Detail};
use crate::cli::context::{Context, block_on};
use crate::cli::failure::Failure;
use crate::cli::frames::Frames;
use crate::cli::report::{Format, Report, Verdict};

/// How long it looks away.
const OFTEN: Duration = Duration::from_secs(1);

/// Whoever watches.
struct Watch {
    report: Report,
    frames: Frames,
    rates: Rates,
    detail: Detail,
    revision: Option<RevisionId>,
    /// Those that are shown, also once they are over.
    watched: BTreeSet<String>,
}

pub(super) fn watch(
    name: Option<String>,
    detail: Detail,
    context: &Context,
) -> Result<Verdict, Failure> {
    let config = context.config()?;
    let report = context.report;
    block_on(async {
        let connected = context.connect(&config, RunOptions::default()).await?;
        let watch = Watch {
            report,
            frames: Frames::new(report),
            rates: Rates::default(),
            detail,
            revision: named(&connected.engine, name).await?,
            watched: BTreeSet::new(),
        };
        watch.run(&connected.engine).await
    })
}

impl Watch {
    async fn run(mut self, engine: &Engine) -> Result<Verdict, Failure> {
        // A database that is not there in the first place may be the wrong one.
        let mut all = engine.backfill_status(self.revision.as_ref()).await?;
        loop {
            let is_over = self.show(all);
            if is_over {
                return Ok(Verdict::Done);
            }
            all = self.next(engine).await?;
        }
    }

    /// Looks again after a while, and for as long as it takes where the database is away.
    async fn next(&mut self, engine: &Engine) -> Result<Vec<Status>, Failure> {
        loop {
            tokio::time::sleep(OFTEN).await;
            match engine.backfill_status(self.revision.as_ref()).await {
                Ok(all) => return Ok(all),
                Err(failure) => match absence(&failure) {
                    Some(reason) => {
                        self.rates.forget();
                        self.frames.remark(&reason);
                    }
                    None => return Err(failure.into()),
                },
            }
        }
    }

    /// Shows how they stand; returns whether all of them are over.
    fn show(&mut self, all: Vec<Status>) -> bool {
        let open = all.iter().filter(|status| status.state != State::Done);
        let mut watched: BTreeSet<String> = open.map(|status| status.revision.clone()).collect();
        watched.extend(self.revision.iter().map(ToString::to_string));
        let was_there = std::mem::take(&mut self.watched);
        watched.extend(was_there.iter().cloned());
        let is_there = |revision: &String| all.iter().any(|status| status.revision == *revision);
        let (there, gone): (BTreeSet<String>, BTreeSet<String>) =
            watched.into_iter().partition(is_there);
        self.watched = there;
        let looks: Vec<Look> = all
            .into_iter()
            .filter(|status| self.watched.contains(&status.revision))
            .map(|status| self.rates.look(status))
            .collect();
        match self.report.format() {
            Format::Json => self.report.json(&looks),
            Format::Text if looks.is_empty() => self.report.message(match gone.first() {
                Some(revision) if was_there.contains(revision) => {
                    format!("{revision} was given up.")
                }
                Some(revision) => format!("{revision} has not begun as a backfill."),
                None => "No backfill is going on.".to_owned(),
            }),
            Format::Text => {
                let width = self.frames.width();
                let lines = looks
                    .iter()
                    .flat_map(|look| view::lines(look, self.detail, width));
                self.frames.show(lines.collect());
            }
        }
        let is_open = |look: &Look| matches!(look.status.state, State::Running | State::Paused);
        !looks.iter().any(is_open)
    }
}

/// Why the database does not answer, where that may pass.
fn absence(failure: &RunFailure) -> Option<String> {
    let Cause::Database(error) = failure.cause.as_ref() else {
        return None;
    };
    let what = match error {
        error if error.is_lost() => "cannot be reached",
        error if error.is_transient() => "is busy",
        _ => return None,
    };
    let mut reason: &dyn Error = match error {
        DriverError::Connect { source, .. } => &**source,
        error => error,
    };
    while let Some(source) = reason.source() {
        reason = source;
    }
    Some(format!("the database {what}: {reason}; looking again"))
}
