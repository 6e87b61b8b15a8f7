//! Saying what is applied, without running anything.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::{Cause, Engine, Run, RunFailure, load, untouched};
use crate::driver::{DriverError, Durability, RunLock, Session, Statement};
use crate::graph::Position;
use crate::history::{Attempt, Outcome, State, Tally};
use crate::migration::{Fingerprint, Work};
use crate::plan;
use crate::revision::RevisionId;
use crate::target::Target;

impl Engine {
    /// Makes the version table say that exactly `targets` and all that they need are applied, by the code that the
    /// files have now. It also settles what a migration without a transaction left open. Returns the rows.
    ///
    /// # Errors
    /// A [`RunFailure`]; nothing is changed then.
    pub async fn stamp(&self, targets: &[Target]) -> Result<Vec<RevisionId>, RunFailure> {
        let mut positions = Vec::new();
        for target in targets {
            let found = target
                .resolve(&self.graph)
                .map_err(|error| RunFailure::untouched(Cause::Plan(error.into())))?;
            positions.extend(found);
        }
        let rows = plan::stamped(&self.graph, &positions);
        let result = self
            .locked(async |held| {
                let result = self.write_stamp(&positions, &rows, held.lock()).await;
                (held, result.map_err(untouched))
            })
            .await;
        match result {
            Ok(()) => Ok(rows),
            Err((cause, _)) => Err(RunFailure::untouched(cause)),
        }
    }

    async fn write_stamp(
        &self,
        targets: &[Position],
        rows: &[RevisionId],
        lock: &dyn RunLock,
    ) -> Result<(), Cause> {
        let mut session = self.session().await?;
        self.history.ensure(&mut *session).await?;
        let state = self.history.read(&mut *session).await?;
        let statements = self.stamp_statements(&state, targets, rows, lock)?;
        Ok(write(&mut *session, &statements).await?)
    }

    fn stamp_statements(
        &self,
        state: &State,
        targets: &[Position],
        rows: &[RevisionId],
        lock: &dyn RunLock,
    ) -> Result<Vec<Statement>, Cause> {
        let run = Run::new(self.driver.dialect());
        let applied = self.graph.ancestors(targets.iter().copied());
        let mut statements = self.history.replace_versions(&state.rows, rows);
        let mut named: BTreeSet<&str> = rows.iter().map(RevisionId::as_str).collect();
        let unfinished = state
            .last
            .iter()
            .filter(|(_, last)| last.outcome.is_unfinished());
        named.extend(unfinished.map(|(revision, _)| revision.as_str()));
        let mut tally = Tally::default();
        let mut attempts = Vec::new();
        for position in self.graph.positions() {
            let revision = &self.graph.revision(position).id;
            let fingerprint = self.stamped_fingerprint(revision)?;
            let last = state.last.get(revision.as_str());
            let is_applied = applied.contains(position);
            let changed = is_applied && last.is_some_and(|last| last.digest != fingerprint.content);
            let is_named = named.contains(revision.as_str()) || changed;
            if is_applied && (is_named || last.is_some_and(|last| last.action != "downgrade")) {
                tally.join(revision.as_str(), &fingerprint.content);
            }
            if is_named {
                attempts.push(Attempt {
                    run: run.id,
                    revision: revision.clone(),
                    action: "stamp",
                    fingerprint,
                    started: Timestamp::now(),
                    duration: Duration::ZERO,
                    work: Work::default(),
                    outcome: Outcome::Done,
                    error: None,
                    performed_by: run.performed_by.clone(),
                    tally: None,
                });
            }
        }
        statements.extend(attempts.into_iter().map(|attempt| {
            self.history.record(&Attempt {
                tally: Some(tally),
                ..attempt
            })
        }));
        statements.extend(lock.fence());
        Ok(statements)
    }

    fn stamped_fingerprint(&self, revision: &RevisionId) -> Result<Fingerprint, Cause> {
        self.library
            .fingerprint(revision)
            .map_err(|source| load(revision, source))
    }
}

async fn write(session: &mut dyn Session, statements: &[Statement]) -> Result<(), DriverError> {
    session.begin().await?;
    Ok(session.commit(statements, Durability::Now).await?)
}
