//! A worker: takes ranges, and works on them batch by batch until none is left.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::Backfill;
use super::batch::{Place, Prepared, Written};
use super::error::BackfillError;
use super::job::Job;
use super::keys::Span;
use super::lag::Lag;
use super::pace::{Order, Pace};
use super::ranges::Patience;
use super::record::{Range, Record, State};
use super::rows::Transformer;
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
    /// The machine and the process.
    pub(crate) place: (String, u32),
    /// That a range is done.
    pub(crate) news: Notify,
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
}

/// Its connections.
struct Tools {
    hand: Hand,
    /// Where rows can be read ahead: what prepares the next batch while this one is written, and then writes it.
    other: Option<Hand>,
    /// How much sooner than a batch was written the next one was ready, the last time.
    slack: Duration,
}

/// A connection, and what makes new values of what is read on it.
struct Hand {
    session: Box<dyn Session>,
    /// None where the database makes them.
    transformer: Option<Box<dyn Transformer>>,
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

    async fn tools(&self) -> Result<Tools, BackfillError> {
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
        Ok(Tools {
            hand: hand().await?,
            other: match is_ahead {
                true => Some(hand().await?),
                false => None,
            },
            slack: Duration::ZERO,
        })
    }

    async fn work(&mut self, pace: &mut Pace) -> Result<Ended, BackfillError> {
        let mut tools = self.tools().await?;
        let crew = Arc::clone(&self.crew);
        let job = &*crew.job;
        let mut mine: Option<i64> = None;
        loop {
            let record = match self.obey(&mut *tools.hand.session, None).await? {
                Next::Go(record) => record,
                Next::End(ended) => {
                    self.leave(&mut *tools.hand.session).await;
                    return Ok(ended);
                }
            };
            let was_mine = mine.is_some();
            let again = match mine.take() {
                Some(number) => {
                    let ranges = job
                        .store
                        .read_ranges(&mut *tools.hand.session, job.revision.as_str())
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
                        .claim(&mut *tools.hand.session, &job.revision, &self.id, job.order)
                        .await?
                }
            };
            let Some(range) = range else {
                let rate = record.settings.rate;
                if self.find_more(&mut *tools.hand.session, rate).await? {
                    continue;
                }
                self.leave(&mut *tools.hand.session).await;
                return Ok(Ended::Done);
            };
            let number = range.number;
            self.idle = None;
            self.tell(WORKS);
            self.sign(&mut *tools.hand.session, WORKS).await?;
            match self.work_on(&mut tools, range, *record, pace).await {
                Ok(Left::Range) => crew.news.notify_waiters(),
                Ok(Left::Work(ended)) => {
                    self.leave(&mut *tools.hand.session).await;
                    return Ok(ended);
                }
                Err(BackfillError::TakenOver) => {
                    tools.hand.session.rollback().await?;
                    mine = Some(number);
                }
                Err(error) => {
                    // It comes back after its lease where the connection is gone.
                    let _ = tools.hand.session.rollback().await;
                    if self.is_over(&mut *tools.hand.session).await {
                        return Ok(Ended::Done);
                    }
                    let _ = job
                        .store
                        .let_go(&mut *tools.hand.session, &job.revision, number, &self.id)
                        .await;
                    if error.may_pass() {
                        let _ = self
                            .sign(&mut *tools.hand.session, &trying_again(&error))
                            .await;
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
            waited: self.idle.get_or_insert_with(Instant::now).elapsed(),
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
        tools: &mut Tools,
        mut range: Range,
        record: Record,
        pace: &mut Pace,
    ) -> Result<Left, BackfillError> {
        let crew = Arc::clone(&self.crew);
        let job = &*crew.job;
        let mut next: Option<Prepared> = None;
        let mut since = Instant::now();
        // Whether the next batch is one row, since larger ones failed.
        let mut is_single = false;
        let Record {
            mut workers,
            mut settings,
            ..
        } = record;
        loop {
            if pace.is_due() {
                match self
                    .obey(&mut *tools.hand.session, Some(range.number))
                    .await?
                {
                    Next::Go(record) => {
                        workers = record.workers;
                        settings = record.settings;
                    }
                    Next::End(ended) => {
                        job.store
                            .let_go(
                                &mut *tools.hand.session,
                                &job.revision,
                                range.number,
                                &self.id,
                            )
                            .await?;
                        return Ok(Left::Work(ended));
                    }
                }
            }
            let started = Instant::now();
            let place = Place {
                range: &range,
                owner: &self.id,
                settings: &settings,
                since,
            };
            let most = pace.rows(workers, &settings);
            let written = match &tools.other {
                Some(_) => Self::write_ahead(&crew, tools, &mut next, place, most).await,
                None => Self::write_now(job, tools, place, most).await,
            };
            let written = match written {
                Err(error) if error.is_about_data() => {
                    // The row is found by taking fewer and fewer of them.
                    tools.hand.session.rollback().await?;
                    next = None;
                    if !(is_single && most == 1) {
                        is_single = most == 1;
                        pace.shrink();
                        continue;
                    }
                    let rest = range.rest();
                    job.set_next_aside(&mut *tools.hand.session, &rest, place, &error)
                        .await?
                }
                written => written?,
            };
            is_single = false;
            self.rows += written.counts.read;
            pace.learn(written.counts.read, started.elapsed(), &settings);
            range.cursor = written.cursor;
            since = written.at;
            if written.is_last {
                return Ok(Left::Range);
            }
            let owed = pace
                .owed(written.counts.read, workers, &settings)
                .max(job.courtesy(started.elapsed()));
            // No worker is away for as long as its lease.
            let owed = owed.min(LONGEST_REST);
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
        tools: &mut Tools,
        place: Place<'_>,
        most: usize,
    ) -> Result<Written, BackfillError> {
        let rest = place.range.rest();
        let Hand {
            session,
            transformer,
        } = &mut tools.hand;
        match transformer {
            Some(transformer) => {
                job.write_locked(&mut **session, &mut **transformer, &rest, most, place)
                    .await
            }
            None => job.express_next(&mut **session, &rest, most, place).await,
        }
    }

    /// Writes what was prepared, and has what comes after it prepared meanwhile, on another thread: what is computed there must
    /// not keep the statements of this one waiting. What was prepared is to be written by whoever prepared it.
    async fn write_ahead(
        crew: &Arc<Crew>,
        tools: &mut Tools,
        next: &mut Option<Prepared>,
        place: Place<'_>,
        most: usize,
    ) -> Result<Written, BackfillError> {
        let job = &*crew.job;
        let rest = place.range.rest();
        let prepared = match next.take() {
            // What is there was read from another place, or up to another end.
            Some(prepared)
                if prepared.span.after == rest.after
                    && (!prepared.is_last || prepared.span.upto == rest.upto) =>
            {
                prepared
            }
            _ => tools.hand.prepare(job, &rest, most).await?,
        };
        let after = Span {
            after: prepared.cursor.clone(),
            upto: rest.upto.clone(),
        };
        let following = match prepared.is_last {
            true => None,
            false => tools.other.take(),
        };
        // The rows of this one are to be with the server first, where there is time: few cores do one thing after the other.
        let pause = tools.slack / 4;
        let following = following.map(|hand| hand.spawn(Arc::clone(crew), after, most, pause));
        let (session, transformer) = tools.hand.both()?;
        let started = Instant::now();
        let written = job
            .write_prepared(session, &prepared, transformer, place)
            .await;
        let wrote = started.elapsed();
        if let Some(following) = following {
            let (other, prepared) = following.await.map_err(|_| panicked())?;
            let took = prepared.as_ref().map_or(wrote, |prepared| prepared.took);
            tools.slack = wrote.saturating_sub(took);
            let idle = match &written {
                // What it could not prepare, it tries again when its turn has come, and tells then.
                Ok(_) => {
                    *next = prepared.ok();
                    std::mem::replace(&mut tools.hand, other)
                }
                Err(_) => other,
            };
            tools.other = Some(idle);
        }
        match written {
            Err(error) if error.is_about_data() => {
                let (session, transformer) = tools.hand.both()?;
                session.rollback().await?;
                let rows = prepared.len().max(1);
                job.write_locked(session, transformer, &rest, rows, place)
                    .await
            }
            written => written,
        }
    }
}

impl Hand {
    fn both(&mut self) -> Result<(&mut dyn Session, &mut dyn Transformer), BackfillError> {
        match &mut self.transformer {
            Some(transformer) => Ok((&mut *self.session, &mut **transformer)),
            None => Err(BackfillError::Unfit("it has no code".to_owned())),
        }
    }

    async fn prepare(
        &mut self,
        job: &Job,
        rest: &Span,
        most: usize,
    ) -> Result<Prepared, BackfillError> {
        let (session, transformer) = self.both()?;
        job.prepare(session, transformer, rest, most).await
    }

    /// Prepares what comes next, after a pause.
    fn spawn(
        mut self,
        crew: Arc<Crew>,
        after: Span,
        most: usize,
        pause: Duration,
    ) -> JoinHandle<(Self, Result<Prepared, BackfillError>)> {
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            let prepared = self.prepare(&crew.job, &after, most).await;
            (self, prepared)
        })
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
