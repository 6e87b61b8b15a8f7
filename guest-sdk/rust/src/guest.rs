//! The host as a component reaches it: the imports of the world `migration`.

use std::rc::Rc;

use crate::batch::Batch;
use crate::bindings::whimbrel::migrate::types::TextForm;
use crate::bindings::whimbrel::migrate::{bulk, context, sql};
use crate::error::Error;
use crate::host::{Direction, Host, RowStream, Savepoint};
use crate::row_buffer::RowBuffer;
use crate::value::{Column, Value};

/// The imports. A type rather than a `dyn Host`, so that a component imports only what it calls.
pub(crate) struct Imports;

impl Host for Imports {
    fn execute(&self, statement: &str, params: &[Value]) -> Result<u64, Error> {
        let touched = sql::execute(statement, params)?;
        Ok(touched.try_into().unwrap_or(0))
    }

    fn execute_many(&self, statement: &str, rows: &RowBuffer) -> Result<u64, Error> {
        let touched = bulk::execute_many(statement, rows.batch())?;
        Ok(touched.try_into().unwrap_or(0))
    }

    fn copy_in(&self, table: &str, columns: &[&str], rows: &RowBuffer) -> Result<u64, Error> {
        let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
        let copied = bulk::copy_in(table, &columns, rows.batch())?;
        Ok(copied.try_into().unwrap_or(0))
    }

    fn query(&self, statement: &str, params: &[Value]) -> Result<Batch, Error> {
        let set = sql::query_batch(statement, params, TextForm::Cells)?;
        Ok(Batch::new(set.columns.into(), set.batch))
    }

    fn open_cursor(&self, statement: &str, params: &[Value]) -> Result<Box<dyn RowStream>, Error> {
        Ok(Stream::over(sql::open_cursor(
            statement,
            params,
            TextForm::Cells,
        )?))
    }

    fn copy_out(&self, table: &str, columns: &[&str]) -> Result<Box<dyn RowStream>, Error> {
        let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
        Ok(Stream::over(bulk::copy_out(
            table,
            &columns,
            TextForm::Cells,
        )?))
    }

    fn open_savepoint(&self) -> Result<Box<dyn Savepoint>, Error> {
        Ok(Box::new(sql::open_savepoint()?))
    }

    fn direction(&self) -> Direction {
        context::direction()
    }

    fn dialect(&self) -> String {
        context::dialect()
    }

    fn revision(&self) -> String {
        context::revision()
    }

    fn parameter(&self, name: &str) -> Option<String> {
        context::parameter(name)
    }

    fn is_offline(&self) -> bool {
        context::is_offline()
    }

    fn now(&self) -> i64 {
        context::now()
    }

    fn seed(&self) -> [u8; 8] {
        context::seed().try_into().unwrap_or_default()
    }
}

struct Stream {
    cursor: sql::Cursor,
    columns: Rc<[Column]>,
}

impl Stream {
    fn over(cursor: sql::Cursor) -> Box<dyn RowStream> {
        let columns = cursor.columns().into();
        Box::new(Self { cursor, columns })
    }
}

impl RowStream for Stream {
    fn next_batch(&mut self, max_rows: u32) -> Result<Option<Batch>, Error> {
        let batch = self.cursor.next(max_rows)?;
        Ok(batch.map(|batch| Batch::new(Rc::clone(&self.columns), batch)))
    }
}

impl Savepoint for sql::Savepoint {
    fn release(self: Box<Self>) -> Result<(), Error> {
        Ok(sql::Savepoint::release(&self)?)
    }

    fn roll_back(self: Box<Self>) -> Result<(), Error> {
        Ok(sql::Savepoint::rollback(&self)?)
    }
}
