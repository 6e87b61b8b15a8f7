//! Parameters: [`Value`] to what the server wants for the type that it inferred.

use std::borrow::Cow;
use std::error::Error;

use bytes::BytesMut;
use tokio_postgres::types::{Format, IsNull, Kind, ToSql, Type, to_sql_checked};

use super::text::text_form;
use super::{array, decode::type_name, time};
use crate::driver::{DriverError, Value};

/// One parameter in the form in which it is sent.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::driver::postgres) enum Parameter<'a> {
    Null,
    Binary(Cow<'a, [u8]>),
    /// In the server's text form.
    Text(Cow<'a, str>),
    /// A number, or anything else of at most 16 bytes, without an allocation.
    Fixed([u8; 16], usize),
}

impl ToSql for Parameter<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Null => return Ok(IsNull::Yes),
            Self::Binary(bytes) => out.extend_from_slice(bytes),
            Self::Text(text) => out.extend_from_slice(text.as_bytes()),
            Self::Fixed(bytes, len) => out.extend_from_slice(&bytes[..*len]),
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        match self {
            Self::Text(_) => Format::Text,
            _ => Format::Binary,
        }
    }

    to_sql_checked!();
}

/// Text for a parameter whose type the server infers from the text of the statement.
pub(in crate::driver::postgres) fn untyped(value: &Value) -> Parameter<'_> {
    match value {
        Value::Text(text)
        | Value::Numeric(text)
        | Value::Uuid(text)
        | Value::Json(text)
        | Value::Other { text, .. } => Parameter::Text(Cow::Borrowed(text)),
        _ => text_form(value).map_or(Parameter::Null, |text| Parameter::Text(Cow::Owned(text))),
    }
}

/// Encodes the parameter with this number (from 1) for a type.
///
/// # Errors
/// [`DriverError::Conversion`] names the parameter and the type.
pub(in crate::driver::postgres) fn encode<'a>(
    value: &'a Value,
    wanted: &Type,
    number: usize,
) -> Result<Parameter<'a>, DriverError> {
    convert(value, base(wanted)).map_err(|why| {
        DriverError::Conversion(format!(
            "parameter ${number} is of type {} and cannot be the {} that was given: {why}",
            type_name(wanted),
            value.case()
        ))
    })
}

/// What a domain is made of; the type itself where it is none.
pub(super) fn base(wanted: &Type) -> &Type {
    match wanted.kind() {
        Kind::Domain(inner) => base(inner),
        _ => wanted,
    }
}

const NO_CONVERSION: &str = "there is no lossless conversion";
const OUT_OF_RANGE: &str = "it is out of range";

fn convert<'a>(value: &'a Value, wanted: &Type) -> Result<Parameter<'a>, &'static str> {
    match value {
        Value::Null => return Ok(Parameter::Null),
        Value::Other { text, .. } => {
            let binary = array::binary(text, wanted).map(|bytes| Parameter::Binary(bytes.into()));
            return Ok(binary.unwrap_or(Parameter::Text(Cow::Borrowed(text))));
        }
        _ => {}
    }
    match *wanted {
        Type::BOOL => match value {
            Value::Boolean(truth) => Ok(fixed(&[u8::from(*truth)])),
            Value::Text(_) => Ok(untyped(value)),
            _ => Err(NO_CONVERSION),
        },
        Type::INT2 => number(value, |n| {
            i16::try_from(n).ok().map(|n| fixed(&n.to_be_bytes()))
        }),
        Type::INT4 => number(value, |n| {
            i32::try_from(n).ok().map(|n| fixed(&n.to_be_bytes()))
        }),
        Type::INT8 => number(value, |n| Some(fixed(&n.to_be_bytes()))),
        Type::OID => number(value, |n| {
            u32::try_from(n).ok().map(|n| fixed(&n.to_be_bytes()))
        }),
        Type::FLOAT4 => match *value {
            Value::Float32(number) => Ok(fixed(&number.to_be_bytes())),
            Value::Float64(number) => narrow(number).map(|number| fixed(&number.to_be_bytes())),
            Value::Boolean(_) => Err(NO_CONVERSION),
            _ => numeric_text(value),
        },
        Type::FLOAT8 => match *value {
            Value::Float32(number) => Ok(fixed(&f64::from(number).to_be_bytes())),
            Value::Float64(number) => Ok(fixed(&number.to_be_bytes())),
            _ => numeric_text(value),
        },
        Type::NUMERIC => numeric_text(value),
        Type::BYTEA => match value {
            Value::Bytes(bytes) => Ok(Parameter::Binary(Cow::Borrowed(bytes))),
            _ => Err("only bytes can be bytea"),
        },
        Type::DATE => match *value {
            Value::Date(days) => time::date_to_server(days)
                .map(|days| fixed(&days.to_be_bytes()))
                .ok_or(OUT_OF_RANGE),
            Value::Text(_) => Ok(untyped(value)),
            _ => Err(NO_CONVERSION),
        },
        Type::TIME => match *value {
            Value::Time(at) if time::is_time_of_day(at) => Ok(fixed(&at.to_be_bytes())),
            Value::Time(_) => Err(OUT_OF_RANGE),
            Value::Text(_) => Ok(untyped(value)),
            _ => Err(NO_CONVERSION),
        },
        Type::TIMESTAMP => match *value {
            Value::Timestamp(at) => timestamp(at),
            Value::Date(_) | Value::Text(_) => Ok(untyped(value)),
            _ => Err(NO_CONVERSION),
        },
        Type::TIMESTAMPTZ => match *value {
            Value::Timestamptz(at) => timestamp(at),
            Value::Text(_) => Ok(untyped(value)),
            _ => Err(NO_CONVERSION),
        },
        Type::INTERVAL => match *value {
            Value::Interval {
                months,
                days,
                microseconds,
            } => {
                let mut bytes = [0; 16];
                bytes[..8].copy_from_slice(&microseconds.to_be_bytes());
                bytes[8..12].copy_from_slice(&days.to_be_bytes());
                bytes[12..].copy_from_slice(&months.to_be_bytes());
                Ok(Parameter::Fixed(bytes, 16))
            }
            Value::Text(_) => Ok(untyped(value)),
            _ => Err(NO_CONVERSION),
        },
        Type::UUID => match value {
            Value::Uuid(_) | Value::Text(_) => Ok(untyped(value)),
            Value::Bytes(bytes) if bytes.len() == 16 => Ok(Parameter::Binary(Cow::Borrowed(bytes))),
            _ => Err(NO_CONVERSION),
        },
        // The version of a row, as `xidsend` has sent it.
        Type::XID => match value {
            Value::Bytes(bytes) if bytes.len() == 4 => Ok(Parameter::Binary(Cow::Borrowed(bytes))),
            Value::Bytes(_) => Err("a transaction's number is four bytes"),
            _ => Ok(untyped(value)),
        },
        _ => match value {
            Value::Bytes(_) => Err("bytes can only be bytea"),
            _ => Ok(untyped(value)),
        },
    }
}

fn fixed<'a>(bytes: &[u8]) -> Parameter<'a> {
    let mut buffer = [0; 16];
    buffer[..bytes.len()].copy_from_slice(bytes);
    Parameter::Fixed(buffer, bytes.len())
}

/// An integer in range, or text that the server reads as one.
fn number<'a>(
    value: &'a Value,
    encode: impl Fn(i64) -> Option<Parameter<'a>>,
) -> Result<Parameter<'a>, &'static str> {
    let integer = match *value {
        Value::Int16(number) => number.into(),
        Value::Int32(number) => number.into(),
        Value::Int64(number) => number,
        Value::Float32(number) => integral(number.into())?,
        Value::Float64(number) => integral(number)?,
        Value::Text(_) | Value::Numeric(_) => return Ok(untyped(value)),
        _ => return Err(NO_CONVERSION),
    };
    encode(integer).ok_or(OUT_OF_RANGE)
}

/// A float that is a whole number which a float can hold exactly.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
fn integral(number: f64) -> Result<i64, &'static str> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() != 0.0 || !(-EXACT..=EXACT).contains(&number) {
        return Err("it is not a whole number that a float holds exactly");
    }
    Ok(number as i64)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "rounding to the nearest is what float4 means"
)]
fn narrow(number: f64) -> Result<f32, &'static str> {
    let narrowed = number as f32;
    if narrowed.is_infinite() && number.is_finite() {
        return Err(OUT_OF_RANGE);
    }
    Ok(narrowed)
}

fn timestamp<'a>(at: i64) -> Result<Parameter<'a>, &'static str> {
    time::timestamp_to_server(at)
        .map(|at| fixed(&at.to_be_bytes()))
        .ok_or(OUT_OF_RANGE)
}

/// Text of a number for a type that takes any.
fn numeric_text(value: &Value) -> Result<Parameter<'_>, &'static str> {
    match value {
        Value::Int16(_)
        | Value::Int32(_)
        | Value::Int64(_)
        | Value::Float32(_)
        | Value::Float64(_)
        | Value::Numeric(_)
        | Value::Text(_) => Ok(untyped(value)),
        _ => Err(NO_CONVERSION),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test may panic")]

    use super::*;

    #[test]
    fn integers_are_checked_against_the_range_of_the_type() {
        assert_eq!(
            encode(&Value::Int64(7), &Type::INT2, 1).unwrap(),
            fixed(&[0, 7])
        );
        assert_eq!(
            encode(&Value::Float64(7.0), &Type::INT2, 1).unwrap(),
            fixed(&[0, 7])
        );
        let error = encode(&Value::Int64(70_000), &Type::INT2, 3).unwrap_err();
        assert_eq!(
            error.to_string(),
            "parameter $3 is of type int2 and cannot be the int64 that was given: it is out of range"
        );
        assert!(encode(&Value::Float64(0.5), &Type::INT8, 1).is_err());
        assert!(encode(&Value::Int64(-1), &Type::OID, 1).is_err());
    }

    #[test]
    fn what_would_lose_something_is_refused() {
        let refused = [
            (Value::Timestamptz(0), Type::TIMESTAMP),
            (Value::Timestamp(0), Type::TIMESTAMPTZ),
            (Value::Timestamp(0), Type::DATE),
            (Value::Float64(1e300), Type::FLOAT4),
            (Value::Bytes(vec![1]), Type::TEXT),
            (Value::Text("x".into()), Type::BYTEA),
            (Value::Boolean(true), Type::INT4),
            (Value::Time(-1), Type::TIME),
            (Value::Date(i32::MAX - 1), Type::DATE),
        ];
        for (value, wanted) in refused {
            assert!(encode(&value, &wanted, 1).is_err(), "{value:?} as {wanted}");
        }
    }

    #[test]
    fn types_without_a_case_of_their_own_take_text() {
        let value = Value::from("{1,2}");
        assert_eq!(
            encode(&value, &Type::INT4_ARRAY, 1).unwrap(),
            Parameter::Text(Cow::Borrowed("{1,2}"))
        );
    }
}
