//! An application that brings its own database up to date, with its migrations inside its binary.

use std::sync::Arc;
use std::time::Duration;

use camino::Utf8Path;
pub use include_dir;
use include_dir::Dir;

use crate::config::{DEFAULT_LOCK_TIMEOUT, VersionTable};
use crate::driver::{self, DriverError, Isolation, RunLockKind, Settings};
use crate::engine::Engine;
use crate::policy::Policy;
use crate::project::{Project, ProjectError, RunOptions};

/// Migrations that are part of a program.
///
/// A change of a migration reaches the program when it is compiled again. `include_dir!` does not see a file that is
/// new, so that the program's `build.rs` should say `println!("cargo::rerun-if-changed=migrations")`.
///
/// Components are included as they were built: `whimbrel build` comes before `cargo build`, and nothing is compiled
/// from source at run time.
///
/// ```
/// use whimbrel::embedded::Embedded;
/// use whimbrel::embedded::include_dir::{Dir, include_dir};
/// use whimbrel::policy::Policy;
/// use whimbrel::project::RunOptions;
///
/// static MIGRATIONS: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../examples/embed/migrations");
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let policy = Policy::parse(
///     "[[rule]]\nkind = \"component\"\ngrant = [\"select *\", \"update notes\"]\ncap = { time = \"1m\" }\n",
/// )?;
/// let engine = Embedded::read(&MIGRATIONS)?
///     .with_policy(policy)
///     .engine("sqlite:notes.db", RunOptions::default())?;
/// # let _ = engine;
/// # Ok(())
/// # }
/// ```
pub struct Embedded {
    project: Arc<Project>,
    version_table: VersionTable,
    lock_timeout: Duration,
}

impl Embedded {
    /// Reads the migrations that [`include_dir!`](include_dir::include_dir) put into the binary.
    ///
    /// # Errors
    /// Everything that is wrong with any of them, or with how they refer to each other.
    pub fn read(migrations: &'static Dir<'static>) -> Result<Self, ProjectError> {
        let project = Project::read(Arc::new(migrations.clone()), Utf8Path::new("."))?;
        Ok(Self {
            project: Arc::new(project),
            version_table: VersionTable::default(),
            lock_timeout: DEFAULT_LOCK_TIMEOUT,
        })
    }

    /// Keeps the applied heads in another table than `whimbrel_version`.
    #[must_use]
    pub fn with_version_table(mut self, table: VersionTable) -> Self {
        self.version_table = table;
        self
    }

    /// Lets a statement wait for a lock of the database for another time than three seconds.
    #[must_use]
    pub fn with_lock_timeout(mut self, timeout: Duration) -> Self {
        self.lock_timeout = timeout;
        self
    }

    /// Holds the migrations to the rules of an operator: components may what rules grant them, SQL files what
    /// [`SQL_DEFAULT`](crate::policy::SQL_DEFAULT) and rules say. Without a policy, a component may do what its manifest asks
    /// for, and a SQL file everything. A `policy.toml` among the migrations is not looked at: whoever can change the
    /// migrations could change it.
    #[must_use]
    pub fn with_policy(self, policy: Policy) -> Self {
        Self {
            project: Arc::new(self.project.under(policy)),
            ..self
        }
    }

    /// The migrations and their graph.
    pub fn project(&self) -> &Arc<Project> {
        &self.project
    }

    /// An engine for one database. Does not connect. A relative path in `url` starts from the folder that the
    /// program runs in.
    ///
    /// # Errors
    /// [`DriverError::Settings`] when no driver knows the URL or a part of it makes no sense.
    pub fn engine(&self, url: &str, options: RunOptions) -> Result<Engine, DriverError> {
        let settings = Settings {
            lock_timeout: self.lock_timeout,
            version_table: self.version_table.to_string(),
            run_lock: RunLockKind::Auto,
            isolation: Isolation::None,
        };
        let driver = driver::open(url, Utf8Path::new("."), &settings)?;
        Ok(self.project.engine(driver, &self.version_table, options))
    }
}
