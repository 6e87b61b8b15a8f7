//! The check that takes the place of enforcement during a migration.
//!
//! It looks at the tables that refer to a table that was written, and at those that were written themselves, so that
//! its cost is that of the migration rather than that of the database. Violations that were there before do not count.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;

use rusqlite::{Connection, ffi};

use super::error;
use super::guard::Written;
use super::place::{Opened, Place, Purpose};
use crate::driver::{DatabaseError, DriverError};

/// A row that refers to none.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Violation {
    table: String,
    /// None in a table without row ids.
    row: Option<i64>,
    parent: String,
}

/// Every referring table with the table that it refers to.
const REFERENCES: &str = "SELECT t.name, f.\"table\" FROM main.sqlite_schema AS t \
     JOIN pragma_foreign_key_list(t.name, 'main') AS f WHERE t.type = 'table'";

const VIOLATIONS: &str =
    "SELECT \"table\", rowid, parent FROM pragma_foreign_key_check(?1, 'main')";

/// How many violations an error lists.
const LISTED: usize = 10;

/// Checks the open transaction of `connection`.
///
/// # Errors
/// A database error `SQLITE_CONSTRAINT_FOREIGNKEY` that lists new violations.
pub(super) fn check(
    connection: &Connection,
    place: &Place,
    written: &Written,
) -> Result<(), DriverError> {
    if written.tables.is_empty() && !written.renamed {
        return Ok(());
    }
    let mut found = Vec::new();
    for table in referring_tables(connection, written)
        .map_err(|problem| error::convert(problem, REFERENCES))?
    {
        match violations_of(connection, &table) {
            Ok(violations) => found.extend(violations),
            Err(problem) => {
                // A key that refers to no unique column cannot be checked; nor could it before, or else it is new.
                let before = committed(place).map(|committed| violations_of(&committed, &table));
                if !matches!(before, Some(Err(_))) {
                    return Err(error::convert(problem, VIOLATIONS));
                }
            }
        }
    }
    if !found.is_empty()
        && let Some(committed) = committed(place)
    {
        found = only_new(found, &committed);
    }
    if found.is_empty() {
        Ok(())
    } else {
        Err(report(&found))
    }
}

fn referring_tables(
    connection: &Connection,
    written: &Written,
) -> rusqlite::Result<BTreeSet<String>> {
    let concerned =
        |table: &str| written.renamed || written.tables.contains(&table.to_ascii_lowercase());
    let mut statement = connection.prepare(REFERENCES)?;
    let mut rows = statement.query(())?;
    let mut tables = BTreeSet::new();
    while let Some(row) = rows.next()? {
        let (child, parent): (String, String) = (row.get(0)?, row.get(1)?);
        if concerned(&child) || concerned(&parent) {
            tables.insert(child);
        }
    }
    Ok(tables)
}

fn violations_of(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Violation>> {
    connection
        .prepare(VIOLATIONS)?
        .query_map([table], |row| {
            Ok(Violation {
                table: row.get(0)?,
                row: row.get(1)?,
                parent: row.get(2)?,
            })
        })?
        .collect()
}

/// The state before the transaction, which another connection still sees; `None` where it cannot be read, so that
/// all violations count as new.
fn committed(place: &Place) -> Option<Connection> {
    match place.open(Purpose::Read) {
        Ok(Opened::Database(connection)) => Some(connection),
        Ok(Opened::Missing(_)) | Err(_) => None,
    }
}

fn only_new(found: Vec<Violation>, committed: &Connection) -> Vec<Violation> {
    let tables: BTreeSet<&str> = found
        .iter()
        .map(|violation| violation.table.as_str())
        .collect();
    let mut known: HashMap<Violation, usize> = HashMap::new();
    for table in tables {
        for violation in violations_of(committed, table).unwrap_or_default() {
            *known.entry(violation).or_default() += 1;
        }
    }
    found
        .into_iter()
        .filter(|violation| match known.get_mut(violation) {
            Some(count) if *count > 0 => {
                *count -= 1;
                false
            }
            _ => true,
        })
        .collect()
}

fn report(violations: &[Violation]) -> DriverError {
    let mut detail = String::new();
    for violation in violations.iter().take(LISTED) {
        if !detail.is_empty() {
            detail.push('\n');
        }
        let Violation { table, row, parent } = violation;
        let _ = match row {
            Some(row) => write!(detail, "{table}, row {row}: no such row in {parent}"),
            None => write!(detail, "{table}: no such row in {parent}"),
        };
    }
    if violations.len() > LISTED {
        let _ = write!(detail, "\n… and {} more", violations.len() - LISTED);
    }
    let rows = match violations.len() {
        1 => "1 row refers".to_owned(),
        count => format!("{count} rows refer"),
    };
    let error = error::database(
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY,
        format!("FOREIGN KEY check failed before the commit: {rows} to rows that do not exist"),
        None,
    );
    match error {
        DriverError::Database(error) => Box::new(DatabaseError {
            detail: Some(detail),
            hint: Some(
                "foreign keys are not enforced while a migration runs, so that ON DELETE and ON UPDATE do nothing; \
                 delete or change the referring rows in the migration"
                    .to_owned(),
            ),
            table: violations.first().map(|violation| violation.table.clone()),
            ..*error
        })
        .into(),
        other => other,
    }
}
