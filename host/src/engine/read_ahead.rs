//! What is read from a database before the migrations are known.

use std::sync::PoisonError;

use super::Engine;
use crate::driver::{Driver, DriverError, Session};
use crate::history::{History, State};

/// An open session, and what was read over it.
pub(crate) struct ReadAhead {
    session: Box<dyn Session>,
    state: Result<State, DriverError>,
}

impl ReadAhead {
    /// Connects and reads.
    ///
    /// # Errors
    /// When the database cannot be reached. What reading fails with is told to whoever asks for the state.
    pub(crate) async fn new(driver: &dyn Driver, history: &History) -> Result<Self, DriverError> {
        let mut session = driver.connect().await?;
        let state = history.read(&mut *session).await;
        Ok(Self { session, state })
    }
}

impl Engine {
    fn take_read_ahead(&self) -> Option<ReadAhead> {
        self.read_ahead
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// A session, and the state that was read over it.
    pub(super) async fn read_state(&self) -> Result<(Box<dyn Session>, State), DriverError> {
        let read = match self.take_read_ahead() {
            Some(read) => read,
            None => ReadAhead::new(&*self.driver, &self.history).await?,
        };
        Ok((read.session, read.state?))
    }

    /// A session.
    pub(super) async fn session(&self) -> Result<Box<dyn Session>, DriverError> {
        match self.take_read_ahead() {
            Some(read) => Ok(read.session),
            None => self.driver.connect().await,
        }
    }
}
