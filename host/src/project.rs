//! A user's project: everything that the engine needs, put together.

mod approval;
mod build;
mod decision;
mod learned;
mod library;
mod policy_file;
mod settled;
mod start;

use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use camino::Utf8PathBuf;
use thiserror::Error;

pub use approval::Petition;
pub use build::{BuildFailure, Built, Pinning, Rebuild, WORK_FOLDER};
pub use decision::ASK_THE_OPERATOR;
pub use learned::RequestError;
pub use start::Start;

use crate::config::{Config, ConfigError, Folders, VersionTable};
use crate::driver::{self, Driver, DriverError, Settings};
use crate::engine::{Backfills, Engine, Patience};
use crate::event::{Observer, RunReport};
use crate::graph::{Graph, GraphErrors};
use crate::history::History;
use crate::journal::{Journal, Recorded, Replayed};
use crate::migration::{Cancel, MigrationError};
use crate::policy::Policy;
use crate::revision::TransactionMode;
use crate::source::{Files, Migrations, SourceErrors};
use crate::wasm::Runtime;
use library::ProjectLibrary;
use settled::Unsettled;

/// Why a project cannot be worked on.
#[derive(Debug, Error)]
pub enum ProjectError {
    /// Its settings make no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Some of its migrations cannot be read.
    #[error(transparent)]
    Source(#[from] SourceErrors),
    /// Its migrations do not make a graph.
    #[error(transparent)]
    Graph(#[from] GraphErrors),
    /// The operator's policy cannot be used.
    #[error("{path}{}: {message}", .line.map(|line| format!(":{line}")).unwrap_or_default())]
    Policy {
        /// The file.
        path: Utf8PathBuf,
        /// The 1-based line, where it is known.
        line: Option<u32>,
        /// The mistake.
        message: String,
    },
    /// Its database cannot be reached, or its address makes no sense.
    #[error(transparent)]
    Driver(#[from] DriverError),
}

/// The migrations of a project and the graph that they make.
pub struct Project {
    files: Arc<dyn Files>,
    folders: Folders,
    /// Replaced as a whole when components have been built.
    migrations: RwLock<Arc<Migrations>>,
    graph: Arc<Graph>,
    runtime: Runtime,
    policy: Option<Policy>,
    /// The labels that hold at each revision, once a rule has asked.
    labels: OnceLock<Vec<Vec<String>>>,
    /// What a run that finds nothing to do leaves a record of.
    unsettled: Option<Unsettled>,
}

/// How a run is to be done, beyond where it goes.
pub struct RunOptions {
    /// Where its events go.
    pub observer: Arc<dyn Observer>,
    /// What makes it stop.
    pub cancel: Cancel,
    /// How patient it is.
    pub patience: Patience,
    /// The parameters of the run (`-x`).
    pub parameters: std::collections::BTreeMap<String, String>,
    /// How steps share transactions.
    pub transaction: TransactionMode,
    /// Whether components are built and pinned first.
    pub pinning: Pinning,
    /// Where to back the database up before a run changes anything, if it is to be. A relative path starts from the folder
    /// that the program runs in.
    pub backup: Option<Utf8PathBuf>,
    /// How it treats backfills.
    pub backfills: Backfills,
    /// Where to write down what components are told and answered, if anywhere.
    pub journal: Option<Journal>,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            observer: Arc::new(crate::event::Ignore),
            cancel: Cancel::default(),
            patience: Patience::default(),
            parameters: std::collections::BTreeMap::new(),
            transaction: TransactionMode::default(),
            pinning: Pinning::AsIs,
            backup: None,
            backfills: Backfills::default(),
            journal: None,
        }
    }
}

impl Project {
    /// Reads the migrations in some folders.
    ///
    /// # Errors
    /// Everything that is wrong with any of them, or with how they refer to each other.
    pub fn read(files: Arc<dyn Files>, folders: impl Into<Folders>) -> Result<Self, ProjectError> {
        let folders = folders.into();
        let migrations = Migrations::read(Arc::clone(&files), &folders)?;
        let graph = Graph::new(migrations.revisions())?;
        Ok(Self {
            files,
            folders,
            migrations: RwLock::new(Arc::new(migrations)),
            graph: Arc::new(graph),
            runtime: Runtime::new(),
            policy: None,
            labels: OnceLock::new(),
            unsettled: None,
        })
    }

    /// Reads the migrations of a project on disk.
    ///
    /// # Errors
    /// As [`Project::read`].
    pub fn open(config: &Config) -> Result<Self, ProjectError> {
        let root: Arc<dyn Files> = Arc::clone(&config.root) as Arc<dyn Files>;
        Ok(Self {
            policy: policy_file::read(config)?,
            ..Self::read(root, config.migrations.clone())?
        })
    }

    /// The revision graph.
    pub fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    /// The migrations as they were last read.
    pub fn migrations(&self) -> Arc<Migrations> {
        let migrations = self.migrations.read();
        Arc::clone(&migrations.unwrap_or_else(PoisonError::into_inner))
    }

    /// What the project's components run in.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// An engine that brings a database along this project's graph.
    pub fn engine(
        self: &Arc<Self>,
        driver: Arc<dyn Driver>,
        table: &VersionTable,
        options: RunOptions,
    ) -> Engine {
        let dialect = driver.dialect();
        Engine {
            history: History::new(table, dialect),
            version_table: table.to_string(),
            graph: Arc::clone(&self.graph),
            library: Arc::new(ProjectLibrary::new(
                Arc::clone(self),
                dialect,
                options.parameters,
                options.pinning,
                Arc::clone(&options.observer),
                options.journal,
            )),
            transaction: options.transaction,
            patience: options.patience,
            observer: options.observer,
            cancel: options.cancel,
            backup: options.backup,
            backfills: options.backfills,
            read_ahead: Mutex::default(),
            driver,
        }
    }

    /// Runs a call of a component again over the journal that it left, without a database. The limits are those of the
    /// migration as it is now.
    ///
    /// # Errors
    /// [`MigrationError::Admission`] when the project has no such component, or it cannot be loaded.
    pub async fn replay(self: &Arc<Self>, recorded: &Recorded) -> Result<Replayed, MigrationError> {
        let library = ProjectLibrary::new(
            Arc::clone(self),
            recorded.told.dialect,
            std::collections::BTreeMap::new(),
            Pinning::AsIs,
            Arc::new(crate::event::Ignore),
            None,
        );
        library.replay(recorded).await
    }

    /// Leaves a record for later runs of one that [`start`](Project::start) began and that had nothing to do. Does
    /// nothing where there can be none.
    pub fn remember(&self, report: &RunReport) {
        if let (Some(unsettled), []) = (&self.unsettled, report.steps.as_slice()) {
            // Without a record, the next run reads the migrations as this one did.
            unsettled.remember(self).ok();
        }
    }

    /// Reads the migrations again: their components have been built.
    fn reread(&self) -> Result<(), SourceErrors> {
        let migrations = Migrations::read(Arc::clone(&self.files), &self.folders)?;
        let mut current = self
            .migrations
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(migrations);
        Ok(())
    }
}

/// The driver for the database that the settings name. Does not connect.
///
/// # Errors
/// When no database is set, or its address makes no sense.
pub fn open_driver(config: &Config) -> Result<Arc<dyn Driver>, ProjectError> {
    let database = config.database()?;
    let settings: Settings = config.driver_settings()?;
    Ok(driver::open(database.url(), database.base(), &settings)?)
}
