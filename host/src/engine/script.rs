//! A run as a script: the same steps, written down instead of run.

use async_trait::async_trait;

use super::stamp::Stamping;
use super::step::{action, lend, tally_after};
use super::together::End;
use super::{Aftermath, Cause, Engine, Lent, Progress, Purpose, Run, RunFailure, untouched};
use crate::backfill::{Change, Keep};
use crate::driver::recording::{Recording, Script};
use crate::driver::tape::Tape;
use crate::driver::{
    Dialect, DriverError, Durability, Holder, LockAttempt, RunLock, Session, Statement,
};
use crate::graph::Position;
use crate::history::{Outcome, State, Tally};
use crate::plan::{Applied, Plan, Step};
use crate::revision::{Direction, Transactional};
use crate::target::Target;

/// What makes a script stop at its first error, and what it needs before its first statement.
const POSTGRES_HEADER: &str = "\\set ON_ERROR_STOP on
SET client_encoding = 'UTF8';";
const SQLITE_HEADER: &str = ".bail on
PRAGMA foreign_keys = OFF;
CREATE TEMP TABLE whimbrel_assertion (
    touched integer CONSTRAINT \"the database is where the script starts\" CHECK (touched = 1)
);";
/// What a script needs that asserts what migrations read.
const SQLITE_READING: &str = "CREATE TEMP TABLE whimbrel_reading (
    same integer CONSTRAINT \"the database has what the dry run read\" CHECK (same = 1)
);";

/// Foreign keys are not enforced while a migration runs, and are checked in the end, as in a run. A run knows which
/// tables were written; a script has to look at all. Rows that referred to none before do not count.
const SQLITE_VIOLATIONS: &str = "CREATE TEMP TABLE whimbrel_violation (child text, number_of_row integer, parent text, count integer);
CREATE TEMP TABLE whimbrel_foreign_keys (
    violated integer CONSTRAINT \"every row refers to one that exists\" CHECK (violated = 0)
);";
const SQLITE_BEFORE: &str = "DELETE FROM temp.whimbrel_violation;
INSERT INTO temp.whimbrel_violation SELECT \"table\", rowid, parent, count(*) FROM pragma_foreign_key_check GROUP BY 1, 2, 3;";
const SQLITE_AFTER: &str = "INSERT INTO temp.whimbrel_foreign_keys SELECT count(*)
FROM (SELECT \"table\" AS child, rowid AS number_of_row, parent, count(*) AS count FROM pragma_foreign_key_check GROUP BY 1, 2, 3) AS now
LEFT JOIN temp.whimbrel_violation AS was
ON was.child = now.child AND was.number_of_row IS now.number_of_row AND was.parent = now.parent
WHERE now.count > coalesce(was.count, 0);";

impl Engine {
    /// The script, for `psql` or `sqlite3`, of a run from `from` (base, where none is given) to `target`. The database is
    /// not asked; a script that meets another one than it was written for stops before it changes anything of a step.
    /// Components that read are answered from `tape`, which an earlier [dry run](Engine::dry_run) has recorded, and the script
    /// asserts that the database still answers so.
    ///
    /// # Errors
    /// A [`RunFailure`]; among others when a migration wants to read what the tape does not have.
    pub async fn script(
        &self,
        from: Option<&Target>,
        target: &Target,
        direction: Direction,
        tape: Option<&Tape>,
    ) -> Result<String, RunFailure> {
        let script = self.start_script();
        if tape.is_some() && self.driver.dialect() == Dialect::Sqlite {
            script.line(SQLITE_READING);
        }
        let written = self.write_run(from, target, direction, &script, tape).await;
        written.map_err(|(cause, _)| RunFailure::untouched(cause))?;
        Ok(script.text())
    }

    /// The script of a stamp from `from` (base, where none is given) to `targets`.
    ///
    /// # Errors
    /// A [`RunFailure`].
    pub async fn stamp_script(
        &self,
        from: Option<&Target>,
        targets: &[Target],
        stamping: Stamping,
    ) -> Result<String, RunFailure> {
        let script = self.start_script();
        let written = async {
            let state = self.assumed(from)?;
            let run = Run::scripted(self.driver.dialect());
            let (_, statements) = self.stamp_from(&run, &state, targets, stamping)?;
            let mut session = self.recording(&script, None);
            session.begin().await?;
            session
                .commit(&statements, Durability::Now)
                .await
                .map_err(DriverError::from)?;
            Ok::<_, Cause>(())
        };
        written.await.map_err(RunFailure::untouched)?;
        Ok(script.text())
    }

    fn start_script(&self) -> Script {
        let script = Script::default();
        script.line(&format!(
            "-- written by whimbrel {} for {}",
            env!("CARGO_PKG_VERSION"),
            match self.driver.dialect() {
                Dialect::Postgresql => "psql",
                Dialect::Sqlite => "sqlite3",
            }
        ));
        script.line(match self.driver.dialect() {
            Dialect::Postgresql => POSTGRES_HEADER,
            Dialect::Sqlite => SQLITE_HEADER,
        });
        for definition in self.history.definitions() {
            script.line(&format!("{definition};"));
        }
        script
    }

    fn recording(&self, script: &Script, tape: Option<&Tape>) -> Lent {
        Box::new(Recording::new(
            self.driver.dialect(),
            &self.version_table,
            script.clone(),
            tape.cloned(),
        ))
    }

    /// What the database is taken to say of itself.
    fn assumed(&self, from: Option<&Target>) -> Result<State, Cause> {
        let from: Vec<Position> = match from {
            Some(from) => from
                .resolve(&self.graph, &[])
                .map_err(|error| Cause::Plan(error.into()))?,
            None => Vec::new(),
        };
        let ids = from
            .iter()
            .map(|&at| self.graph.revision(at).id.to_string());
        Ok(State {
            rows: ids.collect(),
            ..State::default()
        })
    }

    async fn write_run(
        &self,
        from: Option<&Target>,
        target: &Target,
        direction: Direction,
        script: &Script,
        tape: Option<&Tape>,
    ) -> Result<(), (Cause, Aftermath)> {
        let state = self.assumed(from).map_err(untouched)?;
        let plan = self
            .plan_from(&state, target, direction)
            .map_err(untouched)?;
        let shared = self.end_of(&plan, Purpose::Run).map_err(untouched)?;
        self.prepare(&plan).map_err(untouched)?;
        let mut progress = Progress {
            planned: plan.steps.len(),
            tally: self.assumed_tally(&plan).map_err(untouched)?,
            ..Progress::default()
        };
        let run = Run::scripted(self.driver.dialect());
        let mut session = self.recording(script, tape);
        if run.dialect == Dialect::Sqlite {
            script.line(SQLITE_VIOLATIONS);
        }
        if shared.is_some() {
            script.line("");
            session.begin().await.map_err(untouched)?;
        }
        for step in &plan.steps {
            script.line(&format!("\n-- {}", self.headline(step)));
            if let Some(tape) = tape {
                tape.play(&self.chapter(step).map_err(untouched)?);
            }
            let written;
            (session, written) = self
                .write_step(&run, step, shared, &mut progress, session, script)
                .await;
            written.map_err(untouched)?;
        }
        if shared.is_some() {
            script.line("");
            session
                .commit(&[], Durability::Now)
                .await
                .map_err(|error| untouched(DriverError::from(error)))?;
        }
        Ok(())
    }

    /// The tally of a database that has the plan's rows by the code that the files have now.
    fn assumed_tally(&self, plan: &Plan) -> Result<Tally, Cause> {
        let applied = Applied::from_rows(&self.graph, &plan.from).map_err(Cause::Plan)?;
        let mut tally = Tally::default();
        for position in applied.selection().iter() {
            let revision = &self.graph.revision(position).id;
            let digest = self
                .library
                .content_digest(revision)
                .map_err(|source| super::load(revision, source))?;
            tally.join(revision.as_str(), &digest);
        }
        Ok(tally)
    }

    fn headline(&self, step: &Step) -> String {
        let message = self
            .graph
            .get(step.revision.as_str())
            .map_or("", |revision| revision.message.as_str());
        // A message is one line by construction; a line that is not would end the comment.
        let message = message.replace(['\n', '\r'], " ");
        let named = |ids: &[crate::revision::RevisionId]| match ids {
            [] => "base".to_owned(),
            ids => ids
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", "),
        };
        let parents = self
            .graph
            .get(step.revision.as_str())
            .map_or(&[][..], |revision| &revision.revises);
        match step.direction {
            Direction::Upgrade => {
                format!("upgrade {} -> {}  {message}", named(parents), step.revision)
            }
            Direction::Downgrade => {
                format!(
                    "downgrade {} -> {}  {message}",
                    step.revision,
                    named(parents)
                )
            }
        }
        .trim_end()
        .to_owned()
    }

    /// Makes sure that a step is no backfill that a script cannot do.
    async fn is_scriptable(&self, step: &Step) -> Result<(), Cause> {
        if !self.is_backfill(step)? {
            return Ok(());
        }
        let failed = |source| super::load(&step.revision, source);
        let spec = self.backfill_offline(step).await.map_err(failed)?;
        let why = match (&spec.change, spec.keep) {
            (Change::Transform, _) => "a component makes its new values",
            (_, Keep::OldValues) => "it keeps old values in a table of Whimbrel's",
            _ => return Ok(()),
        };
        Err(Cause::NoScript {
            revision: step.revision.clone(),
            direction: step.direction,
            why,
        })
    }

    async fn write_step(
        &self,
        run: &Run,
        step: &Step,
        shared: Option<End>,
        progress: &mut Progress,
        mut session: Lent,
        script: &Script,
    ) -> (Lent, Result<(), Cause>) {
        let ready = match self.ready(run, step, progress, &NoLock) {
            Ok(mut ready) => {
                ready.call.is_offline = true;
                ready
            }
            Err(cause) => return (session, Err(cause)),
        };
        if let Err(cause) = self.is_scriptable(step).await {
            return (session, Err(cause));
        }
        let recorded = match step.direction {
            Direction::Upgrade => None,
            Direction::Downgrade => Some(ready.fingerprint.content.as_str()),
        };
        let after = tally_after(progress.tally, step, recorded, &ready.fingerprint.content);
        let mut attempt = run.attempt(&step.revision, action(step), ready.fingerprint.clone());
        attempt.tally = Some(after);
        let transaction = |source: DriverError| Cause::Record {
            step: Box::new(step.clone()),
            source,
        };
        let begun = match (ready.transactional, shared) {
            (Transactional::Yes | Transactional::Alone | Transactional::Batches, None) => {
                session.begin().await.map_err(transaction)
            }
            (Transactional::Yes | Transactional::Alone | Transactional::Batches, Some(_)) => Ok(()),
            (Transactional::No, _) => {
                attempt.outcome = Outcome::Started;
                attempt.tally = None;
                write_alone(&mut *session, vec![self.history.record(&attempt)])
                    .await
                    .map_err(transaction)
            }
        };
        if let Err(cause) = begun {
            return (session, Err(cause));
        }
        let checks_references =
            (run.dialect, ready.transactional) == (Dialect::Sqlite, Transactional::Yes);
        if checks_references {
            script.line(SQLITE_BEFORE);
        }
        let result;
        (session, result) = lend(&ready, session).await;
        if checks_references {
            script.line(SQLITE_AFTER);
        }
        match result {
            Ok(work) => attempt.work = work,
            Err(source) => return (session, Err(super::step::failed(step, source))),
        }
        attempt.outcome = Outcome::Done;
        attempt.tally = Some(after);
        let mut records = self.history.move_versions(step);
        let written = match (ready.transactional, shared) {
            (Transactional::Yes | Transactional::Alone | Transactional::Batches, shared) => {
                records.push(self.history.record(&attempt));
                let written = match shared {
                    None => session.commit(&records, Durability::Now).await,
                    Some(_) => session.record(&records).await,
                };
                written.map_err(DriverError::from)
            }
            (Transactional::No, _) => {
                records.push(self.history.conclude(&attempt));
                write_alone(&mut *session, records).await
            }
        };
        progress.tally = after;
        (session, written.map_err(transaction))
    }
}

async fn write_alone(
    session: &mut dyn Session,
    records: Vec<Statement>,
) -> Result<(), DriverError> {
    session.begin().await?;
    Ok(session.commit(&records, Durability::Now).await?)
}

/// A script takes no lock: whoever runs it sees to it that nobody else migrates meanwhile.
struct NoLock;

#[async_trait]
impl RunLock for NoLock {
    async fn try_acquire(&mut self, _: &Holder) -> Result<LockAttempt, DriverError> {
        Ok(LockAttempt::Acquired)
    }

    fn fence(&self) -> Option<Statement> {
        None
    }

    fn is_held(&self) -> bool {
        true
    }

    async fn release(&mut self) -> Result<(), DriverError> {
        Ok(())
    }
}
