//! Results that are read while they come.

use std::marker::PhantomData;

use crate::batch::Batch;
use crate::error::Error;
use crate::host::RowStream;
use crate::row::FromRow;

/// How many rows [`Cursor`] asks the host for at a time.
const ROWS_PER_FETCH: u32 = 1000;

/// The rows of a query, one after another; what [`Db::cursor`](crate::Db::cursor) returns. Ends after an error.
pub struct Cursor<T> {
    batches: Batches,
    current: Option<Batch>,
    next: usize,
    row: PhantomData<fn() -> T>,
}

impl<T> Cursor<T> {
    pub(crate) fn new(stream: Box<dyn RowStream>) -> Self {
        Self {
            batches: Batches::new(stream, ROWS_PER_FETCH),
            current: None,
            next: 0,
            row: PhantomData,
        }
    }
}

impl<T: FromRow> Iterator for Cursor<T> {
    type Item = Result<T, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(batch) = self
                .current
                .as_ref()
                .filter(|batch| self.next < batch.len())
            {
                let row = T::from_row(&batch.row(self.next));
                self.next += 1;
                if row.is_err() {
                    self.current = None;
                    self.batches.stream = None;
                }
                return Some(row);
            }
            self.next = 0;
            self.current = match self.batches.next()? {
                Ok(batch) => Some(batch),
                Err(error) => return Some(Err(error)),
            };
        }
    }
}

/// The rows of a query, batch after batch; what [`Db::query_batches`](crate::Db::query_batches) returns. Ends after an error.
pub struct Batches {
    stream: Option<Box<dyn RowStream>>,
    rows: u32,
}

impl Batches {
    pub(crate) fn new(stream: Box<dyn RowStream>, rows: u32) -> Self {
        Self {
            stream: Some(stream),
            rows: rows.max(1),
        }
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.stream.as_mut()?.next_batch(self.rows).transpose();
        if !matches!(batch, Some(Ok(_))) {
            self.stream = None;
        }
        batch
    }
}
