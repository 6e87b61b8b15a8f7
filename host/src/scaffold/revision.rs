//! A new migration.

use camino::{Utf8Path, Utf8PathBuf};
use jiff::Timestamp;

use super::name::{package, type_name};
use super::template::{create_file, fill};
use super::{ScaffoldError, unpack_sdk};
use crate::config::{Naming, Root};
use crate::revision::RevisionId;

/// What a new migration is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Template {
    /// One file of SQL.
    #[default]
    Sql,
    /// A component, in Rust.
    Rust,
}

/// What a new migration says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRevision {
    /// Its id; [`new_id`](super::new_id) makes one.
    pub id: RevisionId,
    /// What it does, in one line.
    pub message: String,
    /// Its parents; none makes it a base.
    pub revises: Vec<RevisionId>,
    /// What must be applied before it without being its parent.
    pub depends_on: Vec<RevisionId>,
    /// Names for the branch that starts with it.
    pub labels: Vec<String>,
    /// When it is written.
    pub created: Timestamp,
}

const SQL: &str = include_str!("templates/migration.sql");
const RUST: [(&str, &str); 4] = [
    (
        "migration.toml",
        include_str!("templates/rust/migration.toml"),
    ),
    // Not named Cargo.toml, which would make the folder a package of its own.
    ("Cargo.toml", include_str!("templates/rust/package.toml")),
    ("src/lib.rs", include_str!("templates/rust/lib.rs.template")),
    (".gitignore", include_str!("templates/rust/gitignore")),
];

/// The text of a new migration in SQL.
pub fn sql_text(new: &NewRevision) -> String {
    fill(SQL, &[("header", &header(new))])
}

/// Writes the files of a new migration into the folder `migrations` of a project. Returns its file or folder.
///
/// # Errors
/// [`ScaffoldError::Exists`] when there is a file or folder of that name.
pub fn create(
    root: &Root,
    migrations: &Utf8Path,
    new: &NewRevision,
    template: Template,
    naming: &Naming,
) -> Result<Utf8PathBuf, ScaffoldError> {
    let dir = root.dir();
    let slug = naming.slug(&new.message);
    let name = naming.name(&new.id, &new.message, new.created);
    dir.create_dir_all(migrations)
        .map_err(|error| ScaffoldError::io(migrations, error))?;
    match template {
        Template::Sql => {
            let path = plain(migrations).join(format!("{name}.sql"));
            create_file(dir, &path, &sql_text(new))?;
            Ok(path)
        }
        Template::Rust => {
            let folder = plain(migrations).join(name);
            let package = package(&slug);
            let type_name = type_name(&package);
            let up = "../".repeat(folder.components().count());
            let values = [
                ("keys", manifest_keys(new)),
                ("package", package.clone()),
                ("type", type_name),
                ("table", format!("{}_example", package.replace('-', "_"))),
                ("sdk", format!("{up}.whimbrel/sdk/rust")),
                ("message", one_line(&new.message)),
            ];
            let values: Vec<(&str, &str)> = values
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            dir.create_dir(&folder)
                .and_then(|()| dir.create_dir(folder.join("src")))
                .map_err(|error| ScaffoldError::io(&folder, error))?;
            for (file, text) in RUST {
                create_file(dir, &folder.join(file), &fill(text, &values))?;
            }
            unpack_sdk(root)?;
            Ok(folder)
        }
    }
}

/// The folder without `.`, so that paths in it read well and count their depth.
fn plain(folder: &Utf8Path) -> Utf8PathBuf {
    folder
        .components()
        .filter(|component| component.as_str() != ".")
        .collect()
}

/// The header of a SQL migration, below its first line.
fn header(new: &NewRevision) -> String {
    let list = |ids: &[RevisionId]| {
        ids.iter()
            .map(RevisionId::as_str)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let lines = [
        ("id", new.id.to_string()),
        ("revises", list(&new.revises)),
        ("depends-on", list(&new.depends_on)),
        ("labels", new.labels.join(", ")),
        ("message", one_line(&new.message)),
        ("created", format!("{:.0}", new.created)),
    ];
    lines
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| format!("-- {key}: {value}\n"))
        .collect()
}

/// The same keys for `migration.toml`.
fn manifest_keys(new: &NewRevision) -> String {
    let ids = |ids: &[RevisionId]| {
        ids.iter()
            .map(RevisionId::as_str)
            .collect::<toml_edit::Array>()
    };
    let mut document = toml_edit::DocumentMut::new();
    document["id"] = toml_edit::value(new.id.as_str());
    for (key, list) in [
        ("revises", ids(&new.revises)),
        ("depends-on", ids(&new.depends_on)),
        ("labels", new.labels.iter().map(String::as_str).collect()),
    ] {
        if !list.is_empty() {
            document[key] = toml_edit::value(list);
        }
    }
    document["message"] = toml_edit::value(one_line(&new.message));
    document["created"] = toml_edit::value(format!("{:.0}", new.created));
    document.to_string()
}

fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}
