//! Building components that are out of date, and pinning what runs in the lock file.

use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use thiserror::Error;

use super::{Project, approval};
use crate::build::{self, BuildError, Request};
use crate::config::Root;
use crate::event::{Event, Observer};
use crate::migration::PrepareError;
use crate::revision::{Direction, RevisionId};
use crate::scaffold::{self, ScaffoldError};
use crate::source::{
    Body, Component, Drift, Lock, LockFileError, MANIFEST_FILE, Problem, SourceError, SourceErrors,
    SourceRevision,
};

/// The folder of a project for what can be made again: it is not kept in version control.
pub const WORK_FOLDER: &str = ".whimbrel";

/// What a run does about components and the lock file before it starts.
#[derive(Debug, Clone, Default)]
pub enum Pinning {
    /// Nothing: the migrations are what they are. For migrations that are part of a program.
    #[default]
    AsIs,
    /// Build what is out of date, and pin what is about to run.
    Develop(Arc<Root>),
    /// Build nothing, and refuse what is not pinned as it is.
    Locked(Arc<Root>),
    /// Build and pin as for `Develop`, and leave the policy and approvals aside: what migrations do elsewhere is to be seen
    /// before anybody allows it.
    Learn(Arc<Root>),
}

/// Which components to build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rebuild {
    /// Those that are missing or whose source has changed.
    Stale,
    /// All that have a source.
    All,
}

/// A component that was built.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Built {
    /// The revision.
    pub revision: RevisionId,
    /// The component's file, relative to the project.
    pub path: Utf8PathBuf,
    /// Its size.
    pub bytes: usize,
    /// The interfaces that it imports.
    pub imports: Vec<String>,
}

/// Why building or pinning stopped. What was built before it is in place and pinned.
#[derive(Debug, Error)]
pub enum BuildFailure {
    /// The lock file cannot be read or written.
    #[error(transparent)]
    Lock(#[from] LockFileError),
    /// A migration cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The migrations cannot be read again after building.
    #[error(transparent)]
    Sources(#[from] SourceErrors),
    /// The SDK cannot be laid out for the build.
    #[error(transparent)]
    Scaffold(#[from] ScaffoldError),
    /// A component cannot be built.
    #[error("cannot build revision {revision} ({folder})")]
    Build {
        /// The revision.
        revision: RevisionId,
        /// Its folder.
        folder: Utf8PathBuf,
        /// Why.
        #[source]
        source: Box<BuildError>,
    },
    /// A component cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Project {
    /// Builds components from their source and pins all revisions as they are then.
    ///
    /// # Errors
    /// The first component that cannot be built, or a lock file that cannot be written.
    pub fn build(
        &self,
        root: &Root,
        revisions: &[&RevisionId],
        rebuild: Rebuild,
        observer: &dyn Observer,
    ) -> Result<Vec<Built>, BuildFailure> {
        let mut lock = Lock::read(root)?;
        let migrations = self.migrations();
        let mut built = Vec::new();
        let mut result = Ok(());
        for source in revisions
            .iter()
            .filter_map(|id| migrations.get(id.as_str()))
        {
            let Body::Component(component) = &source.body else {
                continue;
            };
            if !component.is_built_here()
                || (rebuild == Rebuild::Stale && !is_stale(&lock, source)?)
            {
                continue;
            }
            match build_one(root, source, component, observer) {
                Ok(done) => built.push(done),
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        if !built.is_empty() {
            self.reread()?;
        }
        let migrations = self.migrations();
        lock.retain(&migrations);
        for source in revisions
            .iter()
            .filter_map(|id| migrations.get(id.as_str()))
        {
            match source.pin() {
                Ok(pin) => lock.pin(source.revision.id.clone(), pin),
                // What could not be built is the failure that is being reported.
                Err(_) if result.is_err() => {}
                Err(error) => return Err(error.into()),
            }
        }
        lock.write(root)?;
        result.map(|()| built)
    }

    /// Does what `pinning` asks for with the revisions that are about to run.
    pub(super) fn pin(
        &self,
        revisions: &[&RevisionId],
        direction: Direction,
        pinning: &Pinning,
        observer: &dyn Observer,
    ) -> Result<(), PrepareError> {
        match pinning {
            Pinning::AsIs => Ok(()),
            Pinning::Locked(root) => self.check_pins(root, revisions, direction),
            // What is applied is reverted by the code that was applied, not by a newer one.
            Pinning::Develop(_) | Pinning::Learn(_) if direction == Direction::Downgrade => Ok(()),
            Pinning::Develop(root) | Pinning::Learn(root) => {
                let failed = |error: BuildFailure| PrepareError::Build(Arc::new(error));
                self.build(root, revisions, Rebuild::Stale, observer)
                    .map_err(failed)?;
                match (self.policy(), pinning) {
                    (None, _) | (_, Pinning::Learn(_)) => Ok(()),
                    (Some(_), _) => {
                        let lock = Lock::read(&**root).map_err(|error| failed(error.into()))?;
                        self.check_approvals(&lock, revisions)
                    }
                }
            }
        }
    }

    /// Refuses components that say something else about what they ask for than their manifests.
    pub(super) fn check_seals(&self, revisions: &[&RevisionId]) -> Result<(), PrepareError> {
        let migrations = self.migrations();
        for source in revisions
            .iter()
            .filter_map(|id| migrations.get(id.as_str()))
        {
            let Body::Component(component) = &source.body else {
                continue;
            };
            let disagreements = component
                .disagreements()
                .map_err(|error| PrepareError::Build(Arc::new(BuildFailure::from(error))))?;
            if !disagreements.is_empty() {
                return Err(PrepareError::Refused {
                    revision: source.revision.id.clone(),
                    reason: disagreements.join("; "),
                    remedy: match component.is_built_here() {
                        true => "run `whimbrel build`".to_owned(),
                        false => format!(
                            "have {} ask for the same as the component, or get another component",
                            component.folder().join(MANIFEST_FILE)
                        ),
                    },
                });
            }
        }
        Ok(())
    }

    fn check_approvals(&self, lock: &Lock, revisions: &[&RevisionId]) -> Result<(), PrepareError> {
        // What the policy refuses need not be approved first.
        self.check_policy(revisions)?;
        let migrations = self.migrations();
        let sources: Vec<&SourceRevision> = revisions
            .iter()
            .filter_map(|id| migrations.get(id.as_str()))
            .collect();
        approval::check(self, lock, &sources)
    }

    fn check_pins(
        &self,
        root: &Root,
        revisions: &[&RevisionId],
        direction: Direction,
    ) -> Result<(), PrepareError> {
        let failed = |error: BuildFailure| PrepareError::Build(Arc::new(error));
        let lock = Lock::read(root).map_err(|error| failed(error.into()))?;
        let migrations = self.migrations();
        for source in revisions
            .iter()
            .filter_map(|id| migrations.get(id.as_str()))
        {
            let drift = lock.check(source).map_err(|error| failed(error.into()))?;
            if let Some(drift) = drift {
                return Err(PrepareError::Refused {
                    revision: source.revision.id.clone(),
                    reason: refusal(drift).to_owned(),
                    remedy:
                        "run `whimbrel build`, review the change of whimbrel.lock, and commit it"
                            .to_owned(),
                });
            }
        }
        self.check_seals(revisions)?;
        match direction {
            Direction::Upgrade => self.check_approvals(&lock, revisions),
            // What was applied may be undone, whatever was approved since.
            Direction::Downgrade => Ok(()),
        }
    }
}

fn refusal(drift: Drift) -> &'static str {
    match drift {
        Drift::Unpinned => "whimbrel.lock does not pin it",
        Drift::Content => "it is not what whimbrel.lock pins",
        Drift::Source => "its source has changed since it was built",
        Drift::Parameters => "its parameters are not those that whimbrel.lock pins",
    }
}

/// Whether a component is missing, or is not what its source was last built to.
pub(super) fn is_stale(lock: &Lock, source: &SourceRevision) -> Result<bool, SourceError> {
    match lock.check(source) {
        Ok(Some(Drift::Unpinned | Drift::Content | Drift::Source)) => Ok(true),
        // What it asks for is a part of it, and is written by the build.
        Ok(Some(Drift::Parameters) | None) => Ok(match &source.body {
            // One that cannot be read is written anew as well.
            Body::Component(component) => !component
                .seal()
                .is_ok_and(|seal| seal == Some(&component.manifest().seal())),
            Body::Sql(_) => false,
        }),
        Err(error) if matches!(error.problem, Problem::NotBuilt) => Ok(true),
        Err(error) => Err(error),
    }
}

fn build_one(
    root: &Root,
    source: &SourceRevision,
    component: &Component,
    observer: &dyn Observer,
) -> Result<Built, BuildFailure> {
    let revision = &source.revision.id;
    observer.event(&Event::Building { revision });
    scaffold::unpack_sdk(root)?;
    let folder = root.path().join(component.folder());
    let failed = |error: BuildError| BuildFailure::Build {
        revision: revision.clone(),
        folder: component.folder().to_owned(),
        source: Box::new(error),
    };
    let mut built = build::build(Request {
        folder: &folder,
        language: component.manifest().language.as_deref().unwrap_or_default(),
        target_dir: &root.path().join(WORK_FOLDER).join("target"),
        output: &mut |line| observer.event(&Event::Compiler { revision, line }),
    })
    .map_err(failed)?;
    component
        .manifest()
        .seal()
        .put_on(&mut built.component)
        .map_err(|error| {
            failed(BuildError::Encode {
                reason: error.to_string(),
            })
        })?;
    let path = component.path();
    write(root, &path, &built.component)?;
    observer.event(&Event::Built {
        revision,
        bytes: built.component.len(),
        imports: &built.imports,
    });
    Ok(Built {
        revision: revision.clone(),
        path,
        bytes: built.component.len(),
        imports: built.imports,
    })
}

fn write(root: &Root, path: &Utf8Path, component: &[u8]) -> Result<(), BuildFailure> {
    root.replace(path, component)
        .map_err(|source| BuildFailure::Write {
            path: path.to_owned(),
            source,
        })
}
