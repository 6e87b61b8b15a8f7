//! A session that runs nothing: it writes down what it is told to run, as a script for `psql` or `sqlite3`.
//!
//! A script runs outside of every sandbox, so that what a guest says is checked here for what those programs, and not
//! the database, would make of it.

mod text;

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::{
    Authority, Canceller, Column, CommitError, CursorId, Dialect, DriverError, Durability,
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
}

impl Recording {
    /// A session that writes into `script`. `version_table` is what no migration may touch.
    pub fn new(dialect: Dialect, version_table: &str, script: Script) -> Self {
        Self {
            dialect,
            script,
            protected: Protected::new(version_table),
            authority: Authority::Host,
        }
    }

    fn write(&self, sql: &str, params: &[Value]) -> Result<(), DriverError> {
        if self.authority != Authority::Host {
            guard::check(sql, self.dialect, self.authority, &self.protected)?;
            text::check(sql, self.dialect)?;
        }
        self.script
            .line(&format!("{};", text::filled(sql, params, self.dialect)?));
        Ok(())
    }

    fn reads(&self) -> DriverError {
        DriverError::Offline
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
        for record in records {
            let change = text::filled(&record.sql, &record.params, self.dialect)
                .map_err(CommitError::Record)?;
            self.script.line(&text::exacting(&change, self.dialect));
        }
        self.script.line("COMMIT;");
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
        self.write(sql, params).map(|()| 0)
    }

    async fn query(&mut self, _: &str, _: &[Value], _: ResultLimit) -> Result<Rows, DriverError> {
        Err(self.reads())
    }

    async fn open_cursor(&mut self, _: &str, _: &[Value]) -> Result<CursorId, DriverError> {
        Err(self.reads())
    }

    fn cursor_columns(&self, _: CursorId) -> Result<Arc<[Column]>, DriverError> {
        Err(self.reads())
    }

    async fn fetch(&mut self, _: CursorId, _: u32, _: ResultLimit) -> Result<Rows, DriverError> {
        Err(self.reads())
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
