//! `whimbrel backfill work`

use std::sync::Arc;
use std::time::Duration;

use whimbrel::backfill::{BackfillError, State, Status};
use whimbrel::engine::{Aftermath, BackfillMode, Backfills, Cause, Engine, Patience, RunFailure};
use whimbrel::event::RunReport;
use whimbrel::migration::Cancel;
use whimbrel::plan::Step;
use whimbrel::project::{Pinning, RunOptions};
use whimbrel::revision::{Direction, RevisionId};
use whimbrel::target::Target;

use super::{Which, find};
use crate::cli::context::{Context, block_on};
use crate::cli::failure::Failure;
use crate::cli::progress::Progress;
use crate::cli::report::{Format, Verdict};
use crate::cli::run::{Ended, stop_on_signal, workers_change};

/// How long it waits for the run lock before it looks whether there still is something to end.
const LOCK_WAIT: Duration = Duration::from_secs(1);

pub(super) fn work(
    which: &Which,
    workers: Option<u32>,
    context: &Context,
) -> Result<Verdict, Failure> {
    let config = context.config()?;
    let report = context.report;
    let changes: Vec<String> = (workers.map(workers_change).transpose()?.into_iter()).collect();
    let progress = Arc::new(Progress::new(report));
    let cancel = Cancel::default();
    stop_on_signal(report, cancel.clone())?;
    let options = RunOptions {
        observer: Arc::clone(&progress) as _,
        cancel,
        patience: Patience {
            lock_wait: LOCK_WAIT,
            ..Patience::default()
        },
        // What is stopped while this waits for the lock stays stopped.
        backfills: Backfills {
            mode: BackfillMode::UnderWay,
            ..Backfills::default()
        },
        pinning: Pinning::AsIs,
        ..RunOptions::default()
    };
    let outcome = block_on(async {
        let connected = context.connect(&config, options).await?;
        let engine = &connected.engine;
        let revision = find(engine, which).await?;
        let work = Work {
            engine,
            target: revision.as_str().parse()?,
            revision,
        };
        let outcome = work.to_its_end(&changes).await;
        Ok((work.revision, outcome))
    });
    progress.clear();
    let (revision, outcome) = outcome?;
    let is_json = report.format() == Format::Json;
    match outcome {
        Ok(done) if is_json => report.json(&Ended::finished(&done, None)),
        Ok(done) => report.message(match done.direction {
            Direction::Upgrade => format!("{revision} is done."),
            Direction::Downgrade => {
                format!("All rows of {revision} are done; `whimbrel downgrade` ends it.")
            }
        }),
        Err(failure) => {
            if is_json {
                report.json(&Ended::failed(&failure, None));
            }
            return Err(failure.into());
        }
    }
    Ok(Verdict::Done)
}

/// One backfill that is worked on.
struct Work<'a> {
    engine: &'a Engine,
    revision: RevisionId,
    target: Target,
}

impl Work<'_> {
    /// Works on it beside whoever else does, and ends it, unless another does.
    async fn to_its_end(&self, changes: &[String]) -> Result<RunReport, RunFailure> {
        let Self {
            engine, revision, ..
        } = self;
        let status = self.status().await?;
        let is_back = |status: &Status| status.direction == Direction::Downgrade.name();
        let direction = match status.as_ref().is_some_and(is_back) {
            true => Direction::Downgrade,
            false => Direction::Upgrade,
        };
        if status.is_some_and(|status| status.state == State::Done) {
            return self.nothing_left(Direction::Upgrade).await;
        }
        if !changes.is_empty() {
            engine.set_backfill(revision, changes).await?;
        }
        // Another may have ended it a moment ago.
        if let Err(failure) = engine.work_on(revision).await
            && !self.is_done().await
        {
            return Err(self.unfinished(failure, direction));
        }
        match direction {
            Direction::Upgrade => self.conclude().await,
            // Where it leads, only the run knows that has begun it.
            Direction::Downgrade => self.nothing_left(direction).await,
        }
    }

    /// Ends it. Of several that have come to the end of its ranges one gets the lock, and the others wait until it is done.
    /// Whoever has the lock may have other things to do after that, which are not waited for.
    async fn conclude(&self) -> Result<RunReport, RunFailure> {
        loop {
            let failure = match self.engine.run(&self.target, Direction::Upgrade).await {
                Ok(report) => return Ok(report),
                Err(failure) => failure,
            };
            if self.is_done().await {
                return self.nothing_left(Direction::Upgrade).await;
            }
            if !matches!(*failure.cause, Cause::Locked { .. }) {
                return Err(failure);
            }
            let status = self.status().await?;
            let failed = |source| {
                let step = Box::new(self.step(Direction::Upgrade));
                let source = Box::new(source);
                RunFailure::untouched(Cause::Backfill { step, source })
            };
            // Whoever was to end it has ended without that.
            let reason = match status.map(|status| (status.state, status.reason)) {
                Some((State::Stopped, _)) => failed(BackfillError::Stopped),
                Some((State::Failed, reason)) => failed(BackfillError::Failed(reason)),
                Some(_) => continue,
                None => {
                    return Err(RunFailure::untouched(Cause::NoBackfill(
                        self.revision.clone(),
                    )));
                }
            };
            return Err(self.unfinished(reason, Direction::Upgrade));
        }
    }

    async fn status(&self) -> Result<Option<Status>, RunFailure> {
        let mut found = self.engine.backfill_status(Some(&self.revision)).await?;
        Ok(found.pop())
    }

    /// Whether it is done, as far as the database says so.
    async fn is_done(&self) -> bool {
        let status = self.status().await.ok().flatten();
        status.is_some_and(|status| status.state == State::Done)
    }

    /// The report of a run that has found all done.
    async fn nothing_left(&self, direction: Direction) -> Result<RunReport, RunFailure> {
        let state = self.engine.state().await?;
        let heads = state
            .rows
            .iter()
            .filter_map(|row| RevisionId::new(row).ok());
        Ok(RunReport {
            direction,
            steps: Vec::new(),
            detached: Vec::new(),
            heads: heads.collect(),
            duration: Duration::ZERO,
        })
    }

    fn step(&self, direction: Direction) -> Step {
        Step {
            revision: self.revision.clone(),
            direction,
            removes: Vec::new(),
            adds: Vec::new(),
        }
    }

    /// A failure after which batches stay that were committed.
    fn unfinished(&self, failure: RunFailure, direction: Direction) -> RunFailure {
        match *failure.cause {
            Cause::Backfill { .. } | Cause::Migration { .. } | Cause::Cancelled => RunFailure {
                planned: 1,
                aftermath: match direction {
                    Direction::Upgrade => Aftermath::Unfinished(self.revision.clone()),
                    Direction::Downgrade => Aftermath::Untouched,
                },
                ..failure
            },
            _ => failure,
        }
    }
}
