//! Reading the migrations while the database is asked for its state.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::task::{JoinHandle, spawn_blocking};

use super::settled::{Place, Settled, Unsettled};
use super::{Project, ProjectError, RunOptions, open_driver};
use crate::config::{Config, VersionTable};
use crate::driver::{Driver, DriverError};
use crate::engine::{Engine, ReadAhead};
use crate::event::RunReport;
use crate::history::History;
use crate::revision::{Direction, RevisionId};
use crate::target::Target;

/// How a run starts.
pub enum Start {
    /// With nothing to do, as is known without reading the migrations.
    Settled {
        /// What it reports.
        report: RunReport,
        /// The driver of its database.
        driver: Arc<dyn Driver>,
    },
    /// With an engine over the migrations.
    Open(Arc<Project>, Box<Engine>),
}

impl Project {
    /// Reads the migrations on a thread of their own while the database is asked for its state. Returns an engine
    /// that goes on from there.
    ///
    /// # Errors
    /// As [`Project::open`]; that error comes first, since it needs no database to be seen.
    pub async fn open_and_connect(
        config: &Config,
        options: RunOptions,
    ) -> Result<(Arc<Self>, Engine), ProjectError> {
        let reader = read(config);
        let connection = Connection::new(config).await?;
        connection.engine(joined(reader).await?, options)
    }

    /// As [`Project::open_and_connect`], for a run to `target`. Reads no migrations where none has changed since a run
    /// to the heads had nothing to do, and the database has all of them applied.
    ///
    /// # Errors
    /// As [`Project::open_and_connect`].
    pub async fn start(
        config: &Config,
        options: RunOptions,
        target: &Target,
        direction: Direction,
    ) -> Result<Start, ProjectError> {
        if !Settled::can_tell(target, direction) {
            let (project, engine) = Self::open_and_connect(config, options).await?;
            return Ok(Start::Open(project, Box::new(engine)));
        }
        let started = Instant::now();
        let reader = recall_or_read(config);
        let connection = Connection::new(config).await?;
        let project = match joined(reader).await? {
            Found::Project(project) => *project,
            Found::Settled(settled) => match connection.settled(settled, target) {
                Some(heads) => {
                    let report = RunReport {
                        direction,
                        steps: Vec::new(),
                        detached: Vec::new(),
                        heads,
                        duration: started.elapsed(),
                    };
                    let driver = connection.driver;
                    return Ok(Start::Settled { report, driver });
                }
                None => joined(read(config)).await?,
            },
        };
        let (project, engine) = connection.engine(project, options)?;
        Ok(Start::Open(project, Box::new(engine)))
    }
}

/// A database that was asked for its state.
struct Connection {
    driver: Arc<dyn Driver>,
    table: VersionTable,
    read_ahead: Result<ReadAhead, DriverError>,
}

impl Connection {
    async fn new(config: &Config) -> Result<Self, ProjectError> {
        let driver = open_driver(config)?;
        let table = config.version_table.clone();
        let history = History::new(&table, driver.dialect());
        let read_ahead = ReadAhead::new(&*driver, &history).await;
        Ok(Self {
            driver,
            table,
            read_ahead,
        })
    }

    fn settled(&self, settled: Settled, target: &Target) -> Option<Vec<RevisionId>> {
        let glance = self.read_ahead.as_ref().ok()?.glance()?;
        settled.reached(target, glance)
    }

    fn engine(
        self,
        project: Project,
        options: RunOptions,
    ) -> Result<(Arc<Project>, Engine), ProjectError> {
        let project = Arc::new(project);
        let mut engine = project.engine(self.driver, &self.table, options);
        engine.read_ahead = Mutex::new(Some(self.read_ahead?));
        Ok((project, engine))
    }
}

/// What was found on disk.
enum Found {
    Settled(Settled),
    Project(Box<Project>),
}

fn recall_or_read(config: &Config) -> JoinHandle<Result<Found, ProjectError>> {
    let config = config.clone();
    spawn_blocking(move || {
        let place = Place::new(&config, None);
        if let Some(settled) = place.as_ref().and_then(Place::recall) {
            return Ok(Found::Settled(settled));
        }
        let unsettled = place.map(Unsettled::new);
        let project = Project::open(&config)?;
        Ok(Found::Project(Box::new(Project {
            unsettled,
            ..project
        })))
    })
}

fn read(config: &Config) -> JoinHandle<Result<Project, ProjectError>> {
    let config = config.clone();
    spawn_blocking(move || Project::open(&config))
}

async fn joined<T>(reader: JoinHandle<Result<T, ProjectError>>) -> Result<T, ProjectError> {
    reader
        .await
        .unwrap_or_else(|ended| std::panic::resume_unwind(ended.into_panic()))
}
