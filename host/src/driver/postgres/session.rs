//! A session: one connection, its transaction and its statements.

mod access;
mod audit;
mod bulk;
pub(super) mod commit;
mod copying;
mod cursors;
mod hosting;
mod locks;
mod opening;
mod reading;
mod requests;

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{join_all, join3};
use futures_util::{StreamExt, pin_mut};
use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::error::SqlState;

use super::link::Link;
use super::pooler::{self, Route};
use super::settings::ConnectSettings;
use super::statements::StatementCache;
use super::values::untyped;
use crate::driver::{
    Authority, Batch, Canceller, Column, CommitError, CopyTarget, CursorId, DatabaseError, Dialect,
    DriverError, Durability, RelationLock, ResultLimit, Rows, Session, Statement, Touched, Value,
};
use crate::sql::guard::Protected;
use crate::sql::leading_keywords;
use access::StatementCheck;
use audit::Before;
use bulk::Ready;
use cursors::Cursors;
use opening::Opening;
use requests::{encode_all, own_request, with_unknown_type};

/// What gives the session back its own role and settings.
const RESET: &str = "RESET SESSION AUTHORIZATION; RESET ALL";

/// A session on a Postgres server.
pub(super) struct PostgresSession {
    link: Link,
    connection: ConnectSettings,
    activity: Activity,
    authority: Authority,
    /// What there was when the migration was given the session, where its transaction is going to be audited.
    before: Option<Before>,
    /// What was done may have been rolled back in part.
    has_undone: bool,
    /// The relations, but for Whimbrel's own, of which the server may have counts that it has not passed on; none where that
    /// is not known.
    counted: Option<BTreeSet<u32>>,
    /// Whether a migration may have left the session with other settings or another role.
    unsettled: bool,
    /// Whether statements were prepared that cannot all be taken back: tokio-postgres keeps some to itself.
    has_prepared: bool,
    /// Whether the session takes its own settings again with the next statement.
    resets: bool,
    protected: Protected,
    opening: Opening,
    /// Whether statements outside of transactions give up waiting for a lock.
    is_patient: bool,
    transaction: Transaction,
    /// Savepoints that are set, each with the cursors that were opened before it.
    savepoints: Vec<(String, u32)>,
    cursors: Cursors,
    /// The host's statements.
    own_statements: StatementCache,
    /// The migration's statements, which have passed the check.
    statements: StatementCache,
    access: StatementCheck,
    /// The rows that are written next.
    ready: Option<Ready>,
}

/// Whether the connection can take a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Activity {
    Idle,
    /// A request is under way; when the next one comes, its future was dropped.
    Busy,
    Lost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transaction {
    None,
    /// Goes out together with the first statement.
    Requested,
    Open,
    /// A statement has failed; the server refuses all but the end, or a way back to a savepoint.
    Failed,
}

impl PostgresSession {
    /// Takes over a connection. Each transaction gives up waiting for a lock after `lock_timeout`, where one is given.
    pub(super) fn new(
        link: Link,
        connection: ConnectSettings,
        lock_timeout: Option<Duration>,
        protected: Protected,
    ) -> Self {
        Self {
            link,
            connection,
            activity: Activity::Idle,
            authority: Authority::Host,
            before: None,
            has_undone: false,
            counted: Some(BTreeSet::new()),
            unsettled: false,
            has_prepared: false,
            resets: false,
            protected,
            opening: Opening::new(lock_timeout),
            is_patient: false,
            transaction: Transaction::None,
            savepoints: Vec::new(),
            cursors: Cursors::default(),
            own_statements: StatementCache::default(),
            statements: StatementCache::default(),
            access: StatementCheck::default(),
            ready: None,
        }
    }

    /// Marks the session busy; a session that is busy already lost the future that used it.
    fn enter(&mut self) -> Result<(), DriverError> {
        if self.activity != Activity::Idle {
            return Err(DriverError::Closed { source: None });
        }
        self.activity = Activity::Busy;
        Ok(())
    }

    /// Marks the end of a request.
    fn leave<T>(&mut self, result: Result<T, DriverError>) -> Result<T, DriverError> {
        self.activity = match &result {
            Err(error) if is_lost(error) => Activity::Lost,
            _ => Activity::Idle,
        };
        result
    }

    /// Marks the end of writing records.
    fn left(&mut self, result: Result<(), CommitError>) -> Result<(), CommitError> {
        let lost = match &result {
            Err(CommitError::Record(error) | CommitError::Commit(error)) => is_lost(error),
            _ => false,
        };
        self.activity = if lost { Activity::Lost } else { Activity::Idle };
        result
    }

    /// Awaits a request, sending before it what is due: the session's own settings, the begin of a transaction.
    async fn send<T>(
        &mut self,
        request: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, DriverError> {
        let begins = self.transaction == Transaction::Requested;
        if begins {
            self.transaction = Transaction::Open;
        }
        let resets = std::mem::take(&mut self.resets);
        let client = self.link.client.clone();
        let reset_text = self.reset_text();
        let opening = &mut self.opening;
        let reset = async {
            match resets {
                true => client.batch_execute(reset_text).await,
                false => Ok(()),
            }
        };
        let begin = async {
            match begins {
                true => opening.begin(&client).await,
                false => Ok(()),
            }
        };
        // Each is sent when it is first polled, and `join3` polls in order.
        let (reset, begun, done) = join3(reset, begin, request).await;
        reset
            .and(begun)
            .and(done)
            .map_err(|error| self.failed(error))
    }

    fn reset_text(&self) -> &'static str {
        match self.opening.route() {
            Route::Unknown | Route::Direct => RESET,
            Route::Pooled => pooler::CLEAN,
        }
    }

    /// Whether a migration's statement may meet another server process than the one before it.
    fn is_adrift(&self) -> bool {
        self.transaction == Transaction::None
            && self.authority != Authority::Host
            && self.opening.route() == Route::Pooled
    }

    fn failed(&mut self, error: tokio_postgres::Error) -> DriverError {
        let error = self.link.translate(error);
        self.access.failed();
        // Others may have changed what they return, which the server refuses each time.
        self.statements.clear();
        if self.transaction == Transaction::Open {
            self.transaction = Transaction::Failed;
        }
        error
    }

    /// Forgets prepared statements before one that may change what they return, and remembers one that may change the
    /// session: all but plain definitions can call `set_config`.
    fn expect_changes(&mut self, sql: &str) {
        let words = leading_keywords(sql, Dialect::Postgresql, 1);
        let leaves_session_alone = matches!(
            words.first().map(String::as_str),
            Some("CREATE" | "ALTER" | "DROP" | "COMMENT" | "GRANT" | "REVOKE" | "TRUNCATE")
        );
        self.unsettled |= !leaves_session_alone || self.opening.route() == Route::Pooled;
        let leaves_schema_alone = matches!(
            words.first().map(String::as_str),
            Some("SELECT" | "INSERT" | "UPDATE" | "DELETE" | "MERGE" | "WITH" | "VALUES" | "TABLE")
        );
        if !leaves_schema_alone {
            self.statements.clear();
        }
    }

    /// Sends the host's own words, of one or several statements.
    async fn command(&mut self, sql: &str) -> Result<(), DriverError> {
        let client = self.link.client.clone();
        self.send(client.batch_execute(sql)).await
    }

    async fn run_inner(&mut self, sql: &str) -> Result<u64, DriverError> {
        self.check(sql).await?;
        if self.authority == Authority::Host {
            return self.run_own(sql).await;
        }
        self.expect_changes(sql);
        let client = self.link.client.clone();
        // The extended protocol takes one statement only, so that nothing can hide behind a semicolon.
        self.send(client.execute_typed(sql, &[])).await
    }

    async fn run_own(&mut self, sql: &str) -> Result<u64, DriverError> {
        let client = self.link.client.clone();
        self.send(async {
            let messages = client.simple_query_raw(sql).await?;
            pin_mut!(messages);
            let mut touched = 0;
            while let Some(message) = messages.next().await {
                if let SimpleQueryMessage::CommandComplete(rows) = message? {
                    touched = rows;
                }
            }
            Ok(touched)
        })
        .await
    }

    async fn execute_inner(&mut self, sql: &str, params: &[Value]) -> Result<u64, DriverError> {
        if self.authority == Authority::Host {
            self.check(sql).await?;
            self.prepare_own([sql]).await?;
            let request = own_request(&self.link, &mut self.own_statements, sql, params)?;
            return self.send(request).await;
        }
        if params.is_empty() {
            return self.run_inner(sql).await;
        }
        if self.is_adrift() {
            self.check(sql).await?;
            self.expect_changes(sql);
            let params: Vec<_> = params.iter().map(untyped).collect();
            let client = self.link.client.clone();
            return self
                .send(client.execute_typed(sql, &with_unknown_type(&params)))
                .await;
        }
        let statement = self.prepared(sql).await?;
        let params = encode_all(params, statement.params())?;
        let client = self.link.client.clone();
        self.send(client.execute_raw(&statement, &params)).await
    }

    /// The prepared form of a migration's statement, or of one of the host's about tables of others.
    async fn prepared(&mut self, sql: &str) -> Result<tokio_postgres::Statement, DriverError> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement);
        }
        self.check(sql).await?;
        match self.authority {
            // It changes neither definitions nor settings.
            Authority::Host => self.unsettled |= self.opening.route() == Route::Pooled,
            _ => self.expect_changes(sql),
        }
        self.has_prepared = true;
        let client = self.link.client.clone();
        let statement = self.send(client.prepare(sql)).await?;
        if self.access.may_keep() {
            self.statements.keep(sql, statement.clone(), None);
        }
        Ok(statement)
    }

    /// Prepares those of the host's statements that come again; the first time one is sent whole, which saves a
    /// round trip.
    async fn prepare_own(
        &mut self,
        texts: impl IntoIterator<Item = &str>,
    ) -> Result<(), DriverError> {
        if self.opening.route() != Route::Direct {
            return Ok(());
        }
        let mut wanted: Vec<&str> = Vec::new();
        for sql in texts {
            if self.own_statements.met_before(sql)
                && self.own_statements.get(sql).is_none()
                && !wanted.contains(&sql)
            {
                wanted.push(sql);
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let client = self.link.client.clone();
        let prepared = self
            .send(async { Ok(join_all(wanted.iter().map(|sql| client.prepare(sql))).await) })
            .await?;
        for (sql, statement) in wanted.into_iter().zip(prepared) {
            let statement = statement.map_err(|error| self.failed(error))?;
            self.own_statements.keep(sql, statement, None);
        }
        Ok(())
    }

    fn assume_inner(&mut self, authority: Authority) {
        if authority != self.authority {
            self.statements.clear();
            self.access = StatementCheck::default();
        }
        self.authority = authority;
        // What a failed transaction has set goes with it.
        if self.authority == Authority::Host
            && self.unsettled
            && self.transaction != Transaction::Failed
        {
            self.unsettled = false;
            // Outside of a transaction, behind a pooler, it would clean another process than the migration's.
            let is_pointless =
                self.transaction == Transaction::None && self.opening.route() == Route::Pooled;
            self.resets = !is_pointless;
        }
    }

    async fn roll_back(&mut self) -> Result<(), DriverError> {
        self.transaction = Transaction::None;
        self.resets = false;
        self.end_transaction();
        self.statements.clear();
        let rollback = match self.opening.route() {
            Route::Unknown | Route::Direct => "ROLLBACK".to_owned(),
            // In one message, so that both reach the same process.
            Route::Pooled => format!("ROLLBACK; {}", pooler::CLEAN),
        };
        self.command(&rollback).await
    }

    fn end_transaction(&mut self) {
        self.before = None;
        self.opening.release();
        self.cursors.forget_all();
        self.savepoints.clear();
    }
}

fn is_lost(error: &DriverError) -> bool {
    matches!(
        error,
        DriverError::Closed { .. } | DriverError::CommitUnknown { .. }
    )
}

fn aborted(message: &str) -> DriverError {
    Box::new(DatabaseError {
        sqlstate: Some(SqlState::IN_FAILED_SQL_TRANSACTION.code().to_owned()),
        message: message.to_owned(),
        ..DatabaseError::default()
    })
    .into()
}

#[async_trait]
impl Session for PostgresSession {
    fn dialect(&self) -> Dialect {
        Dialect::Postgresql
    }

    async fn assume(&mut self, authority: Authority) -> Result<(), DriverError> {
        self.enter()?;
        let looked = self.look_before(&authority).await;
        self.assume_inner(authority);
        self.leave(looked)
    }

    async fn begin(&mut self) -> Result<(), DriverError> {
        if self.activity != Activity::Idle || self.link.client.is_closed() {
            return Err(DriverError::Closed { source: None });
        }
        if self.transaction != Transaction::None {
            return Err(aborted("a transaction has begun already"));
        }
        match self.opening.route() {
            Route::Unknown => {
                let token = self.link.client.cancel_token();
                let announced = pooler::announced_process(&token).await;
                self.opening.expect(announced);
            }
            Route::Pooled if self.has_prepared => {
                self.link = Link::open(&self.connection, |_| {}).await?;
                self.statements.clear();
                self.has_prepared = false;
            }
            Route::Direct | Route::Pooled => {}
        }
        self.transaction = Transaction::Requested;
        Ok(())
    }

    fn will_write(&mut self, table: &str) {
        if self.transaction == Transaction::Requested {
            self.opening.claim(table);
        }
    }

    async fn commit(
        &mut self,
        records: &[Statement],
        durability: Durability,
    ) -> Result<(), CommitError> {
        self.enter().map_err(CommitError::Commit)?;
        let result = self.commit_inner(records, durability).await;
        self.left(result)
    }

    async fn record(&mut self, records: &[Statement]) -> Result<(), CommitError> {
        self.enter().map_err(CommitError::Record)?;
        let result = self.record_inner(records).await;
        self.left(result)
    }

    async fn has_relations(&mut self, but: &str) -> Result<bool, DriverError> {
        self.enter()?;
        let result = self.has_relations_inner(but).await;
        self.leave(result)
    }

    async fn locks(&mut self) -> Result<Vec<RelationLock>, DriverError> {
        self.enter()?;
        let result = self.locks_inner().await;
        self.leave(result)
    }

    async fn name_relations(
        &mut self,
        relations: &[u32],
    ) -> Result<Vec<(u32, String)>, DriverError> {
        self.enter()?;
        let result = self.name_relations_inner(relations).await;
        self.leave(result)
    }

    async fn touched(&mut self) -> Result<Touched, DriverError> {
        // It cannot be committed, and the commit says why.
        if self.transaction == Transaction::Failed {
            return Ok(Touched::default());
        }
        self.enter()?;
        let result = self.touched_inner().await;
        self.leave(result)
    }

    fn default_schema(&self) -> &str {
        self.before
            .as_ref()
            .map_or("public", |before| before.default_schema.as_str())
    }

    async fn rollback(&mut self) -> Result<(), DriverError> {
        self.enter()?;
        let result = match self.transaction {
            Transaction::None | Transaction::Requested => {
                self.transaction = Transaction::None;
                self.end_transaction();
                Ok(())
            }
            Transaction::Open | Transaction::Failed => self.roll_back().await,
        };
        self.leave(result)
    }

    async fn run(&mut self, sql: &str) -> Result<u64, DriverError> {
        self.enter()?;
        let result = self.run_inner(sql).await;
        self.leave(result)
    }

    async fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, DriverError> {
        self.enter()?;
        let result = self.execute_inner(sql, params).await;
        self.leave(result)
    }

    async fn will_execute_many(&mut self, sql: &str, batch: &Arc<Batch>) {
        self.make_ready(sql, batch).await;
    }

    async fn execute_many(&mut self, sql: &str, batch: &Arc<Batch>) -> Result<u64, DriverError> {
        self.enter()?;
        let result = self.execute_many_inner(sql, batch).await;
        self.leave(result)
    }

    async fn copy_in(&mut self, to: &CopyTarget, batch: &Arc<Batch>) -> Result<u64, DriverError> {
        self.enter()?;
        let result = self.copy_in_inner(to, batch).await;
        self.leave(result)
    }

    async fn query(
        &mut self,
        sql: &str,
        params: &[Value],
        limit: ResultLimit,
    ) -> Result<Rows, DriverError> {
        self.enter()?;
        let result = self.query_inner(sql, params, limit).await;
        self.leave(result)
    }

    async fn query_table(
        &mut self,
        sql: &str,
        params: &[Value],
        limit: ResultLimit,
    ) -> Result<Rows, DriverError> {
        self.query_table_prepared(sql, params, limit).await
    }

    async fn open_cursor(&mut self, sql: &str, params: &[Value]) -> Result<CursorId, DriverError> {
        self.enter()?;
        let result = self.open_cursor_inner(sql, params).await;
        self.leave(result)
    }

    fn cursor_columns(&self, cursor: CursorId) -> Result<Arc<[Column]>, DriverError> {
        self.cursors.columns(cursor)
    }

    async fn fetch(
        &mut self,
        cursor: CursorId,
        max_rows: u32,
        limit: ResultLimit,
    ) -> Result<Rows, DriverError> {
        self.cursors.columns(cursor)?;
        self.enter()?;
        let result = self.fetch_inner(cursor, max_rows, limit).await;
        self.leave(result)
    }

    async fn close_cursor(&mut self, cursor: CursorId) -> Result<(), DriverError> {
        self.enter()?;
        let result = self.close_cursor_inner(cursor).await;
        self.leave(result)
    }

    async fn savepoint(&mut self, name: &str) -> Result<(), DriverError> {
        self.enter()?;
        let result = self.command(&format!("SAVEPOINT {name}")).await;
        if result.is_ok() {
            self.savepoints
                .push((name.to_owned(), self.cursors.opened()));
            self.access.savepoint(name);
        }
        self.leave(result)
    }

    async fn release_savepoint(&mut self, name: &str) -> Result<(), DriverError> {
        self.enter()?;
        let result = self.command(&format!("RELEASE SAVEPOINT {name}")).await;
        if result.is_ok() {
            self.pop_savepoint(name);
            self.access.release_savepoint(name);
        }
        self.leave(result)
    }

    async fn rollback_to_savepoint(&mut self, name: &str) -> Result<(), DriverError> {
        self.enter()?;
        self.statements.clear();
        self.has_undone = true;
        let result = self
            .command(&format!(
                "ROLLBACK TO SAVEPOINT {name}; RELEASE SAVEPOINT {name}"
            ))
            .await;
        if result.is_ok() {
            self.transaction = Transaction::Open;
            self.access.rollback_to_savepoint(name);
            if let Some(opened_before) = self.pop_savepoint(name) {
                self.cursors.forget_since(opened_before);
            }
        }
        self.leave(result)
    }

    fn take_notices(&mut self) -> Vec<String> {
        self.link.take_notices()
    }

    fn canceller(&self) -> Arc<dyn Canceller> {
        Arc::new(self.link.canceller())
    }
}

impl PostgresSession {
    /// Forgets a savepoint and all after it; tells how many cursors had been opened before it.
    fn pop_savepoint(&mut self, name: &str) -> Option<u32> {
        let at = self.savepoints.iter().rposition(|(set, _)| set == name)?;
        let (_, opened) = self.savepoints.get(at)?;
        let opened = *opened;
        self.savepoints.truncate(at);
        Some(opened)
    }
}

impl Drop for PostgresSession {
    /// A statement whose future was dropped would run on, and keep its locks, until it is done.
    fn drop(&mut self) {
        if self.activity == Activity::Busy
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let canceller = self.link.canceller();
            runtime.spawn(async move { canceller.cancel().await });
        }
    }
}
