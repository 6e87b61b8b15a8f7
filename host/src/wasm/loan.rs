//! The session while a guest has it, and what must be known of its use when the call ends.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::bindings::whimbrel::migrate::types::TextForm;
use crate::driver::tape::Question;
use crate::driver::{
    Batch, Column, CopyTarget, CursorId, DriverError, ResultLimit, Rows, Session, Value,
};
use crate::journal::{Answered, Asked, Recording};
use crate::migration::{MigrationError, StatementSource, Work};

/// The order in which cursors and savepoints were opened in one call.
pub(super) type Serial = u64;

/// What a guest's handle on a cursor stands for.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Cursor {
    serial: Serial,
    pub(super) text: TextForm,
}

impl Cursor {
    /// Its place in the order of opening.
    pub(super) fn serial(&self) -> Serial {
        self.serial
    }
}

/// What a guest's handle on a savepoint stands for.
#[derive(Clone, Copy)]
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Savepoint {
    serial: Serial,
}

impl Savepoint {
    fn name(&self) -> String {
        format!("whimbrel_guest_{}", self.serial)
    }
}

/// The limit on results of the driver's unit, as the manifest spells it.
pub(super) fn limit_name(unit: &str) -> &'static str {
    match unit {
        "rows" => "result-rows",
        "rows written" => "rows-written",
        "statements" => "statements",
        _ => "result-bytes",
    }
}

/// How a savepoint ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SavepointEnd {
    /// What was done since stays.
    Release,
    /// What was done since is undone.
    Rollback,
}

/// The statement of a call that failed last.
pub(super) struct FailedStatement {
    pub(super) statement: StatementSource,
    pub(super) error: DriverError,
}

/// Why a request of the guest was not carried out.
pub(super) enum Refusal {
    /// The driver failed; the guest is told.
    Driver(DriverError),
    /// The guest used a handle that is finished, or in the wrong order; it traps.
    Misuse(&'static str),
}

impl From<DriverError> for Refusal {
    fn from(error: DriverError) -> Self {
        Self::Driver(error)
    }
}

/// A cursor that has not ended.
struct OpenCursor {
    id: CursorId,
    sql: Arc<str>,
}

/// A session on loan.
pub(super) struct Loan {
    session: Box<dyn Session>,
    limit: ResultLimit,
    /// How many statements the call may run.
    statements: u64,
    recording: Option<Recording>,
    opened: Serial,
    cursors: BTreeMap<Serial, OpenCursor>,
    savepoints: Vec<Serial>,
    work: Work,
    failed: Option<FailedStatement>,
    /// Whether the failure is the last thing that happened.
    failing: bool,
    verdict: Option<MigrationError>,
}

impl Loan {
    /// Lends a session; results are held to `limit`. What is asked of it and answered goes into `recording`.
    pub(super) fn new(
        session: Box<dyn Session>,
        limit: ResultLimit,
        statements: u64,
        recording: Option<Recording>,
    ) -> Self {
        Self {
            session,
            limit,
            statements,
            recording,
            opened: 0,
            cursors: BTreeMap::new(),
            savepoints: Vec::new(),
            work: Work::default(),
            failed: None,
            failing: false,
            verdict: None,
        }
    }

    /// Counts a statement that is about to run.
    fn count(&mut self) -> Result<(), DriverError> {
        self.work.statements += 1;
        if self.work.statements <= self.statements {
            return Ok(());
        }
        self.doom(MigrationError::Limit {
            what: "statements",
            limit: self.statements,
            unit: "statements",
        });
        Err(DriverError::Limit {
            unit: "statements",
            limit: self.statements,
        })
    }

    /// Runs a statement that returns no rows.
    pub(super) async fn execute(
        &mut self,
        sql: &str,
        params: &[Value],
    ) -> Result<u64, DriverError> {
        self.count()?;
        let outcome = self.session.execute(sql, params).await;
        self.record(|| {
            let asked = Asked::Execute(Question::new(sql, params));
            (asked, Answered::touched(&outcome))
        });
        let touched = self.noted(sql, outcome)?;
        self.work.rows = self.work.rows.saturating_add(touched);
        Ok(touched)
    }

    /// Runs a statement for each row of a batch.
    pub(super) async fn execute_many(
        &mut self,
        sql: &str,
        batch: &Arc<Batch>,
    ) -> Result<u64, DriverError> {
        self.count()?;
        let outcome = self.session.execute_many(sql, batch).await;
        self.record(|| {
            let asked = Asked::ExecuteMany(Question::of_batch(sql, batch));
            (asked, Answered::touched(&outcome))
        });
        let touched = self.noted(sql, outcome)?;
        self.work.rows = self.work.rows.saturating_add(touched);
        Ok(touched)
    }

    /// Adds rows to a table.
    pub(super) async fn copy_in(
        &mut self,
        table: &str,
        columns: &[String],
        batch: &Arc<Batch>,
    ) -> Result<u64, DriverError> {
        self.count()?;
        let to = CopyTarget::new(table, columns, self.session.dialect());
        let to = self.noted(table, to)?;
        if batch.width() != to.width() {
            let widths = DriverError::Conversion(format!(
                "{} columns are named, and the rows have {}",
                to.width(),
                batch.width()
            ));
            return self.noted(&to.insert(), Err(widths));
        }
        let outcome = self.session.copy_in(&to, batch).await;
        self.record(|| {
            let asked = Asked::CopyIn(Question::of_batch(&to.to_string(), batch));
            (asked, Answered::touched(&outcome))
        });
        let touched = self.noted(&to.insert(), outcome)?;
        self.work.rows = self.work.rows.saturating_add(touched);
        Ok(touched)
    }

    /// The statement that reads the columns of a table.
    pub(super) fn copy_out(
        &mut self,
        table: &str,
        columns: &[String],
    ) -> Result<String, DriverError> {
        let from = CopyTarget::new(table, columns, self.session.dialect());
        Ok(self.noted(table, from)?.select())
    }

    /// Runs a statement and reads its rows.
    pub(super) async fn query(&mut self, sql: &str, params: &[Value]) -> Result<Rows, DriverError> {
        self.count()?;
        let outcome = self.session.query(sql, params, self.limit).await;
        self.record(|| {
            let asked = Asked::Query(Question::new(sql, params));
            (asked, Answered::rows(&outcome))
        });
        self.noted(sql, outcome)
    }

    /// The state of a cursor that [`Loan::open_cursor`] will open.
    pub(super) fn new_cursor(&mut self, text: TextForm) -> Cursor {
        Cursor {
            serial: self.next_serial(),
            text,
        }
    }

    /// Opens a cursor.
    pub(super) async fn open_cursor(
        &mut self,
        cursor: Serial,
        sql: &str,
        params: &[Value],
    ) -> Result<(), DriverError> {
        self.count()?;
        let outcome = self.session.open_cursor(sql, params).await;
        if let Some(recording) = &mut self.recording {
            let columns = match &outcome {
                Ok(id) => self.session.cursor_columns(*id)?,
                Err(_) => Arc::default(),
            };
            let asked = Asked::OpenCursor(Question::new(sql, params));
            recording.exchange(asked, Answered::cursor(&outcome, &columns));
        }
        let id = self.noted(sql, outcome)?;
        self.cursors.insert(
            cursor,
            OpenCursor {
                id,
                sql: sql.into(),
            },
        );
        Ok(())
    }

    /// The columns of a cursor.
    pub(super) fn cursor_columns(&self, cursor: Serial) -> Result<Arc<[Column]>, Refusal> {
        Ok(self.session.cursor_columns(self.open(cursor)?.id)?)
    }

    /// The next rows of a cursor.
    pub(super) async fn fetch(&mut self, cursor: Serial, max_rows: u32) -> Result<Rows, Refusal> {
        let OpenCursor { id, sql } = self.open(cursor)?;
        let (id, sql) = (*id, Arc::clone(sql));
        if max_rows == 0 {
            return Err(Refusal::Misuse("`cursor.next` was asked for 0 rows"));
        }
        let outcome = self.session.fetch(id, max_rows, self.limit).await;
        self.record(|| {
            let cursor = id.0;
            (Asked::Fetch { cursor, max_rows }, Answered::rows(&outcome))
        });
        Ok(self.noted(&sql, outcome)?)
    }

    /// Closes a cursor, unless it has ended already.
    pub(super) async fn close_cursor(&mut self, cursor: Serial) -> Result<(), DriverError> {
        match self.cursors.remove(&cursor) {
            Some(cursor) => self.close(cursor.id).await,
            None => Ok(()),
        }
    }

    async fn close(&mut self, cursor: CursorId) -> Result<(), DriverError> {
        let outcome = self.session.close_cursor(cursor).await;
        self.record(|| (Asked::CloseCursor(cursor.0), Answered::done(&outcome)));
        outcome
    }

    /// Writes down what was asked and answered, where that is wanted.
    fn record(&mut self, exchange: impl FnOnce() -> (Asked, Answered)) {
        if let Some(recording) = &mut self.recording {
            let (asked, answered) = exchange();
            recording.exchange(asked, answered);
        }
    }

    fn open(&self, cursor: Serial) -> Result<&OpenCursor, Refusal> {
        let ended = "the cursor has ended with the savepoint that it was opened after";
        self.cursors.get(&cursor).ok_or(Refusal::Misuse(ended))
    }

    /// The state of a savepoint that [`Loan::open_savepoint`] will set.
    pub(super) fn new_savepoint(&mut self) -> Savepoint {
        Savepoint {
            serial: self.next_serial(),
        }
    }

    /// Sets a savepoint.
    pub(super) async fn open_savepoint(&mut self, savepoint: Savepoint) -> Result<(), DriverError> {
        let name = savepoint.name();
        let outcome = self.session.savepoint(&name).await;
        self.record(|| (Asked::Savepoint(name.clone()), Answered::done(&outcome)));
        self.noted(&format!("SAVEPOINT {name}"), outcome)?;
        self.savepoints.push(savepoint.serial);
        Ok(())
    }

    /// Ends the innermost savepoint. A rollback ends the cursors that were opened after it.
    pub(super) async fn end_savepoint(
        &mut self,
        savepoint: Savepoint,
        end: SavepointEnd,
    ) -> Result<(), Refusal> {
        if !self.savepoints.contains(&savepoint.serial) {
            return Err(Refusal::Misuse(
                "the savepoint is already released or rolled back",
            ));
        }
        if self.savepoints.last() != Some(&savepoint.serial) {
            return Err(Refusal::Misuse(
                "a savepoint that was set later is still open",
            ));
        }
        let name = savepoint.name();
        match end {
            SavepointEnd::Release => {
                let outcome = self.session.release_savepoint(&name).await;
                self.record(|| (Asked::Release(name.clone()), Answered::done(&outcome)));
                self.noted(&format!("RELEASE SAVEPOINT {name}"), outcome)?;
            }
            SavepointEnd::Rollback => {
                let dead = self.cursors.split_off(&savepoint.serial);
                let outcome = self.session.rollback_to_savepoint(&name).await;
                self.record(|| (Asked::RollBack(name.clone()), Answered::done(&outcome)));
                self.noted(&format!("ROLLBACK TO SAVEPOINT {name}"), outcome)?;
                for cursor in dead.into_values() {
                    self.close(cursor.id).await?;
                }
            }
        }
        self.savepoints.pop();
        Ok(())
    }

    /// Makes the call fail with `verdict` whatever the guest does from now on; the first one counts.
    pub(super) fn doom(&mut self, verdict: MigrationError) {
        self.verdict.get_or_insert(verdict);
    }

    /// What the call has been doomed to fail with.
    pub(super) fn verdict(&self) -> Option<&MigrationError> {
        self.verdict.as_ref()
    }

    /// The statement that failed last.
    pub(super) fn last_failure(&self) -> Option<&FailedStatement> {
        self.failed.as_ref()
    }

    /// The statement that failed last, if nothing has succeeded since.
    pub(super) fn unhandled_failure(&self) -> Option<&FailedStatement> {
        self.failed.as_ref().filter(|_| self.failing)
    }

    /// What a call that returned without an error did, if it has left nothing undone.
    pub(super) async fn conclude(&mut self) -> Result<Work, MigrationError> {
        match self.savepoints.len() {
            0 => {}
            1 => {
                return Err(MigrationError::Unfinished(
                    "a savepoint was neither released nor rolled back".to_owned(),
                ));
            }
            n => {
                return Err(MigrationError::Unfinished(format!(
                    "{n} savepoints were neither released nor rolled back"
                )));
            }
        }
        for cursor in std::mem::take(&mut self.cursors).into_values() {
            let closed = self.close(cursor.id).await;
            closed.map_err(|source| MigrationError::Statement {
                statement: None,
                source,
            })?;
        }
        Ok(self.work)
    }

    /// Gives the session back, and what was written down.
    pub(super) fn give_back(self) -> (Box<dyn Session>, Option<Recording>) {
        (self.session, self.recording)
    }

    fn next_serial(&mut self) -> Serial {
        self.opened += 1;
        self.opened
    }

    /// Remembers a statement that failed, and dooms the call where the failure leaves no choice.
    fn noted<T>(&mut self, sql: &str, outcome: Result<T, DriverError>) -> Result<T, DriverError> {
        let error = match outcome {
            Ok(value) => {
                self.failing = false;
                return Ok(value);
            }
            Err(error) => error,
        };
        let statement = StatementSource {
            sql: sql.to_owned(),
            origin: None,
        };
        match &error {
            DriverError::Limit { unit, limit } => self.doom(MigrationError::Limit {
                what: limit_name(unit),
                limit: *limit,
                unit,
            }),
            DriverError::Database(_)
            | DriverError::Denied { .. }
            | DriverError::NotGranted(_)
            | DriverError::Conversion(_)
            | DriverError::Offline
            | DriverError::Unrecorded(_) => {}
            DriverError::Connect { .. }
            | DriverError::Settings { .. }
            | DriverError::Cancelled
            | DriverError::Closed { .. }
            | DriverError::CommitUnknown { .. } => self.doom(MigrationError::Statement {
                statement: Some(Box::new(statement.clone())),
                source: error.clone(),
            }),
        }
        self.failing = true;
        self.failed = Some(FailedStatement {
            statement,
            error: error.clone(),
        });
        Err(error)
    }
}
