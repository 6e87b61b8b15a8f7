//! What can be wrong with a project's settings.

use std::io;

use camino::Utf8PathBuf;
use thiserror::Error;

use super::database::TemplateError;

/// Why the settings of a project cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// There is no configuration file here.
    #[error("there is no whimbrel.toml in {start} or in a folder above it")]
    NotFound {
        /// Where the search started.
        start: Utf8PathBuf,
    },
    /// The file or the folder of the project cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file has a mistake.
    #[error("{path}{}: {message}", .line.map(|line| format!(":{line}")).unwrap_or_default())]
    Invalid {
        /// The file.
        path: Utf8PathBuf,
        /// The 1-based line, where it is known.
        line: Option<u32>,
        /// The mistake.
        message: String,
    },
    /// The address of a database refers to the environment in a way that cannot be followed.
    #[error("`{setting}` in {path} {problem}")]
    Template {
        /// The file.
        path: Utf8PathBuf,
        /// The setting.
        setting: String,
        /// What is wrong with it.
        problem: TemplateError,
    },
    /// No database is set anywhere.
    #[error(
        "no database is set: give --database, set WHIMBREL_DATABASE_URL or DATABASE_URL, or write `database` in {path}"
    )]
    NoDatabase {
        /// The configuration file.
        path: Utf8PathBuf,
        /// The names that the file has, for `--database`.
        known: Vec<String>,
    },
    /// `--database` names what the file does not have.
    #[error("{path} has no [databases.{name}]")]
    UnknownDatabase {
        /// The configuration file.
        path: Utf8PathBuf,
        /// The name that was given.
        name: String,
        /// The names that there are.
        known: Vec<String>,
        /// The one that was probably meant.
        suggestion: Option<String>,
    },
    /// `-x` without a key or a value.
    #[error("`-x {given}` is not of the form key=value")]
    Parameter {
        /// What was given.
        given: String,
    },
}
