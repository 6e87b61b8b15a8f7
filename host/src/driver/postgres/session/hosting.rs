//! What the host asks on a connection that a guest may have: text goes out and comes in, and nothing is kept prepared.

use futures_util::{StreamExt, TryStreamExt, pin_mut};
use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::types::{ToSql, Type};

use super::PostgresSession;
use super::commit::DEFERRABLE;
use crate::driver::postgres::pooler::Route;
use crate::driver::{Authority, DriverError};

/// Rows of texts.
pub(in crate::driver::postgres) type Texts = Vec<Vec<Option<String>>>;

impl PostgresSession {
    /// Runs one of the host's queries, whose columns are texts.
    pub(in crate::driver::postgres) async fn ask(
        &mut self,
        sql: &str,
        params: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Texts, DriverError> {
        self.enter()?;
        let client = self.link.client.clone();
        let result = self
            .send(async {
                client
                    .query_typed_raw(
                        sql,
                        params.iter().map(|(value, kind)| (*value, kind.clone())),
                    )
                    .await?
                    .map(|row| {
                        let row = row?;
                        (0..row.len()).map(|at| row.try_get(at)).collect()
                    })
                    .try_collect()
                    .await
            })
            .await;
        self.leave(result)
    }

    /// Runs the host's own text, of any number of statements; returns all rows.
    pub(in crate::driver::postgres) async fn simple(
        &mut self,
        sql: &str,
    ) -> Result<Texts, DriverError> {
        self.enter()?;
        let client = self.link.client.clone();
        let result = self
            .send(async {
                let messages = client.simple_query_raw(sql).await?;
                pin_mut!(messages);
                let mut rows = Vec::new();
                while let Some(message) = messages.next().await {
                    if let SimpleQueryMessage::Row(row) = message? {
                        let texts = (0..row.len()).map(|at| row.get(at).map(str::to_owned));
                        rows.push(texts.collect());
                    }
                }
                Ok(rows)
            })
            .await;
        self.leave(result)
    }

    /// In whose name statements run.
    pub(in crate::driver::postgres) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Where the connection leads to: known once a transaction has begun.
    pub(in crate::driver::postgres) fn route(&self) -> Route {
        self.opening.route()
    }

    /// What each transaction is told, once its settings have been reset.
    pub(in crate::driver::postgres) fn settings_again(&self) -> String {
        self.opening.settings().trim_start_matches("; ").to_owned()
    }

    /// The commands that have the checks made which were put off, and put off again those that usually are.
    pub(in crate::driver::postgres) async fn constraints_to_check(
        &mut self,
    ) -> Result<String, DriverError> {
        self.enter()?;
        let result = self.checks_put_off().await;
        self.leave(result)
    }

    /// The same, within a request.
    pub(super) async fn checks_put_off(&mut self) -> Result<String, DriverError> {
        let client = self.link.client.clone();
        let rows = self.send(client.query_typed(DEFERRABLE, &[])).await?;
        let Some(row) = rows.first() else {
            return Ok(String::new());
        };
        let list = |at| {
            row.try_get::<_, Option<String>>(at).map_err(|error| {
                DriverError::Conversion(format!("the constraints cannot be read: {error}"))
            })
        };
        let (all, deferred) = (list(0)?, list(1)?);
        let Some(all) = all else {
            return Ok(String::new());
        };
        Ok(match deferred {
            Some(deferred) => {
                format!("SET CONSTRAINTS {all} IMMEDIATE; SET CONSTRAINTS {deferred} DEFERRED")
            }
            None => format!("SET CONSTRAINTS {all} IMMEDIATE"),
        })
    }
}
