//! One batch: its rows, its notes, and the place that its range has come to, in one transaction.

use std::time::{Duration, Instant};

use super::error::BackfillError;
use super::job::Job;
use super::keys::{Key, Span};
use super::record::{BadRow, Counts, Range};
use super::rows::{Done, Judged, Transformer, Writing, reason};
use super::settings::{BadRows, Settings};
use super::spec::{Change, Keep};
use super::statements::Reading;
use super::store::Advance;
use crate::driver::{
    Batch, CommitError, Dialect, DriverError, Durability, ResultLimit, Session, Statement, Value,
};

/// How much of a batch the host holds, in bytes; a larger one is read with fewer rows.
const LARGEST: u64 = 32 << 20;

/// How long the server waits for the next statement of a batch, in milliseconds. A worker that is cut off from it must not keep
/// its rows locked until TCP gives up, which takes hours.
const LONGEST_SILENCE: u32 = 60_000;

/// Rows that were read and judged before they are locked.
pub(super) struct Prepared {
    judged: Judged,
    writing: Option<Writing>,
    pub(super) span: Span,
    /// Where the range is when they are written.
    pub(super) cursor: Option<Key>,
    pub(super) is_last: bool,
    /// How long that took.
    pub(super) took: Duration,
}

impl Prepared {
    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.judged.rows.len()
    }
}

/// A batch that is written, in a transaction that is open.
pub(super) struct Open {
    done: Done,
    /// Since when.
    since: Instant,
}

/// A worker's place in a range.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) range: &'a Range,
    pub(super) owner: &'a str,
    pub(super) settings: &'a Settings,
    /// When it began with this batch.
    pub(super) since: Instant,
}

impl Place<'_> {
    /// How long the batch has taken, in microseconds.
    fn busy_us(&self) -> i64 {
        i64::try_from(self.since.elapsed().as_micros()).unwrap_or(i64::MAX)
    }
}

/// A batch that is in effect.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) counts: Counts,
    pub(super) cursor: Option<Key>,
    pub(super) is_last: bool,
    /// When it was.
    pub(super) at: Instant,
    /// How long it took: its transaction, or what came before it where that took longer.
    pub(super) took: Duration,
}

/// Reads rows as columns, as many bytes as a batch may have.
async fn within_memory(
    session: &mut dyn Session,
    statement: &Statement,
) -> Result<Batch, DriverError> {
    let limit = ResultLimit {
        rows: u64::MAX,
        bytes: LARGEST,
    };
    let rows = session
        .query_table(&statement.sql, &statement.params, limit)
        .await?;
    Ok(Batch::from(rows))
}

/// What the database has and cannot be read is no fault of one row.
fn unread(error: DriverError) -> BackfillError {
    match error {
        DriverError::Conversion(why) => BackfillError::Unfit(why),
        error => BackfillError::Database(error),
    }
}

/// Runs a statement of the host's and reads its rows.
pub(super) async fn read(
    session: &mut dyn Session,
    statement: &Statement,
) -> Result<Vec<Vec<Value>>, DriverError> {
    let found = session
        .query_table(&statement.sql, &statement.params, ResultLimit::NONE)
        .await?;
    Ok(found.into_rows())
}

impl Job {
    /// Reads the next rows of a span, has their new values made, and the session ready to write them. Nothing is locked. What
    /// is left of the span after them is told as soon as it is known.
    pub(super) async fn prepare(
        &self,
        session: &mut dyn Session,
        transformer: &mut dyn Transformer,
        rest: &Span,
        most: usize,
        tell: impl FnOnce(Option<Span>) + Send,
    ) -> Result<Prepared, BackfillError> {
        let started = Instant::now();
        let (rows, is_last) = self.fetch(session, rest, most).await?;
        let (span, cursor) = self.reach(&rows, rest, is_last)?;
        tell((!is_last).then(|| Span {
            after: cursor.clone(),
            upto: rest.upto.clone(),
        }));
        let mut judged = self.judge(rows, transformer).await?;
        let values = judged.take_values();
        let writing = self.writing(&judged, values, Reading::Ahead);
        if let Some(writing) = &writing {
            session.will_execute_many(&writing.sql, &writing.rows).await;
        }
        Ok(Prepared {
            judged,
            writing,
            span,
            cursor,
            is_last,
            took: started.elapsed(),
        })
    }

    /// Reads rows without locks; fewer where so many are too large.
    async fn fetch(
        &self,
        session: &mut dyn Session,
        rest: &Span,
        most: usize,
    ) -> Result<(Batch, bool), BackfillError> {
        let mut most = most.max(1);
        loop {
            match within_memory(session, &self.read_ahead(rest, most)).await {
                Ok(rows) => {
                    let is_last = rows.len() < most;
                    return Ok((rows, is_last));
                }
                Err(DriverError::Limit { .. }) if most > 1 => most /= 2,
                Err(error) => return Err(unread(error)),
            }
        }
    }

    /// Reads rows and locks them; fewer where so many are too large. Returns the span that they are all rows of as well, and
    /// whether it is the last one.
    pub(super) async fn fetch_locked(
        &self,
        session: &mut dyn Session,
        rest: &Span,
        most: usize,
    ) -> Result<(Batch, Span, bool), BackfillError> {
        let mut most = most.max(1);
        loop {
            let (end, count) = self
                .last_of_next(session, &self.end_of_next(rest, most))
                .await?;
            let end = end.filter(|_| count >= most as u64);
            let is_last = end.is_none() || end == rest.upto;
            let span = Span {
                after: rest.after.clone(),
                upto: end.or_else(|| rest.upto.clone()),
            };
            match within_memory(session, &self.read_locked(&span)).await {
                Ok(rows) => return Ok((rows, span, is_last)),
                Err(DriverError::Limit { .. }) if most > 1 => most /= 2,
                Err(error) => return Err(unread(error)),
            }
        }
    }

    /// The span that rows are all of, and how far the range is done with them.
    fn reach(
        &self,
        rows: &Batch,
        rest: &Span,
        is_last: bool,
    ) -> Result<(Span, Option<Key>), BackfillError> {
        let last = rows.len().checked_sub(1).map(|at| self.key_of(rows, at));
        self.is_whole(last.as_ref())?;
        let upto = match is_last {
            true => rest.upto.clone(),
            false => last.clone(),
        };
        let span = Span {
            after: rest.after.clone(),
            upto: upto.clone(),
        };
        Ok((span, upto.or(last).or_else(|| rest.after.clone())))
    }

    /// Runs a statement that asks for the last of the next rows: its key, and how many they are.
    pub(super) async fn last_of_next(
        &self,
        session: &mut dyn Session,
        next: &Statement,
    ) -> Result<(Option<Key>, u64), BackfillError> {
        let found = read(session, next).await.map_err(unread)?;
        let Some(mut row) = found.into_iter().next() else {
            return Ok((None, 0));
        };
        let count = match row.pop() {
            Some(Value::Int64(count)) => u64::try_from(count).unwrap_or_default(),
            _ => 0,
        };
        let key = Some(Key(row));
        self.is_whole(key.as_ref())?;
        Ok((key, count))
    }

    /// Nothing comes after a key that is null, and so all would seem to be done.
    fn is_whole(&self, key: Option<&Key>) -> Result<(), BackfillError> {
        match key {
            Some(key) if key.0.contains(&Value::Null) => Err(BackfillError::Unfit(format!(
                "a row of {} has no key",
                self.table.shown()
            ))),
            _ => Ok(()),
        }
    }

    /// Begins a transaction, and tells since when it is open.
    pub(super) async fn open(&self, session: &mut dyn Session) -> Result<Instant, DriverError> {
        let since = Instant::now();
        session.begin().await?;
        self.prepare_transaction(session).await?;
        Ok(since)
    }

    /// What holds for a transaction that writes rows, once it is open.
    pub(super) async fn prepare_transaction(
        &self,
        session: &mut dyn Session,
    ) -> Result<(), DriverError> {
        if self.dialect != Dialect::Postgresql {
            return Ok(());
        }
        let mut settings = vec![
            (
                "idle_in_transaction_session_timeout",
                LONGEST_SILENCE.to_string(),
            ),
            // As statements were read when they were judged.
            ("standard_conforming_strings", "on".to_owned()),
        ];
        if let Ok(patience) = i32::try_from(self.patience.as_millis()) {
            settings.push(("statement_timeout", patience.to_string()));
        }
        settings.extend(self.sign());
        let set: Vec<String> = (settings.into_iter())
            .map(|(name, value)| format!("pg_catalog.set_config('{name}', '{value}', true)"))
            .collect();
        let set = Statement::new(format!("SELECT {}", set.join(", ")), []);
        read(session, &set).await.map(|_| ())
    }

    /// Writes rows that were prepared, and commits them.
    pub(super) async fn write_prepared(
        &self,
        session: &mut dyn Session,
        prepared: &Prepared,
        transformer: &mut dyn Transformer,
        place: Place<'_>,
    ) -> Result<Written, BackfillError> {
        let open = self.write_open(session, prepared, transformer).await?;
        self.finish(session, prepared, open, place).await
    }

    /// Writes rows that were prepared, and leaves the transaction open. Those that have changed since are read again, now with
    /// their locks.
    pub(super) async fn write_open(
        &self,
        session: &mut dyn Session,
        prepared: &Prepared,
        transformer: &mut dyn Transformer,
    ) -> Result<Open, BackfillError> {
        let since = self.open(session).await?;
        let (judged, writing) = (&prepared.judged, prepared.writing.as_ref());
        let mut done = self
            .write_judged(session, judged, writing, Reading::Ahead)
            .await?;
        if done.counts.written + done.counts.dropped == judged.changes() {
            self.forget_notes(session, &prepared.span, || judged.changed_rows())
                .await?;
        } else {
            let again = self.read_unwritten(&prepared.span);
            let rows = session
                .query_table(&again.sql, &again.params, ResultLimit::NONE)
                .await?;
            let again = self.judge(Batch::from(rows), transformer).await?;
            let first = done.counts;
            let writing = self.writing(&again, again.values(), Reading::Locked);
            done = self
                .write_judged(session, &again, writing.as_ref(), Reading::Locked)
                .await?;
            done.counts.read += first.written + first.dropped;
            done.counts.written += first.written;
            done.counts.dropped += first.dropped;
            // Of what was read ahead, only what was written is locked; others may have been deleted and be back.
            self.forget_written_notes(session, &prepared.span).await?;
            self.forget_notes(session, &prepared.span, || again.rows.clone())
                .await?;
        }
        Ok(Open { done, since })
    }

    /// Commits rows that are written.
    pub(super) async fn finish(
        &self,
        session: &mut dyn Session,
        prepared: &Prepared,
        Open { done, since }: Open,
        place: Place<'_>,
    ) -> Result<Written, BackfillError> {
        let advance = Advance {
            range: place.range,
            owner: place.owner,
            cursor: prepared.cursor.as_ref(),
            is_done: prepared.is_last,
            counts: done.counts,
            busy_us: place.busy_us(),
        };
        let mut written = self
            .close(session, done, advance, place.settings, since)
            .await?;
        written.took = written.took.max(prepared.took);
        Ok(written)
    }

    /// The next rows of a range, read with their locks and written as well as they can be.
    pub(super) async fn write_locked(
        &self,
        session: &mut dyn Session,
        transformer: &mut dyn Transformer,
        rest: &Span,
        most: usize,
        place: Place<'_>,
    ) -> Result<Written, BackfillError> {
        let since = self.open(session).await?;
        let note = self.note_before(session).await?;
        let (rows, span, is_last) = self.fetch_locked(session, rest, most).await?;
        let last = rows.len().checked_sub(1).map(|at| self.key_of(&rows, at));
        let cursor = span.upto.clone().or(last).or_else(|| rest.after.clone());
        let judged = self.judge(rows, transformer).await?;
        let done = self.write_carefully(session, &judged).await?;
        match note {
            None => {
                self.forget_notes(session, &span, || judged.rows.clone())
                    .await?
            }
            Some(note) => self.forget_all_notes(session, &span, note).await?,
        }
        let advance = Advance {
            range: place.range,
            owner: place.owner,
            cursor: cursor.as_ref(),
            is_done: is_last,
            counts: done.counts,
            busy_us: place.busy_us(),
        };
        self.close(session, done, advance, place.settings, since)
            .await
    }

    /// Has the database work on the next rows of a range.
    pub(super) async fn express_next(
        &self,
        session: &mut dyn Session,
        rest: &Span,
        most: usize,
        place: Place<'_>,
    ) -> Result<Written, BackfillError> {
        let Change::Expression(set) = &self.change else {
            return Err(BackfillError::Unfit("it has no expression".to_owned()));
        };
        let since = self.open(session).await?;
        let note = self.note_before(session).await?;
        let (last, count) = self
            .last_of_next(session, &self.boundary(rest, most))
            .await?;
        let is_last = count < most as u64;
        let upto = match is_last {
            true => rest.upto.clone(),
            false => last.clone(),
        };
        let cursor = upto
            .clone()
            .or_else(|| last.clone())
            .or_else(|| rest.after.clone());
        let span = Span {
            after: rest.after.clone(),
            upto,
        };
        let mut done = Done::default();
        done.counts.read = count;
        done.counts.written = self.express_span(session, set, &span).await?;
        done.counts.kept = count.saturating_sub(done.counts.written);
        match note {
            None => self.forget_written_notes(session, &span).await?,
            Some(note) => self.forget_all_notes(session, &span, note).await?,
        }
        let advance = Advance {
            range: place.range,
            owner: place.owner,
            cursor: cursor.as_ref(),
            is_done: is_last,
            counts: done.counts,
            busy_us: place.busy_us(),
        };
        self.close(session, done, advance, place.settings, since)
            .await
    }

    /// Sets the next row of a range aside, which cannot be written for this reason.
    pub(super) async fn set_next_aside(
        &self,
        session: &mut dyn Session,
        rest: &Span,
        place: Place<'_>,
        error: &BackfillError,
    ) -> Result<Written, BackfillError> {
        let since = self.open(session).await?;
        let next = match self.change {
            Change::Transform => self.end_of_next(rest, 1),
            Change::Expression(_) => self.boundary(rest, 1),
        };
        let (Some(key), _) = self.last_of_next(session, &next).await? else {
            // Somebody has taken it away.
            return Err(BackfillError::TakenOver);
        };
        let bad = self
            .find_bad_row(session, key.clone(), &reason(error))
            .await?;
        let mut done = Done::default();
        done.counts.read = 1;
        done.counts.bad = 1;
        done.bad.push(bad);
        let advance = Advance {
            range: place.range,
            owner: place.owner,
            cursor: Some(&key),
            is_done: rest.upto.as_ref() == Some(&key),
            counts: done.counts,
            busy_us: 0,
        };
        self.close(session, done, advance, place.settings, since)
            .await
    }

    pub(super) async fn express_span(
        &self,
        session: &mut dyn Session,
        set: &str,
        span: &Span,
    ) -> Result<u64, BackfillError> {
        if self.keep == Keep::OldValues {
            let keep = self.keep_span(span);
            session.execute(&keep.sql, &keep.params).await?;
        }
        let Statement { sql, params } = self.express(set, span);
        Ok(session.execute(&sql, &params).await?)
    }

    /// The number of the last note, where all that follow are this transaction's own.
    pub(super) async fn note_before(
        &self,
        session: &mut dyn Session,
    ) -> Result<Option<i64>, DriverError> {
        if self.dialect != Dialect::Sqlite {
            return Ok(None);
        }
        let found = read(session, &Statement::new(self.last_note(), [])).await?;
        Ok(match found.first().and_then(|row| row.first()) {
            Some(Value::Int64(note)) => Some(*note),
            _ => Some(0),
        })
    }

    /// Forgets what was noted about rows of a span that this transaction has locked.
    async fn forget_notes(
        &self,
        session: &mut dyn Session,
        span: &Span,
        rows: impl FnOnce() -> Batch + Send,
    ) -> Result<(), DriverError> {
        if read(session, &self.find_notes(span)).await?.is_empty() {
            return Ok(());
        }
        let keys = std::sync::Arc::new(self.keys_of(&rows()));
        session.execute_many(&self.forget_key(), &keys).await?;
        Ok(())
    }

    /// The same, where the database knows which rows they are.
    async fn forget_written_notes(
        &self,
        session: &mut dyn Session,
        span: &Span,
    ) -> Result<(), DriverError> {
        if read(session, &self.find_notes(span)).await?.is_empty() {
            return Ok(());
        }
        let written = read(session, &self.written(span)).await?;
        let keys = std::sync::Arc::new(Batch::from_rows(self.key_width(), written));
        session.execute_many(&self.forget_key(), &keys).await?;
        Ok(())
    }

    /// Forgets all that was noted about a span, and what this transaction's own changes have noted.
    async fn forget_all_notes(
        &self,
        session: &mut dyn Session,
        span: &Span,
        note: i64,
    ) -> Result<(), DriverError> {
        for Statement { sql, params } in [self.forget_span(span), self.forget_after(note)] {
            session.execute(&sql, &params).await?;
        }
        Ok(())
    }

    /// Sets rows aside, as far as that is allowed.
    pub(super) async fn set_rows_aside(
        &self,
        session: &mut dyn Session,
        bad: &[BadRow],
        settings: &Settings,
    ) -> Result<(), BackfillError> {
        let Some(last) = bad.last() else {
            return Ok(());
        };
        if settings.bad_rows == BadRows::Fail {
            return Err(BackfillError::BadRow {
                table: self.table.shown(),
                key: bad[0].key.to_string(),
                reason: bad[0].error.clone(),
            });
        }
        for row in bad {
            let Statement { sql, params } = self.store.set_aside(&self.revision, row);
            session.execute(&sql, &params).await?;
        }
        let count = self
            .store
            .count_bad_rows(session, self.revision.as_str())
            .await?;
        match count <= settings.max_bad_rows {
            true => Ok(()),
            false => Err(BackfillError::TooManyBadRows {
                table: self.table.shown(),
                count,
                limit: settings.max_bad_rows,
                key: last.key.to_string(),
                reason: last.error.clone(),
            }),
        }
    }

    /// Commits a batch with the place that its range has come to. It need not be on the disk yet: what a crash of the server
    /// takes, it takes with that place.
    async fn close(
        &self,
        session: &mut dyn Session,
        done: Done,
        advance: Advance<'_>,
        settings: &Settings,
        since: Instant,
    ) -> Result<Written, BackfillError> {
        self.set_rows_aside(session, &done.bad, settings).await?;
        let record = self.store.advance(&self.revision, &advance);
        match session.commit(&[record], Durability::Deferred).await {
            Ok(()) => Ok(Written {
                counts: advance.counts,
                cursor: advance.cursor.cloned(),
                is_last: advance.is_done,
                at: Instant::now(),
                took: since.elapsed(),
            }),
            Err(CommitError::Conflict) => Err(BackfillError::TakenOver),
            Err(CommitError::Commit(error) | CommitError::Record(error)) => Err(error.into()),
        }
    }
}
