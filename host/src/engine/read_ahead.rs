//! What is read from a database before the migrations are known.

use std::sync::PoisonError;

use super::Engine;
use crate::driver::{Driver, DriverError, Session};
use crate::history::{Glance, History, State};

/// An open session, and what was read over it.
pub(crate) struct ReadAhead {
    session: Box<dyn Session>,
    glance: Result<Glance, DriverError>,
}

impl ReadAhead {
    /// Connects and reads.
    ///
    /// # Errors
    /// When the database cannot be reached. What reading fails with is told to whoever asks for what was read.
    pub(crate) async fn new(driver: &dyn Driver, history: &History) -> Result<Self, DriverError> {
        let mut session = driver.connect().await?;
        let glance = history.glance(&mut *session).await;
        Ok(Self { session, glance })
    }

    /// What was read, unless that has failed.
    pub(crate) fn glance(&self) -> Option<&Glance> {
        self.glance.as_ref().ok()
    }
}

impl Engine {
    fn take_read_ahead(&self) -> Option<ReadAhead> {
        self.read_ahead
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// A session, and what was read over it at a glance.
    pub(super) async fn glance(&self) -> Result<(Box<dyn Session>, Glance), DriverError> {
        let read = match self.take_read_ahead() {
            Some(read) => read,
            None => ReadAhead::new(&*self.driver, &self.history).await?,
        };
        Ok((read.session, read.glance?))
    }

    /// All that the database says about itself.
    pub(super) async fn read_state(&self) -> Result<State, DriverError> {
        self.history.read(&mut *self.session().await?).await
    }

    /// A session.
    pub(super) async fn session(&self) -> Result<Box<dyn Session>, DriverError> {
        match self.take_read_ahead() {
            Some(read) => Ok(read.session),
            None => self.driver.connect().await,
        }
    }
}
