//! `migration.toml`: what a component migration says about itself.

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::declaration::{At, Declaration};
use super::error::{Problem, SourceError};
use super::seal::Seal;
use crate::capability::{Grant, Limits, Request};
use crate::document::{self, DocumentError, line_at};
use crate::revision::{Kind, Revision, Transactional};

/// The file that makes a folder a migration.
pub const MANIFEST_FILE: &str = "migration.toml";

/// What a component migration needs beyond its place in the graph.
#[derive(Debug, Clone, Default)]
pub struct Manifest {
    /// What it is written in, where it is built here.
    pub language: Option<String>,
    /// The component, relative to the migration's folder.
    pub component: Utf8PathBuf,
    /// `[capabilities]`: what it asks for.
    pub capabilities: Request,
    /// `[limits]`.
    pub limits: Limits,
    /// `[params]`: the parameters with their defaults.
    pub params: serde_json::Map<String, serde_json::Value>,
}

/// The file as it stands on disk.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ManifestFile {
    id: Option<Spanned<String>>,
    revises: Option<Spanned<Names>>,
    depends_on: Option<Spanned<Names>>,
    labels: Option<Spanned<Names>>,
    message: Option<Spanned<String>>,
    created: Option<Spanned<Time>>,
    #[serde(default, deserialize_with = "transactional")]
    transaction: Transactional,
    language: Option<String>,
    #[serde(default = "default_component")]
    component: String,
    #[serde(default)]
    capabilities: Request,
    #[serde(default)]
    limits: Limits,
    #[serde(default, deserialize_with = "params")]
    params: serde_json::Map<String, serde_json::Value>,
}

/// One name or a list of them.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected a name or a list of names, such as \"5d0e11aa2b3c\" or [\"5d0e11aa2b3c\", \"77aa01020304\"]"
)]
enum Names {
    One(String),
    Many(Vec<String>),
}

/// A time, in quotes or as TOML has it.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a time such as 2026-11-22T10:00:00Z")]
enum Time {
    Toml(toml::value::Datetime),
    Text(String),
}

/// `true`, `false` or `"migration"`.
fn transactional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Transactional, D::Error> {
    #[derive(Deserialize)]
    #[serde(
        untagged,
        expecting = "expected `true`, `false`, \"migration\" or \"batches\""
    )]
    enum Given {
        Truth(bool),
        Word(String),
    }
    match Given::deserialize(deserializer)? {
        Given::Truth(true) => Ok(Transactional::Yes),
        Given::Truth(false) => Ok(Transactional::No),
        Given::Word(word) if word == "migration" => Ok(Transactional::Alone),
        Given::Word(word) if word == "batches" => Ok(Transactional::Batches),
        Given::Word(word) => Err(serde::de::Error::custom(format!(
            "transaction = \"{word}\" is not known; use true, false, \"migration\" or, for a backfill, \"batches\""
        ))),
    }
}

fn default_component() -> String {
    "migration.wasm".to_owned()
}

fn params<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<serde_json::Map<String, serde_json::Value>, D::Error> {
    let table = toml::Table::deserialize(deserializer)?;
    Ok(table.into_iter().map(|(k, v)| (k, json(v))).collect())
}

fn json(value: toml::Value) -> serde_json::Value {
    match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(truth) => truth.into(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(items) => items.into_iter().map(json).collect(),
        toml::Value::Table(table) => table.into_iter().map(|(k, v)| (k, json(v))).collect(),
    }
}

impl Manifest {
    /// What it asks for, as a grant.
    pub fn grant(&self) -> Grant {
        Grant {
            limits: self.limits,
            ..Grant::only(self.capabilities.capabilities.clone())
        }
    }

    /// What it asks for, as the component says it.
    pub fn seal(&self) -> Seal {
        Seal::new(self.capabilities.clone(), self.limits)
    }

    /// Reads the manifest of the migration in `folder`.
    pub(super) fn parse(
        folder: &Utf8Path,
        path: &Utf8Path,
        content: Vec<u8>,
    ) -> Result<(Revision, Self), Vec<SourceError>> {
        let text = String::from_utf8(content)
            .map_err(|_| vec![SourceError::new(path, Problem::NotUtf8)])?;
        let file: ManifestFile =
            document::parse(&text).map_err(|DocumentError { line, message }| {
                vec![SourceError {
                    path: path.to_owned(),
                    line,
                    problem: Problem::Manifest(message),
                }]
            })?;

        let declaration = Declaration {
            id: file.id.map(|id| at(&text, id)),
            revises: file.revises.map(|names| at(&text, names)),
            depends_on: file.depends_on.map(|names| at(&text, names)),
            labels: file.labels.map(|names| at(&text, names)),
            message: file.message.map(|message| at(&text, message)),
            created: file.created.map(|time| at(&text, time)),
            transactional: file.transaction,
        };
        let manifest = Self {
            language: file.language,
            component: file.component.into(),
            capabilities: file.capabilities,
            limits: file.limits,
            params: file.params,
        };
        let mut errors = Vec::new();
        let name = folder.file_name().unwrap_or_default();
        match declaration.check(path, name, Kind::Component, &mut errors) {
            Some(revision) if errors.is_empty() => Ok((
                Revision {
                    path: folder.to_owned(),
                    ..revision
                },
                manifest,
            )),
            _ => Err(errors),
        }
    }
}

fn at<T, U: From<T>>(text: &str, spanned: Spanned<T>) -> At<U> {
    At {
        line: line_at(text, spanned.span().start),
        value: spanned.into_inner().into(),
    }
}

impl From<Names> for Vec<String> {
    fn from(names: Names) -> Self {
        match names {
            Names::One(name) => vec![name],
            Names::Many(names) => names,
        }
    }
}

impl From<Time> for String {
    fn from(time: Time) -> Self {
        match time {
            Time::Toml(time) => time.to_string(),
            Time::Text(text) => text,
        }
    }
}
