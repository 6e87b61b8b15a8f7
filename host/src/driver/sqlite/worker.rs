//! What a session does on its thread.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::config::DbConfig;
use rusqlite::{CachedStatement, Connection, Statement, ffi};

use super::cursor::{self, Cursor, Failure};
use super::guard::{Effect, Guard, Noting, Origin, Phase};
use super::objects::Objects;
use super::place::{Place, bound_memory, bound_values};
use super::{error, foreign_keys, values};
use crate::capability::{Grant, Layer};
use crate::driver::{
    Authority, Batch, Column, CopyTarget, Dialect, DriverError, ResultLimit, Rows, Touched, Value,
};
use crate::sql::{Lexer, TokenKind, leading_keywords, split};

/// What a worker starts from.
#[derive(Clone)]
pub(super) struct Seed {
    pub(super) guard: Arc<Guard>,
    pub(super) place: Place,
}

/// A connection with its open cursors.
pub(super) struct Worker<'c> {
    connection: &'c Connection,
    guard: Arc<Guard>,
    place: Place,
    cursors: HashMap<u32, Cursor<'c>>,
}

impl<'c> Worker<'c> {
    pub(super) fn new(connection: &'c Connection, seed: Seed) -> Self {
        Self {
            connection,
            guard: seed.guard,
            place: seed.place,
            cursors: HashMap::new(),
        }
    }

    /// The connection, for the host's own purposes.
    pub(super) fn connection(&self) -> &'c Connection {
        self.connection
    }

    /// Changes in whose name statements run. What a migration has left behind in the session (temporary tables,
    /// settings) goes, so that it cannot meddle with the next one.
    pub(super) fn assume(&mut self, authority: Authority) -> Result<(), DriverError> {
        let before = self.guard.assume(Authority::Host);
        if before != authority {
            // A statement in the cache was judged under the authority before.
            self.connection.flush_prepared_statement_cache();
            if before != Authority::Host {
                self.cursors.clear();
                self.drop_temporary_objects()?;
                if self.connection.is_autocommit() {
                    self.restore_settings()?;
                }
            }
        }
        if let Some(grant) = authority.grant() {
            self.hold(grant)?;
        }
        bound_values(self.connection, &authority)?;
        self.guard.assume(authority);
        Ok(())
    }

    /// Begins to hold what follows to a grant.
    fn hold(&self, grant: &Grant) -> Result<(), DriverError> {
        bound_memory(self.connection)?;
        let compares = !grant.is_unrestricted() || grant.layers.statements == Layer::Off;
        let objects = match compares {
            true => Some(self.read_objects(&self.guard.objects())?),
            false => None,
        };
        self.guard.hold(grant, objects);
        self.look_for_noting()
    }

    /// Finds the triggers of backfills that go on, after whatever may have changed them or their tables' names.
    fn look_for_noting(&self) -> Result<(), DriverError> {
        let authority = self.guard.assume(Authority::Host);
        let noting = Noting::read(self.connection);
        self.guard.assume(authority);
        self.guard
            .know(noting.map_err(|problem| error::convert(problem, ""))?);
        Ok(())
    }

    fn read_objects(&self, before: &Objects) -> Result<Arc<Objects>, DriverError> {
        let authority = self.guard.assume(Authority::Host);
        let objects = Objects::read(self.connection, before)
            .inspect(|objects| objects.connect(self.connection));
        self.guard.assume(authority);
        objects
            .map(Arc::new)
            .map_err(|problem| error::convert(problem, ""))
    }

    /// What the migration has really done.
    pub(super) fn touched(&mut self) -> Result<Touched, DriverError> {
        let now = match self.guard.compares() && !self.connection.is_autocommit() {
            true => Some(self.read_objects(&self.guard.objects())?),
            false => None,
        };
        self.guard.touched(now.as_deref())
    }

    fn drop_temporary_objects(&self) -> Result<(), DriverError> {
        // Virtual tables first: they take their shadow tables along.
        const LIST: &str = "SELECT type, name FROM temp.sqlite_schema \
             WHERE type IN ('table', 'view', 'trigger') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
             ORDER BY sql LIKE 'CREATE VIRTUAL%' DESC";
        let drop_all = || -> rusqlite::Result<()> {
            let mut list = self.connection.prepare(LIST)?;
            let objects = list
                .query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<Vec<(String, String)>>>()?;
            for (kind, name) in objects {
                let name = name.replace('"', "\"\"");
                self.connection
                    .execute_batch(&format!("DROP {kind} IF EXISTS temp.\"{name}\""))?;
            }
            Ok(())
        };
        drop_all().map_err(|problem| error::convert(problem, LIST))
    }

    /// Begins a transaction that may write.
    ///
    /// As SQLite advises for changes of a schema, foreign keys are not enforced in it: with enforcement on, dropping
    /// a table to rebuild it would delete the rows that refer to it. They are checked before the commit instead, so
    /// that ON DELETE and ON UPDATE do nothing here: a migration that deletes parents deletes or changes their
    /// children itself, or its commit fails.
    pub(super) fn begin(&mut self) -> Result<(), DriverError> {
        self.cursors.clear();
        if !self.connection.is_autocommit() {
            return Err(error::database(
                ffi::SQLITE_MISUSE,
                "a transaction is open already".to_owned(),
                None,
            ));
        }
        // Only what is prepared from here on is noted as written.
        self.connection.flush_prepared_statement_cache();
        self.enforce_foreign_keys(false)?;
        if let Err(problem) = self.command("BEGIN IMMEDIATE") {
            self.restore_settings()?;
            return Err(problem);
        }
        self.guard.enter(Phase::Transaction);
        Ok(())
    }

    pub(super) fn commit(&mut self) -> Result<(), DriverError> {
        self.cursors.clear();
        let result = self
            .ready()
            .and_then(|()| self.within_budget())
            .and_then(|()| self.check_foreign_keys())
            .and_then(|()| self.command("COMMIT"));
        match result {
            Ok(()) => self.end(),
            Err(problem) => {
                // The commit's own failure is the one to report.
                let _ = self.rollback();
                Err(problem)
            }
        }
    }

    /// Checks what a commit checks, and takes back what a migration has set for the rest of the transaction.
    pub(super) fn check(&mut self) -> Result<(), DriverError> {
        self.cursors.clear();
        self.ready()?;
        self.within_budget()?;
        self.check_foreign_keys()?;
        self.connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_LEGACY_ALTER_TABLE, false)
            .map_err(|problem| error::convert(problem, ""))?;
        Ok(())
    }

    pub(super) fn rollback(&mut self) -> Result<(), DriverError> {
        self.cursors.clear();
        let result = if self.connection.is_autocommit() {
            Ok(())
        } else {
            self.command("ROLLBACK")
        };
        self.guard.undo();
        result.and(self.end())
    }

    fn end(&self) -> Result<(), DriverError> {
        self.guard.enter(Phase::Autocommit);
        self.restore_settings()
    }

    fn restore_settings(&self) -> Result<(), DriverError> {
        self.enforce_foreign_keys(true)?;
        self.connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_LEGACY_ALTER_TABLE, false)
            .map_err(|problem| error::convert(problem, ""))?;
        Ok(())
    }

    fn enforce_foreign_keys(&self, enforce: bool) -> Result<(), DriverError> {
        self.connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, enforce)
            .map_err(|problem| error::convert(problem, ""))?;
        Ok(())
    }

    fn check_foreign_keys(&self) -> Result<(), DriverError> {
        let written = self.guard.written();
        let authority = self.guard.assume(Authority::Host);
        let result = foreign_keys::check(self.connection, &self.place, &written);
        self.guard.assume(authority);
        result
    }

    pub(super) fn savepoint(&mut self, name: &str) -> Result<(), DriverError> {
        self.ready()?;
        if self.connection.is_autocommit() {
            return Err(error::database(
                ffi::SQLITE_ERROR,
                "a savepoint needs a transaction".to_owned(),
                None,
            ));
        }
        self.command(&format!("SAVEPOINT \"{name}\""))?;
        self.guard.mark(name);
        Ok(())
    }

    pub(super) fn release_savepoint(&mut self, name: &str) -> Result<(), DriverError> {
        self.ready()?;
        self.command(&format!("RELEASE \"{name}\""))?;
        self.guard.forget(name);
        Ok(())
    }

    pub(super) fn rollback_to_savepoint(&mut self, name: &str) -> Result<(), DriverError> {
        self.ready()?;
        self.spool_cursors()?;
        // What is undone was done: it would not be seen afterwards.
        self.touched()?;
        self.command(&format!("ROLLBACK TO \"{name}\""))?;
        self.command(&format!("RELEASE \"{name}\""))?;
        self.connection.flush_prepared_statement_cache();
        let objects = match self.guard.compares() {
            true => Some(self.read_objects(&Objects::default())?),
            false => None,
        };
        self.guard.go_back(name, objects);
        self.look_for_noting()
    }

    /// Runs a statement of the host, which no authority restricts.
    fn command(&self, sql: &str) -> Result<(), DriverError> {
        let authority = self.guard.assume(Authority::Host);
        let result = self.connection.execute_batch(sql);
        self.guard.assume(authority);
        result.map_err(|problem| error::convert(problem, sql))
    }

    pub(super) fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, DriverError> {
        self.ready()?;
        check_text(sql)?;
        // VACUUM attaches a database and copies all tables, Whimbrel's own among them.
        let authority = self.guard.authority();
        let lifted = is_plain_vacuum(sql) && matches!(authority, Authority::File(_));
        if lifted {
            self.guard.assume(Authority::Host);
        }
        let result = self.execute_checked(sql, params);
        if lifted {
            self.guard.assume(authority);
        }
        result
    }

    fn execute_checked(&mut self, sql: &str, params: &[Value]) -> Result<u64, DriverError> {
        let mut statement = self.prepare_cached(sql)?;
        bind(&mut statement, params)?;
        self.make_way_for(&statement)?;
        let touched = self.step(&mut statement, sql)?;
        self.finish(statement)?;
        Ok(touched)
    }

    /// Runs a statement to its end; returns the number of rows that it touched.
    fn step(&mut self, statement: &mut Statement<'_>, sql: &str) -> Result<u64, DriverError> {
        let before = self.connection.total_changes();
        let mut rows = statement.raw_query();
        loop {
            match rows.next() {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(problem) => {
                    drop(rows);
                    return Err(self.failed(problem, sql));
                }
            }
        }
        drop(rows);
        // Triggers count in the total only; a statement that changes no row leaves the last count standing.
        let changed = self.connection.total_changes() != before;
        Ok(if changed {
            self.connection.changes()
        } else {
            0
        })
    }

    /// Runs a statement for each row of a batch.
    pub(super) fn execute_many(&mut self, sql: &str, batch: &Batch) -> Result<u64, DriverError> {
        self.ready()?;
        check_text(sql)?;
        let mut statement = self.prepare_cached(sql)?;
        let touched = self.step_each(&mut statement, sql, batch)?;
        self.finish(statement)?;
        Ok(touched)
    }

    /// Adds rows to a table.
    pub(super) fn copy_in(&mut self, to: &CopyTarget, batch: &Batch) -> Result<u64, DriverError> {
        self.ready()?;
        let sql = to.insert();
        self.guard.check_text(&sql, Origin::Copy)?;
        // One from the cache was judged as the migration's own.
        let mut statement = self
            .connection
            .prepare(&sql)
            .map_err(|problem| self.failed(problem, &sql))?;
        self.guard.prepared();
        let touched = self.step_each(&mut statement, &sql, batch)?;
        drop(statement);
        self.follow_schema()?;
        Ok(touched)
    }

    fn step_each(
        &mut self,
        statement: &mut Statement<'_>,
        sql: &str,
        batch: &Batch,
    ) -> Result<u64, DriverError> {
        self.make_way_for(statement)?;
        let mut touched = 0_u64;
        for at in 0..batch.len() {
            bind(statement, &batch.row(at))?;
            touched = touched.saturating_add(self.step(statement, sql)?);
        }
        Ok(touched)
    }

    pub(super) fn query(
        &mut self,
        sql: &str,
        params: &[Value],
        limit: ResultLimit,
    ) -> Result<Rows, DriverError> {
        self.ready()?;
        check_text(sql)?;
        let mut statement = self.prepare_cached(sql)?;
        bind(&mut statement, params)?;
        self.make_way_for(&statement)?;
        let read = cursor::read_all(&mut statement, limit)
            .map_err(|failure| self.fetch_failed(failure, sql));
        self.finish(statement)?;
        read
    }

    pub(super) fn open_cursor(
        &mut self,
        id: u32,
        sql: &str,
        params: &[Value],
    ) -> Result<Arc<[Column]>, DriverError> {
        self.ready()?;
        check_text(sql)?;
        self.guard.check_text(sql, Origin::Migration)?;
        let mut statement = self
            .connection
            .prepare(sql)
            .map_err(|problem| self.failed(problem, sql))?;
        self.guard.prepared();
        bind(&mut statement, params)?;
        let writes = !statement.readonly();
        self.make_way_for(&statement)?;
        let mut cursor = Cursor::new(statement, sql.to_owned());
        // What a virtual table prepares as it is read would meet with another statement.
        if writes || self.guard.executed() != Effect::Rows {
            cursor
                .spool()
                .map_err(|problem| self.failed(problem, sql))?;
            self.follow_schema()?;
        }
        let columns = cursor.columns();
        self.cursors.insert(id, cursor);
        Ok(columns)
    }

    pub(super) fn fetch(
        &mut self,
        id: u32,
        max_rows: u32,
        limit: ResultLimit,
    ) -> Result<Rows, DriverError> {
        self.ready()?;
        let cursor = self
            .cursors
            .get_mut(&id)
            .ok_or(DriverError::Closed { source: None })?;
        let result = cursor.fetch(max_rows, limit);
        let sql = cursor.sql.clone();
        result.map_err(|failure| self.fetch_failed(failure, &sql))
    }

    pub(super) fn close_cursor(&mut self, id: u32) {
        self.cursors.remove(&id);
    }

    fn prepare_cached(&mut self, sql: &str) -> Result<CachedStatement<'c>, DriverError> {
        self.guard.check_text(sql, Origin::Migration)?;
        let statement = self
            .connection
            .prepare_cached(sql)
            .map_err(|problem| self.failed(problem, sql))?;
        self.guard.prepared();
        Ok(statement)
    }

    /// Takes note of what a statement has done. What was reported of it at its preparation matters again when it is run
    /// again, unless it is about rows of ordinary tables only.
    fn finish(&mut self, statement: CachedStatement<'c>) -> Result<(), DriverError> {
        match self.guard.executed() {
            Effect::Rows => drop(statement),
            Effect::Virtual | Effect::Schema => statement.discard(),
        }
        self.follow_schema()
    }

    fn follow_schema(&mut self) -> Result<(), DriverError> {
        if self.guard.executed() == Effect::Schema {
            let objects = self.read_objects(&self.guard.objects())?;
            self.guard.adopt(objects);
            self.look_for_noting()?;
            // Names may stand for other objects now.
            self.connection.flush_prepared_statement_cache();
        }
        match self.guard.authority() {
            Authority::Host => Ok(()),
            _ => self.within_budget(),
        }
    }

    fn within_budget(&mut self) -> Result<(), DriverError> {
        match self.guard.overdrawn() {
            Some(overdrawn) => {
                self.cursors.clear();
                Err(overdrawn)
            }
            None => Ok(()),
        }
    }

    /// Before a statement that writes.
    fn make_way_for(&mut self, statement: &Statement<'_>) -> Result<(), DriverError> {
        if statement.readonly() {
            Ok(())
        } else {
            self.spool_cursors()
        }
    }

    fn spool_cursors(&mut self) -> Result<(), DriverError> {
        for cursor in self.cursors.values_mut() {
            cursor
                .spool()
                .map_err(|problem| error::convert(problem, &cursor.sql))?;
        }
        Ok(())
    }

    /// Refuses to go on in a transaction that SQLite has ended by itself: what follows would commit statement by
    /// statement.
    fn ready(&self) -> Result<(), DriverError> {
        if let (Some(overdrawn), Authority::File(_) | Authority::Guest(_)) =
            (self.guard.overdrawn(), self.guard.authority())
        {
            return Err(overdrawn);
        }
        if self.guard.phase() == Phase::Transaction && self.connection.is_autocommit() {
            return Err(error::database(
                ffi::SQLITE_ABORT_ROLLBACK,
                "SQLite has rolled the transaction back because of an earlier error".to_owned(),
                None,
            ));
        }
        Ok(())
    }

    fn fetch_failed(&mut self, failure: Failure, sql: &str) -> DriverError {
        match failure {
            Failure::Sqlite(problem) => self.failed(problem, sql),
            Failure::Driver(problem) => problem,
        }
    }

    fn failed(&mut self, problem: rusqlite::Error, sql: &str) -> DriverError {
        let problem = self
            .guard
            .take_denial()
            .or_else(|| self.guard.overdrawn())
            .unwrap_or_else(|| error::convert(problem, sql));
        if matches!(problem, DriverError::Cancelled | DriverError::Limit { .. }) {
            // An interrupt lasts until no statement is running, and an open cursor is one.
            self.cursors.clear();
        }
        problem
    }
}

/// Checks that the text is one statement.
fn check_text(sql: &str) -> Result<(), DriverError> {
    let refused = |message: &str, at: usize| {
        let position = u32::try_from(sql[..at].chars().count() + 1).ok();
        Err(error::database(
            ffi::SQLITE_ERROR,
            message.to_owned(),
            position,
        ))
    };
    if let Some(at) = sql.find('\0') {
        // SQLite would take it for the end of the text.
        return refused("a statement cannot contain a NUL character", at);
    }
    let mut tokens = Lexer::new(sql, Dialect::Sqlite)
        .filter(|token| !matches!(token, Ok(token) if matches!(token.kind, TokenKind::Comment | TokenKind::Semicolon)));
    if tokens.next().is_none() {
        return refused("there is no statement in this text", 0);
    }
    if sql.contains(';') && split(sql, Dialect::Sqlite).is_ok_and(|statements| statements.len() > 1)
    {
        return Err(error::several_statements());
    }
    Ok(())
}

fn is_plain_vacuum(sql: &str) -> bool {
    let words = leading_keywords(sql, Dialect::Sqlite, 2);
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["VACUUM"] | ["VACUUM", "MAIN"] => Lexer::new(sql, Dialect::Sqlite)
            .map_while(Result::ok)
            .all(|token| !token.is_word("into")),
        _ => false,
    }
}

/// Binds parameters by the number in their names: SQLite itself numbers `$2` by where it first stands.
fn bind(statement: &mut Statement<'_>, params: &[Value]) -> Result<(), DriverError> {
    let mut wanted = 0;
    for index in 1..=statement.parameter_count() {
        let number = match statement.parameter_name(index) {
            None => index,
            Some(name) => name[1..].parse().ok().filter(|n| *n > 0).ok_or_else(|| {
                DriverError::Conversion(format!(
                    "parameter `{name}` has no number; write `$1`, `$2`, …"
                ))
            })?,
        };
        wanted = wanted.max(number);
        if let Some(value) = params.get(number - 1) {
            statement
                .raw_bind_parameter(index, values::bind(value, number)?)
                .map_err(|problem| error::convert(problem, ""))?;
        }
    }
    if wanted == params.len() {
        Ok(())
    } else {
        Err(DriverError::Conversion(format!(
            "the statement has {wanted} parameters, but {} values were given",
            params.len()
        )))
    }
}
