//! One step: begin, the migration, the version rows and the ledger row, commit.

use std::time::{Duration, Instant};

use super::audit::lend_audited;
use super::call::Ready;
use super::lock::jittered;
use super::{Aftermath, Cause, Engine, Lent, Patience, Progress, Run};
use crate::driver::{Authority, CommitError, DriverError, Durability, RunLock, Session, Statement};
use crate::event::{Event, StepReport};
use crate::history::{Attempt, Outcome, Tally};
use crate::migration::{Level, MigrationError, Work};
use crate::plan::Step;
use crate::revision::{Direction, RevisionId, Transactional};

pub(super) type Failed = (Cause, Aftermath);

/// How often something was tried, and how long to wait before it is tried again.
pub(super) struct Tries {
    pub(super) made: u32,
    most: u32,
    pause: Duration,
}

impl Tries {
    /// The first try.
    pub(super) fn new(patience: &Patience) -> Self {
        Self {
            made: 1,
            most: patience.attempts,
            pause: patience.first_delay,
        }
    }

    /// The first try of what is tried until it works, or the user asks to stop.
    pub(super) fn without_end(patience: &Patience) -> Self {
        Self {
            most: u32::MAX,
            ..Self::new(patience)
        }
    }
}

impl Engine {
    /// Takes one step, again and again while it fails for a reason that may pass. `recorded` is the digest that the
    /// ledger has of its revision, if it is applied.
    pub(super) async fn step(
        &self,
        run: &Run,
        step: &Step,
        recorded: Option<&str>,
        progress: &mut Progress,
        mut session: Lent,
        lock: &dyn RunLock,
    ) -> (Lent, Result<StepReport, Failed>) {
        let ready = match self.ready(run, step, progress, lock) {
            Ok(ready) => ready,
            Err(cause) => return (session, Err((cause, Aftermath::Untouched))),
        };
        let after = tally_after(progress.tally, step, recorded, &ready.fingerprint.content);
        // All are durable with the last one, and a run is not done before that.
        let durability = match progress.done.len() + 1 < progress.planned {
            true => Durability::Deferred,
            false => Durability::Now,
        };
        let mut tries = Tries::new(&self.patience);
        loop {
            let mut attempt = run.attempt(&step.revision, action(step), ready.fingerprint.clone());
            attempt.tally = Some(after);
            let started = Instant::now();
            let result;
            (session, result) = match ready.transactional {
                Transactional::Yes | Transactional::Alone | Transactional::Batches => {
                    self.attempt(step, &ready, &mut attempt, durability, session, lock)
                        .await
                }
                Transactional::No => {
                    self.attempt_bare(step, &ready, &mut attempt, session, lock)
                        .await
                }
            };
            let failed = match result {
                Ok(()) => {
                    let report = StepReport {
                        revision: step.revision.clone(),
                        direction: step.direction,
                        work: attempt.work,
                        duration: started.elapsed(),
                        attempts: tries.made,
                    };
                    self.observer
                        .event(&Event::StepFinished { report: &report });
                    progress.tally = after;
                    return (session, Ok(report));
                }
                Err(failed) => failed,
            };
            match self.may_pass(&mut tries, &step.revision, &failed).await {
                Ok(true) => {}
                Ok(false) => {
                    attempt.tally = Some(progress.tally);
                    let failed = self
                        .give_up(&mut *session, attempt, tries.made, failed)
                        .await;
                    return (session, Err(failed));
                }
                Err(cause) => return (session, Err((cause, failed.1))),
            }
        }
    }

    /// Waits, where a failure may pass and there are attempts left; tells whether to try again.
    ///
    /// # Errors
    /// When the user asks to stop meanwhile.
    pub(super) async fn may_pass(
        &self,
        tries: &mut Tries,
        revision: &RevisionId,
        (cause, aftermath): &Failed,
    ) -> Result<bool, Cause> {
        let rolled_back = matches!(aftermath, Aftermath::RolledBack(_));
        if !(rolled_back && cause.is_transient() && tries.made < tries.most) {
            return Ok(false);
        }
        let delay = jittered(tries.pause);
        self.observer.event(&Event::Retrying {
            revision,
            attempt: tries.made,
            delay,
            reason: &innermost(cause),
        });
        self.sleep(delay).await?;
        tries.made += 1;
        tries.pause = (tries.pause * 2).min(self.patience.longest_delay);
        Ok(true)
    }

    /// One attempt in one transaction: it is in effect as a whole, with its records, or not at all.
    async fn attempt(
        &self,
        step: &Step,
        ready: &Ready,
        attempt: &mut Attempt,
        durability: Durability,
        mut session: Lent,
        lock: &dyn RunLock,
    ) -> (Lent, Result<(), Failed>) {
        let started = Instant::now();
        if let Err(source) = self.history.begin(&mut *session).await {
            let cause = transaction(step, "begun", source);
            let failed = self.undo(&mut *session, step, cause).await;
            return (session, Err(failed));
        }
        let result;
        (session, result) = lend_audited(ready, session).await;
        match result {
            Ok(work) => attempt.work = work,
            Err(source) => {
                let cause = failed(step, source);
                let failed = self.undo(&mut *session, step, cause).await;
                return (session, Err(failed));
            }
        }
        attempt.duration = started.elapsed();
        let mut records = self.history.move_versions(step);
        records.push(self.history.record(attempt));
        records.extend(lock.fence());
        let committed = session.commit(&records, durability).await;
        let result = self.settle(&mut *session, step, committed).await;
        (session, result)
    }

    /// One attempt without a transaction. The ledger says that it began before anything else happens, so that an
    /// interruption cannot go unnoticed.
    async fn attempt_bare(
        &self,
        step: &Step,
        ready: &Ready,
        attempt: &mut Attempt,
        mut session: Lent,
        lock: &dyn RunLock,
    ) -> (Lent, Result<(), Failed>) {
        let started = Instant::now();
        attempt.outcome = Outcome::Started;
        let tally = attempt.tally.take();
        let mut records = vec![self.history.record(attempt)];
        records.extend(lock.fence());
        if let Err(failed) = self.write_alone(&mut *session, step, &records).await {
            attempt.outcome = Outcome::Done;
            return (session, Err(failed));
        }
        let result;
        (session, result) = lend(ready, session).await;
        attempt.duration = started.elapsed();
        let partial = |cause| (cause, Aftermath::Partial(step.revision.clone()));
        match result {
            Ok(work) => attempt.work = work,
            Err(source) => return (session, Err(partial(failed(step, source)))),
        }
        attempt.outcome = Outcome::Done;
        attempt.tally = tally;
        let mut records = self.history.move_versions(step);
        records.push(self.history.conclude(attempt));
        records.extend(lock.fence());
        let written = self.write_alone(&mut *session, step, &records).await;
        if written.is_err() {
            attempt.outcome = Outcome::Started;
        }
        let written = written.map_err(|(cause, aftermath)| match aftermath {
            Aftermath::RolledBack(_) => partial(cause),
            settled => (cause, settled),
        });
        (session, written)
    }

    /// Writes records in a transaction of their own.
    async fn write_alone(
        &self,
        session: &mut dyn Session,
        step: &Step,
        records: &[Statement],
    ) -> Result<(), Failed> {
        if let Err(source) = self.history.begin(session).await {
            return Err(self
                .undo(session, step, transaction(step, "begun", source))
                .await);
        }
        let committed = session.commit(records, Durability::Now).await;
        self.settle(session, step, committed).await
    }

    /// Rolls the transaction back. A connection that is gone has taken its transaction with it.
    pub(super) async fn undo(
        &self,
        session: &mut dyn Session,
        step: &Step,
        cause: Cause,
    ) -> Failed {
        // A rollback can only fail with the connection, which then takes its transaction with it: nothing else
        // could commit it. The cause of the failure is what there is to tell.
        let _ = session.rollback().await;
        (cause, Aftermath::RolledBack(step.revision.clone()))
    }

    /// Finds out what became of a commit. When its answer was lost, the database is asked over a new connection.
    pub(super) async fn settle(
        &self,
        session: &mut dyn Session,
        step: &Step,
        committed: Result<(), CommitError>,
    ) -> Result<(), Failed> {
        let (cause, lost) = match committed {
            Ok(()) => return Ok(()),
            Err(CommitError::Commit(source)) => {
                let lost = matches!(source, DriverError::CommitUnknown { .. });
                (transaction(step, "committed", source), lost)
            }
            Err(CommitError::Record(source)) => {
                let step = Box::new(step.clone());
                (Cause::Record { step, source }, false)
            }
            Err(CommitError::Conflict) => {
                let step = Box::new(step.clone());
                (Cause::VersionConflict { step }, false)
            }
        };
        if !lost {
            return Err(self.undo(session, step, cause).await);
        }
        let id = step.revision.clone();
        let aftermath = match self.ask_again().await {
            Some(rows) => {
                let has = |id: &RevisionId| rows.iter().any(|row| row == id.as_str());
                if step.adds.iter().all(has) && !step.removes.iter().any(has) {
                    Aftermath::Committed(id)
                } else {
                    Aftermath::RolledBack(id)
                }
            }
            None => Aftermath::Unknown(id),
        };
        Err((cause, aftermath))
    }

    /// The version table's rows once the lost transaction has ended; none when that cannot be found out in time: the
    /// server may be starting again, and what it was sent last may still be under way.
    pub(super) async fn ask_again(&self) -> Option<Vec<String>> {
        let mut pause = self.patience.first_delay;
        for _ in 1..self.patience.attempts {
            if let Ok(rows) = self.settled_rows().await {
                return Some(rows);
            }
            self.sleep(jittered(pause)).await.ok()?;
            pause = (pause * 2).min(self.patience.longest_delay);
        }
        self.settled_rows().await.ok()
    }

    async fn settled_rows(&self) -> Result<Vec<String>, DriverError> {
        let mut session = self.driver.connect().await?;
        self.history.read_settled(&mut *session).await
    }

    /// Records a failure for good, as far as the database still listens; the failure itself is what counts.
    pub(super) async fn give_up(
        &self,
        session: &mut dyn Session,
        mut attempt: Attempt,
        attempts: u32,
        (mut cause, aftermath): Failed,
    ) -> Failed {
        if let Cause::Migration {
            attempts: count, ..
        } = &mut cause
        {
            *count = attempts;
        }
        attempt.error = Some(innermost(&cause));
        let record = match (&aftermath, attempt.outcome) {
            (Aftermath::Partial(_), _) => {
                attempt.outcome = Outcome::Partial;
                attempt.tally = None;
                self.history.conclude(&attempt)
            }
            _ => {
                attempt.outcome = Outcome::Failed;
                self.history.record(&attempt)
            }
        };
        if session.begin().await.is_ok() {
            let written = session.commit(&[record], Durability::Now).await;
            if written.is_err() {
                self.observer.event(&Event::Log {
                    revision: &attempt.revision,
                    level: Level::Warn,
                    message: "the failure could not be written to the ledger",
                });
            }
        }
        (cause, aftermath)
    }
}

/// Lends the session to a migration; what comes back speaks in the host's name again, whatever the migration did.
pub(super) async fn lend(ready: &Ready, session: Lent) -> (Lent, Result<Work, MigrationError>) {
    let (mut session, mut result) = ready.migration.run(&ready.call, session).await;
    if let Err(source) = session.assume(Authority::Host).await {
        result = result.and(Err(MigrationError::Statement {
            statement: None,
            source,
        }));
    }
    (session, result)
}

impl Cause {
    /// Whether the step may succeed when it is tried again.
    fn is_transient(&self) -> bool {
        match self {
            Self::Migration { source, .. } => source.is_transient(),
            Self::Record { source, .. } | Self::Transaction { source, .. } => source.is_transient(),
            Self::Backfill { source, .. } => source.is_transient(),
            _ => false,
        }
    }
}

pub(super) fn failed(step: &Step, source: MigrationError) -> Cause {
    match source {
        MigrationError::Cancelled => Cause::Cancelled,
        source => Cause::Migration {
            step: Box::new(step.clone()),
            attempts: 1,
            source: Box::new(source),
        },
    }
}

pub(super) fn transaction(step: &Step, stage: &'static str, source: DriverError) -> Cause {
    Cause::Transaction {
        step: Box::new(step.clone()),
        stage,
        source,
    }
}

/// The tally of what is applied once a step is done.
pub(super) fn tally_after(
    mut tally: Tally,
    step: &Step,
    recorded: Option<&str>,
    digest: &str,
) -> Tally {
    let revision = step.revision.as_str();
    if let Some(recorded) = recorded {
        tally.leave(revision, recorded);
    }
    if step.direction == Direction::Upgrade {
        tally.join(revision, digest);
    }
    tally
}

pub(super) fn action(step: &Step) -> &'static str {
    match step.direction {
        Direction::Upgrade => "upgrade",
        Direction::Downgrade => "downgrade",
    }
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
