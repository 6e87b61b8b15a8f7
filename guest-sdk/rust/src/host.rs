//! What the SDK asks of whoever runs the migration.

use crate::batch::Batch;
use crate::error::Error;
use crate::row_buffer::RowBuffer;
use crate::value::Value;

/// The other side of a [`Db`](crate::Db): Whimbrel's host in a component, a database in memory or a fake of your
/// own in a native test.
///
/// ```
/// use whimbrel_sdk::host::{Host, RowStream, Savepoint};
/// use whimbrel_sdk::{Batch, Db, Direction, Error, Value};
///
/// /// A database in which every statement touches one row.
/// struct Agreeable;
///
/// impl Host for Agreeable {
///     fn execute(&self, _: &str, _: &[Value]) -> Result<u64, Error> {
///         Ok(1)
///     }
///     fn query(&self, _: &str, _: &[Value]) -> Result<Batch, Error> {
///         Ok(Batch::from_rows(["n"], vec![vec![Value::Int64(42)]]))
///     }
///     fn open_cursor(&self, _: &str, _: &[Value]) -> Result<Box<dyn RowStream>, Error> {
///         Err(Error::Offline("no cursors here".into()))
///     }
///     fn open_savepoint(&self) -> Result<Box<dyn Savepoint>, Error> {
///         Err(Error::Offline("no savepoints here".into()))
///     }
///     fn direction(&self) -> Direction {
///         Direction::Upgrade
///     }
///     fn dialect(&self) -> String {
///         "sqlite".into()
///     }
///     fn revision(&self) -> String {
///         "8f2c1d7a90be".into()
///     }
///     fn parameter(&self, _: &str) -> Option<String> {
///         None
///     }
///     fn is_offline(&self) -> bool {
///         false
///     }
///     fn now(&self) -> i64 {
///         0
///     }
///     fn seed(&self) -> [u8; 8] {
///         [0; 8]
///     }
/// }
///
/// let db = Db::new(Agreeable);
/// assert_eq!(db.query_one::<i64>("SELECT n FROM t", &[])?, 42);
/// # Ok::<(), Error>(())
/// ```
pub trait Host {
    /// Runs one statement; returns the number of rows that it touched.
    ///
    /// # Errors
    /// Whatever the database or the sandbox has against it.
    fn execute(&self, statement: &str, params: &[Value]) -> Result<u64, Error>;

    /// Runs one statement for each row; returns the number of rows that it touched in all.
    ///
    /// # Errors
    /// As [`Host::execute`].
    fn execute_many(&self, statement: &str, rows: &RowBuffer) -> Result<u64, Error> {
        let mut touched = 0;
        for at in 0..rows.len() {
            touched += self.execute(statement, &rows.row(at))?;
        }
        Ok(touched)
    }

    /// Adds rows to a table; returns how many. Names are as in SQL.
    ///
    /// # Errors
    /// As [`Host::execute`].
    fn copy_in(&self, table: &str, columns: &[&str], rows: &RowBuffer) -> Result<u64, Error> {
        let numbers: Vec<String> = (1..=columns.len()).map(|at| format!("${at}")).collect();
        let (columns, numbers) = (columns.join(", "), numbers.join(", "));
        self.execute_many(
            &format!("INSERT INTO {table} ({columns}) VALUES ({numbers})"),
            rows,
        )
    }

    /// Runs one statement and returns all of its rows.
    ///
    /// # Errors
    /// As [`Host::execute`]; [`Error::Limit`] when they are too many.
    fn query(&self, statement: &str, params: &[Value]) -> Result<Batch, Error>;

    /// Opens a cursor.
    ///
    /// # Errors
    /// As [`Host::execute`].
    fn open_cursor(&self, statement: &str, params: &[Value]) -> Result<Box<dyn RowStream>, Error>;

    /// Opens a cursor over some columns of all rows of a table. Names are as in SQL.
    ///
    /// # Errors
    /// As [`Host::execute`].
    fn copy_out(&self, table: &str, columns: &[&str]) -> Result<Box<dyn RowStream>, Error> {
        self.open_cursor(&format!("SELECT {} FROM {table}", columns.join(", ")), &[])
    }

    /// Sets a savepoint.
    ///
    /// # Errors
    /// As [`Host::execute`].
    fn open_savepoint(&self) -> Result<Box<dyn Savepoint>, Error>;

    /// Which way the run goes through the revision.
    fn direction(&self) -> Direction;

    /// The name of the SQL dialect.
    fn dialect(&self) -> String;

    /// The id of the revision.
    fn revision(&self) -> String;

    /// A parameter as JSON text.
    fn parameter(&self, name: &str) -> Option<String>;

    /// Whether a script is being generated, so that nothing can be read.
    fn is_offline(&self) -> bool;

    /// The time of the run in microseconds since 1970 in UTC.
    fn now(&self) -> i64;

    /// Eight bytes derived from run and revision.
    fn seed(&self) -> [u8; 8];
}

pub use crate::bindings::whimbrel::migrate::context::StepDirection as Direction;

/// Rows that come batch by batch. Dropping it closes the cursor.
pub trait RowStream {
    /// The next rows, at most `max_rows`; none at the end.
    ///
    /// # Errors
    /// As [`Host::execute`].
    fn next_batch(&mut self, max_rows: u32) -> Result<Option<Batch>, Error>;
}

/// A point in the transaction to come back to. One that is dropped without either call makes the migration fail.
pub trait Savepoint {
    /// Keeps what was done since.
    ///
    /// # Errors
    /// As [`Host::execute`].
    fn release(self: Box<Self>) -> Result<(), Error>;

    /// Undoes what was done since.
    ///
    /// # Errors
    /// As [`Host::execute`].
    fn roll_back(self: Box<Self>) -> Result<(), Error>;
}
