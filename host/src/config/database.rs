//! Which database, and how its address is put together.

use std::fmt;

use camino::{Utf8Path, Utf8PathBuf};
use thiserror::Error;

use super::Environment;

/// The address of a database. It may hold a password, so that printing it shows nothing of it: what people see is
/// [`Driver::location`](crate::driver::Driver::location).
#[derive(Clone, PartialEq, Eq)]
pub struct Database {
    url: String,
    base: Utf8PathBuf,
}

impl Database {
    /// An address, and the folder that a relative file path in it starts from.
    pub fn new(url: impl Into<String>, base: impl Into<Utf8PathBuf>) -> Self {
        Self {
            url: url.into(),
            base: base.into(),
        }
    }

    /// The address with everything that is in it, for the driver.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The folder that a relative file path starts from.
    pub fn base(&self) -> &Utf8Path {
        &self.base
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").finish_non_exhaustive()
    }
}

/// Why a text with `${NAME}` in it cannot be expanded.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TemplateError {
    /// The variable is not set.
    #[error("reads ${{{0}}}, which is not set in the environment")]
    Unset(String),
    /// `${` without `}`.
    #[error("has `${{` without `}}`")]
    Open,
}

/// Puts the values of the environment in the place of every `${NAME}`.
pub(super) fn expand(template: &str, environment: Environment) -> Result<String, TemplateError> {
    let mut expanded = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}').ok_or(TemplateError::Open)?;
        let value = environment(name).ok_or_else(|| TemplateError::Unset(name.to_owned()))?;
        expanded.push_str(before);
        expanded.push_str(&value);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}
