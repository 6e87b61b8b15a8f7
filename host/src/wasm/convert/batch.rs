//! Rows to columns.

use crate::driver::{Column, DriverError, Rows, Value};
use crate::wasm::bindings::whimbrel::migrate::types::{
    Batch, Cells, ColumnData, TextForm, Value as WitValue,
};

/// The form that a column takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Booleans,
    Int32s,
    Int64s,
    Float64s,
    Texts,
    Blobs,
    Values,
}

/// Turns rows into columns. Each column takes the form of its values; one that has only nulls takes that of its type,
/// so that a guest sees the same form in every batch of a cursor.
///
/// # Errors
/// [`DriverError::Conversion`] when the cells of a column do not fit the format's 32-bit offsets.
pub(crate) fn batch(rows: Rows, text: TextForm) -> Result<Batch, DriverError> {
    let Rows { columns, mut rows } = rows;
    let count = u32::try_from(rows.len())
        .map_err(|_| DriverError::Conversion("a batch has at most 4294967295 rows".to_owned()))?;
    let mut data = Vec::with_capacity(columns.len());
    let mut nulls = Vec::with_capacity(columns.len());
    for (index, column) in columns.iter().enumerate() {
        let form = form(&rows, index, column);
        nulls.push(null_bitmap(&rows, index));
        let cells = rows
            .iter_mut()
            .map(|row| std::mem::replace(&mut row[index], Value::Null));
        data.push(match (form, text) {
            (Form::Booleans, _) => {
                ColumnData::Booleans(cells.map(|v| u8::from(v == Value::Boolean(true))).collect())
            }
            (Form::Int32s, _) => ColumnData::Int32s(cells.map(int32).collect()),
            (Form::Int64s, _) => ColumnData::Int64s(cells.map(int64).collect()),
            (Form::Float64s, _) => ColumnData::Float64s(cells.map(float64).collect()),
            (Form::Texts, TextForm::Strings) => ColumnData::Strings(cells.map(string).collect()),
            (Form::Texts, TextForm::Cells) => ColumnData::Texts(joined(cells, column)?),
            (Form::Blobs, _) => ColumnData::Blobs(joined(cells, column)?),
            (Form::Values, _) => ColumnData::Values(cells.map(WitValue::from).collect()),
        });
    }
    Ok(Batch {
        rows: count,
        columns: data,
        nulls,
    })
}

fn form(rows: &[Vec<Value>], index: usize, column: &Column) -> Form {
    let mut forms = rows.iter().filter_map(|row| form_of_value(&row[index]));
    match forms.next() {
        None => form_of_type(&column.type_name),
        Some(first) if forms.all(|form| form == first) => first,
        Some(_) => Form::Values,
    }
}

fn form_of_value(value: &Value) -> Option<Form> {
    Some(match value {
        Value::Null => return None,
        Value::Boolean(_) => Form::Booleans,
        Value::Int16(_) | Value::Int32(_) => Form::Int32s,
        Value::Int64(_) => Form::Int64s,
        Value::Float32(_) | Value::Float64(_) => Form::Float64s,
        Value::Text(_) => Form::Texts,
        Value::Bytes(_) => Form::Blobs,
        _ => Form::Values,
    })
}

/// The form of a column without values, by the names of PostgreSQL's types and SQLite's storage classes.
fn form_of_type(type_name: &str) -> Form {
    match type_name.to_ascii_lowercase().as_str() {
        "bool" | "boolean" => Form::Booleans,
        "int2" | "int4" => Form::Int32s,
        "int8" | "integer" => Form::Int64s,
        "float4" | "float8" | "real" => Form::Float64s,
        "text" | "varchar" | "bpchar" | "name" => Form::Texts,
        "bytea" | "blob" => Form::Blobs,
        _ => Form::Values,
    }
}

fn null_bitmap(rows: &[Vec<Value>], index: usize) -> Vec<u8> {
    let mut bitmap = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        if row[index] == Value::Null {
            if bitmap.is_empty() {
                bitmap.resize(rows.len().div_ceil(8), 0);
            }
            bitmap[at / 8] |= 1 << (at % 8);
        }
    }
    bitmap
}

fn int32(value: Value) -> i32 {
    match value {
        Value::Int16(v) => v.into(),
        Value::Int32(v) => v,
        _ => 0,
    }
}

fn int64(value: Value) -> i64 {
    match value {
        Value::Int64(v) => v,
        _ => 0,
    }
}

fn float64(value: Value) -> f64 {
    match value {
        Value::Float32(v) => v.into(),
        Value::Float64(v) => v,
        _ => 0.0,
    }
}

fn string(value: Value) -> String {
    match value {
        Value::Text(v) => v,
        _ => String::new(),
    }
}

fn joined(values: impl Iterator<Item = Value>, column: &Column) -> Result<Cells, DriverError> {
    let mut cells = Cells {
        offsets: vec![0],
        data: Vec::new(),
    };
    for value in values {
        match &value {
            Value::Text(text) => cells.data.extend_from_slice(text.as_bytes()),
            Value::Bytes(bytes) => cells.data.extend_from_slice(bytes),
            _ => {}
        }
        cells
            .offsets
            .push(u32::try_from(cells.data.len()).map_err(|_| {
                DriverError::Conversion(format!(
                    "column `{}`: more than 4 GiB in one batch",
                    column.name
                ))
            })?);
    }
    Ok(cells)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    fn column_of(values: Vec<Value>, type_name: &str, text: TextForm) -> (ColumnData, Vec<u8>) {
        let columns = [Column {
            name: "c".to_owned(),
            type_name: type_name.to_owned(),
        }];
        let rows = values.into_iter().map(|value| vec![value]).collect();
        let mut batch = batch(
            Rows {
                columns: columns.into(),
                rows,
            },
            text,
        )
        .unwrap();
        (batch.columns.remove(0), batch.nulls.remove(0))
    }

    #[test]
    fn nulls_are_zero_and_marked() {
        let (data, nulls) = column_of(vec![Value::Int64(7), Value::Null], "int8", TextForm::Cells);
        assert!(matches!(data, ColumnData::Int64s(v) if v == [7, 0]));
        assert_eq!(nulls, [0b10]);
    }

    #[test]
    fn text_goes_as_the_guest_asks() {
        let texts = || vec![Value::from("äb"), Value::Null, Value::from("c")];
        let (cells, _) = column_of(texts(), "text", TextForm::Cells);
        assert!(
            matches!(cells, ColumnData::Texts(c) if c.offsets == [0, 3, 3, 4] && c.data == "äbc".as_bytes())
        );
        let (strings, _) = column_of(texts(), "text", TextForm::Strings);
        assert!(matches!(strings, ColumnData::Strings(s) if s == ["äb", "", "c"]));
    }

    #[test]
    fn mixed_columns_keep_every_value_as_it_is() {
        let (data, _) = column_of(vec![Value::Int64(1), Value::from("x")], "", TextForm::Cells);
        assert!(matches!(data, ColumnData::Values(v) if v.len() == 2));
    }

    #[test]
    fn a_column_of_nulls_and_an_empty_one_take_the_form_of_their_type() {
        let (data, nulls) = column_of(vec![Value::Null], "int4", TextForm::Cells);
        assert!(matches!(data, ColumnData::Int32s(v) if v == [0]));
        assert_eq!(nulls, [1]);
        let (data, _) = column_of(Vec::new(), "TEXT", TextForm::Cells);
        assert!(matches!(data, ColumnData::Texts(c) if c.offsets == [0]));
    }
}
