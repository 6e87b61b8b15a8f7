//! A run that is only tried: everything runs for real, and is rolled back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::{Cause, Engine, Lent, Progress, Purpose, RunFailure, load};
use crate::backfill::Trial;
use crate::driver::tape::Tape;
use crate::driver::{DriverError, RelationLock};
use crate::event::microseconds;
use crate::migration::Work;
use crate::plan::{Plan, Step};
use crate::revision::{Direction, RevisionId};
use crate::sql::effects::LockMode;
use crate::sql::guard::Protected;
use crate::target::Target;

/// A step that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DryStep {
    /// What it would do to the version table.
    #[serde(flatten)]
    pub step: Step,
    /// What its revision does, in one line.
    pub message: String,
    /// What it did.
    #[serde(flatten)]
    pub work: Work,
    /// How long it took.
    #[serde(rename = "duration_us", serialize_with = "microseconds")]
    pub duration: Duration,
    /// The locks on tables, views and sequences that it took and no step before it had; those that the run itself made, and
    /// indexes, left out. Empty where the database cannot tell: SQLite locks as a whole.
    pub locks: Vec<TakenLock>,
    /// What it did to rows, where it is a backfill.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backfill: Option<Trial>,
}

/// A lock that a step took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TakenLock {
    /// The name of the relation, with its schema, quoted where it needs to be.
    pub relation: String,
    /// The strongest lock that was taken on it.
    pub mode: LockMode,
}

/// What a run would have done: everything ran, and was rolled back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DryRun {
    /// The direction.
    pub direction: Direction,
    /// The version table's rows.
    pub from: Vec<RevisionId>,
    /// What they would be.
    pub to: Vec<RevisionId>,
    /// The steps, in order; none when there is nothing to do.
    pub steps: Vec<DryStep>,
    /// Steps that were left out, since a backfill that they depend on was tried on some rows only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<RevisionId>,
    /// How long it took, from the connection on.
    #[serde(rename = "duration_us", serialize_with = "microseconds")]
    pub duration: Duration,
}

impl Engine {
    /// Runs all that a run to `target` would run, in one transaction, and rolls it back. What components read goes onto
    /// `tape`, where there is one. What no rollback undoes is refused: migrations without a transaction, and statements
    /// with effects outside of it. The numbers that sequences have handed out stay used, and on SQLite the table of the run
    /// lock stays.
    ///
    /// # Errors
    /// A [`RunFailure`]; nothing is changed then.
    pub async fn dry_run(
        &self,
        target: &Target,
        direction: Direction,
        tape: Option<&Tape>,
    ) -> Result<DryRun, RunFailure> {
        let started = Instant::now();
        let mut progress = Progress::default();
        let purpose = Purpose::Try { tape };
        let done = self
            .run_steps(target, direction, purpose, &mut progress)
            .await;
        match done {
            Ok(plan) => Ok(DryRun::new(
                &self.messages(&plan),
                plan,
                progress,
                started.elapsed(),
            )),
            Err((cause, aftermath)) => Err(RunFailure {
                done: progress.done,
                planned: progress.planned,
                aftermath,
                cause: Box::new(cause),
            }),
        }
    }

    /// Under which title a tape has what a step reads: that of its code.
    pub(super) fn chapter(&self, step: &Step) -> Result<String, Cause> {
        let digest = self.library.content_digest(&step.revision);
        let digest = digest.map_err(|source| load(&step.revision, source))?;
        Ok(format!("{} {} {digest}", step.direction, step.revision))
    }

    fn messages(&self, plan: &Plan) -> Vec<String> {
        let message = |step: &Step| {
            self.graph
                .get(step.revision.as_str())
                .map(|revision| revision.message.clone())
        };
        plan.steps
            .iter()
            .map(|step| message(step).unwrap_or_default())
            .collect()
    }

    /// Finds the names of what was locked, now that nothing of the run is there any more.
    pub(super) async fn name_locks(
        &self,
        session: &mut Lent,
        progress: &mut Progress,
    ) -> Result<(), DriverError> {
        let relations: BTreeSet<u32> = progress
            .locks
            .iter()
            .flatten()
            .map(|lock| lock.relation)
            .collect();
        let relations: Vec<u32> = relations.into_iter().collect();
        if !relations.is_empty() {
            let own = Protected::new(&self.version_table);
            let names = session.name_relations(&relations).await?.into_iter();
            progress.names = names
                .filter(|(_, name)| {
                    let bare = name.rsplit('.').next().unwrap_or(name);
                    !own.covers(bare.trim_matches('"'))
                })
                .collect();
        }
        Ok(())
    }
}

impl DryRun {
    fn new(messages: &[String], plan: Plan, mut progress: Progress, duration: Duration) -> Self {
        let mut locks = new_locks(&progress.locks).into_iter();
        let tried = plan.steps.into_iter().zip(messages);
        let tried = tried.filter(|(step, _)| !progress.left_out.contains(&step.revision));
        let tried = tried.zip(std::mem::take(&mut progress.done));
        let steps = tried.map(|((step, message), report)| DryStep {
            backfill: progress.trials.get(&step.revision).cloned(),
            step,
            message: message.clone(),
            work: report.work,
            duration: report.duration,
            locks: named(locks.next().unwrap_or_default(), &progress.names),
        });
        Self {
            direction: plan.direction,
            from: plan.from,
            to: plan.to,
            steps: steps.collect(),
            left_out: progress.left_out.clone(),
            duration,
        }
    }
}

/// What each step locked that no step before it had: of each relation the strongest lock.
fn new_locks(held: &[Vec<RelationLock>]) -> Vec<Vec<RelationLock>> {
    let mut before: BTreeSet<RelationLock> = BTreeSet::new();
    let mut new = Vec::with_capacity(held.len());
    for locks in held {
        let mut strongest = BTreeMap::new();
        for &lock in locks {
            if before.insert(lock) {
                let mode = strongest.entry(lock.relation).or_insert(lock.mode);
                *mode = lock.mode.max(*mode);
            }
        }
        let locks = strongest
            .into_iter()
            .map(|(relation, mode)| RelationLock { relation, mode });
        new.push(locks.collect());
    }
    new
}

/// The names of relations that a database knows outside of the transaction, by number.
fn named(locks: Vec<RelationLock>, names: &BTreeMap<u32, String>) -> Vec<TakenLock> {
    let named = locks.into_iter().filter_map(|lock| {
        Some(TakenLock {
            relation: names.get(&lock.relation)?.clone(),
            mode: lock.mode,
        })
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_answers_for_what_no_step_before_it_locked() {
        let lock = |relation, mode| RelationLock { relation, mode };
        let first = vec![
            lock(1, LockMode::AccessShare),
            lock(1, LockMode::RowExclusive),
        ];
        let second = vec![
            lock(1, LockMode::AccessShare),
            lock(1, LockMode::RowExclusive),
            lock(1, LockMode::AccessExclusive),
            lock(2, LockMode::Share),
        ];
        assert_eq!(
            new_locks(&[first.clone(), second, first]),
            [
                vec![lock(1, LockMode::RowExclusive)],
                vec![lock(1, LockMode::AccessExclusive), lock(2, LockMode::Share)],
                vec![],
            ]
        );
    }
}
