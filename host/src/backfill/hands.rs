//! A worker's connections, and the batches that are in flight on them: each is read where the one before ends, made, written,
//! and committed when its turn has come.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::batch::{Open, Place, Prepared, Written};
use super::error::BackfillError;
use super::job::Job;
use super::keys::Span;
use super::rows::Transformer;
use super::settings::Settings;
use super::worker::{Crew, panicked};
use crate::driver::{Canceller, Session};

/// How long a batch that is written waits for its turn. Whoever the batch before it waits for may wait for one of its rows, and
/// no server sees that one of the two waits for the other here.
const LONGEST_WAIT: Duration = Duration::from_millis(500);

/// How many batches are written in their turn after one had to be undone that was written ahead of it, at first and at the most.
const FEWEST_IN_TURN: u32 = 16;
const MOST_IN_TURN: u32 = 1_024;

/// A connection, and what makes new values of what is read on it.
pub(super) struct Hand {
    pub(super) session: Box<dyn Session>,
    /// None where the database makes them.
    pub(super) transformer: Option<Box<dyn Transformer>>,
}

/// The connections of a worker.
pub(super) struct Hands {
    /// At least one of them, except while a batch lands.
    idle: Vec<Hand>,
    /// In the order of their turns.
    flying: VecDeque<Flight>,
}

/// A batch in flight.
struct Flight {
    rest: Span,
    /// Its turn had come when it began.
    is_first: bool,
    /// What comes after it, as soon as that is known.
    reached: Option<oneshot::Receiver<Option<Span>>>,
    after: Option<Span>,
    turn: Turn,
    /// Tells that its turn has come. Without that, nothing stays of the batch.
    comes: oneshot::Sender<()>,
    canceller: Arc<dyn Canceller>,
    task: JoinHandle<(Hand, Result<Landed, BackfillError>)>,
}

/// When a batch is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// While no other one is.
    Alone,
    /// In its turn, while the next one is written as well.
    First,
    /// Ahead of its turn.
    Later,
}

/// A batch whose turn has come.
struct Landed {
    prepared: Prepared,
    state: State,
}

enum State {
    /// It is only read and made.
    Prepared,
    /// It is written, and its transaction is open.
    Written(Open),
    /// It waited too long for its turn, and nothing stayed of it.
    Undone,
    /// It could not be written.
    Failed(BackfillError),
}

/// How far a batch goes before its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ahead {
    /// It is not begun.
    Wait,
    /// It is read, and its values are made.
    Read,
    /// It is written as well.
    Write,
}

impl Ahead {
    /// That of each of so many workers, which has to wait for so long after a batch. Where it waits for its rate, there is time to
    /// do one thing after the other, which others notice less, and no row is locked meanwhile. Where there are other workers,
    /// they write meanwhile.
    pub(super) fn of(workers: u64, settings: &Settings, owed: Duration) -> Self {
        match settings.rate {
            None if workers <= 1 => Self::Write,
            Some(_) if !owed.is_zero() => Self::Wait,
            _ => Self::Read,
        }
    }
}

/// When batches are not written ahead.
#[derive(Debug)]
pub(super) struct Caution {
    /// For so many batches.
    left: u32,
    /// And for so many the next time.
    next: u32,
}

impl Hands {
    pub(super) fn new(hands: Vec<Hand>) -> Self {
        Self {
            idle: hands,
            flying: VecDeque::new(),
        }
    }

    /// Whether there is more than one.
    pub(super) fn are_several(&self) -> bool {
        self.idle.len() + self.flying.len() > 1
    }

    /// One that is idle.
    pub(super) fn idle(&mut self) -> Result<&mut Hand, BackfillError> {
        self.idle.last_mut().ok_or_else(panicked)
    }

    /// A connection that is idle.
    pub(super) fn session(&mut self) -> Result<&mut dyn Session, BackfillError> {
        Ok(&mut *self.idle()?.session)
    }

    /// Ends all transactions, so that nothing stays of what is not committed.
    pub(super) async fn settle(&mut self) -> Result<(), BackfillError> {
        let mut outcome = Ok(());
        let (mut lost, mut kept) = (Vec::new(), Vec::new());
        for mut hand in self.idle.drain(..) {
            match hand.session.rollback().await {
                Ok(()) => kept.push(hand),
                Err(error) => {
                    outcome = outcome.and(Err(error.into()));
                    lost.push(hand);
                }
            }
        }
        // The last one is asked first.
        lost.append(&mut kept);
        self.idle = lost;
        outcome.and(self.call_back().await)
    }

    /// Has all that is in flight come back, with nothing of it left.
    async fn call_back(&mut self) -> Result<(), BackfillError> {
        // None of them may wait for another's end.
        let tasks: Vec<_> = (self.flying.drain(..))
            .map(|flight| (flight.task, flight.canceller))
            .collect();
        for (mut task, canceller) in tasks {
            let ended = match timeout(LONGEST_WAIT, &mut task).await {
                Ok(ended) => ended,
                // It may wait for somebody else.
                Err(_) => {
                    canceller.cancel().await;
                    task.await
                }
            };
            match ended.map_err(|_| panicked())? {
                (hand, Ok(_)) => self.idle.push(hand),
                (hand, Err(_)) => self.idle.insert(0, hand),
            }
        }
        Ok(())
    }

    /// Writes the next batch of a range, and has what comes after it read, made and written meanwhile.
    pub(super) async fn write_next(
        &mut self,
        crew: &Arc<Crew>,
        place: Place<'_>,
        most: usize,
        ahead: Ahead,
        caution: &mut Caution,
    ) -> Result<Written, BackfillError> {
        let rest = place.range.rest();
        // What is there may have been read from another place.
        if self.flying.front().is_some_and(|first| first.rest != rest) {
            self.call_back().await?;
        }
        let ahead = caution.restrain(ahead);
        while !self.idle.is_empty() {
            if ahead == Ahead::Wait && !self.flying.is_empty() {
                break;
            }
            let next = match self.flying.back_mut() {
                None => Some(rest.clone()),
                Some(last) => last.after().await,
            };
            let Some(next) = next else { break };
            self.start(crew, next, most, ahead);
        }
        let first = self.flying.pop_front().ok_or_else(panicked)?;
        let turn = match (first.turn, self.flying.front()) {
            (Turn::Alone, Some(next)) if next.turn == Turn::Later => Turn::First,
            (turn, _) => turn,
        };
        // It may have given up waiting.
        let _ = first.comes.send(());
        let (mut hand, landed) = first.task.await.map_err(|_| panicked())?;
        let landed = match landed {
            // Now that its turn has come, it is tried again.
            Err(_) if !first.is_first => hand.prepare(&crew.job, &rest, most).await,
            landed => landed,
        };
        let written = match landed {
            Ok(landed) => {
                self.land(&crew.job, &mut hand, landed, place, turn, caution)
                    .await
            }
            Err(error) => Err(error),
        };
        self.idle.push(hand);
        written
    }

    fn start(&mut self, crew: &Arc<Crew>, rest: Span, most: usize, ahead: Ahead) {
        let Some(mut hand) = self.idle.pop() else {
            return;
        };
        let (reached, reaches) = oneshot::channel();
        let (comes, turn) = oneshot::channel();
        let (crew, span) = (Arc::clone(crew), rest.clone());
        let canceller = hand.session.canceller();
        let task = tokio::spawn(async move {
            let landed = hand.fly(&crew.job, &span, most, ahead, reached, turn);
            let landed = landed.await;
            (hand, landed)
        });
        let is_first = self.flying.is_empty();
        self.flying.push_back(Flight {
            rest,
            is_first,
            turn: match ahead {
                Ahead::Write if !is_first => Turn::Later,
                _ => Turn::Alone,
            },
            reached: Some(reaches),
            after: None,
            comes,
            canceller,
            task,
        });
    }

    async fn land(
        &mut self,
        job: &Job,
        hand: &mut Hand,
        Landed { prepared, state }: Landed,
        place: Place<'_>,
        turn: Turn,
        caution: &mut Caution,
    ) -> Result<Written, BackfillError> {
        let (session, transformer) = hand.both()?;
        let rest = place.range.rest();
        let mut written = match state {
            State::Written(open) => job.finish(session, &prepared, open, place).await,
            State::Failed(error) => Err(error),
            State::Prepared | State::Undone => {
                if let State::Undone = state {
                    caution.heed();
                }
                job.write_prepared(session, &prepared, transformer, place)
                    .await
            }
        };
        match &written {
            Ok(_) => caution.relax(),
            Err(error) if turn.may_be_why(error) => {
                session.rollback().await?;
                self.call_back().await?;
                written = job
                    .write_prepared(session, &prepared, transformer, place)
                    .await;
                if written.is_ok() {
                    caution.heed();
                }
            }
            Err(_) => {}
        }
        match written {
            Err(error) if error.is_about_data() => {
                session.rollback().await?;
                // Row by row it may take long.
                self.call_back().await?;
                let rows = prepared.len().max(1);
                job.write_locked(session, transformer, &rest, rows, place)
                    .await
            }
            written => written,
        }
    }
}

impl Turn {
    /// Whether the same may be written when nothing else is.
    fn may_be_why(self, error: &BackfillError) -> bool {
        match self {
            Self::Alone => false,
            Self::First => error.is_transient(),
            Self::Later => error.is_transient() || error.is_about_data(),
        }
    }
}

impl Flight {
    /// What comes after it; `None` where nothing does, or it could not be read.
    async fn after(&mut self) -> Option<Span> {
        if let Some(reached) = self.reached.take() {
            self.after = reached.await.ok().flatten();
        }
        self.after.clone()
    }
}

impl Hand {
    /// What a batch needs whose values are made by code.
    pub(super) fn both(
        &mut self,
    ) -> Result<(&mut dyn Session, &mut dyn Transformer), BackfillError> {
        match &mut self.transformer {
            Some(transformer) => Ok((&mut *self.session, &mut **transformer)),
            None => Err(BackfillError::Unfit("it has no code".to_owned())),
        }
    }

    async fn fly(
        &mut self,
        job: &Job,
        rest: &Span,
        most: usize,
        ahead: Ahead,
        reached: oneshot::Sender<Option<Span>>,
        turn: oneshot::Receiver<()>,
    ) -> Result<Landed, BackfillError> {
        let (session, transformer) = self.both()?;
        // Who asked may not want to know any more.
        let tell = |after| drop(reached.send(after));
        let prepared = job.prepare(session, transformer, rest, most, tell).await?;
        let state = match ahead {
            Ahead::Wait | Ahead::Read => State::Prepared,
            Ahead::Write => match job.write_open(session, &prepared, transformer).await {
                Ok(open) => match timeout(LONGEST_WAIT, turn).await {
                    Ok(Ok(())) => State::Written(open),
                    _ => State::Undone,
                },
                Err(error) => State::Failed(error),
            },
        };
        if matches!(state, State::Undone | State::Failed(_)) {
            session.rollback().await?;
        }
        Ok(Landed { prepared, state })
    }

    async fn prepare(
        &mut self,
        job: &Job,
        rest: &Span,
        most: usize,
    ) -> Result<Landed, BackfillError> {
        let (session, transformer) = self.both()?;
        Ok(Landed {
            prepared: job.prepare(session, transformer, rest, most, drop).await?,
            state: State::Prepared,
        })
    }
}

impl Default for Caution {
    fn default() -> Self {
        Self {
            left: 0,
            next: FEWEST_IN_TURN,
        }
    }
}

impl Caution {
    /// How far the next batch goes before its turn.
    fn restrain(&mut self, ahead: Ahead) -> Ahead {
        match self.left {
            0 => ahead,
            _ => {
                self.left -= 1;
                ahead.min(Ahead::Read)
            }
        }
    }

    /// Has a number of batches be written in their turn, twice as many each time.
    fn heed(&mut self) {
        self.left = self.next;
        self.next = (self.next * 2).min(MOST_IN_TURN);
    }

    /// Learns that a batch was written and committed.
    fn relax(&mut self) {
        self.next = (self.next - 1).max(FEWEST_IN_TURN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caution_doubles_and_wears_off() {
        let mut caution = Caution::default();
        assert_eq!(caution.restrain(Ahead::Write), Ahead::Write);
        caution.heed();
        assert_eq!(caution.restrain(Ahead::Write), Ahead::Read);
        assert_eq!(caution.left, FEWEST_IN_TURN - 1);
        caution.heed();
        assert_eq!((caution.left, caution.next), (32, 64));
        (0..100).for_each(|_| caution.relax());
        assert_eq!(caution.next, FEWEST_IN_TURN);
        (0..100).for_each(|_| caution.heed());
        assert_eq!(caution.left, MOST_IN_TURN);
    }

    #[test]
    fn only_a_worker_that_is_alone_and_has_no_rate_writes_ahead() {
        let mut settings = Settings::default();
        assert_eq!(Ahead::of(1, &settings, Duration::ZERO), Ahead::Write);
        assert_eq!(Ahead::of(2, &settings, Duration::ZERO), Ahead::Read);
        settings.rate = Some(5_000);
        assert_eq!(Ahead::of(1, &settings, Duration::ZERO), Ahead::Read);
        let owed = Duration::from_millis(1);
        assert_eq!(Ahead::of(1, &settings, owed), Ahead::Wait);
    }
}
