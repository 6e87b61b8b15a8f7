//! What a call failed with, from all that is known when it has ended.

use wasmtime::{Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::bindings::whimbrel::migrate::types;
use super::convert;
use super::guest::Guest;
use super::loan::FailedStatement;
use crate::driver::{DatabaseError, DriverError};
use crate::migration::{Failure, MigrationError, StatementSource};
use crate::printable;

/// How a call ended that did not return `ok`.
pub(super) enum Ending {
    /// The export returned an error.
    Error(Box<types::Error>),
    /// The guest trapped, or a host call ended it.
    Trap(wasmtime::Error),
    /// The call did not return after it was told to stop, and was dropped.
    Dropped,
}

/// The error of a call. What the host decided comes before the guest's own account.
pub(super) fn explain(ending: Ending, guest: &Guest) -> MigrationError {
    if let Some(verdict) = guest.decided() {
        return verdict;
    }
    match ending {
        Ending::Error(error) => returned(*error, guest.loan.last_failure()),
        Ending::Trap(error) => trapped(&error, guest),
        Ending::Dropped => MigrationError::Cancelled,
    }
}

/// An error that the export returned. It is a statement's when a statement failed with it.
fn returned(error: types::Error, last: Option<&FailedStatement>) -> MigrationError {
    let source = match error {
        types::Error::Database(error) => DriverError::Database(Box::new(error.into())),
        types::Error::Denied(denial) => match last.map(|last| &last.error) {
            Some(error @ DriverError::NotGranted(refusal))
                if refusal.reason() == denial.reason
                    && refusal.access.action.words() == denial.operation =>
            {
                error.clone()
            }
            _ => denial.into(),
        },
        types::Error::Conversion(message) => DriverError::Conversion(printable::lines(&message)),
        types::Error::Limit((name, value)) => {
            return gave_up(&format!("the migration reports a limit: {name} = {value}"));
        }
        types::Error::Offline(message) => match last {
            Some(last) if last.error.to_string() == message => last.error.clone(),
            _ => return gave_up(&message),
        },
        types::Error::Cancelled => {
            return gave_up("the migration reports that it was cancelled");
        }
        types::Error::Failed(failure) => {
            let mut failure = convert::failure(failure);
            failure.statement = failure
                .cause
                .as_ref()
                .and_then(|cause| statement_of(cause, last))
                .map(|found| *found);
            return MigrationError::Failed(Box::new(failure));
        }
    };
    let statement = match source.database() {
        Some(error) => statement_of(error, last),
        None => last
            .filter(|last| printable::lines(&last.error.to_string()) == source.to_string())
            .map(|last| Box::new(last.statement.clone())),
    };
    MigrationError::Statement { statement, source }
}

fn statement_of(
    error: &DatabaseError,
    last: Option<&FailedStatement>,
) -> Option<Box<StatementSource>> {
    let is_last = |last: &&FailedStatement| {
        let said = last.error.database().map(DatabaseError::printable);
        said.as_ref() == Some(error)
    };
    let last = last.filter(is_last)?;
    Some(Box::new(last.statement.clone()))
}

fn gave_up(message: &str) -> MigrationError {
    MigrationError::Failed(Box::new(Failure {
        message: printable::lines(message),
        ..Failure::default()
    }))
}

fn trapped(error: &wasmtime::Error, guest: &Guest) -> MigrationError {
    let trap = error.downcast_ref::<Trap>();
    if trap == Some(&Trap::OutOfFuel) {
        return MigrationError::Limit {
            what: "fuel",
            limit: guest.limits.fuel,
            unit: "units",
        };
    }
    if guest.meter.denied() {
        return MigrationError::Limit {
            what: "memory",
            limit: guest.limits.memory,
            unit: "bytes",
        };
    }
    let console = guest.console();
    let message = console.last_words().unwrap_or_else(|| match trap {
        Some(trap) => trap.to_string(),
        None if error.is::<I32Exit>() => "the interpreter exited".to_owned(),
        None => error.root_cause().to_string(),
    });
    let mut backtrace = console.traceback();
    if backtrace.is_empty() {
        backtrace = frames(error);
    }
    MigrationError::Trap {
        message,
        backtrace,
        source: guest
            .loan
            .unhandled_failure()
            .map(|failed| failed.error.clone()),
    }
}

/// The names of the guest's frames from the innermost, without those of the panic machinery and of generated glue.
fn frames(error: &wasmtime::Error) -> Vec<String> {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else {
        return Vec::new();
    };
    let names = backtrace
        .frames()
        .iter()
        .filter_map(|frame| frame.func_name());
    let names = names.map(|name| printable::line(&format!("{:#}", rustc_demangle::demangle(name))));
    names.filter(|name| !is_machinery(name)).collect()
}

fn is_machinery(name: &str) -> bool {
    const PREFIXES: [&str; 7] = [
        "rust_panic",
        "__rust",
        "__rustc",
        "core::panicking",
        "std::panicking",
        "std::sys::backtrace",
        "abort",
    ];
    PREFIXES
        .iter()
        .any(|prefix| name.trim_start_matches('<').starts_with(prefix))
}
