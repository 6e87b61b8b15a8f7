//! A step whose revision is a backfill: begun, worked on by workers, and ended, each in transactions of its own.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use tokio::sync::{Notify, watch};

use super::call::Ready;
use super::judging::{Sample, denied};
use super::step::{Failed, Tries, action, tally_after, transaction};
use super::{Aftermath, Cause, Engine, Lent, Progress, Run, RunFailure, this_process};
use crate::backfill::{
    Backfill, BackfillError, Change, Crew, Ending, Job, Settings, State, Transformer, Trial,
    is_loaded,
};
use crate::driver::{Durability, RunLock, Session};
use crate::event::{Event, StepReport};
use crate::history::{Attempt, Outcome};
use crate::migration::{MigrationError, Work};
use crate::plan::{Plan, Step};
use crate::revision::{Direction, RevisionId, Transactional};

/// How a run treats backfills.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Backfills {
    /// Settings over those of the migration, as [`Settings::set`] takes them.
    pub changes: Vec<String>,
    /// Who does them.
    pub mode: BackfillMode,
    /// On how many rows a [dry run](Engine::dry_run) tries each of them; on all, where it is not said.
    pub sample: Option<u64>,
}

/// Who does the backfills of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum BackfillMode {
    /// The run itself, to their end.
    #[default]
    Attached,
    /// Workers; the run makes all ready for them, and leaves out what depends on it.
    Detached,
    /// The run itself, where they are under way: it begins none, and goes on with none that was stopped or has failed.
    UnderWay,
}

/// A backfill that can begin, or has.
struct Prepared {
    job: Arc<Job>,
    code: Arc<dyn Backfill>,
    settings: Settings,
}

impl Engine {
    /// Takes a step that is a backfill, to its end. What was done before a failure stays done.
    pub(super) async fn backfill_step(
        &self,
        run: &Run,
        step: &Step,
        recorded: Option<&str>,
        progress: &mut Progress,
        mut session: Lent,
        lock: &dyn RunLock,
    ) -> (Lent, Result<StepReport, Failed>) {
        let started = Instant::now();
        let ready = match self.ready(run, step, progress, lock) {
            Ok(ready) => ready,
            Err(cause) => return (session, Err((cause, Aftermath::Untouched))),
        };
        let mut attempt = run.attempt(&step.revision, action(step), ready.fingerprint.clone());
        let outcome = self
            .backfill(
                &mut *session,
                step,
                &ready,
                recorded,
                progress,
                lock,
                &mut attempt,
            )
            .await;
        attempt.duration = started.elapsed();
        match outcome {
            Ok(work) => {
                let report = StepReport {
                    revision: step.revision.clone(),
                    direction: step.direction,
                    work,
                    duration: attempt.duration,
                    attempts: 1,
                };
                self.observer
                    .event(&Event::StepFinished { report: &report });
                (session, Ok(report))
            }
            Err(failed) => {
                attempt.outcome = Outcome::Done;
                attempt.tally = Some(progress.tally);
                // The transaction that failed, if one was open.
                let _ = session.rollback().await;
                let failed = self.give_up(&mut *session, attempt, 1, failed).await;
                (session, Err(failed))
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what a step has")]
    async fn backfill(
        &self,
        session: &mut dyn Session,
        step: &Step,
        ready: &Ready,
        recorded: Option<&str>,
        progress: &mut Progress,
        lock: &dyn RunLock,
        attempt: &mut Attempt,
    ) -> Result<Work, Failed> {
        let id = || step.revision.clone();
        let rolled_back = |error| (backfill_failed(step, error), Aftermath::RolledBack(id()));
        let unfinished = |error| (backfill_failed(step, error), Aftermath::Unfinished(id()));
        let prepared = self
            .prepare_backfill(session, step, ready)
            .await
            .map_err(rolled_back)?;
        let (has_begun, begins) = watch::channel(false);
        let crew = self.crew(&prepared, ready, begins);
        let beginning = async {
            let begun = self.begin_backfill(session, step, &prepared).await;
            if begun.is_ok() {
                has_begun.send_replace(true);
            }
            // Nobody waits any longer for what has failed.
            drop(has_begun);
            begun
        };
        let working = Arc::clone(&crew).run(prepared.settings.workers);
        let (begun, worked) = tokio::join!(beginning, working);
        begun.map_err(rolled_back)?;
        worked.map_err(unfinished)?;
        if !lock.is_held() {
            return Err((Cause::LockLost, Aftermath::Unfinished(id())));
        }
        let Prepared { job, code, .. } = &prepared;
        let mut transformer = transformer(job, &**code, ready).await.map_err(unfinished)?;
        let after = tally_after(progress.tally, step, recorded, &ready.fingerprint.content);
        attempt.tally = Some(after);
        let mut tries = Tries::without_end(&self.patience);
        loop {
            let ended = self
                .end_backfill(
                    session,
                    step,
                    &crew,
                    borrowed(&mut transformer),
                    lock,
                    attempt,
                )
                .await;
            let failed = match ended {
                Ok(Some(work)) => {
                    progress.tally = after;
                    return Ok(work);
                }
                Ok(None) if lock.is_held() => continue,
                Ok(None) => (Cause::LockLost, Aftermath::Unfinished(id())),
                Err(failed) => failed,
            };
            // A rollback can only fail with the connection, which takes the transaction with it.
            let _ = session.rollback().await;
            let (cause, aftermath) = failed;
            let passing = (cause, Aftermath::RolledBack(id()));
            match self.may_pass(&mut tries, &step.revision, &passing).await {
                Ok(true) => {}
                Ok(false) => {
                    self.tell_failure(session, step, &passing.0).await;
                    return Err((passing.0, aftermath));
                }
                Err(cause) => return Err((cause, aftermath)),
            }
        }
    }

    /// Says in its row why a backfill could not be ended, as far as the database still listens.
    async fn tell_failure(&self, session: &mut dyn Session, step: &Step, cause: &Cause) {
        let Cause::Backfill { source, .. } = cause else {
            return;
        };
        if source.may_pass()
            || matches!(**source, BackfillError::Failed(_) | BackfillError::Stopped)
        {
            return;
        }
        let store = self.history.backfills();
        let failed = store.set_state(step.revision.as_str(), State::Failed, &source.to_string());
        // The error itself is what the run ends with.
        let _ = session.execute(&failed.sql, &failed.params).await;
    }

    /// Describes a backfill and has it judged.
    async fn prepare_backfill(
        &self,
        session: &mut dyn Session,
        step: &Step,
        ready: &Ready,
    ) -> Result<Prepared, BackfillError> {
        let Some(code) = self.library.backfill(&step.revision, step.direction)? else {
            return Err(BackfillError::Unfit("it is no backfill".to_owned()));
        };
        let (job, spec) = self.job(session, step, &*code, ready).await?;
        let mut settings = Settings::default();
        settings.batch = spec.batch.unwrap_or(settings.batch);
        settings.workers = spec.workers.unwrap_or(settings.workers);
        for change in &self.backfills.changes {
            settings
                .set(change)
                .map_err(|error| BackfillError::Unfit(error.to_string()))?;
        }
        if let Some(load) = &settings.load {
            is_loaded(session, load).await?;
        }
        Ok(Prepared {
            job: Arc::new(job),
            code,
            settings,
        })
    }

    /// Begins a backfill, or takes up one that has begun. It is tried again where that may help.
    async fn begin_backfill(
        &self,
        session: &mut dyn Session,
        step: &Step,
        Prepared { job, settings, .. }: &Prepared,
    ) -> Result<(), BackfillError> {
        let parts = match (self.backfills.mode, settings.workers) {
            // Nobody waits for the last of them.
            (BackfillMode::Attached, 1) => 1,
            // What one of them lags behind with is cut when another has nothing else to do.
            (BackfillMode::Attached, workers) => workers.saturating_mul(2),
            (_, workers) => workers.saturating_mul(4),
        };
        let mut tries = Tries::new(&self.patience);
        loop {
            let begun = match self.backfills.mode {
                BackfillMode::UnderWay => job.under_way(session).await,
                BackfillMode::Attached | BackfillMode::Detached => {
                    job.begin(session, settings, parts, &self.backfills.changes)
                        .await
                }
            };
            let error = match begun {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            let _ = session.rollback().await;
            let failed = (
                backfill_failed(step, error.clone()),
                Aftermath::RolledBack(step.revision.clone()),
            );
            match self.may_pass(&mut tries, &step.revision, &failed).await {
                Ok(true) => {}
                Ok(false) => return Err(error),
                Err(_) => return Err(BackfillError::Cancelled),
            }
        }
    }

    /// Makes sure that nothing is undone that a backfill under way depends on.
    pub(super) async fn check_open_backfills(
        &self,
        plan: &Plan,
        session: &mut dyn Session,
    ) -> Result<(), Cause> {
        let undone = |step: &&Step| step.direction == Direction::Downgrade;
        if !plan.steps.iter().any(|step| undone(&step)) {
            return Ok(());
        }
        for record in self.history.backfills().read(session, None).await? {
            if record.state == State::Done || record.direction() == Direction::Downgrade {
                continue;
            }
            for step in plan.steps.iter().filter(undone) {
                let below = self.graph.position(step.revision.as_str());
                let above = self.graph.position(&record.revision);
                let (Some(below), Some(above)) = (below, above) else {
                    continue;
                };
                if below != above && self.graph.descendants([below]).contains(above) {
                    return Err(Cause::OpenBackfill {
                        revision: self.graph.revision(above).id.clone(),
                        below: step.revision.clone(),
                    });
                }
            }
        }
        Ok(())
    }

    /// Whether a step is a backfill, which a way back need not be.
    pub(super) fn is_backfill(&self, step: &Step) -> Result<bool, Cause> {
        let revision = self.graph.get(step.revision.as_str());
        if revision.is_none_or(|revision| revision.transactional != Transactional::Batches) {
            return Ok(false);
        }
        let code = self.library.backfill(&step.revision, step.direction);
        Ok(code
            .map_err(|source| super::load(&step.revision, source))?
            .is_some())
    }

    /// Whether a backfill is left to workers.
    pub(super) fn is_detached(&self, step: &Step) -> bool {
        step.direction == Direction::Upgrade && self.backfills.mode == BackfillMode::Detached
    }

    /// Whether a step depends on a backfill that was left to workers.
    pub(super) fn waits(&self, step: &Step, detached: &[RevisionId]) -> bool {
        let positions = detached
            .iter()
            .filter_map(|revision| self.graph.position(revision.as_str()));
        let waiting = self.graph.descendants(positions);
        self.graph
            .position(step.revision.as_str())
            .is_some_and(|position| waiting.contains(position))
    }

    /// Tries a backfill in the transaction that is open. Where the database holds its author to a role, that transaction is
    /// the role's, and the backfill is tried in another, which does not see what the steps before it did.
    pub(super) async fn try_backfill(
        &self,
        session: &mut dyn Session,
        step: &Step,
        ready: &Ready,
    ) -> Result<Trial, Cause> {
        let tried = async {
            let Some(code) = self.library.backfill(&step.revision, step.direction)? else {
                return Err(BackfillError::Unfit("it is no backfill".to_owned()));
            };
            if session.enforces(&self.author(step, ready)) {
                let mut own = self.session().await?;
                let (job, _, author) = self.fit(&mut *own, step, &*code, ready).await?;
                if let Some(author) = author {
                    self.judge(&mut *own, &job, author, ready, Sample::None)
                        .await?;
                }
                own.begin().await?;
                let tried = self.try_job(&mut *own, &job, &*code, ready).await;
                // It can only fail with the connection, which takes the transaction with it.
                let _ = own.rollback().await;
                return tried;
            }
            let (job, _, author) = self.fit(session, step, &*code, ready).await?;
            if let Some(author) = author {
                job.probe_within(session, author).await.map_err(denied)?;
            }
            self.try_job(session, &job, &*code, ready).await
        };
        tried.await.map_err(|error| backfill_failed(step, error))
    }

    async fn try_job(
        &self,
        session: &mut dyn Session,
        job: &Job,
        code: &dyn Backfill,
        ready: &Ready,
    ) -> Result<Trial, BackfillError> {
        let mut transformer = transformer(job, code, ready).await?;
        let sample = self.backfills.sample;
        job.try_out(session, borrowed(&mut transformer), sample)
            .await
    }

    /// Those who work on a backfill as soon as it has begun.
    fn crew(&self, prepared: &Prepared, ready: &Ready, begins: watch::Receiver<bool>) -> Arc<Crew> {
        let process = this_process();
        Arc::new(Crew {
            driver: Arc::clone(&self.driver),
            job: Arc::clone(&prepared.job),
            code: Arc::clone(&prepared.code),
            begins,
            call: ready.call.clone(),
            observer: Arc::clone(&self.observer),
            place: (process.host, process.pid),
            news: Notify::default(),
            idle: AtomicU64::default(),
        })
    }

    /// Tries to end a backfill: works off what others have changed, first while they go on, then with them kept out, and
    /// commits that with the records. `None` where too much has come in meanwhile.
    async fn end_backfill(
        &self,
        session: &mut dyn Session,
        step: &Step,
        crew: &Crew,
        mut transformer: Option<&mut (dyn Transformer + '_)>,
        lock: &dyn RunLock,
        attempt: &Attempt,
    ) -> Result<Option<Work>, Failed> {
        let unfinished = |error| {
            let aftermath = Aftermath::Unfinished(step.revision.clone());
            (backfill_failed(step, error), aftermath)
        };
        let lent = transformer.as_mut().map(|own| &mut **own as _);
        let settings = crew.catch_up(session, lent).await.map_err(unfinished)?;
        let job = &*crew.job;
        if let Err(source) = self.history.begin(session).await {
            let aftermath = Aftermath::Unfinished(step.revision.clone());
            return Err((transaction(step, "begun", source), aftermath));
        }
        let ending = job.end(session, transformer, &settings).await;
        match ending {
            Ok(Ending::Proved { batches, counts }) => {
                let work = Work {
                    statements: batches,
                    rows: counts.written + counts.dropped,
                };
                let mut attempt = attempt.clone();
                attempt.work = work;
                let mut records = self.history.move_versions(step);
                records.push(self.history.record(&attempt));
                records.push(job.conclusion());
                records.extend(lock.fence());
                let committed = session.commit(&records, Durability::Now).await;
                let settled = self.settle(session, step, committed).await;
                settled.map_err(|(cause, aftermath)| match aftermath {
                    Aftermath::RolledBack(id) => (cause, Aftermath::Unfinished(id)),
                    known => (cause, known),
                })?;
                Ok(Some(work))
            }
            Ok(Ending::NotYet) => {
                let undone = session.rollback().await;
                undone.map_err(|error| unfinished(error.into()))?;
                Ok(None)
            }
            // A row that came in last is found, and set aside, where others are not kept waiting.
            Err(error) if error.is_about_data() && settings.may_set_aside() => {
                let undone = session.rollback().await;
                undone.map_err(|error| unfinished(error.into()))?;
                Ok(None)
            }
            Err(error) => Err(unfinished(error)),
        }
    }

    /// Begins a backfill, and leaves it to workers.
    pub(super) async fn detach_step(
        &self,
        run: &Run,
        step: &Step,
        progress: &Progress,
        session: &mut dyn Session,
        lock: &dyn RunLock,
    ) -> Result<(), Failed> {
        let untouched = |cause| (cause, Aftermath::Untouched);
        let ready = self.ready(run, step, progress, lock).map_err(untouched)?;
        let begun = async {
            let prepared = self.prepare_backfill(session, step, &ready).await?;
            self.begin_backfill(session, step, &prepared).await
        };
        begun.await.map_err(|error| {
            let aftermath = Aftermath::RolledBack(step.revision.clone());
            (backfill_failed(step, error), aftermath)
        })
    }

    /// Works on a backfill that was begun, beside whoever else does, until all of its rows are done. What is left then is
    /// its end, which [`Engine::run`] to its revision comes to.
    ///
    /// # Errors
    /// When it was not begun, has ended, or a worker fails.
    pub async fn work_on(&self, revision: &RevisionId) -> Result<(), RunFailure> {
        let worked = async {
            let mut session = self.session().await?;
            let records = self
                .history
                .backfills()
                .read(&mut *session, Some(revision.as_str()))
                .await?;
            let record = records
                .into_iter()
                .find(|record| record.state != State::Done)
                .ok_or_else(|| Cause::NoBackfill(revision.clone()))?;
            let direction = record.direction();
            self.prepare_all(&[revision], direction)?;
            let step = Step {
                revision: revision.clone(),
                direction,
                removes: Vec::new(),
                adds: Vec::new(),
            };
            let run = Run::new(self.driver.dialect());
            let ready = self.made_ready(&run, &step)?;
            let Some(code) = self
                .library
                .backfill(revision, direction)
                .map_err(|source| super::load(revision, source))?
            else {
                return Err(Cause::NoBackfill(revision.clone()));
            };
            let failed = |error| backfill_failed(&step, error);
            let (job, _) = self
                .job(&mut *session, &step, &*code, &ready)
                .await
                .map_err(failed)?;
            let begun = Prepared {
                job: Arc::new(job),
                code,
                settings: record.settings,
            };
            drop(session);
            self.crew(&begun, &ready, watch::channel(true).1)
                .run(begun.settings.workers)
                .await
                .map_err(failed)
        };
        worked.await.map_err(RunFailure::untouched)
    }
}

async fn transformer(
    job: &Job,
    code: &dyn Backfill,
    ready: &Ready,
) -> Result<Option<Box<dyn Transformer>>, BackfillError> {
    match job.change() {
        Change::Transform => Ok(Some(code.open(&ready.call).await?)),
        Change::Expression(_) => Ok(None),
    }
}

fn borrowed(
    transformer: &mut Option<Box<dyn Transformer>>,
) -> Option<&mut (dyn Transformer + 'static)> {
    transformer.as_deref_mut()
}

pub(super) fn backfill_failed(step: &Step, error: BackfillError) -> Cause {
    match error {
        BackfillError::Cancelled | BackfillError::Migration(MigrationError::Cancelled) => {
            Cause::Cancelled
        }
        BackfillError::Migration(source) => super::step::failed(step, source),
        source => Cause::Backfill {
            step: Box::new(step.clone()),
            source: Box::new(source),
        },
    }
}
