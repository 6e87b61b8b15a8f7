//! The programs that come with PostgreSQL, in versions that fit a server.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::driver::backup::BackupError;

/// Where Debian keeps the programs of each major version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// The program of the server's major version or a newer one: the one on the search path if it will do, else the oldest
/// that does. An older program refuses the server.
///
/// # Errors
/// [`BackupError::NoProgram`].
pub(super) fn find(program: &'static str, major: u32) -> Result<PathBuf, BackupError> {
    let on_search_path = on_search_path(program);
    let mut known = of_debian(program);
    known.sort();
    let fitting = on_search_path
        .iter()
        .chain(&known)
        .find(|(version, _)| *version >= major);
    match fitting {
        Some((_, path)) => Ok(path.clone()),
        None => Err(missing(program, major, on_search_path, known)),
    }
}

/// The newest such program: it reads what all older ones have written.
///
/// # Errors
/// [`BackupError::NoProgram`] when there is none at all.
pub(super) fn find_newest(program: &'static str, major: u32) -> Result<PathBuf, BackupError> {
    let known = on_search_path(program)
        .into_iter()
        .chain(of_debian(program));
    // Of two that are equal, the one on the search path.
    let newest = known.reduce(|a, b| if b.0 > a.0 { b } else { a });
    newest
        .map(|(_, path)| path)
        .ok_or_else(|| missing(program, major, None, Vec::new()))
}

fn missing(
    program: &'static str,
    major: u32,
    on_search_path: Option<(u32, PathBuf)>,
    known: Vec<(u32, PathBuf)>,
) -> BackupError {
    let mut found: Vec<u32> = on_search_path
        .into_iter()
        .chain(known)
        .map(|(version, _)| version)
        .collect();
    found.sort_unstable();
    found.dedup();
    BackupError::NoProgram {
        program,
        major,
        found,
    }
}

fn on_search_path(program: &str) -> Option<(u32, PathBuf)> {
    let folders = std::env::var_os("PATH")?;
    let path = std::env::split_paths(&folders)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())?;
    Some((version(&path)?, path))
}

fn of_debian(program: &str) -> Vec<(u32, PathBuf)> {
    let Ok(versions) = Path::new(DEBIAN).read_dir() else {
        return Vec::new();
    };
    versions
        .flatten()
        .map(|version| version.path().join("bin").join(program))
        .filter(|path| path.is_file())
        .filter_map(|path| Some((version(&path)?, path)))
        .collect()
}

/// The major version of a program: `pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn version(path: &Path) -> Option<u32> {
    let printed = Command::new(path).arg("--version").output().ok()?;
    major(&String::from_utf8_lossy(&printed.stdout))
}

fn major(printed: &str) -> Option<u32> {
    let (_, version) = printed.split_once("(PostgreSQL) ")?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_tell_their_version() {
        let debian = "pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n";
        assert_eq!(major(debian), Some(15));
        assert_eq!(major("pg_restore (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(major("something else 15"), None);
    }
}
