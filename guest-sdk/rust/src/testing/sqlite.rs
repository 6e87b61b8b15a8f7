//! The host of a native test, over a connection to SQLite.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use rusqlite::types::{Value as Stored, ValueRef as StoredRef};
use rusqlite::{Connection, Statement, ffi};

use crate::batch::Batch;
use crate::calendar::{Date, Time, Timestamp, Timestamptz};
use crate::error::{DatabaseError, Denial, Error};
use crate::host::{Direction, Host, RowStream, Savepoint};
use crate::value::{Column, Value};

/// What a run is told, and what it has left open.
pub(super) struct Call {
    pub(super) direction: Direction,
    pub(super) parameters: BTreeMap<String, String>,
    pub(super) now: i64,
    pub(super) open_savepoints: u32,
}

impl Call {
    pub(super) fn new() -> Self {
        Self {
            direction: Direction::Upgrade,
            parameters: BTreeMap::new(),
            now: 0,
            open_savepoints: 0,
        }
    }
}

pub(super) struct Sqlite {
    connection: Rc<Connection>,
    call: Rc<RefCell<Call>>,
}

impl Sqlite {
    pub(super) fn new(connection: Rc<Connection>, call: Rc<RefCell<Call>>) -> Self {
        Self { connection, call }
    }
}

impl Host for Sqlite {
    fn execute(&self, statement: &str, params: &[Value]) -> Result<u64, Error> {
        let rows_are_counted = self.connection.total_changes();
        let mut prepared = prepare(&self.connection, statement, params)?;
        let mut rows = prepared.raw_query();
        while rows.next().map_err(database_error)?.is_some() {}
        Ok(self.connection.total_changes() - rows_are_counted)
    }

    fn query(&self, statement: &str, params: &[Value]) -> Result<Batch, Error> {
        let mut prepared = prepare(&self.connection, statement, params)?;
        let columns: Rc<[Column]> = prepared.columns().map(|c| column(&c)).collect();
        let mut rows = prepared.raw_query();
        let mut values = Vec::new();
        while let Some(row) = rows.next().map_err(database_error)? {
            let cells = (0..columns.len()).map(|index| {
                let cell = row.get_ref(index).map_err(database_error)?;
                read(cell, &columns[index])
            });
            values.push(cells.collect::<Result<Vec<_>, _>>()?);
        }
        Ok(Batch::with_columns(columns, values))
    }

    /// Reads everything at once, so that what the migration writes meanwhile is not seen.
    fn open_cursor(&self, statement: &str, params: &[Value]) -> Result<Box<dyn RowStream>, Error> {
        let batch = self.query(statement, params)?;
        let columns = batch.columns().into();
        let rows: Result<Vec<Vec<Value>>, Error> = batch.rows().collect();
        Ok(Box::new(Stream {
            columns,
            rows: rows?.into_iter(),
        }))
    }

    fn open_savepoint(&self) -> Result<Box<dyn Savepoint>, Error> {
        let mut call = self.call.borrow_mut();
        let name = format!("savepoint_{}", call.open_savepoints + 1);
        self.connection
            .execute_batch(&format!("SAVEPOINT {name}"))
            .map_err(database_error)?;
        call.open_savepoints += 1;
        Ok(Box::new(Point {
            connection: Rc::clone(&self.connection),
            call: Rc::clone(&self.call),
            name,
        }))
    }

    fn direction(&self) -> Direction {
        self.call.borrow().direction
    }

    fn dialect(&self) -> String {
        "sqlite".into()
    }

    fn revision(&self) -> String {
        "under_test".into()
    }

    fn parameter(&self, name: &str) -> Option<String> {
        self.call.borrow().parameters.get(name).cloned()
    }

    fn is_offline(&self) -> bool {
        false
    }

    fn now(&self) -> i64 {
        self.call.borrow().now
    }

    fn seed(&self) -> [u8; 8] {
        *b"whimbrel"
    }
}

struct Stream {
    columns: Rc<[Column]>,
    rows: std::vec::IntoIter<Vec<Value>>,
}

impl RowStream for Stream {
    fn next_batch(&mut self, max_rows: u32) -> Result<Option<Batch>, Error> {
        let rows: Vec<_> = self.rows.by_ref().take(max_rows as usize).collect();
        let batch = (!rows.is_empty()).then(|| Batch::with_columns(Rc::clone(&self.columns), rows));
        Ok(batch)
    }
}

struct Point {
    connection: Rc<Connection>,
    call: Rc<RefCell<Call>>,
    name: String,
}

impl Point {
    fn end(&self, statements: &str) -> Result<(), Error> {
        self.connection
            .execute_batch(statements)
            .map_err(database_error)?;
        self.call.borrow_mut().open_savepoints -= 1;
        Ok(())
    }
}

impl Savepoint for Point {
    fn release(self: Box<Self>) -> Result<(), Error> {
        self.end(&format!("RELEASE {}", self.name))
    }

    fn roll_back(self: Box<Self>) -> Result<(), Error> {
        self.end(&format!("ROLLBACK TO {0}; RELEASE {0}", self.name))
    }
}

fn prepare<'c>(
    connection: &'c Connection,
    statement: &str,
    params: &[Value],
) -> Result<Statement<'c>, Error> {
    deny_transaction_control(statement)?;
    let mut prepared = connection.prepare(statement).map_err(database_error)?;
    for index in 1..=prepared.parameter_count() {
        let name = prepared
            .parameter_name(index)
            .unwrap_or_default()
            .to_owned();
        let number = name.trim_start_matches(['$', '?']).parse::<usize>().ok();
        let value = number.and_then(|number| params.get(number.checked_sub(1)?));
        let value = value.ok_or_else(|| {
            Error::Conversion(format!(
                "parameter `{name}` has no value: {} were given",
                params.len()
            ))
        })?;
        prepared
            .raw_bind_parameter(index, stored(value))
            .map_err(database_error)?;
    }
    Ok(prepared)
}

/// The transaction is the host's, here as in a component.
fn deny_transaction_control(statement: &str) -> Result<(), Error> {
    let word: String = statement
        .trim_start()
        .chars()
        .take_while(char::is_ascii_alphabetic)
        .collect();
    let word = word.to_ascii_uppercase();
    match word.as_str() {
        "BEGIN" | "COMMIT" | "END" | "ROLLBACK" | "SAVEPOINT" | "RELEASE" => {
            Err(Error::Denied(Box::new(Denial {
                operation: word,
                object: String::new(),
                reason: "the host begins and ends the transaction; use `db.savepoint`".into(),
            })))
        }
        _ => Ok(()),
    }
}

fn stored(value: &Value) -> Stored {
    match value {
        Value::Null => Stored::Null,
        Value::Boolean(truth) => Stored::Integer((*truth).into()),
        Value::Int16(number) => Stored::Integer((*number).into()),
        Value::Int32(number) => Stored::Integer((*number).into()),
        Value::Int64(number) => Stored::Integer(*number),
        Value::Float32(number) => Stored::Real((*number).into()),
        Value::Float64(number) => Stored::Real(*number),
        Value::Numeric(text) | Value::Text(text) | Value::Uuid(text) | Value::Json(text) => {
            Stored::Text(text.clone())
        }
        Value::Bytes(bytes) => Stored::Blob(bytes.clone()),
        Value::Date(days) => Stored::Text(Date(*days).to_string()),
        Value::Time(micros) => Stored::Text(Time(*micros).to_string()),
        Value::Timestamp(micros) => Stored::Text(Timestamp(*micros).to_string()),
        Value::Timestamptz(micros) => Stored::Text(Timestamptz(*micros).to_string()),
        Value::Interval(interval) => Stored::Text(format!(
            "P{}M{}DT{}S",
            interval.months,
            interval.days,
            interval.microseconds as f64 / 1e6
        )),
        Value::Other(other) => Stored::Text(other.text.clone()),
    }
}

fn read(cell: StoredRef<'_>, column: &Column) -> Result<Value, Error> {
    Ok(match cell {
        StoredRef::Null => Value::Null,
        StoredRef::Integer(number) => Value::Int64(number),
        StoredRef::Real(number) => Value::Float64(number),
        StoredRef::Blob(bytes) => Value::Bytes(bytes.into()),
        StoredRef::Text(bytes) => Value::Text(String::from_utf8(bytes.into()).map_err(|_| {
            Error::Conversion(format!(
                "column `{}`: the text is not valid UTF-8",
                column.name
            ))
        })?),
    })
}

fn column(column: &rusqlite::Column<'_>) -> Column {
    Column {
        name: column.name().into(),
        type_name: column.decl_type().unwrap_or_default().into(),
    }
}

fn database_error(error: rusqlite::Error) -> Error {
    let position = match &error {
        rusqlite::Error::SqlInputError { offset, .. } => {
            u32::try_from(*offset).ok().map(|offset| offset + 1)
        }
        _ => None,
    };
    let code = match &error {
        rusqlite::Error::SqliteFailure(code, _) => Some(code.extended_code),
        rusqlite::Error::SqlInputError { error, .. } => Some(error.extended_code),
        _ => None,
    };
    Error::Database(Box::new(DatabaseError {
        sqlstate: code.map(code_name),
        message: error.to_string(),
        detail: None,
        hint: None,
        position,
        schema: None,
        table: None,
        column: None,
        constraint: None,
    }))
}

/// The name of a result code, which stands in for SQLSTATE; the number of one that migrations hardly meet.
fn code_name(code: i32) -> String {
    let name = match code {
        ffi::SQLITE_ERROR => "SQLITE_ERROR",
        ffi::SQLITE_BUSY => "SQLITE_BUSY",
        ffi::SQLITE_LOCKED => "SQLITE_LOCKED",
        ffi::SQLITE_MISMATCH => "SQLITE_MISMATCH",
        ffi::SQLITE_CONSTRAINT_CHECK => "SQLITE_CONSTRAINT_CHECK",
        ffi::SQLITE_CONSTRAINT_DATATYPE => "SQLITE_CONSTRAINT_DATATYPE",
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => "SQLITE_CONSTRAINT_FOREIGNKEY",
        ffi::SQLITE_CONSTRAINT_NOTNULL => "SQLITE_CONSTRAINT_NOTNULL",
        ffi::SQLITE_CONSTRAINT_PRIMARYKEY => "SQLITE_CONSTRAINT_PRIMARYKEY",
        ffi::SQLITE_CONSTRAINT_TRIGGER => "SQLITE_CONSTRAINT_TRIGGER",
        ffi::SQLITE_CONSTRAINT_UNIQUE => "SQLITE_CONSTRAINT_UNIQUE",
        code => return format!("SQLITE_{code}"),
    };
    name.into()
}
