//! What the host sends in bulk: many statements in one message, and rows.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::SinkExt;
use tokio_postgres::CopyInSink;

use super::PostgresSession;
use crate::driver::DriverError;

/// A COPY that is under way.
pub(in crate::driver::postgres) type Copying = Pin<Box<CopyInSink<Bytes>>>;

impl PostgresSession {
    /// Runs the host's own text, of any number of statements.
    pub(in crate::driver::postgres) async fn batch(
        &mut self,
        sql: &str,
    ) -> Result<(), DriverError> {
        self.enter()?;
        let result = self.command(sql).await;
        self.leave(result)
    }

    /// Begins a `COPY … FROM STDIN`.
    pub(in crate::driver::postgres) async fn begin_copy(
        &mut self,
        sql: &str,
    ) -> Result<Copying, DriverError> {
        self.enter()?;
        let client = self.link.client.clone();
        let result = self.send(client.copy_in(sql)).await;
        self.leave(result).map(Box::pin)
    }

    /// Sends rows.
    pub(in crate::driver::postgres) async fn copy(
        &mut self,
        to: &mut Copying,
        rows: Bytes,
    ) -> Result<(), DriverError> {
        self.enter()?;
        let result = self.send(to.as_mut().send(rows)).await;
        self.leave(result)
    }

    /// Says that there are no more rows.
    pub(in crate::driver::postgres) async fn end_copy(
        &mut self,
        mut to: Copying,
    ) -> Result<(), DriverError> {
        self.enter()?;
        let result = self.send(to.as_mut().finish()).await;
        self.leave(result).map(drop)
    }
}
