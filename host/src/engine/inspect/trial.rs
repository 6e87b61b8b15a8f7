//! A component, called to see which statements it sends.

use std::sync::Arc;

use super::{Note, Told, View};
use crate::backfill::Spec;
use crate::driver::recording::{Recording, Script};
use crate::driver::{Authority, DriverError};
use crate::engine::call::seed;
use crate::engine::{Engine, Run};
use crate::migration::{Call, Level, Listener, MigrationError, StatementSource};
use crate::plan::Step;
use crate::sql::split;

/// The trial of a component is nobody's run, so that nobody hears what it says.
struct Silence;

impl Listener for Silence {
    fn log(&self, _: Level, _: &str) {}
    fn progress(&self, _: u64, _: Option<u64>) {}
}

impl Engine {
    /// Calls the component of a step without a database, and notes the statements that it sends.
    pub(super) async fn try_out(&self, step: &Step, told: &mut Told) {
        let script = Script::default();
        if let Err(error) = self.call_offline(step, script.clone()).await {
            told.view = View::Partial;
            if reads(&error) {
                let note = "reads the database: `whimbrel upgrade --dry-run` tells what it does";
                told.notes.push(Note::new(note));
            } else if told.standing.obstacles.is_empty() {
                let note = format!("without a database, it fails: {error}");
                told.notes.push(Note::new(note));
            }
        }
        let text = script.text();
        match split(&text, self.driver.dialect()) {
            Ok(pieces) => {
                let statement = |sql: &str| StatementSource {
                    sql: sql.to_owned(),
                    origin: None,
                };
                told.statements = pieces.iter().map(|piece| statement(piece.text)).collect();
            }
            Err(error) => {
                told.view = View::Partial;
                told.notes.push(Note::new(format!(
                    "its statements cannot be told apart: {error}"
                )));
            }
        }
    }

    async fn call_offline(&self, step: &Step, script: Script) -> Result<(), MigrationError> {
        let dialect = self.driver.dialect();
        let migration = self.library.load(&step.revision)?;
        let call = self.offline_call(step)?;
        let session = Recording::new(dialect, &self.version_table, script, None);
        let (mut session, result) = migration.run(&call, Box::new(session)).await;
        // A recording obeys whoever asks, and goes away here.
        session.assume(Authority::Host).await.ok();
        result.map(drop)
    }

    /// What a backfill says of itself, which it says without a database.
    pub(in crate::engine) async fn backfill_offline(
        &self,
        step: &Step,
    ) -> Result<Spec, MigrationError> {
        let code = self.library.backfill(&step.revision, step.direction)?;
        let code =
            code.ok_or_else(|| MigrationError::Unfinished("it is no backfill".to_owned()))?;
        code.describe(&self.offline_call(step)?).await
    }

    fn offline_call(&self, step: &Step) -> Result<Call, MigrationError> {
        let dialect = self.driver.dialect();
        let run = Run::new(dialect);
        Ok(Call {
            revision: step.revision.clone(),
            direction: step.direction,
            run: run.id,
            dialect,
            now: run.now,
            seed: seed(&run, &step.revision),
            parameters: self.library.parameters(&step.revision)?,
            is_offline: true,
            grant: self.grant(&step.revision)?,
            cancel: self.cancel.clone(),
            listener: Arc::new(Silence),
        })
    }
}

/// Whether it failed because there was no database to read from.
fn reads(error: &MigrationError) -> bool {
    match error {
        MigrationError::Statement { source, .. } => matches!(source, DriverError::Offline),
        MigrationError::Failed(failure) => {
            failure.message.contains(&DriverError::Offline.to_string())
        }
        _ => false,
    }
}
