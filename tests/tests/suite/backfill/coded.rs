//! Backfills whose code is in the test.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use whimbrel::backfill::{
    Backfill, Change, Changed, Drops, Keep, Spec, Transformed, Transformer, Verdict,
};
use whimbrel::capability::Grant;
use whimbrel::driver::{Batch, Value};
use whimbrel::engine::Engine;
use whimbrel::migration::{
    Call, Description, Failure, Fingerprint, Library, Migration, MigrationError, PrepareError,
};
use whimbrel::revision::{Direction, RevisionId};

/// What becomes of a row.
pub(super) enum Made {
    Write(Vec<Value>),
    Keep,
    Drop,
    Fail(String),
    /// The whole call fails.
    Trap,
}

type Make = dyn Fn(&[Value]) -> Made + Send + Sync;

/// A backfill of the table `items`.
#[derive(Clone)]
pub(super) struct Coded {
    spec: Spec,
    make: Arc<Make>,
    grant: Option<Arc<Grant>>,
    /// How many rows were given, in all calls.
    pub(super) given: Arc<AtomicU64>,
}

impl Coded {
    pub(super) fn new(
        reads: &[&str],
        writes: &[&str],
        make: impl Fn(&[Value]) -> Made + Send + Sync + 'static,
    ) -> Self {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        Self {
            spec: Spec {
                table: "items".to_owned(),
                reads: names(reads),
                writes: names(writes),
                change: Change::Transform,
                changed: Some(Changed::Again),
                ..Spec::default()
            },
            make: Arc::new(make),
            grant: None,
            given: Arc::default(),
        }
    }

    /// What shows each time that a row is worked on.
    pub(super) fn counting() -> Self {
        Self::new(&["amount", "runs"], &["doubled", "runs"], |row| {
            let [amount, runs] = [number(&row[0]), number(&row[1])];
            Made::Write(vec![Value::Int64(amount * 2), Value::Int64(runs + 1)])
        })
    }

    pub(super) fn with(mut self, change: impl FnOnce(&mut Spec)) -> Self {
        change(&mut self.spec);
        self
    }

    /// With these capabilities and no others.
    pub(super) fn granted(self, capabilities: &str) -> Self {
        self.limited(Grant::only(capabilities.parse().unwrap()))
    }

    pub(super) fn limited(self, grant: Grant) -> Self {
        Self {
            grant: Some(Arc::new(grant)),
            ..self
        }
    }

    pub(super) fn dropping(self) -> Self {
        self.with(|spec| spec.drops = Drops::Rows)
    }

    pub(super) fn keeping(self) -> Self {
        self.with(|spec| spec.keep = Keep::OldValues)
    }
}

pub(super) fn number(value: &Value) -> i64 {
    match value {
        Value::Int16(number) => (*number).into(),
        Value::Int32(number) => (*number).into(),
        Value::Int64(number) => *number,
        other => panic!("{other:?} is no number"),
    }
}

#[async_trait]
impl Backfill for Coded {
    async fn describe(&self, _: &Call) -> Result<Spec, MigrationError> {
        Ok(self.spec.clone())
    }

    async fn open(&self, _: &Call) -> Result<Box<dyn Transformer>, MigrationError> {
        Ok(Box::new(self.clone()))
    }
}

#[async_trait]
impl Transformer for Coded {
    async fn transform(&mut self, rows: Batch) -> Result<Transformed, MigrationError> {
        self.given.fetch_add(rows.len() as u64, Ordering::Relaxed);
        let mut values = Vec::new();
        let mut verdicts = Vec::new();
        for at in 0..rows.len() {
            let (row, verdict) = match (self.make)(&rows.row(at)) {
                Made::Write(row) => (row, Verdict::Write),
                Made::Keep => (Vec::new(), Verdict::Keep),
                Made::Drop => (Vec::new(), Verdict::Drop),
                Made::Fail(reason) => (Vec::new(), Verdict::Fail(reason)),
                Made::Trap => {
                    return Err(MigrationError::Failed(Box::new(Failure {
                        message: "a row is the reason, but nobody says which".to_owned(),
                        ..Failure::default()
                    })));
                }
            };
            values.push(row);
            verdicts.push(verdict);
        }
        Ok(Transformed {
            values: Batch::from_rows(self.spec.writes.len(), values),
            verdicts,
        })
    }
}

/// An engine whose migration `b` is this backfill.
pub(super) fn coded(mut engine: Engine, code: Coded) -> Engine {
    engine.library = Arc::new(With {
        inner: Arc::clone(&engine.library),
        code,
    });
    engine
}

struct With {
    inner: Arc<dyn Library>,
    code: Coded,
}

impl Library for With {
    fn supports(&self, revision: &RevisionId, direction: Direction) -> bool {
        let is_kept = self.code.spec.keep == Keep::OldValues && revision.as_str() == "b";
        is_kept || self.inner.supports(revision, direction)
    }

    fn content_digest(&self, revision: &RevisionId) -> Result<String, MigrationError> {
        self.inner.content_digest(revision)
    }

    fn fingerprint(&self, revision: &RevisionId) -> Result<Fingerprint, MigrationError> {
        self.inner.fingerprint(revision)
    }

    fn parameters(
        &self,
        revision: &RevisionId,
    ) -> Result<Arc<serde_json::Map<String, serde_json::Value>>, MigrationError> {
        self.inner.parameters(revision)
    }

    fn grant(&self, revision: &RevisionId) -> Result<Arc<Grant>, MigrationError> {
        match &self.code.grant {
            Some(grant) if revision.as_str() == "b" => Ok(Arc::clone(grant)),
            _ => self.inner.grant(revision),
        }
    }

    fn describe(
        &self,
        revision: &RevisionId,
        direction: Direction,
    ) -> Result<Description, MigrationError> {
        self.inner.describe(revision, direction)
    }

    fn prepare(&self, revisions: &[&RevisionId], direction: Direction) -> Result<(), PrepareError> {
        self.inner.prepare(revisions, direction)
    }

    fn load(&self, revision: &RevisionId) -> Result<Arc<dyn Migration>, MigrationError> {
        self.inner.load(revision)
    }

    fn backfill(
        &self,
        revision: &RevisionId,
        _: Direction,
    ) -> Result<Option<Arc<dyn Backfill>>, MigrationError> {
        match revision.as_str() {
            "b" => Ok(Some(Arc::new(self.code.clone()))),
            _ => Ok(None),
        }
    }
}
