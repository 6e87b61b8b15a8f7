//! Putting a backup in the place of the database: the whole of it, in one transaction with the row that says so.

use std::time::Instant;

use camino::Utf8Path;
use jiff::Timestamp;

use super::backup::{absolute, apart, describe};
use super::{Aftermath, Cause, Engine, Run, RunFailure};
use crate::driver::backup::{BackupError, Restoration};
use crate::driver::{CommitError, DriverError, RunLock, Session};
use crate::event::{Event, RestoreReport};
use crate::history::{Kept, Note, Safekeeping, State, Tally};
use crate::plan::Applied;

impl Engine {
    /// Puts a backup in the place of all that the database holds, and says so in the ledger that comes with it. It must
    /// be a backup that the database's ledger knows by its digest, or one of a database that this project migrates.
    ///
    /// # Errors
    /// A [`RunFailure`]; the database is as it was then, unless the connection broke while the restore was committed.
    pub async fn restore(&self, file: &Utf8Path) -> Result<RestoreReport, RunFailure> {
        let result = self
            .locked(async |held| {
                let result = self.put_back(file, held.lock()).await;
                (held, result)
            })
            .await;
        result.map_err(|(cause, aftermath)| RunFailure {
            aftermath,
            ..RunFailure::untouched(cause)
        })
    }

    async fn put_back(
        &self,
        file: &Utf8Path,
        lock: &dyn RunLock,
    ) -> Result<RestoreReport, (Cause, Aftermath)> {
        let untouched = |cause| (cause, Aftermath::Untouched);
        let (started, clock) = (Timestamp::now(), Instant::now());
        self.observer.event(&Event::Restoring { file });
        let prepared = self.prepare_restore(file).await.map_err(untouched)?;
        let Prepared {
            mut restoration,
            before,
            after,
            sha256,
            bytes,
        } = prepared;
        let (was, is) = (self.applied(&before), self.applied(&after));
        let without = |these: &[String], others: &[String]| -> Vec<String> {
            let gone = these.iter().filter(|one| !others.contains(one));
            gone.cloned().collect()
        };
        let report = RestoreReport {
            file: file.to_owned(),
            bytes,
            sha256,
            heads: after.rows.clone(),
            undone: without(&was, &is),
            redone: without(&is, &was),
            duration: clock.elapsed(),
        };
        let run = Run::new(self.driver.dialect());
        let kept = Kept {
            run: run.id,
            action: Safekeeping::Restore,
            sha256: report.sha256.clone(),
            started,
            duration: report.duration,
            performed_by: run.performed_by,
            tally: self.tally(&after),
            note: Note {
                file: absolute(file),
                bytes,
                undone: report.undone.clone(),
                redone: report.redone.clone(),
            },
        };
        let mut records = vec![self.history.record_kept(&kept)];
        records.extend(lock.fence());
        if !lock.is_held() {
            // The transaction is rolled back before anything else may begin.
            restoration.session().rollback().await.ok();
            return Err(untouched(Cause::LockLost));
        }
        restoration.finish(&records).await.map_err(|error| {
            let aftermath = match &error {
                CommitError::Commit(DriverError::CommitUnknown { .. }) => Aftermath::UnknownRestore,
                _ => Aftermath::Untouched,
            };
            (unrestored(file, DriverError::from(error).into()), aftermath)
        })?;
        Ok(RestoreReport {
            duration: clock.elapsed(),
            ..report
        })
    }

    /// Everything that comes before the commit.
    async fn prepare_restore(&self, file: &Utf8Path) -> Result<Prepared, Cause> {
        let failed = |source| unrestored(file, source);
        let from = file.to_owned();
        let described = apart(file, move || describe(&from));
        let (digest, bytes) = self.unless_cancelled(described, failed).await?;
        let sha256 = digest.to_string();
        let (before, is_known) = {
            let mut session = self.session().await?;
            let before = self.history.read(&mut *session).await?;
            let is_known = self.history.knows_backup(&mut *session, &sha256).await?;
            (before, is_known)
        };
        let opened = self.driver.open_backup(file);
        let mut restoration = self.unless_cancelled(opened, failed).await?;
        let canceller = restoration.session().canceller();
        let loaded = async {
            restoration.session().begin().await?;
            restoration.load().await?;
            Ok(self.read_restored(restoration.session()).await?)
        };
        let loaded = self.unless_cancelled(loaded, failed).await;
        if matches!(loaded, Err(Cause::Cancelled)) {
            // What the server is at would go on for a while, with its locks.
            canceller.cancel().await;
        }
        let after = loaded?;
        if !is_known && let Some(reason) = self.is_foreign(&after) {
            // The failure is the one to report; dropping the session would roll back as well.
            restoration.session().rollback().await.ok();
            return Err(Cause::ForeignBackup {
                file: file.to_owned(),
                reason,
            });
        }
        Ok(Prepared {
            restoration,
            before,
            after,
            sha256,
            bytes,
        })
    }

    /// What the backup says of itself. One that was made before the first run has no tables of ours yet: a statement
    /// that fails would end the transaction, so they are made first.
    async fn read_restored(&self, session: &mut dyn Session) -> Result<State, DriverError> {
        for sql in self.history.definitions() {
            session.run(&sql).await?;
        }
        self.history.read(session).await
    }

    /// Why a backup that the ledger does not know is not one of this project's databases, if it is not.
    fn is_foreign(&self, after: &State) -> Option<String> {
        if let Err(error) = Applied::from_rows(&self.graph, &after.rows) {
            return Some(error.to_string().replace("the database", "it"));
        }
        let is_ours = |revision: &String| self.graph.position(revision).is_some();
        let met = after.rows.iter().chain(after.last.keys());
        match met.into_iter().any(is_ours) {
            true => None,
            false => Some("no migration of this project has run in it".to_owned()),
        }
    }

    /// What is applied; where that cannot be told, the rows of the version table.
    fn applied(&self, state: &State) -> Vec<String> {
        match Applied::from_rows(&self.graph, &state.rows) {
            Ok(applied) => {
                let positions = applied.selection().iter();
                let ids = positions.map(|at| self.graph.revision(at).id.to_string());
                ids.collect()
            }
            Err(_) => state.rows.clone(),
        }
    }

    /// The tally of what is applied, where that can be told.
    fn tally(&self, state: &State) -> Option<Tally> {
        if state.last.values().any(|last| last.outcome.is_unfinished()) {
            return None;
        }
        let applied = Applied::from_rows(&self.graph, &state.rows).ok()?;
        let positions = applied.selection().iter();
        let mut tally = Tally::default();
        for (revision, digest) in state.recorded(positions.map(|at| &self.graph.revision(at).id)) {
            tally.join(revision, digest);
        }
        Some(tally)
    }
}

fn unrestored(file: &Utf8Path, source: BackupError) -> Cause {
    Cause::Restore {
        file: file.to_owned(),
        source: Box::new(source),
    }
}

/// A backup in a transaction that is to be committed.
struct Prepared {
    restoration: Box<dyn Restoration>,
    before: State,
    after: State,
    sha256: String,
    bytes: u64,
}
