//! What commands work with: settings, project, database.

use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use whimbrel::config::{self, Config, Root};
use whimbrel::engine::Engine;
use whimbrel::graph::{Graph, Position};
use whimbrel::project::{Project, RunOptions, open_driver};
use whimbrel::target::{Target, TargetError};

use super::failure::Failure;
use super::global::Global;
use super::report::Report;
use super::same_command;

/// The flags, and the way out.
pub(crate) struct Context {
    pub(crate) report: Report,
    global: Global,
}

/// An open project whose database has answered.
pub(crate) struct Connected {
    pub(crate) project: Arc<Project>,
    pub(crate) engine: Engine,
}

impl Context {
    pub(crate) fn new(report: Report, global: Global) -> Self {
        Self { report, global }
    }

    /// The folder to work in.
    pub(crate) fn directory(&self) -> &Utf8Path {
        &self.global.directory
    }

    /// A path that stands on the command line.
    pub(crate) fn path(&self, path: &Utf8Path) -> Utf8PathBuf {
        match self.directory().as_str() {
            "." => path.to_owned(),
            _ => self.directory().join(path),
        }
    }

    /// The program with the flags that say which project and which database, as a command to run again.
    pub(crate) fn program(&self) -> String {
        same_command::program(&self.global)
    }

    /// The command that goes back to a backup of the database that the flags name.
    pub(crate) fn way_back(&self, file: &Utf8Path) -> String {
        same_command::restore(&self.global, file)
    }

    /// The settings of the project here.
    pub(crate) fn config(&self) -> Result<Config, Failure> {
        let root = Root::find(self.directory(), self.global.config.as_deref())?;
        let flags = self.global.flags();
        Ok(Config::load(
            Arc::new(root),
            flags,
            config::process_environment,
        )?)
    }

    /// The settings and the migrations, without the database. They are kept until the process ends, as those of a
    /// [`Connected`] are.
    pub(crate) fn project(&self) -> Result<(Config, Arc<Project>), Failure> {
        let config = self.config()?;
        let project = Arc::new(Project::open(&config)?);
        std::mem::forget(Arc::clone(&project));
        Ok((config, project))
    }

    /// The migrations, and the rows of the version table.
    pub(crate) fn project_and_rows(&self) -> Result<(Arc<Project>, Vec<String>), Failure> {
        let config = self.config()?;
        block_on(async {
            let connected = self.connect(&config, RunOptions::default()).await?;
            let state = connected.engine.state().await?;
            Ok((Arc::clone(&connected.project), state.rows))
        })
    }

    /// An engine that never asks the database.
    pub(crate) fn offline(&self, config: &Config, options: RunOptions) -> Result<Engine, Failure> {
        let project = Arc::new(Project::open(config)?);
        let driver = open_driver(config)?;
        Ok(project.engine(driver, &config.version_table, options))
    }

    /// The migrations together with the database.
    pub(crate) async fn connect(
        &self,
        config: &Config,
        options: RunOptions,
    ) -> Result<&'static Connected, Failure> {
        let options = RunOptions {
            parameters: config.parameters.clone(),
            ..options
        };
        let (project, engine) = Project::open_and_connect(config, options).await?;
        Ok(Connected::keep(project, engine))
    }
}

impl Connected {
    /// Keeps them until the process ends: to give back each of thousands of migrations takes longer than to leave.
    pub(crate) fn keep(project: Arc<Project>, engine: Engine) -> &'static Self {
        Box::leak(Box::new(Self { project, engine }))
    }
}

/// The revisions that targets name; the database is asked where one of them says `current`.
pub(crate) fn resolve_all(
    context: &Context,
    targets: &[String],
) -> Result<(Arc<Project>, Vec<Position>), Failure> {
    let targets = targets
        .iter()
        .map(|target| target.parse())
        .collect::<Result<Vec<Target>, _>>()?;
    let (project, rows) = if targets.iter().any(Target::names_current) {
        context.project_and_rows()?
    } else {
        (context.project()?.1, Vec::new())
    };
    let graph = project.graph();
    let current: Vec<Position> = rows.iter().filter_map(|row| graph.position(row)).collect();
    let mut positions = Vec::new();
    for target in targets {
        for position in target.resolve(graph, &current)? {
            if !positions.contains(&position) {
                positions.push(position);
            }
        }
    }
    Ok((project, positions))
}

/// Runs the part of a command that talks to a database.
pub(crate) fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::Runtime)?;
    let outcome = runtime.block_on(future);
    // Its threads are idle by now, and need not be waited for.
    runtime.shutdown_background();
    outcome
}

/// The revisions that a target names without asking the database.
pub(crate) fn resolve(graph: &Graph, target: &str) -> Result<Vec<Position>, Failure> {
    let target: Target = target.parse()?;
    if target.names_current() {
        return Err(TargetError::Current(target).into());
    }
    Ok(target.resolve(graph, &[])?)
}
