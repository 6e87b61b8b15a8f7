//! What the tables of backfills have in their rows.

use std::time::Duration;

use super::keys::{Key, Span};
use super::settings::Settings;
use super::spec::Spec;
use crate::driver::{DriverError, Value};
use crate::revision::Direction;

/// What a backfill is doing, as its operator or its workers have said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Workers work on it, or may.
    Running,
    /// Its workers wait.
    Paused,
    /// Its workers have ended, or are about to; a run goes on from there.
    Stopped,
    /// A row could not be worked on, or something else was wrong; a run tries again from there.
    Failed,
    /// All of it is done and recorded.
    Done,
}

impl State {
    /// How the table spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Done => "done",
        }
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        [
            Self::Running,
            Self::Paused,
            Self::Stopped,
            Self::Failed,
            Self::Done,
        ]
        .into_iter()
        .find(|state| state.name() == text)
    }
}

/// The row of a backfill.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    pub(crate) revision: String,
    pub(crate) direction: String,
    pub(crate) digest: String,
    pub(crate) state: State,
    pub(crate) reason: String,
    pub(crate) settings: Settings,
    pub(crate) table: String,
    pub(crate) spec: Spec,
    pub(crate) estimate: u64,
    pub(crate) started: f64,
    pub(crate) ended: f64,
    /// The time now.
    pub(crate) now: f64,
    /// The minute of the day now, as the database's clock shows it.
    pub(crate) minute: u16,
    /// Rows that were read so far.
    pub(crate) rows_read: u64,
    /// Rows that were written or dropped so far.
    pub(crate) rows_changed: u64,
    /// Workers that have given a sign of life not long ago.
    pub(crate) workers: u64,
}

impl Record {
    /// Which way it goes.
    pub(crate) fn direction(&self) -> Direction {
        match self.direction == Direction::Downgrade.name() {
            true => Direction::Downgrade,
            false => Direction::Upgrade,
        }
    }
}

/// What was done of a range, or of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Counts {
    /// Rows that were read.
    pub read: u64,
    /// Rows that got new values.
    pub written: u64,
    /// Rows that were left as they are.
    pub kept: u64,
    /// Rows that were deleted.
    pub dropped: u64,
    /// Rows that were set aside.
    pub bad: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.read += other.read;
        self.written += other.written;
        self.kept += other.kept;
        self.dropped += other.dropped;
        self.bad += other.bad;
    }
}

/// A range of keys.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Range {
    pub(crate) number: i64,
    /// From the beginning, which does not move, to the end, which moves when the range is split.
    pub(crate) span: Span,
    /// How far it is done.
    pub(crate) cursor: Option<Key>,
    pub(crate) is_done: bool,
    pub(crate) owner: String,
    pub(crate) lease_until: f64,
    pub(crate) counts: Counts,
    pub(crate) batches: u64,
    /// About how many rows it has.
    pub(crate) estimate: u64,
    /// How long its batches took.
    pub(crate) busy: Duration,
}

impl Range {
    /// What is left of it.
    pub(super) fn rest(&self) -> Span {
        Span {
            after: self.cursor.clone().or_else(|| self.span.after.clone()),
            upto: self.span.upto.clone(),
        }
    }
}

/// A row that was set aside.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BadRow {
    pub(super) key: Key,
    pub(super) error: String,
    /// What was read of it, as JSON; none where that is not known.
    pub(super) input: Option<String>,
}

pub(super) const RANGE: &str = "number, after, upto, cursor, state, owner, lease_until, rows_read, rows_written, rows_kept, \
     rows_dropped, rows_bad, batches, estimate, busy_us";

/// Reads a range.
///
/// # Errors
/// Where a key is none: taken for the beginning, it would have rows worked on twice.
pub(super) fn range(row: Vec<Value>) -> Result<Range, DriverError> {
    let mut values = row.into_iter();
    let mut next = || values.next();
    let number = match next() {
        Some(Value::Int64(number)) => number,
        _ => 0,
    };
    let (after, upto, cursor) = (key(next())?, key(next())?, key(next())?);
    Ok(Range {
        number,
        span: Span { after, upto },
        cursor,
        is_done: text(next()) == "done",
        owner: text(next()),
        lease_until: real(next()),
        counts: Counts {
            read: count(next()),
            written: count(next()),
            kept: count(next()),
            dropped: count(next()),
            bad: count(next()),
        },
        batches: count(next()),
        estimate: count(next()),
        busy: Duration::from_micros(count(next())),
    })
}

fn unreadable(what: &str, text: &str) -> DriverError {
    DriverError::Conversion(format!(
        "a table of Whimbrel's own has {what} that this version cannot read: `{text}`"
    ))
}

fn document<T: serde::de::DeserializeOwned>(what: &str, text: &str) -> Result<T, DriverError> {
    serde_json::from_str(text).map_err(|_| unreadable(what, text))
}

/// Reads the row of a backfill.
///
/// # Errors
/// Where something in it is not what this version writes: a limit must not be lost.
pub(super) fn record(row: Vec<Value>) -> Result<Record, DriverError> {
    let mut values = row.into_iter();
    let mut next = || values.next();
    let (revision, direction, digest) = (text(next()), text(next()), text(next()));
    let state = text(next());
    Ok(Record {
        revision,
        direction,
        digest,
        state: State::read(&state).ok_or_else(|| unreadable("a state", &state))?,
        reason: text(next()),
        settings: document("settings", &text(next()))?,
        table: text(next()),
        spec: document("a description", &text(next()))?,
        estimate: count(next()),
        started: real(next()),
        ended: real(next()),
        now: real(next()),
        minute: u16::try_from(count(next())).unwrap_or_default(),
        rows_read: count(next()),
        rows_changed: count(next()),
        workers: count(next()),
    })
}

pub(super) fn number_of(count: u64) -> Value {
    Value::Int64(i64::try_from(count).unwrap_or(i64::MAX))
}

pub(super) fn text_of(key: Option<&Key>) -> Value {
    Value::from(key.map(Key::to_text))
}

fn key(value: Option<Value>) -> Result<Option<Key>, DriverError> {
    match value {
        Some(Value::Text(text)) => match Key::from_text(&text) {
            Some(key) => Ok(Some(key)),
            None => Err(unreadable("a key", &text)),
        },
        _ => Ok(None),
    }
}

pub(super) fn text(value: Option<Value>) -> String {
    match value {
        Some(Value::Text(text)) => text,
        _ => String::new(),
    }
}

pub(super) fn count(value: Option<Value>) -> u64 {
    match value {
        Some(Value::Int64(number)) => u64::try_from(number).unwrap_or_default(),
        _ => 0,
    }
}

pub(super) fn real(value: Option<Value>) -> f64 {
    match value {
        Some(Value::Float64(number)) => number,
        Some(Value::Int64(number)) => number as f64,
        _ => 0.0,
    }
}
