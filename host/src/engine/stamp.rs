//! Saying what is applied, without running anything.

use super::{Cause, Engine, Inconsistency, Run, RunFailure, load, unfinished, untouched};
use crate::driver::{DriverError, Durability, RunLock, Statement};
use crate::graph::Selection;
use crate::history::{Attempt, Outcome, State, Tally};
use crate::migration::Fingerprint;
use crate::plan::{self, Applied};
use crate::revision::RevisionId;
use crate::target::{self, Target};

/// What a stamp makes of the rows that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stamping {
    /// Each target takes the place of the rows in its line; other branches keep theirs.
    #[default]
    Move,
    /// All rows go first, whatever they are.
    Purge,
}

impl Engine {
    /// Moves the version table's rows to `targets`, as if all that they need had been applied by the code that the files
    /// have now. Returns the rows.
    ///
    /// # Errors
    /// A [`RunFailure`], among others where a migration in their line is unfinished, which [`Engine::repair`] settles;
    /// nothing is changed then.
    pub async fn stamp(
        &self,
        targets: &[Target],
        stamping: Stamping,
    ) -> Result<Vec<RevisionId>, RunFailure> {
        let result = self
            .locked(async |held| {
                let result = self.write_stamp(targets, stamping, held.lock()).await;
                (held, result.map_err(untouched))
            })
            .await;
        result.map_err(|(cause, _)| RunFailure::untouched(cause))
    }

    async fn write_stamp(
        &self,
        targets: &[Target],
        stamping: Stamping,
        lock: &dyn RunLock,
    ) -> Result<Vec<RevisionId>, Cause> {
        let mut session = self.session().await?;
        self.history.ensure(&mut *session).await?;
        let state = self.history.read(&mut *session).await?;
        let (rows, mut statements) =
            self.stamp_from(&Run::new(self.driver.dialect()), &state, targets, stamping)?;
        statements.extend(lock.fence());
        session.begin().await?;
        session
            .commit(&statements, Durability::Now)
            .await
            .map_err(DriverError::from)?;
        Ok(rows)
    }

    /// The rows after a stamp, and what writes them and says so.
    pub(super) fn stamp_from(
        &self,
        run: &Run,
        state: &State,
        targets: &[Target],
        stamping: Stamping,
    ) -> Result<(Vec<RevisionId>, Vec<Statement>), Cause> {
        let kept: &[String] = match stamping {
            Stamping::Move => &state.rows,
            Stamping::Purge => &[],
        };
        let rows = plan::stamped(&self.graph, kept, targets)?;
        let line = self
            .line(targets, stamping)
            .map_err(plan::PlanError::from)?;
        let statements = self.stamp_statements(run, state, &line, &rows)?;
        Ok((rows, statements))
    }

    /// All that shares a line of descent with one of the targets; everything, where nothing stays as it is.
    fn line(
        &self,
        targets: &[Target],
        stamping: Stamping,
    ) -> Result<Selection, target::TargetError> {
        let mut line = Selection::none(&self.graph);
        if stamping == Stamping::Purge {
            line.extend(&self.graph.ancestors(self.graph.positions()));
        }
        for target in targets {
            match target::lineage(&self.graph, target)? {
                Some(more) => line.extend(&more),
                None => line.extend(&self.graph.ancestors(self.graph.positions())),
            }
        }
        Ok(line)
    }

    fn stamp_statements(
        &self,
        run: &Run,
        state: &State,
        line: &Selection,
        rows: &[RevisionId],
    ) -> Result<Vec<Statement>, Cause> {
        let unfinished = self.unfinished_in(state, line);
        if !unfinished.is_empty() {
            return Err(Cause::Inconsistent(unfinished));
        }
        let applied = Applied::from_rows(&self.graph, rows)?;
        let mut statements = self.history.replace_versions(&state.rows, rows);
        let mut tally = Tally::default();
        let mut attempts = Vec::new();
        for position in self.graph.positions() {
            let revision = &self.graph.revision(position).id;
            let last = state.last.get(revision.as_str());
            let is_applied = applied.selection().contains(position);
            let fingerprint = match line.contains(position) {
                true => Some(self.stamped_fingerprint(revision)?),
                false => None,
            };
            let is_gone = !is_applied && state.rows.iter().any(|row| row == revision.as_str());
            let named = fingerprint.filter(|fingerprint| {
                let is_news = last
                    .is_some_and(|last| !last.is_applied() || last.digest != fingerprint.content);
                is_gone || rows.contains(revision) || (is_applied && is_news)
            });
            let recorded = match (&named, last) {
                (Some(fingerprint), _) => Some(fingerprint.content.as_str()),
                (None, Some(last)) if last.is_applied() => Some(last.digest.as_str()),
                _ => None,
            };
            if let (true, Some(recorded)) = (is_applied, recorded) {
                tally.join(revision.as_str(), recorded);
            }
            if let Some(fingerprint) = named {
                let outcome = match is_applied {
                    true => Outcome::Done,
                    false => Outcome::Undone,
                };
                attempts.push(Attempt {
                    outcome,
                    ..run.attempt(revision, "stamp", fingerprint)
                });
            }
        }
        let is_known = !state.last.values().any(|last| last.outcome.is_unfinished());
        let tally = is_known.then_some(tally);
        statements.extend(
            attempts
                .into_iter()
                .map(|attempt| self.history.record(&Attempt { tally, ..attempt })),
        );
        Ok(statements)
    }

    /// What a stamp would leave in doubt: a migration in its line that began and did not come to its end.
    fn unfinished_in(&self, state: &State, line: &Selection) -> Vec<Inconsistency> {
        let in_line = state.last.iter().filter(|(id, last)| {
            let is_in_line = |at| line.contains(at);
            last.outcome.is_unfinished() && self.graph.position(id).is_some_and(is_in_line)
        });
        in_line
            .filter_map(|(id, last)| Some(unfinished(&RevisionId::new(id).ok()?, last)))
            .collect()
    }

    fn stamped_fingerprint(&self, revision: &RevisionId) -> Result<Fingerprint, Cause> {
        self.library
            .fingerprint(revision)
            .map_err(|source| load(revision, source))
    }
}
