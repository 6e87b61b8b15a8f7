//! What an operator sees of backfills, and does to them.

use serde::Serialize;

use super::error::BackfillError;
use super::job::Job;
use super::keys::Key;
use super::names::Names;
use super::record::{Counts, Range, Record, State, count};
use super::settings::Settings;
use super::store::{ALIVE_SECONDS, Store};
use crate::driver::{
    Batch, CommitError, DriverError, Durability, ResultLimit, Session, Statement, Value,
};
use crate::revision::RevisionId;

/// More notes than this are not counted.
const MOST_NOTES: u64 = 100_000;

/// How a backfill stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// The revision.
    pub revision: String,
    /// `upgrade` or `downgrade`.
    pub direction: String,
    /// The table.
    pub table: String,
    /// What it is doing.
    pub state: State,
    /// Why it failed, where it did.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// How it runs.
    pub settings: Settings,
    /// About how many rows there were when it began.
    pub estimate: u64,
    /// What has been done of all ranges.
    pub counts: Counts,
    /// How many seconds ago it began, or, where it is done, how many it took.
    pub seconds: f64,
    /// Rows that are set aside.
    pub bad_rows: u64,
    /// How many notes of rows that others have added or changed are left to be worked off; 100,001 where they are more than
    /// 100,000.
    pub changed: u64,
    /// Its ranges.
    pub ranges: Vec<RangeReport>,
    /// Who works on it.
    pub workers: Vec<WorkerReport>,
}

impl Status {
    /// Whether a worker has given a sign of life not long ago.
    pub fn is_worked_on(&self) -> bool {
        let is_alive = |worker: &WorkerReport| worker.seen < f64::from(ALIVE_SECONDS);
        self.workers.iter().any(is_alive)
    }

    /// Whether all ranges are done. What is left then is what others have changed, and the end.
    pub fn is_read_through(&self) -> bool {
        !self.ranges.is_empty() && self.ranges.iter().all(|range| range.done)
    }
}

/// How a range stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RangeReport {
    /// Its number.
    pub number: i64,
    /// The key that it begins after; none where it begins at the beginning.
    pub after: Option<String>,
    /// The key that it ends with; none where it has no end.
    pub upto: Option<String>,
    /// How far it has come.
    pub cursor: Option<String>,
    /// Whether it is done.
    pub done: bool,
    /// Whether a worker has it.
    pub taken: bool,
    /// What was done.
    pub counts: Counts,
    /// In how many batches.
    pub batches: u64,
    /// About how many rows it has.
    pub estimate: u64,
    /// How many seconds its batches took.
    pub busy_seconds: f64,
}

/// A worker.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorkerReport {
    /// Where it runs.
    pub place: String,
    /// What it is doing.
    pub doing: String,
    /// Rows that it has read.
    pub rows: u64,
    /// How many seconds ago it said so.
    pub seen: f64,
}

/// A row that was set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BadRowReport {
    /// Its key.
    pub key: String,
    /// What is wrong with it.
    pub error: String,
    /// What was read of it, as JSON.
    pub input: Option<String>,
}

impl RangeReport {
    fn new(range: Range, now: f64) -> Self {
        let key = |key: &Option<Key>| key.as_ref().map(Key::to_string);
        Self {
            number: range.number,
            after: key(&range.span.after),
            upto: key(&range.span.upto),
            cursor: key(&range.cursor),
            done: range.is_done,
            taken: !range.is_done && !range.owner.is_empty() && range.lease_until > now,
            counts: range.counts,
            batches: range.batches,
            estimate: range.estimate,
            busy_seconds: range.busy.as_secs_f64(),
        }
    }
}

impl Store {
    /// How backfills stand; one, or all.
    pub(crate) async fn status(
        &self,
        session: &mut dyn Session,
        revision: Option<&str>,
    ) -> Result<Vec<Status>, DriverError> {
        let mut all = Vec::new();
        for record in self.read(session, revision).await? {
            all.push(self.status_of(session, record).await?);
        }
        Ok(all)
    }

    async fn status_of(
        &self,
        session: &mut dyn Session,
        record: Record,
    ) -> Result<Status, DriverError> {
        let ranges = self.read_ranges(session, &record.revision).await?;
        let workers = self.read_workers(session, &record.revision).await?;
        let bad_rows = self.count_bad_rows(session, &record.revision).await?;
        let changed = match record.state {
            State::Done => 0,
            _ => self.count_notes(session, &record.revision).await?,
        };
        let mut counts = Counts::default();
        ranges.iter().for_each(|range| counts += range.counts);
        let until = match record.state {
            State::Done => record.ended,
            _ => record.now,
        };
        Ok(Status {
            counts,
            bad_rows,
            seconds: (until - record.started).max(0.0),
            changed,
            ranges: ranges
                .into_iter()
                .map(|range| RangeReport::new(range, record.now))
                .collect(),
            workers: workers
                .into_iter()
                .map(|(place, doing, rows, seen)| WorkerReport {
                    place,
                    doing,
                    rows,
                    seen,
                })
                .collect(),
            revision: record.revision,
            direction: record.direction,
            table: record.table,
            state: record.state,
            reason: record.reason,
            settings: record.settings,
            estimate: record.estimate,
        })
    }

    /// How many notes of a backfill there are, as far as they are counted; none where their table is gone.
    async fn count_notes(
        &self,
        session: &mut dyn Session,
        revision: &str,
    ) -> Result<u64, DriverError> {
        let Ok(revision) = RevisionId::new(revision) else {
            return Ok(0);
        };
        let store = self.clone().with_schema(session).await?;
        let names = Names::new(&store, &revision, session.dialect());
        let sql = format!(
            "SELECT count(*) FROM (SELECT 1 FROM {} LIMIT {}) AS notes",
            names.notes,
            MOST_NOTES + 1
        );
        match session.query(&sql, &[], ResultLimit::NONE).await {
            Ok(found) => Ok(count(found.into_rows().into_iter().flatten().next())),
            Err(error) if error.is_undefined_table() => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Rows that were set aside, at most so many.
    pub(crate) async fn bad_row_reports(
        &self,
        session: &mut dyn Session,
        revision: &str,
        most: u64,
    ) -> Result<Vec<BadRowReport>, DriverError> {
        let rows = self.read_bad_rows(session, revision, most).await?;
        let reports = rows.into_iter().map(|row| BadRowReport {
            key: row.key.to_string(),
            error: row.error,
            input: row.input,
        });
        Ok(reports.collect())
    }

    /// Makes one change to the row of a backfill that is not done; returns whether there is one.
    pub(crate) async fn change(
        &self,
        session: &mut dyn Session,
        change: Statement,
    ) -> Result<bool, DriverError> {
        session.begin().await?;
        match session.commit(&[change], Durability::Now).await {
            Ok(()) => Ok(true),
            Err(CommitError::Conflict) => Ok(false),
            Err(CommitError::Record(error)) if error.is_undefined_table() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl Store {
    /// Gives a backfill up that is not done: all that is known of it goes, wherever its table is by now, and what was worked on
    /// stays as it is. Returns whether there was one.
    ///
    /// # Errors
    /// A database error; nothing is changed then.
    pub(crate) async fn abandon(
        self,
        session: &mut dyn Session,
        revision: &RevisionId,
    ) -> Result<bool, DriverError> {
        let store = self.with_schema(session).await?;
        let names = Names::new(&store, revision, session.dialect());
        session.begin().await?;
        let given_up = async {
            // First its row, which the last transaction of a run that ends it changes as well.
            let forget = store.forget_undone(revision.as_str());
            if session.execute(&forget.sql, &forget.params).await? == 0 {
                return Ok(false);
            }
            for sql in names.removals() {
                session.run(&sql).await?;
            }
            for Statement { sql, params } in store.forget_details(revision.as_str()) {
                session.execute(&sql, &params).await?;
            }
            Ok(true)
        };
        match given_up.await {
            Ok(true) => Ok(session.commit(&[], Durability::Now).await.map(|()| true)?),
            Ok(false) => session.rollback().await.map(|()| false),
            Err(error) => {
                // It can only fail with the connection, which takes the transaction with it.
                let _ = session.rollback().await;
                Err(error)
            }
        }
    }
}

impl Job {
    /// Has the rows that were set aside worked on once more: each is noted, as if it had changed. Returns how many.
    ///
    /// # Errors
    /// A [`BackfillError`]; nothing is changed then.
    pub(crate) async fn retry(&self, session: &mut dyn Session) -> Result<u64, BackfillError> {
        let revision = self.revision.as_str();
        session.begin().await?;
        let rows = self
            .store
            .read_bad_rows(session, revision, u64::MAX >> 1)
            .await?;
        let keys: Vec<Vec<Value>> = rows.iter().map(|row| row.key.0.clone()).collect();
        let known: Vec<Vec<Value>> = rows
            .iter()
            .map(|row| vec![Value::from(revision), Value::from(row.key.to_text())])
            .collect();
        let count = rows.len() as u64;
        if count > 0 {
            let keys = std::sync::Arc::new(Batch::from_rows(self.key_width(), keys));
            session.execute_many(&self.note_key(), &keys).await?;
            let known = std::sync::Arc::new(Batch::from_rows(2, known));
            session
                .execute_many(&self.store.take_back(), &known)
                .await?;
        }
        let committed = session.commit(&[], Durability::Now).await;
        committed.map_err(|error| BackfillError::Database(error.into()))?;
        Ok(count)
    }
}
