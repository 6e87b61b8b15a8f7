//! What the engine asks of a database: primitives, never a sequence.
//!
//! A new database is one file that implements [`Driver`], [`Session`] and [`RunLock`], and a line in
//! [`open`]. The order of things (lock, begin, record, commit) belongs to the engine alone.

pub mod backup;
mod batch;
mod cells;
mod copy_target;
mod error;
mod isolation;
mod locks;
#[cfg(feature = "postgres")]
pub mod postgres;
pub(crate) mod process;
mod proof;
pub mod recording;
pub(crate) mod rehearsal;
mod scratch;
#[cfg(feature = "sqlite")]
pub mod sqlite;
pub mod tape;
mod touched;
mod value;

use std::fmt;
use std::sync::Arc;

use std::time::Duration;

use async_trait::async_trait;
use camino::Utf8Path;
use jiff::Timestamp;

use backup::{BackupError, Restoration};
pub use batch::Batch;
pub use cells::Rows;
pub(crate) use cells::{Cells, Run, span};
pub use copy_target::CopyTarget;
pub(crate) use copy_target::path;
pub use error::{CommitError, DatabaseError, DriverError};
pub use isolation::{GuestRole, Isolation};
pub use locks::RelationLock;
pub use scratch::Scratch;
pub use touched::Touched;
pub use value::{Column, Value};

use crate::capability::Grant;

/// The SQL that a database speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// PostgreSQL 13 to 18.
    Postgresql,
    /// SQLite 3.
    Sqlite,
}

impl Dialect {
    /// Its name, as files and messages spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Postgresql => "postgresql",
            Self::Sqlite => "sqlite",
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// In whose name a statement runs. The driver holds [`Authority::File`] and [`Authority::Guest`] to what the
/// design allows them (no transaction control, one statement a message, and nothing of Whimbrel's own), and within that to
/// their grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authority {
    /// Whimbrel itself: no restriction.
    Host,
    /// A SQL migration, written by the team: at most all but transaction control and Whimbrel's own objects.
    File(Arc<Grant>),
    /// A component: the author may be anyone.
    Guest(Arc<Grant>),
}

impl Authority {
    /// What is granted; nothing needs to be to the host.
    pub fn grant(&self) -> Option<&Arc<Grant>> {
        match self {
            Self::Host => None,
            Self::File(grant) | Self::Guest(grant) => Some(grant),
        }
    }

    /// Whether it is a component's.
    pub fn is_guest(&self) -> bool {
        matches!(self, Self::Guest(_))
    }
}

/// When a commit must have reached the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Durability {
    /// Before [`Session::commit`] returns.
    Now,
    /// At the latest with the next commit that is durable. A server that goes down before may lose the transaction:
    /// as a whole, and with all that was committed after it. A database without such commits makes it durable now.
    Deferred,
}

/// How much of a result the host is willing to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResultLimit {
    /// The most rows.
    pub rows: u64,
    /// The most bytes, by [`Value::size`].
    pub bytes: u64,
}

impl ResultLimit {
    /// No limit: for the host's own queries.
    pub const NONE: Self = Self {
        rows: u64::MAX,
        bytes: u64::MAX,
    };
}

/// A handle on an open cursor of one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CursorId(pub u32);

/// One host-made statement with its parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// The text, with `$1`, `$2`, … for parameters on every database.
    pub sql: String,
    /// The parameters, in their order.
    pub params: Vec<Value>,
}

impl Statement {
    /// A statement with parameters.
    pub fn new(sql: impl Into<String>, params: impl Into<Vec<Value>>) -> Self {
        Self {
            sql: sql.into(),
            params: params.into(),
        }
    }
}

/// A database that can be connected to.
#[async_trait]
pub trait Driver: Send + Sync + fmt::Debug {
    /// Its dialect.
    fn dialect(&self) -> Dialect;

    /// Where it is, for people: never with a password.
    fn location(&self) -> String;

    /// Opens a session of its own.
    ///
    /// # Errors
    /// [`DriverError::Connect`] when the database cannot be reached or refuses the login.
    async fn connect(&self) -> Result<Box<dyn Session>, DriverError>;

    /// Opens what the run lock of the version table `version_table` needs (a connection, a lock row), without
    /// taking the lock.
    ///
    /// # Errors
    /// [`DriverError::Connect`] or a database error.
    async fn open_lock(&self, version_table: &str) -> Result<Box<dyn RunLock>, DriverError>;

    /// Makes the role that isolated migrations log in as where it is missing, and all that isolation needs; returns what
    /// an operator should know of what everyone may do in this database, and so every migration. Nothing is changed after
    /// an error.
    ///
    /// # Errors
    /// [`DriverError::Settings`] when the database has no roles, or the role is more than it may be; a database error.
    async fn ensure_guest(&self, _guest: &GuestRole) -> Result<Vec<String>, DriverError> {
        Err(DriverError::Settings {
            message: format!(
                "{} has no roles: isolation = \"role\" is for PostgreSQL",
                self.dialect()
            ),
        })
    }

    /// Copies everything that the database holds into `to`, an empty file of the caller's, as it is at one moment.
    /// Whoever drops the future ends the work; the file is of no use then, as after an error.
    ///
    /// # Errors
    /// A [`BackupError`].
    async fn back_up(&self, to: &Utf8Path) -> Result<(), BackupError>;

    /// Checks that a file is a backup for this kind of database, and prepares its way back. Changes nothing.
    ///
    /// # Errors
    /// [`BackupError::NotABackup`] among others.
    async fn open_backup(&self, from: &Utf8Path) -> Result<Box<dyn Restoration>, BackupError>;

    /// Makes an empty database beside this one, to try things in.
    ///
    /// # Errors
    /// A [`DriverError`]; on PostgreSQL also where the user may not create databases.
    async fn scratch(&self) -> Result<Box<dyn Scratch>, DriverError>;
}

/// One connection to a database.
///
/// Statements run one after another. A future that is dropped half-way leaves the session unusable: the next
/// call must return [`DriverError::Closed`], and dropping the session ends its transaction.
#[async_trait]
pub trait Session: Send {
    /// The dialect of its statements.
    fn dialect(&self) -> Dialect;

    /// Sets in whose name the following statements run.
    ///
    /// # Errors
    /// [`DriverError::Closed`] when the session has ended.
    async fn assume(&mut self, authority: Authority) -> Result<(), DriverError>;

    /// Whether the database itself enforces what an authority is granted: its statements then run as a role that has no more
    /// rights than that.
    fn enforces(&self, _authority: &Authority) -> bool {
        false
    }

    /// Begins a transaction. May be sent together with the first statement; what it then fails with comes from
    /// that statement.
    ///
    /// # Errors
    /// A database error; [`DriverError::Closed`].
    async fn begin(&mut self) -> Result<(), DriverError>;

    /// Says that the transaction is going to write into a table, so that whoever locks the table against writers waits
    /// for it from its beginning. Its name is host-made. May be sent with the first statement, as [`Session::begin`].
    fn will_write(&mut self, _table: &str) {}

    /// Says that the next transaction is going to hold several migrations, between which only [`Session::record`] is
    /// called.
    fn will_share(&mut self) {}

    /// Says that another transaction for a migration follows the next one, so that what it takes can be made ready meanwhile.
    fn will_begin_again(&mut self) {}

    /// Makes host-made changes, each of which must touch exactly one row and no row of another one, and commits; in as
    /// few round trips as the database allows. When it returns `Ok` the transaction is in effect, and as durable as was
    /// asked for; after an error it is rolled back, unless that is not known.
    ///
    /// # Errors
    /// A [`CommitError`]; with [`DriverError::CommitUnknown`] when the connection broke before the answer came.
    async fn commit(
        &mut self,
        records: &[Statement],
        durability: Durability,
    ) -> Result<(), CommitError>;

    /// Makes host-made changes as [`Session::commit`] does, and checks what a commit would check, but leaves the transaction
    /// open for more. After an error it is rolled back.
    ///
    /// # Errors
    /// A [`CommitError`].
    async fn record(&mut self, records: &[Statement]) -> Result<(), CommitError>;

    /// Whether there are relations that others may wait for, besides the table `but` and all whose names start with
    /// `whimbrel_`.
    ///
    /// # Errors
    /// A database error.
    async fn has_relations(&mut self, _but: &str) -> Result<bool, DriverError> {
        Ok(false)
    }

    /// The locks on relations that the open transaction holds, where the database can tell.
    ///
    /// # Errors
    /// A database error.
    async fn locks(&mut self) -> Result<Vec<RelationLock>, DriverError> {
        Ok(Vec::new())
    }

    /// The names, with their schemas, of those relations that are tables, views or sequences of the user's.
    ///
    /// # Errors
    /// A database error.
    async fn name_relations(
        &mut self,
        _relations: &[u32],
    ) -> Result<Vec<(u32, String)>, DriverError> {
        Ok(Vec::new())
    }

    /// What has really been done in the open transaction since the last [`Session::assume`] of another authority than
    /// [`Authority::Host`], rolled back savepoints included.
    ///
    /// # Errors
    /// A database error; [`DriverError::Denied`] where something of Whimbrel's own was touched; [`DriverError::Limit`]
    /// where more rows were written than are granted.
    async fn touched(&mut self) -> Result<Touched, DriverError> {
        Ok(Touched::default())
    }

    /// The schema of names without one, as it was when the migration was given the session.
    fn default_schema(&self) -> &str {
        "main"
    }

    /// Rolls back whatever transaction is open; does nothing when none is.
    ///
    /// # Errors
    /// [`DriverError::Closed`] when the connection is gone (the server has then rolled back by itself).
    async fn rollback(&mut self) -> Result<(), DriverError>;

    /// Runs one statement without parameters and without reading its rows; returns the number of rows touched.
    ///
    /// # Errors
    /// A database error, or a denial by the session's authority.
    async fn run(&mut self, sql: &str) -> Result<u64, DriverError>;

    /// Runs one statement with parameters; returns the number of rows touched.
    ///
    /// # Errors
    /// A database error, a denial, or [`DriverError::Conversion`] naming the parameter and its type.
    async fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, DriverError>;

    /// Runs one statement for each row of a batch, whose columns are its parameters; returns the number of rows touched
    /// in all. It has the effect of as many calls of [`Session::execute`], in the order of the rows; only triggers for
    /// each statement may run less often. After an error some of the rows may have been done.
    ///
    /// # Errors
    /// As [`Session::execute`].
    async fn execute_many(&mut self, sql: &str, batch: &Arc<Batch>) -> Result<u64, DriverError> {
        let mut touched = 0_u64;
        for at in 0..batch.len() {
            touched = touched.saturating_add(self.execute(sql, &batch.row(at)).await?);
        }
        Ok(touched)
    }

    /// Says which statement and rows [`Session::execute_many`] is going to be called with next, so that what can be done
    /// before its transaction begins is done by then. What is wrong with them that call tells.
    async fn will_execute_many(&mut self, _sql: &str, _batch: &Arc<Batch>) {}

    /// Adds rows to a table, the fastest way that the database has; returns how many. The session's authority needs the
    /// grants `insert` and `copy` for it. After an error some of the rows may be there.
    ///
    /// # Errors
    /// As [`Session::execute`].
    async fn copy_in(&mut self, to: &CopyTarget, batch: &Arc<Batch>) -> Result<u64, DriverError> {
        self.execute_many(&to.insert(), batch).await
    }

    /// Runs one statement and reads its rows.
    ///
    /// # Errors
    /// As [`Session::execute`], and [`DriverError::Limit`] when the result is larger than `limit`.
    async fn query(
        &mut self,
        sql: &str,
        params: &[Value],
        limit: ResultLimit,
    ) -> Result<Rows, DriverError>;

    /// The same in the host's name, where columns may be of any type, as those of other people's tables are.
    ///
    /// # Errors
    /// As [`Session::query`].
    async fn query_table(
        &mut self,
        sql: &str,
        params: &[Value],
        limit: ResultLimit,
    ) -> Result<Rows, DriverError> {
        self.query(sql, params, limit).await
    }

    /// Opens a cursor over a statement that reads.
    ///
    /// # Errors
    /// As [`Session::execute`].
    async fn open_cursor(&mut self, sql: &str, params: &[Value]) -> Result<CursorId, DriverError>;

    /// The columns of an open cursor.
    ///
    /// # Errors
    /// [`DriverError::Closed`] when the cursor is not open.
    fn cursor_columns(&self, cursor: CursorId) -> Result<Arc<[Column]>, DriverError>;

    /// The next rows of a cursor, at most `max_rows`; empty at the end. May return fewer before the end, to stay
    /// under `limit.bytes`, but never none.
    ///
    /// # Errors
    /// As [`Session::query`]; [`DriverError::Limit`] when a single row is larger than the limit.
    async fn fetch(
        &mut self,
        cursor: CursorId,
        max_rows: u32,
        limit: ResultLimit,
    ) -> Result<Rows, DriverError>;

    /// Closes a cursor; does nothing when it is closed already or its transaction has ended.
    ///
    /// # Errors
    /// [`DriverError::Closed`] when the session has ended.
    async fn close_cursor(&mut self, cursor: CursorId) -> Result<(), DriverError>;

    /// Sets a savepoint; `name` is host-made (letters, digits, `_`).
    ///
    /// # Errors
    /// A database error.
    async fn savepoint(&mut self, name: &str) -> Result<(), DriverError>;

    /// Releases a savepoint and all that were set after it.
    ///
    /// # Errors
    /// A database error.
    async fn release_savepoint(&mut self, name: &str) -> Result<(), DriverError>;

    /// Rolls back to a savepoint and releases it. Works in a failed transaction: that is what it is for.
    ///
    /// # Errors
    /// A database error.
    async fn rollback_to_savepoint(&mut self, name: &str) -> Result<(), DriverError>;

    /// What the database has said on the side (`RAISE NOTICE`, warnings) since the last call, oldest first.
    fn take_notices(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// What stops the running statement from another task or thread.
    fn canceller(&self) -> Arc<dyn Canceller>;
}

/// Stops the statement that a session is running.
#[async_trait]
pub trait Canceller: Send + Sync {
    /// Asks the database to stop; the statement then fails with [`DriverError::Cancelled`]. Nothing happens when
    /// none is running. Best effort: a failure to reach the server is not reported.
    async fn cancel(&self);
}

/// Who holds the run lock.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Holder {
    /// The host's name.
    pub host: String,
    /// The process id on that host.
    pub pid: u32,
    /// Since when.
    pub since: Option<Timestamp>,
    /// When others may take the lock over unless the holder gives a sign of life; none where its end frees the lock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on {}", self.pid, self.host)?;
        if let Some(since) = self.since {
            write!(f, ", since {since:.0}")?;
        }
        if let Some(expires) = self.expires {
            write!(f, ", with a lease until {expires:.0}")?;
        }
        Ok(())
    }
}

/// What came of one try to take the run lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockAttempt {
    /// It is ours now.
    Acquired,
    /// Another run has it; who, where that can be told.
    Held(Option<Holder>),
}

/// The lock that lets one run at a time change a database, on resources of its own: it never waits inside the
/// database, where it would block `CREATE INDEX CONCURRENTLY`.
#[async_trait]
pub trait RunLock: Send + Sync {
    /// Tries to take the lock, without waiting.
    ///
    /// # Errors
    /// A database error, or [`DriverError::Closed`].
    async fn try_acquire(&mut self, holder: &Holder) -> Result<LockAttempt, DriverError>;

    /// A statement that the engine runs inside each step's transaction and that must touch exactly one row: it
    /// proves that the lock is still ours where the lock could have been taken over. `None` where that is not needed.
    fn fence(&self) -> Option<Statement>;

    /// Whether the lock is certainly still ours, as far as can be told without a round trip.
    fn is_held(&self) -> bool;

    /// Gives the lock back. Dropping the value gives it back as well, where the process can still do so.
    ///
    /// # Errors
    /// A database error.
    async fn release(&mut self) -> Result<(), DriverError>;
}

/// What a project sets for all of its sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How long a statement waits for a lock of the database before it gives way.
    pub lock_timeout: Duration,
    /// The version table, which no migration may touch.
    pub version_table: String,
    /// How runs on PostgreSQL keep each other out.
    pub run_lock: RunLockKind,
    /// Whether migrations get rights of their own in the database.
    pub isolation: Isolation,
}

/// What holds the run lock of a PostgreSQL database. Runs of both kinds keep each other out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum RunLockKind {
    /// The session where it is certain to be our own, else a lease.
    #[default]
    Auto,
    /// An advisory lock of the session: where a pooler keeps one server connection for each of its clients.
    Session,
    /// A row with a lease that the run renews.
    Lease,
}

/// Finds the driver for a URL. Does not connect. `base` is the folder that a relative file path starts from.
///
/// # Errors
/// [`DriverError::Settings`] when no driver knows the URL or a part of it makes no sense.
pub fn open(
    url: &str,
    base: &Utf8Path,
    settings: &Settings,
) -> Result<Arc<dyn Driver>, DriverError> {
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
    match scheme {
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => Ok(Arc::new(postgres::Postgres::new(url, settings)?)),
        #[cfg(feature = "sqlite")]
        "sqlite" if settings.isolation != Isolation::None => Err(DriverError::Settings {
            message: "isolation = \"role\" is for PostgreSQL: SQLite has no roles; set isolation = \"none\"".to_owned(),
        }),
        #[cfg(feature = "sqlite")]
        "sqlite" => Ok(Arc::new(sqlite::Sqlite::new(url, base, settings)?)),
        _ => Err(DriverError::Settings {
            message: format!(
                "`{scheme}` is not a database that Whimbrel knows; use `postgres://…` or `sqlite:FILE`"
            ),
        }),
    }
}
