//! What a command can fail with.

use std::io;

use camino::Utf8PathBuf;
use thiserror::Error;
use whimbrel::config::ConfigError;
use whimbrel::driver::DriverError;
use whimbrel::driver::tape::TapeError;
use whimbrel::engine::{Cause, RunFailure};
use whimbrel::graph::GraphErrors;
use whimbrel::journal::JournalError;
use whimbrel::migration::MigrationError;
use whimbrel::plan::PlanError;
use whimbrel::project::{BuildFailure, ProjectError, RequestError};
use whimbrel::scaffold::ScaffoldError;
use whimbrel::source::{LockFileError, SourceError, SourceErrors};
use whimbrel::target::TargetError;

/// Why a command did not do what it was asked for.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Sources(#[from] SourceErrors),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Graph(#[from] GraphErrors),
    #[error(transparent)]
    Driver(#[from] DriverError),
    #[error(transparent)]
    Run(#[from] RunFailure),
    /// A run failed that had begun with a backup.
    #[error("{failure}")]
    BackedUp {
        failure: RunFailure,
        /// The command that goes back to it.
        way_back: String,
    },
    /// What is to be learned from did not run to its end, on a database for that purpose.
    #[error("{0}")]
    Learning(RunFailure),
    #[error(transparent)]
    Build(Box<BuildFailure>),
    #[error(transparent)]
    Lock(#[from] LockFileError),
    #[error(transparent)]
    Scaffold(#[from] ScaffoldError),
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Tape(#[from] TapeError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A journal cannot be replayed.
    #[error("revision {revision} cannot be replayed")]
    Replay {
        revision: String,
        source: Box<MigrationError>,
    },
    /// The policy cannot be used.
    #[error(transparent)]
    Policy(ProjectError),
    /// The arguments do not make sense together.
    #[error("{0}")]
    Usage(String),
    /// A file that was asked for cannot be written.
    #[error("cannot write {path}")]
    Write {
        path: Utf8PathBuf,
        source: io::Error,
    },
    /// The asynchronous runtime cannot start.
    #[error("cannot start")]
    Runtime(#[source] io::Error),
    /// Ctrl-C cannot be listened to.
    #[error("cannot listen to Ctrl-C")]
    Signals(#[from] ctrlc::Error),
}

impl From<BuildFailure> for Failure {
    fn from(failure: BuildFailure) -> Self {
        Self::Build(Box::new(failure))
    }
}

impl From<ProjectError> for Failure {
    fn from(error: ProjectError) -> Self {
        match error {
            ProjectError::Config(error) => error.into(),
            ProjectError::Source(error) => error.into(),
            ProjectError::Graph(error) => error.into(),
            ProjectError::Driver(error) => error.into(),
            policy @ ProjectError::Policy { .. } => Self::Policy(policy),
        }
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        RunFailure::untouched(Cause::Plan(error)).into()
    }
}
