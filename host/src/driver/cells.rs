//! Rows of a result, held column by column: as most of them travel, and without an allocation a value.

use std::sync::Arc;

use super::{Column, Value};

/// Rows of one result.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    /// One entry a column; shared, since a cursor hands the same ones out with every run of rows.
    pub columns: Arc<[Column]>,
    len: usize,
    cells: Vec<Cells>,
}

/// The values of one column. They come out as the cases that they went in as.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Cells {
    len: usize,
    /// Least significant bit first, 1 = null; up to the last byte that is not 0.
    nulls: Vec<u8>,
    run: Run,
}

/// Values of one case; zero or empty where the value is null.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) enum Run {
    /// Nothing but nulls.
    #[default]
    Nulls,
    Booleans(Vec<u8>),
    Int32s(Vec<i32>),
    Int64s(Vec<i64>),
    Float64s(Vec<f64>),
    /// One after another, and where each ends.
    Texts(String, Vec<usize>),
    /// As `Texts`.
    Blobs(Vec<u8>, Vec<usize>),
    /// Other cases, and mixed ones.
    Values(Vec<Value>),
}

impl Rows {
    /// No rows yet.
    pub fn new(columns: Arc<[Column]>) -> Self {
        let cells = columns.iter().map(|_| Cells::default()).collect();
        Self {
            columns,
            len: 0,
            cells,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a row, which has as many values as there are columns.
    pub fn push(&mut self, row: Vec<Value>) {
        debug_assert_eq!(row.len(), self.cells.len());
        for (cells, value) in self.cells.iter_mut().zip(row) {
            cells.push(value);
        }
        self.len += 1;
    }

    /// Adds a row cell by cell: `write` appends one to the column with the number it is given, and says its size.
    /// Returns the size of the row.
    ///
    /// # Errors
    /// The first of `write`; the rows are of no use then.
    pub(crate) fn append<E>(
        &mut self,
        mut write: impl FnMut(usize, &mut Cells) -> Result<usize, E>,
    ) -> Result<u64, E> {
        let mut size = 0;
        for (at, cells) in self.cells.iter_mut().enumerate() {
            size += write(at, cells)? as u64;
        }
        self.len += 1;
        Ok(size)
    }

    /// Takes the last row away.
    pub fn pop(&mut self) -> Option<Vec<Value>> {
        self.len = self.len.checked_sub(1)?;
        Some(self.cells.iter_mut().map(Cells::pop).collect())
    }

    /// Row by row, each with as many values as there are columns.
    pub fn into_rows(self) -> Vec<Vec<Value>> {
        let width = self.cells.len();
        let mut rows = vec![Vec::new(); self.len];
        for cells in self.cells {
            for (row, value) in rows.iter_mut().zip(cells.into_values()) {
                if row.is_empty() {
                    row.reserve_exact(width);
                }
                row.push(value);
            }
        }
        rows
    }

    /// The columns and what is in each.
    pub(crate) fn into_cells(self) -> (Arc<[Column]>, Vec<Cells>) {
        (self.columns, self.cells)
    }
}

impl Cells {
    pub(crate) fn push(&mut self, value: Value) {
        match (&mut self.run, value) {
            (_, Value::Null) => return self.push_null(),
            (Run::Booleans(truths), Value::Boolean(truth)) => truths.push(truth.into()),
            (Run::Int32s(numbers), Value::Int32(number)) => numbers.push(number),
            (Run::Int64s(numbers), Value::Int64(number)) => numbers.push(number),
            (Run::Float64s(numbers), Value::Float64(number)) => numbers.push(number),
            (Run::Texts(..), Value::Text(text)) => return self.push_text(&text),
            (Run::Blobs(..), Value::Bytes(bytes)) => return self.push_bytes(&bytes),
            (Run::Values(values), value) => values.push(value),
            (Run::Nulls, value) => {
                self.run = Run::of(&value, self.len);
                return self.push(value);
            }
            (_, value) => {
                let before = Self {
                    run: std::mem::take(&mut self.run),
                    nulls: self.nulls.clone(),
                    len: self.len,
                };
                let mut values = before.into_values();
                values.push(value);
                self.run = Run::Values(values);
            }
        }
        self.len += 1;
    }

    pub(crate) fn push_text(&mut self, text: &str) {
        match &mut self.run {
            Run::Texts(texts, ends) => {
                texts.push_str(text);
                ends.push(texts.len());
                self.len += 1;
            }
            _ => self.push(Value::Text(text.to_owned())),
        }
    }

    pub(crate) fn push_bytes(&mut self, bytes: &[u8]) {
        match &mut self.run {
            Run::Blobs(blobs, ends) => {
                blobs.extend_from_slice(bytes);
                ends.push(blobs.len());
                self.len += 1;
            }
            _ => self.push(Value::Bytes(bytes.to_owned())),
        }
    }

    fn push_null(&mut self) {
        self.nulls.resize(self.nulls.len().max(self.len / 8 + 1), 0);
        self.nulls[self.len / 8] |= 1 << (self.len % 8);
        match &mut self.run {
            Run::Nulls => {}
            Run::Booleans(truths) => truths.push(0),
            Run::Int32s(numbers) => numbers.push(0),
            Run::Int64s(numbers) => numbers.push(0),
            Run::Float64s(numbers) => numbers.push(0.0),
            Run::Texts(texts, ends) => ends.push(texts.len()),
            Run::Blobs(blobs, ends) => ends.push(blobs.len()),
            Run::Values(values) => values.push(Value::Null),
        }
        self.len += 1;
    }

    /// The last value, which there must be.
    fn pop(&mut self) -> Value {
        let last = self.len - 1;
        let value = self.value(last);
        self.len = last;
        if let Some(byte) = self.nulls.get_mut(last / 8) {
            *byte &= !(1 << (last % 8));
        }
        while self.nulls.last() == Some(&0) {
            self.nulls.pop();
        }
        match &mut self.run {
            Run::Nulls => {}
            Run::Booleans(truths) => truths.truncate(last),
            Run::Int32s(numbers) => numbers.truncate(last),
            Run::Int64s(numbers) => numbers.truncate(last),
            Run::Float64s(numbers) => numbers.truncate(last),
            Run::Texts(texts, ends) => {
                ends.truncate(last);
                texts.truncate(ends.last().copied().unwrap_or(0));
            }
            Run::Blobs(blobs, ends) => {
                ends.truncate(last);
                blobs.truncate(ends.last().copied().unwrap_or(0));
            }
            Run::Values(values) => values.truncate(last),
        }
        value
    }

    /// A copy of one value.
    pub(crate) fn value(&self, at: usize) -> Value {
        if self.is_null(at) {
            return Value::Null;
        }
        match &self.run {
            Run::Nulls => Value::Null,
            Run::Booleans(truths) => Value::Boolean(truths[at] != 0),
            Run::Int32s(numbers) => Value::Int32(numbers[at]),
            Run::Int64s(numbers) => Value::Int64(numbers[at]),
            Run::Float64s(numbers) => Value::Float64(numbers[at]),
            Run::Texts(texts, ends) => Value::from(&texts[span(ends, at)]),
            Run::Blobs(blobs, ends) => Value::Bytes(blobs[span(ends, at)].to_owned()),
            Run::Values(values) => values[at].clone(),
        }
    }

    pub(crate) fn is_null(&self, at: usize) -> bool {
        let byte = self.nulls.get(at / 8);
        byte.is_some_and(|byte| byte >> (at % 8) & 1 == 1)
    }

    /// One by one.
    pub(crate) fn into_values(self) -> Vec<Value> {
        match self.run {
            Run::Values(values) => values,
            _ => (0..self.len).map(|at| self.value(at)).collect(),
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Values and the bitmap of those that are null, which has a bit for each at least where it is not empty.
    pub(crate) fn from_parts(len: usize, run: Run, mut nulls: Vec<u8>) -> Self {
        nulls.truncate(len.div_ceil(8));
        if let Some(last) = nulls.get_mut(len / 8) {
            *last &= (1 << (len % 8)) - 1;
        }
        while nulls.last() == Some(&0) {
            nulls.pop();
        }
        Self { len, nulls, run }
    }

    /// The values as they are held; zero or anything where they are null.
    pub(crate) fn run(&self) -> &Run {
        &self.run
    }

    /// The values, and the bitmap of those that are null: empty when none is.
    pub(crate) fn into_parts(self) -> (Run, Vec<u8>) {
        let mut nulls = self.nulls;
        if !nulls.is_empty() {
            nulls.resize(self.len.div_ceil(8), 0);
        }
        (self.run, nulls)
    }
}

impl Run {
    /// A run that takes `value`, after so many nulls.
    fn of(value: &Value, nulls: usize) -> Self {
        match value {
            Value::Boolean(_) => Self::Booleans(vec![0; nulls]),
            Value::Int32(_) => Self::Int32s(vec![0; nulls]),
            Value::Int64(_) => Self::Int64s(vec![0; nulls]),
            Value::Float64(_) => Self::Float64s(vec![0.0; nulls]),
            Value::Text(_) => Self::Texts(String::new(), vec![0; nulls]),
            Value::Bytes(_) => Self::Blobs(Vec::new(), vec![0; nulls]),
            _ => Self::Values(vec![Value::Null; nulls]),
        }
    }
}

/// Where one of the cells that end at `ends` lies.
pub(crate) fn span(ends: &[usize], at: usize) -> std::ops::Range<usize> {
    let start = at.checked_sub(1).map_or(0, |before| ends[before]);
    start..ends[at]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(values: &[Value]) -> Rows {
        let column = Column {
            name: "c".to_owned(),
            type_name: String::new(),
        };
        let mut rows = Rows::new(Arc::from([column]));
        for value in values {
            rows.push(vec![value.clone()]);
        }
        rows
    }

    fn cases() -> Vec<Vec<Value>> {
        vec![
            vec![Value::Null, Value::Null],
            vec![Value::Boolean(true), Value::Null, Value::Boolean(false)],
            vec![Value::Int16(1), Value::Int32(2), Value::Int64(3)],
            vec![Value::Null, Value::Int32(2), Value::Null],
            vec![Value::Int64(3), Value::Null, Value::from("x"), Value::Null],
            vec![Value::Float32(0.5), Value::Float64(0.5)],
            vec![
                Value::Null,
                Value::from("a"),
                Value::from(""),
                Value::from("äb"),
            ],
            vec![Value::Bytes(vec![1, 2]), Value::Null, Value::Bytes(vec![])],
            vec![Value::Uuid("u".to_owned()), Value::Null],
            [vec![Value::Int64(0); 8], vec![Value::Null; 9]].concat(),
        ]
    }

    #[test]
    fn values_come_out_as_they_went_in() {
        for values in cases() {
            let expected: Vec<_> = values.iter().map(|value| vec![value.clone()]).collect();
            assert_eq!(rows(&values).into_rows(), expected);
        }
    }

    #[test]
    fn a_row_that_is_taken_away_leaves_no_trace() {
        for mut values in cases() {
            let mut all = rows(&values);
            while let Some(last) = values.pop() {
                assert_eq!(all.pop(), Some(vec![last]));
                assert_eq!(all.len(), values.len());
                let left: Vec<_> = values.iter().map(|value| vec![value.clone()]).collect();
                assert_eq!(all.clone().into_rows(), left);
            }
            assert_eq!(all.pop(), None);
            let (_, nulls) = all.cells.remove(0).into_parts();
            assert!(nulls.is_empty());
        }
    }

    #[test]
    fn rows_without_columns_are_counted() {
        let mut rows = Rows::new(Arc::from([]));
        rows.push(Vec::new());
        assert_eq!(rows.into_rows(), [Vec::new()]);
    }
}
