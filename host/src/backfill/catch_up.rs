//! The rows that others have added or changed meanwhile, and the proof that none is left.

use std::sync::Arc;

use super::batch::read;
use super::error::BackfillError;
use super::job::Job;
use super::keys::Key;
use super::record::{Counts, Range};
use super::rows::{Transformer, reason};
use super::settings::Settings;
use super::spec::{Change, Keep};
use crate::driver::{Batch, Dialect, Durability, ResultLimit, Session, Statement, Value};

/// How many notes one transaction works off.
pub(super) const AT_ONCE: usize = 2_000;

impl Job {
    /// Works off some of the notes in a transaction of its own; returns how many there were.
    ///
    /// # Errors
    /// A [`BackfillError`]; the transaction is rolled back then.
    pub(super) async fn catch_up(
        &self,
        session: &mut dyn Session,
        transformer: Option<&mut dyn Transformer>,
        settings: &Settings,
        most: usize,
    ) -> Result<usize, BackfillError> {
        self.open(session).await?;
        let caught = self
            .catch_up_within(session, transformer, settings, most)
            .await;
        match caught {
            Ok((0, _)) => {
                session.rollback().await?;
                Ok(0)
            }
            Ok((count, _)) => {
                let committed = session.commit(&[], Durability::Deferred).await;
                committed.map_err(|error| BackfillError::Database(error.into()))?;
                Ok(count)
            }
            Err(error) => {
                // A rollback can only fail with the connection, which takes the transaction with it.
                let _ = session.rollback().await;
                Err(error)
            }
        }
    }

    /// Works off some of the notes in the open transaction.
    ///
    /// A note is only forgotten where its row is locked by this transaction, so that whoever changes it next notes it again,
    /// or where there was no such row when the note was seen.
    pub(super) async fn catch_up_within(
        &self,
        session: &mut dyn Session,
        transformer: Option<&mut dyn Transformer>,
        settings: &Settings,
        most: usize,
    ) -> Result<(usize, Counts), BackfillError> {
        let before = self.note_before(session).await?;
        let notes = read(session, &Statement::new(self.read_notes(most), [])).await?;
        let Some(Value::Int64(last)) = notes.last().and_then(|note| note.first()).cloned() else {
            return Ok((0, Counts::default()));
        };
        let count = notes.len();
        let mut ids = Vec::with_capacity(count);
        let mut noted = Vec::with_capacity(count);
        for mut note in notes {
            ids.push(vec![note.remove(0)]);
            noted.push(note);
        }
        let (done, locked) = match &self.change {
            Change::Transform => {
                let Some(transformer) = transformer else {
                    return Err(BackfillError::Unfit("it has no code".to_owned()));
                };
                let Statement { sql, params } = self.read_noted(last);
                let rows = session
                    .query_table(&sql, &params, ResultLimit::NONE)
                    .await?;
                let judged = self.judge(Batch::from(rows), transformer).await?;
                let done = self.write_carefully(session, &judged).await?;
                (done, self.keys_of(&judged.rows))
            }
            Change::Expression(set) => {
                let (counts, written) = self.express_notes(session, set, last).await?;
                let done = super::rows::Done {
                    counts,
                    bad: Vec::new(),
                };
                (done, written)
            }
        };
        self.take_back_rows(session, &noted).await?;
        self.set_rows_aside(session, &done.bad, settings).await?;
        if !locked.is_empty() {
            session
                .execute_many(&self.forget_key(), &Arc::new(locked))
                .await?;
        }
        let ids = Arc::new(Batch::from_rows(1, ids));
        session.execute_many(&self.forget_note(), &ids).await?;
        if let Some(before) = before {
            let Statement { sql, params } = self.forget_after(before);
            session.execute(&sql, &params).await?;
        }
        Ok((count, done.counts))
    }

    /// Has the database work on noted rows; returns the keys of those that it has written.
    async fn express_notes(
        &self,
        session: &mut dyn Session,
        set: &str,
        last: i64,
    ) -> Result<(Counts, Batch), BackfillError> {
        if self.keep == Keep::OldValues {
            let keep = self.keep_noted(last);
            session.execute(&keep.sql, &keep.params).await?;
        }
        let Statement { sql, params } = self.express_noted(set, last);
        let written = session.execute(&sql, &params).await?;
        let counts = Counts {
            read: written,
            written,
            ..Counts::default()
        };
        let keys = match self.dialect {
            Dialect::Postgresql => read(session, &self.written_noted(last)).await?,
            Dialect::Sqlite => Vec::new(),
        };
        Ok((counts, Batch::from_rows(self.key_width(), keys)))
    }

    /// Rows that were set aside and have changed since are worked on anew.
    async fn take_back_rows(
        &self,
        session: &mut dyn Session,
        noted: &[Vec<Value>],
    ) -> Result<(), BackfillError> {
        let revision = self.revision.as_str();
        if self.store.count_bad_rows(session, revision).await? == 0 {
            return Ok(());
        }
        let keys = noted.iter().map(|key| {
            let key = Key(key.clone()).to_text();
            vec![Value::from(revision), Value::from(key)]
        });
        let keys = Arc::new(Batch::from_rows(2, keys.collect()));
        session.execute_many(&self.store.take_back(), &keys).await?;
        Ok(())
    }

    /// Sets the row of the oldest note aside.
    pub(super) async fn set_noted_aside(
        &self,
        session: &mut dyn Session,
        settings: &Settings,
        error: &BackfillError,
    ) -> Result<(), BackfillError> {
        self.open(session).await?;
        let notes = read(session, &Statement::new(self.read_notes(1), [])).await?;
        let Some(mut note) = notes.into_iter().next() else {
            return Ok(session.rollback().await?);
        };
        let id = note.remove(0);
        let aside = async {
            let row = self
                .find_bad_row(session, Key(note), &reason(error))
                .await?;
            self.set_rows_aside(session, &[row], settings).await
        };
        if let Err(error) = aside.await {
            // The connection takes the transaction with it where it cannot be rolled back.
            let _ = session.rollback().await;
            return Err(error);
        }
        session.execute(&self.forget_note(), &[id]).await?;
        let committed = session.commit(&[], Durability::Deferred).await;
        committed.map_err(|error| BackfillError::Database(error.into()))
    }
}

/// Makes sure that ranges lie end to end over all keys, and that all of them are done.
///
/// # Errors
/// [`BackfillError::Unproven`] says what is not as it should be.
pub(super) fn prove(ranges: &[Range]) -> Result<(), BackfillError> {
    let unproven = |what: String| Err(BackfillError::Unproven(what));
    if let Some(open) = ranges.iter().find(|range| !range.is_done) {
        return unproven(format!("range {} is not done", open.number));
    }
    let mut at: Option<&Key> = None;
    let mut seen = 0_usize;
    loop {
        let mut next = ranges
            .iter()
            .filter(|range| range.span.after.as_ref() == at);
        let (Some(range), None) = (next.next(), next.next()) else {
            return unproven(match at {
                Some(key) => format!("not exactly one range begins after {key}"),
                None => "not exactly one range begins at the beginning".to_owned(),
            });
        };
        seen += 1;
        match &range.span.upto {
            Some(key) if range.cursor.as_ref() != Some(key) => {
                return unproven(format!("range {} did not come to its end", range.number));
            }
            None if seen == ranges.len() => return Ok(()),
            None => return unproven("ranges overlap".to_owned()),
            Some(_) if seen > ranges.len() => return unproven("ranges go in a circle".to_owned()),
            Some(key) => at = Some(key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys::Span;
    use super::*;

    fn key(at: i64) -> Option<Key> {
        Some(Key(vec![Value::Int64(at)]))
    }

    fn range(number: i64, after: Option<Key>, upto: Option<Key>) -> Range {
        Range {
            number,
            cursor: upto.clone().or_else(|| key(1_000)),
            span: Span { after, upto },
            is_done: true,
            owner: String::new(),
            lease_until: 0.0,
            counts: Counts::default(),
            batches: 1,
            estimate: 1,
            busy: std::time::Duration::ZERO,
        }
    }

    fn whole() -> Vec<Range> {
        vec![
            range(0, None, key(10)),
            range(1, key(20), None),
            range(2, key(10), key(20)),
        ]
    }

    #[test]
    fn ranges_end_to_end_are_a_proof() {
        assert!(prove(&whole()).is_ok());
        assert!(prove(&[range(0, None, None)]).is_ok());
    }

    #[test]
    fn whatever_is_missing_is_noticed() {
        let refused = |ranges: &[Range]| matches!(prove(ranges), Err(BackfillError::Unproven(_)));
        assert!(refused(&[]));
        for gone in 0..3 {
            let mut ranges = whole();
            ranges.remove(gone);
            assert!(refused(&ranges), "without {gone}");
            let mut ranges = whole();
            ranges[gone].is_done = false;
            assert!(refused(&ranges), "{gone} not done");
            let mut ranges = whole();
            ranges.push(ranges[gone].clone());
            assert!(refused(&ranges), "{gone} twice");
        }
        let mut short = whole();
        short[0].cursor = key(9);
        assert!(refused(&short));
        let circle = [range(0, None, key(10)), range(1, key(10), key(10))];
        assert!(refused(&circle));
    }
}
