//! The columns of a result in the form that guests take them in.

use crate::driver::{
    Batch as DriverBatch, Cells as DriverCells, Column, DriverError, Rows, Run, Value, span,
};
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

/// Turns rows into a batch. Each column takes the form of its values; one that has only nulls takes that of its type,
/// so that a guest sees the same form in every batch of a cursor.
///
/// # Errors
/// [`DriverError::Conversion`] when the cells of a column do not fit the format's 32-bit offsets.
pub(crate) fn batch(rows: Rows, text: TextForm) -> Result<Batch, DriverError> {
    let count = u32::try_from(rows.len())
        .map_err(|_| DriverError::Conversion("a batch has at most 4294967295 rows".to_owned()))?;
    let (columns, cells) = rows.into_cells();
    assembled(count, columns.iter().zip(cells), text)
}

/// The same of rows whose columns have no names.
///
/// # Errors
/// As [`batch`].
pub(crate) fn given(rows: DriverBatch, text: TextForm) -> Result<Batch, DriverError> {
    let count = u32::try_from(rows.len())
        .map_err(|_| DriverError::Conversion("a batch has at most 4294967295 rows".to_owned()))?;
    let nameless = Column {
        name: String::new(),
        type_name: String::new(),
    };
    let columns = rows.into_columns().into_iter();
    assembled(count, columns.map(|cells| (&nameless, cells)), text)
}

fn assembled<'a>(
    count: u32,
    columns: impl Iterator<Item = (&'a Column, DriverCells)>,
    text: TextForm,
) -> Result<Batch, DriverError> {
    let mut data = Vec::new();
    let mut nulls = Vec::new();
    for (column, cells) in columns {
        let (column_data, bitmap) = column_data(cells, column, text)?;
        data.push(column_data);
        nulls.push(bitmap);
    }
    Ok(Batch {
        rows: count,
        columns: data,
        nulls,
    })
}

fn column_data(
    cells: DriverCells,
    column: &Column,
    text: TextForm,
) -> Result<(ColumnData, Vec<u8>), DriverError> {
    let count = cells.len();
    let (run, nulls) = cells.into_parts();
    let data = match run {
        Run::Nulls => of_values(vec![Value::Null; count], column, text),
        Run::Values(values) => of_values(values, column, text),
        Run::Booleans(truths) => ColumnData::Booleans(truths),
        Run::Int32s(numbers) => ColumnData::Int32s(numbers),
        Run::Int64s(numbers) => ColumnData::Int64s(numbers),
        Run::Float64s(numbers) => ColumnData::Float64s(numbers),
        Run::Texts(texts, ends) => match text {
            TextForm::Cells => ColumnData::Texts(joined(texts.into_bytes(), &ends, column)?),
            TextForm::Strings => {
                let texts = (0..count).map(|at| texts[span(&ends, at)].to_owned());
                ColumnData::Strings(texts.collect())
            }
        },
        Run::Blobs(blobs, ends) => ColumnData::Blobs(joined(blobs, &ends, column)?),
    };
    Ok((data, nulls))
}

/// Values that have no run of their own: nulls, cases of two widths, and all that mixes.
fn of_values(values: Vec<Value>, column: &Column, text: TextForm) -> ColumnData {
    let empty = || Cells {
        offsets: vec![0; values.len() + 1],
        data: Vec::new(),
    };
    match (form(&values, column), text) {
        (Form::Booleans, _) => ColumnData::Booleans(vec![0; values.len()]),
        (Form::Int32s, _) => ColumnData::Int32s(values.iter().map(int32).collect()),
        (Form::Int64s, _) => ColumnData::Int64s(vec![0; values.len()]),
        (Form::Float64s, _) => ColumnData::Float64s(values.iter().map(float64).collect()),
        (Form::Texts, TextForm::Strings) => ColumnData::Strings(vec![String::new(); values.len()]),
        (Form::Texts, TextForm::Cells) => ColumnData::Texts(empty()),
        (Form::Blobs, _) => ColumnData::Blobs(empty()),
        (Form::Values, _) => ColumnData::Values(values.into_iter().map(WitValue::from).collect()),
    }
}

fn form(values: &[Value], column: &Column) -> Form {
    let mut forms = values.iter().filter_map(|value| match value {
        Value::Null => None,
        Value::Int16(_) | Value::Int32(_) => Some(Form::Int32s),
        Value::Float32(_) | Value::Float64(_) => Some(Form::Float64s),
        _ => Some(Form::Values),
    });
    match forms.next() {
        None => form_of_type(&column.type_name),
        Some(first) if forms.all(|form| form == first) => first,
        Some(_) => Form::Values,
    }
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

fn int32(value: &Value) -> i32 {
    match *value {
        Value::Int16(v) => v.into(),
        Value::Int32(v) => v,
        _ => 0,
    }
}

fn float64(value: &Value) -> f64 {
    match *value {
        Value::Float32(v) => v.into(),
        Value::Float64(v) => v,
        _ => 0.0,
    }
}

fn joined(data: Vec<u8>, ends: &[usize], column: &Column) -> Result<Cells, DriverError> {
    if u32::try_from(data.len()).is_err() {
        return Err(DriverError::Conversion(format!(
            "column `{}`: more than 4 GiB in one batch",
            column.name
        )));
    }
    let ends = ends
        .iter()
        .map(|&end| u32::try_from(end).unwrap_or(u32::MAX));
    Ok(Cells {
        offsets: std::iter::once(0).chain(ends).collect(),
        data,
    })
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
        let mut rows = Rows::new(columns.into());
        for value in values {
            rows.push(vec![value]);
        }
        let mut batch = batch(rows, text).unwrap();
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
