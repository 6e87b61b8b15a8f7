//! What to look at before a plan is run.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::inspection::{HeldLock, Inspection, StepInspection, View};
use crate::driver::Dialect;
use crate::revision::{Direction, RevisionId, TransactionMode, message};
use crate::sql::effects::{Blocks, Harm, Toll};

/// From which size on a table is large: in bytes, and in rows.
const LARGE_BYTES: u64 = 1 << 30;
const LARGE_ROWS: u64 = 1_000_000;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub check: &'static str,
    /// What was found.
    pub status: Status,
    /// In words.
    pub detail: String,
}

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Nothing to object to.
    Ok,
    /// Something to look at.
    Warning,
}

impl HeldLock {
    /// Whether others may wait for long: their reads or writes are blocked while a large table is worked through.
    pub fn is_heavy(&self) -> bool {
        let is_large = self.bytes.is_some_and(|bytes| bytes >= LARGE_BYTES)
            || self.rows.is_some_and(|rows| rows >= LARGE_ROWS);
        is_large && self.blocks >= Blocks::Writes && self.held > Toll::Instant
    }
}

/// What the checks must know besides the plan.
pub(super) struct Circumstances {
    /// How long a statement waits for a lock.
    pub(super) lock_timeout: Duration,
    /// When the last backup was made.
    pub(super) last_backup: Option<Timestamp>,
    /// Why the steps cannot share the transaction that they are to share.
    pub(super) refusal: Option<String>,
}

pub(super) fn checks(
    inspection: &Inspection,
    irreversible: &[RevisionId],
    circumstances: &Circumstances,
    unknown_sizes: Option<&str>,
) -> Vec<Check> {
    if inspection.steps.is_empty() {
        return Vec::new();
    }
    let steps = &inspection.steps;
    let lock_timeout = circumstances.lock_timeout;
    let mut checks = Vec::new();
    let mut add = |check, warning: Option<String>, ok: &str| {
        checks.push(Check {
            check,
            status: match warning {
                Some(_) => Status::Warning,
                None => Status::Ok,
            },
            detail: warning.unwrap_or_else(|| ok.to_owned()),
        });
    };
    if inspection.transaction == TransactionMode::Run {
        let refusal = circumstances.refusal.as_ref();
        let warning = refusal.map(|refusal| format!("the run will be refused: {refusal}"));
        add("transaction", warning, "all steps share one");
    }
    if inspection.direction == Direction::Upgrade {
        let names: Vec<&str> = irreversible.iter().map(RevisionId::as_str).collect();
        let warning =
            (!names.is_empty()).then(|| format!("there is no way back from {}", names.join(", ")));
        add("downgrades", warning, "every step has one");
    }
    add(
        "backup",
        backup(inspection, circumstances.last_backup),
        "nothing that is known takes data away",
    );
    add("visibility", visibility(steps), "every statement was read");
    add("names", names(steps), "every message says what changes");
    if inspection.dialect == Dialect::Postgresql {
        let timeout = no_timeout(steps, lock_timeout);
        let set = format!(
            "a statement gives way after {} ms",
            lock_timeout.as_millis()
        );
        add("lock_timeout", timeout, &set);
        let sizes = unknown_sizes
            .map(|reason| format!("the sizes of tables are not known: {reason}"))
            .or_else(|| large(steps));
        add("large tables", sizes, "none is blocked for long");
    }
    checks
}

fn no_timeout(steps: &[StepInspection], lock_timeout: Duration) -> Option<String> {
    if lock_timeout.is_zero() {
        let why = "is 0: what waits for a lock blocks all that come after it";
        return Some(why.to_owned());
    }
    let bare: Vec<&str> = steps
        .iter()
        .filter(|step| !step.transactional)
        .map(|step| step.step.revision.as_str())
        .collect();
    (!bare.is_empty()).then(|| {
        let bare = bare.join(", ");
        format!("without a transaction there is none: {bare} may wait for locks without end")
    })
}

fn backup(inspection: &Inspection, last: Option<Timestamp>) -> Option<String> {
    let losses = inspection
        .steps
        .iter()
        .flat_map(|step| &step.destructive)
        .filter(|loss| loss.harm == Harm::Data)
        .count();
    let statements = match losses {
        0 => return None,
        1 => "one statement".to_owned(),
        more => format!("{more} statements"),
    };
    let last = match last {
        Some(time) => format!("the last backup is of {time:.0}"),
        None => "there is no backup that Whimbrel knows of".to_owned(),
    };
    let command = inspection.direction.name();
    Some(format!(
        "{statements} may take data away, and {last}; `whimbrel {command} --backup FILE` makes one first"
    ))
}

fn visibility(steps: &[StepInspection]) -> Option<String> {
    let unseen: Vec<&str> = steps
        .iter()
        .filter(|step| step.view != View::Full)
        .map(|step| step.step.revision.as_str())
        .collect();
    (!unseen.is_empty()).then(|| format!("not all that they do is known: {}", unseen.join(", ")))
}

fn names(steps: &[StepInspection]) -> Option<String> {
    let advice: Vec<String> = steps
        .iter()
        .filter_map(|step| message::advice(&step.message))
        .collect();
    (!advice.is_empty()).then(|| advice.join("; "))
}

fn large(steps: &[StepInspection]) -> Option<String> {
    let mut tables: Vec<&str> = steps
        .iter()
        .flat_map(|step| &step.locks)
        .filter(|lock| lock.is_heavy())
        .map(|lock| lock.table.as_str())
        .collect();
    tables.sort_unstable();
    tables.dedup();
    (!tables.is_empty()).then(|| {
        format!(
            "{} {} large, and blocked while rows are worked through",
            tables.join(", "),
            if tables.len() == 1 { "is" } else { "are" }
        )
    })
}
