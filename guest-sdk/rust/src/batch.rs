//! Rows as they come from the host: column by column.

use std::rc::Rc;

use crate::bindings::whimbrel::migrate::types::ColumnData;
#[cfg(any(target_family = "wasm", test))]
use crate::bindings::whimbrel::migrate::types::{self, Cells};
use crate::error::Error;
use crate::row::{self, FromRow, Row};
use crate::value::{Column, FromValue, Value, ValueRef};

/// A run of rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    columns: Rc<[Column]>,
    rows: usize,
    values: Vec<Values>,
}

/// The values of one column.
#[derive(Debug, Clone, PartialEq)]
struct Values {
    /// Bit by bit, 1 = null; empty = no nulls.
    nulls: Vec<u8>,
    data: Data,
}

#[derive(Debug, Clone, PartialEq)]
enum Data {
    /// As [`ColumnData::Texts`], known to be UTF-8.
    #[cfg_attr(
        not(any(target_family = "wasm", test)),
        expect(dead_code, reason = "only what comes over the wire is in columns")
    )]
    Texts {
        offsets: Vec<u32>,
        text: String,
    },
    Other(ColumnData),
}

impl Batch {
    /// A batch as it came over the wire; `data` must have as many columns as `columns`.
    #[cfg(any(target_family = "wasm", test))]
    pub(crate) fn new(columns: Rc<[Column]>, data: types::Batch) -> Self {
        let values = data.columns.into_iter().zip(data.nulls);
        Self {
            columns,
            rows: data.rows as usize,
            values: values
                .map(|(data, nulls)| Values {
                    nulls,
                    data: Data::new(data),
                })
                .collect(),
        }
    }

    /// A batch of rows, for a fake [`Host`](crate::host::Host). A row that is shorter than `columns` ends in nulls.
    pub fn from_rows<'a>(
        columns: impl IntoIterator<Item = &'a str>,
        rows: Vec<Vec<Value>>,
    ) -> Self {
        let columns = columns.into_iter().map(|name| Column {
            name: name.into(),
            type_name: String::new(),
        });
        Self::with_columns(columns.collect(), rows)
    }

    pub(crate) fn with_columns(columns: Rc<[Column]>, rows: Vec<Vec<Value>>) -> Self {
        let count = rows.len();
        let mut values = vec![Vec::with_capacity(count); columns.len()];
        for row in rows {
            let mut row = row.into_iter();
            for column in &mut values {
                column.push(row.next().unwrap_or(Value::Null));
            }
        }
        let values = values.into_iter().map(|values| Values {
            nulls: Vec::new(),
            data: Data::Other(ColumnData::Values(values)),
        });
        Self {
            columns,
            rows: count,
            values: values.collect(),
        }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The columns in the order of the result.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The rows, each read as a `T`.
    pub fn rows<T: FromRow>(&self) -> impl Iterator<Item = Result<T, Error>> {
        (0..self.len()).map(|index| T::from_row(&self.row(index)))
    }

    /// One column, its values read as `T`: borrow texts as `&str` and no cell is copied.
    ///
    /// # Errors
    /// [`Error::Conversion`] when there is no such column, or for a value that does not fit.
    pub fn column<'a, T: FromValue<'a>>(
        &'a self,
        name: &str,
    ) -> Result<impl Iterator<Item = Result<T, Error>>, Error> {
        let at = self.index_of(name)?;
        let (column, values) = (&self.columns[at], &self.values[at]);
        Ok((0..self.rows).map(move |row| row::read(column, values.get(row))))
    }

    /// One column by its position from 0, its values read as `T`: borrow texts as `&str` and no cell is copied.
    ///
    /// # Errors
    /// [`Error::Conversion`] when there is no such column, or for a value that does not fit.
    pub fn values<'a, T: FromValue<'a>>(
        &'a self,
        at: usize,
    ) -> Result<impl Iterator<Item = Result<T, Error>>, Error> {
        let (Some(column), Some(values)) = (self.columns.get(at), self.values.get(at)) else {
            return Err(Error::Conversion(format!(
                "there is no column {at}: they are counted from 0, and there are {}",
                self.columns.len()
            )));
        };
        Ok((0..self.rows).map(move |row| row::read(column, values.get(row))))
    }

    pub(crate) fn row(&self, index: usize) -> Row<'_> {
        Row::new(self, index)
    }

    pub(crate) fn index_of(&self, name: &str) -> Result<usize, Error> {
        let index = self.columns.iter().position(|column| column.name == name);
        index.ok_or_else(|| {
            let names: Vec<&str> = self
                .columns
                .iter()
                .map(|column| column.name.as_str())
                .collect();
            Error::Conversion(format!(
                "the result has no column `{name}`; its columns are: {}",
                names.join(", ")
            ))
        })
    }

    pub(crate) fn value(&self, column: usize, row: usize) -> ValueRef<'_> {
        self.values[column].get(row)
    }
}

impl Data {
    #[cfg(any(target_family = "wasm", test))]
    fn new(data: ColumnData) -> Self {
        let ColumnData::Texts(Cells { offsets, data }) = data else {
            return Self::Other(data);
        };
        match String::from_utf8(data) {
            Ok(text) => Self::Texts { offsets, text },
            Err(other) => Self::Other(ColumnData::Blobs(Cells {
                offsets,
                data: other.into_bytes(),
            })),
        }
    }
}

impl Values {
    #[inline]
    fn get(&self, row: usize) -> ValueRef<'_> {
        if self.is_null(row) {
            return ValueRef::Null;
        }
        match &self.data {
            Data::Texts { offsets, text } => {
                let cell = offsets[row] as usize..offsets[row + 1] as usize;
                ValueRef::Text(&text[cell])
            }
            Data::Other(data) => match data {
                ColumnData::Booleans(truths) => ValueRef::Boolean(truths[row] != 0),
                ColumnData::Int32s(numbers) => ValueRef::Integer(numbers[row].into()),
                ColumnData::Int64s(numbers) => ValueRef::Integer(numbers[row]),
                ColumnData::Float64s(numbers) => ValueRef::Float(numbers[row]),
                ColumnData::Texts(cells) | ColumnData::Blobs(cells) => {
                    let cell = cells.offsets[row] as usize..cells.offsets[row + 1] as usize;
                    ValueRef::Bytes(&cells.data[cell])
                }
                ColumnData::Strings(texts) => ValueRef::Text(&texts[row]),
                ColumnData::Values(values) => ValueRef::from(&values[row]),
            },
        }
    }

    #[inline]
    fn is_null(&self, row: usize) -> bool {
        let byte = self.nulls.get(row / 8);
        byte.is_some_and(|byte| byte >> (row % 8) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columnar() -> Batch {
        let column = |name: &str, type_name: &str| Column {
            name: name.into(),
            type_name: type_name.into(),
        };
        Batch::new(
            Rc::new([column("id", "bigint"), column("name", "text")]),
            types::Batch {
                rows: 3,
                columns: vec![
                    ColumnData::Int64s(vec![1, 2, 300]),
                    ColumnData::Texts(Cells {
                        offsets: vec![0, 3, 3, 8],
                        data: "AdaZoë!".into(),
                    }),
                ],
                nulls: vec![vec![], vec![0b010]],
            },
        )
    }

    #[test]
    fn texts_are_borrowed_and_nulls_come_from_the_bitmap() -> Result<(), Error> {
        let batch = columnar();
        let names: Vec<Option<&str>> = batch.column("name")?.collect::<Result<_, _>>()?;
        assert_eq!(names, [Some("Ada"), None, Some("Zoë!")]);
        Ok(())
    }

    #[test]
    fn an_unreadable_value_is_named_by_column_and_type() -> Result<(), Error> {
        let batch = columnar();
        let ids: Result<Vec<u8>, Error> = batch.column("id")?.collect();
        assert_eq!(
            ids,
            Err(Error::Conversion(
                "column `id` (bigint): cannot read 300 as u8".into()
            ))
        );
        let names: Result<Vec<String>, Error> = batch.column("name")?.collect();
        assert_eq!(
            names,
            Err(Error::Conversion(
                "column `name` (text) is NULL; read it as an Option".into()
            ))
        );
        Ok(())
    }

    #[test]
    fn a_missing_column_is_named_beside_those_there_are() {
        assert_eq!(
            columnar().index_of("email"),
            Err(Error::Conversion(
                "the result has no column `email`; its columns are: id, name".into()
            ))
        );
    }
}
