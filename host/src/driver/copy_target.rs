//! Where rows go in bulk, and come from.

use std::fmt::{self, Write as _};

use super::{Dialect, DriverError};
use crate::sql::{Lexer, TokenKind, names};

/// A table and those of its columns that are read, or get values, in their order; the others get their defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyTarget {
    table: String,
    columns: Vec<String>,
}

impl CopyTarget {
    /// Reads names as SQL spells them: `orders`, `app.orders`, `"Odd name"`.
    ///
    /// # Errors
    /// [`DriverError::Conversion`] for what is no name, and where there is no column or one stands twice.
    pub fn new(table: &str, columns: &[String], dialect: Dialect) -> Result<Self, DriverError> {
        let table = path(table, dialect)
            .filter(|path| path.len() <= 2)
            .ok_or_else(|| {
                DriverError::Conversion(format!(
                    "`{table}` is not the name of a table: write it as in SQL, `orders` or `app.orders`"
                ))
            })?;
        let mut quoted = Vec::with_capacity(columns.len());
        for column in columns {
            let name = path(column, dialect)
                .filter(|path| path.len() == 1)
                .and_then(|mut path| path.pop())
                .ok_or_else(|| {
                    DriverError::Conversion(format!(
                        "`{column}` is not the name of a column: write it as in SQL"
                    ))
                })?;
            let same = |other: &String| match dialect {
                Dialect::Postgresql => *other == name,
                Dialect::Sqlite => other.eq_ignore_ascii_case(&name),
            };
            if quoted.iter().any(same) {
                return Err(DriverError::Conversion(format!(
                    "column {name} is given twice"
                )));
            }
            quoted.push(name);
        }
        if quoted.is_empty() {
            return Err(DriverError::Conversion(
                "no columns are given: name those that the rows have values for, or that are read"
                    .to_owned(),
            ));
        }
        Ok(Self {
            table: table.join("."),
            columns: quoted,
        })
    }

    /// How many columns there are.
    pub fn width(&self) -> usize {
        self.columns.len()
    }

    /// The statement that adds one row, its values as parameters.
    pub fn insert(&self) -> String {
        let mut sql = format!("INSERT INTO {} ({}) VALUES (", self.table, self.list());
        for number in 1..=self.columns.len() {
            let comma = if number == 1 { "" } else { ", " };
            let _ = write!(sql, "{comma}${number}");
        }
        sql.push(')');
        sql
    }

    /// The statement that reads its columns.
    pub(crate) fn select(&self) -> String {
        format!("SELECT {} FROM {}", self.list(), self.table)
    }

    /// The statement that takes its rows from the client in PostgreSQL's binary form.
    #[cfg(feature = "postgres")]
    pub(crate) fn copy(&self) -> String {
        format!(
            "COPY {} ({}) FROM STDIN (FORMAT binary)",
            self.table,
            self.list()
        )
    }

    fn list(&self) -> String {
        self.columns.join(", ")
    }
}

impl fmt::Display for CopyTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.table, self.list())
    }
}

/// The parts of a dotted name, each in quotes; `None` for anything else.
pub(crate) fn path(text: &str, dialect: Dialect) -> Option<Vec<String>> {
    let mut is_name_next = true;
    for token in Lexer::new(text, dialect) {
        let token = token.ok()?;
        let is_name = matches!(token.kind, TokenKind::Word | TokenKind::QuotedName);
        if is_name != is_name_next || !(is_name || token.text == ".") {
            return None;
        }
        is_name_next = !is_name;
    }
    if is_name_next || text.contains('\0') {
        return None;
    }
    names(text, dialect)
        .map(|name| {
            let name = name.ok().filter(|name| !name.text.is_empty())?;
            Some(format!("\"{}\"", name.text.replace('"', "\"\"")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    fn target(table: &str, columns: &[&str]) -> Result<CopyTarget, DriverError> {
        let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
        CopyTarget::new(table, &columns, Dialect::Postgresql)
    }

    #[test]
    fn names_are_read_as_in_sql_and_written_in_quotes() {
        let target = target("App.\"Odd \"\"name\"", &["Id", "\"Name\""]).unwrap();
        assert_eq!(
            target.insert(),
            r#"INSERT INTO "app"."Odd ""name" ("id", "Name") VALUES ($1, $2)"#
        );
        assert_eq!(
            target.copy(),
            r#"COPY "app"."Odd ""name" ("id", "Name") FROM STDIN (FORMAT binary)"#
        );
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for table in [
            "",
            "a b",
            "a.",
            ".a",
            "a.b.c",
            "a; DROP TABLE b",
            "a--",
            "a(b)",
            "$1",
            "'a'",
            "a..b",
            "1",
        ] {
            assert!(target(table, &["id"]).is_err(), "{table}");
        }
        for columns in [&[][..], &["a.b"], &["a", "A"], &["a)"], &[""]] {
            assert!(target("t", columns).is_err(), "{columns:?}");
        }
    }
}
