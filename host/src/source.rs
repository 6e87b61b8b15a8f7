//! Migrations on disk: revisions, contents, digests, and the lock file.
//!
//! In the migrations folder these are migrations:
//! - every `.sql` file, which must start with `-- whimbrel:migration`;
//! - every folder with a `migration.toml`.
//!
//! Everything else is left alone: files of other kinds, hidden files and folders, and folders without a
//! `migration.toml`, so that SQL that is not a migration belongs in a folder of its own. A folder whose name starts
//! like a migration's (twelve hexadecimal digits and `_`) and that has no `migration.toml` is an error.

mod component;
mod declaration;
mod error;
mod files;
mod lock;
mod manifest;
mod parameters;
mod read;
mod seal;
mod sql_backfill;
mod sql_file;
mod sql_migration;

use std::collections::HashMap;
use std::sync::Arc;

pub(crate) use component::BUILD_FOLDERS;
pub use component::Component;
pub use error::{Problem, SourceError, SourceErrors};
pub use files::{Entry, EntryKind, Files};
pub use include_dir;
pub use lock::{Approval, Drift, LOCK_FILE, Lock, LockFileError, Pin};
pub use manifest::{MANIFEST_FILE, Manifest};
pub use seal::{SECTION, Seal};
pub use sql_backfill::SqlBackfill;
pub use sql_file::{Form, Section, SqlFile};
pub use sql_migration::SqlMigration;

use crate::digest::Digest;
use crate::revision::{Revision, RevisionId};

/// One migration as it was read.
#[derive(Debug, Clone)]
pub struct SourceRevision {
    /// Its place in the graph and what a reader wants to know of it.
    pub revision: Arc<Revision>,
    /// What it runs.
    pub body: Body,
}

/// What a migration runs. Cloning is cheap.
#[derive(Debug, Clone)]
pub enum Body {
    /// The SQL of one file.
    Sql(Arc<SqlFile>),
    /// A WebAssembly component.
    Component(Arc<Component>),
}

impl SourceRevision {
    /// The SHA-256 of what runs: of the SQL of all sections, or of the component. Computed when first asked for.
    ///
    /// # Errors
    /// When the component is not built or cannot be read.
    pub fn digest(&self) -> Result<Digest, SourceError> {
        match &self.body {
            Body::Sql(file) => Ok(file.digest()),
            Body::Component(component) => component.digest(),
        }
    }

    /// What the lock file should say about it.
    ///
    /// # Errors
    /// When the component is not built or cannot be read.
    pub fn pin(&self) -> Result<Pin, SourceError> {
        match &self.body {
            Body::Sql(file) => Ok(Pin {
                digest: file.digest(),
                source: None,
                params: None,
            }),
            Body::Component(component) => Ok(Pin {
                digest: component.digest()?,
                source: component.source_digest()?,
                params: component.parameters_digest(),
            }),
        }
    }
}

/// All migrations of a project.
#[derive(Debug, Clone, Default)]
pub struct Migrations {
    revisions: Vec<SourceRevision>,
    by_id: HashMap<RevisionId, usize>,
}

impl Migrations {
    fn new(revisions: Vec<SourceRevision>) -> Self {
        let by_id = revisions
            .iter()
            .enumerate()
            .map(|(index, source)| (source.revision.id.clone(), index))
            .collect();
        Self { revisions, by_id }
    }

    /// The migration with exactly this id.
    pub fn get(&self, id: &str) -> Option<&SourceRevision> {
        self.by_id.get(id).map(|&index| &self.revisions[index])
    }

    /// All migrations, in the order of their paths.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &SourceRevision> {
        self.revisions.iter()
    }

    /// The plain data of all migrations, for [`Graph::new`](crate::graph::Graph::new).
    pub fn revisions(&self) -> Vec<Arc<Revision>> {
        self.iter()
            .map(|source| Arc::clone(&source.revision))
            .collect()
    }
}
