//! Values on their way between a guest and a database.

use serde::{Deserialize, Serialize};

/// A SQL value; the cases are those of the WIT's `value`, which documents their units.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Value {
    /// SQL NULL, of any type.
    Null,
    /// A truth value.
    Boolean(bool),
    /// A 16-bit integer.
    Int16(i16),
    /// A 32-bit integer.
    Int32(i32),
    /// A 64-bit integer.
    Int64(i64),
    /// A single-precision number.
    Float32(#[serde(with = "exact")] f32),
    /// A double-precision number.
    Float64(#[serde(with = "exact")] f64),
    /// Decimal digits, or `NaN`, `Infinity`, `-Infinity`.
    Numeric(String),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(#[serde(with = "hexadecimal")] Vec<u8>),
    /// Days since 1970-01-01; the extremes of `i32` are -infinity and infinity.
    Date(i32),
    /// Microseconds since midnight.
    Time(i64),
    /// Microseconds since 1970-01-01 00:00:00 without a zone; the extremes of `i64` are -infinity and infinity.
    Timestamp(i64),
    /// Microseconds since 1970-01-01 00:00:00 UTC; the extremes of `i64` are -infinity and infinity.
    Timestamptz(i64),
    /// A calendar interval in the three parts that SQL keeps apart.
    Interval {
        /// Whole months.
        months: i32,
        /// Whole days.
        days: i32,
        /// Microseconds.
        microseconds: i64,
    },
    /// A UUID in its canonical text form.
    Uuid(String),
    /// JSON text.
    Json(String),
    /// A value of any other type: the type's name and the value's text form.
    Other {
        /// The name of the type as the database spells it.
        type_name: String,
        /// The text form of the value in that database.
        text: String,
    },
}

impl Value {
    /// The name of the value's case as the WIT spells it, for messages.
    pub fn case(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean(_) => "boolean",
            Self::Int16(_) => "int16",
            Self::Int32(_) => "int32",
            Self::Int64(_) => "int64",
            Self::Float32(_) => "float32",
            Self::Float64(_) => "float64",
            Self::Numeric(_) => "numeric",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::Date(_) => "date",
            Self::Time(_) => "time",
            Self::Timestamp(_) => "timestamp",
            Self::Timestamptz(_) => "timestamptz",
            Self::Interval { .. } => "interval",
            Self::Uuid(_) => "uuid",
            Self::Json(_) => "json",
            Self::Other { .. } => "other",
        }
    }

    /// About how many bytes of memory the value takes, for limits on results.
    pub fn size(&self) -> usize {
        let heap = match self {
            Self::Numeric(s) | Self::Text(s) | Self::Uuid(s) | Self::Json(s) => s.len(),
            Self::Bytes(b) => b.len(),
            Self::Other { type_name, text } => type_name.len() + text.len(),
            _ => 0,
        };
        heap + size_of::<Self>()
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int64(number)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// The column's name as the database reports it.
    pub name: String,
    /// The name of its type as the database spells it; empty where it has none (an expression in SQLite).
    pub type_name: String,
}

/// Numbers as text: JSON has neither NaN nor infinities.
mod exact {
    use std::fmt::{Debug, Display};
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<T: Debug, S: Serializer>(number: &T, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format!("{number:?}"))
    }

    pub(super) fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<T, D::Error> {
        String::deserialize(from)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// Bytes as text: a list of numbers would be several times as long.
mod hexadecimal {
    use std::fmt::Write as _;

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        let mut text = String::with_capacity(bytes.len() * 2);
        for byte in bytes {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        to.serialize_str(&text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        let invalid = || de::Error::custom("expected bytes as pairs of hexadecimal digits");
        let digits = text.as_bytes().chunks(2).map(|pair| {
            let pair = std::str::from_utf8(pair)
                .ok()
                .filter(|pair| pair.len() == 2);
            pair.and_then(|pair| u8::from_str_radix(pair, 16).ok())
        });
        digits.collect::<Option<Vec<u8>>>().ok_or_else(invalid)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_from_json() {
        let values = [
            Value::Null,
            Value::Boolean(true),
            Value::Int64(i64::MAX),
            Value::Float32(0.1),
            Value::Float64(f64::NEG_INFINITY),
            Value::Float64(-0.0),
            Value::Numeric("1.10".to_owned()),
            Value::Text("a\0\u{1F426}".to_owned()),
            Value::Bytes(vec![0, 255, 16]),
            Value::Interval {
                months: 1,
                days: -2,
                microseconds: 3,
            },
            Value::Other {
                type_name: "point".to_owned(),
                text: "(1,2)".to_owned(),
            },
        ];
        let text = serde_json::to_string(&values).unwrap();
        assert_eq!(serde_json::from_str::<Vec<Value>>(&text).unwrap(), values);
        let nan = serde_json::to_string(&Value::Float64(f64::NAN)).unwrap();
        let back = serde_json::from_str(&nan).unwrap();
        assert!(matches!(back, Value::Float64(number) if number.is_nan()));
        assert!(serde_json::from_str::<Value>(r#"{"bytes":"0g"}"#).is_err());
    }
}
