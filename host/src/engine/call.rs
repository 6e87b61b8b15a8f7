//! What a step needs before anything is begun: the code, and what the code is told.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{Cause, Engine, Progress, Run, load};
use crate::capability::Grant;
use crate::driver::{Dialect, RunLock};
use crate::event::{Event, Observer};
use crate::migration::{Call, Fingerprint, Level, Listener, Migration, MigrationError};
use crate::plan::Step;
use crate::revision::{RevisionId, Transactional};

/// A step that can begin.
pub(super) struct Ready {
    pub(super) migration: Arc<dyn Migration>,
    pub(super) call: Call,
    pub(super) fingerprint: Fingerprint,
    pub(super) transactional: Transactional,
}

impl Engine {
    /// Looks up everything that a step needs, before anything is begun.
    pub(super) fn ready(
        &self,
        run: &Run,
        step: &Step,
        progress: &Progress,
        lock: &dyn RunLock,
    ) -> Result<Ready, Cause> {
        if self.cancel.is_requested() {
            return Err(Cause::Cancelled);
        }
        if !lock.is_held() {
            return Err(Cause::LockLost);
        }
        self.observer.event(&Event::StepStarted {
            number: progress.done.len() + 1,
            total: progress.planned,
            step,
            message: self
                .graph
                .get(step.revision.as_str())
                .map_or("", |revision| &revision.message),
        });
        self.made_ready(run, step)
    }

    /// The code of a step, and what it is told.
    pub(super) fn made_ready(&self, run: &Run, step: &Step) -> Result<Ready, Cause> {
        let failed = |source| load(&step.revision, source);
        let fingerprint = self.library.fingerprint(&step.revision).map_err(failed)?;
        let migration = self.library.load(&step.revision).map_err(failed)?;
        let parameters = self.library.parameters(&step.revision).map_err(failed)?;
        let grant = self.grant(&step.revision).map_err(failed)?;
        let call = Call {
            revision: step.revision.clone(),
            direction: step.direction,
            run: run.id,
            dialect: run.dialect,
            now: run.now,
            seed: seed(run, &step.revision),
            parameters,
            is_offline: false,
            grant,
            cancel: self.cancel.clone(),
            listener: Arc::new(Relay {
                revision: step.revision.clone(),
                observer: Arc::clone(&self.observer),
            }),
        };
        Ok(Ready {
            migration,
            call,
            fingerprint,
            transactional: self
                .graph
                .get(step.revision.as_str())
                .map_or(Transactional::Yes, |revision| revision.transactional),
        })
    }
}

impl Engine {
    /// What a revision may do, its names as the database compares them.
    pub(in crate::engine) fn grant(
        &self,
        revision: &RevisionId,
    ) -> Result<Arc<Grant>, MigrationError> {
        let grant = self.library.grant(revision)?;
        Ok(match self.driver.dialect() {
            Dialect::Postgresql => grant,
            Dialect::Sqlite => Arc::new(grant.in_lower_case()),
        })
    }
}

/// Eight bytes that are the same whenever the same run does the same revision.
pub(super) fn seed(run: &Run, revision: &RevisionId) -> [u8; 8] {
    let digest = Sha256::new()
        .chain_update(run.id.as_bytes())
        .chain_update(revision.as_str())
        .finalize();
    let mut seed = [0; 8];
    seed.copy_from_slice(&digest[..8]);
    seed
}

/// Hands what a migration says to the observer of the run.
struct Relay {
    revision: RevisionId,
    observer: Arc<dyn Observer>,
}

impl Listener for Relay {
    fn log(&self, level: Level, message: &str) {
        self.observer.event(&Event::Log {
            revision: &self.revision,
            level,
            message,
        });
    }

    fn progress(&self, done: u64, total: Option<u64>) {
        self.observer.event(&Event::Progress {
            revision: &self.revision,
            done,
            total,
        });
    }
}
