//! What can be wrong with the files of migrations.

use std::error::Error;
use std::{fmt, io};

use camino::Utf8PathBuf;
use thiserror::Error;

use crate::capability::InvalidCapability;
use crate::config::leads_outside;
use crate::revision::InvalidName;

/// Something that is wrong with one file.
#[derive(Debug)]
pub struct SourceError {
    /// The file or folder, relative to the project.
    pub path: Utf8PathBuf,
    /// The 1-based line, where there is one.
    pub line: Option<u32>,
    /// What is wrong.
    pub problem: Problem,
}

/// What can be wrong with a file.
#[derive(Debug, Error)]
pub enum Problem {
    /// The file system refuses.
    #[error("cannot be read")]
    Unreadable(#[source] io::Error),
    /// The folder of the migrations is not there.
    #[error("does not exist; make it, or say in whimbrel.toml where the `migrations` are")]
    NoFolder,
    /// The path leads out of the project: it is absolute, climbs up by `..`, or follows a symbolic link.
    #[error("leads out of the project's folder")]
    Outside,
    /// The file is not text.
    #[error("is not valid UTF-8")]
    NotUtf8,
    /// A `.sql` file that does not say that it is a migration.
    #[error(
        "has no `-- whimbrel:migration` in its first line; add it and the header, or move a file that is no migration \
         into a folder of its own"
    )]
    NotDeclared,
    /// A folder that is named like a migration without being one.
    #[error("is named like a migration but has no migration.toml")]
    NoManifest,
    /// A header line that is not `-- key: value`.
    #[error(
        "`{0}` is not of the form `-- key: value`; other comments belong below `-- whimbrel:upgrade`"
    )]
    NotAHeader(String),
    /// SQL before the first section.
    #[error("there is SQL before `-- whimbrel:upgrade`")]
    SqlInHeader,
    /// A header key that means nothing.
    #[error("unknown key `{key}`{}", did_you_mean(.suggestion.as_deref()))]
    UnknownKey {
        /// The key.
        key: String,
        /// The one that was probably meant.
        suggestion: Option<&'static str>,
    },
    /// A key that stands in the header twice.
    #[error("`{0}` is given twice")]
    DuplicateKey(&'static str),
    /// A key that must be there and is not.
    #[error("`{0}` is missing")]
    MissingKey(&'static str),
    /// A key without a value.
    #[error("`{0}` has no value; leave the line out instead")]
    EmptyKey(&'static str),
    /// An id or a label that cannot be one.
    #[error("{key}: {invalid}")]
    Name {
        /// The key it is the value of.
        key: &'static str,
        /// What is wrong with it.
        invalid: InvalidName,
    },
    /// `created` is not a time.
    #[error("created: `{0}` is not a time such as 2026-11-22T10:00:00Z")]
    Time(String),
    /// `capabilities` names something that cannot be asked for.
    #[error("capabilities: {0}")]
    Capability(InvalidCapability),
    /// `transaction` has a value that it cannot have.
    #[error("transaction: `{0}` is none of `true`, `migration` and `false`")]
    Transaction(String),
    /// The file or folder is not named after its revision.
    #[error("the name must start with the id, as in `{expected}`")]
    FileName {
        /// A name that would do.
        expected: String,
    },
    /// A section that means nothing.
    #[error("unknown section `{section}`{}", did_you_mean(.suggestion.as_deref()))]
    UnknownSection {
        /// What stands behind `whimbrel:`.
        section: String,
        /// The one that was probably meant.
        suggestion: Option<&'static str>,
    },
    /// A section for a database that there is not.
    #[error(
        "unknown dialect `{dialect}`; a section is for `postgresql`, for `sqlite`, or for both when none is named"
    )]
    UnknownDialect {
        /// The dialect.
        dialect: String,
    },
    /// The same section twice.
    #[error("`{section}` is already in line {first}")]
    DuplicateSection {
        /// The section, as it is written.
        section: String,
        /// The 1-based line of the first.
        first: u32,
    },
    /// There is nothing to run.
    #[error("has no `-- whimbrel:upgrade`; an empty section is fine")]
    NoUpgrade,
    /// `migration.toml` has a mistake.
    #[error("{0}")]
    Manifest(String),
    /// A section is no backfill.
    #[error("{0}")]
    Backfill(String),
    /// The component does not exist.
    #[error("has not been built; run `whimbrel build`")]
    NotBuilt,
    /// The component does not exist, and nothing here builds it.
    #[error(
        "does not exist; `component` in migration.toml names it, and without `language` nothing builds it"
    )]
    NoComponent,
    /// The component changed after its digest was taken.
    #[error("changed while the run was going on")]
    Changed,
    /// There is a signature, and it is too large to be one.
    #[error("has more than {0} bytes, and should be a signature of minisign")]
    Oversized(usize),
    /// What the component says that it asks for cannot be read.
    #[error("{0}; build it again")]
    Seal(String),
    /// A parameter of the run that does not fit the migration's.
    #[error("-x {name}={given}: the parameter is a {expected}")]
    Parameter {
        /// The parameter.
        name: String,
        /// What was given.
        given: String,
        /// The type of the default in `[params]`.
        expected: &'static str,
    },
}

fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |word| format!("; did you mean `{word}`?"))
}

impl SourceError {
    /// A problem with a file as a whole.
    pub(super) fn new(path: impl Into<Utf8PathBuf>, problem: Problem) -> Self {
        Self {
            path: path.into(),
            line: None,
            problem,
        }
    }

    /// The file system's refusal.
    pub(super) fn io(path: impl Into<Utf8PathBuf>, error: io::Error) -> Self {
        let problem = if leads_outside(&error) {
            Problem::Outside
        } else {
            Problem::Unreadable(error)
        };
        Self::new(path, problem)
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.path)?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        write!(f, " {}", self.problem)
    }
}

impl Error for SourceError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        // The problem is in the message already.
        self.problem.source()
    }
}

/// Everything that is wrong with the files of a project; never empty, in the order of the paths.
#[derive(Debug, Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct SourceErrors(pub Vec<SourceError>);
