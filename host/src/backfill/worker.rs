//! A worker: takes ranges, and works on them batch by batch until none is left.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use tokio::sync::{Notify, watch};

use super::Backfill;
use super::batch::{Place, Written};
use super::error::BackfillError;
use super::hands::{Ahead, Caution, Hand, Hands};
use super::job::Job;
use super::lag::Lag;
use super::pace::{Order, Pace};
use super::ranges::Patience;
use super::record::{Range, Record, State};
use super::spec::Change;
use super::store::WORKS;
use crate::driver::{Dialect, Driver, Session, Statement};
use crate::event::{Event, Observer};
use crate::migration::{Call, MigrationError};

/// How long a worker looks for a database that is gone.
const PATIENCE: Duration = Duration::from_secs(300);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long it rests after a batch, at the most.
const LONGEST_REST: Duration = Duration::from_secs(10);
/// How long it waits where there is nothing for it to do now.
const IDLE: Duration = Duration::from_millis(200);

/// What all workers of a process share.
pub(crate) struct Crew {
    pub(crate) driver: Arc<dyn Driver>,
    pub(crate) job: Arc<Job>,
    pub(crate) code: Arc<dyn Backfill>,
    pub(crate) call: Call,
    pub(crate) observer: Arc<dyn Observer>,
    /// Whether the backfill has begun, until which its workers only connect.
    pub(crate) begins: watch::Receiver<bool>,
    /// The machine and the process.
    pub(crate) place: (String, u32),
    /// That a range is done.
    pub(crate) news: Notify,
    /// How many of its workers have nothing to do.
    pub(crate) idle: AtomicU64,
}

impl Crew {
    /// Makes sure that no more rows are written than its author was granted, as far as was last seen.
    pub(super) fn check_limit(&self, record: &Record) -> Result<(), BackfillError> {
        let limit = self.call.grant.limits.rows_written;
        match record.rows_changed <= limit {
            true => Ok(()),
            false => Err(MigrationError::Limit {
                what: "rows-written",
                limit,
                unit: "rows",
            }
            .into()),
        }
    }

    /// Waits until the backfill has begun; `false` where it does not.
    async fn has_begun(&self) -> bool {
        let mut begins = self.begins.clone();
        begins.wait_for(|has_begun| *has_begun).await.is_ok()
    }

    pub(super) fn place(&self) -> (&str, u32) {
        (&self.place.0, self.place.1)
    }
}

/// One worker.
pub(super) struct Worker {
    crew: Arc<Crew>,
    /// Its number in this process; the first one speaks for all.
    index: u32,
    id: String,
    /// How many workers this process is to have.
    wanted: watch::Sender<u32>,
    rows: u64,
    told: String,
    /// What it is doing, as the last sign of life said it, and when that was.
    doing: String,
    signed: Option<Instant>,
    /// Since when it has had nothing to do.
    idle: Option<Instant>,
    lag: Lag,
    caution: Caution,
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.busy();
    }
}

/// Why a worker has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// All ranges are done.
    Done,
    /// There are to be fewer workers.
    NotWanted,
}

/// How a range was left.
enum Left {
    /// It is done.
    Range,
    /// This worker ends.
    Work(Ended),
}

/// What a worker is to do after it has looked.
enum Next {
    /// To go on, with the settings of now.
    Go(Box<Record>),
    /// To end.
    End(Ended),
}

impl Worker {
    pub(super) fn new(crew: Arc<Crew>, index: u32, wanted: watch::Sender<u32>) -> Self {
        Self {
            crew,
            index,
            id: uuid::Uuid::new_v4().to_string(),
            wanted,
            rows: 0,
            told: String::new(),
            doing: WORKS.to_owned(),
            signed: None,
            idle: None,
            lag: Lag::default(),
            caution: Caution::default(),
        }
    }

    /// Works until all ranges are done. What may pass is waited for; a database that is gone, for five minutes.
    ///
    /// # Errors
    /// Why not all is done. All other workers know by then.
    pub(super) async fn run(mut self) -> Result<Ended, BackfillError> {
        let mut lost: Option<Instant> = None;
        let mut pause = FIRST_PAUSE;
        let mut pace = Pace::new();
        loop {
            let before = self.rows;
            let error = match self.work(&mut pace).await {
                Ok(ended) => return Ok(ended),
                Err(BackfillError::TakenOver) => continue,
                Err(error) => error,
            };
            if self.crew.call.cancel.is_requested() {
                self.give_up(&BackfillError::Cancelled).await;
                return Err(BackfillError::Cancelled);
            }
            if self.rows > before {
                (lost, pause) = (None, FIRST_PAUSE);
            }
            let since = *lost.get_or_insert_with(Instant::now);
            if !error.may_pass() || since.elapsed() > PATIENCE {
                self.give_up(&error).await;
                return Err(error);
            }
            self.tell(&trying_again(&error));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.crew.call.cancel.requested() => return Err(BackfillError::Cancelled),
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Says goodbye, and tells the other workers that it is over where it is, as far as the database still listens.
    async fn give_up(&self, error: &BackfillError) {
        // A worker that lost the database says nothing of the backfill.
        if error.may_pass() {
            return;
        }
        let Ok(mut session) = self.crew.driver.connect().await else {
            return;
        };
        self.leave(&mut *session).await;
        let is_news = !matches!(
            error,
            BackfillError::Failed(_) | BackfillError::Stopped | BackfillError::Cancelled
        );
        if !is_news {
            return;
        }
        let job = &self.crew.job;
        let Statement { sql, params } =
            job.store
                .set_state(job.revision.as_str(), State::Failed, &error.to_string());
        // The error itself is what this worker ends with.
        let _ = session.execute(&sql, &params).await;
    }

    /// Opens its connections.
    async fn hands(&self) -> Result<Hands, BackfillError> {
        let Crew {
            driver,
            job,
            code,
            call,
            ..
        } = &*self.crew;
        let is_code = job.change == Change::Transform;
        let is_ahead = is_code && job.dialect == Dialect::Postgresql && job.may_read_ahead();
        let hand = async || {
            Ok::<_, BackfillError>(Hand {
                session: driver.connect().await?,
                transformer: match is_code {
                    true => Some(code.open(call).await?),
                    false => None,
                },
            })
        };
        let hands = (0..if is_ahead { 2 } else { 1 }).map(|_| hand());
        Ok(Hands::new(try_join_all(hands).await?))
    }

    async fn work(&mut self, pace: &mut Pace) -> Result<Ended, BackfillError> {
        let crew = Arc::clone(&self.crew);
        let job = &*crew.job;
        // SQLite has one writer, who is not to be disturbed.
        if job.dialect == Dialect::Sqlite && !crew.has_begun().await {
            return Ok(Ended::Done);
        }
        let mut hands = self.hands().await?;
        if !crew.has_begun().await {
            return Ok(Ended::Done);
        }
        let mut mine: Option<i64> = None;
        loop {
            let record = match self.obey(hands.session()?, None).await? {
                Next::Go(record) => record,
                Next::End(ended) => {
                    self.leave(hands.session()?).await;
                    return Ok(ended);
                }
            };
            let was_mine = mine.is_some();
            let again = match mine.take() {
                Some(number) => {
                    let ranges = job
                        .store
                        .read_ranges(hands.session()?, job.revision.as_str())
                        .await?;
                    ranges.into_iter().find(|range| {
                        range.number == number && range.owner == self.id && !range.is_done
                    })
                }
                None => None,
            };
            let range = match again {
                Some(range) => Some(range),
                None => {
                    if was_mine {
                        // It has taken longer than its lease, and would do so again.
                        pace.shrink();
                    }
                    job.store
                        .claim(hands.session()?, &job.revision, &self.id, job.order)
                        .await?
                }
            };
            let Some(range) = range else {
                let rate = record.settings.rate;
                if self.find_more(hands.session()?, rate).await? {
                    continue;
                }
                self.leave(hands.session()?).await;
                return Ok(Ended::Done);
            };
            let number = range.number;
            self.busy();
            self.tell(WORKS);
            self.sign(hands.session()?, WORKS).await?;
            match self.work_on(&mut hands, range, *record, pace).await {
                Ok(Left::Range) => crew.news.notify_waiters(),
                Ok(Left::Work(ended)) => {
                    self.leave(hands.session()?).await;
                    return Ok(ended);
                }
                Err(BackfillError::TakenOver) => {
                    hands.settle().await?;
                    mine = Some(number);
                }
                Err(error) => {
                    // It comes back after its lease where the connection is gone.
                    let _ = hands.settle().await;
                    if self.is_over(hands.session()?).await {
                        return Ok(Ended::Done);
                    }
                    let _ = job
                        .store
                        .let_go(hands.session()?, &job.revision, number, &self.id)
                        .await;
                    if error.may_pass() {
                        let _ = self.sign(hands.session()?, &trying_again(&error)).await;
                    }
                    return Err(error);
                }
            }
        }
    }

    /// Whether others have done its range, and all else, while it was away: what it needs is not there any more then.
    async fn is_over(&self, writer: &mut dyn Session) -> bool {
        let job = &self.crew.job;
        let found = job.store.read(writer, Some(job.revision.as_str())).await;
        found.is_ok_and(|found| found.iter().any(|record| record.state == State::Done))
    }

    /// Looks for something to do where all ranges are taken; `false` where all are done.
    async fn find_more(
        &mut self,
        writer: &mut dyn Session,
        rate: Option<u64>,
    ) -> Result<bool, BackfillError> {
        let crew = Arc::clone(&self.crew);
        let job = &*crew.job;
        // From before it looks, so that nothing comes in between.
        let news = crew.news.notified();
        let ranges = job.store.read_ranges(writer, job.revision.as_str()).await?;
        if ranges.iter().all(|range| range.is_done) {
            return Ok(false);
        }
        if job.store.bury(writer, job.revision.as_str()).await? {
            return Ok(true);
        }
        let patience = Patience {
            waited: self.idle().elapsed(),
            rate,
        };
        if job.dialect == Dialect::Postgresql && job.split_one(writer, &ranges, patience).await? {
            return Ok(true);
        }
        const DOING: &str = "waits for the last ranges of others";
        self.tell(DOING);
        self.sign(writer, DOING).await?;
        tokio::select! {
            () = tokio::time::sleep(IDLE) => {}
            () = news => {}
        }
        Ok(true)
    }

    /// Since when it has had nothing to do.
    fn idle(&mut self) -> Instant {
        *self.idle.get_or_insert_with(|| {
            self.crew.idle.fetch_add(1, Ordering::Relaxed);
            Instant::now()
        })
    }

    /// Notes that it has something to do, or does not wait for that any more.
    fn busy(&mut self) {
        if self.idle.take().is_some() {
            self.crew.idle.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Says goodbye. It is missed after a while where that cannot be said.
    async fn leave(&self, writer: &mut dyn Session) {
        let Statement { sql, params } = self.crew.job.store.farewell(&self.id);
        let _ = writer.execute(&sql, &params).await;
    }

    /// Does as the operator wishes: waits, ends, or goes on with the settings of now. While it waits, a range that it has is given back.
    async fn obey(
        &mut self,
        writer: &mut dyn Session,
        range: Option<i64>,
    ) -> Result<Next, BackfillError> {
        let crew = Arc::clone(&self.crew);
        let job = &*crew.job;
        let mut is_given_back = false;
        loop {
            if crew.call.cancel.is_requested() {
                return Err(BackfillError::Cancelled);
            }
            let found = job.store.read(writer, Some(job.revision.as_str())).await?;
            let Some(record) = found.into_iter().next() else {
                return Err(BackfillError::Stopped);
            };
            if self.index == 0 {
                self.wanted.send_if_modified(|wanted| {
                    let is_news = *wanted != record.settings.workers;
                    *wanted = record.settings.workers;
                    is_news
                });
                crew.observer.event(&Event::Progress {
                    revision: &job.revision,
                    done: record.rows_read,
                    total: Some(record.estimate.max(record.rows_read)),
                });
            }
            match job.order(writer, &record, &mut self.lag).await? {
                Order::End(State::Done, _) => return Ok(Next::End(Ended::Done)),
                Order::End(State::Failed, reason) => return Err(BackfillError::Failed(reason)),
                Order::End(..) => return Err(BackfillError::Stopped),
                Order::Work if is_given_back => return Err(BackfillError::TakenOver),
                Order::Work if self.index > 0 && self.index >= record.settings.workers => {
                    return Ok(Next::End(Ended::NotWanted));
                }
                Order::Work => {
                    crew.check_limit(&record)?;
                    // What it waited for is over; that it waits for others, only the next claim tells.
                    let doing = match range {
                        Some(_) => WORKS.to_owned(),
                        None => self.doing.clone(),
                    };
                    self.sign(writer, &doing).await?;
                    return Ok(Next::Go(Box::new(record)));
                }
                Order::Wait(reason) => {
                    if let Some(number) = range.filter(|_| !is_given_back) {
                        job.store
                            .let_go(writer, &job.revision, number, &self.id)
                            .await?;
                        is_given_back = true;
                    }
                    self.tell(&format!("waits: {reason}"));
                    self.sign(writer, &reason).await?;
                    tokio::select! {
                        () = tokio::time::sleep(Duration::from_millis(500)) => {}
                        () = crew.call.cancel.requested() => return Err(BackfillError::Cancelled),
                    }
                }
            }
        }
    }

    /// Gives a sign of life, if the last one is not new, or said something else.
    async fn sign(&mut self, writer: &mut dyn Session, doing: &str) -> Result<(), BackfillError> {
        const OFTEN: Duration = Duration::from_secs(2);
        let is_known = self.signed.is_some_and(|signed| signed.elapsed() < OFTEN);
        if is_known && self.doing == doing {
            return Ok(());
        }
        self.signed = Some(Instant::now());
        doing.clone_into(&mut self.doing);
        let job = &self.crew.job;
        let Statement { sql, params } =
            job.store
                .sign_of_life(&job.revision, &self.id, self.crew.place(), doing, self.rows);
        writer.execute(&sql, &params).await?;
        Ok(())
    }

    /// Tells the observer what this process is doing, when that changes.
    fn tell(&mut self, doing: &str) {
        if self.index == 0 && self.told != doing {
            self.told = doing.to_owned();
            self.crew.observer.event(&Event::BackfillState {
                revision: &self.crew.job.revision,
                doing,
            });
        }
    }

    async fn work_on(
        &mut self,
        hands: &mut Hands,
        mut range: Range,
        record: Record,
        pace: &mut Pace,
    ) -> Result<Left, BackfillError> {
        let crew = Arc::clone(&self.crew);
        let job = &*crew.job;
        let mut since = Instant::now();
        // Whether the next batch is one row, since larger ones failed.
        let mut is_single = false;
        let mut owed = Duration::ZERO;
        // Those that have nothing to do are not counted as workers once they have said so.
        let mut idle = crew.idle.load(Ordering::Relaxed);
        let Record {
            mut workers,
            mut settings,
            ..
        } = record;
        loop {
            if pace.is_due() {
                match self.obey(hands.session()?, Some(range.number)).await? {
                    Next::Go(record) => {
                        workers = record.workers;
                        settings = record.settings;
                        idle = crew.idle.load(Ordering::Relaxed);
                    }
                    Next::End(ended) => {
                        hands.settle().await?;
                        job.store
                            .let_go(hands.session()?, &job.revision, range.number, &self.id)
                            .await?;
                        return Ok(Left::Work(ended));
                    }
                }
            }
            let place = Place {
                range: &range,
                owner: &self.id,
                settings: &settings,
                since,
            };
            let most = pace.rows(workers, &settings);
            let written = match hands.are_several() {
                true => {
                    let idle_since = crew.idle.load(Ordering::Relaxed).saturating_sub(idle);
                    let working = workers.saturating_sub(idle_since);
                    let ahead = Ahead::of(working, &settings, owed);
                    hands
                        .write_next(&crew, place, most, ahead, &mut self.caution)
                        .await
                }
                false => Self::write_now(job, hands.idle()?, place, most).await,
            };
            let written = match written {
                Err(error) if error.is_about_data() => {
                    // The row is found by taking fewer and fewer of them.
                    hands.settle().await?;
                    if !(is_single && most == 1) {
                        is_single = most == 1;
                        pace.shrink();
                        continue;
                    }
                    let rest = range.rest();
                    job.set_next_aside(hands.session()?, &rest, place, &error)
                        .await?
                }
                written => written?,
            };
            is_single = false;
            self.rows += written.counts.read;
            pace.learn(written.counts.read, written.took, &settings);
            range.cursor = written.cursor;
            since = written.at;
            if written.is_last {
                // What was read again may have ended sooner.
                hands.settle().await?;
                return Ok(Left::Range);
            }
            owed = pace
                .owed(written.counts.read, workers, &settings)
                .max(job.courtesy(written.took));
            // No worker is away for as long as its lease.
            owed = owed.min(LONGEST_REST);
            if !owed.is_zero() {
                tokio::select! {
                    () = tokio::time::sleep(owed) => {}
                    () = crew.call.cancel.requested() => return Err(BackfillError::Cancelled),
                }
                since = Instant::now();
            }
        }
    }

    async fn write_now(
        job: &Job,
        hand: &mut Hand,
        place: Place<'_>,
        most: usize,
    ) -> Result<Written, BackfillError> {
        let rest = place.range.rest();
        let session = &mut *hand.session;
        match &mut hand.transformer {
            Some(transformer) => {
                job.write_locked(session, &mut **transformer, &rest, most, place)
                    .await
            }
            None => job.express_next(session, &rest, most, place).await,
        }
    }
}

/// What a worker is doing that an error keeps from its work for now.
fn trying_again(error: &BackfillError) -> String {
    format!("waits to try again: {}", super::rows::reason(error))
}

/// What is told of a worker that panicked.
pub(super) fn panicked() -> BackfillError {
    BackfillError::Failed("a worker panicked, which is a fault of Whimbrel's".to_owned())
}
