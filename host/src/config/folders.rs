//! The folders that migrations are in.

use camino::{Utf8Path, Utf8PathBuf};

/// The folders of a project's migrations, relative to the project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folders {
    /// The folders, each with migrations of its own.
    pub paths: Vec<Utf8PathBuf>,
    /// Whether folders in them may have migrations, too.
    pub nesting: Nesting,
}

/// How deep migrations are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Nesting {
    /// In the folders themselves. What other folders they have is left alone.
    #[default]
    Flat,
    /// In every folder in them that is no migration itself.
    Nested,
}

impl Folders {
    /// The folder, where there is only one and nothing of it is nested.
    pub(crate) fn only(&self) -> Option<&Utf8Path> {
        match (self.paths.as_slice(), self.nesting) {
            ([only], Nesting::Flat) => Some(only),
            _ => None,
        }
    }
}

impl From<&Utf8Path> for Folders {
    fn from(folder: &Utf8Path) -> Self {
        Self {
            paths: vec![folder.to_owned()],
            nesting: Nesting::Flat,
        }
    }
}
