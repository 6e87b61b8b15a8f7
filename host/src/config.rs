//! The project's settings: file, environment and flags.

mod database;
mod error;
mod file;
mod folders;
mod naming;
mod root;
mod version_table;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

pub use database::{Database, TemplateError};
pub use error::ConfigError;
pub use folders::{Folders, Nesting};
pub use naming::{Naming, NamingError};
pub(crate) use root::leads_outside;
pub use root::{CONFIG_FILE, Root};
pub use version_table::{InvalidTable, VersionTable};

use crate::driver::{GuestRole, Isolation, RunLockKind, Settings};
use crate::revision::TransactionMode;
use file::{ConfigFile, IsolationKind};

/// How long a statement waits for a lock of the database where nobody says otherwise.
pub const DEFAULT_LOCK_TIMEOUT: Duration = Duration::from_secs(3);

/// Looks up a variable of the environment; unset and not Unicode are the same to it.
pub type Environment = fn(&str) -> Option<String>;

/// The environment of this process.
pub fn process_environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// What the command line sets over the file.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--database`: a name from the file, or a URL.
    pub database: Option<String>,
    /// `-x key=value`, in order; a later one replaces an earlier one.
    pub parameters: Vec<String>,
    /// Where a relative path in `--database` starts: the folder that the command runs in.
    pub directory: Utf8PathBuf,
}

/// The settings of a project. The database is looked up only when it is asked for: most commands need none.
#[derive(Debug, Clone)]
pub struct Config {
    /// The project's folder.
    pub root: Arc<Root>,
    /// The folders of the migrations.
    pub migrations: Folders,
    /// How new migrations are named.
    pub naming: Naming,
    /// Commands that are run on each new migration.
    pub post_write: Vec<String>,
    /// The table of the applied heads.
    pub version_table: VersionTable,
    /// How steps share transactions.
    pub transaction: TransactionMode,
    /// How long a statement waits for a lock of the database.
    pub lock_timeout: Duration,
    /// How runs on PostgreSQL keep each other out.
    pub run_lock: RunLockKind,
    /// The parameters of the run (`-x`), by name, as they were written.
    pub parameters: BTreeMap<String, String>,
    file: ConfigFile,
    flags: Flags,
    environment: Environment,
}

impl Config {
    /// Reads the file of a project and puts the flags over it.
    ///
    /// # Errors
    /// [`ConfigError`], with the file and the line of what makes no sense.
    pub fn load(
        root: Arc<Root>,
        flags: Flags,
        environment: Environment,
    ) -> Result<Self, ConfigError> {
        let file = ConfigFile::read(&root)?;
        let naming = Naming::new(&file.file_template, file.slug_length).map_err(|error| {
            ConfigError::Invalid {
                path: root.file().to_owned(),
                line: None,
                message: format!("file_template: {error}"),
            }
        })?;
        if file.isolation == IsolationKind::Role && file.guest_role.is_none() {
            return Err(ConfigError::Invalid {
                path: root.file().to_owned(),
                line: None,
                message:
                    "isolation = \"role\" needs `guest_role`, the role that migrations log in as"
                        .to_owned(),
            });
        }
        Ok(Self {
            migrations: Folders {
                paths: file.migrations.clone(),
                nesting: file.recursive,
            },
            naming,
            post_write: file.post_write.clone(),
            version_table: file.version_table.clone(),
            transaction: file.transaction,
            lock_timeout: file.lock_timeout,
            run_lock: file.run_lock,
            parameters: parameters(&flags.parameters)?,
            root,
            file,
            flags,
            environment,
        })
    }

    /// The database to work on: `--database` (a URL, or a name in the file), else `WHIMBREL_DATABASE_URL`, else
    /// `DATABASE_URL`, else the file's `database`.
    ///
    /// # Errors
    /// When none is set, the name is not in the file, or the address reads a variable that is not set.
    pub fn database(&self) -> Result<Database, ConfigError> {
        if let Some(given) = &self.flags.database {
            if given.contains(':') {
                return Ok(Database::new(given.clone(), self.flags.directory.clone()));
            }
            let setting = format!("databases.{given}.url");
            return self.in_project(&setting, self.file.named(given, self.root.file())?);
        }
        for name in ["WHIMBREL_DATABASE_URL", "DATABASE_URL"] {
            if let Some(url) = (self.environment)(name).filter(|url| !url.is_empty()) {
                return Ok(Database::new(url, self.root.path().to_owned()));
            }
        }
        match &self.file.database {
            Some(template) => self.in_project("database", template),
            None => Err(ConfigError::NoDatabase {
                path: self.root.file().to_owned(),
                known: self.file.names(),
            }),
        }
    }

    fn in_project(&self, setting: &str, template: &str) -> Result<Database, ConfigError> {
        let url = database::expand(template, self.environment).map_err(|problem| {
            ConfigError::Template {
                path: self.root.file().to_owned(),
                setting: setting.to_owned(),
                problem,
            }
        })?;
        Ok(Database::new(url, self.root.path().to_owned()))
    }

    /// The password of the role that isolated migrations log in as, where the file has one.
    ///
    /// # Errors
    /// When it reads a variable that is not set.
    pub fn guest_password(&self) -> Result<Option<String>, ConfigError> {
        let Some(template) = &self.file.guest_password else {
            return Ok(None);
        };
        let password = database::expand(template, self.environment);
        password.map(Some).map_err(|problem| ConfigError::Template {
            path: self.root.file().to_owned(),
            setting: "guest_password".to_owned(),
            problem,
        })
    }

    /// How backfills run, as changes of the settings of [`crate::backfill::Settings`].
    pub fn backfill(&self) -> &[String] {
        &self.file.backfill
    }

    /// The file with the operator's policy, relative to the project, where the settings name one.
    pub fn policy(&self) -> Option<&Utf8Path> {
        self.file.policy.as_deref()
    }

    /// What a driver is told.
    ///
    /// # Errors
    /// As [`Config::guest_password`], where migrations are to be isolated.
    pub fn driver_settings(&self) -> Result<Settings, ConfigError> {
        let isolation = match (&self.file.isolation, &self.file.guest_role) {
            (IsolationKind::Role, Some(role)) => {
                Isolation::Role(GuestRole::new(role, self.guest_password()?))
            }
            _ => Isolation::None,
        };
        Ok(Settings {
            lock_timeout: self.lock_timeout,
            version_table: self.version_table.to_string(),
            run_lock: self.run_lock,
            isolation,
        })
    }

    /// The path of the configuration file, for messages.
    pub fn path(&self) -> &Utf8Path {
        self.root.file()
    }
}

fn parameters(given: &[String]) -> Result<BTreeMap<String, String>, ConfigError> {
    given
        .iter()
        .map(|text| match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
            _ => Err(ConfigError::Parameter {
                given: text.clone(),
            }),
        })
        .collect()
}

#[cfg(test)]
mod tests;
