//! Cursors: declared under names of the host's, fetched in runs that stay under a limit.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use futures_util::pin_mut;
use tokio_postgres::types::{ToSql, Type};

use super::requests::encode_all;
use super::{PostgresSession, Transaction};
use crate::driver::postgres::pooler;
use crate::driver::postgres::statements::Reader;
use crate::driver::{Column, CursorId, Dialect, DriverError, ResultLimit, Rows, Value};
use crate::sql::without_semicolon;

/// How much longer than the last run of rows the next may be: the first is one row, to learn how wide they are.
const GROWTH: u64 = 8;

/// How many times the limit a run may take when rows are suddenly wider than those before them; what all cursors of the
/// session hold of such runs counts.
const SLACK: u64 = 8;

/// The open cursors of a session.
#[derive(Default)]
pub(super) struct Cursors {
    open: HashMap<CursorId, Cursor>,
    opened: u32,
}

struct Cursor {
    reader: Arc<Reader>,
    /// Rows that were fetched but did not fit under the last limit.
    left: VecDeque<Vec<Value>>,
    /// Their size in bytes.
    left_bytes: u64,
    /// The size of a row of the last run on average, in bytes.
    width: u64,
    /// The length of the last run.
    run: u64,
    end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Ahead,
    Reached,
}

fn name(cursor: CursorId) -> String {
    format!("whimbrel_cursor_{}", cursor.0)
}

impl Cursors {
    pub(super) fn columns(&self, cursor: CursorId) -> Result<Arc<[Column]>, DriverError> {
        let cursor = self.open.get(&cursor);
        cursor
            .map(|cursor| cursor.reader.layout.columns.clone())
            .ok_or(DriverError::Closed { source: None })
    }

    /// How many cursors were ever opened.
    pub(super) fn opened(&self) -> u32 {
        self.opened
    }

    /// Whether any may be open on the server.
    pub(super) fn are_open(&self) -> bool {
        self.opened > 0
    }

    pub(super) fn forget_all(&mut self) {
        self.open.clear();
    }

    /// Forgets those that were opened after this many.
    pub(super) fn forget_since(&mut self, opened: u32) {
        self.open.retain(|cursor, _| cursor.0 <= opened);
    }
}

impl PostgresSession {
    pub(super) async fn open_cursor_inner(
        &mut self,
        sql: &str,
        params: &[Value],
    ) -> Result<CursorId, DriverError> {
        if self.is_adrift() {
            return Err(pooler::refusal("a cursor outside of a transaction"));
        }
        let reader = self.reader(sql).await?;
        let types = reader.statement.params();
        let params = encode_all(params, types)?;
        let params: Vec<(&(dyn ToSql + Sync), Type)> = params
            .iter()
            .map(|param| param as &(dyn ToSql + Sync))
            .zip(types.iter().cloned())
            .collect();
        self.cursors.opened += 1;
        let id = CursorId(self.cursors.opened);
        // Outside of a transaction only a cursor with hold outlives its own declaration.
        let hold = if self.transaction == Transaction::None {
            " WITH HOLD"
        } else {
            ""
        };
        let prefix = format!("DECLARE {} NO SCROLL CURSOR{hold} FOR ", name(id));
        let declare = format!(
            "{prefix}{}",
            without_semicolon(&reader.sql, Dialect::Postgresql)
        );
        let client = self.link.client.clone();
        self.send(client.execute_typed(&declare, &params))
            .await
            .map_err(|error| without_prefix(error, prefix.len()))?;
        let cursor = Cursor {
            reader,
            left: VecDeque::new(),
            left_bytes: 0,
            width: 0,
            run: 0,
            end: End::Ahead,
        };
        self.cursors.open.insert(id, cursor);
        Ok(id)
    }

    pub(super) async fn fetch_inner(
        &mut self,
        id: CursorId,
        max_rows: u32,
        limit: ResultLimit,
    ) -> Result<Rows, DriverError> {
        // Away while it is read from: an error leaves it closed, as the server does with its own.
        let mut cursor = self
            .cursors
            .open
            .remove(&id)
            .ok_or(DriverError::Closed { source: None })?;
        let max_rows = u64::from(max_rows).min(limit.rows);
        let mut rows = Rows::new(cursor.reader.layout.columns.clone());
        let mut bytes = 0_u64;
        while (rows.len() as u64) < max_rows {
            if let Some(row) = cursor.left.pop_front() {
                let row_bytes = size(&row);
                if row_bytes > limit.bytes {
                    return Err(DriverError::Limit {
                        unit: "bytes",
                        limit: limit.bytes,
                    });
                }
                if bytes + row_bytes > limit.bytes {
                    cursor.left.push_front(row);
                    break;
                }
                cursor.left_bytes = match cursor.left.is_empty() {
                    true => 0,
                    false => cursor.left_bytes.saturating_sub(row_bytes),
                };
                bytes += row_bytes;
                rows.push(row);
                continue;
            }
            if cursor.end == End::Reached {
                break;
            }
            let wanted = max_rows - rows.len() as u64;
            let fitting = (limit.bytes - bytes) / cursor.width.max(1);
            let run = wanted.min(fitting).min((cursor.run * GROWTH).max(1));
            if run == 0 && !rows.is_empty() {
                break;
            }
            bytes += self
                .fetch_run(id, &mut cursor, run.max(1), limit, &mut rows, bytes)
                .await?;
        }
        self.cursors.open.insert(id, cursor);
        Ok(rows)
    }

    /// Fetches `run` rows, of which those go to `rows`, which hold `bytes`, that stay below the limit. Returns the size
    /// of what went there.
    async fn fetch_run(
        &mut self,
        id: CursorId,
        cursor: &mut Cursor,
        run: u64,
        limit: ResultLimit,
        rows: &mut Rows,
        bytes: u64,
    ) -> Result<u64, DriverError> {
        let client = self.link.client.clone();
        let fetch = format!("FETCH FORWARD {run} FROM {}", name(id));
        let nothing: [(&(dyn ToSql + Sync), Type); 0] = [];
        // The types of the columns are known since the cursor was opened, so this asks the server nothing else.
        let stream = self.send(client.query_typed_raw(&fetch, nothing)).await?;
        let elsewhere: u64 = self.cursors.open.values().map(|open| open.left_bytes).sum();
        let within = ResultLimit {
            rows: u64::MAX,
            bytes: limit.bytes.saturating_mul(SLACK).saturating_sub(elsewhere),
        };
        let mut kept = 0;
        let left = &mut cursor.left;
        let left_bytes = &mut cursor.left_bytes;
        let keep = |rows: &mut Rows, size| {
            if left.is_empty() && bytes + kept + size <= limit.bytes {
                kept += size;
            } else {
                *left_bytes += size;
                left.extend(rows.pop());
            }
        };
        pin_mut!(stream);
        let (count, read) = self
            .read_rows(stream, &cursor.reader.layout, within, None, rows, keep)
            .await?;
        if count < run {
            cursor.end = End::Reached;
        }
        if let Some(width) = read.checked_div(count) {
            cursor.width = width;
            cursor.run = run;
        }
        Ok(kept)
    }

    pub(super) async fn close_cursor_inner(&mut self, id: CursorId) -> Result<(), DriverError> {
        match self.cursors.open.remove(&id) {
            // In a failed transaction the server takes no CLOSE, and the cursor goes with the transaction.
            Some(_) if self.transaction != Transaction::Failed => {
                self.command(&format!("CLOSE {}", name(id))).await
            }
            _ => Ok(()),
        }
    }
}

/// Counts an error's position from the start of the statement that was given.
fn without_prefix(error: DriverError, prefix: usize) -> DriverError {
    match error {
        DriverError::Database(mut report) => {
            report.position = report
                .position
                .and_then(|position| position.checked_sub(u32::try_from(prefix).ok()?))
                .filter(|&position| position > 0);
            report.into()
        }
        other => other,
    }
}

/// The size of a row in memory.
fn size(row: &[Value]) -> u64 {
    row.iter().map(|value| value.size() as u64).sum()
}
