//! A session that runs nothing: it writes down what it is told to run, as a script for `psql` or `sqlite3`.
//!
//! A script runs outside of every sandbox, so that what a guest says is checked here for what those programs, and not
//! the database, would make of it.

mod text;

pub(in crate::driver) use text::filled;

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::proof;
use super::tape::{Answer, Question, Tape};
use super::{
    Authority, Batch, Canceller, Column, CommitError, CursorId, Dialect, DriverError, Durability,
    ResultLimit, Rows, Session, Statement, Value,
};
use crate::sql::guard::{self, Protected};

/// A script in the making.
#[derive(Debug, Clone, Default)]
pub struct Script(Arc<Mutex<String>>);

impl Script {
    /// Adds a line, or several.
    pub fn line(&self, line: &str) {
        let mut text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        text.push_str(line);
        text.push('\n');
    }

    /// What there is of it.
    pub fn text(&self) -> String {
        let text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        text.clone()
    }
}

/// Writes statements into a script.
pub struct Recording {
    dialect: Dialect,
    script: Script,
    protected: Protected,
    authority: Authority,
    /// What answers those who read.
    tape: Option<Tape>,
    /// The cursors that are open, each by its number.
    cursors: Vec<Arc<[Column]>>,
}

impl Recording {
    /// A session that writes into `script`. `version_table` is what no migration may touch. Components that read are
    /// answered from the tape, and the script asserts the answer.
    pub fn new(dialect: Dialect, version_table: &str, script: Script, tape: Option<Tape>) -> Self {
        Self {
            dialect,
            script,
            protected: Protected::new(version_table),
            authority: Authority::Host,
            tape,
            cursors: Vec::new(),
        }
    }

    /// Asks the tape, where there is one for whoever asks.
    fn tape(&self) -> Option<&Tape> {
        let reads = self.authority.is_guest();
        self.tape.as_ref().filter(|_| reads)
    }

    fn check(&self, sql: &str) -> Result<(), DriverError> {
        if self.authority != Authority::Host {
            guard::check(sql, self.dialect, &self.authority, &self.protected)?;
            text::check(sql, self.dialect)?;
        }
        Ok(())
    }

    /// The answer to a statement that reads.
    fn ask(&self, sql: &str, params: &[Value]) -> Result<Answer, DriverError> {
        let tape = self.tape().ok_or(DriverError::Offline)?;
        self.check(sql)?;
        tape.next(Some(&Question::new(sql, params)))
    }

    /// Has the script stop where the database answers something else.
    fn assert(
        &self,
        sql: &str,
        params: &[Value],
        width: usize,
        proof: &str,
    ) -> Result<(), DriverError> {
        let Some(query) = proof::query(sql, width, self.dialect) else {
            return Err(DriverError::Unrecorded(
                "it writes and reads at once, which a script cannot assert".to_owned(),
            ));
        };
        let query = text::filled(&query, params, self.dialect)?;
        let proof = text::filled("$1", &[Value::from(proof)], self.dialect)?;
        self.script.line(&text::same(&query, &proof, self.dialect));
        Ok(())
    }

    fn rows(columns: Arc<[Column]>, values: Vec<Vec<Value>>) -> Result<Rows, DriverError> {
        let mut rows = Rows::new(columns);
        for row in values {
            if row.len() != rows.columns.len() {
                return Err(DriverError::Unrecorded(
                    "its rows are not as wide as they should be".to_owned(),
                ));
            }
            rows.push(row);
        }
        Ok(rows)
    }

    fn write(&self, sql: &str, params: &[Value]) -> Result<(), DriverError> {
        self.check(sql)?;
        self.script
            .line(&format!("{};", text::filled(sql, params, self.dialect)?));
        Ok(())
    }
}

struct Nothing;

#[async_trait]
impl Canceller for Nothing {
    async fn cancel(&self) {}
}

#[async_trait]
impl Session for Recording {
    fn dialect(&self) -> Dialect {
        self.dialect
    }

    async fn assume(&mut self, authority: Authority) -> Result<(), DriverError> {
        self.authority = authority;
        self.cursors.clear();
        Ok(())
    }

    async fn begin(&mut self) -> Result<(), DriverError> {
        self.script.line(match self.dialect {
            Dialect::Postgresql => "BEGIN;",
            Dialect::Sqlite => "BEGIN IMMEDIATE;",
        });
        Ok(())
    }

    async fn commit(&mut self, records: &[Statement], _: Durability) -> Result<(), CommitError> {
        self.record(records).await?;
        self.script.line("COMMIT;");
        Ok(())
    }

    async fn record(&mut self, records: &[Statement]) -> Result<(), CommitError> {
        for record in records {
            let change = text::filled(&record.sql, &record.params, self.dialect)
                .map_err(CommitError::Record)?;
            self.script.line(&text::exacting(&change, self.dialect));
        }
        Ok(())
    }

    async fn rollback(&mut self) -> Result<(), DriverError> {
        self.script.line("ROLLBACK;");
        Ok(())
    }

    async fn run(&mut self, sql: &str) -> Result<u64, DriverError> {
        self.write(sql, &[]).map(|()| 0)
    }

    async fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, DriverError> {
        let Some(tape) = self.tape() else {
            return self.write(sql, params).map(|()| 0);
        };
        let Answer::Changed { rows, .. } = tape.next(Some(&Question::new(sql, params)))? else {
            return Err(DriverError::Unrecorded("it was a query then".to_owned()));
        };
        self.write(sql, params)?;
        if text::counts(sql, self.dialect) {
            self.script.line(&text::touched(rows, self.dialect));
        }
        Ok(rows)
    }

    async fn execute_many(&mut self, sql: &str, batch: &Arc<Batch>) -> Result<u64, DriverError> {
        let touched = match self.tape() {
            None => 0,
            Some(tape) => match tape.next(Some(&Question::of_batch(sql, batch)))? {
                Answer::Changed { rows, .. } => rows,
                _ => return Err(DriverError::Unrecorded("it was a query then".to_owned())),
            },
        };
        for at in 0..batch.len() {
            self.write(sql, &batch.row(at))?;
        }
        Ok(touched)
    }

    async fn query(
        &mut self,
        sql: &str,
        params: &[Value],
        _: ResultLimit,
    ) -> Result<Rows, DriverError> {
        let Answer::Rows {
            columns,
            rows,
            proof,
            ..
        } = self.ask(sql, params)?
        else {
            return Err(DriverError::Unrecorded("it was no query then".to_owned()));
        };
        self.assert(sql, params, columns.len(), &proof)?;
        Self::rows(columns.into(), rows)
    }

    async fn open_cursor(&mut self, sql: &str, params: &[Value]) -> Result<CursorId, DriverError> {
        let Answer::Cursor { columns, proof, .. } = self.ask(sql, params)? else {
            return Err(DriverError::Unrecorded("it was no cursor then".to_owned()));
        };
        self.assert(sql, params, columns.len(), &proof)?;
        self.cursors.push(columns.into());
        let number = u32::try_from(self.cursors.len() - 1).unwrap_or(u32::MAX);
        Ok(CursorId(number))
    }

    fn cursor_columns(&self, cursor: CursorId) -> Result<Arc<[Column]>, DriverError> {
        let columns = self.cursors.get(cursor.0 as usize).cloned();
        columns.ok_or(DriverError::Offline)
    }

    async fn fetch(
        &mut self,
        cursor: CursorId,
        _: u32,
        _: ResultLimit,
    ) -> Result<Rows, DriverError> {
        let columns = self.cursor_columns(cursor)?;
        let tape = self.tape().ok_or(DriverError::Offline)?;
        match tape.next(None)? {
            Answer::Fetched { cursor: of, rows } if of == cursor.0 => Self::rows(columns, rows),
            _ => Err(DriverError::Unrecorded(
                "another cursor was read then".to_owned(),
            )),
        }
    }

    async fn close_cursor(&mut self, _: CursorId) -> Result<(), DriverError> {
        Ok(())
    }

    async fn savepoint(&mut self, name: &str) -> Result<(), DriverError> {
        self.script.line(&format!("SAVEPOINT {name};"));
        Ok(())
    }

    async fn release_savepoint(&mut self, name: &str) -> Result<(), DriverError> {
        self.script.line(&format!("RELEASE SAVEPOINT {name};"));
        Ok(())
    }

    async fn rollback_to_savepoint(&mut self, name: &str) -> Result<(), DriverError> {
        self.script.line(&format!("ROLLBACK TO SAVEPOINT {name};"));
        self.script.line(&format!("RELEASE SAVEPOINT {name};"));
        Ok(())
    }

    fn canceller(&self) -> Arc<dyn Canceller> {
        Arc::new(Nothing)
    }
}
