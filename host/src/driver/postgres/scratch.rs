//! A database on the same server, made for one purpose and dropped.

use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use super::Postgres;
use super::link::Link;
use crate::driver::{Driver, DriverError, Scratch};

/// How the names of such databases start, so that one that was left behind is recognised.
const PREFIX: &str = "whimbrel_scratch_";

struct PostgresScratch {
    driver: Arc<Postgres>,
    /// Where it is dropped from.
    beside: Postgres,
}

impl Postgres {
    /// Makes an empty database beside this one.
    pub(super) async fn make_scratch(&self) -> Result<Box<dyn Scratch>, DriverError> {
        let name = format!("{PREFIX}{}", Uuid::new_v4().simple());
        self.command(&format!("CREATE DATABASE {name}")).await?;
        let mut driver = self.clone();
        driver.connection.database = name;
        Ok(Box::new(PostgresScratch {
            driver: Arc::new(driver),
            beside: self.clone(),
        }))
    }

    /// Sends a command that no transaction may be around, over a connection of its own.
    async fn command(&self, sql: &str) -> Result<(), DriverError> {
        let link = Link::open(&self.connection, |_| {}).await?;
        let done = link.client.batch_execute(sql).await;
        done.map_err(|error| link.translate(error))
    }
}

#[async_trait]
impl Scratch for PostgresScratch {
    fn driver(&self) -> Arc<dyn Driver> {
        Arc::clone(&self.driver) as _
    }

    async fn discard(self: Box<Self>) -> Result<(), DriverError> {
        let name = &self.driver.connection.database;
        self.beside
            .command(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
            .await
    }
}
