//! A new project.

use camino::{Utf8Path, Utf8PathBuf};
use cap_std::ambient_authority;
use cap_std::fs_utf8::Dir;
use jiff::Timestamp;

use super::template::{create_file, fill};
use super::{NewRevision, ScaffoldError, Template, create, new_id};
use crate::config::{CONFIG_FILE, Naming, Root};

/// What a new project starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProjectTemplate {
    /// Settings for one database, and a folder for migrations.
    #[default]
    Generic,
    /// Settings for several databases, of which each command names one.
    Multidb,
    /// The generic one, with a first migration in Rust.
    Rust,
}

const CONFIG: &str = include_str!("templates/whimbrel.toml");
const IGNORE: &str = include_str!("templates/gitignore");
const ONE_DATABASE: [(&str, &str); 2] = [
    ("database", "database = \"sqlite:app.db\""),
    (
        "databases",
        "# More databases, for --database NAME.
#[databases.staging]
#url = \"${STAGING_URL}\"
",
    ),
];
const SEVERAL_DATABASES: [(&str, &str); 2] = [
    (
        "database",
        "# None is set here, so that no command meets another database than the one that it names.
#database = \"sqlite:first.db\"",
    ),
    (
        "databases",
        "# The databases, for --database NAME. All of them get the same migrations.
[databases.first]
url = \"sqlite:first.db\"

[databases.second]
url = \"sqlite:second.db\"
",
    ),
];

impl ProjectTemplate {
    /// All of them, the default one first.
    pub const ALL: [Self; 3] = [Self::Generic, Self::Multidb, Self::Rust];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Generic => "generic",
            Self::Multidb => "multidb",
            Self::Rust => "rust",
        }
    }

    /// What it is, in one line.
    pub fn synopsis(self) -> &'static str {
        match self {
            Self::Generic => "One database, a SQLite file to start with; migrations in SQL",
            Self::Multidb => {
                "Several databases that get the same migrations; each command names one"
            }
            Self::Rust => "One database, with a first migration in Rust",
        }
    }
}

/// Makes a project in `folder`, which is made where it is missing: `whimbrel.toml`, a folder for migrations, and a
/// `.gitignore` where there is none. It works at once, on SQLite files. Returns what was made, relative to `folder`.
///
/// # Errors
/// [`ScaffoldError::Exists`] when there is a `whimbrel.toml`; nothing is changed then.
pub fn init(
    folder: &Utf8Path,
    template: ProjectTemplate,
) -> Result<Vec<Utf8PathBuf>, ScaffoldError> {
    let authority = ambient_authority();
    Dir::create_ambient_dir_all(folder, authority)
        .map_err(|error| ScaffoldError::io(folder, error))?;
    let dir = Dir::open_ambient_dir(folder, authority)
        .map_err(|error| ScaffoldError::io(folder, error))?;

    let config = Utf8PathBuf::from(CONFIG_FILE);
    let databases = match template {
        ProjectTemplate::Generic | ProjectTemplate::Rust => &ONE_DATABASE,
        ProjectTemplate::Multidb => &SEVERAL_DATABASES,
    };
    create_file(&dir, &config, &fill(CONFIG, databases))?;
    let mut created = vec![config];

    let migrations = Utf8Path::new("migrations");
    if !dir.exists(migrations) {
        dir.create_dir(migrations)
            .map_err(|error| ScaffoldError::io(migrations, error))?;
        // Git keeps no empty folders.
        create_file(&dir, &migrations.join(".gitkeep"), "")?;
        created.push(migrations.join(""));
    }
    let ignore = Utf8PathBuf::from(".gitignore");
    if !dir.exists(&ignore) {
        create_file(&dir, &ignore, IGNORE)?;
        created.push(ignore);
    }
    if template == ProjectTemplate::Rust {
        created.push(first_in_rust(dir, folder, migrations)?);
    }
    Ok(created)
}

/// The first migration of a project in Rust.
fn first_in_rust(
    dir: Dir,
    folder: &Utf8Path,
    migrations: &Utf8Path,
) -> Result<Utf8PathBuf, ScaffoldError> {
    let new = NewRevision {
        id: new_id(),
        message: "create people".to_owned(),
        revises: Vec::new(),
        depends_on: Vec::new(),
        labels: Vec::new(),
        created: Timestamp::now(),
    };
    let root = Root::of(dir, folder);
    create(&root, migrations, &new, Template::Rust, &Naming::default())
}
