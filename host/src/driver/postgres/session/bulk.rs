//! Many rows at once, for a migration: arrays in one statement, statements in a pipeline, COPY.

use std::sync::Arc;

use futures_util::stream::FuturesOrdered;
use futures_util::{SinkExt, StreamExt};
use tokio_postgres::types::{Kind, Type};

use super::requests::encode_all;
use super::{PostgresSession, Transaction};
use crate::driver::postgres::pooler::{self, Route};
use crate::driver::postgres::values::{Parameter, are_distinct, array, copy_rows, is_element};
use crate::driver::{Authority, Batch, CopyTarget, DriverError, Value};
use crate::sql::Many;

/// How many statements of a pipeline are on their way at once.
const PIPELINED: usize = 256;

/// How much of a COPY goes into one message, in bytes.
const MESSAGE: usize = 64 << 10;

/// How the rows of a batch go into a statement.
enum Way {
    /// All at once: the statement over arrays, and these.
    Arrays(tokio_postgres::Statement, Vec<Parameter<'static>>),
    /// One by one.
    Each(tokio_postgres::Statement),
}

/// Rows that wait for their transaction.
pub(super) struct Ready {
    sql: String,
    batch: Arc<Batch>,
    way: Way,
}

impl PostgresSession {
    /// Prepares a statement and makes arrays of the rows that it is given next. Behind a pooler what is prepared outside of a
    /// transaction is gone with it. To prepare an UPDATE takes its lock, which is not waited for longer than in a transaction.
    pub(super) async fn make_ready(&mut self, sql: &str, batch: &Arc<Batch>) {
        self.ready = None;
        let is_own = self.authority == Authority::Host && self.opening.route() == Route::Direct;
        if batch.is_empty() || !is_own || self.enter().is_err() {
            return;
        }
        if let Some(patience) = self.opening.patience().filter(|_| !self.is_patient) {
            self.is_patient = self.command(&patience).await.is_ok();
        }
        let way = self.way_of(sql, batch).await;
        // What it failed with, it fails with again.
        if let Ok(way) = self.leave(way) {
            self.ready = Some(Ready {
                sql: sql.to_owned(),
                batch: Arc::clone(batch),
                way,
            });
        }
    }

    pub(super) async fn execute_many_inner(
        &mut self,
        sql: &str,
        batch: &Arc<Batch>,
    ) -> Result<u64, DriverError> {
        if batch.is_empty() {
            self.check(sql).await?;
            return Ok(0);
        }
        if self.is_adrift() {
            return Err(pooler::refusal("a batch of rows outside of a transaction"));
        }
        let ready = self.ready.take();
        let way = match ready.filter(|ready| ready.sql == sql && Arc::ptr_eq(&ready.batch, batch)) {
            Some(ready) => ready.way,
            None => self.way_of(sql, batch).await?,
        };
        match way {
            Way::Arrays(statement, arrays) => {
                let client = self.link.client.clone();
                self.send(client.execute_raw(&statement, &arrays))
                    .await
                    .map_err(without_position)
            }
            Way::Each(statement) => self.execute_each(&statement, batch).await,
        }
    }

    /// How the rows of a batch go into a statement.
    async fn way_of(&mut self, sql: &str, batch: &Batch) -> Result<Way, DriverError> {
        let statement = self.prepared(sql).await?;
        let types = statement.params();
        if types.len() != batch.width() {
            return Err(DriverError::Conversion(format!(
                "the statement has {} parameters and the rows have {} columns",
                types.len(),
                batch.width()
            )));
        }
        let Some(many) = over_arrays(sql, types, batch) else {
            return Ok(Way::Each(statement));
        };
        let over_arrays = match self.statements.get(&many) {
            Some(statement) => statement,
            None => {
                let client = self.link.client.clone();
                // What it does is what the statement does that it was made of, and that was checked.
                let statement = self.send(client.prepare(&many)).await?;
                self.statements.keep(&many, statement.clone(), None);
                statement
            }
        };
        let arrays = batch
            .columns()
            .iter()
            .zip(types)
            .enumerate()
            .map(|(at, (cells, element))| array(cells, element, at + 1))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Way::Arrays(over_arrays, arrays))
    }

    /// Row by row, without waiting for each answer; outside of a transaction one after another, so that nothing that
    /// comes after a failure takes effect.
    async fn execute_each(
        &mut self,
        statement: &tokio_postgres::Statement,
        batch: &Batch,
    ) -> Result<u64, DriverError> {
        let types = statement.params();
        let rows: Vec<Vec<Value>> = (0..batch.len()).map(|at| batch.row(at)).collect();
        let params = rows
            .iter()
            .map(|row| encode_all(row, types))
            .collect::<Result<Vec<_>, _>>()?;
        let width = match self.transaction {
            Transaction::None => 1,
            _ => PIPELINED,
        };
        let client = self.link.client.clone();
        self.send(async {
            let mut touched = 0_u64;
            for run in params.chunks(width) {
                // Each is sent when it is first polled, in order.
                let mut answers = FuturesOrdered::new();
                for row in run {
                    answers.push_back(client.execute_raw(statement, row));
                }
                while let Some(count) = answers.next().await {
                    touched = touched.saturating_add(count?);
                }
            }
            Ok(touched)
        })
        .await
    }

    pub(super) async fn copy_in_inner(
        &mut self,
        to: &CopyTarget,
        batch: &Arc<Batch>,
    ) -> Result<u64, DriverError> {
        if self.is_adrift() {
            return Err(pooler::refusal("COPY outside of a transaction"));
        }
        self.check_copy(to).await?;
        let select = to.select();
        let client = self.link.client.clone();
        self.has_prepared = true;
        let described = self.send(client.prepare(&select)).await?;
        let types: Vec<Type> = described
            .columns()
            .iter()
            .map(|column| column.type_().clone())
            .collect();
        let Some(rows) = copy_rows(batch.columns(), &types, batch.len())? else {
            return self.execute_many_inner(&to.insert(), batch).await;
        };
        self.expect_changes(&to.insert());
        let mut rows = rows.freeze();
        let copy = to.copy();
        self.send(async {
            let sink = client.copy_in(&copy).await?;
            futures_util::pin_mut!(sink);
            while !rows.is_empty() {
                let message = rows.split_to(rows.len().min(MESSAGE));
                sink.feed(message).await?;
            }
            sink.as_mut().finish().await
        })
        .await
        .map_err(without_position)
    }
}

/// The statement over arrays, where it has the effect of the statement for each row of the batch.
fn over_arrays(sql: &str, types: &[Type], batch: &Batch) -> Option<String> {
    let many = Many::new(sql)?;
    if !types.iter().all(is_element) {
        return None;
    }
    let key = many
        .distinct
        .iter()
        .map(|number| {
            let at = number.checked_sub(1)?;
            Some((&**batch.columns().get(at)?, types.get(at)?))
        })
        .collect::<Option<Vec<_>>>()?;
    if !key.is_empty() && !are_distinct(&key, batch.len()) {
        return None;
    }
    let names: Vec<String> = types.iter().map(spelled).collect();
    Some(many.over(&names))
}

/// A type as SQL spells it, wherever the search path leads.
fn spelled(named: &Type) -> String {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    match named.kind() {
        Kind::Array(element) => format!("{}[]", spelled(element)),
        _ => format!("{}.{}", quoted(named.schema()), quoted(named.name())),
    }
}

/// The statement that failed is not the one that was given, and so its positions are of no use.
fn without_position(error: DriverError) -> DriverError {
    match error {
        DriverError::Database(mut report) => {
            report.position = None;
            report.into()
        }
        other => other,
    }
}
