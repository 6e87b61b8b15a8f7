//! Bringing what a database says of itself in order, by the word of someone who has looked.
//!
//! The schema is never touched, and nothing is guessed: a repair writes down one thing that was said, in one
//! transaction with a ledger row, under the run lock.

use super::{
    Cause, Engine, Inconsistency, Problem, Remedy, RepairError, Run, RunFailure, load, untouched,
};
use crate::driver::{
    Dialect, DriverError, Durability, ResultLimit, RunLock, Session, Statement, Value,
};
use crate::graph::{Position, Selection};
use crate::history::{Attempt, Outcome, State, Tally};
use crate::migration::Fingerprint;
use crate::plan::{Applied, Step};
use crate::revision::RevisionId;

/// Indexes that no query uses, but for those of partitioned tables, which are invalid until all parts have one, and
/// those that are being built.
const INVALID_INDEXES: &str = "SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), i.indrelid::regclass::text
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT i.indisvalid AND c.relkind = 'i'
  AND NOT EXISTS (SELECT 1 FROM pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid)
ORDER BY 1";

/// What a repair has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    /// The problem that there was.
    pub problem: Problem,
    /// The version table's rows now.
    pub rows: Vec<String>,
}

/// What the version table and the ledger say.
struct Records {
    state: State,
    /// The tally of the ledger's last row; empty where it has none.
    tally: String,
    /// What the rows stand for that the graph has.
    applied: Applied,
    /// The rows that it has not.
    missing: Vec<String>,
}

/// What a remedy writes.
#[derive(Default)]
struct Remedied {
    statements: Vec<Statement>,
    said: Vec<Said>,
}

/// One thing that the ledger is told.
struct Said {
    revision: RevisionId,
    outcome: Outcome,
    fingerprint: Fingerprint,
}

impl Engine {
    /// All that is wrong with what the database says of itself; changes nothing. What a run that is going on has not
    /// finished yet looks like what another one left behind.
    ///
    /// # Errors
    /// When the database or the code of an applied revision cannot be read.
    pub async fn problems(&self) -> Result<Vec<Problem>, RunFailure> {
        let read = async {
            let mut session = self.session().await?;
            let records = self.records(&mut *session).await?;
            let mut problems = self.problems_of(&records)?;
            problems.extend(self.invalid_indexes(&mut *session).await?);
            Ok::<_, Cause>(problems)
        };
        read.await.map_err(RunFailure::untouched)
    }

    /// Settles one problem: that of `revision`, or with [`Remedy::Rows`] that of the version table.
    ///
    /// # Errors
    /// A [`RunFailure`], with [`Cause::Repair`] where there is no such problem; nothing is changed then.
    pub async fn repair(
        &self,
        revision: Option<&str>,
        remedy: Remedy,
    ) -> Result<Repaired, RunFailure> {
        let result = self
            .locked(async |held| {
                let result = self.write_repair(revision, remedy, held.lock()).await;
                (held, result.map_err(untouched))
            })
            .await;
        result.map_err(|(cause, _)| RunFailure::untouched(cause))
    }

    async fn write_repair(
        &self,
        revision: Option<&str>,
        remedy: Remedy,
        lock: &dyn RunLock,
    ) -> Result<Repaired, Cause> {
        let mut session = self.session().await?;
        let records = self.records(&mut *session).await?;
        let is_meant = |problem: &Problem| problem.revision() == revision;
        let problems = self.problems_of(&records)?;
        let mut meant = problems.into_iter().filter(is_meant);
        let Some(problem) = meant.find(|problem| is_answered_by(problem, remedy)) else {
            return Err(Cause::Repair(RepairError::NothingToRepair {
                revision: revision.map(str::to_owned),
                remedy,
            }));
        };
        let Remedied {
            mut statements,
            said,
        } = self.remedied(&records, &problem, remedy)?;
        // Another tool's database has no ledger yet.
        self.history.ensure(&mut *session).await?;
        let run = Run::new(self.driver.dialect());
        let tally = self.tally_after_repair(&records, &said);
        statements.extend(said.into_iter().map(|said| {
            self.history.record(&Attempt {
                outcome: said.outcome,
                tally,
                ..run.attempt(&said.revision, "repair", said.fingerprint)
            })
        }));
        statements.extend(lock.fence());
        session.begin().await?;
        session
            .commit(&statements, Durability::Now)
            .await
            .map_err(DriverError::from)?;
        let rows = self.history.read(&mut *session).await?.rows;
        Ok(Repaired { problem, rows })
    }

    async fn records(&self, session: &mut dyn Session) -> Result<Records, Cause> {
        let state = self.history.read(session).await?;
        let tally = self.history.glance(session).await?.tally;
        let (known, missing): (Vec<String>, Vec<String>) = state
            .rows
            .iter()
            .cloned()
            .partition(|row| self.graph.position(row).is_some());
        Ok(Records {
            applied: Applied::from_rows(&self.graph, &known)?,
            state,
            tally,
            missing,
        })
    }

    fn problems_of(&self, records: &Records) -> Result<Vec<Problem>, Cause> {
        let inconsistencies =
            self.inconsistencies_with(&records.state, records.applied.selection())?;
        let mut problems: Vec<Problem> = inconsistencies
            .into_iter()
            .map(Problem::Inconsistent)
            .collect();
        problems.extend(records.missing.iter().map(|row| Problem::Missing {
            revision: row.clone(),
            before: self.rows_before_what_is_missing(records),
        }));
        problems.extend(records.applied.redundant().iter().filter_map(|row| {
            let implied = self.graph.position(row.as_str())?;
            let by = records.applied.tips().iter().find(|&&tip| {
                let needs = self.graph.ancestors([tip]);
                needs.contains(implied)
            });
            Some(Problem::Implied {
                revision: row.clone(),
                by: self.graph.revision(*by?).id.clone(),
            })
        }));
        problems.extend(self.moved(records));
        Ok(problems)
    }

    async fn invalid_indexes(&self, session: &mut dyn Session) -> Result<Vec<Problem>, Cause> {
        if self.driver.dialect() != Dialect::Postgresql {
            return Ok(Vec::new());
        }
        let rows = session
            .query(INVALID_INDEXES, &[], ResultLimit::NONE)
            .await?
            .into_rows();
        let problems = rows.into_iter().filter_map(|row| {
            let mut texts = row.into_iter().filter_map(|value| match value {
                Value::Text(text) => Some(text),
                _ => None,
            });
            Some(Problem::InvalidIndex {
                index: texts.next()?,
                table: texts.next()?,
            })
        });
        Ok(problems.collect())
    }

    /// Whether the rows are others than those that the ledger's last row was written with. A ledger that says nothing of
    /// some applied revisions, as where another tool's database was taken over, is none to go by for them.
    fn moved(&self, records: &Records) -> Option<Problem> {
        if records.tally.is_empty() || !records.missing.is_empty() {
            return None;
        }
        let mut recorded = Tally::default();
        let mut with_files = Tally::default();
        for position in records.applied.selection().iter() {
            let id = &self.graph.revision(position).id;
            match records.last_applied(id.as_str()) {
                Some(digest) => {
                    recorded.join(id.as_str(), digest);
                    with_files.join(id.as_str(), digest);
                }
                // A script takes what it was told to start from for applied by the files that it was written from.
                None => with_files.join(id.as_str(), &self.library.content_digest(id).ok()?),
            }
        }
        let is_as_left = [recorded, with_files]
            .iter()
            .any(|tally| tally.to_string() == records.tally);
        (!is_as_left).then(|| Problem::Moved {
            rows: ids(self, records.applied.tips()),
            lost: ids(self, &self.lost(records)),
        })
    }

    /// The latest revisions that the ledger has as applied and the version table has not.
    fn lost(&self, records: &Records) -> Vec<Position> {
        let is_lost = |&at: &Position| {
            let id = self.graph.revision(at).id.as_str();
            !records.applied.selection().contains(at) && records.last_applied(id).is_some()
        };
        let lost: Vec<Position> = self.graph.positions().filter(is_lost).collect();
        let is_latest = |at: &&Position| {
            let mut after = self.graph.needed_by(**at).iter();
            !after.any(|next| lost.contains(next))
        };
        lost.iter().filter(is_latest).copied().collect()
    }

    /// The rows that stand for all that the ledger has as applied and the graph has, where the tally of its last row
    /// proves that this and what is missing was all that was applied.
    fn rows_before_what_is_missing(&self, records: &Records) -> Option<Vec<RevisionId>> {
        let mut tally = Tally::default();
        let mut known = Selection::none(&self.graph);
        for (id, last) in &records.state.last {
            if last.is_applied() {
                tally.join(id, &last.digest);
                if let Some(at) = self.graph.position(id) {
                    known.insert(at);
                }
            }
        }
        let mut needed = self.graph.ancestors(known.iter());
        needed.extend(records.applied.selection());
        let is_proved = tally.to_string() == records.tally
            && needed.iter().all(|at| known.contains(at))
            && records
                .missing
                .iter()
                .all(|row| records.last_applied(row).is_some());
        let is_latest = |at: &Position| {
            let mut after = self.graph.needed_by(*at).iter();
            !after.any(|next| known.contains(*next))
        };
        let latest: Vec<Position> = known.iter().filter(is_latest).collect();
        is_proved.then(|| ids(self, &latest))
    }

    fn remedied(
        &self,
        records: &Records,
        problem: &Problem,
        remedy: Remedy,
    ) -> Result<Remedied, Cause> {
        match problem {
            Problem::Inconsistent(Inconsistency::Unfinished { revision, .. }) => {
                self.settled(records, revision, remedy)
            }
            Problem::Inconsistent(Inconsistency::Changed { revision, .. }) => {
                let fingerprint = self
                    .library
                    .fingerprint(revision)
                    .map_err(|source| load(revision, source))?;
                Ok(Remedied::said(revision, Outcome::Done, fingerprint))
            }
            Problem::Implied { revision, .. } => {
                let fingerprint = self.recorded_fingerprint(records, revision)?;
                let mut remedied = Remedied::said(revision, Outcome::Done, fingerprint);
                remedied.statements = self.history.replace_versions(&[revision.to_string()], &[]);
                Ok(remedied)
            }
            Problem::Missing { revision, before } => {
                let unproved = || RepairError::NotProved {
                    revision: revision.clone(),
                };
                let before = before.as_deref().ok_or_else(unproved)?;
                Ok(self.forgotten(records, revision, before))
            }
            Problem::Moved { rows, lost } => {
                let mut remedied = Remedied::default();
                for (ids, outcome) in [(rows, Outcome::Done), (lost, Outcome::Undone)] {
                    for revision in ids {
                        let fingerprint = self.recorded_fingerprint(records, revision)?;
                        let said = Remedied::said(revision, outcome, fingerprint).said;
                        remedied.said.extend(said);
                    }
                }
                Ok(remedied)
            }
            Problem::InvalidIndex { .. } => Ok(Remedied::default()),
        }
    }

    /// A migration without a transaction that began, and of which somebody has said how it ended.
    fn settled(
        &self,
        records: &Records,
        revision: &RevisionId,
        remedy: Remedy,
    ) -> Result<Remedied, Cause> {
        let outcome = match remedy {
            Remedy::Applied => Outcome::Done,
            _ => Outcome::Undone,
        };
        // What ran is what the ledger says; a file that has changed since is another problem.
        let fingerprint = Fingerprint {
            content: records.digest(revision.as_str()),
            ..Fingerprint::default()
        };
        let mut remedied = Remedied::said(revision, outcome, fingerprint);
        if let Some(step) = self.settling_step(records, revision, outcome)? {
            remedied.statements = self.history.move_versions(&step);
        }
        Ok(remedied)
    }

    /// What it does to the version table that a revision counts as applied, or does not; none, where that stays.
    fn settling_step(
        &self,
        records: &Records,
        revision: &RevisionId,
        outcome: Outcome,
    ) -> Result<Option<Step>, RepairError> {
        let mut applied = records.applied.clone();
        let position = self.graph.position(revision.as_str());
        let is_applied = position.is_some_and(|at| applied.selection().contains(at));
        let mut step = match (outcome, position) {
            (Outcome::Done, None) => {
                return Err(RepairError::NothingToRepair {
                    revision: Some(revision.to_string()),
                    remedy: Remedy::Applied,
                });
            }
            (Outcome::Done, Some(at)) if !is_applied => {
                let is_lacking = |need: &&Position| !applied.selection().contains(**need);
                let lacking: Vec<Position> = self
                    .graph
                    .needs(at)
                    .iter()
                    .filter(is_lacking)
                    .copied()
                    .collect();
                if !lacking.is_empty() {
                    return Err(RepairError::Needs {
                        revision: revision.clone(),
                        needs: ids(self, &lacking),
                    });
                }
                applied.apply(&self.graph, at)
            }
            (Outcome::Undone, Some(at)) if is_applied => {
                if applied.is_needed(at) {
                    return Err(RepairError::Needed {
                        revision: revision.clone(),
                    });
                }
                applied.revert(&self.graph, at)
            }
            _ => return Ok(None),
        };
        let is_there =
            |row: &RevisionId| records.state.rows.iter().any(|other| other == row.as_str());
        step.adds.retain(|row| !is_there(row));
        Ok(Some(step))
    }

    /// A row that no migration has goes; with the last one of them, all that the ledger knows of that no migration has.
    fn forgotten(&self, records: &Records, row: &str, before: &[RevisionId]) -> Remedied {
        let mut rows: Vec<&str> = records.missing.iter().map(String::as_str).collect();
        rows.retain(|other| *other != row);
        let mut remedied = Remedied::default();
        let is_last = rows.is_empty();
        remedied.statements = match is_last {
            true => self.history.replace_versions(&records.state.rows, before),
            false => self.history.replace_versions(&[row.to_owned()], &[]),
        };
        for (id, last) in &records.state.last {
            let is_meant = id == row || (is_last && self.graph.position(id).is_none());
            if let (true, true, Ok(revision)) = (is_meant, last.is_applied(), RevisionId::new(id)) {
                let fingerprint = Fingerprint {
                    content: last.digest.clone(),
                    ..Fingerprint::default()
                };
                let said = Remedied::said(&revision, Outcome::Undone, fingerprint).said;
                remedied.said.extend(said);
            }
        }
        remedied
    }

    /// What the ledger has of an applied revision; where it has nothing, what the files have.
    fn recorded_fingerprint(
        &self,
        records: &Records,
        revision: &RevisionId,
    ) -> Result<Fingerprint, Cause> {
        let content = match records.last_applied(revision.as_str()) {
            Some(digest) => digest.to_owned(),
            None => self
                .library
                .content_digest(revision)
                .map_err(|source| load(revision, source))?,
        };
        Ok(Fingerprint {
            content,
            ..Fingerprint::default()
        })
    }

    /// The tally of what is applied once this is said; none where that cannot be told, or something else is unfinished.
    fn tally_after_repair(&self, records: &Records, said: &[Said]) -> Option<Tally> {
        if !records.missing.is_empty() && self.rows_before_what_is_missing(records).is_none() {
            return None;
        }
        let is_said = |id: &str| said.iter().any(|said| said.revision.as_str() == id);
        let mut tally = Tally::default();
        for (id, last) in &records.state.last {
            if last.outcome.is_unfinished() && !is_said(id) {
                return None;
            }
            let is_in_effect = match self.graph.position(id) {
                Some(at) if records.missing.is_empty() => records.applied.selection().contains(at),
                // With rows that no migration has, all that the ledger has as applied was proved to be.
                _ => !records.missing.is_empty(),
            };
            if last.is_applied() && !is_said(id) && is_in_effect {
                tally.join(id, &last.digest);
            }
        }
        for said in said {
            if said.outcome == Outcome::Done {
                tally.join(said.revision.as_str(), &said.fingerprint.content);
            }
        }
        Some(tally)
    }
}

impl Records {
    /// The digest that the ledger has of a revision that it has as applied.
    fn last_applied(&self, revision: &str) -> Option<&str> {
        let last = self.state.last.get(revision)?;
        last.is_applied().then_some(last.digest.as_str())
    }

    /// The digest that the ledger has of a revision.
    fn digest(&self, revision: &str) -> String {
        let last = self.state.last.get(revision);
        last.map_or_else(String::new, |last| last.digest.clone())
    }
}

impl Remedied {
    fn said(revision: &RevisionId, outcome: Outcome, fingerprint: Fingerprint) -> Self {
        Self {
            statements: Vec::new(),
            said: vec![Said {
                revision: revision.clone(),
                outcome,
                fingerprint,
            }],
        }
    }
}

/// Whether the remedy is one for the problem, even if it may turn out that it cannot be had.
fn is_answered_by(problem: &Problem, remedy: Remedy) -> bool {
    let is_missing = matches!(problem, Problem::Missing { .. });
    problem.remedies().contains(&remedy) || (is_missing && remedy == Remedy::Forget)
}

fn ids(engine: &Engine, positions: &[Position]) -> Vec<RevisionId> {
    let id = |&at: &Position| engine.graph.revision(at).id.clone();
    positions.iter().map(id).collect()
}

impl From<RepairError> for Cause {
    fn from(error: RepairError) -> Self {
        Self::Repair(error)
    }
}
