//! Ends a call that the user no longer wants or that takes too long.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::time::{sleep, sleep_until, timeout};

use crate::capability::Limits;
use crate::driver::Canceller;
use crate::migration::{Cancel, MigrationError};

/// How long a call that was told to stop has to return by itself, before it is dropped with its connection.
const GRACE: Duration = Duration::from_secs(5);
/// How often the database is asked to stop meanwhile: a request that arrives between two statements is lost.
const REPEAT: Duration = Duration::from_millis(200);

/// Why a call was told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// The user asked.
    Cancelled,
    /// Its wall-clock limit has passed.
    OutOfTime,
}

/// Watches over one call.
pub(super) struct Watch {
    cancel: Cancel,
    time: Duration,
    deadline: Option<Instant>,
    stop: OnceLock<Stop>,
}

impl Watch {
    /// Starts the clock.
    pub(super) fn new(cancel: Cancel, limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            cancel,
            time: limits.time,
            deadline: Instant::now().checked_add(limits.time),
            stop: OnceLock::new(),
        })
    }

    /// Why the call must stop, if it must. Cheap; the answer does not change once it is given.
    pub(super) fn check(&self) -> Option<Stop> {
        if let Some(stop) = self.stop.get() {
            return Some(*stop);
        }
        let stop = if self.cancel.is_requested() {
            Stop::Cancelled
        } else if self
            .deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
        {
            Stop::OutOfTime
        } else {
            return None;
        };
        Some(*self.stop.get_or_init(|| stop))
    }

    /// What the call fails with when it was stopped.
    pub(super) fn verdict(&self) -> Option<MigrationError> {
        Some(match self.stop.get()? {
            Stop::Cancelled => MigrationError::Cancelled,
            Stop::OutOfTime => MigrationError::Limit {
                what: "time",
                limit: u64::try_from(self.time.as_millis()).unwrap_or(u64::MAX),
                unit: "milliseconds",
            },
        })
    }

    /// Runs a call. When it must stop, the running statement is cancelled, so that the session stays usable; a call
    /// that does not return even then is dropped.
    pub(super) async fn over<T>(
        &self,
        call: impl Future<Output = T>,
        canceller: &dyn Canceller,
    ) -> Option<T> {
        let mut call = pin!(call);
        tokio::select! {
            biased;
            outcome = &mut call => return Some(outcome),
            () = self.stopped() => {}
        }
        let stop = async {
            loop {
                canceller.cancel().await;
                sleep(REPEAT).await;
            }
        };
        tokio::select! {
            biased;
            outcome = timeout(GRACE, call) => outcome.ok(),
            () = stop => None,
        }
    }

    async fn stopped(&self) {
        let deadline = async {
            match self.deadline {
                Some(deadline) => sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.cancel.requested() => {}
            () = deadline => {}
        }
        let _ = self.check();
    }
}
