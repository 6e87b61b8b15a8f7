//! Columns of a batch: as arrays, and cell by cell in the binary form of COPY.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{Kind, Type};

use super::encode::{Parameter, base, encode};
use super::text::text_form;
use crate::driver::{Cells, DriverError, Run, Value, span};

const NULL: i32 = -1;

/// The binary form of an array, which grows element by element.
struct BinaryArray {
    out: Vec<u8>,
    len: i32,
}

impl BinaryArray {
    /// Where the header says whether there are nulls, and how many elements.
    const FLAGS: usize = 7;
    const COUNT: usize = 12;

    fn new(element: &Type, capacity: usize) -> Self {
        let mut out = Vec::with_capacity(20 + capacity);
        let header: [u32; 5] = [1, 0, element.oid(), 0, 1];
        out.extend(header.iter().flat_map(|field| field.to_be_bytes()));
        Self { out, len: 0 }
    }

    fn push(&mut self, element: &[u8]) -> Option<()> {
        self.out
            .extend(i32::try_from(element.len()).ok()?.to_be_bytes());
        self.out.extend_from_slice(element);
        self.len = self.len.checked_add(1)?;
        Some(())
    }

    fn push_null(&mut self) -> Option<()> {
        self.out.extend(NULL.to_be_bytes());
        self.out[Self::FLAGS] = 1;
        self.len = self.len.checked_add(1)?;
        Some(())
    }

    fn finish<'a>(mut self) -> Parameter<'a> {
        if self.len == 0 {
            // An array of no elements has no dimensions.
            self.out[3] = 0;
            self.out.truncate(Self::COUNT);
        } else {
            self.out[Self::COUNT..Self::COUNT + 4].copy_from_slice(&self.len.to_be_bytes());
        }
        Parameter::Binary(self.out.into())
    }
}

/// A column as an array for the parameter with this number (from 1), which is to be an `element` in each row.
///
/// # Errors
/// [`DriverError::Conversion`] names the first row and what does not fit.
pub(in crate::driver::postgres) fn array<'a>(
    cells: &Cells,
    element: &Type,
    number: usize,
) -> Result<Parameter<'a>, DriverError> {
    if let Some(array) = plain_array(cells, element) {
        return Ok(array);
    }
    let values: Vec<Value> = (0..cells.len()).map(|at| cells.value(at)).collect();
    let mut binary = Some(BinaryArray::new(element, values.len() * 8));
    for (at, value) in values.iter().enumerate() {
        let encoded = encode(value, element, number).map_err(|error| in_row(error, at))?;
        let Some(array) = &mut binary else {
            continue;
        };
        let pushed = match &encoded {
            Parameter::Null => array.push_null(),
            Parameter::Binary(bytes) => array.push(bytes),
            Parameter::Fixed(bytes, len) => array.push(&bytes[..*len]),
            Parameter::Text(_) => None,
        };
        if pushed.is_none() {
            binary = None;
        }
    }
    Ok(match binary {
        Some(array) => array.finish(),
        None => Parameter::Text(literal(&values).into()),
    })
}

/// The array of a column whose cells are in the server's form but for the order of their bytes.
fn plain_array<'a>(cells: &Cells, element: &Type) -> Option<Parameter<'a>> {
    let mut array = BinaryArray::new(element, cells.len() * 12);
    let each = |push: &mut dyn FnMut(&mut BinaryArray, usize) -> Option<()>,
                array: &mut BinaryArray| {
        (0..cells.len()).try_for_each(|at| match cells.is_null(at) {
            true => array.push_null(),
            false => push(array, at),
        })
    };
    match (cells.run(), base(element)) {
        (Run::Int64s(numbers), &Type::INT8) => each(
            &mut |array, at| array.push(&numbers[at].to_be_bytes()),
            &mut array,
        )?,
        (Run::Int32s(numbers), &Type::INT4) => each(
            &mut |array, at| array.push(&numbers[at].to_be_bytes()),
            &mut array,
        )?,
        (Run::Float64s(numbers), &Type::FLOAT8) => each(
            &mut |array, at| array.push(&numbers[at].to_be_bytes()),
            &mut array,
        )?,
        (Run::Texts(texts, ends), &(Type::TEXT | Type::VARCHAR)) => each(
            &mut |array, at| array.push(texts[span(ends, at)].as_bytes()),
            &mut array,
        )?,
        // The versions of rows, as `xidsend` has sent them.
        (Run::Blobs(blobs, ends), &Type::XID) => each(
            &mut |array, at| {
                let version: &[u8; 4] = blobs[span(ends, at)].try_into().ok()?;
                array.push(version)
            },
            &mut array,
        )?,
        (Run::Blobs(blobs, ends), &Type::BYTEA) => each(
            &mut |array, at| array.push(&blobs[span(ends, at)]),
            &mut array,
        )?,
        _ => return None,
    }
    Some(array.finish())
}

/// The text form of an array.
fn literal(values: &[Value]) -> String {
    let mut text = String::from("{");
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        match text_form(value) {
            None => text.push_str("NULL"),
            Some(element) => {
                text.push('"');
                for character in element.chars() {
                    if matches!(character, '"' | '\\') {
                        text.push('\\');
                    }
                    text.push(character);
                }
                text.push('"');
            }
        }
    }
    text.push('}');
    text
}

/// Whether values of a type can be elements of an array of one dimension that is taken apart again.
pub(in crate::driver::postgres) fn is_element(element: &Type) -> bool {
    match element.kind() {
        // An array would be taken apart to its own elements, and a row to its columns; a box ends elements by `;`.
        Kind::Array(_) | Kind::Composite(_) | Kind::Pseudo => false,
        Kind::Domain(inner) => is_element(inner),
        _ => *element != Type::BOX && *element != Type::UNKNOWN,
    }
}

/// The rows of a batch in the binary form of COPY, for columns of these types; `None` where a value has no binary form
/// that is known here.
///
/// # Errors
/// [`DriverError::Conversion`] names column, row and what does not fit.
pub(in crate::driver::postgres) fn copy_rows(
    columns: &[Arc<Cells>],
    types: &[Type],
    len: usize,
) -> Result<Option<BytesMut>, DriverError> {
    let mut out = BytesMut::with_capacity(32 + len * columns.len() * 12);
    out.put_slice(b"PGCOPY\n\xff\r\n\0");
    out.put_u32(0);
    out.put_u32(0);
    let Ok(width) = i16::try_from(columns.len()) else {
        return Ok(None);
    };
    for at in 0..len {
        out.put_i16(width);
        for (number, (cells, wanted)) in columns.iter().zip(types).enumerate() {
            let put = match (cells.is_null(at), cells.run(), base(wanted)) {
                (true, ..) => {
                    out.put_i32(NULL);
                    Some(())
                }
                (_, Run::Int64s(numbers), &Type::INT8) => {
                    put_cell(&mut out, &numbers[at].to_be_bytes())
                }
                (_, Run::Int32s(numbers), &Type::INT4) => {
                    put_cell(&mut out, &numbers[at].to_be_bytes())
                }
                (_, Run::Float64s(numbers), &Type::FLOAT8) => {
                    put_cell(&mut out, &numbers[at].to_be_bytes())
                }
                (_, Run::Texts(texts, ends), inner) if is_sent_as_text(inner) => {
                    put_cell(&mut out, texts[span(ends, at)].as_bytes())
                }
                (_, Run::Blobs(blobs, ends), &Type::BYTEA) => {
                    put_cell(&mut out, &blobs[span(ends, at)])
                }
                (.., inner) => {
                    let value = cells.value(at);
                    let encoded = encode(&value, wanted, number + 1)
                        .map_err(|error| in_row(of_column(error), at))?;
                    match &encoded {
                        Parameter::Null => {
                            out.put_i32(NULL);
                            Some(())
                        }
                        Parameter::Binary(bytes) => put_cell(&mut out, bytes),
                        Parameter::Fixed(bytes, len) => put_cell(&mut out, &bytes[..*len]),
                        Parameter::Text(text) if is_sent_as_text(inner) => {
                            put_cell(&mut out, text.as_bytes())
                        }
                        Parameter::Text(_) => None,
                    }
                }
            };
            if put.is_none() {
                return Ok(None);
            }
        }
    }
    out.put_i16(-1);
    Ok(Some(out))
}

fn put_cell(out: &mut BytesMut, cell: &[u8]) -> Option<()> {
    out.put_i32(i32::try_from(cell.len()).ok()?);
    out.put_slice(cell);
    Some(())
}

/// Whether the binary form of a type is its text.
fn is_sent_as_text(wanted: &Type) -> bool {
    matches!(
        *wanted,
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::JSON
    ) || matches!(wanted.kind(), Kind::Enum(_))
}

/// Numbers of parameters are numbers of columns here.
fn of_column(error: DriverError) -> DriverError {
    match error {
        DriverError::Conversion(message) => {
            DriverError::Conversion(message.replacen("parameter $", "column ", 1))
        }
        other => other,
    }
}

fn in_row(error: DriverError, at: usize) -> DriverError {
    match error {
        DriverError::Conversion(message) => {
            DriverError::Conversion(format!("row {} of the batch: {message}", at + 1))
        }
        other => other,
    }
}

/// Whether no two rows have the same values in these columns, as equality of these types has it. `false` also where that
/// cannot be told; a null is equal to nothing.
pub(in crate::driver::postgres) fn are_distinct(columns: &[(&Cells, &Type)], len: usize) -> bool {
    if let [(cells, wanted)] = columns
        && **wanted == Type::INT8
        && let Run::Int64s(numbers) = cells.run()
        && numbers.is_sorted_by(|one, next| one < next)
    {
        return true;
    }
    let mut seen = std::collections::HashSet::with_capacity(len);
    'rows: for at in 0..len {
        let mut key = Vec::with_capacity(columns.len() * 9);
        for (cells, wanted) in columns {
            let value = cells.value(at);
            match (encode(&value, wanted, 1), base(wanted)) {
                (Ok(Parameter::Null), _) => continue 'rows,
                (
                    Ok(Parameter::Fixed(bytes, len)),
                    &(Type::INT2
                    | Type::INT4
                    | Type::INT8
                    | Type::OID
                    | Type::BOOL
                    | Type::DATE
                    | Type::TIMESTAMP
                    | Type::TIMESTAMPTZ),
                ) => key.extend_from_slice(&bytes[..len]),
                (Ok(Parameter::Text(text)), &Type::UUID) if is_canonical_uuid(&text) => {
                    key.extend_from_slice(text.as_bytes());
                }
                _ => return false,
            }
            key.push(0);
        }
        if !seen.insert(key) {
            return false;
        }
    }
    true
}

fn is_canonical_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test may panic")]

    use tokio_postgres::types::FromSql;

    use super::*;

    fn cells(values: &[Value]) -> Cells {
        let mut cells = Cells::default();
        for value in values {
            cells.push(value.clone());
        }
        cells
    }

    fn read<T: for<'a> FromSql<'a>>(values: &[Value], element: &Type, of: &Type) -> Vec<Option<T>> {
        match array(&cells(values), element, 1).unwrap() {
            Parameter::Binary(bytes) => Vec::from_sql(of, &bytes).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn versions_of_rows_go_back_as_they_came() {
        let version = |number: u32| Value::Bytes(number.to_be_bytes().to_vec());
        let versions = [version(7), Value::Null, version(u32::MAX)];
        assert_eq!(
            read::<u32>(&versions, &Type::XID, &Type::OID_ARRAY),
            [Some(7), None, Some(u32::MAX)]
        );
        let odd = cells(&[Value::Bytes(vec![7; 5])]);
        assert!(array(&odd, &Type::XID, 1).is_err());
    }

    #[test]
    fn columns_become_binary_arrays_where_they_can() {
        assert_eq!(
            read::<i64>(
                &[Value::Int64(7), Value::Null],
                &Type::INT8,
                &Type::INT8_ARRAY
            ),
            [Some(7), None]
        );
        assert_eq!(
            read::<i16>(&[Value::Int64(7)], &Type::INT2, &Type::INT2_ARRAY),
            [Some(7)]
        );
        assert_eq!(
            read::<String>(
                &[Value::from("a\"b"), Value::from("")],
                &Type::TEXT,
                &Type::TEXT_ARRAY
            ),
            [Some("a\"b".to_owned()), Some(String::new())]
        );
        assert_eq!(
            read::<i64>(&[], &Type::INT8, &Type::INT8_ARRAY),
            [] as [Option<i64>; 0]
        );
        assert_eq!(
            read::<i64>(&[const { Value::Null }; 9], &Type::INT8, &Type::INT8_ARRAY),
            [None; 9]
        );
    }

    #[test]
    fn other_columns_become_literals() {
        let numbers = cells(&[Value::Numeric("1.50".into()), Value::Null, Value::Int64(-2)]);
        assert_eq!(
            array(&numbers, &Type::NUMERIC, 1).unwrap(),
            Parameter::Text(r#"{"1.50",NULL,"-2"}"#.into())
        );
        let texts = cells(&[Value::from(r#"a"\b"#)]);
        assert_eq!(
            array(&texts, &Type::JSONB, 1).unwrap(),
            Parameter::Text(r#"{"a\"\\b"}"#.into())
        );
    }

    #[test]
    fn the_row_of_what_does_not_fit_is_named() {
        let numbers = cells(&[Value::Int64(1), Value::Int64(70_000)]);
        assert_eq!(
            array(&numbers, &Type::INT2, 2).unwrap_err().to_string(),
            "row 2 of the batch: parameter $2 is of type int2 and cannot be the int64 that was given: it is out of range"
        );
        assert_eq!(
            copy_rows(&[numbers.into()], &[Type::INT2], 2)
                .unwrap_err()
                .to_string(),
            "row 2 of the batch: column 1 is of type int2 and cannot be the int64 that was given: it is out of range"
        );
    }

    #[test]
    fn equal_keys_are_seen_and_doubtful_ones_are_not_trusted() {
        let distinct = |values: &[Value], wanted: &Type| {
            are_distinct(&[(&cells(values), wanted)], values.len())
        };
        let uuid = |text: &str| Value::Uuid(text.to_owned());
        assert!(distinct(&[Value::Int64(1), Value::Int64(2)], &Type::INT8));
        assert!(distinct(&[Value::Int64(2), Value::Int64(1)], &Type::INT4));
        assert!(distinct(&[Value::Null, Value::Null], &Type::INT8));
        assert!(!distinct(&[Value::Int64(1), Value::Int64(1)], &Type::INT8));
        assert!(!distinct(
            &[Value::from("1"), Value::from("01")],
            &Type::INT8
        ));
        assert!(!distinct(
            &[Value::from("a"), Value::from("b")],
            &Type::TEXT
        ));
        let id = "0189f7ea-ae2c-7809-8aeb-b819cf5e9e7f";
        assert!(distinct(&[uuid(id)], &Type::UUID));
        assert!(!distinct(
            &[uuid(id), uuid(&id.to_uppercase())],
            &Type::UUID
        ));
    }
}
