//! A real SQLite database in memory, to run migrations natively in `cargo test`.
//!
//! Enable the feature `testing` for the tests alone: `[dev-dependencies] whimbrel-sdk = { …, features = ["testing"] }`.
//! It speaks SQLite only; what a migration does on PostgreSQL shows when it runs there.

mod sqlite;

use std::cell::RefCell;
use std::rc::Rc;

use anyhow::{Context as _, ensure};
use rusqlite::Connection;

use crate::db::Db;
use crate::host::Direction;
use crate::log::{self, Entry};
use crate::migration::Migration;
use sqlite::{Call, Sqlite};

/// A database in memory, and what the runs on it are told.
///
/// ```
/// use whimbrel_sdk::prelude::*;
/// use whimbrel_sdk::testing::Database;
///
/// #[whimbrel::migration]
/// struct Archive;
///
/// impl Migration for Archive {
///     fn upgrade(db: &Db) -> Result<()> {
///         let before: String = db.parameter("before")?;
///         let count = db.execute("DELETE FROM events WHERE day < $1", params![before])?;
///         whimbrel::info!("deleted {count} events");
///         Ok(())
///     }
///
///     fn downgrade(_: &Db) -> Result<()> {
///         Err(anyhow!("deleted events are gone")).hint("restore them from a backup")
///     }
/// }
///
/// let mut database = Database::new()?;
/// database.script("CREATE TABLE events (day TEXT); INSERT INTO events VALUES ('2019-05-01'), ('2026-05-01');")?;
/// database.set_parameter("before", "\"2026-01-01\"");
///
/// assert_eq!(database.upgrade::<Archive>()?.lines(), ["deleted 1 events"]);
/// assert!(database.downgrade::<Archive>().is_err());
/// # Ok::<(), anyhow::Error>(())
/// ```
pub struct Database {
    connection: Rc<Connection>,
    call: Rc<RefCell<Call>>,
    db: Db,
}

/// What a migration said while it ran.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    /// Lines and progress, in order.
    pub entries: Vec<Entry>,
}

impl Said {
    /// The lines of log, of all levels.
    pub fn lines(&self) -> Vec<&str> {
        let lines = self.entries.iter().filter_map(|entry| match entry {
            Entry::Line(_, line) => Some(line.as_str()),
            Entry::Progress { .. } => None,
        });
        lines.collect()
    }
}

impl Database {
    /// An empty database, with foreign keys enforced.
    ///
    /// # Errors
    /// When SQLite cannot open it.
    pub fn new() -> anyhow::Result<Self> {
        let connection = Rc::new(Connection::open_in_memory()?);
        connection.pragma_update(None, "foreign_keys", true)?;
        let call = Rc::new(RefCell::new(Call::new()));
        Ok(Self {
            db: Db::new(Sqlite::new(Rc::clone(&connection), Rc::clone(&call))),
            connection,
            call,
        })
    }

    /// Runs a script of several statements, for instance the SQL of earlier revisions.
    ///
    /// # Errors
    /// When a statement fails.
    pub fn script(&self, statements: &str) -> anyhow::Result<()> {
        Ok(self.connection.execute_batch(statements)?)
    }

    /// The database as a migration sees it, outside any run: to prepare and to check.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// Sets a parameter of the following runs, as JSON text.
    pub fn set_parameter(&mut self, name: &str, json: &str) {
        let parameters = &mut self.call.borrow_mut().parameters;
        parameters.insert(name.into(), json.into());
    }

    /// Sets the time of the following runs, in microseconds since 1970 in UTC.
    pub fn set_now(&mut self, micros: i64) {
        self.call.borrow_mut().now = micros;
    }

    /// Upgrades: in a transaction that is committed when the migration returns `Ok` and rolled back otherwise.
    ///
    /// # Errors
    /// That of the migration; one of its own when the migration left a savepoint open.
    pub fn upgrade<M: Migration>(&mut self) -> anyhow::Result<Said> {
        self.run(Direction::Upgrade, M::upgrade)
    }

    /// Downgrades, in the same way.
    ///
    /// # Errors
    /// As [`Database::upgrade`].
    pub fn downgrade<M: Migration>(&mut self) -> anyhow::Result<Said> {
        self.run(Direction::Downgrade, M::downgrade)
    }

    fn run(
        &mut self,
        direction: Direction,
        work: fn(&Db) -> anyhow::Result<()>,
    ) -> anyhow::Result<Said> {
        self.call.borrow_mut().direction = direction;
        self.script("BEGIN")?;
        let (outcome, entries) = log::record(|| work(&self.db));
        let outcome = outcome.and_then(|()| {
            let open = std::mem::take(&mut self.call.borrow_mut().open_savepoints);
            ensure!(
                open == 0,
                "{open} savepoints were neither released nor rolled back"
            );
            Ok(())
        });
        match outcome {
            Ok(()) => {
                self.script("COMMIT")
                    .context("the transaction cannot be committed")?;
                Ok(Said { entries })
            }
            Err(error) => {
                self.call.borrow_mut().open_savepoints = 0;
                self.script("ROLLBACK")?;
                Err(error)
            }
        }
    }
}
