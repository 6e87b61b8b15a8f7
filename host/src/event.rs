//! What a run tells while it goes on, and what it reports at its end.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use crate::driver::Holder;
use crate::migration::{Level, Work};
use crate::plan::{Plan, Step};
use crate::revision::{Direction, RevisionId};

/// Something that happened in a run.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event<'a> {
    /// What is about to be done. Told again when another run changed the database in the meantime.
    Planned {
        /// The plan.
        plan: &'a Plan,
    },
    /// Another run holds the lock.
    WaitingForLock {
        /// Who, where that is known.
        holder: Option<&'a Holder>,
    },
    /// The database is being backed up, before anything is changed.
    BackingUp {
        /// Into this file.
        file: &'a Utf8Path,
    },
    /// The backup is on its disk, whole.
    BackedUp {
        /// What it is.
        #[serde(flatten)]
        backup: &'a BackupReport,
    },
    /// A backup is being put in the place of the database.
    Restoring {
        /// The backup's file.
        file: &'a Utf8Path,
    },
    /// Code is being made ready: compiled, or taken from the cache.
    Preparing {
        /// For how many revisions.
        revisions: usize,
    },
    /// A component is being built from its source.
    Building {
        /// The revision.
        revision: &'a RevisionId,
    },
    /// The compiler says something.
    Compiler {
        /// The revision that is being built.
        revision: &'a RevisionId,
        /// One line.
        line: &'a str,
    },
    /// A component was built.
    Built {
        /// The revision.
        revision: &'a RevisionId,
        /// The size of the component.
        bytes: usize,
        /// The interfaces that it imports.
        imports: &'a [String],
    },
    /// A step begins.
    StepStarted {
        /// Its number, from 1.
        number: usize,
        /// How many steps there are.
        total: usize,
        /// The step.
        step: &'a Step,
        /// What its revision does, in one line.
        message: &'a str,
    },
    /// The migration says something.
    Log {
        /// The revision.
        revision: &'a RevisionId,
        /// How serious it is.
        level: Level,
        /// The text, one line, sanitised.
        message: &'a str,
    },
    /// The migration says how far it is.
    Progress {
        /// The revision.
        revision: &'a RevisionId,
        /// How much is done.
        done: u64,
        /// Of how much, where that is known.
        total: Option<u64>,
    },
    /// The workers of a backfill do something else than before: they work, or wait for a reason.
    BackfillState {
        /// The revision.
        revision: &'a RevisionId,
        /// What they are doing.
        doing: &'a str,
    },
    /// The step failed in a way that may pass, was rolled back, and is run again after a while.
    Retrying {
        /// The revision.
        revision: &'a RevisionId,
        /// The number of the attempt that failed, from 1.
        attempt: u32,
        /// How long until the next one.
        #[serde(rename = "delay_ms", serialize_with = "milliseconds")]
        delay: Duration,
        /// Why it failed.
        reason: &'a str,
    },
    /// A step is in effect.
    StepFinished {
        /// What it did.
        #[serde(flatten)]
        report: &'a StepReport,
    },
}

/// Receives the events of a run, on the thread of the run; must return soon.
pub trait Observer: Send + Sync {
    /// Something happened.
    fn event(&self, event: &Event<'_>);
}

/// An observer that looks away.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ignore;

impl Observer for Ignore {
    fn event(&self, _event: &Event<'_>) {}
}

/// A step that is in effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepReport {
    /// The revision.
    pub revision: RevisionId,
    /// The direction.
    pub direction: Direction,
    /// What it did.
    #[serde(flatten)]
    pub work: Work,
    /// How long the attempt that succeeded took.
    #[serde(rename = "duration_us", serialize_with = "microseconds")]
    pub duration: Duration,
    /// How many attempts it took.
    pub attempts: u32,
}

/// A run that did all that it set out to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunReport {
    /// The direction.
    pub direction: Direction,
    /// The steps, in order; none when there was nothing to do.
    pub steps: Vec<StepReport>,
    /// Backfills that were begun and left to workers; what depends on them was left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub detached: Vec<RevisionId>,
    /// The version table's rows now.
    pub heads: Vec<RevisionId>,
    /// How long it took, from the connection on.
    #[serde(rename = "duration_us", serialize_with = "microseconds")]
    pub duration: Duration,
}

/// A backup that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BackupReport {
    /// Its file, as it was given.
    pub file: Utf8PathBuf,
    /// Its size.
    pub bytes: u64,
    /// The SHA-256 of the file.
    pub sha256: String,
    /// How long it took.
    #[serde(rename = "duration_us", serialize_with = "microseconds")]
    pub duration: Duration,
}

/// A backup that is in the place of the database now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RestoreReport {
    /// Its file, as it was given.
    pub file: Utf8PathBuf,
    /// Its size.
    pub bytes: u64,
    /// The SHA-256 of the file.
    pub sha256: String,
    /// The version table's rows now.
    pub heads: Vec<String>,
    /// What was applied before and is not any more.
    pub undone: Vec<String>,
    /// What was not applied before and is now.
    pub redone: Vec<String>,
    /// How long it took, from the lock on.
    #[serde(rename = "duration_us", serialize_with = "microseconds")]
    pub duration: Duration,
}

pub(crate) fn microseconds<S: serde::Serializer>(
    duration: &Duration,
    to: S,
) -> Result<S::Ok, S::Error> {
    to.serialize_u128(duration.as_micros())
}

fn milliseconds<S: serde::Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u128(duration.as_millis())
}
