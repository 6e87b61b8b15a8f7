//! The database as a migration sees it.

use crate::calendar::Timestamptz;
use crate::cursor::{Batches, Cursor};
use crate::error::Error;
use crate::host::{Direction, Host};
use crate::parameter::FromParameter;
use crate::row::FromRow;
use crate::row_buffer::RowBuffer;
use crate::value::Value;

#[cfg(target_family = "wasm")]
type Backend = crate::guest::Imports;
#[cfg(not(target_family = "wasm"))]
type Backend = Box<dyn Host>;

/// The database, inside the transaction that the host has begun and will end, and what the run is told.
///
/// Statements are in the database's own SQL, with `$1`, `$2`, … for parameters. Cursors do not hold on to the
/// `Db`: other statements can run while their rows are read.
pub struct Db {
    host: Backend,
}

/// The SQL that the database speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dialect {
    /// PostgreSQL.
    Postgresql,
    /// SQLite.
    Sqlite,
    /// One that this version of the SDK has no name for.
    Other(String),
}

impl Db {
    /// The database of the component.
    #[cfg(target_family = "wasm")]
    pub(crate) fn imported() -> Self {
        Self {
            host: crate::guest::Imports,
        }
    }

    /// A database of your own making, for native tests.
    #[cfg(not(target_family = "wasm"))]
    pub fn new(host: impl Host + 'static) -> Self {
        Self {
            host: Box::new(host),
        }
    }

    /// Runs a statement without parameters.
    ///
    /// # Errors
    /// As [`Db::execute`].
    pub fn run(&self, statement: &str) -> Result<(), Error> {
        self.host.execute(statement, &[]).map(drop)
    }

    /// Runs a statement; returns the number of rows that it touched.
    ///
    /// # Errors
    /// [`Error::Database`] when the database rejects it, [`Error::Denied`] when it may not run here, and
    /// [`Error::Conversion`] when a parameter does not fit.
    pub fn execute(&self, statement: &str, params: &[Value]) -> Result<u64, Error> {
        self.host.execute(statement, params)
    }

    /// Runs a statement for each of the rows, whose values are its parameters; returns the number of rows that it
    /// touched in all. All rows go in one call, and most statements then take them as arrays: the fast way to change
    /// many rows.
    ///
    /// # Errors
    /// As [`Db::execute`]; some of the rows may have been done then.
    pub fn execute_many(&self, statement: &str, rows: &RowBuffer) -> Result<u64, Error> {
        match rows.is_empty() {
            true => Ok(0),
            false => self.host.execute_many(statement, rows),
        }
    }

    /// Adds rows to a table, whose other columns get their defaults; returns how many. Names are as in SQL. It is COPY on
    /// PostgreSQL, and the fastest way to add many rows; the manifest must ask for `insert` and `copy`.
    ///
    /// # Errors
    /// As [`Db::execute_many`].
    pub fn copy_in(&self, table: &str, columns: &[&str], rows: &RowBuffer) -> Result<u64, Error> {
        match rows.is_empty() {
            true => Ok(0),
            false => self.host.copy_in(table, columns, rows),
        }
    }

    /// Runs a statement and returns all of its rows. Large results are better read by [`Db::cursor`].
    ///
    /// # Errors
    /// As [`Db::execute`]; [`Error::Limit`] when there are more than the sandbox holds; [`Error::Conversion`],
    /// naming column and type, when a row is not a `T`.
    pub fn query<T: FromRow>(&self, statement: &str, params: &[Value]) -> Result<Vec<T>, Error> {
        self.host.query(statement, params)?.rows().collect()
    }

    /// Runs a statement that returns exactly one row.
    ///
    /// # Errors
    /// As [`Db::query`]; [`Error::RowCount`] when there is none or more than one.
    pub fn query_one<T: FromRow>(&self, statement: &str, params: &[Value]) -> Result<T, Error> {
        self.query_optional(statement, params)?
            .ok_or(Error::RowCount {
                expected: "one",
                found: 0,
            })
    }

    /// Runs a statement that returns one row or none.
    ///
    /// # Errors
    /// As [`Db::query`]; [`Error::RowCount`] when there is more than one.
    pub fn query_optional<T: FromRow>(
        &self,
        statement: &str,
        params: &[Value],
    ) -> Result<Option<T>, Error> {
        let batch = self.host.query(statement, params)?;
        match batch.len() {
            0 | 1 => batch.rows().next().transpose(),
            found => Err(Error::RowCount {
                expected: "at most one",
                found,
            }),
        }
    }

    /// Opens a cursor: the rows come while they are read, however many there are.
    ///
    /// # Errors
    /// As [`Db::execute`]; each row then as [`Db::query`].
    pub fn cursor<T: FromRow>(
        &self,
        statement: &str,
        params: &[Value],
    ) -> Result<Cursor<T>, Error> {
        self.host.open_cursor(statement, params).map(Cursor::new)
    }

    /// Opens a cursor that gives its rows in batches of at most `rows` (at least 1), column by column: the fast way
    /// through a large table.
    ///
    /// # Errors
    /// As [`Db::cursor`].
    pub fn query_batches(
        &self,
        statement: &str,
        params: &[Value],
        rows: u32,
    ) -> Result<Batches, Error> {
        let stream = self.host.open_cursor(statement, params)?;
        Ok(Batches::new(stream, rows))
    }

    /// The columns of all rows of a table, in batches of at most `rows` (at least 1). Names are as in SQL.
    ///
    /// # Errors
    /// As [`Db::cursor`].
    pub fn copy_out(&self, table: &str, columns: &[&str], rows: u32) -> Result<Batches, Error> {
        Ok(Batches::new(self.host.copy_out(table, columns)?, rows))
    }

    /// Runs `work` in a savepoint: what it did is kept when it returns `Ok` and undone when it returns an error,
    /// after which the migration can go on.
    ///
    /// ```
    /// use whimbrel_sdk::prelude::*;
    ///
    /// fn add_unless_there(db: &Db, email: &str) -> Result<()> {
    ///     let added = db.savepoint(|db| Ok(db.execute("INSERT INTO users (email) VALUES ($1)", params![email])?));
    ///     if added.is_err() {
    ///         whimbrel::info!("{email} was there already");
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// The error of `work`, or that of setting, releasing or rolling back the savepoint.
    pub fn savepoint<T>(&self, work: impl FnOnce(&Self) -> anyhow::Result<T>) -> anyhow::Result<T> {
        let savepoint = self.host.open_savepoint()?;
        match work(self) {
            Ok(value) => {
                savepoint.release()?;
                Ok(value)
            }
            Err(error) => {
                savepoint.roll_back()?;
                Err(error)
            }
        }
    }

    /// The SQL that the database speaks.
    pub fn dialect(&self) -> Dialect {
        match self.host.dialect().as_str() {
            "postgresql" => Dialect::Postgresql,
            "sqlite" => Dialect::Sqlite,
            other => Dialect::Other(other.into()),
        }
    }

    /// A parameter of the run (`-x name=value`) or of `[params]` in `migration.toml`. Read an `Option` where it may
    /// be absent.
    ///
    /// # Errors
    /// [`Error::Parameter`] when it is absent or is not a `T`.
    pub fn parameter<T: FromParameter>(&self, name: &str) -> Result<T, Error> {
        T::from_parameter(self.host.parameter(name).as_deref())
            .map_err(|problem| Error::Parameter(format!("parameter `{name}` {problem}")))
    }

    /// A parameter as the JSON text that it came as.
    pub fn parameter_json(&self, name: &str) -> Option<String> {
        self.host.parameter(name)
    }

    /// Which way the run goes through the revision.
    pub fn direction(&self) -> Direction {
        self.host.direction()
    }

    /// The id of the revision.
    pub fn revision(&self) -> String {
        self.host.revision()
    }

    /// Whether a script is being generated: statements are recorded, and nothing can be read.
    pub fn is_offline(&self) -> bool {
        self.host.is_offline()
    }

    /// The time of the run: the same at every call.
    pub fn now(&self) -> Timestamptz {
        Timestamptz(self.host.now())
    }

    /// A number derived from run and revision, to seed a generator with: the same when the run is replayed.
    pub fn seed(&self) -> u64 {
        u64::from_le_bytes(self.host.seed())
    }
}
