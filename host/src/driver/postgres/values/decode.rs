//! Results: the server's binary form to [`Value`].

use std::error::Error;

use tokio_postgres::types::{FromSql, Kind, Type};

use super::{numeric, time};
use crate::driver::{Cells, Value};

/// The bytes of one cell as the server sent them; none for NULL.
pub(in crate::driver::postgres) struct Cell<'a>(pub(in crate::driver::postgres) Option<&'a [u8]>);

impl<'a> FromSql<'a> for Cell<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(Some(raw)))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// How the cells of one column are read; found once for a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::driver::postgres) enum Decoder {
    Boolean,
    Int16,
    Int32,
    Int64,
    Oid,
    Float32,
    Float64,
    Numeric,
    Text,
    Bytes,
    Date,
    Time,
    Timestamp,
    Timestamptz,
    Interval,
    Uuid,
    Json,
    Jsonb,
    /// `"char"`: one byte.
    Char,
    Void,
    /// A type whose binary form is its text, or that the server has been asked to send as text.
    Other(String),
}

impl Decoder {
    /// The reader for a type; `None` where only the server can make text of it.
    pub(in crate::driver::postgres) fn of(column_type: &Type) -> Option<Self> {
        Some(match *column_type {
            Type::BOOL => Self::Boolean,
            Type::INT2 => Self::Int16,
            Type::INT4 => Self::Int32,
            Type::INT8 => Self::Int64,
            Type::OID => Self::Oid,
            Type::FLOAT4 => Self::Float32,
            Type::FLOAT8 => Self::Float64,
            Type::NUMERIC => Self::Numeric,
            Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::XML | Type::UNKNOWN => {
                Self::Text
            }
            Type::BYTEA => Self::Bytes,
            Type::DATE => Self::Date,
            Type::TIME => Self::Time,
            Type::TIMESTAMP => Self::Timestamp,
            Type::TIMESTAMPTZ => Self::Timestamptz,
            Type::INTERVAL => Self::Interval,
            Type::UUID => Self::Uuid,
            Type::JSON => Self::Json,
            Type::JSONB => Self::Jsonb,
            Type::CHAR => Self::Char,
            Type::VOID => Self::Void,
            _ => match column_type.kind() {
                Kind::Enum(_) => Self::Other(type_name(column_type)),
                Kind::Domain(base) => return Self::of(base),
                _ => return None,
            },
        })
    }

    /// Reads one cell into its column and returns the size of the value; an error says why it cannot be one.
    pub(in crate::driver::postgres) fn read(
        &self,
        cell: Cell<'_>,
        column: &mut Cells,
    ) -> Result<usize, &'static str> {
        // Text and bytes go without a value of their own, which would be an allocation each.
        Ok(match (self, cell.0) {
            (Self::Text, Some(bytes)) => {
                column.push_text(utf8(bytes)?);
                size_of::<Value>() + bytes.len()
            }
            (Self::Bytes, Some(bytes)) => {
                column.push_bytes(bytes);
                size_of::<Value>() + bytes.len()
            }
            _ => {
                let value = self.decode(cell)?;
                let size = value.size();
                column.push(value);
                size
            }
        })
    }

    fn decode(&self, cell: Cell<'_>) -> Result<Value, &'static str> {
        let Some(bytes) = cell.0 else {
            return Ok(Value::Null);
        };
        Ok(match self {
            Self::Boolean => Value::Boolean(u8::from_be_bytes(fixed(bytes)?) != 0),
            Self::Int16 => Value::Int16(i16::from_be_bytes(fixed(bytes)?)),
            Self::Int32 => Value::Int32(i32::from_be_bytes(fixed(bytes)?)),
            Self::Int64 => Value::Int64(i64::from_be_bytes(fixed(bytes)?)),
            Self::Oid => Value::Int64(u32::from_be_bytes(fixed(bytes)?).into()),
            Self::Float32 => Value::Float32(f32::from_be_bytes(fixed(bytes)?)),
            Self::Float64 => Value::Float64(f64::from_be_bytes(fixed(bytes)?)),
            Self::Numeric => Value::Numeric(numeric::decode(bytes).ok_or(MALFORMED)?),
            Self::Text => Value::Text(text(bytes)?),
            Self::Bytes => Value::Bytes(bytes.to_vec()),
            Self::Date => Value::Date(
                time::date_from_server(i32::from_be_bytes(fixed(bytes)?)).ok_or(OUT_OF_RANGE)?,
            ),
            Self::Time => Value::Time(i64::from_be_bytes(fixed(bytes)?)),
            Self::Timestamp => Value::Timestamp(timestamp(bytes)?),
            Self::Timestamptz => Value::Timestamptz(timestamp(bytes)?),
            Self::Interval => {
                let [a, b, c, d, e, f, g, h, days @ .., i, j, k, l] = fixed::<16>(bytes)?;
                Value::Interval {
                    microseconds: i64::from_be_bytes([a, b, c, d, e, f, g, h]),
                    days: i32::from_be_bytes(days),
                    months: i32::from_be_bytes([i, j, k, l]),
                }
            }
            Self::Uuid => Value::Uuid(uuid::Uuid::from_bytes(fixed(bytes)?).to_string()),
            Self::Json => Value::Json(text(bytes)?),
            Self::Jsonb => match bytes.split_first() {
                Some((1, json)) => Value::Json(text(json)?),
                _ => return Err(MALFORMED),
            },
            Self::Char => Value::Text(match u8::from_be_bytes(fixed(bytes)?) {
                0 => String::new(),
                byte @ 1..=127 => char::from(byte).to_string(),
                byte => format!("\\{byte:o}"),
            }),
            Self::Void => Value::Other {
                type_name: "void".to_owned(),
                text: String::new(),
            },
            Self::Other(type_name) => Value::Other {
                type_name: type_name.clone(),
                text: text(bytes)?,
            },
        })
    }
}

const MALFORMED: &str = "the server sent it in a form that is not known";
const OUT_OF_RANGE: &str = "it is outside of the range that a migration can hold";

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], &'static str> {
    bytes.try_into().map_err(|_| MALFORMED)
}

fn text(bytes: &[u8]) -> Result<String, &'static str> {
    utf8(bytes).map(str::to_owned)
}

fn utf8(bytes: &[u8]) -> Result<&str, &'static str> {
    std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8")
}

fn timestamp(bytes: &[u8]) -> Result<i64, &'static str> {
    time::timestamp_from_server(i64::from_be_bytes(fixed(bytes)?)).ok_or(OUT_OF_RANGE)
}

/// A type's name as people write it: an array's ends in `[]`.
pub(in crate::driver::postgres) fn type_name(named: &Type) -> String {
    match named.kind() {
        Kind::Array(element) if named.name().starts_with('_') => {
            format!("{}[]", type_name(element))
        }
        _ => named.name().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_of_the_wrong_length_is_an_error() {
        for decoder in [
            Decoder::Boolean,
            Decoder::Int32,
            Decoder::Interval,
            Decoder::Uuid,
            Decoder::Jsonb,
        ] {
            assert!(
                decoder.decode(Cell(Some(&[9, 9, 9]))).is_err(),
                "{decoder:?}"
            );
            assert_eq!(decoder.decode(Cell(None)), Ok(Value::Null));
        }
    }

    #[test]
    fn an_interval_keeps_its_parts_apart() {
        let mut bytes = Vec::from(1_i64.to_be_bytes());
        bytes.extend(2_i32.to_be_bytes());
        bytes.extend((-3_i32).to_be_bytes());
        assert_eq!(
            Decoder::Interval.decode(Cell(Some(&bytes))),
            Ok(Value::Interval {
                months: -3,
                days: 2,
                microseconds: 1
            })
        );
    }

    #[test]
    fn arrays_are_named_after_their_elements() {
        assert_eq!(type_name(&Type::INT4_ARRAY), "int4[]");
        assert_eq!(type_name(&Type::INT4), "int4");
    }
}
