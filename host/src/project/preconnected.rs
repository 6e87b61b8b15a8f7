//! A driver whose first session was opened ahead.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use super::Ready;
use crate::driver::{Dialect, Driver, DriverError, RunLock, Session};
use std::sync::Arc;

/// Hands out a session that is already open, then opens others as the driver behind it does.
#[derive(Debug)]
pub(super) struct Preconnected {
    driver: Arc<dyn Driver>,
    ready: Mutex<Option<Held>>,
}

struct Held(Ready);

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a session")
    }
}

impl Preconnected {
    pub(super) fn new(driver: Arc<dyn Driver>, session: Ready) -> Self {
        Self {
            driver,
            ready: Mutex::new(Some(Held(session))),
        }
    }
}

#[async_trait]
impl Driver for Preconnected {
    fn dialect(&self) -> Dialect {
        self.driver.dialect()
    }

    fn location(&self) -> String {
        self.driver.location()
    }

    async fn connect(&self) -> Result<Box<dyn Session>, DriverError> {
        let ready = self
            .ready
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        match ready {
            Some(Held(session)) => Ok(session),
            None => self.driver.connect().await,
        }
    }

    async fn open_lock(&self, version_table: &str) -> Result<Box<dyn RunLock>, DriverError> {
        self.driver.open_lock(version_table).await
    }
}
