//! A session that answers from a journal, and sees where a component asks for something else.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::exchange::{Answered, Asked, Ending};
use super::file::Recorded;
use crate::driver::tape::Question;
use crate::driver::{
    Authority, Batch, Canceller, Column, CommitError, CopyTarget, CursorId, Dialect, DriverError,
    Durability, ResultLimit, Rows, Session, Statement, Value,
};

/// What came of running a component over the journal of an earlier call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// How many of the journal's exchanges it repeated.
    pub exchanges: usize,
    /// How it ended now.
    pub ending: Ending,
    /// Whether the component is the one that ran then.
    pub is_same_component: bool,
    /// How it compares.
    pub verdict: Verdict,
}

/// How a call compares to what a journal has of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The same statements in the same order with the same parameters, the same end, and as much fuel.
    Same,
    /// The same up to where the journal ends or something from outside ended the call.
    SameSoFar,
    /// It differs.
    Differs(Difference),
}

/// Where a call first differs from what a journal has of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// After how many exchanges.
    pub after: usize,
    /// What was done then.
    pub then: String,
    /// What is done now.
    pub now: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { after, then, now } = self;
        write!(
            f,
            "after {after} answers it went on to {then} then, and to {now} now"
        )
    }
}

/// The answers of one call. Cloning shares how far they are.
#[derive(Clone)]
pub(crate) struct Replay(Arc<Mutex<State>>);

struct State {
    recorded: Recorded,
    played: usize,
    cursors: HashMap<CursorId, Arc<[Column]>>,
    difference: Option<Difference>,
    /// Whether the component asked for more than the journal has.
    ran_out: bool,
}

impl Replay {
    /// The answers of a call from its begin.
    pub(crate) fn new(recorded: Recorded) -> Self {
        Self(Arc::new(Mutex::new(State {
            recorded,
            played: 0,
            cursors: HashMap::new(),
            difference: None,
            ran_out: false,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Compares, once the call has ended.
    pub(crate) fn conclude(&self, ending: Ending, is_same_component: bool) -> Replayed {
        let state = &*self.state();
        Replayed {
            exchanges: state.played,
            verdict: state.verdict(&ending),
            ending,
            is_same_component,
        }
    }

    /// The answer to what is asked now, if that is what was asked then.
    fn answer(&self, asked: &Asked) -> Result<Answered, DriverError> {
        let closed = || DriverError::Closed { source: None };
        let state = &mut *self.state();
        if state.difference.is_some() || state.ran_out {
            return Err(closed());
        }
        let Some(exchange) = state.recorded.exchanges.get(state.played) else {
            match &state.recorded.ending {
                Some(ending) if !ending.is_stopped => {
                    state.difference = Some(Difference {
                        after: state.played,
                        then: told(ending),
                        now: asked.to_string(),
                    });
                }
                _ => state.ran_out = true,
            }
            return Err(closed());
        };
        if exchange.asked != *asked {
            state.difference = Some(Difference {
                after: state.played,
                then: exchange.asked.to_string(),
                now: asked.to_string(),
            });
            return Err(closed());
        }
        state.played += 1;
        match exchange.answered.clone() {
            Answered::Failed(fault) => Err(fault.into()),
            answered => Ok(answered),
        }
    }
}

impl State {
    fn verdict(&self, now: &Ending) -> Verdict {
        if let Some(difference) = &self.difference {
            return Verdict::Differs(difference.clone());
        }
        let differs = |then: String, now: String| {
            Verdict::Differs(Difference {
                after: self.played,
                then,
                now,
            })
        };
        if self.ran_out {
            return Verdict::SameSoFar;
        }
        if let Some(next) = self.recorded.exchanges.get(self.played) {
            return differs(next.asked.to_string(), told(now));
        }
        match &self.recorded.ending {
            None => Verdict::SameSoFar,
            // It was not told to stop now, so that it either went on or hit the fuel that it had used then.
            Some(then) if then.is_stopped => Verdict::SameSoFar,
            Some(then) if then == now => Verdict::Same,
            Some(then) => differs(told(then), told(now)),
        }
    }
}

/// The end of a call, in words.
fn told(ending: &Ending) -> String {
    let Ending { fuel, error, .. } = ending;
    match error {
        None => format!("succeed with {fuel} units of fuel"),
        Some(error) => format!("fail with `{error}` and {fuel} units of fuel"),
    }
}

fn mismatched() -> DriverError {
    DriverError::Conversion("the journal has an answer of another kind than asked for".to_owned())
}

fn rows(answered: Answered) -> Result<Rows, DriverError> {
    let Answered::Rows { columns, rows } = answered else {
        return Err(mismatched());
    };
    let mut found = Rows::new(columns.into());
    for row in rows {
        if row.len() != found.columns.len() {
            return Err(mismatched());
        }
        found.push(row);
    }
    Ok(found)
}

fn done(answered: Answered) -> Result<(), DriverError> {
    match answered {
        Answered::Done => Ok(()),
        _ => Err(mismatched()),
    }
}

#[async_trait]
impl Session for Replay {
    fn dialect(&self) -> Dialect {
        self.state().recorded.told.dialect
    }

    async fn assume(&mut self, _: Authority) -> Result<(), DriverError> {
        Ok(())
    }

    async fn begin(&mut self) -> Result<(), DriverError> {
        Ok(())
    }

    async fn commit(&mut self, _: &[Statement], _: Durability) -> Result<(), CommitError> {
        Err(CommitError::Commit(DriverError::Offline))
    }

    async fn record(&mut self, _: &[Statement]) -> Result<(), CommitError> {
        Err(CommitError::Record(DriverError::Offline))
    }

    async fn rollback(&mut self) -> Result<(), DriverError> {
        Ok(())
    }

    async fn run(&mut self, _: &str) -> Result<u64, DriverError> {
        Err(DriverError::Offline)
    }

    async fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, DriverError> {
        match self.answer(&Asked::Execute(Question::new(sql, params)))? {
            Answered::Touched(touched) => Ok(touched),
            _ => Err(mismatched()),
        }
    }

    async fn execute_many(&mut self, sql: &str, batch: &Arc<Batch>) -> Result<u64, DriverError> {
        match self.answer(&Asked::ExecuteMany(Question::of_batch(sql, batch)))? {
            Answered::Touched(touched) => Ok(touched),
            _ => Err(mismatched()),
        }
    }

    async fn copy_in(&mut self, to: &CopyTarget, batch: &Arc<Batch>) -> Result<u64, DriverError> {
        match self.answer(&Asked::CopyIn(Question::of_batch(&to.to_string(), batch)))? {
            Answered::Touched(touched) => Ok(touched),
            _ => Err(mismatched()),
        }
    }

    async fn query(
        &mut self,
        sql: &str,
        params: &[Value],
        _: ResultLimit,
    ) -> Result<Rows, DriverError> {
        rows(self.answer(&Asked::Query(Question::new(sql, params)))?)
    }

    async fn open_cursor(&mut self, sql: &str, params: &[Value]) -> Result<CursorId, DriverError> {
        match self.answer(&Asked::OpenCursor(Question::new(sql, params)))? {
            Answered::Cursor { cursor, columns } => {
                let cursor = CursorId(cursor);
                self.state().cursors.insert(cursor, columns.into());
                Ok(cursor)
            }
            _ => Err(mismatched()),
        }
    }

    fn cursor_columns(&self, cursor: CursorId) -> Result<Arc<[Column]>, DriverError> {
        let state = self.state();
        let columns = state.cursors.get(&cursor).map(Arc::clone);
        columns.ok_or(DriverError::Closed { source: None })
    }

    async fn fetch(
        &mut self,
        cursor: CursorId,
        max_rows: u32,
        _: ResultLimit,
    ) -> Result<Rows, DriverError> {
        let cursor = cursor.0;
        rows(self.answer(&Asked::Fetch { cursor, max_rows })?)
    }

    async fn close_cursor(&mut self, cursor: CursorId) -> Result<(), DriverError> {
        done(self.answer(&Asked::CloseCursor(cursor.0))?)
    }

    async fn savepoint(&mut self, name: &str) -> Result<(), DriverError> {
        done(self.answer(&Asked::Savepoint(name.to_owned()))?)
    }

    async fn release_savepoint(&mut self, name: &str) -> Result<(), DriverError> {
        done(self.answer(&Asked::Release(name.to_owned()))?)
    }

    async fn rollback_to_savepoint(&mut self, name: &str) -> Result<(), DriverError> {
        done(self.answer(&Asked::RollBack(name.to_owned()))?)
    }

    fn canceller(&self) -> Arc<dyn Canceller> {
        Arc::new(Nothing)
    }
}

/// Stops what is not running.
struct Nothing;

#[async_trait]
impl Canceller for Nothing {
    async fn cancel(&self) {}
}
