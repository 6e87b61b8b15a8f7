//! How many rows a batch has, and when a worker waits.

use std::time::{Duration, Instant};

use super::batch::read;
use super::error::BackfillError;
use super::job::Job;
use super::lag::Lag;
use super::record::{Record, State};
use super::settings::Settings;
use crate::driver::{Dialect, DriverError, Session, Statement, Value};

/// Rows of the first batch.
const FIRST: usize = 500;
const MOST: usize = 20_000;
/// Fewer rows do not make a batch shorter that is short already: its round trips take that time.
const FEWEST: f64 = 50.0;
const SHORT: Duration = Duration::from_millis(50);
/// How many batches a second there are at least under a rate: writers notice one large one more than many small ones.
const SPREAD: u64 = 10;
/// How often the operator's wishes are read.
const LOOK: Duration = Duration::from_millis(500);

/// The pace of one worker.
pub(super) struct Pace {
    rows: f64,
    looked: Option<Instant>,
    /// Rows that may be written by now, at the operator's rate, and since when that is counted.
    allowance: (f64, Instant),
}

/// What a worker is to do.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Order {
    /// To go on.
    Work,
    /// To wait, for this reason.
    Wait(String),
    /// To end, since the backfill has.
    End(State, String),
}

impl Pace {
    pub(super) fn new() -> Self {
        Self {
            rows: FIRST as f64,
            looked: None,
            allowance: (0.0, Instant::now()),
        }
    }

    /// How many rows the next batch of one of `workers` has: not more than a tenth of its part of what a second may have, so
    /// that they are spread, and it is back within its lease.
    pub(super) fn rows(&self, workers: u64, settings: &Settings) -> usize {
        let rate = settings.rate.unwrap_or(u64::MAX) / workers.max(1) / SPREAD;
        let most = usize::try_from(rate).unwrap_or(usize::MAX).clamp(1, MOST);
        (self.rows as usize).clamp(1, most)
    }

    /// Learns from a batch of so many rows. The number doubles at most, and falls as far as it has to and helps.
    pub(super) fn learn(&mut self, rows: u64, took: Duration, settings: &Settings) {
        let target = settings.batch.as_secs_f64();
        let factor = (target / took.as_secs_f64().max(1e-6)).clamp(0.1, 2.0);
        // A short batch at the end of a range says little.
        if rows as f64 >= self.rows * 0.9 || factor < 1.0 {
            let least = match took < SHORT {
                true => FEWEST.min(self.rows),
                false => 1.0,
            };
            self.rows = (self.rows * factor).clamp(least, MOST as f64);
        }
    }

    /// Far fewer rows, down to one, after a row of the batch was refused.
    pub(super) fn shrink(&mut self) {
        self.rows = (self.rows / 8.0).max(1.0);
    }

    /// How long to wait so that so many rows more are within the rate that each of `workers` has a part of.
    pub(super) fn owed(&mut self, rows: u64, workers: u64, settings: &Settings) -> Duration {
        let Some(rate) = settings.rate else {
            return Duration::ZERO;
        };
        let rate = rate as f64 / workers.max(1) as f64;
        let (before, since) = self.allowance;
        let now = Instant::now();
        // What was not used is soon gone.
        let now_owed = (before - now.duration_since(since).as_secs_f64() * rate).max(-rate / 10.0)
            + rows as f64;
        self.allowance = (now_owed, now);
        Duration::try_from_secs_f64(now_owed.max(0.0) / rate).unwrap_or(Duration::from_secs(60))
    }

    /// Whether it is time to look at what the operator wants.
    pub(super) fn is_due(&mut self) -> bool {
        let is_due = self.looked.is_none_or(|looked| looked.elapsed() >= LOOK);
        if is_due {
            self.looked = Some(Instant::now());
        }
        is_due
    }
}

impl Job {
    /// How long others are let in after a batch that took so long. PostgreSQL has a queue for each lock; SQLite's writers look
    /// again every 25 to 50 ms at first, and later less often, and would find one batch after another in their way.
    pub(super) fn courtesy(&self, took: Duration) -> Duration {
        match self.dialect {
            Dialect::Postgresql => Duration::ZERO,
            Dialect::Sqlite => took / 4,
        }
    }

    /// What the operator, and the state of the database, have a worker do.
    pub(super) async fn order(
        &self,
        session: &mut dyn Session,
        record: &Record,
        lag: &mut Lag,
    ) -> Result<Order, BackfillError> {
        match record.state {
            State::Running => {}
            State::Paused => return Ok(Order::Wait("paused".to_owned())),
            state => return Ok(Order::End(state, record.reason.clone())),
        }
        let settings = &record.settings;
        if let Some(window) = settings.window
            && !window.contains(record.minute)
        {
            return Ok(Order::Wait(format!("outside of its time of day, {window}")));
        }
        if let Some(load) = &settings.load
            && is_loaded(session, load).await?
        {
            return Ok(Order::Wait("the load query says so".to_owned()));
        }
        if self.dialect == Dialect::Sqlite {
            return Ok(Order::Work);
        }
        if let Some(most) = settings.max_lag
            && let Some((replica, behind)) = lag.look(session).await?
            && behind > most
        {
            let seconds = behind.as_secs_f64();
            return Ok(Order::Wait(format!("{replica} is {seconds:.1} s behind")));
        }
        if let Some(most) = settings.max_dead {
            let dead = self.dead_rows(session).await?;
            if dead > most as f64 {
                return Ok(Order::Wait(format!(
                    "{dead:.0} dead rows wait for autovacuum"
                )));
            }
        }
        Ok(Order::Work)
    }

    /// How many dead rows the table has, with its partitions.
    async fn dead_rows(&self, session: &mut dyn Session) -> Result<f64, DriverError> {
        const DEAD: &str = "SELECT coalesce(sum(s.n_dead_tup), 0)::double precision \
             FROM pg_catalog.pg_stat_all_tables s, (SELECT $1::text::pg_catalog.regclass::oid AS id) t \
             WHERE s.relid = t.id OR s.relid IN (SELECT p.relid FROM pg_catalog.pg_partition_tree(t.id) p)";
        let table = Value::from(self.table.name.as_str());
        let found = read(session, &Statement::new(DEAD, [table])).await?;
        Ok(match found.first().and_then(|row| row.first()) {
            Some(Value::Float64(number)) => *number,
            _ => 0.0,
        })
    }
}

/// What a load query says. On PostgreSQL it can read, and nothing else: whoever may write Whimbrel's tables must not have workers
/// write others.
///
/// # Errors
/// [`BackfillError::Unfit`] where it cannot be run.
pub(crate) async fn is_loaded(
    session: &mut dyn Session,
    load: &str,
) -> Result<bool, BackfillError> {
    let query = Statement::new(load, []);
    let found = match session.dialect() {
        Dialect::Sqlite => read(session, &query).await,
        Dialect::Postgresql => {
            session.begin().await?;
            let asked = async {
                session.run("SET TRANSACTION READ ONLY").await?;
                read(session, &query).await
            };
            let found = asked.await;
            session.rollback().await?;
            found
        }
    };
    let found = found.map_err(|error| match error.is_lost() || error.is_transient() {
        true => BackfillError::Database(error),
        false => BackfillError::Unfit(format!("the load query `{load}` cannot be run: {error}")),
    })?;
    let first = found.first().and_then(|row| row.first());
    Ok(first.is_some_and(is_true))
}

fn is_true(value: &Value) -> bool {
    match value {
        Value::Boolean(truth) => *truth,
        Value::Int16(number) => *number != 0,
        Value::Int32(number) => *number != 0,
        Value::Int64(number) => *number != 0,
        Value::Float32(number) => *number != 0.0,
        Value::Float64(number) => *number != 0.0,
        Value::Numeric(text) => text.parse() != Ok(0.0),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_grow_and_shrink_towards_their_time() {
        let settings = Settings::default();
        let mut pace = Pace::new();
        pace.learn(FIRST as u64, Duration::from_millis(10), &settings);
        assert_eq!(pace.rows(1, &settings), FIRST * 2);
        pace.learn(FIRST as u64 * 2, Duration::from_secs(5), &settings);
        assert_eq!(pace.rows(1, &settings), FIRST / 5);
        pace.learn(3, Duration::from_millis(1), &settings);
        assert_eq!(
            pace.rows(1, &settings),
            FIRST / 5,
            "the end of a range says nothing"
        );
        pace.shrink();
        pace.shrink();
        pace.shrink();
        assert_eq!(pace.rows(1, &settings), 1);
    }

    #[test]
    fn a_short_batch_is_not_made_of_ever_fewer_rows() {
        let settings = Settings {
            batch: Duration::from_millis(2),
            ..Settings::default()
        };
        let mut pace = Pace::new();
        for _ in 0..5 {
            let rows = pace.rows(1, &settings) as u64;
            pace.learn(rows, Duration::from_millis(40), &settings);
        }
        assert_eq!(pace.rows(1, &settings), 50);
        pace.learn(50, Duration::from_millis(60), &settings);
        assert_eq!(
            pace.rows(1, &settings),
            5,
            "it is long, and so its rows are why"
        );
    }

    #[test]
    fn a_rate_is_kept() {
        let settings = Settings {
            rate: Some(1_000),
            ..Settings::default()
        };
        let mut pace = Pace::new();
        let first = pace.owed(1_000, 2, &settings);
        assert!(first > Duration::from_millis(1_900) && first <= Duration::from_secs(2));
        let second = pace.owed(500, 2, &settings);
        assert!(second > Duration::from_millis(2_900) && second <= Duration::from_secs(3));
        assert_eq!(pace.owed(500, 2, &Settings::default()), Duration::ZERO);
        assert_eq!(pace.rows(1, &settings), 100);
        assert_eq!(pace.rows(4, &settings), 25);
        assert_eq!(pace.rows(5_000, &settings), 1);
    }
}
