//! From a folder to its migrations.

use std::io::{self, ErrorKind};
use std::num::NonZero;
use std::sync::Arc;
use std::thread;

use camino::{Utf8Path, Utf8PathBuf};

use super::component::Component;
use super::error::{Problem, SourceError, SourceErrors};
use super::files::{EntryKind, Files, join};
use super::manifest::{MANIFEST_FILE, Manifest};
use super::sql_file::SqlFile;
use super::{Body, Migrations, SourceRevision};
use crate::config::{Folders, Nesting};

/// Fewer files than this are read before another thread would be of help.
const WORTH_A_THREAD: usize = 256;

/// Something in the migrations folder that may be a migration.
enum Candidate {
    File(Utf8PathBuf),
    Folder(Utf8PathBuf),
}

type Outcome = Result<Option<SourceRevision>, Vec<SourceError>>;

impl Migrations {
    /// Reads all migrations in some folders, on several threads when there are many.
    ///
    /// # Errors
    /// Everything that is wrong with any of them.
    pub fn read(files: Arc<dyn Files>, folders: &Folders) -> Result<Self, SourceErrors> {
        let mut candidates = Vec::new();
        for folder in &folders.paths {
            look(files.as_ref(), folder, folders.nesting, &mut candidates)
                .map_err(|error| SourceErrors(vec![error]))?;
        }
        let mut revisions = Vec::with_capacity(candidates.len());
        let mut errors = Vec::new();
        for outcome in read_all(&files, &candidates) {
            match outcome {
                Ok(found) => revisions.extend(found),
                Err(found) => errors.extend(found),
            }
        }
        if errors.is_empty() {
            Ok(Self::new(revisions))
        } else {
            Err(SourceErrors(errors))
        }
    }
}

/// Looks for migrations in a folder, and where they are nested in the folders in it.
fn look(
    files: &dyn Files,
    folder: &Utf8Path,
    nesting: Nesting,
    found: &mut Vec<Candidate>,
) -> Result<(), SourceError> {
    let here = candidates(files, folder).map_err(|error| match error.kind() {
        ErrorKind::NotFound => SourceError::new(folder, Problem::NoFolder),
        _ => SourceError::io(folder, error),
    })?;
    for candidate in here {
        match candidate {
            Candidate::Folder(path)
                if nesting == Nesting::Nested
                    && !files.exists(&path.join(MANIFEST_FILE))
                    && !is_named_like_a_migration(&path) =>
            {
                look(files, &path, nesting, found)?;
            }
            candidate => found.push(candidate),
        }
    }
    Ok(())
}

fn candidates(files: &dyn Files, folder: &Utf8Path) -> io::Result<Vec<Candidate>> {
    let mut entries = files.list(folder)?;
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let visible = entries
        .into_iter()
        .filter(|entry| !entry.name.starts_with('.'));
    Ok(visible
        .filter_map(|entry| {
            let is_sql = Utf8Path::new(&entry.name).extension() == Some("sql");
            let path = join(folder, &entry.name);
            match entry.kind {
                EntryKind::Folder => Some(Candidate::Folder(path)),
                // A link that leads outside is no file here; reading it says why.
                EntryKind::File | EntryKind::Other => is_sql.then_some(Candidate::File(path)),
            }
        })
        .collect())
}

fn read_all(files: &Arc<dyn Files>, candidates: &[Candidate]) -> Vec<Outcome> {
    let read = |chunk: &[Candidate]| -> Vec<Outcome> {
        chunk
            .iter()
            .map(|candidate| read_one(files, candidate))
            .collect()
    };
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let share = candidates.len().div_ceil(cores).max(WORTH_A_THREAD);
    let mut chunks = candidates.chunks(share);
    let Some(own) = chunks.next() else {
        return Vec::new();
    };
    thread::scope(|scope| {
        let others: Vec<_> = chunks
            .map(|chunk| scope.spawn(move || read(chunk)))
            .collect();
        let mut outcomes = read(own);
        for other in others {
            match other.join() {
                Ok(more) => outcomes.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        outcomes
    })
}

fn read_one(files: &Arc<dyn Files>, candidate: &Candidate) -> Outcome {
    match candidate {
        Candidate::File(path) => read_sql(files.as_ref(), path).map(Some),
        Candidate::Folder(path) => read_folder(files, path),
    }
}

fn read_sql(files: &dyn Files, path: &Utf8Path) -> Result<SourceRevision, Vec<SourceError>> {
    let content = files
        .read(path)
        .map_err(|error| vec![SourceError::io(path, error)])?;
    let (revision, file) = SqlFile::parse(path, content)?;
    Ok(SourceRevision {
        revision: Arc::new(revision),
        body: Body::Sql(Arc::new(file)),
    })
}

fn read_folder(files: &Arc<dyn Files>, folder: &Utf8Path) -> Outcome {
    let path = folder.join(MANIFEST_FILE);
    let content = match files.read(&path) {
        Ok(content) => content,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return if is_named_like_a_migration(folder) {
                Err(vec![SourceError::new(folder, Problem::NoManifest)])
            } else {
                Ok(None)
            };
        }
        Err(error) => return Err(vec![SourceError::io(path, error)]),
    };
    let (revision, manifest) = Manifest::parse(folder, &path, content)?;
    let component = Component::new(folder.to_owned(), manifest, Arc::clone(files));
    Ok(Some(SourceRevision {
        revision: Arc::new(revision),
        body: Body::Component(Arc::new(component)),
    }))
}

fn is_named_like_a_migration(folder: &Utf8Path) -> bool {
    let name = folder.file_name().unwrap_or_default();
    name.split_once('_').is_some_and(|(id, _)| {
        id.len() == crate::scaffold::ID_LEN && id.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests;
