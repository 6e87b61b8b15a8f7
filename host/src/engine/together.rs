//! All steps of a plan in one transaction: a run that is in effect as a whole or not at all, and one that is only tried.

use std::collections::BTreeMap;
use std::time::Instant;

use super::audit::lend_audited;
use super::call::Ready;
use super::step::{Failed, Tries, action, failed, tally_after, transaction};
use super::{Aftermath, Cause, Engine, Lent, Progress, Purpose, Run, Watch};
use crate::driver::tape::Tape;
use crate::driver::{Durability, RunLock};
use crate::event::{Event, StepReport};
use crate::history::Attempt;
use crate::migration::Work;
use crate::plan::{Plan, Step};
use crate::revision::{RevisionId, TransactionMode, Transactional};

/// How the transaction of a whole plan ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// What it did is in effect.
    Commit,
    /// Nothing of it is.
    RollBack,
}

/// What one transaction is to do.
pub(super) struct Whole<'a> {
    pub(super) run: &'a Run,
    pub(super) plan: &'a Plan,
    /// The digests that the ledger has of what is applied.
    pub(super) recorded: &'a BTreeMap<&'a str, &'a str>,
    pub(super) end: End,
    /// Where what components read goes.
    pub(super) tape: Option<&'a Tape>,
}

/// A try that came to nothing: with what the ledger is to be told of the step that failed.
struct Broken {
    attempt: Option<Box<Attempt>>,
    revision: RevisionId,
    failed: Failed,
}

impl Engine {
    /// How the transaction of a whole plan ends; none where each step has its own. One step alone is a whole run, however
    /// it runs.
    ///
    /// # Errors
    /// [`Cause::Mixed`], where the plan is to be all or nothing and some of its steps cannot be a part of that;
    /// [`Cause::Lasting`], where it is to be tried and some could not be rolled back.
    pub(super) fn end_of(&self, plan: &Plan, purpose: Purpose<'_>) -> Result<Option<End>, Cause> {
        if matches!(purpose, Purpose::Try { .. }) {
            let lasting = self.apart(plan, |transactional| transactional == Transactional::No);
            return match lasting.is_empty() {
                true => Ok(Some(End::RollBack)),
                false => Err(Cause::Lasting(lasting)),
            };
        }
        if self.transaction == TransactionMode::Migration || plan.steps.len() < 2 {
            return Ok(None);
        }
        let apart = self.apart(plan, |transactional| transactional != Transactional::Yes);
        match apart.is_empty() {
            true => Ok(Some(End::Commit)),
            false => Err(Cause::Mixed(apart)),
        }
    }

    /// The revisions that say of themselves what `is_apart` looks for.
    fn apart(&self, plan: &Plan, is_apart: fn(Transactional) -> bool) -> Vec<RevisionId> {
        let steps = plan.steps.iter().filter(|step| {
            self.graph
                .get(step.revision.as_str())
                .is_some_and(|revision| is_apart(revision.transactional))
        });
        steps.map(|step| step.revision.clone()).collect()
    }

    /// Takes all steps in one transaction, again and again while they fail for a reason that may pass. After a failure
    /// none of them is in effect.
    pub(super) async fn take_together(
        &self,
        whole: &Whole<'_>,
        progress: &mut Progress,
        mut session: Lent,
        lock: &dyn RunLock,
    ) -> (Lent, Result<(), Failed>) {
        let tally = progress.tally;
        let mut tries = Tries::new(&self.patience);
        loop {
            progress.done.clear();
            progress.locks.clear();
            progress.trials.clear();
            progress.left_out.clear();
            progress.tally = tally;
            let result;
            (session, result) = self
                .attempt_together(whole, &tries, progress, session, lock)
                .await;
            let Err(Broken {
                attempt,
                revision,
                failed,
            }) = result
            else {
                return (session, Ok(()));
            };
            let again = self.may_pass(&mut tries, &revision, &failed).await;
            let (cause, aftermath) = match again {
                Ok(true) => continue,
                Ok(false) => failed,
                Err(cause) => (cause, failed.1),
            };
            if !matches!(aftermath, Aftermath::Committed(_)) {
                progress.done.clear();
            }
            if whole.end == End::RollBack {
                return (session, Err((cause, Aftermath::DryRun)));
            }
            let failed = match attempt {
                Some(mut attempt) => {
                    attempt.tally = Some(tally);
                    self.give_up(&mut *session, *attempt, tries.made, (cause, aftermath))
                        .await
                }
                None => (cause, aftermath),
            };
            return (session, Err(failed));
        }
    }

    async fn attempt_together(
        &self,
        whole: &Whole<'_>,
        tries: &Tries,
        progress: &mut Progress,
        mut session: Lent,
        lock: &dyn RunLock,
    ) -> (Lent, Result<(), Broken>) {
        let Some((first, last)) = whole.plan.steps.first().zip(whole.plan.steps.last()) else {
            return (session, Ok(()));
        };
        session.will_share();
        let begun = match whole.end {
            End::Commit => self.history.begin(&mut *session).await,
            End::RollBack => self.history.begin_with_tables(&mut *session).await,
        };
        if let Err(source) = begun {
            let cause = transaction(first, "begun", source);
            let broken = self.break_off(&mut session, first, None, cause).await;
            return (session, Err(broken));
        }
        if whole.end == End::RollBack {
            let table = self.version_table.rsplit('.').next().unwrap_or_default();
            progress.watch = match session.has_relations(table).await {
                Ok(true) => Watch::Locks,
                Ok(false) => Watch::Nothing,
                Err(source) => {
                    let cause = transaction(first, "looked at", source);
                    let broken = self.break_off(&mut session, first, None, cause).await;
                    return (session, Err(broken));
                }
            };
        }
        for (at, step) in whole.plan.steps.iter().enumerate() {
            if let Some(next) = whole.plan.steps.get(at + 1) {
                self.library.load_ahead(&next.revision);
            }
            if self.backfills.sample.is_some() {
                let sampled: Vec<RevisionId> = progress.trials.keys().cloned().collect();
                if self.waits(step, &sampled) {
                    progress.left_out.push(step.revision.clone());
                    continue;
                }
            }
            let result;
            (session, result) = self
                .take_one(whole, step, tries, progress, session, lock)
                .await;
            if let Err(broken) = result {
                return (session, Err(broken));
            }
        }
        let ended = match whole.end {
            End::Commit => self.commit_together(whole, last, &mut session, lock).await,
            // A rollback can only fail with the connection, which takes its transaction with it.
            End::RollBack => {
                let _ = session.rollback().await;
                Ok(())
            }
        };
        let ended = ended.map_err(|failed| Broken {
            attempt: None,
            revision: last.revision.clone(),
            failed,
        });
        if ended.is_ok() && whole.end == End::Commit {
            for report in &progress.done {
                self.observer.event(&Event::StepFinished { report });
            }
        }
        if matches!(&ended, Err(broken) if matches!(broken.failed.1, Aftermath::Committed(_))) {
            // The failure speaks of the last one.
            progress.done.pop();
        }
        (session, ended)
    }

    /// One step of several: the migration and its records, in a transaction that goes on.
    async fn take_one(
        &self,
        whole: &Whole<'_>,
        step: &Step,
        tries: &Tries,
        progress: &mut Progress,
        mut session: Lent,
        lock: &dyn RunLock,
    ) -> (Lent, Result<(), Broken>) {
        let started = Instant::now();
        let ready = match self.ready(whole.run, step, progress, lock) {
            Ok(ready) => ready,
            Err(cause) => {
                let broken = self.break_off(&mut session, step, None, cause).await;
                return (session, Err(broken));
            }
        };
        if let Some(tape) = whole.tape {
            match self.chapter(step) {
                Ok(chapter) => tape.record(&chapter),
                Err(cause) => {
                    let broken = self.break_off(&mut session, step, None, cause).await;
                    return (session, Err(broken));
                }
            }
        }
        let recorded = whole.recorded.get(step.revision.as_str()).copied();
        let after = tally_after(progress.tally, step, recorded, &ready.fingerprint.content);
        let mut attempt =
            whole
                .run
                .attempt(&step.revision, action(step), ready.fingerprint.clone());
        let outcome;
        (session, outcome) = self.work_of(whole, step, &ready, progress, session).await;
        match outcome {
            Ok(work) => attempt.work = work,
            Err(cause) => {
                let broken = self
                    .break_off(&mut session, step, Some(attempt), cause)
                    .await;
                return (session, Err(broken));
            }
        }
        attempt.duration = started.elapsed();
        attempt.tally = Some(after);
        let mut records = self.history.move_versions(step);
        records.push(self.history.record(&attempt));
        let written = session.record(&records).await;
        if let Err(failed) = self.settle(&mut *session, step, written).await {
            let broken = Broken {
                attempt: Some(Box::new(attempt)),
                revision: step.revision.clone(),
                failed,
            };
            return (session, Err(broken));
        }
        progress.tally = after;
        progress.done.push(StepReport {
            revision: step.revision.clone(),
            direction: step.direction,
            work: attempt.work,
            duration: started.elapsed(),
            attempts: tries.made,
        });
        if progress.watch == Watch::Locks {
            match session.locks().await {
                Ok(locks) => progress.locks.push(locks),
                Err(source) => {
                    let cause = transaction(step, "looked at", source);
                    let broken = self.break_off(&mut session, step, None, cause).await;
                    return (session, Err(broken));
                }
            }
        }
        (session, Ok(()))
    }

    /// What a step does in the transaction of all.
    async fn work_of(
        &self,
        whole: &Whole<'_>,
        step: &Step,
        ready: &Ready,
        progress: &mut Progress,
        mut session: Lent,
    ) -> (Lent, Result<Work, Cause>) {
        match self.is_backfill(step) {
            Ok(true) if whole.end == End::RollBack => {
                let tried = self.try_backfill(&mut *session, step, ready).await;
                let outcome = tried.map(|trial| {
                    let work = Work {
                        statements: 1,
                        rows: trial.counts.written + trial.counts.dropped,
                    };
                    progress.trials.insert(step.revision.clone(), trial);
                    work
                });
                (session, outcome)
            }
            Ok(_) => {
                let (session, result) = lend_audited(ready, session).await;
                (session, result.map_err(|source| failed(step, source)))
            }
            Err(cause) => (session, Err(cause)),
        }
    }

    async fn break_off(
        &self,
        session: &mut Lent,
        step: &Step,
        attempt: Option<Attempt>,
        cause: Cause,
    ) -> Broken {
        Broken {
            attempt: attempt.map(Box::new),
            revision: step.revision.clone(),
            failed: self.undo(&mut **session, step, cause).await,
        }
    }

    async fn commit_together(
        &self,
        whole: &Whole<'_>,
        last: &Step,
        session: &mut Lent,
        lock: &dyn RunLock,
    ) -> Result<(), Failed> {
        let fence: Vec<_> = lock.fence().into_iter().collect();
        let committed = session.commit(&fence, Durability::Now).await;
        // As one step from where the plan starts to where it ends.
        let (from, to) = (&whole.plan.from, &whole.plan.to);
        let leap = Step {
            revision: last.revision.clone(),
            direction: last.direction,
            removes: from.iter().filter(|id| !to.contains(id)).cloned().collect(),
            adds: to.iter().filter(|id| !from.contains(id)).cloned().collect(),
        };
        self.settle(&mut **session, &leap, committed).await
    }
}
