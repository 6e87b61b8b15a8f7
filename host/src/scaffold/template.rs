//! Texts with `{{name}}` in them, and new files.

use std::io::Write;

use camino::Utf8Path;
use cap_std::fs_utf8::{Dir, OpenOptions};

use super::ScaffoldError;

/// Puts values in the place of their `{{name}}`.
pub(super) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    values
        .iter()
        .fold(template.to_owned(), |text, (name, value)| {
            text.replace(&format!("{{{{{name}}}}}"), value)
        })
}

/// Writes a file that must not exist yet.
pub(super) fn create_file(dir: &Dir, path: &Utf8Path, text: &str) -> Result<(), ScaffoldError> {
    let write = || {
        dir.open_with(path, OpenOptions::new().write(true).create_new(true))?
            .write_all(text.as_bytes())
    };
    write().map_err(|error| ScaffoldError::io(path, error))
}
