//! The one place that locks, begins, commits and rolls back.
//!
//! A run is: read the state, plan, and if there is anything to do: lock, read and plan again (another run may have
//! done it meanwhile), then make a backup where one is asked for, then take the steps one by one, then unlock, on every path. A step (`engine/step.rs`) is one
//! transaction that holds the migration's work, the version rows and the ledger row; nothing else begins or commits
//! one. No failure leaves the lock taken or a transaction open.

mod audit;
mod backfill;
mod backup;
mod call;
mod dry_run;
mod failure;
pub mod inspect;
mod learn;
mod lock;
mod problem;
mod read_ahead;
mod repair;
mod restore;
mod script;
mod stamp;
mod step;
mod survival;
mod together;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use jiff::Timestamp;
use uuid::Uuid;

pub use backfill::{BackfillMode, Backfills};
pub use dry_run::{DryRun, DryStep, TakenLock};
pub use failure::{Aftermath, Cause, Inconsistency, RunFailure};
pub use learn::{Learned, Seen};
pub use problem::{Problem, Remedy, RepairError};
pub(crate) use read_ahead::ReadAhead;
pub use repair::Repaired;
pub use stamp::Stamping;
use together::{End, Whole};

use crate::backfill::Trial;
use crate::driver::rehearsal::Rehearsal;
use crate::driver::tape::Tape;
use crate::driver::{Dialect, Driver, Holder, RelationLock, RunLock, Session};
use crate::event::{Event, Observer, RunReport, StepReport};
use crate::graph::{Graph, Selection};
use crate::history::{Attempt, Entry, Glance, History, LastEntry, Outcome, State, Tally};
use crate::migration::{Cancel, Fingerprint, Library, MigrationError, PrepareError, Work};
use crate::plan::{self, Plan, PlanError};
use crate::revision::{Direction, RevisionId, TransactionMode};
use crate::target::Target;

/// How patient a run is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patience {
    /// How long to wait for another run's lock.
    pub lock_wait: Duration,
    /// How often a step is tried that fails for a reason that may pass.
    pub attempts: u32,
    /// How long to wait before the second attempt; doubled for each further one, and jittered.
    pub first_delay: Duration,
    /// The longest wait between two attempts.
    pub longest_delay: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            lock_wait: Duration::from_secs(60),
            attempts: 8,
            first_delay: Duration::from_millis(100),
            longest_delay: Duration::from_secs(5),
        }
    }
}

/// Brings one database along one graph.
pub struct Engine {
    /// The database.
    pub driver: Arc<dyn Driver>,
    /// Its own tables in it.
    pub history: History,
    /// The version table as the driver knows it, which names the lock.
    pub version_table: String,
    /// The revisions.
    pub graph: Arc<Graph>,
    /// Their code.
    pub library: Arc<dyn Library>,
    /// How steps share transactions.
    pub transaction: TransactionMode,
    /// How patient it is.
    pub patience: Patience,
    /// Where its events go.
    pub observer: Arc<dyn Observer>,
    /// What makes it stop.
    pub cancel: Cancel,
    /// Where to back the database up before a run changes anything, if it is to be.
    pub backup: Option<Utf8PathBuf>,
    /// How it treats backfills.
    pub backfills: Backfills,
    /// What was read before there was an engine; used once.
    pub(crate) read_ahead: Mutex<Option<ReadAhead>>,
}

/// What one run knows of itself.
struct Run {
    id: Uuid,
    now: Timestamp,
    performed_by: String,
    dialect: Dialect,
    medium: Medium,
}

/// Where a run is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Medium {
    /// To a database, now.
    Database,
    /// To a script, which is run at another time.
    Script,
}

/// How far a run has come: what a failure must tell.
#[derive(Default)]
struct Progress {
    planned: usize,
    done: Vec<StepReport>,
    /// Backfills that were left to workers.
    detached: Vec<RevisionId>,
    /// What backfills did that were tried.
    trials: BTreeMap<RevisionId, Trial>,
    /// Steps that were not tried, since a backfill that they depend on was tried on some rows only.
    left_out: Vec<RevisionId>,
    /// Where the database is, once some were.
    heads: Vec<RevisionId>,
    /// The tally of what is applied now.
    tally: Tally,
    watch: Watch,
    /// What was locked after each step.
    locks: Vec<Vec<RelationLock>>,
    /// The names of what was locked.
    names: BTreeMap<u32, String>,
}

/// What is looked at after each step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Watch {
    /// Nothing: what is there, the run itself has made, and nobody else can see it.
    #[default]
    Nothing,
    /// The locks that the transaction holds. To list them takes the longer the more there are.
    Locks,
}

/// What steps are taken for.
#[derive(Debug, Clone, Copy)]
enum Purpose<'a> {
    /// To be in effect.
    Run,
    /// To see what they do.
    Try {
        /// Where what components read goes.
        tape: Option<&'a Tape>,
    },
}

impl Engine {
    /// Upgrades or downgrades to `target`.
    ///
    /// # Errors
    /// A [`RunFailure`] that says what was done before it and what state the database is in.
    pub async fn run(
        &self,
        target: &Target,
        direction: Direction,
    ) -> Result<RunReport, RunFailure> {
        let started = Instant::now();
        let mut progress = Progress::default();
        let done = self
            .run_steps(target, direction, Purpose::Run, &mut progress)
            .await;
        match done {
            Ok(plan) => Ok(RunReport {
                direction,
                heads: match progress.done.last() {
                    _ if progress.detached.is_empty() => plan.to,
                    Some(_) => progress.heads,
                    None => plan.from,
                },
                steps: progress.done,
                detached: progress.detached,
                duration: started.elapsed(),
            }),
            Err((cause, aftermath)) => Err(RunFailure {
                done: progress.done,
                planned: progress.planned,
                aftermath,
                cause: Box::new(cause),
            }),
        }
    }

    /// Plans without changing anything.
    ///
    /// # Errors
    /// When the database cannot be read, or what it says and the files do not fit together.
    pub async fn plan(&self, target: &Target, direction: Direction) -> Result<Plan, RunFailure> {
        let plan = async {
            let state = self.read_state().await?;
            self.plan_from(&state, target, direction)
        };
        plan.await.map_err(RunFailure::untouched)
    }

    /// Reads the version table and the ledger.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn state(&self) -> Result<State, RunFailure> {
        match self.read_state().await {
            Ok(state) => Ok(state),
            Err(error) => Err(RunFailure::untouched(error.into())),
        }
    }

    /// The ledger, the newest row first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn log(&self) -> Result<Vec<Entry>, RunFailure> {
        let read = async {
            let mut session = self.session().await?;
            Ok::<_, Cause>(self.history.log(&mut *session).await?)
        };
        read.await.map_err(RunFailure::untouched)
    }

    /// Makes the version table and the ledger where they are missing.
    ///
    /// # Errors
    /// When the database refuses; nothing is changed then.
    pub async fn ensure_version(&self) -> Result<(), RunFailure> {
        let ensured = async {
            let mut session = self.session().await?;
            Ok::<_, Cause>(self.history.ensure(&mut *session).await?)
        };
        ensured.await.map_err(RunFailure::untouched)
    }

    async fn run_steps(
        &self,
        target: &Target,
        direction: Direction,
        purpose: Purpose<'_>,
        progress: &mut Progress,
    ) -> Result<Plan, (Cause, Aftermath)> {
        let (mut session, glance) = self.glance().await.map_err(untouched)?;
        let plan = plan::plan(&self.graph, &glance.rows, target, direction)
            .map_err(|error| untouched(Cause::Plan(error)))?;
        if plan.is_empty() && self.is_as_recorded(&glance) {
            return Ok(plan);
        }
        let state = self.history.read(&mut *session).await.map_err(untouched)?;
        let plan = match self.plan_from(&state, target, direction) {
            Ok(plan) if plan.is_empty() => return Ok(plan),
            Ok(plan) => plan,
            // Whoever has the lock knows whether another run is still at it.
            Err(Cause::Inconsistent(found)) if found.iter().any(is_perhaps_under_way) => plan,
            Err(cause) => return Err(untouched(cause)),
        };
        self.end_of(&plan, purpose).map_err(untouched)?;
        if matches!(purpose, Purpose::Run) {
            self.check_backup_file().map_err(untouched)?;
        }
        self.prepare(&plan).map_err(untouched)?;
        self.locked(async |held| {
            let result = self
                .take_steps(target, direction, purpose, progress, session, held.lock())
                .await;
            (held, result)
        })
        .await
    }

    /// Plans again, now that nobody else changes the database, and takes the steps.
    async fn take_steps(
        &self,
        target: &Target,
        direction: Direction,
        purpose: Purpose<'_>,
        progress: &mut Progress,
        mut session: Lent,
        lock: &dyn RunLock,
    ) -> Result<Plan, (Cause, Aftermath)> {
        let state = self.history.read(&mut *session).await.map_err(untouched)?;
        let plan = self
            .plan_from(&state, target, direction)
            .map_err(untouched)?;
        let end = self.end_of(&plan, purpose).map_err(untouched)?;
        self.check_open_backfills(&plan, &mut *session)
            .await
            .map_err(untouched)?;
        let mut backup = None;
        if !plan.is_empty() && matches!(purpose, Purpose::Run) {
            backup = self.back_up().await.map_err(untouched)?;
            self.history
                .ensure(&mut *session)
                .await
                .map_err(untouched)?;
        }
        self.observer.event(&Event::Planned { plan: &plan });
        progress.planned = plan.steps.len();
        let applied = plan::Applied::from_rows(&self.graph, &state.rows).map_err(untouched)?;
        let applied = applied.selection();
        let recorded = state.recorded(applied.iter().map(|at| &self.graph.revision(at).id));
        for (revision, digest) in &recorded {
            progress.tally.join(revision, digest);
        }
        let run = Run::new(self.driver.dialect());
        self.record_backup(&run, backup, progress, &mut *session, lock)
            .await
            .map_err(untouched)?;
        let Some(end) = end else {
            self.take_one_by_one(&run, &plan, &recorded, progress, session, lock)
                .await?;
            return Ok(plan);
        };
        let tape = match purpose {
            Purpose::Run => None,
            Purpose::Try { tape } => tape,
        };
        if end == End::RollBack {
            session = Box::new(Rehearsal::new(session, tape.cloned()));
        }
        let whole = Whole {
            run: &run,
            plan: &plan,
            recorded: &recorded,
            end,
            tape,
        };
        let result;
        (session, result) = self.take_together(&whole, progress, session, lock).await;
        result?;
        if end == End::RollBack {
            self.name_locks(&mut session, progress)
                .await
                .map_err(|source| (source.into(), Aftermath::DryRun))?;
        }
        Ok(plan)
    }

    /// Takes the steps, each in a transaction of its own or in none.
    async fn take_one_by_one(
        &self,
        run: &Run,
        plan: &Plan,
        recorded: &BTreeMap<&str, &str>,
        progress: &mut Progress,
        mut session: Lent,
        lock: &dyn RunLock,
    ) -> Result<(), (Cause, Aftermath)> {
        for (at, step) in plan.steps.iter().enumerate() {
            if self.waits(step, &progress.detached) {
                continue;
            }
            let is_backfill = self.is_backfill(step).map_err(untouched)?;
            if is_backfill && self.is_detached(step) {
                let begun = self.detach_step(run, step, progress, &mut *session, lock);
                begun.await?;
                progress.detached.push(step.revision.clone());
                continue;
            }
            if let Some(next) = plan.steps.get(at + 1) {
                self.library.load_ahead(&next.revision);
                session.will_begin_again();
            }
            let result;
            let before = recorded.get(step.revision.as_str()).copied();
            (session, result) = match is_backfill {
                true => {
                    self.backfill_step(run, step, before, progress, session, lock)
                        .await
                }
                false => self.step(run, step, before, progress, session, lock).await,
            };
            match result {
                Ok(report) => progress.done.push(report),
                Err(failed) => {
                    return Err(self.make_sure(&mut *session, plan, progress, failed).await);
                }
            }
        }
        if !progress.detached.is_empty() {
            let state = self.history.read(&mut *session).await.map_err(untouched)?;
            let heads = state
                .rows
                .iter()
                .filter_map(|row| RevisionId::new(row).ok());
            progress.heads = heads.collect();
        }
        Ok(())
    }

    /// Plans, and refuses to go on where the database and the files disagree about what is applied.
    fn plan_from(
        &self,
        state: &State,
        target: &Target,
        direction: Direction,
    ) -> Result<Plan, Cause> {
        let plan = plan::plan(&self.graph, &state.rows, target, direction)?;
        let inconsistencies = self.inconsistencies(state)?;
        if !inconsistencies.is_empty() {
            return Err(Cause::Inconsistent(inconsistencies));
        }
        let stuck = plan
            .steps
            .iter()
            .find(|step| !self.library.supports(&step.revision, direction));
        match stuck {
            Some(step) => Err(Cause::Irreversible {
                revision: step.revision.clone(),
            }),
            None => Ok(plan),
        }
    }

    /// What the ledger says that the files deny.
    ///
    /// # Errors
    /// When an applied revision's code cannot be read, or the version table names a revision that no file has.
    pub fn inconsistencies(&self, state: &State) -> Result<Vec<Inconsistency>, Cause> {
        let applied = plan::Applied::from_rows(&self.graph, &state.rows)?;
        self.inconsistencies_with(state, applied.selection())
    }

    /// [`Engine::inconsistencies`], where it is known what is applied.
    fn inconsistencies_with(
        &self,
        state: &State,
        applied: &Selection,
    ) -> Result<Vec<Inconsistency>, Cause> {
        let mut found = Vec::new();
        // Also of a revision whose file is gone, a part may be in effect.
        let gone = state.last.iter().filter_map(|(id, last)| {
            let is_gone = last.outcome.is_unfinished() && self.graph.get(id).is_none();
            is_gone.then(|| RevisionId::new(id).ok().map(|id| unfinished(&id, last)))?
        });
        found.extend(gone);
        for position in self.graph.positions() {
            let revision = self.graph.revision(position);
            let Some(last) = state.last.get(revision.id.as_str()) else {
                continue;
            };
            if last.outcome.is_unfinished() {
                found.push(unfinished(&revision.id, last));
            } else if applied.contains(position) && last.is_applied() {
                let actual = self
                    .library
                    .content_digest(&revision.id)
                    .map_err(|source| load(&revision.id, source))?;
                if actual != last.digest {
                    found.push(Inconsistency::Changed {
                        revision: revision.id.clone(),
                        path: revision.path.clone(),
                        recorded: last.digest.clone(),
                        actual,
                    });
                }
            }
        }
        Ok(found)
    }

    /// Whether the files of what is applied are certainly those that ran, as far as a glance tells.
    fn is_as_recorded(&self, glance: &Glance) -> bool {
        let Ok(applied) = plan::Applied::from_rows(&self.graph, &glance.rows) else {
            return false;
        };
        let mut tally = Tally::default();
        for position in applied.selection().iter() {
            let revision = &self.graph.revision(position).id;
            match self.library.content_digest(revision) {
                Ok(digest) => tally.join(revision.as_str(), &digest),
                Err(_) => return false,
            }
        }
        tally.to_string() == glance.tally
    }

    fn prepare(&self, plan: &Plan) -> Result<(), Cause> {
        let revisions: Vec<&RevisionId> = plan.steps.iter().map(|step| &step.revision).collect();
        self.prepare_all(&revisions, plan.direction)
    }

    fn prepare_all(&self, revisions: &[&RevisionId], direction: Direction) -> Result<(), Cause> {
        self.observer.event(&Event::Preparing {
            revisions: revisions.len(),
        });
        self.library
            .prepare(revisions, direction)
            .map_err(Cause::Prepare)
    }
}

impl Run {
    fn new(dialect: Dialect) -> Self {
        Self {
            id: Uuid::new_v4(),
            now: Timestamp::now(),
            performed_by: performed_by(),
            dialect,
            medium: Medium::Database,
        }
    }

    /// One that is written down instead of run.
    fn scripted(dialect: Dialect) -> Self {
        let run = Self::new(dialect);
        Self {
            performed_by: format!("{} by script", run.performed_by),
            medium: Medium::Script,
            ..run
        }
    }

    /// A try that begins now, of which nothing is known yet but what it runs.
    fn attempt(
        &self,
        revision: &RevisionId,
        action: &'static str,
        fingerprint: Fingerprint,
    ) -> Attempt {
        Attempt {
            run: self.id,
            revision: revision.clone(),
            action,
            fingerprint,
            started: match self.medium {
                Medium::Database => Some(Timestamp::now()),
                Medium::Script => None,
            },
            duration: Duration::ZERO,
            work: Work::default(),
            outcome: Outcome::Done,
            error: None,
            performed_by: self.performed_by.clone(),
            tally: None,
        }
    }
}

/// Whether a run may be going on that takes this for its own.
fn is_perhaps_under_way(found: &Inconsistency) -> bool {
    matches!(
        found,
        Inconsistency::Unfinished {
            outcome: Outcome::Started,
            ..
        }
    )
}

fn unfinished(revision: &RevisionId, last: &LastEntry) -> Inconsistency {
    Inconsistency::Unfinished {
        revision: revision.clone(),
        action: last.action.clone(),
        outcome: last.outcome,
        started: last.started,
    }
}

fn load(revision: &RevisionId, source: MigrationError) -> Cause {
    Cause::Prepare(PrepareError::Load {
        revision: revision.clone(),
        source: Box::new(source),
    })
}

fn untouched(cause: impl Into<Cause>) -> (Cause, Aftermath) {
    (cause.into(), Aftermath::Untouched)
}

/// This process, as others see it that wait for its lock.
fn this_process() -> Holder {
    Holder {
        host: gethostname::gethostname().to_string_lossy().into_owned(),
        pid: std::process::id(),
        since: Some(Timestamp::now()),
        expires: None,
    }
}

fn performed_by() -> String {
    let user = ["USER", "LOGNAME", "USERNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok())
        .unwrap_or_else(|| "unknown".to_owned());
    format!("{user}@{}", this_process().host)
}

impl From<PlanError> for Cause {
    fn from(error: PlanError) -> Self {
        Self::Plan(error)
    }
}

/// A session on its way through the steps of a run: it goes into each migration and comes back.
type Lent = Box<dyn Session>;

#[cfg(test)]
mod tests {
    use super::*;

    fn goes_to_another_thread(_: impl Send) {}

    /// Compiling is the test.
    #[test]
    fn a_run_can_be_spawned_on_a_runtime_of_many_threads() {
        let _ = |engine: Engine, target: Target| {
            goes_to_another_thread(async move { engine.run(&target, Direction::Upgrade).await });
        };
    }
}
