//! Finding out what migrations ask for: they run on another database, watched instead of judged.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde_json::{Map, Value};

use super::{Cause, Engine, RunFailure};
use crate::backfill::Backfill;
use crate::capability::{Capabilities, Grant, Lesson, Reach};
use crate::driver::Driver;
use crate::event::StepReport;
use crate::migration::{
    Description, Fingerprint, Library, Migration, MigrationError, PrepareError,
};
use crate::plan::Plan;
use crate::revision::{Direction, RevisionId, TransactionMode};
use crate::target::{Anchor, Target};

/// What a revision turned out to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Learned {
    /// The revision.
    pub revision: RevisionId,
    /// The smallest request that covers it.
    pub request: Capabilities,
    /// Whether its downgrade was seen as well.
    pub downgrade: Seen,
}

/// Whether a direction was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seen {
    /// It ran to its end.
    Whole,
    /// There is none.
    Absent,
    /// It did not run, or not to its end, for this reason.
    Missed(String),
}

impl Engine {
    /// Takes the steps of an upgrade to `target` on another database, and takes them back, while all that they do is noted
    /// down. That database is brought to where the upgrade starts first, and keeps what is done to it; this one is only asked
    /// where it is.
    ///
    /// # Errors
    /// A [`RunFailure`] when this database cannot be read, or when an upgrade fails on the other one.
    pub async fn learn(
        &self,
        target: &Target,
        elsewhere: Arc<dyn Driver>,
    ) -> Result<Vec<Learned>, RunFailure> {
        let plan = self.plan(target, Direction::Upgrade).await?;
        let student = Arc::new(Student::new(Arc::clone(&self.library)));
        let there = self.at(elsewhere, Arc::clone(&student) as _);
        for head in &plan.to {
            let target = Target::plain(Anchor::Named(head.to_string()));
            there.run(&target, Direction::Upgrade).await?;
        }
        let back = there.take_back(&plan).await?;
        let learned = plan.steps.iter().map(|step| Learned {
            revision: step.revision.clone(),
            request: student.lesson(&step.revision).request(),
            downgrade: match self.library.supports(&step.revision, Direction::Downgrade) {
                true if back.undone.contains(&step.revision) => Seen::Whole,
                true => Seen::Missed(back.stopped_by.clone()),
                false => Seen::Absent,
            },
        });
        Ok(learned.collect())
    }

    /// Undoes the steps of a plan, as far as they can be undone.
    async fn take_back(&self, plan: &Plan) -> Result<WayBack, RunFailure> {
        let mut way = WayBack::default();
        let mut goal = match plan.from.as_slice() {
            [] => Target::BASE,
            [head] => Target::plain(Anchor::Named(head.to_string())),
            _ => {
                way.stopped_by = "the upgrade starts from several heads".to_owned();
                return Ok(way);
            }
        };
        loop {
            let failure = match self.run(&goal, Direction::Downgrade).await {
                Ok(report) => {
                    way.add(report.steps);
                    return Ok(way);
                }
                Err(failure) => failure,
            };
            if matches!(*failure.cause, Cause::Cancelled) {
                return Err(failure);
            }
            way.stopped_by = in_full(&failure.cause);
            way.add(failure.done);
            match *failure.cause {
                // As far down as the one that cannot be undone.
                Cause::Irreversible { revision }
                    if goal.anchor != Anchor::Named(revision.to_string()) =>
                {
                    goal = Target::plain(Anchor::Named(revision.to_string()));
                }
                _ => return Ok(way),
            }
        }
    }

    /// The same engine over another database and other code.
    fn at(&self, driver: Arc<dyn Driver>, library: Arc<dyn Library>) -> Self {
        Self {
            driver,
            history: self.history.clone(),
            version_table: self.version_table.clone(),
            graph: Arc::clone(&self.graph),
            library,
            // One that fails takes nothing with it.
            transaction: TransactionMode::Migration,
            patience: self.patience.clone(),
            observer: Arc::clone(&self.observer),
            cancel: self.cancel.clone(),
            backup: None,
            backfills: Default::default(),
            read_ahead: Mutex::default(),
        }
    }
}

/// How far the steps of a plan could be undone.
#[derive(Default)]
struct WayBack {
    undone: BTreeSet<RevisionId>,
    /// What stood in the way of the others.
    stopped_by: String,
}

impl WayBack {
    fn add(&mut self, steps: Vec<StepReport>) {
        self.undone
            .extend(steps.into_iter().map(|step| step.revision));
    }
}

/// An error with what caused it, in one line.
fn in_full(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

/// The code of another library, each revision of which is watched.
struct Student {
    library: Arc<dyn Library>,
    lessons: Mutex<BTreeMap<RevisionId, Lesson>>,
}

impl Student {
    fn new(library: Arc<dyn Library>) -> Self {
        Self {
            library,
            lessons: Mutex::default(),
        }
    }

    fn lesson(&self, revision: &RevisionId) -> Lesson {
        let mut lessons = self.lessons.lock().unwrap_or_else(PoisonError::into_inner);
        lessons.entry(revision.clone()).or_default().clone()
    }
}

impl Library for Student {
    fn supports(&self, revision: &RevisionId, direction: Direction) -> bool {
        self.library.supports(revision, direction)
    }

    fn content_digest(&self, revision: &RevisionId) -> Result<String, MigrationError> {
        self.library.content_digest(revision)
    }

    fn fingerprint(&self, revision: &RevisionId) -> Result<Fingerprint, MigrationError> {
        self.library.fingerprint(revision)
    }

    fn parameters(&self, revision: &RevisionId) -> Result<Arc<Map<String, Value>>, MigrationError> {
        self.library.parameters(revision)
    }

    fn grant(&self, revision: &RevisionId) -> Result<Arc<Grant>, MigrationError> {
        Ok(Arc::new(Grant {
            reach: Reach::Learning(self.lesson(revision)),
            denied: Capabilities::NONE,
            ..(*self.library.grant(revision)?).clone()
        }))
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

    fn load_ahead(&self, revision: &RevisionId) {
        self.library.load_ahead(revision);
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
