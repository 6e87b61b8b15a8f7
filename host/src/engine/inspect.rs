//! What a plan would do, told without doing it: no lock of Whimbrel's is taken, and nothing is written.
//!
//! SQL files are read. A component is called against a session that only writes down what it is told to run; one that
//! reads the database tells no more than its imports.

mod assembly;
mod catalog;
mod checklist;
mod inspection;
mod trial;

use std::time::Duration;

use checklist::Circumstances;
pub use checklist::{Check, Status};
pub use inspection::{HeldLock, Inspection, LocatedLoss, Note, Place, StepInspection, Table, View};

use super::{Cause, Engine, Purpose, RunFailure, untouched};
use crate::backfill::{Change, Spec};
use crate::driver::Dialect;
use crate::migration::{Description, Freshness, MigrationError, Standing, StatementSource};
use crate::plan::{Plan, Step};
use crate::revision::{Direction, RevisionId};
use crate::sql::effects::{Effects, Unread};
use crate::target::Target;

const STALE: &str = "its source is not what it was built from: `whimbrel build`, and plan again to see what would run";

/// What the code of a step told, before the database is asked about the tables in it.
struct Told {
    language: Option<String>,
    imports: Vec<String>,
    standing: Standing,
    statements: Vec<StatementSource>,
    view: View,
    notes: Vec<Note>,
    backfill: Option<Spec>,
}

/// A statement, and what it does.
struct Read {
    source: StatementSource,
    effects: Result<Effects, Unread>,
}

impl Engine {
    /// Plans the way to `target`, and tells what each step would do. `lock_timeout` is what the settings say.
    ///
    /// What cannot be told of a step is a note on it, and no failure.
    ///
    /// # Errors
    /// As [`Engine::plan`].
    pub async fn inspect(
        &self,
        target: &Target,
        direction: Direction,
        lock_timeout: Duration,
    ) -> Result<Inspection, RunFailure> {
        let inspected = async {
            let mut session = self.session().await?;
            let state = self.history.read(&mut *session).await?;
            let plan = self.plan_from(&state, target, direction)?;
            let mut told = Vec::with_capacity(plan.steps.len());
            for step in &plan.steps {
                told.push(self.told(step).await);
            }
            let statements = told
                .iter_mut()
                .map(|told| std::mem::take(&mut told.statements))
                .collect();
            let mut read = read_all(statements, self.driver.dialect()).await?;
            let names = catalog::names(&read);
            let columns = catalog::columns(&read);
            let known = catalog::look_up(&mut *session, &names, &columns).await;
            for read in read.iter_mut().flatten() {
                if let Ok(effects) = &mut read.effects {
                    effects.settle(|retype| known.column(retype));
                }
            }
            let seen = plan
                .steps
                .iter()
                .zip(told.into_iter().zip(read))
                .map(|(step, (told, read))| (step.clone(), told, read))
                .collect();
            let refusal = self.end_of(&plan, Purpose::Run).err();
            let circumstances = Circumstances {
                refusal: refusal.map(|cause| cause.to_string()),
                lock_timeout,
                last_backup: self.history.last_backup(&mut *session).await?,
            };
            Ok::<_, Cause>(self.assemble(plan, seen, known, &circumstances))
        };
        inspected
            .await
            .map_err(|cause| RunFailure::untouched(untouched(cause).0))
    }

    /// What a step's code tells.
    async fn told(&self, step: &Step) -> Told {
        let mut told = Told {
            language: None,
            imports: Vec::new(),
            standing: self.library.standing(&step.revision, step.direction),
            statements: Vec::new(),
            view: View::Full,
            notes: Vec::new(),
            backfill: None,
        };
        if matches!(self.is_backfill(step), Ok(true)) {
            match self.backfill_offline(step).await {
                Ok(mut spec) => {
                    // What an expression reads, the database finds out.
                    if spec.change != Change::Transform {
                        spec.reads.clear();
                    }
                    told.backfill = Some(spec);
                }
                Err(error) => {
                    told.view = View::Nothing;
                    told.notes.push(Note::new(unread(&error)));
                    return told;
                }
            }
        }
        match self.library.describe(&step.revision, step.direction) {
            Ok(Description::Sql(statements)) => told.statements = statements,
            Ok(Description::Component {
                language,
                imports,
                freshness,
            }) => {
                told.language = language;
                match (imports, freshness) {
                    (Ok(imports), freshness) => {
                        told.imports = imports;
                        if freshness == Freshness::Stale {
                            told.notes.push(Note::new(STALE));
                        }
                        match &told.backfill {
                            Some(spec) => told.statements = vec![sample_of(spec)],
                            None => self.try_out(step, &mut told).await,
                        }
                    }
                    (Err(error), _) => {
                        told.view = View::Nothing;
                        told.notes.push(Note::new(unread(&error)));
                    }
                }
            }
            Err(error) => {
                told.view = View::Nothing;
                told.notes.push(Note::new(unread(&error)));
            }
        }
        told
    }

    fn message(&self, revision: &RevisionId) -> String {
        let found = self.graph.get(revision.as_str());
        found.map_or(String::new(), |revision| revision.message.clone())
    }

    /// Which downgrades of an upgrade are missing.
    fn irreversible(&self, plan: &Plan) -> Vec<RevisionId> {
        plan.steps
            .iter()
            .map(|step| &step.revision)
            .filter(|revision| !self.library.supports(revision, Direction::Downgrade))
            .cloned()
            .collect()
    }
}

/// A statement that writes what the batches of a component's backfill do.
fn sample_of(spec: &Spec) -> StatementSource {
    let sets: Vec<String> = (spec.writes.iter())
        .map(|column| format!("{column} = NULL"))
        .collect();
    let alias = spec.alias.as_ref().map(|alias| format!(" AS {alias}"));
    let condition = (spec.condition.as_ref()).map(|condition| format!(" WHERE ({condition}\n)"));
    StatementSource {
        sql: format!(
            "UPDATE {}{} SET {}{}",
            spec.table,
            alias.unwrap_or_default(),
            sets.join(", "),
            condition.unwrap_or_default()
        ),
        origin: None,
    }
}

/// Why the code of a step cannot be looked at, in one line.
fn unread(error: &MigrationError) -> String {
    match error {
        MigrationError::Script { path, source } => {
            format!("{path}:{}: {source}; it would fail", source.line())
        }
        MigrationError::Admission { reasons } => reasons.join("; "),
        other => other.to_string(),
    }
}

/// Reads the statements of all steps, on a thread whose stack the parser may use.
async fn read_all(
    statements: Vec<Vec<StatementSource>>,
    dialect: Dialect,
) -> Result<Vec<Vec<Read>>, Cause> {
    let read = move |source: StatementSource| Read {
        effects: Effects::of(&source.sql, dialect),
        source,
    };
    let all = move || {
        let of_step = |statements: Vec<StatementSource>| statements.into_iter().map(read).collect();
        statements.into_iter().map(of_step).collect()
    };
    // The runtime ends, or the parser panicked: there is nobody to tell more.
    let joined = tokio::task::spawn_blocking(all).await;
    joined.map_err(|_| Cause::Cancelled)
}
