//! The migrations of a project as the engine asks for them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};

use super::Project;
use super::approval::Approvals;
use super::build::{Pinning, is_stale};
use crate::backfill::Backfill;
use crate::capability::Grant;
use crate::driver::Dialect;
use crate::event::Observer;
use crate::journal::{Journal, Recorded, Replayed};
use crate::migration::{
    Description, Fingerprint, Freshness, Library, Migration, MigrationError, PrepareError, Standing,
};
use crate::policy::Decision;
use crate::revision::{Direction, RevisionId, Transactional};
use crate::source::{
    Body, Component, Lock, SourceError, SourceRevision, SqlBackfill, SqlFile, SqlMigration,
};
use crate::wasm::{self, ComponentBackfill, ComponentMigration, Wasi};

pub(super) struct ProjectLibrary {
    project: Arc<Project>,
    dialect: Dialect,
    parameters: BTreeMap<String, String>,
    pinning: Pinning,
    observer: Arc<dyn Observer>,
    journal: Option<Journal>,
    /// Migrations that are being loaded.
    ahead: Mutex<HashMap<RevisionId, Arc<ComponentMigration>>>,
}

impl ProjectLibrary {
    pub(super) fn new(
        project: Arc<Project>,
        dialect: Dialect,
        parameters: BTreeMap<String, String>,
        pinning: Pinning,
        observer: Arc<dyn Observer>,
        journal: Option<Journal>,
    ) -> Self {
        Self {
            project,
            dialect,
            parameters,
            pinning,
            observer,
            journal,
            ahead: Mutex::default(),
        }
    }

    fn with<T>(
        &self,
        revision: &RevisionId,
        ask: impl FnOnce(&SourceRevision) -> Result<T, SourceError>,
    ) -> Result<T, MigrationError> {
        let migrations = self.project.migrations();
        let source = migrations
            .get(revision.as_str())
            .ok_or_else(|| refused(format!("no migration is called {revision}")))?;
        ask(source).map_err(|error| refused(error.to_string()))
    }

    fn ahead(&self) -> MutexGuard<'_, HashMap<RevisionId, Arc<ComponentMigration>>> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sql(&self, file: &Arc<SqlFile>, source: &SourceRevision) -> SqlMigration {
        SqlMigration::new(Arc::clone(file), source.revision.path.clone(), self.dialect)
    }

    fn describe_component(&self, component: &Component, source: &SourceRevision) -> Description {
        let imports = component
            .bytes()
            .map_err(|error| refused(error.to_string()))
            .and_then(|bytes| wasm::imports(&bytes));
        let lock = Lock::read(&*self.project.files).unwrap_or_default();
        // What cannot be read has an error of its own.
        let is_stale = component.is_built_here() && is_stale(&lock, source).unwrap_or_default();
        Description::Component {
            language: component.manifest().language.clone(),
            imports,
            freshness: match is_stale {
                true => Freshness::Stale,
                false => Freshness::Fresh,
            },
        }
    }

    /// Runs a call again over the journal that it left.
    pub(super) async fn replay(&self, recorded: &Recorded) -> Result<Replayed, MigrationError> {
        let revision = &recorded.told.revision;
        let component = {
            let migrations = self.project.migrations();
            let source = migrations
                .get(revision)
                .ok_or_else(|| refused(format!("no migration is called {revision}")))?;
            match &source.body {
                Body::Component(component) => self.component(&source.revision.id, component),
                Body::Sql(_) => {
                    return Err(refused(format!("revision {revision} is a SQL file now")));
                }
            }?
        };
        component.replay(recorded).await
    }

    /// Whether whoever runs the migrations watches them instead of judging them.
    fn is_learning(&self) -> bool {
        matches!(self.pinning, Pinning::Learn(_))
    }

    fn decision(&self, revision: &RevisionId) -> Result<Decision, MigrationError> {
        let decision = self.project.decision(revision);
        decision.map_err(|error| refused(error.to_string()))
    }

    fn component(
        &self,
        revision: &RevisionId,
        component: &Arc<Component>,
    ) -> Result<ComponentMigration, MigrationError> {
        let manifest = component.manifest();
        let wasi = manifest
            .language
            .as_deref()
            .map_or(Wasi::Refused, Wasi::for_language);
        let limits = self.decision(revision)?.grant.limits;
        let digest = component
            .digest()
            .map_err(|error| refused(error.to_string()))?;
        let component = Arc::clone(component);
        let read = move || {
            component
                .bytes()
                .map(Arc::from)
                .map_err(std::io::Error::other)
        };
        Ok(
            ComponentMigration::new(self.project.runtime(), digest, Arc::new(read), wasi, limits)
                .with_journal(self.journal.clone()),
        )
    }
}

fn refused(reason: String) -> MigrationError {
    MigrationError::Admission {
        reasons: vec![reason],
    }
}

impl Library for ProjectLibrary {
    fn supports(&self, revision: &RevisionId, direction: Direction) -> bool {
        let migrations = self.project.migrations();
        match migrations.get(revision.as_str()).map(|source| &source.body) {
            Some(Body::Sql(file)) => {
                file.section(direction, self.dialect).is_some()
                    || file.backfill(direction, self.dialect).is_some()
            }
            // A component exports both directions; an irreversible one says so when it is called.
            Some(Body::Component(_)) => true,
            None => false,
        }
    }

    fn fingerprint(&self, revision: &RevisionId) -> Result<Fingerprint, MigrationError> {
        self.with(revision, |source| {
            let content = source.digest()?.to_string();
            let (built_from, parameters) = match &source.body {
                Body::Sql(_) => (None, None),
                Body::Component(component) => {
                    (component.source_digest()?, component.parameters_digest())
                }
            };
            Ok(Fingerprint {
                content,
                source: built_from.map(|digest| digest.to_string()),
                parameters: parameters.map(|digest| digest.to_string()),
            })
        })
    }

    fn content_digest(&self, revision: &RevisionId) -> Result<String, MigrationError> {
        self.with(revision, |source| Ok(source.digest()?.to_string()))
    }

    fn parameters(&self, revision: &RevisionId) -> Result<Arc<Map<String, Value>>, MigrationError> {
        self.with(revision, |source| match &source.body {
            Body::Sql(_) => Ok(Arc::default()),
            Body::Component(component) => component.parameters(&self.parameters).map(Arc::new),
        })
    }

    fn grant(&self, revision: &RevisionId) -> Result<Arc<Grant>, MigrationError> {
        let decision = self.decision(revision)?;
        match decision.is_admitted() || self.is_learning() {
            true => Ok(Arc::new(decision.grant)),
            false => Err(MigrationError::Admission {
                reasons: decision.reasons(),
            }),
        }
    }

    fn describe(
        &self,
        revision: &RevisionId,
        direction: Direction,
    ) -> Result<Description, MigrationError> {
        let migrations = self.project.migrations();
        let source = migrations
            .get(revision.as_str())
            .ok_or_else(|| refused(format!("no migration is called {revision}")))?;
        match &source.body {
            Body::Sql(file) => Ok(Description::Sql(
                self.sql(file, source).statements(direction)?,
            )),
            Body::Component(component) => Ok(self.describe_component(component, source)),
        }
    }

    fn standing(&self, revision: &RevisionId, direction: Direction) -> Standing {
        // What cannot be read is told where it is described.
        match self.project.petition(revision) {
            Ok(Some(petition)) => {
                let approvals = match self.project.policy() {
                    Some(_) => Approvals::Needed,
                    None => Approvals::NotNeeded,
                };
                petition.standing(direction, approvals)
            }
            Ok(None) | Err(_) => Standing::default(),
        }
    }

    fn backfill(
        &self,
        revision: &RevisionId,
        direction: Direction,
    ) -> Result<Option<Arc<dyn Backfill>>, MigrationError> {
        self.with(revision, |source| {
            Ok(Ok(match &source.body {
                Body::Sql(file) => file
                    .backfill(direction, self.dialect)
                    .map(|spec| Arc::new(SqlBackfill(spec)) as Arc<dyn Backfill>),
                Body::Component(component)
                    if source.revision.transactional == Transactional::Batches =>
                {
                    match self.component(revision, component) {
                        Ok(code) => {
                            Some(Arc::new(ComponentBackfill::new(code)) as Arc<dyn Backfill>)
                        }
                        Err(error) => return Ok(Err(error)),
                    }
                }
                Body::Component(_) => None,
            }))
        })?
    }

    fn prepare(&self, revisions: &[&RevisionId], direction: Direction) -> Result<(), PrepareError> {
        self.project
            .pin(revisions, direction, &self.pinning, &*self.observer)?;
        // What is applied is reverted as it was built, whatever its manifest says now.
        if direction == Direction::Upgrade {
            self.project.check_seals(revisions)?;
        }
        if !self.is_learning() {
            self.project.check_policy(revisions)?;
        }
        let migrations = self.project.migrations();
        let components = revisions
            .iter()
            .filter_map(|&revision| match &migrations.get(revision.as_str())?.body {
                Body::Component(component) => Some((revision, component)),
                Body::Sql(_) => None,
            })
            .map(|(revision, component)| {
                let loaded =
                    self.component(revision, component)
                        .map_err(|error| PrepareError::Load {
                            revision: revision.clone(),
                            source: Box::new(error),
                        })?;
                Ok((revision, loaded))
            })
            .collect::<Result<Vec<_>, PrepareError>>()?;
        let loaded: Vec<&ComponentMigration> =
            components.iter().map(|(_, loaded)| loaded).collect();
        self.project
            .runtime()
            .precompile(&loaded)
            .map_err(|(index, source)| PrepareError::Load {
                revision: components[index].0.clone(),
                source,
            })
    }

    fn load_ahead(&self, revision: &RevisionId) {
        let migrations = self.project.migrations();
        let Some(Body::Component(component)) =
            migrations.get(revision.as_str()).map(|source| &source.body)
        else {
            return;
        };
        if let Ok(migration) = self.component(revision, component) {
            let migration = Arc::new(migration);
            self.ahead()
                .insert(revision.clone(), Arc::clone(&migration));
            // An error comes again when the migration runs. A thread of the runtime waits without turning, unlike one of
            // those that compile.
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn_blocking(move || drop(migration.load()));
            }
        }
    }

    fn load(&self, revision: &RevisionId) -> Result<Arc<dyn Migration>, MigrationError> {
        if let Some(migration) = self.ahead().remove(revision) {
            return Ok(migration);
        }
        self.with(revision, |source| {
            Ok(match &source.body {
                Body::Sql(file) => Ok(Arc::new(self.sql(file, source)) as Arc<dyn Migration>),
                Body::Component(component) => self
                    .component(revision, component)
                    .map(|component| Arc::new(component) as Arc<dyn Migration>),
            })
        })?
    }
}
