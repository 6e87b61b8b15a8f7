//! WIT types to and from the driver's. Nothing outside this module and `host` sees a WIT type.

mod batch;
mod sent;

pub(super) use batch::{batch, given};
pub(super) use sent::sent_batch;

use super::bindings::whimbrel::migrate::{context, log, types};
use super::loan::limit_name;
use crate::driver::{Column, DatabaseError, DriverError, Value};
use crate::migration::{Failure, Level};
use crate::printable;
use crate::revision::Direction;

/// A guest's parameters as the driver takes them.
pub(super) fn params(params: Vec<types::Value>) -> Vec<Value> {
    params.into_iter().map(Value::from).collect()
}

/// The rows of a result as the guest takes them.
pub(super) fn rows(rows: Vec<Vec<Value>>) -> Vec<Vec<types::Value>> {
    let row = |row: Vec<Value>| row.into_iter().map(types::Value::from).collect();
    rows.into_iter().map(row).collect()
}

/// The columns of a result as the guest takes them.
pub(super) fn columns(columns: &[Column]) -> Vec<types::Column> {
    let column = |column: &Column| types::Column {
        name: column.name.clone(),
        type_name: column.type_name.clone(),
    };
    columns.iter().map(column).collect()
}

impl From<types::Value> for Value {
    fn from(value: types::Value) -> Self {
        match value {
            types::Value::Null => Self::Null,
            types::Value::Boolean(v) => Self::Boolean(v),
            types::Value::Int16(v) => Self::Int16(v),
            types::Value::Int32(v) => Self::Int32(v),
            types::Value::Int64(v) => Self::Int64(v),
            types::Value::Float32(v) => Self::Float32(v),
            types::Value::Float64(v) => Self::Float64(v),
            types::Value::Numeric(v) => Self::Numeric(v),
            types::Value::Text(v) => Self::Text(v),
            types::Value::Bytes(v) => Self::Bytes(v),
            types::Value::Date(v) => Self::Date(v),
            types::Value::Time(v) => Self::Time(v),
            types::Value::Timestamp(v) => Self::Timestamp(v),
            types::Value::Timestamptz(v) => Self::Timestamptz(v),
            types::Value::Interval(v) => Self::Interval {
                months: v.months,
                days: v.days,
                microseconds: v.microseconds,
            },
            types::Value::Uuid(v) => Self::Uuid(v),
            types::Value::Json(v) => Self::Json(v),
            types::Value::Other(v) => Self::Other {
                type_name: v.type_name,
                text: v.text,
            },
        }
    }
}

impl From<Value> for types::Value {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Boolean(v) => Self::Boolean(v),
            Value::Int16(v) => Self::Int16(v),
            Value::Int32(v) => Self::Int32(v),
            Value::Int64(v) => Self::Int64(v),
            Value::Float32(v) => Self::Float32(v),
            Value::Float64(v) => Self::Float64(v),
            Value::Numeric(v) => Self::Numeric(v),
            Value::Text(v) => Self::Text(v),
            Value::Bytes(v) => Self::Bytes(v),
            Value::Date(v) => Self::Date(v),
            Value::Time(v) => Self::Time(v),
            Value::Timestamp(v) => Self::Timestamp(v),
            Value::Timestamptz(v) => Self::Timestamptz(v),
            Value::Interval {
                months,
                days,
                microseconds,
            } => Self::Interval(types::Interval {
                months,
                days,
                microseconds,
            }),
            Value::Uuid(v) => Self::Uuid(v),
            Value::Json(v) => Self::Json(v),
            Value::Other { type_name, text } => Self::Other(types::OtherValue { type_name, text }),
        }
    }
}

impl From<DatabaseError> for types::DbError {
    fn from(error: DatabaseError) -> Self {
        Self {
            sqlstate: error.sqlstate,
            message: error.message,
            detail: error.detail,
            hint: error.hint,
            position: error.position,
            schema: error.schema,
            table: error.table,
            column: error.column,
            constraint: error.constraint,
        }
    }
}

/// What a guest says that the database has said.
impl From<types::DbError> for DatabaseError {
    fn from(error: types::DbError) -> Self {
        Self {
            sqlstate: error.sqlstate,
            message: error.message,
            detail: error.detail,
            hint: error.hint,
            position: error.position,
            schema: error.schema,
            table: error.table,
            column: error.column,
            constraint: error.constraint,
        }
        .printable()
    }
}

/// What a guest says that was refused.
impl From<types::Denial> for DriverError {
    fn from(denial: types::Denial) -> Self {
        Self::Denied {
            operation: printable::lines(&denial.operation),
            object: printable::lines(&denial.object),
            reason: printable::lines(&denial.reason),
        }
    }
}

/// What a guest is told of a failure of the driver.
pub(super) fn error(error: &DriverError) -> types::Error {
    match error {
        DriverError::Database(error) => types::Error::Database((**error).clone().into()),
        DriverError::Denied {
            operation,
            object,
            reason,
        } => types::Error::Denied(types::Denial {
            operation: operation.clone(),
            object: object.clone(),
            reason: reason.clone(),
        }),
        DriverError::NotGranted(refusal) => types::Error::Denied(types::Denial {
            operation: refusal.access.action.to_string(),
            object: format!("{}{}", refusal.access.object, refusal.access.columns),
            reason: refusal.reason(),
        }),
        DriverError::Limit { unit, limit } => limit_error(limit_name(unit), *limit),
        DriverError::Conversion(message) => types::Error::Conversion(message.clone()),
        DriverError::Offline | DriverError::Unrecorded(_) => {
            types::Error::Offline(error.to_string())
        }
        DriverError::Connect { .. }
        | DriverError::Settings { .. }
        | DriverError::Cancelled
        | DriverError::Closed { .. }
        | DriverError::CommitUnknown { .. } => types::Error::Cancelled,
    }
}

/// What a guest is told of a limit of the sandbox.
pub(super) fn limit_error(name: &str, limit: u64) -> types::Error {
    types::Error::Limit((name.to_owned(), i64::try_from(limit).unwrap_or(i64::MAX)))
}

/// What a guest says when it gives up, fit to be shown and recorded.
pub(super) fn failure(failure: types::Failure) -> Failure {
    let shown = |text: Option<String>| text.as_deref().map(printable::lines);
    Failure {
        message: printable::lines(&failure.message),
        hint: shown(failure.hint),
        trace: shown(failure.trace),
        cause: failure.cause.map(DatabaseError::from),
        ..Failure::default()
    }
}

impl From<log::Level> for Level {
    fn from(level: log::Level) -> Self {
        match level {
            log::Level::Debug => Self::Debug,
            log::Level::Info => Self::Info,
            log::Level::Warn => Self::Warn,
            log::Level::Error => Self::Error,
        }
    }
}

impl From<Direction> for context::StepDirection {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Upgrade => Self::Upgrade,
            Direction::Downgrade => Self::Downgrade,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\u{1b}[2Ja\u{9b}31mb\u{202e}c\n  at line 1";
    const SHOWN: &str = "[2Ja31mbc\n  at line 1";

    #[test]
    fn what_a_guest_gives_up_with_has_no_escapes() {
        let said = failure(types::Failure {
            message: TEXT.to_owned(),
            hint: Some(TEXT.to_owned()),
            trace: Some(TEXT.to_owned()),
            cause: Some(types::DbError {
                sqlstate: Some(TEXT.to_owned()),
                message: TEXT.to_owned(),
                detail: Some(TEXT.to_owned()),
                hint: Some(TEXT.to_owned()),
                position: None,
                schema: None,
                table: Some(TEXT.to_owned()),
                column: None,
                constraint: Some(TEXT.to_owned()),
            }),
        });
        let shown = || Some(SHOWN.to_owned());
        let wanted = Failure {
            message: SHOWN.to_owned(),
            hint: shown(),
            trace: shown(),
            cause: Some(DatabaseError {
                sqlstate: shown(),
                message: SHOWN.to_owned(),
                detail: shown(),
                hint: shown(),
                table: shown(),
                constraint: shown(),
                ..DatabaseError::default()
            }),
            ..Failure::default()
        };
        assert_eq!(said, wanted);
    }

    #[test]
    fn what_a_guest_calls_denied_has_no_escapes() {
        let denied = DriverError::from(types::Denial {
            operation: TEXT.to_owned(),
            object: TEXT.to_owned(),
            reason: TEXT.to_owned(),
        });
        assert!(
            !denied
                .to_string()
                .contains(['\u{1b}', '\u{9b}', '\u{202e}'])
        );
    }
}
