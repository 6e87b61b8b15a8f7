//! What SQLite reports, in the words of the driver.

use rusqlite::ffi;

use crate::driver::{DatabaseError, DriverError};

/// Translates an error that running `sql` came to.
pub(super) fn convert(error: rusqlite::Error, sql: &str) -> DriverError {
    match error {
        rusqlite::Error::SqliteFailure(error, _) | rusqlite::Error::SqlInputError { error, .. }
            if error.code == ffi::ErrorCode::OperationInterrupted =>
        {
            DriverError::Cancelled
        }
        rusqlite::Error::SqliteFailure(error, message) => {
            let message = message.unwrap_or_else(|| error.to_string());
            database(error.extended_code, message, None)
        }
        rusqlite::Error::SqlInputError {
            error, msg, offset, ..
        } => {
            let position = usize::try_from(offset)
                .ok()
                .and_then(|offset| sql.get(..offset))
                .and_then(|before| u32::try_from(before.chars().count() + 1).ok());
            database(error.extended_code, msg, position)
        }
        rusqlite::Error::MultipleStatement => several_statements(),
        other => database(ffi::SQLITE_ERROR, other.to_string(), None),
    }
}

/// The refusal of a text that holds more than one statement.
pub(super) fn several_statements() -> DriverError {
    DriverError::Denied {
        operation: "several statements".to_owned(),
        object: String::new(),
        reason: "one call runs one statement".to_owned(),
    }
}

/// An error with a result code of SQLite and a message of our own or its.
pub(super) fn database(code: i32, message: String, position: Option<u32>) -> DriverError {
    let mut error = DatabaseError {
        sqlstate: Some(code_name(code).to_owned()),
        position,
        ..DatabaseError::default()
    };
    name_objects(&message, &mut error);
    error.message = message;
    Box::new(error).into()
}

/// Finds the table, column or constraint that a message of SQLite names.
fn name_objects(message: &str, error: &mut DatabaseError) {
    let after = |prefix: &str| message.strip_prefix(prefix);
    if let Some(index) = after("UNIQUE constraint failed: index '") {
        error.constraint = Some(index.trim_end_matches('\'').to_owned());
    } else if let Some(columns) =
        after("UNIQUE constraint failed: ").or_else(|| after("NOT NULL constraint failed: "))
    {
        let mut columns = columns.split(", ").map(|column| column.split_once('.'));
        if let Some(Some((table, column))) = columns.next() {
            error.table = Some(table.to_owned());
            error.column = columns.next().is_none().then(|| column.to_owned());
        }
    } else if let Some(constraint) = after("CHECK constraint failed: ") {
        error.constraint = Some(constraint.to_owned());
    } else if let Some(table) = after("no such table: ") {
        error.table = Some(table.to_owned());
    } else if let Some(column) = after("no such column: ") {
        let (table, column) = column
            .rsplit_once('.')
            .map_or((None, column), |(table, column)| (Some(table), column));
        error.table = table.map(str::to_owned);
        error.column = Some(column.to_owned());
    } else if let Some((table, column)) =
        after("table ").and_then(|rest| rest.split_once(" has no column named "))
    {
        error.table = Some(table.to_owned());
        error.column = Some(column.to_owned());
    }
}

/// The name of an extended result code. BUSY and LOCKED keep their primary name, by which callers know what is worth
/// another try; a code without a name of its own has that of its primary code.
fn code_name(code: i32) -> &'static str {
    match code {
        ffi::SQLITE_ABORT_ROLLBACK => "SQLITE_ABORT_ROLLBACK",
        ffi::SQLITE_AUTH_USER => "SQLITE_AUTH_USER",
        ffi::SQLITE_CANTOPEN_FULLPATH => "SQLITE_CANTOPEN_FULLPATH",
        ffi::SQLITE_CANTOPEN_ISDIR => "SQLITE_CANTOPEN_ISDIR",
        ffi::SQLITE_CANTOPEN_NOTEMPDIR => "SQLITE_CANTOPEN_NOTEMPDIR",
        ffi::SQLITE_CANTOPEN_SYMLINK => "SQLITE_CANTOPEN_SYMLINK",
        ffi::SQLITE_CONSTRAINT_CHECK => "SQLITE_CONSTRAINT_CHECK",
        ffi::SQLITE_CONSTRAINT_COMMITHOOK => "SQLITE_CONSTRAINT_COMMITHOOK",
        ffi::SQLITE_CONSTRAINT_DATATYPE => "SQLITE_CONSTRAINT_DATATYPE",
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => "SQLITE_CONSTRAINT_FOREIGNKEY",
        ffi::SQLITE_CONSTRAINT_FUNCTION => "SQLITE_CONSTRAINT_FUNCTION",
        ffi::SQLITE_CONSTRAINT_NOTNULL => "SQLITE_CONSTRAINT_NOTNULL",
        ffi::SQLITE_CONSTRAINT_PINNED => "SQLITE_CONSTRAINT_PINNED",
        ffi::SQLITE_CONSTRAINT_PRIMARYKEY => "SQLITE_CONSTRAINT_PRIMARYKEY",
        ffi::SQLITE_CONSTRAINT_ROWID => "SQLITE_CONSTRAINT_ROWID",
        ffi::SQLITE_CONSTRAINT_TRIGGER => "SQLITE_CONSTRAINT_TRIGGER",
        ffi::SQLITE_CONSTRAINT_UNIQUE => "SQLITE_CONSTRAINT_UNIQUE",
        ffi::SQLITE_CONSTRAINT_VTAB => "SQLITE_CONSTRAINT_VTAB",
        ffi::SQLITE_CORRUPT_INDEX => "SQLITE_CORRUPT_INDEX",
        ffi::SQLITE_CORRUPT_SEQUENCE => "SQLITE_CORRUPT_SEQUENCE",
        ffi::SQLITE_CORRUPT_VTAB => "SQLITE_CORRUPT_VTAB",
        ffi::SQLITE_IOERR_ACCESS => "SQLITE_IOERR_ACCESS",
        ffi::SQLITE_IOERR_DELETE => "SQLITE_IOERR_DELETE",
        ffi::SQLITE_IOERR_FSTAT => "SQLITE_IOERR_FSTAT",
        ffi::SQLITE_IOERR_FSYNC => "SQLITE_IOERR_FSYNC",
        ffi::SQLITE_IOERR_LOCK => "SQLITE_IOERR_LOCK",
        ffi::SQLITE_IOERR_NOMEM => "SQLITE_IOERR_NOMEM",
        ffi::SQLITE_IOERR_READ => "SQLITE_IOERR_READ",
        ffi::SQLITE_IOERR_SHORT_READ => "SQLITE_IOERR_SHORT_READ",
        ffi::SQLITE_IOERR_TRUNCATE => "SQLITE_IOERR_TRUNCATE",
        ffi::SQLITE_IOERR_WRITE => "SQLITE_IOERR_WRITE",
        ffi::SQLITE_READONLY_CANTINIT => "SQLITE_READONLY_CANTINIT",
        ffi::SQLITE_READONLY_CANTLOCK => "SQLITE_READONLY_CANTLOCK",
        ffi::SQLITE_READONLY_DBMOVED => "SQLITE_READONLY_DBMOVED",
        ffi::SQLITE_READONLY_DIRECTORY => "SQLITE_READONLY_DIRECTORY",
        ffi::SQLITE_READONLY_RECOVERY => "SQLITE_READONLY_RECOVERY",
        ffi::SQLITE_READONLY_ROLLBACK => "SQLITE_READONLY_ROLLBACK",
        _ => primary_name(code & 0xff),
    }
}

fn primary_name(code: i32) -> &'static str {
    match code {
        ffi::SQLITE_ABORT => "SQLITE_ABORT",
        ffi::SQLITE_AUTH => "SQLITE_AUTH",
        ffi::SQLITE_BUSY => "SQLITE_BUSY",
        ffi::SQLITE_CANTOPEN => "SQLITE_CANTOPEN",
        ffi::SQLITE_CONSTRAINT => "SQLITE_CONSTRAINT",
        ffi::SQLITE_CORRUPT => "SQLITE_CORRUPT",
        ffi::SQLITE_EMPTY => "SQLITE_EMPTY",
        ffi::SQLITE_FORMAT => "SQLITE_FORMAT",
        ffi::SQLITE_FULL => "SQLITE_FULL",
        ffi::SQLITE_INTERNAL => "SQLITE_INTERNAL",
        ffi::SQLITE_INTERRUPT => "SQLITE_INTERRUPT",
        ffi::SQLITE_IOERR => "SQLITE_IOERR",
        ffi::SQLITE_LOCKED => "SQLITE_LOCKED",
        ffi::SQLITE_MISMATCH => "SQLITE_MISMATCH",
        ffi::SQLITE_MISUSE => "SQLITE_MISUSE",
        ffi::SQLITE_NOLFS => "SQLITE_NOLFS",
        ffi::SQLITE_NOMEM => "SQLITE_NOMEM",
        ffi::SQLITE_NOTADB => "SQLITE_NOTADB",
        ffi::SQLITE_NOTFOUND => "SQLITE_NOTFOUND",
        ffi::SQLITE_PERM => "SQLITE_PERM",
        ffi::SQLITE_PROTOCOL => "SQLITE_PROTOCOL",
        ffi::SQLITE_RANGE => "SQLITE_RANGE",
        ffi::SQLITE_READONLY => "SQLITE_READONLY",
        ffi::SQLITE_SCHEMA => "SQLITE_SCHEMA",
        ffi::SQLITE_TOOBIG => "SQLITE_TOOBIG",
        _ => "SQLITE_ERROR",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_what_they_are_about() {
        type Parts = (
            Option<&'static str>,
            Option<&'static str>,
            Option<&'static str>,
        );
        let cases: [(&str, Parts); 8] = [
            (
                "UNIQUE constraint failed: t.a",
                (Some("t"), Some("a"), None),
            ),
            (
                "UNIQUE constraint failed: t.a, t.b",
                (Some("t"), None, None),
            ),
            (
                "UNIQUE constraint failed: index 'i'",
                (None, None, Some("i")),
            ),
            (
                "NOT NULL constraint failed: t.a",
                (Some("t"), Some("a"), None),
            ),
            (
                "CHECK constraint failed: positive",
                (None, None, Some("positive")),
            ),
            ("no such table: t", (Some("t"), None, None)),
            ("no such column: t.a", (Some("t"), Some("a"), None)),
            (
                "table t has no column named a",
                (Some("t"), Some("a"), None),
            ),
        ];
        for (message, expected) in cases {
            let mut error = DatabaseError::default();
            name_objects(message, &mut error);
            let found = (
                error.table.as_deref(),
                error.column.as_deref(),
                error.constraint.as_deref(),
            );
            assert_eq!(found, expected, "{message}");
        }
    }

    #[test]
    fn codes_that_are_worth_another_try_keep_their_primary_name() {
        assert_eq!(code_name(ffi::SQLITE_BUSY_SNAPSHOT), "SQLITE_BUSY");
        assert_eq!(
            code_name(ffi::SQLITE_CONSTRAINT_UNIQUE),
            "SQLITE_CONSTRAINT_UNIQUE"
        );
        assert_eq!(code_name(77), "SQLITE_ERROR");
    }
}
