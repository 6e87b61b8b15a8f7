//! Rows on their way into the database: column by column.

use crate::bindings::whimbrel::migrate::types::{self, Cells, ColumnData};
use crate::error::Error;
use crate::value::{ToValue, Value, ValueRef};

pub use whimbrel_sdk_macros::ToRow;

/// Rows to be sent in one call, by [`Db::execute_many`](crate::Db::execute_many) or [`Db::copy_in`](crate::Db::copy_in).
/// Values are written into their columns as they are pushed; keep the buffer and [clear](RowBuffer::clear) it to use its
/// memory again.
///
/// ```
/// use whimbrel_sdk::prelude::*;
/// use whimbrel_sdk::RowBuffer;
///
/// #[derive(ToRow)]
/// struct Person<'a> {
///     id: i64,
///     name: &'a str,
///     email: Option<&'a str>,
/// }
///
/// # #[cfg(feature = "testing")]
/// # fn main() -> Result<()> {
/// # let database = whimbrel::testing::Database::new()?;
/// # let db = database.db();
/// # db.run("CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT, email TEXT)")?;
/// let mut rows = RowBuffer::new();
/// rows.push(&Person { id: 1, name: "Ada", email: None })?;
/// rows.push(&Person { id: 2, name: "Grace", email: Some("grace@example.org") })?;
/// db.copy_in("people", &["id", "name", "email"], &rows)?;
///
/// rows.clear();
/// rows.push(&(1, "ada@example.org"))?;
/// let touched = db.execute_many("UPDATE people SET email = $2 WHERE id = $1", &rows)?;
/// # assert_eq!(touched, 1);
/// # assert_eq!(db.query_one::<i64>("SELECT count(email) FROM people", params![])?, 2);
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "testing"))]
/// # fn main() {}
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct RowBuffer {
    /// As it goes over the wire.
    batch: types::Batch,
    /// What each column has had so far.
    met: Vec<Met>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Met {
    /// Nothing but nulls since it was made or cleared: its form may still change.
    Nulls,
    Values,
}

impl Default for RowBuffer {
    fn default() -> Self {
        Self {
            batch: types::Batch {
                rows: 0,
                columns: Vec::new(),
                nulls: Vec::new(),
            },
            met: Vec::new(),
        }
    }
}

impl RowBuffer {
    /// No rows yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a row.
    ///
    /// # Errors
    /// [`Error::Conversion`] when it is not as wide as the rows before it; the buffer is as it was then.
    pub fn push(&mut self, row: &impl ToRow) -> Result<(), Error> {
        let batch = &mut self.batch;
        let mut writer = RowWriter {
            rows: batch.rows as usize,
            columns: &mut batch.columns,
            nulls: &mut batch.nulls,
            met: &mut self.met,
            written: 0,
        };
        row.write_row(&mut writer);
        let written = writer.written;
        if batch.rows == 0 {
            batch.columns.truncate(written);
            batch.nulls.truncate(written);
            self.met.truncate(written);
        }
        let width = batch.columns.len();
        if written == width && width > 0 {
            batch.rows += 1;
            return Ok(());
        }
        let rows = batch.rows as usize;
        for (column, nulls) in batch.columns.iter_mut().zip(&mut batch.nulls) {
            truncate(column, rows);
            nulls.truncate(rows.div_ceil(8));
            if let Some(last) = nulls.get_mut(rows / 8) {
                *last &= (1 << (rows % 8)) - 1;
            }
        }
        Err(Error::Conversion(format!(
            "a row of {written} values among rows of {width}"
        )))
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.batch.rows as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes all rows out, and keeps the memory that they had; rows of another width can follow.
    pub fn clear(&mut self) {
        let batch = &mut self.batch;
        batch.rows = 0;
        for (column, nulls) in batch.columns.iter_mut().zip(&mut batch.nulls) {
            truncate(column, 0);
            nulls.clear();
        }
        self.met.fill(Met::Nulls);
    }

    /// How many values each row has.
    pub fn width(&self) -> usize {
        self.batch.columns.len()
    }

    /// A copy of one row, counted from 0, for a [`Host`](crate::host::Host) of your own.
    pub fn row(&self, at: usize) -> Vec<Value> {
        let batch = &self.batch;
        let columns = batch.columns.iter().zip(&batch.nulls);
        columns
            .map(|(column, nulls)| match is_null(nulls, at) {
                true => Value::Null,
                false => value(column, at),
            })
            .collect()
    }

    #[cfg(target_family = "wasm")]
    pub(crate) fn into_batch(self) -> types::Batch {
        self.batch
    }

    #[cfg(target_family = "wasm")]
    pub(crate) fn batch(&self) -> &types::Batch {
        &self.batch
    }
}

/// A type that is a row: a struct by derive, a tuple by position, or a list of values.
///
/// ```
/// use whimbrel_sdk::{RowBuffer, ToRow};
///
/// #[derive(ToRow)]
/// struct Name<'a> {
///     id: i64,
///     name: &'a str,
/// }
///
/// let mut rows = RowBuffer::new();
/// rows.push(&Name { id: 1, name: "Ada" })?;
/// rows.push(&(2_i64, "Grace"))?;
/// assert_eq!(rows.len(), 2);
/// # Ok::<(), whimbrel_sdk::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent as a row",
    note = "add `#[derive(ToRow)]` or `#[derive(Row)]` to it, or push a tuple"
)]
pub trait ToRow {
    /// Writes the values of the row, in the order of the parameters or columns that they are for.
    fn write_row(&self, row: &mut RowWriter<'_>);
}

impl ToRow for [Value] {
    fn write_row(&self, row: &mut RowWriter<'_>) {
        for value in self {
            row.push(value);
        }
    }
}

impl ToRow for Vec<Value> {
    fn write_row(&self, row: &mut RowWriter<'_>) {
        self.as_slice().write_row(row);
    }
}

impl<T: ToRow + ?Sized> ToRow for &T {
    fn write_row(&self, row: &mut RowWriter<'_>) {
        (**self).write_row(row);
    }
}

macro_rules! tuples {
    ($(($($type:ident $position:tt),+)),+ $(,)?) => {$(
        impl<$($type: ToValue),+> ToRow for ($($type,)+) {
            fn write_row(&self, row: &mut RowWriter<'_>) {
                $(row.push(&self.$position);)+
            }
        }
    )+};
}

tuples! {
    (A 0), (A 0, B 1), (A 0, B 1, C 2), (A 0, B 1, C 2, D 3), (A 0, B 1, C 2, D 3, E 4),
    (A 0, B 1, C 2, D 3, E 4, F 5), (A 0, B 1, C 2, D 3, E 4, F 5, G 6),
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7),
}

/// Takes the values of one row.
#[derive(Debug)]
pub struct RowWriter<'a> {
    rows: usize,
    columns: &'a mut Vec<ColumnData>,
    nulls: &'a mut Vec<Vec<u8>>,
    met: &'a mut Vec<Met>,
    written: usize,
}

impl RowWriter<'_> {
    /// Writes the next value.
    #[inline]
    pub fn push(&mut self, value: &(impl ToValue + ?Sized)) {
        value.write_cell(&mut Cell { row: self });
    }

    fn put(&mut self, value: ValueRef<'_>) {
        let at = self.written;
        self.written += 1;
        if at == self.columns.len() {
            if self.rows > 0 {
                return;
            }
            self.columns.push(ColumnData::Values(Vec::new()));
            self.nulls.push(Vec::new());
            self.met.push(Met::Nulls);
        }
        let (column, nulls) = (&mut self.columns[at], &mut self.nulls[at]);
        if matches!(value, ValueRef::Null) {
            nulls.resize(self.rows / 8 + 1, 0);
            nulls[self.rows / 8] |= 1 << (self.rows % 8);
        } else if !nulls.is_empty() {
            nulls.resize(self.rows / 8 + 1, 0);
        }
        if self.met[at] == Met::Nulls && !matches!(value, ValueRef::Null) {
            self.met[at] = Met::Values;
            if self.rows > 0 || !takes(column, value) {
                *column = empty(value, self.rows);
            }
        }
        append(column, value, self.rows, nulls);
    }
}

/// Where one value of a row goes.
#[derive(Debug)]
pub struct Cell<'a, 'b> {
    row: &'a mut RowWriter<'b>,
}

impl Cell<'_, '_> {
    /// Writes the value, without a copy of its own.
    #[inline]
    pub fn put(&mut self, value: ValueRef<'_>) {
        self.row.put(value);
    }
}

/// Appends a value to a column that has so many; a column that does not take it becomes one of values.
fn append(column: &mut ColumnData, value: ValueRef<'_>, len: usize, nulls: &[u8]) {
    match (&mut *column, value) {
        (ColumnData::Booleans(truths), ValueRef::Boolean(truth)) => truths.push(truth.into()),
        (ColumnData::Booleans(truths), ValueRef::Null) => truths.push(0),
        (ColumnData::Int64s(numbers), ValueRef::Integer(number)) => numbers.push(number),
        (ColumnData::Int64s(numbers), ValueRef::Null) => numbers.push(0),
        (ColumnData::Float64s(numbers), ValueRef::Float(number)) => numbers.push(number),
        (ColumnData::Float64s(numbers), ValueRef::Null) => numbers.push(0.0),
        (ColumnData::Texts(cells), ValueRef::Text(text)) => add_cell(cells, text.as_bytes()),
        (ColumnData::Texts(cells) | ColumnData::Blobs(cells), ValueRef::Null) => {
            add_cell(cells, &[]);
        }
        (ColumnData::Blobs(cells), ValueRef::Bytes(bytes)) => add_cell(cells, bytes),
        (ColumnData::Values(values), value) => values.push(owned(value)),
        (_, other) => {
            let values = (0..len).map(|at| match is_null(nulls, at) {
                true => Value::Null,
                false => self::value(column, at),
            });
            let mut values: Vec<Value> = values.collect();
            values.push(owned(other));
            *column = ColumnData::Values(values);
        }
    }
}

/// Whether a column is of the form that such a value takes.
fn takes(column: &ColumnData, value: ValueRef<'_>) -> bool {
    matches!(
        (column, value),
        (ColumnData::Booleans(_), ValueRef::Boolean(_))
            | (ColumnData::Int64s(_), ValueRef::Integer(_))
            | (ColumnData::Float64s(_), ValueRef::Float(_))
            | (ColumnData::Texts(_), ValueRef::Text(_))
            | (ColumnData::Blobs(_), ValueRef::Bytes(_))
    )
}

/// A column of the form that such a value takes, after so many nulls.
fn empty(value: ValueRef<'_>, len: usize) -> ColumnData {
    let cells = || Cells {
        offsets: vec![0; len + 1],
        data: Vec::new(),
    };
    match value {
        ValueRef::Boolean(_) => ColumnData::Booleans(vec![0; len]),
        ValueRef::Integer(_) => ColumnData::Int64s(vec![0; len]),
        ValueRef::Float(_) => ColumnData::Float64s(vec![0.0; len]),
        ValueRef::Text(_) => ColumnData::Texts(cells()),
        ValueRef::Bytes(_) => ColumnData::Blobs(cells()),
        ValueRef::Null | ValueRef::Other(_) => ColumnData::Values(vec![Value::Null; len]),
    }
}

fn add_cell(cells: &mut Cells, bytes: &[u8]) {
    cells.data.extend_from_slice(bytes);
    // A guest has less memory than 32 bits can tell.
    cells.offsets.push(cells.data.len() as u32);
}

fn truncate(column: &mut ColumnData, rows: usize) {
    match column {
        ColumnData::Booleans(values) => values.truncate(rows),
        ColumnData::Int32s(values) => values.truncate(rows),
        ColumnData::Int64s(values) => values.truncate(rows),
        ColumnData::Float64s(values) => values.truncate(rows),
        ColumnData::Texts(cells) | ColumnData::Blobs(cells) => {
            cells.offsets.truncate(rows + 1);
            let end = cells.offsets.last().copied().unwrap_or(0);
            cells.data.truncate(end as usize);
        }
        ColumnData::Strings(values) => values.truncate(rows),
        ColumnData::Values(values) => values.truncate(rows),
    }
}

fn is_null(nulls: &[u8], at: usize) -> bool {
    nulls
        .get(at / 8)
        .is_some_and(|byte| byte >> (at % 8) & 1 == 1)
}

fn value(column: &ColumnData, at: usize) -> Value {
    let cell = |cells: &Cells| {
        let range = cells.offsets[at] as usize..cells.offsets[at + 1] as usize;
        cells.data[range].to_vec()
    };
    match column {
        ColumnData::Booleans(truths) => Value::Boolean(truths[at] != 0),
        ColumnData::Int32s(numbers) => Value::Int32(numbers[at]),
        ColumnData::Int64s(numbers) => Value::Int64(numbers[at]),
        ColumnData::Float64s(numbers) => Value::Float64(numbers[at]),
        ColumnData::Texts(cells) => Value::Text(String::from_utf8(cell(cells)).unwrap_or_default()),
        ColumnData::Blobs(cells) => Value::Bytes(cell(cells)),
        ColumnData::Strings(texts) => Value::Text(texts[at].clone()),
        ColumnData::Values(values) => values[at].clone(),
    }
}

fn owned(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Boolean(truth) => Value::Boolean(truth),
        ValueRef::Integer(number) => Value::Int64(number),
        ValueRef::Float(number) => Value::Float64(number),
        ValueRef::Text(text) => Value::Text(text.into()),
        ValueRef::Bytes(bytes) => Value::Bytes(bytes.into()),
        ValueRef::Other(value) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(rows: &[Vec<Value>]) -> Result<RowBuffer, Error> {
        let mut buffer = RowBuffer::new();
        for row in rows {
            buffer.push(row)?;
        }
        Ok(buffer)
    }

    #[test]
    fn rows_come_out_as_they_went_in() -> Result<(), Error> {
        let rows = vec![
            vec![
                Value::Null,
                Value::Int64(1),
                Value::from_text("a"),
                Value::Null,
            ],
            vec![Value::Int64(7), Value::Null, Value::Null, Value::Null],
            vec![
                Value::Null,
                Value::from_text("mixed"),
                Value::from_text("äb"),
                Value::Null,
            ],
            vec![
                Value::Int64(8),
                Value::Uuid("u".into()),
                Value::from_text(""),
                Value::Boolean(true),
            ],
        ];
        let buffer = buffer(&rows)?;
        for (at, row) in rows.iter().enumerate() {
            assert_eq!(buffer.row(at), *row);
        }
        Ok(())
    }

    #[test]
    fn plain_columns_are_sent_without_values() -> Result<(), Error> {
        let mut buffer = RowBuffer::new();
        buffer.push(&(1_i64, "a", None::<f64>, true))?;
        buffer.push(&(2_i32, "bc", Some(0.5), false))?;
        let batch = &buffer.batch;
        assert_eq!(batch.rows, 2);
        assert_eq!(batch.columns[0], ColumnData::Int64s(vec![1, 2]));
        assert_eq!(
            batch.columns[1],
            ColumnData::Texts(Cells {
                offsets: vec![0, 1, 3],
                data: b"abc".to_vec()
            })
        );
        assert_eq!(batch.columns[2], ColumnData::Float64s(vec![0.0, 0.5]));
        assert_eq!(batch.nulls, [vec![], vec![], vec![1], vec![]]);
        assert_eq!(batch.columns[3], ColumnData::Booleans(vec![1, 0]));
        Ok(())
    }

    #[test]
    fn a_cleared_buffer_takes_anything() -> Result<(), Error> {
        let mut buffer = RowBuffer::new();
        buffer.push(&(1_i64, Some("a"), 0.5))?;
        buffer.push(&(2_i64, None::<&str>, 1.5))?;
        buffer.clear();
        assert!(buffer.is_empty());
        buffer.push(&(None::<i64>, 7_i64))?;
        buffer.push(&(3_i64, 8_i64))?;
        assert_eq!(buffer.row(0), [Value::Null, Value::Int64(7)]);
        assert_eq!(buffer.row(1), [Value::Int64(3), Value::Int64(8)]);
        assert_eq!(buffer.batch.columns[1], ColumnData::Int64s(vec![7, 8]));
        buffer.clear();
        buffer.push(&(None::<i64>, None::<i64>, "x"))?;
        assert_eq!(
            buffer.row(0),
            [Value::Null, Value::Null, Value::from_text("x")]
        );
        Ok(())
    }

    #[test]
    fn a_row_of_another_width_leaves_the_buffer_as_it_was() -> Result<(), Error> {
        let mut buffer = RowBuffer::new();
        buffer.push(&(1_i64, "a"))?;
        let before = buffer.clone();
        assert!(buffer.push(&(2_i64,)).is_err());
        assert_eq!(buffer, before);
        assert!(buffer.push(&(2_i64, "b", "c")).is_err());
        assert_eq!(buffer, before);
        assert!(buffer.push(&(None::<i64>, None::<&str>, "c")).is_err());
        assert_eq!((buffer.len(), buffer.row(0)), (1, before.row(0)));
        buffer.push(&(2_i64, "b"))?;
        assert_eq!(buffer.len(), 2);
        Ok(())
    }

    impl Value {
        fn from_text(text: &str) -> Self {
            Self::Text(text.into())
        }
    }
}
