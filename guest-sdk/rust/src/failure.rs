//! From the error that a migration gives up with to what the host is told.

use std::fmt;

use crate::bindings::whimbrel::migrate::types::{self, Failure};
use crate::error::Error;
use crate::log;

/// Tells the user what to do about an error.
pub trait HintExt<T> {
    /// Adds a hint; the host shows it under the error. The outermost hint wins.
    ///
    /// ```
    /// use whimbrel_sdk::prelude::*;
    ///
    /// fn check(orphans: i64) -> Result<()> {
    ///     whimbrel::anyhow::ensure!(orphans == 0, "{orphans} assignments have no resource");
    ///     Ok(())
    /// }
    ///
    /// let checked = check(3).hint("delete them first: DELETE FROM assignments WHERE resource_id IS NULL");
    /// assert_eq!(checked.unwrap_err().to_string(), "3 assignments have no resource");
    /// ```
    ///
    /// # Errors
    /// The same as before.
    fn hint(self, hint: impl Into<String>) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> HintExt<T> for Result<T, E> {
    fn hint(self, hint: impl Into<String>) -> anyhow::Result<T> {
        self.map_err(|error| {
            anyhow::Error::new(Hinted {
                hint: hint.into(),
                error: error.into(),
            })
        })
    }
}

/// An error with a hint; it looks like the error that it wraps.
struct Hinted {
    hint: String,
    error: anyhow::Error,
}

impl fmt::Display for Hinted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl fmt::Debug for Hinted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.error, f)
    }
}

impl std::error::Error for Hinted {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

/// What there is in a chain of errors.
#[derive(Default)]
struct Account {
    /// What the author said, outermost first.
    lines: Vec<String>,
    hint: Option<String>,
    /// The call of the host that failed, where that is the root.
    root: Option<Error>,
}

impl Account {
    fn read(&mut self, error: &anyhow::Error) {
        for link in error.chain() {
            if let Some(hinted) = link.downcast_ref::<Hinted>() {
                self.hint.get_or_insert_with(|| hinted.hint.clone());
                return self.read(&hinted.error);
            }
            if let Some(root) = link.downcast_ref::<Error>() {
                self.root = Some(root.clone());
                return;
            }
            self.lines.push(link.to_string());
        }
    }
}

/// A failed call of the host passes as it came. Where the author said more about it, a database error becomes the
/// cause of what was said, and for the other cases, which the host must see as such, what was said goes to the log.
pub(crate) fn report(error: &anyhow::Error) -> types::Error {
    let mut account = Account::default();
    account.read(error);
    let Account {
        mut lines,
        hint,
        root,
    } = account;
    let adorned = !lines.is_empty() || hint.is_some();
    let passed = match root {
        Some(Error::Database(error)) if adorned => {
            if lines.is_empty() {
                lines.push(error.message.clone());
            }
            return failed(lines, hint, Some(*error));
        }
        Some(Error::Database(error)) => return types::Error::Database(*error),
        Some(Error::Conversion(message)) if !adorned => return types::Error::Conversion(message),
        Some(Error::Denied(denial)) => types::Error::Denied(*denial),
        Some(Error::Limit { name, value }) => types::Error::Limit((name, value)),
        Some(Error::Offline(message)) => types::Error::Offline(message),
        Some(Error::Cancelled) => types::Error::Cancelled,
        Some(error @ (Error::Conversion(_) | Error::RowCount { .. } | Error::Parameter(_))) => {
            lines.push(error.to_string());
            return failed(lines, hint, None);
        }
        None => return failed(lines, hint, None),
    };
    for line in lines.into_iter().chain(hint) {
        log::write(log::Level::Error, format_args!("{line}"));
    }
    passed
}

fn failed(lines: Vec<String>, hint: Option<String>, cause: Option<types::DbError>) -> types::Error {
    types::Error::Failed(Failure {
        message: lines.join(": "),
        hint,
        trace: None,
        cause,
    })
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, anyhow};

    use super::*;
    use crate::error::Denial;

    fn unique() -> types::DbError {
        types::DbError {
            sqlstate: Some("23505".into()),
            message: "duplicate key".into(),
            detail: None,
            hint: None,
            position: Some(7),
            schema: None,
            table: Some("users".into()),
            column: None,
            constraint: None,
        }
    }

    fn database() -> anyhow::Error {
        Error::Database(Box::new(unique())).into()
    }

    #[test]
    fn an_unhandled_database_error_passes_as_it_came() {
        assert_eq!(report(&database()), types::Error::Database(unique()));
    }

    #[test]
    fn context_and_hint_make_a_failure_with_the_database_error_as_its_cause() {
        let error = Err::<(), _>(database())
            .context("row 7")
            .hint("look at row 7")
            .context("splitting names");
        let Err(error) = error else {
            panic!("it is an error")
        };
        assert_eq!(
            report(&error),
            types::Error::Failed(Failure {
                message: "splitting names: row 7".into(),
                hint: Some("look at row 7".into()),
                trace: None,
                cause: Some(unique()),
            })
        );
    }

    #[test]
    fn a_denial_stays_a_denial_and_its_context_goes_to_the_log() {
        let denial = Denial {
            operation: "DELETE".into(),
            object: "users".into(),
            reason: "not granted".into(),
        };
        let error =
            anyhow::Error::from(Error::Denied(Box::new(denial.clone()))).context("cleaning up");
        let (reported, entries) = log::record(|| report(&error));
        assert_eq!(reported, types::Error::Denied(denial));
        assert_eq!(
            entries,
            [log::Entry::Line(log::Level::Error, "cleaning up".into())]
        );
    }

    #[test]
    fn an_error_of_the_author_keeps_its_whole_chain() {
        let error = anyhow!("no such country: XX").context("address 12");
        assert_eq!(
            report(&error),
            failed(
                vec!["address 12".into(), "no such country: XX".into()],
                None,
                None
            )
        );
    }
}
