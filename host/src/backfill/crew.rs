//! The workers of one process, each on a thread of its own.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::error::BackfillError;
use super::worker::{Crew, Ended, Worker, panicked};
use crate::driver::Dialect;

impl Crew {
    /// Has so many workers work until all ranges are done; how many they are follows the settings of the backfill.
    ///
    /// # Errors
    /// The first reason that one of them ended for before that.
    pub(crate) async fn run(self: Arc<Self>, workers: u32) -> Result<(), BackfillError> {
        let (wanted, mut wishes) = watch::channel(workers);
        let (ended, mut endings) = mpsc::unbounded_channel();
        let mut alive: BTreeSet<u32> = BTreeSet::new();
        let mut outcome: Option<Result<(), BackfillError>> = None;
        loop {
            let most = match self.job.dialect {
                Dialect::Sqlite => 1,
                Dialect::Postgresql => wishes.borrow_and_update().to_owned().max(1),
            };
            let missing = (0..most).filter(|_| outcome.is_none());
            for index in missing.collect::<Vec<_>>() {
                if alive.insert(index) {
                    let worker = Worker::new(Arc::clone(&self), index, wanted.clone());
                    hire(worker, index, ended.clone())?;
                }
            }
            if alive.is_empty() {
                return outcome.unwrap_or(Ok(()));
            }
            tokio::select! {
                ending = endings.recv() => {
                    let Some((index, ending)) = ending else { return Ok(()) };
                    alive.remove(&index);
                    match (ending, &mut outcome) {
                        (Ok(Ended::NotWanted), _) => {}
                        (Ok(Ended::Done), outcome) => {
                            outcome.get_or_insert(Ok(()));
                        }
                        (Err(error), outcome) => {
                            let known = outcome.take().and_then(Result::err);
                            *outcome = Some(Err(better(known, error)));
                        }
                    }
                }
                _ = wishes.changed() => {}
            }
        }
    }
}

type Ending = (u32, Result<Ended, BackfillError>);

/// Starts a worker on a thread with a runtime of its own. New values are made on others, so that this one keeps all of its
/// connections going; with several, each answer of a server would wake more than one of them.
fn hire(
    worker: Worker,
    index: u32,
    ended: mpsc::UnboundedSender<Ending>,
) -> Result<(), BackfillError> {
    let unable = |error: std::io::Error| {
        BackfillError::Unfit(format!("a worker cannot be started: {error}"))
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(unable)?;
    let thread = std::thread::Builder::new().name("whimbrel-worker".to_owned());
    thread
        .spawn(move || {
            let work = AssertUnwindSafe(|| runtime.block_on(worker.run()));
            let outcome = catch_unwind(work).unwrap_or_else(|_| Err(panicked()));
            // Whoever waited for it may have gone.
            let _ = ended.send((index, outcome));
        })
        .map_err(unable)?;
    Ok(())
}

/// The error that says more: a worker that was told of another's failure only repeats it.
fn better(known: Option<BackfillError>, new: BackfillError) -> BackfillError {
    match known {
        None
        | Some(BackfillError::Failed(_) | BackfillError::Stopped | BackfillError::Cancelled) => new,
        Some(known) => known,
    }
}
