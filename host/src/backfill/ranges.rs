//! Cutting the keys of a table into ranges.

use super::batch::read;
use super::error::BackfillError;
use super::job::Job;
use super::keys::{Key, Span};
use super::record::Range;
use crate::driver::{Dialect, Durability, Session, Value};

/// About how many rows a range is to have: so many that it seldom matters that nothing is read ahead of its first batch.
const ROWS: u64 = 500_000;
const MOST: u64 = 256;
/// A table of more rows is sampled.
const SAMPLED: u64 = 500_000;
/// How many rows of each range a sample is to have.
const SAMPLE: f64 = 2_500.0;
/// Ranges with fewer rows left are not cut in two.
const WORTH: u64 = 2_000;

impl Job {
    /// The ranges to begin with: evenly filled, as far as a sample tells, so that workers have enough to share and none of
    /// them is left with the largest part. SQLite, which has one writer, gets one.
    pub(super) async fn first_ranges(
        &self,
        session: &mut dyn Session,
        workers: u32,
    ) -> Result<Vec<Span>, BackfillError> {
        let rows = self.table.rows;
        let wanted = (rows / ROWS).max(u64::from(workers) * 4).min(MOST);
        if self.dialect == Dialect::Sqlite || rows < WORTH || wanted < 2 {
            return Ok(vec![Span::default()]);
        }
        let sample =
            (rows > SAMPLED).then(|| (SAMPLE * wanted as f64 / rows as f64 * 100.0).min(100.0));
        let cuts = read(session, &self.cuts(&Span::default(), wanted, sample)).await?;
        let mut after = None;
        let mut spans = Vec::with_capacity(cuts.len() + 1);
        for cut in cuts {
            let upto = Some(Key(cut));
            if upto != after {
                spans.push(Span {
                    after,
                    upto: upto.clone(),
                });
            }
            after = upto;
        }
        spans.push(Span { after, upto: None });
        Ok(spans)
    }

    /// Cuts what is left of another worker's range in two, so that there is something to do for one more; returns whether
    /// that was worth it. The other worker notices when it next commits, and goes on with its half.
    pub(super) async fn split_one(
        &self,
        session: &mut dyn Session,
        ranges: &[Range],
    ) -> Result<bool, BackfillError> {
        let mut open: Vec<&Range> = ranges.iter().filter(|range| !range.is_done).collect();
        // Those that have come least far have the most left, as they were of one size.
        open.sort_by_key(|range| range.counts.read);
        let next = ranges.iter().map(|range| range.number).max().unwrap_or(0) + 1;
        for range in open {
            let rest = range.rest();
            let left = read(session, &self.count(&rest, WORTH)).await?;
            let left = left.first().and_then(|row| row.first());
            if left != Some(&Value::Int64(i64::try_from(WORTH).unwrap_or(i64::MAX))) {
                continue;
            }
            let cut = read(session, &self.cuts(&rest, 2, None)).await?;
            let Some(middle) = cut.into_iter().next().map(Key) else {
                continue;
            };
            let second = Span {
                after: Some(middle.clone()),
                upto: rest.upto.clone(),
            };
            session.begin().await?;
            let half = range.estimate.saturating_sub(range.counts.read).max(WORTH) / 2;
            let first = range.counts.read + half;
            let records = [
                self.store.shorten(&self.revision, range, &middle, first),
                self.store.add_range(&self.revision, next, &second, half),
            ];
            // The range has moved on meanwhile, or another worker was faster: the next look tells.
            return Ok(session.commit(&records, Durability::Deferred).await.is_ok());
        }
        Ok(false)
    }
}
