//! Prepared statements, and how their results are read.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio_postgres::types::Type;
use tokio_postgres::{Row, Statement};

use super::values::{Cell, Decoder, type_name};
use crate::driver::Dialect::Postgresql;
use crate::driver::{Column, DriverError, Rows};
use crate::sql::without_semicolon;

/// How many prepared statements a session keeps on the server.
const CAPACITY: usize = 100;

/// Longer texts than this, in bytes, are not worth keeping.
const MAX_KEPT_TEXT: usize = 16 * 1024;

/// How the rows of a result are read.
pub(super) struct Layout {
    pub(super) columns: Arc<[Column]>,
    decoders: Vec<Decoder>,
}

/// A statement whose result can be read.
pub(super) struct Reader {
    /// Its text; not that which was given where the server has to make text of some columns.
    pub(super) sql: String,
    pub(super) statement: Statement,
    pub(super) layout: Layout,
}

impl Layout {
    /// That of columns which all have a binary form that is known; else the first that has none.
    pub(super) fn of(columns: &[tokio_postgres::Column]) -> Result<Self, &tokio_postgres::Column> {
        let decoders = columns
            .iter()
            .map(|column| Decoder::of(column.type_()).ok_or(column))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            columns: describe(columns),
            decoders,
        })
    }

    /// That of the same columns after [`with_text_columns`].
    pub(super) fn with_text(columns: &[tokio_postgres::Column]) -> Self {
        let decoders = columns
            .iter()
            .map(|column| {
                let shown = column.type_();
                Decoder::of(shown).unwrap_or_else(|| Decoder::Other(type_name(shown)))
            })
            .collect();
        Self {
            columns: describe(columns),
            decoders,
        }
    }

    /// Reads a row behind those that are there; returns its size.
    ///
    /// # Errors
    /// [`DriverError::Conversion`] names the column and its type.
    pub(super) fn read(&self, row: &Row, rows: &mut Rows) -> Result<u64, DriverError> {
        rows.append(|at, column| {
            let cell = row
                .try_get::<_, Cell<'_>>(at)
                .map_err(|_| "the server sent too few columns");
            cell.and_then(|cell| self.decoders[at].read(cell, column))
                .map_err(|why| {
                    let Column { name, type_name } = &self.columns[at];
                    DriverError::Conversion(format!(
                        "column {} (\"{name}\") of type {type_name} cannot be read: {why}",
                        at + 1
                    ))
                })
        })
    }
}

fn describe(columns: &[tokio_postgres::Column]) -> Arc<[Column]> {
    columns
        .iter()
        .map(|column| Column {
            name: column.name().to_owned(),
            type_name: type_name(column.type_()),
        })
        .collect()
}

/// The same statement with the columns that have no known binary form as text, made by the server.
pub(super) fn with_text_columns(sql: &str, statement: &Statement) -> String {
    let types: Vec<&Type> = statement
        .columns()
        .iter()
        .map(|column| column.type_())
        .collect();
    let names: Vec<_> = (1..=types.len()).map(|n| format!("c{n}")).collect();
    let selected: Vec<_> = names
        .iter()
        .zip(types)
        .map(|(name, shown)| match Decoder::of(shown) {
            Some(_) => name.clone(),
            None => format!("{name}::pg_catalog.text"),
        })
        .collect();
    // The line break ends a comment at the end of the statement.
    format!(
        "WITH q ({}) AS ({}\n) SELECT {} FROM q",
        names.join(", "),
        without_semicolon(sql, Postgresql),
        selected.join(", ")
    )
}

/// Says that a column cannot be read in any way.
pub(super) fn unreadable(
    column: &tokio_postgres::Column,
    why: &dyn std::fmt::Display,
) -> DriverError {
    DriverError::Conversion(format!(
        "column \"{}\" is of type {}, which can only be read as text, and the statement cannot be wrapped to get \
         that ({why}); cast the column to text",
        column.name(),
        type_name(column.type_())
    ))
}

/// The statements that a session has prepared, the least recently used of them going first.
#[derive(Default)]
pub(super) struct StatementCache {
    entries: HashMap<String, Entry>,
    clock: u64,
    met: HashSet<String>,
}

struct Entry {
    statement: Statement,
    reader: Option<Arc<Reader>>,
    used: u64,
}

impl StatementCache {
    /// A prepared statement.
    pub(super) fn get(&mut self, sql: &str) -> Option<Statement> {
        self.touch(sql).map(|entry| entry.statement.clone())
    }

    /// The reader of a prepared statement, where one has been made.
    pub(super) fn reader(&mut self, sql: &str) -> Option<Arc<Reader>> {
        self.touch(sql)?.reader.clone()
    }

    fn touch(&mut self, sql: &str) -> Option<&mut Entry> {
        self.clock += 1;
        let entry = self.entries.get_mut(sql)?;
        entry.used = self.clock;
        Some(entry)
    }

    /// Keeps a statement; another may be dropped for it, which closes it on the server.
    pub(super) fn keep(&mut self, sql: &str, statement: Statement, reader: Option<Arc<Reader>>) {
        if sql.len() > MAX_KEPT_TEXT {
            return;
        }
        if self.entries.len() >= CAPACITY
            && !self.entries.contains_key(sql)
            && let Some(oldest) = self.oldest()
        {
            self.entries.remove(&oldest);
        }
        self.clock += 1;
        let used = self.clock;
        let entry = Entry {
            statement,
            reader,
            used,
        };
        self.entries.insert(sql.to_owned(), entry);
    }

    fn oldest(&self) -> Option<String> {
        let (sql, _) = self.entries.iter().min_by_key(|(_, entry)| entry.used)?;
        Some(sql.clone())
    }

    /// Whether a text comes again, so that preparing it may pay; remembers it.
    pub(super) fn met_before(&mut self, sql: &str) -> bool {
        if self.met.contains(sql) {
            return true;
        }
        if sql.len() <= MAX_KEPT_TEXT {
            if self.met.len() >= CAPACITY {
                self.met.clear();
            }
            self.met.insert(sql.to_owned());
        }
        false
    }

    /// Forgets all: a change of the schema can change what a statement returns, which the server then refuses.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }
}
