//! Waiting for the run lock, and giving it back on every path.

use std::time::{Duration, Instant};

use rand::RngExt;

use super::{Aftermath, Cause, Engine, this_process, untouched};
use crate::driver::{Holder, LockAttempt, RunLock};
use crate::event::Event;

const SHORTEST_POLL: Duration = Duration::from_millis(20);
const LONGEST_POLL: Duration = Duration::from_millis(500);

/// The run lock on its way through the work that it protects.
pub(super) struct Held(Box<dyn RunLock>);

impl Held {
    /// The lock, to be looked at.
    pub(super) fn lock(&self) -> &dyn RunLock {
        &*self.0
    }
}

impl Engine {
    /// Calls `work` with the run lock held. This is the only door to it.
    ///
    /// The lock goes in and comes back by value: a run whose closure borrowed it could not be spawned on a runtime of
    /// many threads.
    pub(super) async fn locked<T>(
        &self,
        work: impl AsyncFnOnce(Held) -> (Held, Result<T, (Cause, Aftermath)>),
    ) -> Result<T, (Cause, Aftermath)> {
        let mut lock = self
            .driver
            .open_lock(&self.version_table)
            .await
            .map_err(untouched)?;
        self.acquire(&mut *lock).await.map_err(untouched)?;
        let result;
        (Held(lock), result) = work(Held(lock)).await;
        let released = lock.release().await;
        match (result, released) {
            (Ok(_), Err(error)) if lock.is_held() => Err(untouched(error)),
            (result, _) => result,
        }
    }

    async fn acquire(&self, lock: &mut dyn RunLock) -> Result<(), Cause> {
        let started = Instant::now();
        let mut pause = SHORTEST_POLL;
        let mut told: Option<Option<Holder>> = None;
        loop {
            let holder = match lock.try_acquire(&this_process()).await? {
                LockAttempt::Acquired => return Ok(()),
                LockAttempt::Held(holder) => holder,
            };
            // Who it is may be known only later, while the other run is taking the lock.
            let is_news = match &told {
                None => true,
                Some(known) => known.is_none() && holder.is_some(),
            };
            if is_news {
                self.observer.event(&Event::WaitingForLock {
                    holder: holder.as_ref(),
                });
                told = Some(holder.clone());
            }
            let waited = started.elapsed();
            if waited >= self.patience.lock_wait {
                return Err(Cause::Locked { holder, waited });
            }
            self.sleep(jittered(pause).min(self.patience.lock_wait - waited))
                .await?;
            pause = (pause * 2).min(LONGEST_POLL);
        }
    }

    /// Sleeps, unless the user asks to stop.
    pub(super) async fn sleep(&self, pause: Duration) -> Result<(), Cause> {
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(()),
            () = self.cancel.requested() => Err(Cause::Cancelled),
        }
    }
}

/// Between half of the pause and all of it, so that those who wait do not all come back at once.
pub(super) fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::rng().random_range(0.5..=1.0))
}
