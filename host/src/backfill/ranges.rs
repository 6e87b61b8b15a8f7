//! Cutting the keys of a table into ranges.

use std::time::Duration;

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
/// A table of fewer rows is not cut.
const FEW: u64 = 2_000;
/// A range whose worker is through with it sooner is left to it: to cut it takes time as well, and a batch of that worker's.
const WORTH: Duration = Duration::from_secs(1);

/// How long a worker that has nothing to do leaves the rest of a range to another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For how long it has done so already.
    pub(super) waited: Duration,
    /// How many rows a second all workers may work on.
    pub(super) rate: Option<u64>,
}

impl Patience {
    /// How many rows have to be left of a range for it to be cut in two, where so many took its worker so long. The last rows
    /// may take longer than those before them, which shows by the wait.
    fn worth(self, rows: u64, busy: Duration) -> u64 {
        if rows == 0 || busy.is_zero() {
            return FEW;
        }
        let speed = rows as f64 / busy.as_secs_f64();
        let speed = self.rate.map_or(speed, |rate| speed.min(rate as f64));
        ((speed * WORTH.saturating_sub(self.waited).as_secs_f64()) as u64).max(2)
    }
}

impl Job {
    /// The ranges to begin with, `parts` at least unless there are few rows: evenly filled, as far as a sample tells, so that
    /// workers have enough to share and none of them is left with the largest part. SQLite, which has one writer, gets one.
    pub(super) async fn first_ranges(
        &self,
        session: &mut dyn Session,
        parts: u32,
    ) -> Result<Vec<Span>, BackfillError> {
        let rows = self.table.rows;
        let wanted = (rows / ROWS).max(parts.into()).min(MOST);
        if self.dialect == Dialect::Sqlite || rows < FEW || wanted < 2 {
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
        patience: Patience,
    ) -> Result<bool, BackfillError> {
        let mut open: Vec<&Range> = ranges.iter().filter(|range| !range.is_done).collect();
        // Those that have come least far have the most left, as they were of one size.
        open.sort_by_key(|range| range.counts.read);
        let next = ranges.iter().map(|range| range.number).max().unwrap_or(0) + 1;
        for range in open {
            let rest = range.rest();
            let worth = patience.worth(range.counts.read, range.busy);
            let left = read(session, &self.count(&rest, worth)).await?;
            let left = left.first().and_then(|row| row.first());
            if left != Some(&Value::Int64(i64::try_from(worth).unwrap_or(i64::MAX))) {
                continue;
            }
            // While all of a large rest is read, its worker moves on, and the cut comes to nothing.
            let rows = self.table.rows;
            let sample = (rows > SAMPLED).then(|| SAMPLED as f64 / 10.0 / rows as f64 * 100.0);
            let mut cut = read(session, &self.cuts(&rest, 2, sample)).await?;
            if cut.is_empty() && sample.is_some() {
                cut = read(session, &self.cuts(&rest, 2, None)).await?;
            }
            let Some(middle) = cut.into_iter().next().map(Key) else {
                continue;
            };
            let second = Span {
                after: Some(middle.clone()),
                upto: rest.upto.clone(),
            };
            session.begin().await?;
            let half = range.estimate.saturating_sub(range.counts.read).max(worth) / 2;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_worth_cutting_by_the_time_that_it_takes() {
        let second = Duration::from_secs(1);
        let after = |waited, rate| Patience { waited, rate };
        let at_once = after(Duration::ZERO, None);
        assert_eq!(
            at_once.worth(0, Duration::ZERO),
            FEW,
            "nothing is known yet"
        );
        assert_eq!(at_once.worth(0, second), FEW);
        assert_eq!(at_once.worth(80_000, second), 80_000);
        assert_eq!(at_once.worth(80_000, second * 4), 20_000);
        assert_eq!(at_once.worth(3, second * 60), 2, "one row cannot be cut");
        let slow = after(Duration::ZERO, Some(3_000));
        assert_eq!(slow.worth(80_000, second), 3_000);
        assert_eq!(after(second / 2, None).worth(80_000, second), 40_000);
        assert_eq!(after(second * 2, None).worth(80_000, second), 2);
    }
}
