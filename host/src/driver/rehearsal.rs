//! A session whose transaction is going to be rolled back: it refuses what a rollback would not undo, and keeps a record
//! of what components read.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;

use super::tape::{Answer, Question, Tape};
use super::{
    Authority, Batch, Canceller, Column, CommitError, CopyTarget, CursorId, Dialect, DriverError,
    Durability, RelationLock, ResultLimit, Rows, Session, Statement, Touched, Value,
};
use crate::sql::lasting;

/// The session that does the work, and the record.
pub(crate) struct Rehearsal {
    session: Box<dyn Session>,
    authority: Authority,
    tape: Option<Tape>,
    /// The cursors of the chapter that is recorded, by the order in which they were opened.
    cursors: HashMap<CursorId, u32>,
}

impl Rehearsal {
    /// Watches over a session; what components read goes onto the tape, where there is one.
    pub(crate) fn new(session: Box<dyn Session>, tape: Option<Tape>) -> Self {
        Self {
            session,
            authority: Authority::Host,
            tape,
            cursors: HashMap::new(),
        }
    }

    fn check(&self, sql: &str) -> Result<(), DriverError> {
        match self.authority {
            Authority::Host => Ok(()),
            Authority::File(_) | Authority::Guest(_) => {
                lasting::check_can_roll_back(sql, self.session.dialect())
            }
        }
    }

    fn tape(&self) -> Option<Tape> {
        let records = self.authority.is_guest();
        self.tape.clone().filter(|_| records)
    }

    /// What the database makes of the rows of a statement, to compare another one with.
    async fn prove(
        &mut self,
        sql: &str,
        params: &[Value],
        width: usize,
    ) -> Result<String, DriverError> {
        let Some(proof) = super::proof::query(sql, width, self.session.dialect()) else {
            return Ok(String::new());
        };
        let rows = self
            .session
            .query(&proof, params, ResultLimit::NONE)
            .await?;
        match rows.into_rows().into_iter().flatten().next() {
            Some(Value::Text(proof)) => Ok(proof),
            _ => Ok(String::new()),
        }
    }
}

#[async_trait]
impl Session for Rehearsal {
    fn dialect(&self) -> Dialect {
        self.session.dialect()
    }

    fn enforces(&self, authority: &Authority) -> bool {
        self.session.enforces(authority)
    }

    async fn assume(&mut self, authority: Authority) -> Result<(), DriverError> {
        self.authority = authority.clone();
        self.cursors.clear();
        self.session.assume(authority).await
    }

    async fn begin(&mut self) -> Result<(), DriverError> {
        self.session.begin().await
    }

    fn will_write(&mut self, table: &str) {
        self.session.will_write(table);
    }

    fn will_share(&mut self) {
        self.session.will_share();
    }

    async fn commit(
        &mut self,
        records: &[Statement],
        durability: Durability,
    ) -> Result<(), CommitError> {
        self.session.commit(records, durability).await
    }

    async fn record(&mut self, records: &[Statement]) -> Result<(), CommitError> {
        self.session.record(records).await
    }

    async fn has_relations(&mut self, but: &str) -> Result<bool, DriverError> {
        self.session.has_relations(but).await
    }

    async fn locks(&mut self) -> Result<Vec<RelationLock>, DriverError> {
        self.session.locks().await
    }

    async fn name_relations(
        &mut self,
        relations: &[u32],
    ) -> Result<Vec<(u32, String)>, DriverError> {
        self.session.name_relations(relations).await
    }

    async fn touched(&mut self) -> Result<Touched, DriverError> {
        self.session.touched().await
    }

    fn default_schema(&self) -> &str {
        self.session.default_schema()
    }

    async fn rollback(&mut self) -> Result<(), DriverError> {
        self.session.rollback().await
    }

    async fn run(&mut self, sql: &str) -> Result<u64, DriverError> {
        self.check(sql)?;
        self.session.run(sql).await
    }

    async fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, DriverError> {
        self.check(sql)?;
        let rows = self.session.execute(sql, params).await?;
        if let Some(tape) = self.tape() {
            let question = Question::new(sql, params);
            tape.push(Answer::Changed { question, rows });
        }
        Ok(rows)
    }

    async fn execute_many(&mut self, sql: &str, batch: &Arc<Batch>) -> Result<u64, DriverError> {
        self.check(sql)?;
        let rows = self.session.execute_many(sql, batch).await?;
        if let Some(tape) = self.tape() {
            let question = Question::of_batch(sql, batch);
            tape.push(Answer::Changed { question, rows });
        }
        Ok(rows)
    }

    async fn copy_in(&mut self, to: &CopyTarget, batch: &Arc<Batch>) -> Result<u64, DriverError> {
        let rows = self.session.copy_in(to, batch).await?;
        if let Some(tape) = self.tape() {
            let question = Question::of_batch(&to.insert(), batch);
            tape.push(Answer::Changed { question, rows });
        }
        Ok(rows)
    }

    async fn query_table(
        &mut self,
        sql: &str,
        params: &[Value],
        limit: ResultLimit,
    ) -> Result<Rows, DriverError> {
        self.check(sql)?;
        self.session.query_table(sql, params, limit).await
    }

    async fn query(
        &mut self,
        sql: &str,
        params: &[Value],
        limit: ResultLimit,
    ) -> Result<Rows, DriverError> {
        self.check(sql)?;
        let rows = self.session.query(sql, params, limit).await?;
        if let Some(tape) = self.tape() {
            tape.push(Answer::Rows {
                question: Question::new(sql, params),
                columns: rows.columns.to_vec(),
                rows: rows.clone().into_rows(),
                proof: self.prove(sql, params, rows.columns.len()).await?,
            });
        }
        Ok(rows)
    }

    async fn open_cursor(&mut self, sql: &str, params: &[Value]) -> Result<CursorId, DriverError> {
        self.check(sql)?;
        let cursor = self.session.open_cursor(sql, params).await?;
        if let Some(tape) = self.tape() {
            let columns = self.session.cursor_columns(cursor)?;
            let number = u32::try_from(self.cursors.len()).unwrap_or(u32::MAX);
            self.cursors.insert(cursor, number);
            tape.push(Answer::Cursor {
                question: Question::new(sql, params),
                proof: self.prove(sql, params, columns.len()).await?,
                columns: columns.to_vec(),
            });
        }
        Ok(cursor)
    }

    fn cursor_columns(&self, cursor: CursorId) -> Result<Arc<[Column]>, DriverError> {
        self.session.cursor_columns(cursor)
    }

    async fn fetch(
        &mut self,
        cursor: CursorId,
        max_rows: u32,
        limit: ResultLimit,
    ) -> Result<Rows, DriverError> {
        let rows = self.session.fetch(cursor, max_rows, limit).await?;
        if let (Some(tape), Some(&number)) = (self.tape(), self.cursors.get(&cursor)) {
            tape.push(Answer::Fetched {
                cursor: number,
                rows: rows.clone().into_rows(),
            });
        }
        Ok(rows)
    }

    async fn close_cursor(&mut self, cursor: CursorId) -> Result<(), DriverError> {
        self.session.close_cursor(cursor).await
    }

    async fn savepoint(&mut self, name: &str) -> Result<(), DriverError> {
        self.session.savepoint(name).await
    }

    async fn release_savepoint(&mut self, name: &str) -> Result<(), DriverError> {
        self.session.release_savepoint(name).await
    }

    async fn rollback_to_savepoint(&mut self, name: &str) -> Result<(), DriverError> {
        self.session.rollback_to_savepoint(name).await
    }

    fn take_notices(&mut self) -> Vec<String> {
        self.session.take_notices()
    }

    fn canceller(&self) -> Arc<dyn Canceller> {
        self.session.canceller()
    }
}
