//! The session of a SQLite database.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::hooks::{AuthContext, PreUpdateCase};

use super::audit::{Budget, By};
use super::error;
use super::guard::Guard;
use super::place::{self, Opened, Place, Purpose};
use super::thread::{Control, Thread};
use super::worker::{Seed, Worker};
use crate::driver::{
    Authority, Batch, Canceller, Column, CommitError, CopyTarget, CursorId, Dialect, DriverError,
    Durability, ResultLimit, Rows, Session, Statement, Touched, Value,
};

/// What a session is connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Connected {
    /// The database.
    Database,
    /// An empty one that stands for a file that is not there; the first write makes the file.
    Nothing,
}

/// A connection on a thread of its own.
pub(super) struct SqliteSession {
    seed: Seed,
    lock_timeout: Duration,
    thread: Thread,
    connected: Connected,
    columns: HashMap<u32, Arc<[Column]>>,
    cursors_opened: u32,
}

impl SqliteSession {
    /// Opens the database if it is there.
    ///
    /// # Errors
    /// As [`Place::open`].
    pub(super) async fn open(
        place: Place,
        guard: Arc<Guard>,
        lock_timeout: Duration,
    ) -> Result<Self, DriverError> {
        let seed = Seed { guard, place };
        let (thread, connected) = start(seed.clone(), lock_timeout, Purpose::Read).await?;
        Ok(Self {
            seed,
            lock_timeout,
            thread,
            connected,
            columns: HashMap::new(),
            cursors_opened: 0,
        })
    }

    /// Connects to the database if it has come into being since, or is to.
    async fn settle(&mut self, purpose: Purpose) -> Result<(), DriverError> {
        let wanted = purpose == Purpose::Write || self.seed.place.exists();
        if self.connected == Connected::Nothing && wanted {
            let (thread, connected) = start(self.seed.clone(), self.lock_timeout, purpose).await?;
            self.thread = thread;
            self.connected = connected;
        }
        Ok(())
    }

    /// The thread, connected to the database, for what may write.
    pub(super) async fn for_writing(&mut self) -> Result<&mut Thread, DriverError> {
        self.settle(Purpose::Write).await?;
        Ok(&mut self.thread)
    }

    /// Makes host-made changes of one row each, and then what follows; after an error the transaction is rolled back.
    async fn write(
        &mut self,
        records: &[Statement],
        then: impl FnOnce(&mut Worker<'_>) -> Result<(), DriverError> + Send + 'static,
    ) -> Result<(), CommitError> {
        self.columns.clear();
        if !records.is_empty() {
            self.settle(Purpose::Write)
                .await
                .map_err(CommitError::Record)?;
        }
        let records = records.to_vec();
        let outcome = self.thread.call(move |worker| {
            for record in &records {
                match worker.execute(&record.sql, &record.params) {
                    Ok(1) => {}
                    Ok(_) => return Ok(Err(CommitError::Conflict)),
                    Err(error) => return Ok(Err(CommitError::Record(error))),
                }
            }
            then(worker).map(Ok)
        });
        let outcome = outcome.await.map_err(CommitError::Commit).flatten();
        if outcome.is_err() {
            // The error that is on its way is the one to report; the transaction ends with the session at the latest.
            let _ = self.rollback().await;
        }
        outcome
    }

    /// Whether a failure says that the statement wanted to write into a file that is not there yet.
    fn needs_file(&self, failure: &DriverError) -> bool {
        self.connected == Connected::Nothing
            && failure
                .database()
                .and_then(|error| error.sqlstate.as_deref())
                .is_some_and(|code| code == "SQLITE_READONLY")
    }
}

async fn start(
    seed: Seed,
    lock_timeout: Duration,
    purpose: Purpose,
) -> Result<(Thread, Connected), DriverError> {
    let Seed { guard, place } = seed.clone();
    let open = Box::new(move |control: &Arc<Control>| {
        let (mut connection, connected) = match place.open(purpose)? {
            Opened::Database(connection) => (connection, Connected::Database),
            Opened::Missing(connection) => (connection, Connected::Nothing),
        };
        place::harden(&mut connection, control, lock_timeout)
            .and_then(|()| {
                connection.pragma_update(None, "query_only", connected == Connected::Nothing)
            })
            .and_then(|()| {
                let (guard, control) = (Arc::clone(&guard), Arc::clone(control));
                connection.preupdate_hook(Some(
                    move |change, database: &str, table: &str, case: &PreUpdateCase| {
                        let by = match case {
                            PreUpdateCase::Insert(row) if row.get_query_depth() > 0 => By::Trigger,
                            _ => By::Statement,
                        };
                        if guard.note_row(change, by, database, table) == Budget::Spent {
                            control.interrupt();
                        }
                    },
                ))
            })
            .and_then(|()| {
                connection.authorizer(Some(move |context: AuthContext<'_>| {
                    guard.authorize(&context)
                }))
            })
            .map_err(|problem| error::convert(problem, ""))?;
        Ok((connection, connected))
    });
    Thread::start(seed, open).await
}

#[async_trait]
impl Session for SqliteSession {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    async fn assume(&mut self, authority: Authority) -> Result<(), DriverError> {
        self.thread
            .call(move |worker| worker.assume(authority))
            .await
    }

    async fn begin(&mut self) -> Result<(), DriverError> {
        self.columns.clear();
        let thread = self.for_writing().await?;
        thread.call(|worker| worker.begin()).await
    }

    async fn commit(&mut self, records: &[Statement], _: Durability) -> Result<(), CommitError> {
        self.write(records, |worker| worker.commit()).await
    }

    async fn record(&mut self, records: &[Statement]) -> Result<(), CommitError> {
        self.write(records, |worker| worker.check()).await
    }

    async fn touched(&mut self) -> Result<Touched, DriverError> {
        self.thread.call(|worker| worker.touched()).await
    }

    async fn rollback(&mut self) -> Result<(), DriverError> {
        self.columns.clear();
        self.thread.call(|worker| worker.rollback()).await
    }

    async fn run(&mut self, sql: &str) -> Result<u64, DriverError> {
        self.execute(sql, &[]).await
    }

    async fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, DriverError> {
        let (sql, params) = (sql.to_owned(), params.to_vec());
        let thread = self.for_writing().await?;
        thread
            .call(move |worker| worker.execute(&sql, &params))
            .await
    }

    async fn execute_many(&mut self, sql: &str, batch: &Arc<Batch>) -> Result<u64, DriverError> {
        let (sql, batch) = (sql.to_owned(), Arc::clone(batch));
        let thread = self.for_writing().await?;
        thread
            .call(move |worker| worker.execute_many(&sql, &batch))
            .await
    }

    async fn copy_in(&mut self, to: &CopyTarget, batch: &Arc<Batch>) -> Result<u64, DriverError> {
        let (to, batch) = (to.clone(), Arc::clone(batch));
        let thread = self.for_writing().await?;
        thread.call(move |worker| worker.copy_in(&to, &batch)).await
    }

    async fn query(
        &mut self,
        sql: &str,
        params: &[Value],
        limit: ResultLimit,
    ) -> Result<Rows, DriverError> {
        self.settle(Purpose::Read).await?;
        loop {
            let (text, values) = (sql.to_owned(), params.to_vec());
            let result = self
                .thread
                .call(move |worker| worker.query(&text, &values, limit))
                .await;
            match result {
                Err(failure) if self.needs_file(&failure) => self.settle(Purpose::Write).await?,
                result => return result,
            }
        }
    }

    async fn open_cursor(&mut self, sql: &str, params: &[Value]) -> Result<CursorId, DriverError> {
        self.settle(Purpose::Read).await?;
        let id = self.cursors_opened;
        self.cursors_opened = id.wrapping_add(1);
        let (sql, params) = (sql.to_owned(), params.to_vec());
        let columns = self
            .thread
            .call(move |worker| worker.open_cursor(id, &sql, &params))
            .await?;
        self.columns.insert(id, columns);
        Ok(CursorId(id))
    }

    fn cursor_columns(&self, cursor: CursorId) -> Result<Arc<[Column]>, DriverError> {
        self.columns
            .get(&cursor.0)
            .cloned()
            .ok_or(DriverError::Closed { source: None })
    }

    async fn fetch(
        &mut self,
        cursor: CursorId,
        max_rows: u32,
        limit: ResultLimit,
    ) -> Result<Rows, DriverError> {
        self.thread
            .call(move |worker| worker.fetch(cursor.0, max_rows, limit))
            .await
    }

    async fn close_cursor(&mut self, cursor: CursorId) -> Result<(), DriverError> {
        self.columns.remove(&cursor.0);
        self.thread
            .call(move |worker| {
                worker.close_cursor(cursor.0);
                Ok(())
            })
            .await
    }

    async fn savepoint(&mut self, name: &str) -> Result<(), DriverError> {
        let name = name.to_owned();
        self.thread
            .call(move |worker| worker.savepoint(&name))
            .await
    }

    async fn release_savepoint(&mut self, name: &str) -> Result<(), DriverError> {
        let name = name.to_owned();
        self.thread
            .call(move |worker| worker.release_savepoint(&name))
            .await
    }

    async fn rollback_to_savepoint(&mut self, name: &str) -> Result<(), DriverError> {
        let name = name.to_owned();
        self.thread
            .call(move |worker| worker.rollback_to_savepoint(&name))
            .await
    }

    fn canceller(&self) -> Arc<dyn Canceller> {
        self.thread.canceller()
    }
}
