//! The interfaces of `whimbrel:migrate`, as the guest calls them.
//!
//! An error is the guest's to handle when the database or a limit is its reason, and a trap when the guest misused a
//! handle or must not go on.

use std::sync::Arc;

use wasmtime::component::{Resource, ResourceTableError};

use super::bindings::whimbrel::migrate::{bulk, context, log, sql, types};
use super::convert;
use super::guest::Guest;
use super::loan::{Cursor, Refusal, Savepoint, SavepointEnd};
use crate::driver::{DriverError, Value};
use crate::migration::MigrationError;

/// What a host call fails with.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub enum CallError {
    /// An error that the guest sees.
    Guest(Box<types::Error>),
    /// The guest does not go on.
    Trap(wasmtime::Error),
}

impl From<DriverError> for CallError {
    fn from(error: DriverError) -> Self {
        Self::Guest(Box::new(convert::error(&error)))
    }
}

impl From<Refusal> for CallError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Driver(error) => error.into(),
            Refusal::Misuse(reason) => Self::Trap(wasmtime::Error::msg(reason)),
        }
    }
}

impl From<ResourceTableError> for CallError {
    fn from(error: ResourceTableError) -> Self {
        Self::Trap(error.into())
    }
}

impl types::Host for Guest {
    fn convert_error(&mut self, error: CallError) -> wasmtime::Result<types::Error> {
        match error {
            CallError::Guest(error) => Ok(*error),
            CallError::Trap(trap) => Err(trap),
        }
    }
}

impl Guest {
    /// A cursor of the guest's.
    async fn open(
        &mut self,
        statement: &str,
        params: &[Value],
        text: types::TextForm,
    ) -> Result<Resource<Cursor>, CallError> {
        let cursor = self.loan.new_cursor(text);
        let serial = cursor.serial();
        let handle = self.hand_out(cursor)?;
        match self.loan.open_cursor(serial, statement, params).await {
            Ok(()) => Ok(handle),
            Err(error) => {
                self.table.delete(handle)?;
                Err(error.into())
            }
        }
    }

    /// Every statement passes here first: a call that was told to stop starts no other.
    fn go_on(&self) -> Result<(), CallError> {
        match self.watch.check() {
            Some(_) => Err(CallError::Trap(wasmtime::Error::msg(
                "the call was told to stop",
            ))),
            None => Ok(()),
        }
    }

    /// Gives the guest a handle, within its limit.
    fn hand_out<T: Send + 'static>(&mut self, entry: T) -> Result<Resource<T>, CallError> {
        self.table.push(entry).map_err(|_| {
            let limit = u64::from(self.limits.handles);
            self.loan.doom(MigrationError::Limit {
                what: "handles",
                limit,
                unit: "handles",
            });
            CallError::Guest(Box::new(convert::limit_error("handles", limit)))
        })
    }
}

impl sql::Host for Guest {
    async fn execute(
        &mut self,
        statement: String,
        params: Vec<types::Value>,
    ) -> Result<i64, CallError> {
        self.go_on()?;
        let touched = self
            .loan
            .execute(&statement, &convert::params(params))
            .await?;
        Ok(i64::try_from(touched).unwrap_or(i64::MAX))
    }

    async fn query(
        &mut self,
        statement: String,
        params: Vec<types::Value>,
    ) -> Result<sql::RowSet, CallError> {
        self.go_on()?;
        let found = self
            .loan
            .query(&statement, &convert::params(params))
            .await?;
        Ok(sql::RowSet {
            columns: convert::columns(&found.columns),
            rows: convert::rows(found.into_rows()),
        })
    }

    async fn query_batch(
        &mut self,
        statement: String,
        params: Vec<types::Value>,
        text: types::TextForm,
    ) -> Result<sql::ColumnSet, CallError> {
        self.go_on()?;
        let found = self
            .loan
            .query(&statement, &convert::params(params))
            .await?;
        Ok(sql::ColumnSet {
            columns: convert::columns(&found.columns),
            batch: convert::batch(found, text)?,
        })
    }

    async fn open_cursor(
        &mut self,
        statement: String,
        params: Vec<types::Value>,
        text: types::TextForm,
    ) -> Result<Resource<Cursor>, CallError> {
        self.go_on()?;
        self.open(&statement, &convert::params(params), text).await
    }

    async fn open_savepoint(&mut self) -> Result<Resource<Savepoint>, CallError> {
        self.go_on()?;
        let savepoint = self.loan.new_savepoint();
        let handle = self.hand_out(savepoint)?;
        match self.loan.open_savepoint(savepoint).await {
            Ok(()) => Ok(handle),
            Err(error) => {
                self.table.delete(handle)?;
                Err(error.into())
            }
        }
    }
}

impl sql::HostCursor for Guest {
    async fn columns(&mut self, handle: Resource<Cursor>) -> wasmtime::Result<Vec<types::Column>> {
        let serial = self.table.get(&handle)?.serial();
        match self.loan.cursor_columns(serial) {
            Ok(columns) => Ok(convert::columns(&columns)),
            Err(Refusal::Driver(error)) => Err(wasmtime::Error::new(error)),
            Err(Refusal::Misuse(reason)) => Err(wasmtime::Error::msg(reason)),
        }
    }

    async fn next(
        &mut self,
        handle: Resource<Cursor>,
        max_rows: u32,
    ) -> Result<Option<types::Batch>, CallError> {
        self.go_on()?;
        let cursor = self.table.get(&handle)?;
        let (serial, text) = (cursor.serial(), cursor.text);
        let rows = self.loan.fetch(serial, max_rows).await?;
        if rows.is_empty() {
            return Ok(None);
        }
        Ok(Some(convert::batch(rows, text)?))
    }

    async fn drop(&mut self, handle: Resource<Cursor>) -> wasmtime::Result<()> {
        let cursor = self.table.delete(handle)?;
        // A cursor that does not close has nobody left to tell; the next statement meets the same trouble.
        let _ = self.loan.close_cursor(cursor.serial()).await;
        Ok(())
    }
}

impl sql::HostSavepoint for Guest {
    async fn release(&mut self, handle: Resource<Savepoint>) -> Result<(), CallError> {
        self.go_on()?;
        let savepoint = *self.table.get(&handle)?;
        Ok(self
            .loan
            .end_savepoint(savepoint, SavepointEnd::Release)
            .await?)
    }

    async fn rollback(&mut self, handle: Resource<Savepoint>) -> Result<(), CallError> {
        self.go_on()?;
        let savepoint = *self.table.get(&handle)?;
        Ok(self
            .loan
            .end_savepoint(savepoint, SavepointEnd::Rollback)
            .await?)
    }

    async fn drop(&mut self, handle: Resource<Savepoint>) -> wasmtime::Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}

impl bulk::Host for Guest {
    async fn execute_many(
        &mut self,
        statement: String,
        rows: types::Batch,
    ) -> Result<i64, CallError> {
        self.go_on()?;
        let batch = Arc::new(convert::sent_batch(rows)?);
        let touched = self.loan.execute_many(&statement, &batch).await?;
        Ok(i64::try_from(touched).unwrap_or(i64::MAX))
    }

    async fn copy_in(
        &mut self,
        table: String,
        columns: Vec<String>,
        rows: types::Batch,
    ) -> Result<i64, CallError> {
        self.go_on()?;
        let batch = Arc::new(convert::sent_batch(rows)?);
        let copied = self.loan.copy_in(&table, &columns, &batch).await?;
        Ok(i64::try_from(copied).unwrap_or(i64::MAX))
    }

    async fn copy_out(
        &mut self,
        table: String,
        columns: Vec<String>,
        text: types::TextForm,
    ) -> Result<Resource<Cursor>, CallError> {
        self.go_on()?;
        let statement = self.loan.copy_out(&table, &columns)?;
        self.open(&statement, &[], text).await
    }
}

impl context::Host for Guest {
    fn direction(&mut self) -> wasmtime::Result<context::StepDirection> {
        Ok(self.call.direction.into())
    }

    fn dialect(&mut self) -> wasmtime::Result<String> {
        Ok(self.call.dialect.to_string())
    }

    fn revision(&mut self) -> wasmtime::Result<String> {
        Ok(self.call.revision.to_string())
    }

    fn parameter(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        Ok(self.call.parameters.get(&name).map(ToString::to_string))
    }

    fn is_offline(&mut self) -> wasmtime::Result<bool> {
        Ok(self.call.is_offline)
    }

    fn now(&mut self) -> wasmtime::Result<i64> {
        Ok(self.call.now.as_microsecond())
    }

    fn seed(&mut self) -> wasmtime::Result<Vec<u8>> {
        Ok(self.call.seed.to_vec())
    }
}

impl log::Host for Guest {
    fn write(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        let written = self.console().write(level.into(), &message);
        written.map_err(wasmtime::Error::new)
    }

    fn progress(&mut self, done: i64, total: Option<i64>) -> wasmtime::Result<()> {
        self.console().progress(done, total);
        Ok(())
    }
}
