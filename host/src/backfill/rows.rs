//! New values for rows that were read: made by the guest, row by row where they cannot be made together, and written.

use std::sync::Arc;

use async_trait::async_trait;

use super::batch::read;
use super::error::BackfillError;
use super::job::Job;
use super::keys::{Key, shown};
use super::record::{BadRow, Counts};
use super::spec::{Drops, Keep};
use super::statements::{Reading, Version};
use crate::driver::{Batch, DriverError, Session, Value};
use crate::migration::MigrationError;

/// Makes new values. It may keep nothing from one call to the next.
#[async_trait]
pub trait Transformer: Send {
    /// Makes the new values of rows, whose columns are those that are read.
    ///
    /// # Errors
    /// A [`MigrationError`]; the same is then tried with fewer rows.
    async fn transform(&mut self, rows: Batch) -> Result<Transformed, MigrationError>;
}

/// New values, a row for each that was given.
#[derive(Debug, Clone, PartialEq)]
pub struct Transformed {
    /// The values of the columns that are written.
    pub values: Batch,
    /// What becomes of each row; empty where all are written.
    pub verdicts: Vec<Verdict>,
}

/// What becomes of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It gets its new values.
    Write,
    /// It stays as it is.
    Keep,
    /// It is deleted.
    Drop,
    /// It cannot be worked on, for this reason.
    Fail(String),
}

/// Rows with what becomes of them.
pub(super) struct Judged {
    /// As they were read.
    pub(super) rows: Batch,
    transformed: Transformed,
}

/// New values on their way into the table.
pub(super) struct Writing {
    pub(super) sql: String,
    pub(super) rows: Arc<Batch>,
}

/// What was done with rows.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) counts: Counts,
    pub(super) bad: Vec<BadRow>,
}

/// A value of a row that cannot be worked on.
fn told(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Text(text) => text.as_str().into(),
        other => shown(other).into(),
    }
}

impl Job {
    /// The key of a row that was read.
    pub(super) fn key_of(&self, rows: &Batch, at: usize) -> Key {
        let mut row = rows.row(at);
        row.truncate(self.key_width());
        Key(row)
    }

    /// The keys of rows that were read, or of some of them.
    pub(super) fn keys_of(&self, rows: &Batch) -> Batch {
        rows.only(0..self.key_width())
    }

    /// Has new values made.
    pub(super) async fn judge(
        &self,
        rows: Batch,
        transformer: &mut dyn Transformer,
    ) -> Result<Judged, BackfillError> {
        let from = self.key_width();
        let read = rows.only(from..from + self.reads.len());
        let transformed = match rows.is_empty() {
            true => Transformed {
                values: Batch::from_rows(self.writes.len(), Vec::new()),
                verdicts: Vec::new(),
            },
            false => self.transform(read, transformer).await?,
        };
        Ok(Judged { rows, transformed })
    }

    /// Has new values made of all rows together, or else of halves, until the row is found that is the reason.
    async fn transform(
        &self,
        rows: Batch,
        transformer: &mut dyn Transformer,
    ) -> Result<Transformed, BackfillError> {
        let len = rows.len();
        let failure = match transformer.transform(rows.clone()).await {
            Ok(made) if made.values.len() != len || made.values.width() != self.writes.len() => {
                MigrationError::Unfinished(format!(
                    "the backfill was given {len} rows and returned {} rows of {} columns; it has to return one for each, with its {} columns",
                    made.values.len(),
                    made.values.width(),
                    self.writes.len()
                ))
            }
            Ok(made) if !made.verdicts.is_empty() && made.verdicts.len() != len => {
                MigrationError::Unfinished(format!(
                    "the backfill was given {len} rows and returned {} verdicts",
                    made.verdicts.len()
                ))
            }
            Ok(made) => return Ok(made),
            Err(error) => error,
        };
        let failure = BackfillError::from(failure);
        if !failure.is_about_data() {
            return Err(failure);
        }
        let halves = match len {
            1 => {
                return Ok(Transformed {
                    values: Batch::from_rows(self.writes.len(), vec![Vec::new()]),
                    verdicts: vec![Verdict::Fail(reason(&failure))],
                });
            }
            _ => [(0, len / 2), (len / 2, len)],
        };
        let mut values = Vec::with_capacity(len);
        let mut verdicts = Vec::with_capacity(len);
        for (start, end) in halves {
            let half = Box::pin(self.transform(rows.slice(start, end), transformer)).await?;
            for at in 0..half.values.len() {
                values.push(half.values.row(at));
                verdicts.push(half.verdicts.get(at).cloned().unwrap_or(Verdict::Write));
            }
        }
        Ok(Transformed {
            values: Batch::from_rows(self.writes.len(), values),
            verdicts,
        })
    }

    /// How the new values of rows that were judged are written; `None` where there are none.
    pub(super) fn writing(
        &self,
        judged: &Judged,
        values: Batch,
        reading: Reading,
    ) -> Option<Writing> {
        let places = judged.places(&Verdict::Write);
        if places.is_empty() {
            return None;
        }
        let rows = values.beside(self.versioned_keys(&judged.rows, reading));
        Some(Writing {
            sql: self.write(reading, &judged.rows),
            rows: Arc::new(match places.len() < rows.len() {
                true => rows.pick(&places),
                false => rows,
            }),
        })
    }

    /// Writes rows as they were judged. With [`Reading::Ahead`], fewer may be written and dropped than were to be: the others
    /// have changed since.
    pub(super) async fn write_judged(
        &self,
        session: &mut dyn Session,
        judged: &Judged,
        writing: Option<&Writing>,
        reading: Reading,
    ) -> Result<Done, BackfillError> {
        let drop = judged.places(&Verdict::Drop);
        let mut done = Done {
            counts: Counts {
                read: judged.rows.len() as u64,
                kept: judged.places(&Verdict::Keep).len() as u64,
                ..Counts::default()
            },
            bad: self.bad_rows(judged),
        };
        done.counts.bad = done.bad.len() as u64;
        if let Some(writing) = writing {
            done.counts.written = self.write_rows(session, judged, writing, reading).await?;
        }
        if drop.is_empty() {
            return Ok(done);
        }
        if self.drops == Drops::Never {
            return Err(BackfillError::Unfit(
                "it drops rows, but does not say so where it describes itself".to_owned(),
            ));
        }
        let keys = self.versioned_keys(&judged.rows, reading).pick(&drop);
        done.counts.dropped = session
            .execute_many(&self.delete(reading, &judged.rows), &Arc::new(keys))
            .await?;
        self.all_there(done.counts.dropped, drop.len(), reading)?;
        Ok(done)
    }

    async fn write_rows(
        &self,
        session: &mut dyn Session,
        judged: &Judged,
        writing: &Writing,
        reading: Reading,
    ) -> Result<u64, BackfillError> {
        if self.keep == Keep::OldValues {
            let (key, from) = (self.key_width(), self.key_width() + self.reads.len());
            let old = judged
                .rows
                .only((0..key).chain(from..from + self.writes.len()))
                .pick(&judged.places(&Verdict::Write));
            session
                .execute_many(&self.keep_row(), &Arc::new(old))
                .await?;
        }
        let touched = session.execute_many(&writing.sql, &writing.rows).await?;
        self.all_there(touched, writing.rows.len(), reading)?;
        Ok(touched)
    }

    fn versioned_keys(&self, rows: &Batch, reading: Reading) -> Batch {
        match Version::of(rows, reading) {
            Version::Each => rows.only((0..self.key_width()).chain([rows.width() - 1])),
            Version::Same(_) | Version::Locked => self.keys_of(rows),
        }
    }

    /// A locked row that is not written is kept from it.
    fn all_there(
        &self,
        touched: u64,
        wanted: usize,
        reading: Reading,
    ) -> Result<(), BackfillError> {
        if reading == Reading::Ahead || touched == wanted as u64 {
            return Ok(());
        }
        Err(BackfillError::Unfit(format!(
            "{wanted} rows of {} were to be changed and {touched} were: a trigger, a rule or a policy of the table keeps the others from it",
            self.table.shown()
        )))
    }

    fn bad_rows(&self, judged: &Judged) -> Vec<BadRow> {
        let verdicts = judged.transformed.verdicts.iter().enumerate();
        verdicts
            .filter_map(|(at, verdict)| match verdict {
                Verdict::Fail(error) => Some(self.bad_row(&judged.rows, at, error)),
                _ => None,
            })
            .collect()
    }

    /// The row of a key, which the database cannot work on.
    pub(super) async fn find_bad_row(
        &self,
        session: &mut dyn Session,
        key: Key,
        error: &str,
    ) -> Result<BadRow, DriverError> {
        let found = read(session, &self.input(&key)).await?;
        let rows = Batch::from_rows(self.key_width() + self.reads.len(), found);
        Ok(match rows.is_empty() {
            false => self.bad_row(&rows, 0, error),
            true => BadRow {
                key,
                error: error.to_owned(),
                input: None,
            },
        })
    }

    fn bad_row(&self, rows: &Batch, at: usize, error: &str) -> BadRow {
        let row = rows.row(at);
        let input: serde_json::Map<String, serde_json::Value> = self
            .reads
            .iter()
            .zip(&row[self.key_width()..])
            .map(|(name, value)| (name.trim_matches('"').to_owned(), told(value)))
            .collect();
        BadRow {
            key: self.key_of(rows, at),
            error: error.to_owned(),
            input: serde_json::to_string(&input).ok(),
        }
    }

    /// Writes rows that nobody else can change, all together or else in halves, until the row is found that the database
    /// refuses.
    pub(super) async fn write_carefully(
        &self,
        session: &mut dyn Session,
        judged: &Judged,
    ) -> Result<Done, BackfillError> {
        const POINT: &str = "whimbrel_rows";
        if judged.rows.is_empty() {
            return Ok(Done::default());
        }
        if let Some(prefer) = self.prefer_lookups() {
            session.run(prefer).await?;
        }
        session.savepoint(POINT).await?;
        let writing = self.writing(judged, judged.values(), Reading::Locked);
        let written = self.write_judged(session, judged, writing.as_ref(), Reading::Locked);
        let failure = match written.await {
            Ok(done) => {
                session.release_savepoint(POINT).await?;
                return Ok(done);
            }
            Err(error) if error.is_about_data() => error,
            Err(error) => return Err(error),
        };
        session.rollback_to_savepoint(POINT).await?;
        let len = judged.rows.len();
        if len == 1 {
            return Ok(Done {
                counts: Counts {
                    read: 1,
                    bad: 1,
                    ..Counts::default()
                },
                bad: vec![self.bad_row(&judged.rows, 0, &reason(&failure))],
            });
        }
        let mut done = Done::default();
        for (start, end) in [(0, len / 2), (len / 2, len)] {
            let half = Box::pin(self.write_carefully(session, &judged.slice(start, end))).await?;
            done.counts += half.counts;
            done.bad.extend(half.bad);
        }
        Ok(done)
    }
}

impl Judged {
    /// The new values of all rows.
    pub(super) fn values(&self) -> Batch {
        self.transformed.values.clone()
    }

    /// The same, which are not there any more then.
    pub(super) fn take_values(&mut self) -> Batch {
        std::mem::take(&mut self.transformed.values)
    }

    /// Those rows that this becomes of.
    fn places(&self, wanted: &Verdict) -> Vec<usize> {
        match self.transformed.verdicts.is_empty() {
            true if *wanted == Verdict::Write => (0..self.rows.len()).collect(),
            true => Vec::new(),
            false => (self.transformed.verdicts.iter().enumerate())
                .filter(|(_, verdict)| *verdict == wanted)
                .map(|(at, _)| at)
                .collect(),
        }
    }

    /// How many rows are to be changed.
    pub(super) fn changes(&self) -> u64 {
        (self.places(&Verdict::Write).len() + self.places(&Verdict::Drop).len()) as u64
    }

    /// The rows that are to be changed.
    pub(super) fn changed_rows(&self) -> Batch {
        let mut places = self.places(&Verdict::Write);
        places.extend(self.places(&Verdict::Drop));
        match places.len() == self.rows.len() {
            true => self.rows.clone(),
            false => self.rows.pick(&places),
        }
    }

    fn slice(&self, start: usize, end: usize) -> Self {
        let verdicts = &self.transformed.verdicts;
        Self {
            rows: self.rows.slice(start, end),
            transformed: Transformed {
                values: self.transformed.values.slice(start, end),
                verdicts: verdicts.get(start..end).unwrap_or_default().to_vec(),
            },
        }
    }
}

/// The innermost reason of a failure, in one line.
pub(super) fn reason(error: &BackfillError) -> String {
    if let BackfillError::Database(DriverError::Database(report)) = error {
        return match &report.detail {
            Some(detail) => format!("{} ({detail})", report.message),
            None => report.message.clone(),
        };
    }
    let mut error: &dyn std::error::Error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
