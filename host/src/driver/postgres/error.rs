//! tokio-postgres's errors as the driver's own.

use std::error::Error as _;
use std::sync::Arc;

use tokio_postgres::error::{DbError, ErrorPosition, Severity, SqlState};

use crate::driver::{DatabaseError, DriverError};

/// What the server says when someone asked it to stop the statement; a statement's timeout has the same SQLSTATE.
const CANCELLED_BY_USER: &str = "canceling statement due to user request";

/// Translates an error of a running session.
pub(super) fn translate(error: tokio_postgres::Error) -> DriverError {
    match error.as_db_error() {
        Some(report) if ends_session(report) => DriverError::Closed {
            source: Some(Arc::new(database_error(report))),
        },
        Some(report)
            if *report.code() == SqlState::QUERY_CANCELED
                && report.message() == CANCELLED_BY_USER =>
        {
            DriverError::Cancelled
        }
        Some(report) => Box::new(database_error(report)).into(),
        None if is_connection_failure(&error) => DriverError::Closed {
            source: Some(Arc::new(error)),
        },
        None => DriverError::Conversion(chain(&error)),
    }
}

/// Whether the connection, rather than the statement, failed.
fn is_connection_failure(error: &tokio_postgres::Error) -> bool {
    let conversion = error.source().is_some_and(|source| {
        !source.is::<std::io::Error>() || error.to_string().starts_with("error encoding")
    });
    !conversion
}

/// A report after which the server hangs up.
fn ends_session(report: &DbError) -> bool {
    matches!(
        report.parsed_severity(),
        Some(Severity::Fatal | Severity::Panic)
    )
}

/// An error with its causes, on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// The server's report with all its fields. A position inside a query that the server made itself says nothing about
/// the statement, so it goes to the detail.
pub(super) fn database_error(report: &DbError) -> DatabaseError {
    let (position, internal) = match report.position() {
        Some(ErrorPosition::Original(position)) => (Some(*position), None),
        Some(ErrorPosition::Internal { position, query }) => (
            None,
            Some(format!(
                "at character {position} of the internal query: {query}"
            )),
        ),
        None => (None, None),
    };
    let detail = [
        report.detail().map(str::to_owned),
        internal,
        report.where_().map(str::to_owned),
    ]
    .into_iter()
    .flatten()
    .collect::<Vec<_>>();
    DatabaseError {
        sqlstate: Some(report.code().code().to_owned()),
        message: report.message().to_owned(),
        detail: (!detail.is_empty()).then(|| detail.join("\n")),
        hint: report.hint().map(str::to_owned),
        position,
        schema: report.schema().map(str::to_owned),
        table: report.table().map(str::to_owned),
        column: report.column().map(str::to_owned),
        constraint: report.constraint().map(str::to_owned),
    }
}
