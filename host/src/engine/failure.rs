//! How a run can fail, and what state that leaves.

use std::fmt;
use std::time::Duration;

use camino::Utf8PathBuf;
use jiff::Timestamp;
use thiserror::Error;

use super::RepairError;
use crate::backfill::{BackfillError, InvalidSetting};
use crate::driver::backup::BackupError;
use crate::driver::{DriverError, Holder};
use crate::event::StepReport;
use crate::history::Outcome;
use crate::migration::{MigrationError, PrepareError};
use crate::plan::{PlanError, Step};
use crate::revision::{Direction, RevisionId};

/// A run that did not do all that it set out to do.
#[derive(Debug, Error)]
#[error("{}", self.summary())]
pub struct RunFailure {
    /// The steps that are in effect, in order.
    pub done: Vec<StepReport>,
    /// How many steps there were to be; 0 when it failed before there was a plan.
    pub planned: usize,
    /// What became of the step that failed.
    pub aftermath: Aftermath,
    /// Why.
    #[source]
    pub cause: Box<Cause>,
}

/// What a failed step leaves in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Aftermath {
    /// No step was under way.
    Untouched,
    /// The step was rolled back: nothing of it is in effect.
    RolledBack(RevisionId),
    /// The step ran without a transaction: what it did before it failed is in effect.
    Partial(RevisionId),
    /// The step is a backfill: what it has committed so far stays, and the next run goes on from there.
    Unfinished(RevisionId),
    /// The connection broke while the step was committed, and the database says that the commit took effect.
    Committed(RevisionId),
    /// The connection broke while the step was committed, and the database could not be asked whether it took effect.
    Unknown(RevisionId),
    /// The steps were only tried: all of them were rolled back, and nothing is in effect.
    DryRun,
    /// The server went down, and could not be asked which of the steps from this one on it has kept.
    UnknownFrom(RevisionId),
    /// The connection broke while a restore was committed, and whether it took effect is not known.
    UnknownRestore,
}

/// What made a run fail.
#[derive(Debug, Error)]
pub enum Cause {
    /// There is no plan.
    #[error(transparent)]
    Plan(PlanError),
    /// What the ledger says and what the files say differ.
    #[error("the database and the migrations disagree: {}", list(.0))]
    Inconsistent(Vec<Inconsistency>),
    /// The plan needs a downgrade that was never written.
    #[error("revision {revision} is irreversible: it has no downgrade")]
    Irreversible {
        /// The revision.
        revision: RevisionId,
    },
    /// The plan is to be all or nothing, but these have transactions of their own, or none.
    #[error("{} cannot share a transaction with other migrations", ids(.0))]
    Mixed(Vec<RevisionId>),
    /// The plan is to be a script, but this is a backfill that no script can do.
    #[error(
        "a script cannot do the backfill {revision}, since {why}: run `whimbrel {direction} {revision}`, and write scripts of what comes before it and after it"
    )]
    NoScript {
        /// The revision.
        revision: RevisionId,
        /// Which way it goes.
        direction: Direction,
        /// Why, as a clause.
        why: &'static str,
    },
    /// The plan is to be tried, but these run without a transaction and could not be rolled back.
    #[error("{} cannot be tried: without a transaction nothing can be rolled back", ids(.0))]
    Lasting(Vec<RevisionId>),
    /// What was asked for repairs nothing.
    #[error(transparent)]
    Repair(RepairError),
    /// A migration's code is not ready to run.
    #[error(transparent)]
    Prepare(PrepareError),
    /// Another run kept the lock for too long.
    #[error(
        "another run holds the lock{}; waited {:.1} s",
        holder.as_ref().map(|holder| format!(" ({holder})")).unwrap_or_default(),
        waited.as_secs_f64()
    )]
    Locked {
        /// Who, where that is known.
        holder: Option<Holder>,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The lock was lost while the run was going on.
    #[error("the lock of this run was lost")]
    LockLost,
    /// A migration failed.
    #[error("{} of {} failed{}", step.direction, step.revision, tries(*attempts))]
    Migration {
        /// The step.
        step: Box<Step>,
        /// How often it was tried.
        attempts: u32,
        /// Why.
        #[source]
        source: Box<MigrationError>,
    },
    /// A step worked but could not be recorded, and so was undone.
    #[error("{} of {} could not be recorded", step.direction, step.revision)]
    Record {
        /// The step.
        step: Box<Step>,
        /// Why.
        #[source]
        source: DriverError,
    },
    /// The version table was changed by someone else while the step ran.
    #[error(
        "the version table changed while {} ran: the row that it was to change is not there any more",
        step.revision
    )]
    VersionConflict {
        /// The step.
        step: Box<Step>,
    },
    /// A step could not be begun or committed.
    #[error("{} of {} could not be {}", step.direction, step.revision, stage)]
    Transaction {
        /// The step.
        step: Box<Step>,
        /// `begun` or `committed`.
        stage: &'static str,
        /// Why.
        #[source]
        source: DriverError,
    },
    /// The backup before the run could not be made.
    #[error("the database could not be backed up to {file}, and the run did not start")]
    Backup {
        /// The file that was to be written.
        file: Utf8PathBuf,
        /// Why.
        #[source]
        source: Box<BackupError>,
    },
    /// A backup could not be restored.
    #[error("{file} could not be restored")]
    Restore {
        /// The backup's file.
        file: Utf8PathBuf,
        /// Why.
        #[source]
        source: Box<BackupError>,
    },
    /// A backup is one of something else.
    #[error("{file} is not a backup of a database of this project: {reason}")]
    ForeignBackup {
        /// The backup's file.
        file: Utf8PathBuf,
        /// How that is known.
        reason: String,
    },
    /// A backfill did not come to its end.
    #[error("the backfill of {} did not come to its end", step.revision)]
    Backfill {
        /// The step.
        step: Box<Step>,
        /// Why.
        #[source]
        source: Box<BackfillError>,
    },
    /// A backfill has begun that is not done, and what it works on is to be undone.
    #[error(
        "the backfill {revision} has begun and is not done, and depends on {below}: finish it with `whimbrel upgrade {revision}`, or give it up with `whimbrel backfill stop {revision} --abandon`"
    )]
    OpenBackfill {
        /// The backfill's revision.
        revision: RevisionId,
        /// What is to be undone.
        below: RevisionId,
    },
    /// No backfill of this revision is going on.
    #[error("no backfill of {0} has begun that is not done")]
    NoBackfill(RevisionId),
    /// A setting of a backfill makes no sense.
    #[error(transparent)]
    Setting(InvalidSetting),
    /// The user asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// The database failed outside a step.
    #[error(transparent)]
    Database(#[from] DriverError),
}

/// One thing on which the ledger and the files differ.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Inconsistency {
    /// An applied revision's code is not what ran.
    #[error("revision {revision} has changed since it was applied ({path})")]
    Changed {
        /// The revision.
        revision: RevisionId,
        /// Its file.
        path: Utf8PathBuf,
        /// The SHA-256 of what ran.
        recorded: String,
        /// The SHA-256 of what is there now.
        actual: String,
    },
    /// A migration without a transaction did not come to its end.
    #[error("the {action} of {revision}, which runs without a transaction, {}", ending(*outcome))]
    Unfinished {
        /// The revision.
        revision: RevisionId,
        /// `upgrade` or `downgrade`.
        action: String,
        /// How it ended.
        outcome: Outcome,
        /// When it began.
        started: Option<Timestamp>,
    },
}

fn ids(revisions: &[RevisionId]) -> String {
    let ids: Vec<&str> = revisions.iter().map(RevisionId::as_str).collect();
    ids.join(", ")
}

fn ending(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Partial => "failed after it had begun",
        _ => "was interrupted",
    }
}

fn list(inconsistencies: &[Inconsistency]) -> String {
    inconsistencies
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

fn tries(count: u32) -> String {
    match count {
        1 => String::new(),
        _ => format!(" after {count} attempts"),
    }
}

impl RunFailure {
    /// A failure before anything began.
    pub fn untouched(cause: Cause) -> Self {
        Self {
            done: Vec::new(),
            planned: 0,
            aftermath: Aftermath::Untouched,
            cause: Box::new(cause),
        }
    }

    fn summary(&self) -> String {
        match self.planned {
            0 => "nothing was changed".to_owned(),
            planned => format!("{} of {planned} steps done", self.done.len()),
        }
    }

    /// What state the database is in now, in one sentence.
    pub fn state(&self) -> String {
        if self.aftermath == Aftermath::DryRun {
            return "Nothing was changed: it was a dry run.".to_owned();
        }
        if self.planned == 0 && self.aftermath == Aftermath::Untouched {
            return "Nothing was changed.".to_owned();
        }
        if self.aftermath == Aftermath::UnknownRestore {
            return format!("{}.", self.aftermath);
        }
        format!(
            "{} of {} applied; {}.",
            self.done.len(),
            self.planned,
            self.aftermath
        )
    }
}

impl fmt::Display for Aftermath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Untouched => f.write_str("nothing else changed"),
            Self::RolledBack(id) => write!(f, "{id} rolled back; nothing else changed"),
            Self::Partial(id) => write!(
                f,
                "{id} runs without a transaction, so that what it did before it failed is in effect"
            ),
            Self::Unfinished(id) => write!(
                f,
                "{id} is not applied; the batches that it has committed stay, and the next run goes on from there"
            ),
            Self::Committed(id) => {
                write!(
                    f,
                    "the commit of {id} took effect, although its answer was lost"
                )
            }
            Self::DryRun => f.write_str("all of it rolled back"),
            Self::Unknown(id) => write!(
                f,
                "whether {id} was committed is not known, since the connection broke before the answer"
            ),
            Self::UnknownFrom(id) => write!(
                f,
                "whether {id} and what followed it was kept is not known, since the server cannot be asked"
            ),
            Self::UnknownRestore => f.write_str(
                "The connection broke before the answer to COMMIT came: the database is as it was, or as the backup is",
            ),
        }
    }
}
