//! PostgreSQL, over tokio-postgres.

use async_trait::async_trait;

use super::{Dialect, Driver, DriverError, RunLock, Session, Settings};

/// A Postgres database.
#[derive(Debug)]
pub struct Postgres {}

impl Postgres {
    /// Takes the URL apart; does not connect.
    ///
    /// # Errors
    /// [`DriverError::Settings`] when a part of the URL makes no sense.
    pub fn new(_url: &str, _settings: &Settings) -> Result<Self, DriverError> {
        todo!()
    }
}

#[async_trait]
impl Driver for Postgres {
    fn dialect(&self) -> Dialect {
        todo!()
    }

    fn location(&self) -> String {
        todo!()
    }

    async fn connect(&self) -> Result<Box<dyn Session>, DriverError> {
        todo!()
    }

    async fn open_lock(&self, _version_table: &str) -> Result<Box<dyn RunLock>, DriverError> {
        todo!()
    }
}
