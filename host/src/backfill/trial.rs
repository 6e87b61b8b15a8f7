//! A backfill that is tried in a transaction which is rolled back: on some of its rows, or on all.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::batch::read;
use super::error::BackfillError;
use super::job::Job;
use super::keys::{Key, Span, shown};
use super::record::{BadRow, Counts};
use super::rows::{Done, Transformer, reason};
use super::spec::{Change, Keep};
use crate::driver::{Dialect, DriverError, Session, Statement, Value};
use crate::event::microseconds;

/// How many places of the table a sample is taken from.
const PLACES: u64 = 20;
/// How many rows are shown.
const SHOWN: usize = 5;
/// How many rows are worked on at once.
const AT_ONCE: u64 = 10_000;
/// A table of more rows is sampled to find places in it.
const SAMPLED: u64 = 500_000;

/// What a backfill did to the rows that it was tried on, and what it would take to do all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trial {
    /// The table, with its schema, in quotes.
    pub table: String,
    /// About how many rows it has.
    pub rows: u64,
    /// How many were tried.
    pub tried: u64,
    /// What was done to them.
    #[serde(flatten)]
    pub counts: Counts,
    /// How long that took.
    #[serde(rename = "duration_us", serialize_with = "microseconds")]
    pub duration: Duration,
    /// How many bytes of write-ahead log the server wrote meanwhile, for others as well; none on SQLite.
    pub wal_bytes: Option<u64>,
    /// Some rows, as they were and as they would be.
    pub examples: Vec<Example>,
    /// What could not be worked on, by kind, the most frequent first.
    pub errors: Vec<ErrorKind>,
    /// What all rows would take.
    pub forecast: Forecast,
}

/// A row as it was, and as it would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Example {
    /// Its key.
    pub key: String,
    /// What was read of it.
    pub reads: Vec<Cell>,
    /// What is written: before.
    pub before: Vec<Cell>,
    /// And after; none where the row would be deleted.
    pub after: Option<Vec<Cell>>,
}

/// A value of a column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cell {
    /// The column.
    pub column: String,
    /// The value as people read it, shortened.
    pub value: String,
}

/// Rows that could not be worked on for reasons that look the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorKind {
    /// The reason of the first.
    pub error: String,
    /// How many there are.
    pub rows: u64,
    /// The key of the first.
    pub key: String,
}

/// What all rows would take, by one worker, at the pace of those that were tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Forecast {
    /// How long, without pauses.
    #[serde(rename = "duration_us", serialize_with = "microseconds")]
    pub duration: Duration,
    /// How much write-ahead log; none where that is not known.
    pub wal_bytes: Option<u64>,
}

/// What is collected while rows are tried.
#[derive(Default)]
struct Tried {
    done: Done,
    /// How many rows were looked at, whether the condition holds for them or not.
    scanned: u64,
    keys: Vec<Key>,
    before: Vec<Vec<Value>>,
}

impl Job {
    /// Works on so many rows from all over the table, or on all of them, in the transaction that is open.
    ///
    /// # Errors
    /// A [`BackfillError`]; rows that cannot be worked on are none.
    pub(crate) async fn try_out(
        &self,
        session: &mut dyn Session,
        mut transformer: Option<&mut (dyn Transformer + '_)>,
        sample: Option<u64>,
    ) -> Result<Trial, BackfillError> {
        if self.keep == Keep::OldValues {
            session.run(&self.forget_old_values()).await?;
            for sql in self.old_values_definitions() {
                session.run(&sql).await?;
            }
        }
        self.prepare_transaction(session).await?;
        let (spans, each) = self.places(session, sample).await?;
        let log = self.log_position(session).await?;
        let started = Instant::now();
        let mut tried = Tried::default();
        // One of each place, where there are several.
        let shown = SHOWN.div_ceil(spans.len());
        for span in spans {
            let mut rest = Some(span);
            let mut left = each;
            while let Some(span) = rest.take().filter(|_| left > 0) {
                let most = left.min(AT_ONCE);
                let (within, next, count) = self.next_span(session, &span, most).await?;
                if left == each {
                    self.look(session, &within, shown, &mut tried).await?;
                }
                let done = match &mut transformer {
                    Some(transformer) => {
                        self.transform_span(session, &mut **transformer, &within)
                            .await?
                    }
                    None => self.express_carefully(session, &within, count).await?,
                };
                tried.scanned += count;
                tried.done.counts += done.counts;
                tried.done.bad.extend(done.bad);
                left -= most;
                rest = next;
            }
        }
        let duration = started.elapsed();
        let wal_bytes = match (log, self.log_position(session).await?) {
            (Some(before), Some(after)) => u64::try_from(after - before).ok(),
            _ => None,
        };
        self.report(session, tried, duration, wal_bytes).await
    }

    /// Where rows are tried, and how many in each place.
    async fn places(
        &self,
        session: &mut dyn Session,
        sample: Option<u64>,
    ) -> Result<(Vec<Span>, u64), BackfillError> {
        let rows = self.table.rows;
        let Some(sample) = sample.filter(|sample| *sample < rows) else {
            return Ok((vec![Span::default()], u64::MAX));
        };
        let places = PLACES.min(sample.max(1));
        let percent = (rows > SAMPLED).then(|| SAMPLED as f64 / 5.0 / rows as f64 * 100.0);
        let cuts = read(session, &self.cuts(&Span::default(), places, percent)).await?;
        let mut spans = vec![Span::default()];
        for cut in cuts {
            let key = Some(Key(cut));
            if let Some(last) = spans.last_mut() {
                last.upto = key.clone();
            }
            spans.push(Span {
                after: key,
                upto: None,
            });
        }
        let each = sample.div_ceil(spans.len() as u64);
        Ok((spans, each))
    }

    /// The first rows of a span, what comes after them, and how many they are.
    async fn next_span(
        &self,
        session: &mut dyn Session,
        span: &Span,
        most: u64,
    ) -> Result<(Span, Option<Span>, u64), BackfillError> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let (last, count) = self
            .last_of_next(session, &self.boundary(span, most))
            .await?;
        if last.is_none() {
            return Ok((span.clone(), None, 0));
        }
        let first = Span {
            after: span.after.clone(),
            upto: last.clone(),
        };
        let rest = (count >= most as u64).then(|| Span {
            after: last,
            upto: span.upto.clone(),
        });
        Ok((first, rest, count))
    }

    /// Keeps the first rows of a span to be shown.
    async fn look(
        &self,
        session: &mut dyn Session,
        span: &Span,
        most: usize,
        tried: &mut Tried,
    ) -> Result<(), DriverError> {
        let most = most.min(SHOWN.saturating_sub(tried.keys.len()));
        if most == 0 {
            return Ok(());
        }
        for mut row in read(session, &self.shown_rows(span, most)).await? {
            let rest = row.split_off(self.key_width());
            tried.keys.push(Key(row));
            tried.before.push(rest);
        }
        Ok(())
    }

    /// Has the database make the values of a span, or else of its halves, until the row is found that is the reason.
    async fn express_carefully(
        &self,
        session: &mut dyn Session,
        span: &Span,
        count: u64,
    ) -> Result<Done, BackfillError> {
        const POINT: &str = "whimbrel_rows";
        let Change::Expression(set) = &self.change else {
            return Err(BackfillError::Unfit("it has no expression".to_owned()));
        };
        session.savepoint(POINT).await?;
        let mut done = Done::default();
        let failure = match self.express_span(session, set, span).await {
            Ok(written) => {
                session.release_savepoint(POINT).await?;
                done.counts.read = count;
                done.counts.written = written;
                done.counts.kept = count.saturating_sub(written);
                return Ok(done);
            }
            Err(error) if error.is_about_data() => error,
            Err(error) => return Err(error),
        };
        session.rollback_to_savepoint(POINT).await?;
        if count <= 1 {
            done.counts.read = count;
            done.counts.bad = 1;
            done.bad.push(BadRow {
                key: span.upto.clone().unwrap_or(Key(Vec::new())),
                error: reason(&failure),
                input: None,
            });
            return Ok(done);
        }
        let (first, rest, half) = self.next_span(session, span, count / 2).await?;
        for (span, count) in [(Some(first), half), (rest, count - half)] {
            let Some(span) = span else { continue };
            let part = Box::pin(self.express_carefully(session, &span, count)).await?;
            done.counts += part.counts;
            done.bad.extend(part.bad);
        }
        Ok(done)
    }

    /// Has the code make the values of a span.
    async fn transform_span(
        &self,
        session: &mut dyn Session,
        transformer: &mut dyn Transformer,
        span: &Span,
    ) -> Result<Done, BackfillError> {
        let mut done = Done::default();
        let mut rest = span.clone();
        loop {
            let most = usize::try_from(AT_ONCE).unwrap_or(usize::MAX);
            let (rows, done_with, is_last) = self.fetch_locked(session, &rest, most).await?;
            let judged = self.judge(rows, transformer).await?;
            let written = self.write_carefully(session, &judged).await?;
            done.counts += written.counts;
            done.bad.extend(written.bad);
            if is_last {
                return Ok(done);
            }
            rest.after = done_with.upto;
        }
    }

    /// How far the server has written its log.
    async fn log_position(&self, session: &mut dyn Session) -> Result<Option<i64>, DriverError> {
        if self.dialect != Dialect::Postgresql {
            return Ok(None);
        }
        const POSITION: &str = "SELECT CAST(pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), '0/0') AS bigint)";
        let found = read(session, &Statement::new(POSITION, [])).await?;
        Ok(match found.first().and_then(|row| row.first()) {
            Some(Value::Int64(position)) => Some(*position),
            _ => None,
        })
    }

    async fn report(
        &self,
        session: &mut dyn Session,
        tried: Tried,
        duration: Duration,
        wal_bytes: Option<u64>,
    ) -> Result<Trial, BackfillError> {
        let mut examples = Vec::with_capacity(tried.keys.len());
        for (key, mut before) in tried.keys.into_iter().zip(tried.before) {
            let after = read(session, &self.shown_row(&key)).await?;
            let before_writes = before.split_off(self.reads.len());
            examples.push(Example {
                reads: cells(&self.reads, &before),
                before: cells(&self.writes, &before_writes),
                after: after
                    .into_iter()
                    .next()
                    .map(|after| cells(&self.writes, &after)),
                key: key.to_string(),
            });
        }
        let rows = self.table.rows.max(tried.scanned);
        let times = rows as f64 / tried.scanned.max(1) as f64;
        Ok(Trial {
            table: self.table.shown(),
            rows,
            counts: tried.done.counts,
            tried: tried.scanned,
            duration,
            wal_bytes,
            examples,
            errors: kinds(tried.done.bad),
            forecast: Forecast {
                duration: Duration::try_from_secs_f64(duration.as_secs_f64() * times)
                    .unwrap_or(Duration::MAX),
                wal_bytes: wal_bytes.map(|bytes| (bytes as f64 * times) as u64),
            },
        })
    }
}

fn cells(names: &[String], values: &[Value]) -> Vec<Cell> {
    let cell = |(name, value): (&String, &Value)| Cell {
        column: name.trim_matches('"').replace("\"\"", "\""),
        value: shown(value),
    };
    names.iter().zip(values).map(cell).collect()
}

/// Rows by what is wrong with them.
fn kinds(bad: Vec<BadRow>) -> Vec<ErrorKind> {
    let mut kinds: BTreeMap<String, ErrorKind> = BTreeMap::new();
    for row in bad {
        let kind = kinds
            .entry(without_values(&row.error))
            .or_insert_with(|| ErrorKind {
                error: row.error,
                rows: 0,
                key: row.key.to_string(),
            });
        kind.rows += 1;
    }
    let mut kinds: Vec<ErrorKind> = kinds.into_values().collect();
    kinds.sort_by_key(|kind| std::cmp::Reverse(kind.rows));
    kinds
}

/// A reason without the numbers and the texts in quotes that differ from row to row.
fn without_values(reason: &str) -> String {
    let mut kind = String::with_capacity(reason.len());
    let mut quote = None;
    for c in reason.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '`') => {
                quote = Some(c);
                kind.push('…');
            }
            (None, '(') => {
                quote = Some(')');
                kind.push('…');
            }
            (None, c) if c.is_ascii_digit() => {
                if !kind.ends_with('#') {
                    kind.push('#');
                }
            }
            (None, c) => kind.push(c),
        }
    }
    kind
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_of_one_kind_whatever_their_values() {
        let bad = |key: i64, error: &str| BadRow {
            key: Key(vec![Value::Int64(key)]),
            error: error.to_owned(),
            input: None,
        };
        let found = kinds(vec![
            bad(
                1,
                "null value in column \"a\" (Failing row contains (1, null).)",
            ),
            bad(2, "invalid input syntax for type integer: \"x\""),
            bad(3, "invalid input syntax for type integer: \"y2\""),
            bad(4, "row 17 is odd"),
            bad(5, "row 9 is odd"),
            bad(6, "row 1234 is odd"),
        ]);
        let found: Vec<(u64, &str, &str)> = found
            .iter()
            .map(|kind| (kind.rows, kind.key.as_str(), kind.error.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                (3, "4", "row 17 is odd"),
                (2, "2", "invalid input syntax for type integer: \"x\""),
                (
                    1,
                    "1",
                    "null value in column \"a\" (Failing row contains (1, null).)"
                ),
            ]
        );
    }
}
