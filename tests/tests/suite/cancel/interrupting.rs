//! A driver whose sessions interrupt the run at one of the calls that a component makes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use camino::Utf8Path;
use tokio::sync::Notify;
use whimbrel::driver::backup::{BackupError, Restoration};
use whimbrel::driver::{
    Authority, Batch, Canceller, Column, CommitError, CopyTarget, CursorId, Dialect, Driver,
    DriverError, Durability, ResultLimit, Rows, RunLock, Scratch, Session, Statement, Value,
};
use whimbrel::migration::Cancel;

/// What happens at the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// The run is cancelled, and the call made all the same.
    Before,
    /// The call is made, and the run cancelled before the component has the answer.
    After,
    /// The call is made, and the future of the run dropped before the component has the answer.
    Dropped,
}

/// At which call, counted from 0.
#[derive(Debug)]
pub(super) struct Plan {
    call: usize,
    when: When,
    cancel: CancelOf,
    made: AtomicUsize,
    drop: Notify,
}

struct CancelOf(Cancel);

impl std::fmt::Debug for CancelOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cancel")
    }
}

impl Plan {
    pub(super) fn new(call: usize, when: When, cancel: Cancel) -> Self {
        Self {
            call,
            when,
            cancel: CancelOf(cancel),
            made: AtomicUsize::new(0),
            drop: Notify::new(),
        }
    }

    /// How many calls were made.
    pub(super) fn made(&self) -> usize {
        self.made.load(Ordering::SeqCst)
    }

    pub(super) fn was_reached(&self) -> bool {
        self.made() > self.call
    }

    /// Returns when the future of the run is to be dropped.
    pub(super) async fn dropped(&self) {
        self.drop.notified().await;
    }

    /// Whether it is this call.
    fn is_now(&self) -> bool {
        let is_now = self.made.fetch_add(1, Ordering::SeqCst) == self.call;
        if is_now && self.when == When::Before {
            self.cancel.0.request();
        }
        is_now
    }

    async fn after(&self) {
        match self.when {
            When::Before => {}
            When::After => self.cancel.0.request(),
            When::Dropped => {
                self.drop.notify_one();
                std::future::pending().await
            }
        }
    }
}

/// A driver with such sessions.
#[derive(Debug)]
pub(super) struct Interrupting {
    driver: Arc<dyn Driver>,
    plan: Arc<Plan>,
}

impl Interrupting {
    pub(super) fn new(driver: Arc<dyn Driver>, plan: Arc<Plan>) -> Self {
        Self { driver, plan }
    }
}

#[async_trait]
impl Driver for Interrupting {
    fn dialect(&self) -> Dialect {
        self.driver.dialect()
    }

    fn location(&self) -> String {
        self.driver.location()
    }

    async fn connect(&self) -> Result<Box<dyn Session>, DriverError> {
        Ok(Box::new(Interrupted {
            session: self.driver.connect().await?,
            plan: Arc::clone(&self.plan),
            is_guests: false,
        }))
    }

    async fn open_lock(&self, version_table: &str) -> Result<Box<dyn RunLock>, DriverError> {
        self.driver.open_lock(version_table).await
    }

    async fn back_up(&self, to: &Utf8Path) -> Result<(), BackupError> {
        self.driver.back_up(to).await
    }

    async fn open_backup(&self, from: &Utf8Path) -> Result<Box<dyn Restoration>, BackupError> {
        self.driver.open_backup(from).await
    }

    async fn scratch(&self) -> Result<Box<dyn Scratch>, DriverError> {
        self.driver.scratch().await
    }
}

struct Interrupted {
    session: Box<dyn Session>,
    plan: Arc<Plan>,
    /// Whether a component has it.
    is_guests: bool,
}

/// Makes a call of the session, interrupted where it is the one.
macro_rules! call {
    ($this:ident, $call:expr) => {{
        let is_now = $this.is_guests && $this.plan.is_now();
        let answer = $call.await;
        if is_now {
            $this.plan.after().await;
        }
        answer
    }};
}

#[async_trait]
impl Session for Interrupted {
    fn dialect(&self) -> Dialect {
        self.session.dialect()
    }

    async fn assume(&mut self, authority: Authority) -> Result<(), DriverError> {
        self.is_guests = matches!(authority, Authority::Guest(_));
        self.session.assume(authority).await
    }

    async fn begin(&mut self) -> Result<(), DriverError> {
        self.session.begin().await
    }

    fn will_write(&mut self, table: &str) {
        self.session.will_write(table);
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

    async fn rollback(&mut self) -> Result<(), DriverError> {
        self.session.rollback().await
    }

    async fn run(&mut self, sql: &str) -> Result<u64, DriverError> {
        self.session.run(sql).await
    }

    async fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, DriverError> {
        call!(self, self.session.execute(sql, params))
    }

    async fn will_execute_many(&mut self, sql: &str, batch: &Arc<Batch>) {
        self.session.will_execute_many(sql, batch).await;
    }

    async fn execute_many(&mut self, sql: &str, batch: &Arc<Batch>) -> Result<u64, DriverError> {
        call!(self, self.session.execute_many(sql, batch))
    }

    async fn copy_in(&mut self, to: &CopyTarget, batch: &Arc<Batch>) -> Result<u64, DriverError> {
        call!(self, self.session.copy_in(to, batch))
    }

    async fn query(
        &mut self,
        sql: &str,
        params: &[Value],
        limit: ResultLimit,
    ) -> Result<Rows, DriverError> {
        call!(self, self.session.query(sql, params, limit))
    }

    async fn open_cursor(&mut self, sql: &str, params: &[Value]) -> Result<CursorId, DriverError> {
        call!(self, self.session.open_cursor(sql, params))
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
        call!(self, self.session.fetch(cursor, max_rows, limit))
    }

    async fn close_cursor(&mut self, cursor: CursorId) -> Result<(), DriverError> {
        call!(self, self.session.close_cursor(cursor))
    }

    async fn savepoint(&mut self, name: &str) -> Result<(), DriverError> {
        call!(self, self.session.savepoint(name))
    }

    async fn release_savepoint(&mut self, name: &str) -> Result<(), DriverError> {
        call!(self, self.session.release_savepoint(name))
    }

    async fn rollback_to_savepoint(&mut self, name: &str) -> Result<(), DriverError> {
        call!(self, self.session.rollback_to_savepoint(name))
    }

    fn take_notices(&mut self) -> Vec<String> {
        self.session.take_notices()
    }

    fn canceller(&self) -> Arc<dyn Canceller> {
        self.session.canceller()
    }
}
