//! A new project.

use camino::{Utf8Path, Utf8PathBuf};
use cap_std::ambient_authority;
use cap_std::fs_utf8::Dir;

use super::ScaffoldError;
use super::template::create_file;
use crate::config::CONFIG_FILE;

const CONFIG: &str = include_str!("templates/whimbrel.toml");
const IGNORE: &str = include_str!("templates/gitignore");

/// Makes a project in `folder`, which is made where it is missing: `whimbrel.toml`, a folder for migrations, and a
/// `.gitignore` where there is none. It works at once, on an SQLite file. Returns what was made, relative to `folder`.
///
/// # Errors
/// [`ScaffoldError::Exists`] when there is a `whimbrel.toml`; nothing is changed then.
pub fn init(folder: &Utf8Path) -> Result<Vec<Utf8PathBuf>, ScaffoldError> {
    let authority = ambient_authority();
    Dir::create_ambient_dir_all(folder, authority)
        .map_err(|error| ScaffoldError::io(folder, error))?;
    let dir = Dir::open_ambient_dir(folder, authority)
        .map_err(|error| ScaffoldError::io(folder, error))?;

    let config = Utf8PathBuf::from(CONFIG_FILE);
    create_file(&dir, &config, CONFIG)?;
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
    Ok(created)
}
