//! The run lock: one row in a table, with a lease.
//!
//! The holder renews its lease by the fence of every step. A holder on this machine is known to be alive or not by
//! its process, so that a crash blocks nobody; one on another machine (a shared file system) is taken over once its
//! lease has run out.

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};
use uuid::Uuid;

use super::error;
use super::guard::Guard;
use super::place::{Place, Purpose};
use super::session::SqliteSession;
use crate::driver::{DriverError, Holder, LockAttempt, RunLock, Statement, process};

/// How long a lock outlives the last sign of a holder on another machine.
const LEASE: Duration = Duration::from_secs(60);
/// How long a release waits for whoever is writing.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a dropped lock may take to be given back.
const DROP_TIMEOUT: Duration = Duration::from_secs(1);
const RELEASE_PAUSE: Duration = Duration::from_millis(20);

const CREATE: &str = "CREATE TABLE IF NOT EXISTS main.whimbrel_lock (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    token TEXT NOT NULL,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    process TEXT,
    since TEXT NOT NULL,
    expires_at INTEGER NOT NULL
)";
const READ: &str = "SELECT token, host, pid, process, since, expires_at FROM main.whimbrel_lock";
const TAKE: &str = "INSERT OR REPLACE INTO main.whimbrel_lock \
    (id, token, host, pid, process, since, expires_at) VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6)";
const FENCE: &str = "UPDATE main.whimbrel_lock SET expires_at = $1 WHERE token = $2";
const RELEASE: &str = "DELETE FROM main.whimbrel_lock WHERE token = ?1";

/// The lock of one run on a SQLite database.
pub(super) struct SqliteLock {
    place: Place,
    /// Opened by the first try, since a lock writes.
    session: Option<SqliteSession>,
    token: String,
    held: bool,
}

impl SqliteLock {
    pub(super) fn new(place: Place) -> Self {
        Self {
            place,
            session: None,
            token: Uuid::new_v4().to_string(),
            held: false,
        }
    }

    async fn session(&mut self) -> Result<&mut SqliteSession, DriverError> {
        if self.session.is_none() {
            let guard = Arc::new(Guard::new(""));
            let session = SqliteSession::open(self.place.clone(), guard, Duration::ZERO).await?;
            self.session = Some(session);
        }
        self.session
            .as_mut()
            .ok_or(DriverError::Closed { source: None })
    }
}

#[async_trait]
impl RunLock for SqliteLock {
    async fn try_acquire(&mut self, holder: &Holder) -> Result<LockAttempt, DriverError> {
        let (token, holder) = (self.token.clone(), holder.clone());
        let thread = self.session().await?.for_writing().await?;
        let attempt = thread
            .call(move |worker| {
                let connection = worker.connection();
                match take(connection, &token, &holder) {
                    Ok(attempt) => Ok(attempt),
                    Err(problem) => {
                        roll_back(connection)?;
                        let problem = error::convert(problem, TAKE);
                        if problem.is_transient() {
                            // Whoever writes need not be the holder; readers are let in beside most writers.
                            let row = read(connection).ok().flatten();
                            Ok(LockAttempt::Held(row.map(|row| row.holder)))
                        } else {
                            Err(problem)
                        }
                    }
                }
            })
            .await?;
        self.held = attempt == LockAttempt::Acquired;
        Ok(attempt)
    }

    fn fence(&self) -> Option<Statement> {
        let token = self.token.as_str().into();
        Some(Statement::new(FENCE, [expiry().into(), token]))
    }

    fn is_held(&self) -> bool {
        self.held
    }

    async fn release(&mut self) -> Result<(), DriverError> {
        if !self.held {
            return Ok(());
        }
        let started = Instant::now();
        loop {
            let token = self.token.clone();
            let thread = self.session().await?.for_writing().await?;
            let released = thread
                .call(move |worker| give_back(worker.connection(), &token))
                .await;
            match released {
                Err(problem) if problem.is_transient() && started.elapsed() < RELEASE_TIMEOUT => {
                    tokio::time::sleep(RELEASE_PAUSE).await;
                }
                released => {
                    self.held = released.is_err();
                    return released;
                }
            }
        }
    }
}

impl Drop for SqliteLock {
    fn drop(&mut self) {
        if !self.held {
            return;
        }
        // On a connection of its own, since a call on the session's may have been dropped half-way. Where the row
        // stays, its process will be gone and its lease will end.
        let (place, token) = (self.place.clone(), self.token.clone());
        let (done, finished) = mpsc::channel();
        let releasing = std::thread::Builder::new().spawn(move || {
            if let Ok(super::place::Opened::Database(connection)) = place.open(Purpose::Read) {
                let _ = connection.busy_timeout(DROP_TIMEOUT);
                let _ = give_back(&connection, &token);
            }
            let _ = done.send(());
        });
        if releasing.is_ok() {
            let _ = finished.recv_timeout(DROP_TIMEOUT);
        }
    }
}

/// What the table says.
struct Row {
    token: String,
    holder: Holder,
    process: Option<String>,
    expires_at: i64,
}

impl Row {
    /// Whether nobody holds the lock any more, as seen by a run on `host`.
    fn is_stale(&self, host: &str) -> bool {
        let expired = self.expires_at < now();
        match &self.process {
            Some(_) if self.holder.host != host => expired,
            Some(process) => process::has_ended(self.holder.pid, process),
            None => expired,
        }
    }
}

fn take(connection: &Connection, token: &str, holder: &Holder) -> rusqlite::Result<LockAttempt> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    connection.execute_batch(CREATE)?;
    if let Some(row) = read(connection)?
        && row.token != token
        && !row.is_stale(&holder.host)
    {
        connection.execute_batch("ROLLBACK")?;
        return Ok(LockAttempt::Held(Some(row.holder)));
    }
    let since = holder.since.unwrap_or_else(Timestamp::now).to_string();
    connection.execute(
        TAKE,
        params![
            token,
            holder.host,
            holder.pid,
            process::identity(holder.pid),
            since,
            expiry()
        ],
    )?;
    connection.execute_batch("COMMIT")?;
    Ok(LockAttempt::Acquired)
}

fn read(connection: &Connection) -> rusqlite::Result<Option<Row>> {
    connection
        .query_row(READ, (), |row| {
            let since: String = row.get("since")?;
            Ok(Row {
                token: row.get("token")?,
                holder: Holder {
                    host: row.get("host")?,
                    pid: row.get("pid")?,
                    since: since.parse().ok(),
                    expires: None,
                },
                process: row.get("process")?,
                expires_at: row.get("expires_at")?,
            })
        })
        .optional()
}

/// Takes the lock out of a copy of the database: nobody holds it there.
pub(super) fn forget(copy: &Connection) -> rusqlite::Result<()> {
    copy.execute_batch(CREATE)?;
    copy.execute("DELETE FROM main.whimbrel_lock", ())?;
    Ok(())
}

/// Has what is going to take the place of the database hold the lock as it is held now.
pub(super) fn carry_over(from: &Connection, to: &Connection) -> rusqlite::Result<()> {
    forget(to)?;
    let mut row = from.prepare(READ)?;
    let mut rows = row.query(())?;
    while let Some(row) = rows.next()? {
        let values = (0..6)
            .map(|column| row.get::<_, rusqlite::types::Value>(column))
            .collect::<rusqlite::Result<Vec<_>>>()?;
        to.execute(TAKE, rusqlite::params_from_iter(values))?;
    }
    Ok(())
}

fn give_back(connection: &Connection, token: &str) -> Result<(), DriverError> {
    connection
        .execute(RELEASE, [token])
        .map(|_| ())
        .map_err(|problem| error::convert(problem, RELEASE))
}

fn roll_back(connection: &Connection) -> Result<(), DriverError> {
    if connection.is_autocommit() {
        return Ok(());
    }
    connection
        .execute_batch("ROLLBACK")
        .map_err(|problem| error::convert(problem, "ROLLBACK"))
}

/// Seconds since 1970.
fn now() -> i64 {
    Timestamp::now().as_second()
}

fn expiry() -> i64 {
    now().saturating_add(i64::try_from(LEASE.as_secs()).unwrap_or(i64::MAX))
}
