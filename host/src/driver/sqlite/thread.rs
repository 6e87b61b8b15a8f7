//! The thread that a connection lives on.
//!
//! SQLite blocks, so each connection has a thread of its own, to which calls go as closures. A call whose future is
//! dropped stops the statement and ends the thread, which rolls back whatever was open.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, InterruptHandle};
use tokio::sync::oneshot;

use super::worker::Worker;
use crate::driver::{Canceller, DriverError};

type Job = Box<dyn for<'c> FnOnce(&mut Worker<'c>) + Send>;

/// What makes a connection, on its thread.
type Open<T> = Box<dyn FnOnce(&Arc<Control>) -> Result<(Connection, T), DriverError> + Send>;

/// A running thread with its connection.
pub(super) struct Thread {
    jobs: Option<mpsc::Sender<Job>>,
    control: Arc<Control>,
    handle: Option<JoinHandle<()>>,
    /// Has nothing to say until its other side goes, with the connection.
    ended: Mutex<mpsc::Receiver<()>>,
}

/// How long the end of a thread is waited for. A statement that computes large values one after another hears only
/// at its end that it is to stop; its thread then ends by itself, and its transaction with it.
const PATIENCE: Duration = Duration::from_secs(5);

impl Thread {
    /// Starts a thread, has it open its connection, and returns what `open` returned beside it.
    ///
    /// # Errors
    /// What `open` fails with; [`DriverError::Closed`] where the system has no thread to give.
    pub(super) async fn start<T: Send + 'static>(
        seed: super::worker::Seed,
        open: Open<T>,
    ) -> Result<(Self, T), DriverError> {
        let control = Arc::new(Control::default());
        let (jobs, queue) = mpsc::channel::<Job>();
        let (reply, opened) = oneshot::channel();
        let on_thread = Arc::clone(&control);
        let (end, ended) = mpsc::channel::<()>();
        let handle = std::thread::Builder::new()
            .name("whimbrel-sqlite".to_owned())
            .spawn(move || {
                let _end = end;
                match open(&on_thread) {
                    Ok((connection, beside)) => {
                        let _ = on_thread.interrupt.set(connection.get_interrupt_handle());
                        if reply.send(Ok(beside)).is_ok() {
                            serve(&connection, seed, &queue, &on_thread);
                        }
                    }
                    Err(error) => {
                        let _ = reply.send(Err(error));
                    }
                }
            })
            .map_err(|error| closed(Some(Arc::new(error))))?;
        let thread = Self {
            jobs: Some(jobs),
            control,
            handle: Some(handle),
            ended: Mutex::new(ended),
        };
        let beside = opened.await.map_err(|_| closed(None))??;
        Ok((thread, beside))
    }

    /// Runs `job` on the thread.
    ///
    /// # Errors
    /// What the job fails with; [`DriverError::Closed`] after a call that was dropped half-way.
    pub(super) async fn call<T: Send + 'static>(
        &mut self,
        job: impl FnOnce(&mut Worker<'_>) -> Result<T, DriverError> + Send + 'static,
    ) -> Result<T, DriverError> {
        let jobs = self
            .jobs
            .as_ref()
            .filter(|_| self.control.begin())
            .ok_or_else(|| closed(None))?;
        let (reply, answer) = oneshot::channel();
        let control = Arc::clone(&self.control);
        jobs.send(Box::new(move |worker| {
            let result = if control.must_stop() {
                Err(DriverError::Cancelled)
            } else {
                job(worker)
            };
            let _ = reply.send(result);
        }))
        .map_err(|_| closed(None))?;
        let unfinished = Unfinished(&self.control);
        let result = answer.await;
        std::mem::forget(unfinished);
        self.control.finish();
        result.map_err(|_| closed(None))?
    }

    pub(super) fn canceller(&self) -> Arc<dyn Canceller> {
        Arc::clone(&self.control) as Arc<dyn Canceller>
    }
}

impl Drop for Thread {
    /// Waits for the connection to be closed, so that its locks are gone, as long as that takes no more than a while.
    fn drop(&mut self) {
        self.control.close();
        self.jobs = None;
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        let in_time = ended.recv_timeout(PATIENCE) != Err(mpsc::RecvTimeoutError::Timeout);
        if let Some(handle) = self.handle.take().filter(|_| in_time) {
            // A panic on the thread has been reported as a closed session.
            let _ = handle.join();
        }
    }
}

fn serve(
    connection: &Connection,
    seed: super::worker::Seed,
    queue: &mpsc::Receiver<Job>,
    control: &Control,
) {
    let mut worker = Worker::new(connection, seed);
    while let Ok(job) = queue.recv() {
        job(&mut worker);
        if control.is_closed() {
            return;
        }
    }
}

fn closed(source: Option<Arc<dyn std::error::Error + Send + Sync>>) -> DriverError {
    DriverError::Closed { source }
}

/// Stops a call whose future is dropped.
struct Unfinished<'a>(&'a Control);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

const IDLE: u8 = 0;
const RUNNING: u8 = 1;
const CANCELLED: u8 = 2;
const CLOSED: u8 = 3;

/// What a thread is told while it is at work.
#[derive(Default)]
pub(super) struct Control {
    state: AtomicU8,
    interrupt: OnceLock<InterruptHandle>,
}

impl Control {
    /// Whether the running statement is to stop. Asked by SQLite every few thousand steps, since an interrupt that
    /// comes before the statement has begun is lost.
    pub(super) fn must_stop(&self) -> bool {
        matches!(self.state.load(Ordering::SeqCst), CANCELLED | CLOSED)
    }

    fn begin(&self) -> bool {
        self.swap(IDLE, RUNNING) || self.swap(CANCELLED, RUNNING)
    }

    fn finish(&self) {
        let _ = self.swap(RUNNING, IDLE) || self.swap(CANCELLED, IDLE);
    }

    fn close(&self) {
        self.state.store(CLOSED, Ordering::SeqCst);
        self.interrupt();
    }

    fn is_closed(&self) -> bool {
        self.state.load(Ordering::SeqCst) == CLOSED
    }

    /// Stops the running statement.
    pub(super) fn interrupt(&self) {
        if let Some(handle) = self.interrupt.get() {
            handle.interrupt();
        }
    }

    fn swap(&self, from: u8, to: u8) -> bool {
        self.state
            .compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }
}

#[async_trait]
impl Canceller for Control {
    async fn cancel(&self) {
        if self.swap(RUNNING, CANCELLED) {
            self.interrupt();
        }
    }
}
