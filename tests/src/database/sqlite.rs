//! A SQLite file.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use tempfile::TempDir;

use super::Row;

#[derive(Debug)]
pub(super) struct SqliteDatabase {
    folder: TempDir,
}

impl SqliteDatabase {
    pub(super) fn create(parent: &Path) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("whimbrel-sqlite-")
            .tempdir_in(parent)
            .expect("a temporary folder can be created");
        Self { folder }
    }

    pub(super) fn url(&self) -> String {
        format!("sqlite:{}", self.path().display())
    }

    pub(super) fn connect(&self) -> Connection {
        Connection::open(self.path()).expect("the database file opens")
    }

    pub(super) fn execute(&self, sql: &str) {
        self.connect()
            .execute_batch(sql)
            .unwrap_or_else(|error| panic!("{sql}\nfailed: {error}"));
    }

    pub(super) fn query(&self, sql: &str) -> Vec<Row> {
        self.try_query(sql)
            .unwrap_or_else(|error| panic!("{sql}\nfailed: {error}"))
    }

    /// Leaves the file where it is, for whoever looks into a failure.
    pub(super) fn keep(&mut self) {
        self.folder.disable_cleanup(true);
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("test.db")
    }

    fn try_query(&self, sql: &str) -> rusqlite::Result<Vec<Row>> {
        let connection = self.connect();
        let mut statement = connection.prepare(sql)?;
        let columns = statement.column_count();
        statement
            .query_map([], |row| {
                (0..columns)
                    .map(|index| row.get_ref(index).map(text))
                    .collect()
            })?
            .collect()
    }
}

/// A value as text: numbers as SQLite prints them, bytes as a literal.
fn text(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(format!("{number:?}")),
        ValueRef::Text(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        ValueRef::Blob(bytes) => {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            Some(format!("x'{digits}'"))
        }
    }
}
