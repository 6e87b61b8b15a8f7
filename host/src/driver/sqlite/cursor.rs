//! Cursors that show what was there when they were opened.
//!
//! A cursor steps its statement as rows are asked for. SQLite leaves undefined what a statement sees of changes made
//! beside it, so before the first statement that writes, the rest of each open cursor goes to a spool: a temporary
//! database of its own, outside of the transaction, that SQLite keeps in memory while it is small and on disk beyond.

use std::sync::Arc;

use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, Row, Statement, params_from_iter};

use super::values::{self, Declared};
use crate::driver::{Column, DriverError, ResultLimit, Rows, Value};

/// The columns of a result, and how to read them.
#[derive(Clone)]
pub(super) struct Shape {
    pub(super) columns: Arc<[Column]>,
    declared: Arc<[Declared]>,
}

impl Shape {
    /// The columns of a prepared statement.
    pub(super) fn of(statement: &Statement<'_>) -> Self {
        let columns: Arc<[Column]> = statement
            .columns()
            .map(|column| Column {
                name: column.name().to_owned(),
                type_name: column.decl_type().unwrap_or_default().to_owned(),
            })
            .collect();
        let declared = columns
            .iter()
            .map(|column| Declared::parse(&column.type_name))
            .collect();
        Self { columns, declared }
    }

    /// About how many bytes a row takes as values.
    fn size(&self, row: &Row<'_>) -> rusqlite::Result<u64> {
        (0..self.columns.len()).try_fold(0_u64, |size, at| {
            Ok(size.saturating_add(values::size(row.get_ref(at)?)))
        })
    }

    fn read(&self, row: &Row<'_>) -> Result<Vec<Value>, Failure> {
        let values = self.columns.iter().zip(self.declared.iter()).enumerate();
        values
            .map(|(at, (column, declared))| {
                declared.read(row.get_ref(at)?).map_err(|reason| {
                    let type_name = match column.type_name.as_str() {
                        "" => "no declared type",
                        type_name => type_name,
                    };
                    Failure::Driver(DriverError::Conversion(format!(
                        "column `{}` ({type_name}): {reason}",
                        column.name
                    )))
                })
            })
            .collect()
    }
}

/// Why rows cannot be read. SQLite's own errors are translated where the statement is known.
pub(super) enum Failure {
    Sqlite(rusqlite::Error),
    Driver(DriverError),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Reads all rows of a statement whose parameters are bound.
///
/// # Errors
/// [`DriverError::Limit`] as soon as they are too many.
pub(super) fn read_all(statement: &mut Statement<'_>, limit: ResultLimit) -> Result<Rows, Failure> {
    let mut bytes = 0_u64;
    let mut read = None;
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next()? {
        // After the first step, since that may prepare a statement anew whose tables have changed.
        let (shape, read) = read.get_or_insert_with(|| {
            let shape = Shape::of(row.as_ref());
            let read = Rows::new(Arc::clone(&shape.columns));
            (shape, read)
        });
        if read.len() as u64 >= limit.rows {
            return Err(Failure::Driver(DriverError::Limit {
                unit: "rows",
                limit: limit.rows,
            }));
        }
        bytes = bytes.saturating_add(shape.size(row)?);
        if bytes > limit.bytes {
            return Err(too_large(limit));
        }
        read.push(shape.read(row)?);
    }
    drop(rows);
    Ok(match read {
        Some((_, read)) => read,
        None => Rows::new(Shape::of(statement).columns),
    })
}

fn too_large(limit: ResultLimit) -> Failure {
    Failure::Driver(DriverError::Limit {
        unit: "bytes",
        limit: limit.bytes,
    })
}

/// Rows that are read a few at a time.
pub(super) struct Cursor<'c> {
    /// The text of the statement, for errors.
    pub(super) sql: String,
    shape: Shape,
    source: Source<'c>,
    /// A row that was read and did not fit into the last answer.
    held: Option<(Vec<Value>, u64)>,
}

enum Source<'c> {
    Statement(Statement<'c>),
    Spool(Spool),
    End,
}

impl<'c> Cursor<'c> {
    /// A cursor over a statement whose parameters are bound.
    pub(super) fn new(statement: Statement<'c>, sql: String) -> Self {
        Self {
            sql,
            shape: Shape::of(&statement),
            source: Source::Statement(statement),
            held: None,
        }
    }

    pub(super) fn columns(&self) -> Arc<[Column]> {
        Arc::clone(&self.shape.columns)
    }

    /// The next rows, at most `max_rows`, and fewer to stay below the limit; none at the end.
    pub(super) fn fetch(&mut self, max_rows: u32, limit: ResultLimit) -> Result<Rows, Failure> {
        let most = u64::from(max_rows.max(1)).min(limit.rows.max(1));
        let mut page = Page {
            rows: Rows::new(self.columns()),
            bytes: 0,
            most,
            limit,
        };
        if let Some((row, size)) = self.held.take() {
            page.bytes = size;
            page.rows.push(row);
        }
        let ended = match &mut self.source {
            Source::Statement(statement) => {
                let mut rows = statement.raw_query();
                let filled = loop {
                    if page.is_full() {
                        break Ok(false);
                    }
                    match rows.next() {
                        Ok(Some(row)) => match page.take(&self.shape, row) {
                            Ok(None) => {}
                            Ok(Some(held)) => {
                                self.held = Some(held);
                                break Ok(false);
                            }
                            Err(failure) => break Err(failure),
                        },
                        Ok(None) => break Ok(true),
                        Err(error) => break Err(error.into()),
                    }
                };
                if matches!(filled, Ok(false)) {
                    // A drop would rewind the statement. What is forgotten owns nothing.
                    std::mem::forget(rows);
                }
                filled
            }
            Source::Spool(spool) => spool.fetch(&self.shape, &mut page, &mut self.held),
            Source::End => Ok(true),
        };
        match ended {
            Ok(false) => {}
            Ok(true) => self.source = Source::End,
            Err(failure) => {
                self.source = Source::End;
                return Err(failure);
            }
        }
        Ok(page.rows)
    }

    /// Moves the rows that are still to come out of the way of statements that write.
    pub(super) fn spool(&mut self) -> rusqlite::Result<()> {
        if let Source::Statement(statement) = &mut self.source {
            let spool = Spool::fill(statement)?;
            self.source = Source::Spool(spool);
        }
        Ok(())
    }
}

/// The rows of one answer.
struct Page {
    rows: Rows,
    bytes: u64,
    most: u64,
    limit: ResultLimit,
}

impl Page {
    fn is_full(&self) -> bool {
        self.rows.len() as u64 >= self.most
    }

    /// Takes a row, or hands it back where it belongs to the next answer.
    fn take(&mut self, shape: &Shape, row: &Row<'_>) -> Result<Option<(Vec<Value>, u64)>, Failure> {
        let size = shape.size(row)?;
        if size > self.limit.bytes {
            return Err(too_large(self.limit));
        }
        let values = shape.read(row)?;
        if self.bytes.saturating_add(size) > self.limit.bytes {
            return Ok(Some((values, size)));
        }
        self.bytes += size;
        self.rows.push(values);
        Ok(None)
    }
}

/// Rows that were put aside, in their order.
struct Spool {
    database: Connection,
    /// The number of the last row that was read.
    last: i64,
}

impl Spool {
    fn fill(statement: &mut Statement<'_>) -> rusqlite::Result<Self> {
        let width = statement.column_count();
        let database = Connection::open("")?;
        database.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN")?;
        // Columns without a type keep each value as it is; the primary key counts the rows.
        let columns: String = (0..width).map(|at| format!(", c{at}")).collect();
        database.execute_batch(&format!(
            "CREATE TABLE spool (n INTEGER PRIMARY KEY{columns})"
        ))?;
        let values = ", ?".repeat(width);
        {
            let mut insert =
                database.prepare(&format!("INSERT INTO spool VALUES (NULL{values})"))?;
            let mut rows = statement.raw_query();
            while let Some(row) = rows.next()? {
                let stored = (0..width)
                    .map(|at| row.get_ref(at).map(ToSqlOutput::Borrowed))
                    .collect::<rusqlite::Result<Vec<_>>>()?;
                insert.execute(params_from_iter(stored))?;
            }
        }
        database.execute_batch("COMMIT")?;
        Ok(Self { database, last: 0 })
    }

    /// Fills the page; whether that was the end.
    fn fetch(
        &mut self,
        shape: &Shape,
        page: &mut Page,
        held: &mut Option<(Vec<Value>, u64)>,
    ) -> Result<bool, Failure> {
        let columns: Vec<String> = (0..shape.columns.len())
            .map(|at| format!("c{at}"))
            .collect();
        // The number of the row comes last, so that the columns keep their places.
        let sql = format!(
            "SELECT {}{}n FROM spool WHERE n > ?1 ORDER BY n",
            columns.join(", "),
            if columns.is_empty() { "" } else { ", " }
        );
        let mut statement = self.database.prepare_cached(&sql)?;
        let mut rows = statement.query([self.last])?;
        while !page.is_full() {
            let Some(row) = rows.next()? else {
                return Ok(true);
            };
            self.last = row.get(columns.len())?;
            *held = page.take(shape, row)?;
            if held.is_some() {
                return Ok(false);
            }
        }
        Ok(false)
    }
}
