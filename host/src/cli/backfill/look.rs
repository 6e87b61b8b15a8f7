//! What several looks at a backfill tell of its speed.

use std::collections::HashMap;

use serde::Serialize;
use whimbrel::backfill::{State, Status};

/// A backfill, and how fast it is, where that is known.
#[derive(Debug, Serialize)]
pub(super) struct Look {
    #[serde(flatten)]
    pub(super) status: Status,
    /// Rows that are read a second.
    #[serde(rename = "rows_per_second")]
    pub(super) speed: Option<f64>,
    /// How long the rows that are left take.
    #[serde(rename = "seconds_left")]
    pub(super) left: Option<Left>,
}

/// How many seconds something takes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Left {
    /// At the speed that was seen.
    pub(super) likely: f64,
    /// Nineteen times out of twenty it is between this
    pub(super) low: f64,
    /// and this; none where what was seen is too uneven to tell.
    pub(super) high: Option<f64>,
}

/// Rows a second.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Rate {
    mean: f64,
    /// Nineteen times out of twenty the true mean lies between this
    low: f64,
    /// and this.
    high: f64,
}

/// What was seen of the speeds of backfills.
#[derive(Debug, Default)]
pub(super) struct Rates {
    known: HashMap<String, Seen>,
}

#[derive(Debug)]
struct Seen {
    seconds: f64,
    rows: u64,
    rates: Vec<f64>,
}

impl Rates {
    /// Of how many looks the speed is made, at the most.
    const MEMORY: usize = 30;

    /// Takes another look; four of them tell a speed.
    pub(super) fn look(&mut self, status: Status) -> Look {
        let rate = self.learn(&status).map(|rate| match status.settings.rate {
            Some(most) => rate.at_most(most as f64),
            None => rate,
        });
        let rows = status.estimate.saturating_sub(status.counts.read);
        let is_open = !status.is_read_through();
        Look {
            speed: rate.map(|rate| tenths(rate.mean)),
            left: rate
                .filter(|_| is_open)
                .and_then(|rate| rate.time_for(rows)),
            status,
        }
    }

    /// Forgets what was seen: nobody has looked for a while.
    pub(super) fn forget(&mut self) {
        self.known.clear();
    }

    fn learn(&mut self, status: &Status) -> Option<Rate> {
        let (seconds, rows) = (status.seconds, status.counts.read);
        let key = &status.revision;
        // What is paused has no speed, and one that begins anew has another.
        let is_going_on = |seen: &Seen| {
            status.state == State::Running && seen.seconds < seconds && seen.rows <= rows
        };
        let Some(seen) = self.known.get_mut(key).filter(|seen| is_going_on(seen)) else {
            let seen = Seen {
                seconds,
                rows,
                rates: Vec::new(),
            };
            self.known.insert(key.clone(), seen);
            return None;
        };
        seen.rates
            .push((rows - seen.rows) as f64 / (seconds - seen.seconds));
        if seen.rates.len() > Self::MEMORY {
            seen.rates.remove(0);
        }
        (seen.seconds, seen.rows) = (seconds, rows);
        Rate::of(&seen.rates)
    }
}

impl Rate {
    fn of(rates: &[f64]) -> Option<Self> {
        // Student's factors for a few looks; for more they come close to that of the normal distribution.
        let factor = match rates.len() {
            0..3 => return None,
            3 => 4.3,
            4 => 3.2,
            5 => 2.8,
            6..=9 => 2.5,
            10..=19 => 2.2,
            _ => 2.0,
        };
        let len = rates.len() as f64;
        let mean = rates.iter().sum::<f64>() / len;
        let variance = rates.iter().map(|rate| (rate - mean).powi(2)).sum::<f64>() / (len - 1.0);
        // Of the mean, not of one look.
        let margin = factor * (variance / len).sqrt();
        Some(Self {
            mean,
            low: mean - margin,
            high: mean + margin,
        })
    }

    /// The same, knowing that it cannot be higher for long: a few looks may have seen more batches than come in that time.
    fn at_most(self, most: f64) -> Self {
        Self {
            mean: self.mean.min(most),
            low: self.low.min(most),
            high: self.high.min(most),
        }
    }

    fn time_for(self, rows: u64) -> Option<Left> {
        let time = |rate: f64| tenths(rows as f64 / rate);
        (self.mean > 0.0).then(|| Left {
            likely: time(self.mean),
            low: time(self.high),
            // Nearly standing still, it could take any time.
            high: (self.low > self.mean / 10.0).then(|| time(self.low)),
        })
    }
}

fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_rate_is_certain() {
        assert_eq!(Rate::of(&[1.0, 2.0]), None);
        let steady = Rate::of(&[100.0; 5]);
        assert_eq!(
            steady.and_then(|rate| rate.time_for(1_000)),
            Some(Left {
                likely: 10.0,
                low: 10.0,
                high: Some(10.0)
            })
        );
    }

    #[test]
    fn an_uneven_one_is_not_and_the_fewer_the_looks_the_less() {
        let left = |rates: &[f64]| Rate::of(rates).and_then(|rate| rate.time_for(1_000));
        let few = left(&[90.0, 110.0, 100.0]).map(|left| (left.low, left.high));
        assert_eq!(few, Some((8.0, Some(13.3))));
        let many = left(&[90.0, 110.0, 100.0].repeat(10)).map(|left| (left.low, left.high));
        assert_eq!(many, Some((9.7, Some(10.3))));
        assert_eq!(left(&[0.0, 300.0, 0.0]).map(|left| left.high), Some(None));
        assert_eq!(left(&[0.0; 4]), None);
        let limited = Rate::of(&[0.0, 300.0, 0.0]).map(|rate| rate.at_most(50.0));
        let left = limited.and_then(|rate| rate.time_for(1_000));
        assert_eq!(left.map(|left| (left.likely, left.low)), Some((20.0, 20.0)));
    }
}
