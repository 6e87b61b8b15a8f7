//! `whimbrel.toml` as it stands on disk.

use std::collections::BTreeMap;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use jiff::SignedDuration;
use serde::{Deserialize, Deserializer, de};

use super::{ConfigError, DEFAULT_LOCK_TIMEOUT, Nesting, Root, VersionTable};
use crate::backfill::Settings;
use crate::document::{self, DocumentError, nearest};
use crate::driver::RunLockKind;
use crate::revision::TransactionMode;

/// The file with its defaults filled in.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConfigFile {
    #[serde(default = "default_migrations", deserialize_with = "paths")]
    pub(super) migrations: Vec<Utf8PathBuf>,
    #[serde(default, deserialize_with = "nesting")]
    pub(super) recursive: Nesting,
    #[serde(default = "default_file_template")]
    pub(super) file_template: String,
    #[serde(default = "default_slug_length")]
    pub(super) slug_length: usize,
    #[serde(default)]
    pub(super) post_write: Vec<String>,
    pub(super) database: Option<String>,
    #[serde(default)]
    pub(super) version_table: VersionTable,
    #[serde(default, deserialize_with = "transaction_mode")]
    pub(super) transaction: TransactionMode,
    #[serde(default = "default_lock_timeout", deserialize_with = "duration")]
    pub(super) lock_timeout: Duration,
    #[serde(default, deserialize_with = "run_lock")]
    pub(super) run_lock: RunLockKind,
    #[serde(default, deserialize_with = "isolation")]
    pub(super) isolation: IsolationKind,
    pub(super) policy: Option<Utf8PathBuf>,
    pub(super) guest_role: Option<String>,
    pub(super) guest_password: Option<String>,
    #[serde(default, deserialize_with = "backfill_settings")]
    pub(super) backfill: Vec<String>,
    #[serde(default)]
    databases: BTreeMap<String, NamedDatabase>,
}

/// `isolation`, before it is known which role it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum IsolationKind {
    #[default]
    None,
    Role,
}

/// One `[databases.NAME]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedDatabase {
    url: String,
}

fn default_migrations() -> Vec<Utf8PathBuf> {
    vec!["migrations".into()]
}

fn default_file_template() -> String {
    "{id}_{slug}".to_owned()
}

fn default_slug_length() -> usize {
    40
}

fn default_lock_timeout() -> Duration {
    DEFAULT_LOCK_TIMEOUT
}

impl ConfigFile {
    pub(super) fn read(root: &Root) -> Result<Self, ConfigError> {
        let text = root.read_config()?;
        document::parse(&text).map_err(|DocumentError { line, message }| ConfigError::Invalid {
            path: root.file().to_owned(),
            line,
            message,
        })
    }

    /// The names of the databases that the file names.
    pub(super) fn names(&self) -> Vec<String> {
        self.databases.keys().cloned().collect()
    }

    /// The address of a database that the file names; `path` is the file, for the error.
    pub(super) fn named(&self, name: &str, path: &Utf8Path) -> Result<&str, ConfigError> {
        match self.databases.get(name) {
            Some(database) => Ok(&database.url),
            None => Err(ConfigError::UnknownDatabase {
                path: path.to_owned(),
                name: name.to_owned(),
                known: self.names(),
                suggestion: nearest(name, self.databases.keys().map(String::as_str))
                    .map(str::to_owned),
            }),
        }
    }
}

/// One folder, or several.
fn paths<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Utf8PathBuf>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a folder, or a list of folders")]
    enum OneOrMore {
        One(String),
        More(Vec<String>),
    }
    match OneOrMore::deserialize(deserializer)? {
        OneOrMore::One(path) => Ok(vec![path.into()]),
        OneOrMore::More(paths) if paths.is_empty() => {
            Err(de::Error::custom("`migrations` names no folder"))
        }
        OneOrMore::More(paths) => Ok(paths.into_iter().map(Utf8PathBuf::from).collect()),
    }
}

fn nesting<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Nesting, D::Error> {
    Ok(match bool::deserialize(deserializer)? {
        true => Nesting::Nested,
        false => Nesting::Flat,
    })
}

fn transaction_mode<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<TransactionMode, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.as_str() {
        "migration" => Ok(TransactionMode::Migration),
        "run" => Ok(TransactionMode::Run),
        other => Err(de::Error::custom(format!(
            "transaction = \"{other}\" is not known; use \"migration\" (one for each migration) or \"run\" (one for all \
             that a command runs)"
        ))),
    }
}

fn run_lock<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RunLockKind, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.as_str() {
        "auto" => Ok(RunLockKind::Auto),
        "session" => Ok(RunLockKind::Session),
        "lease" => Ok(RunLockKind::Lease),
        other => Err(de::Error::custom(format!(
            "run_lock = \"{other}\" is not known; use \"auto\", \"session\" or \"lease\""
        ))),
    }
}

/// `[backfill]`, as changes of the settings that there are without it.
fn backfill_settings<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let table = toml::Table::deserialize(deserializer)?;
    let mut settings = Settings::default();
    let changes = table.into_iter().map(|(name, value)| {
        let value = match value {
            toml::Value::String(text) => text,
            other => other.to_string(),
        };
        let change = format!("{name}={value}");
        settings
            .set(&change)
            .map(|()| change)
            .map_err(|error| de::Error::custom(format!("[backfill]: {error}")))
    });
    changes.collect()
}

fn isolation<'de, D: Deserializer<'de>>(deserializer: D) -> Result<IsolationKind, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.as_str() {
        "none" => Ok(IsolationKind::None),
        "role" => Ok(IsolationKind::Role),
        other => Err(de::Error::custom(format!(
            "isolation = \"{other}\" is not known; use \"none\", or \"role\" with `guest_role`"
        ))),
    }
}

/// A time as people write it: `3s`, `500ms`, `1m 30s`.
fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse::<SignedDuration>()
        .ok()
        .and_then(|duration| Duration::try_from(duration).ok())
        .ok_or_else(|| {
            de::Error::custom(format!(
                "`{text}` is not a duration; write for example \"3s\", \"500ms\" or \"1m 30s\""
            ))
        })
}
