//! Rows on their way into a database: column by column, without names.

use std::sync::Arc;

use super::{Cells, Rows, Value};

/// A run of rows, each with as many values as there are columns. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    len: usize,
    columns: Vec<Arc<Cells>>,
}

impl Batch {
    /// Rows that have `width` values each; what a shorter row lacks is null.
    pub fn from_rows(width: usize, rows: Vec<Vec<Value>>) -> Self {
        let mut columns = vec![Cells::default(); width];
        let len = rows.len();
        for row in rows {
            let mut values = row.into_iter();
            for cells in &mut columns {
                cells.push(values.next().unwrap_or(Value::Null));
            }
        }
        Self::new(len, columns)
    }

    /// `len` rows of columns that each hold as many values.
    pub(crate) fn new(len: usize, columns: Vec<Cells>) -> Self {
        debug_assert!(columns.iter().all(|cells| cells.len() == len));
        let columns = columns.into_iter().map(Arc::new).collect();
        Self { len, columns }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many values each row has.
    pub fn width(&self) -> usize {
        self.columns.len()
    }

    /// A copy of one row, counted from 0.
    pub fn row(&self, at: usize) -> Vec<Value> {
        self.columns.iter().map(|cells| cells.value(at)).collect()
    }

    pub(crate) fn columns(&self) -> &[Arc<Cells>] {
        &self.columns
    }

    pub(crate) fn into_columns(self) -> Vec<Cells> {
        let own = self.columns.into_iter().map(Arc::unwrap_or_clone);
        own.collect()
    }

    /// Some of the columns, by their places. A result without rows may have come without columns.
    pub(crate) fn only(&self, columns: impl IntoIterator<Item = usize>) -> Self {
        let column = |at| self.columns.get(at).cloned().unwrap_or_default();
        let columns = columns.into_iter().map(column).collect();
        Self {
            len: self.len,
            columns,
        }
    }

    /// The columns of both, which have as many rows.
    pub(crate) fn beside(mut self, other: Self) -> Self {
        debug_assert_eq!(self.len, other.len);
        self.columns.extend(other.columns);
        self
    }

    /// Those rows whose places are given.
    pub(crate) fn pick(&self, rows: &[usize]) -> Self {
        let picked = |cells: &Arc<Cells>| {
            let mut picked = Cells::default();
            rows.iter().for_each(|&at| picked.push(cells.value(at)));
            picked
        };
        Self::new(rows.len(), self.columns.iter().map(picked).collect())
    }

    /// The rows from `from` up to, but without, `to`.
    pub(crate) fn slice(&self, from: usize, to: usize) -> Self {
        self.pick(&(from..to).collect::<Vec<_>>())
    }
}

impl From<Rows> for Batch {
    fn from(rows: Rows) -> Self {
        let len = rows.len();
        Self::new(len, rows.into_cells().1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_back_as_they_were_given() {
        let batch = Batch::from_rows(
            2,
            vec![
                vec![Value::Int64(1), Value::from("a")],
                vec![Value::Int64(2)],
            ],
        );
        assert_eq!((batch.len(), batch.width()), (2, 2));
        assert_eq!(batch.row(0), [Value::Int64(1), Value::from("a")]);
        assert_eq!(batch.row(1), [Value::Int64(2), Value::Null]);
    }
}
