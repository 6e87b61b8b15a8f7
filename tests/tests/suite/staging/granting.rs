//! Libraries whose migrations are granted what a test says.

use std::sync::Arc;

use whimbrel::backfill::Backfill;
use whimbrel::capability::Grant;
use whimbrel::engine::Engine;
use whimbrel::migration::{
    Description, Fingerprint, Library, Migration, MigrationError, PrepareError,
};
use whimbrel::revision::{Direction, RevisionId};

/// A library whose migrations are granted this.
struct Narrowed {
    library: Arc<dyn Library>,
    grant: Arc<Grant>,
}

impl Library for Narrowed {
    fn supports(&self, revision: &RevisionId, direction: Direction) -> bool {
        self.library.supports(revision, direction)
    }
    fn content_digest(&self, revision: &RevisionId) -> Result<String, MigrationError> {
        self.library.content_digest(revision)
    }
    fn fingerprint(&self, revision: &RevisionId) -> Result<Fingerprint, MigrationError> {
        self.library.fingerprint(revision)
    }
    fn parameters(
        &self,
        revision: &RevisionId,
    ) -> Result<Arc<serde_json::Map<String, serde_json::Value>>, MigrationError> {
        self.library.parameters(revision)
    }
    fn grant(&self, _revision: &RevisionId) -> Result<Arc<Grant>, MigrationError> {
        Ok(Arc::clone(&self.grant))
    }
    fn describe(
        &self,
        revision: &RevisionId,
        direction: Direction,
    ) -> Result<Description, MigrationError> {
        self.library.describe(revision, direction)
    }
    fn prepare(&self, revisions: &[&RevisionId], direction: Direction) -> Result<(), PrepareError> {
        self.library.prepare(revisions, direction)
    }
    fn load(&self, revision: &RevisionId) -> Result<Arc<dyn Migration>, MigrationError> {
        self.library.load(revision)
    }
    fn backfill(
        &self,
        revision: &RevisionId,
        direction: Direction,
    ) -> Result<Option<Arc<dyn Backfill>>, MigrationError> {
        self.library.backfill(revision, direction)
    }
}

/// The engine with all of its migrations granted this, whatever they ask for.
pub(crate) fn granting(mut engine: Engine, grant: Grant) -> Engine {
    engine.library = Arc::new(Narrowed {
        library: engine.library,
        grant: Arc::new(grant),
    });
    engine
}
