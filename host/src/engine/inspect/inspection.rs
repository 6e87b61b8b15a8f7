//! What an inspection found, as data.

use camino::Utf8PathBuf;
use serde::Serialize;

use super::checklist::Check;
use crate::backfill::Spec;
use crate::driver::Dialect;
use crate::plan::Step;
use crate::revision::{Direction, Kind, RevisionId, TransactionMode};
use crate::sql::effects::{Advice, Blocks, Harm, LockMode, Toll};

/// A plan, and what it would do.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// The direction of all steps.
    pub direction: Direction,
    /// The version table's rows before.
    pub from: Vec<RevisionId>,
    /// The version table's rows after.
    pub to: Vec<RevisionId>,
    /// What to do, in order.
    pub steps: Vec<StepInspection>,
    /// The head that steps back were counted from, as in a [`Plan`](crate::plan::Plan).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assumed: Option<RevisionId>,
    /// How the steps would share transactions.
    pub transaction: TransactionMode,
    /// What the database speaks.
    pub dialect: Dialect,
    /// Tables that the steps name and that are there, with their sizes.
    pub tables: Vec<Table>,
    /// What to look at before the plan is run.
    pub checks: Vec<Check>,
}

/// A step, and what it would do.
#[derive(Debug, Clone, Serialize)]
pub struct StepInspection {
    /// The step.
    #[serde(flatten)]
    pub step: Step,
    /// What the revision does, in one line.
    pub message: String,
    /// Its file or folder, relative to the project.
    pub path: Utf8PathBuf,
    /// What it is made of.
    pub kind: Kind,
    /// What a component is written in, where it is built from source.
    pub language: Option<String>,
    /// The interfaces that a component imports: all that it could ever ask for.
    pub imports: Vec<String>,
    /// What it asks for, a capability each; none where it does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<Vec<String>>,
    /// What would keep it from running now, in a sentence each: the policy, an approval that is missing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub obstacles: Vec<String>,
    /// Whether it runs in a transaction.
    pub transactional: bool,
    /// What a backfill says of itself. Its locks are those of one batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backfill: Option<Spec>,
    /// How much of what it does can be told.
    pub view: View,
    /// How many statements are known.
    pub statements: usize,
    /// The locks that it takes, each table once for each mode; none on SQLite.
    pub locks: Vec<HeldLock>,
    /// What it takes away.
    pub destructive: Vec<LocatedLoss>,
    /// What else there is to say.
    pub notes: Vec<Note>,
}

/// How much of what a step does can be told without running it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum View {
    /// All its statements are known.
    Full,
    /// Some may be missing, or run code in the server.
    Partial,
    /// None is known.
    Nothing,
}

/// A lock that a step takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeldLock {
    /// The table: as the statement names it, or as the database knows it where the statement names an index.
    pub table: String,
    /// How it is locked.
    pub mode: LockMode,
    /// What others cannot do meanwhile.
    pub blocks: Blocks,
    /// What the statement that takes it does meanwhile.
    pub work: Toll,
    /// What goes on until it is given back: at the end of the transaction, or of the statement where there is none.
    pub held: Toll,
    /// Where it is taken.
    pub place: Place,
    /// The size of the table on disk in bytes, with its indexes, where it is known.
    pub bytes: Option<u64>,
    /// About how many rows it has, where it is known.
    pub rows: Option<u64>,
    /// How many tables inherit from it or are its partitions, and are locked with it.
    pub children: u64,
    /// A gentler way.
    pub advice: Option<Advice>,
}

/// Where a statement stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Which statement of the step, from 1.
    pub statement: usize,
    /// The file, relative to the project; a component's statements are in none.
    pub path: Option<Utf8PathBuf>,
    /// The line that it starts at, from 1.
    pub line: Option<u32>,
}

/// Something that a step takes away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LocatedLoss {
    /// How much it hurts.
    pub harm: Harm,
    /// What happens, as a sentence without its subject.
    pub what: String,
    /// Where.
    pub place: Place,
}

/// Something to know of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// What.
    pub text: String,
    /// Of which statement.
    pub place: Option<Place>,
}

impl Note {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            place: None,
        }
    }

    pub(super) fn at(place: &Place, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            place: Some(place.clone()),
        }
    }
}

/// A table that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Table {
    /// Its name, with the schema where the search path does not lead to it.
    pub name: String,
    /// The size on disk in bytes, with indexes and partitions, where it is known.
    pub bytes: Option<u64>,
    /// About how many rows it has, where that is known.
    pub rows: Option<u64>,
}
