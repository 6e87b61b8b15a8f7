//! Queries: their rows are read one by one, so that no more than the limit is ever held.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::{StreamExt, pin_mut};
use tokio_postgres::{Row, RowStream};

use super::requests::{encode_all, with_unknown_type};
use super::{PostgresSession, Transaction};
use crate::driver::postgres::pooler::Route;
use crate::driver::postgres::statements::{Layout, Reader, unreadable, with_text_columns};
use crate::driver::postgres::values::untyped;
use crate::driver::{
    Authority, Canceller, DriverError, Durability, ResultLimit, Rows, Session as _, Value,
};

/// How much of an unwanted result is read before the server is asked to stop: a short rest is not worth failing the
/// transaction for.
const READ_BEFORE_CANCEL: usize = 1 << 20;

impl PostgresSession {
    pub(super) async fn query_inner(
        &mut self,
        sql: &str,
        params: &[Value],
        limit: ResultLimit,
    ) -> Result<Rows, DriverError> {
        if self.authority == Authority::Host {
            return self.query_own(sql, params, limit).await;
        }
        if self.is_adrift() {
            self.expect_changes(sql);
            // The types of the columns may be asked for by statements that tokio-postgres prepares.
            self.has_prepared = true;
            return self.query_own(sql, params, limit).await;
        }
        self.query_prepared(sql, params, limit).await
    }

    /// A query about tables of others: in a transaction of its own where there is none and a pooler may stand between, since
    /// what is prepared is there only in the transaction that has prepared it.
    pub(super) async fn query_table_prepared(
        &mut self,
        sql: &str,
        params: &[Value],
        limit: ResultLimit,
    ) -> Result<Rows, DriverError> {
        let is_alone =
            self.transaction == Transaction::None && self.opening.route() != Route::Direct;
        if is_alone {
            self.begin().await?;
        }
        self.enter()?;
        let result = self.query_prepared(sql, params, limit).await;
        let result = self.leave(result);
        if is_alone {
            match &result {
                Ok(_) => self
                    .commit(&[], Durability::Deferred)
                    .await
                    .map_err(DriverError::from)?,
                // It can only fail with the connection.
                Err(_) => drop(self.rollback().await),
            }
        }
        result
    }

    /// A query whose columns may be of any type. tokio-postgres asks the server for types that it does not know, and waits for
    /// the answer without reading that to the query itself, unless it has prepared it before.
    async fn query_prepared(
        &mut self,
        sql: &str,
        params: &[Value],
        limit: ResultLimit,
    ) -> Result<Rows, DriverError> {
        let reader = self.reader(sql).await?;
        let params = encode_all(params, reader.statement.params())?;
        let client = self.link.client.clone();
        let stream = self
            .send(client.query_raw(&reader.statement, &params))
            .await?;
        pin_mut!(stream);
        let mut rows = Rows::new(reader.layout.columns.clone());
        self.read_rows(stream, &reader.layout, limit, None, &mut rows, |_, _| {})
            .await?;
        Ok(rows)
    }

    /// A query of the host, or of a migration that no server process waits for: one round trip, and only types that
    /// tokio-postgres knows without asking the server.
    async fn query_own(
        &mut self,
        sql: &str,
        params: &[Value],
        limit: ResultLimit,
    ) -> Result<Rows, DriverError> {
        self.check(sql).await?;
        let params: Vec<_> = params.iter().map(untyped).collect();
        let client = self.link.client.clone();
        let stream = self
            .send(client.query_typed_raw(sql, with_unknown_type(&params)))
            .await?;
        pin_mut!(stream);
        let Some(first) = stream.next().await else {
            // What the columns of no rows are is not told, and the host does not ask.
            return Ok(Rows::new(Arc::from([])));
        };
        let first = first.map_err(|error| self.failed(error))?;
        let layout = match Layout::of(first.columns()) {
            Ok(layout) => layout,
            Err(column) => return Err(unreadable(column, &"it is the host's")),
        };
        let mut rows = Rows::new(layout.columns.clone());
        self.read_rows(stream, &layout, limit, Some(first), &mut rows, |_, _| {})
            .await?;
        Ok(rows)
    }

    /// How a migration's statement is read.
    pub(super) async fn reader(&mut self, sql: &str) -> Result<Arc<Reader>, DriverError> {
        if let Some(reader) = self.statements.reader(sql) {
            return Ok(reader);
        }
        let statement = self.prepared(sql).await?;
        let reader = match Layout::of(statement.columns()) {
            Ok(layout) => Reader {
                sql: sql.to_owned(),
                statement: statement.clone(),
                layout,
            },
            Err(column) => {
                let wrapped = with_text_columns(sql, &statement);
                let client = self.link.client.clone();
                let prepared = self
                    .send(client.prepare_typed(&wrapped, statement.params()))
                    .await
                    .map_err(|why| match why {
                        DriverError::Database(why) => unreadable(column, &why),
                        other => other,
                    })?;
                Reader {
                    sql: wrapped,
                    statement: prepared,
                    layout: Layout::with_text(statement.columns()),
                }
            }
        };
        let reader = Arc::new(reader);
        if self.access.may_keep() {
            self.statements.keep(sql, statement, Some(reader.clone()));
        }
        Ok(reader)
    }

    /// Reads a result to its end, or to the limit, into `rows`; after each row, `added` is told its size and may take
    /// it away. Returns how many rows there were, and their size.
    pub(super) async fn read_rows(
        &mut self,
        mut stream: Pin<&mut RowStream>,
        layout: &Layout,
        limit: ResultLimit,
        mut first: Option<Row>,
        rows: &mut Rows,
        mut added: impl FnMut(&mut Rows, u64),
    ) -> Result<(u64, u64), DriverError> {
        let (mut count, mut bytes) = (0_u64, 0_u64);
        loop {
            let row = match first.take() {
                Some(row) => row,
                None => match stream.next().await {
                    Some(row) => row.map_err(|error| self.failed(error))?,
                    None => break,
                },
            };
            let size = match layout.read(&row, rows) {
                Ok(size) => size,
                Err(error) => {
                    self.abandon(stream).await?;
                    return Err(error);
                }
            };
            bytes += size;
            let exceeded = if count >= limit.rows {
                Some(("rows", limit.rows))
            } else if bytes > limit.bytes {
                Some(("bytes", limit.bytes))
            } else {
                None
            };
            if let Some((unit, limit)) = exceeded {
                *rows = Rows::new(layout.columns.clone());
                self.abandon(stream).await?;
                return Err(DriverError::Limit { unit, limit });
            }
            count += 1;
            added(rows, size);
        }
        Ok((count, bytes))
    }

    /// Reads the rest of a result without keeping it, and has the server stop when that takes long; the transaction
    /// has then failed.
    async fn abandon(&mut self, mut stream: Pin<&mut RowStream>) -> Result<(), DriverError> {
        let mut read = 0;
        while read < READ_BEFORE_CANCEL {
            match stream.next().await {
                Some(Ok(row)) => read += row.raw_size_bytes(),
                Some(Err(error)) => return self.tolerate(error),
                None => return Ok(()),
            }
        }
        self.link.canceller().cancel().await;
        while let Some(row) = stream.next().await {
            if let Err(error) = row {
                return self.tolerate(error);
            }
        }
        // The request came too late for this statement; it must not hit the next one.
        if self.transaction == Transaction::Open {
            self.transaction = Transaction::Failed;
        }
        let sleep = self
            .link
            .client
            .batch_execute("SELECT pg_catalog.pg_sleep(0.2)");
        match sleep.await {
            Ok(()) => Ok(()),
            Err(error) => self.tolerate(error),
        }
    }

    /// Whatever ended a result that nobody wants, all is well unless the connection is gone.
    fn tolerate(&mut self, error: tokio_postgres::Error) -> Result<(), DriverError> {
        match self.failed(error) {
            closed @ DriverError::Closed { .. } => Err(closed),
            _ => Ok(()),
        }
    }
}
