//! Values on their way into and out of SQLite.
//!
//! SQLite knows five storage classes; the declared type of a column says which case of [`Value`] a stored value comes
//! out as. A stored value that does not fit its declared type comes out by its storage class, and so does a column
//! without a declared type (an expression). What SQLite cannot keep without change is an error on the way in.

use rusqlite::types::{ToSqlOutput, ValueRef};

use super::decimal::{self, Kept};
use super::time::{self, Zone};
use crate::driver::{DriverError, Value};

/// What a declared type promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Declared {
    Boolean,
    Int16,
    Int32,
    Float32,
    Numeric,
    Date,
    Time,
    Timestamp(Zone),
    Interval,
    Uuid,
    Json,
    /// The storage class is the type: INTEGER, BIGINT, REAL, TEXT, BLOB and all that Whimbrel does not know.
    Storage,
}

impl Declared {
    /// Understands a declared type: its words without length and precision.
    pub(super) fn parse(type_name: &str) -> Self {
        let name = type_name.split('(').next().unwrap_or_default().trim();
        let suffix = type_name
            .rsplit(')')
            .next()
            .filter(|_| type_name.contains(')'));
        let name = match suffix.map(str::trim) {
            Some(suffix) if !suffix.is_empty() => format!("{name} {suffix}"),
            _ => name.to_owned(),
        };
        match name.to_ascii_uppercase().as_str() {
            "BOOLEAN" | "BOOL" => Self::Boolean,
            "SMALLINT" | "INT2" | "TINYINT" => Self::Int16,
            "INT" | "INT4" | "MEDIUMINT" => Self::Int32,
            "FLOAT4" => Self::Float32,
            "NUMERIC" | "DECIMAL" => Self::Numeric,
            "DATE" => Self::Date,
            "TIME" | "TIME WITHOUT TIME ZONE" => Self::Time,
            "TIMESTAMP" | "DATETIME" | "TIMESTAMP WITHOUT TIME ZONE" => Self::Timestamp(Zone::None),
            "TIMESTAMPTZ" | "TIMESTAMP WITH TIME ZONE" => Self::Timestamp(Zone::Utc),
            "INTERVAL" => Self::Interval,
            "UUID" => Self::Uuid,
            "JSON" | "JSONB" => Self::Json,
            _ => Self::Storage,
        }
    }

    /// The value that is stored.
    ///
    /// # Errors
    /// Says why the stored value is no value at all: text that is not UTF-8.
    pub(super) fn read(self, stored: ValueRef<'_>) -> Result<Value, &'static str> {
        Ok(match stored {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(integer) => self.read_integer(integer),
            ValueRef::Real(real) => self.read_real(real),
            ValueRef::Text(bytes) => {
                let text =
                    std::str::from_utf8(bytes).map_err(|_| "the stored text is not valid UTF-8")?;
                self.read_text(text)
                    .unwrap_or_else(|| Value::Text(text.to_owned()))
            }
            ValueRef::Blob(bytes) => self
                .read_digits(bytes)
                .unwrap_or_else(|| Value::Bytes(bytes.to_owned())),
        })
    }

    fn read_integer(self, integer: i64) -> Value {
        let narrow = match self {
            Self::Boolean => match integer {
                0 => Some(Value::Boolean(false)),
                1 => Some(Value::Boolean(true)),
                _ => None,
            },
            Self::Int16 => integer.try_into().ok().map(Value::Int16),
            Self::Int32 => integer.try_into().ok().map(Value::Int32),
            Self::Numeric => Some(Value::Numeric(integer.to_string())),
            Self::Json => Some(Value::Json(integer.to_string())),
            _ => None,
        };
        narrow.unwrap_or(Value::Int64(integer))
    }

    fn read_real(self, real: f64) -> Value {
        match self {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "taken back where it loses anything"
            )]
            Self::Float32 if f64::from(real as f32) == real => Value::Float32(real as f32),
            Self::Numeric => Value::Numeric(decimal::real_text(real)),
            Self::Json if real.is_finite() => Value::Json(decimal::real_text(real)),
            _ => Value::Float64(real),
        }
    }

    fn read_text(self, text: &str) -> Option<Value> {
        match self {
            Self::Numeric => is_numeric(text).then(|| Value::Numeric(text.to_owned())),
            Self::Date => time::parse_date(text).map(Value::Date),
            Self::Time => time::parse_time(text).map(Value::Time),
            Self::Timestamp(zone) => time::parse_timestamp(text, zone).map(|micros| match zone {
                Zone::None => Value::Timestamp(micros),
                Zone::Utc => Value::Timestamptz(micros),
            }),
            Self::Interval => {
                time::parse_interval(text).map(|(months, days, microseconds)| Value::Interval {
                    months,
                    days,
                    microseconds,
                })
            }
            Self::Uuid => is_uuid(text).then(|| Value::Uuid(text.to_owned())),
            Self::Json => Some(Value::Json(text.to_owned())),
            _ => None,
        }
    }

    /// The number that [`bind`] kept as a blob of its digits.
    fn read_digits(self, bytes: &[u8]) -> Option<Value> {
        let text = std::str::from_utf8(bytes).ok()?;
        (self == Self::Numeric && is_numeric(text)).then(|| Value::Numeric(text.to_owned()))
    }
}

/// The form in which SQLite keeps a value.
///
/// A numeric that is neither a 64-bit integer nor a double of at most 15 digits is kept as a blob of its digits: no
/// affinity touches a blob, and arithmetic and CAST still read it as a number. Other values are kept as the module
/// [`time`] says, UUID, JSON and `other` as text, booleans as 0 and 1.
///
/// # Errors
/// [`DriverError::Conversion`] naming the parameter and its type, where SQLite would change the value.
pub(super) fn bind(value: &Value, number: usize) -> Result<ToSqlOutput<'_>, DriverError> {
    let refused = |reason: &str| {
        DriverError::Conversion(format!("parameter ${number} ({}): {reason}", value.case()))
    };
    let real = |real: f64| {
        if real.is_nan() {
            Err(refused("SQLite cannot keep NaN; it would become NULL"))
        } else {
            Ok(ToSqlOutput::from(real))
        }
    };
    let text = |text: String| ToSqlOutput::Owned(text.into());
    Ok(match value {
        Value::Null => ToSqlOutput::Borrowed(ValueRef::Null),
        Value::Boolean(boolean) => i64::from(*boolean).into(),
        Value::Int16(integer) => i64::from(*integer).into(),
        Value::Int32(integer) => i64::from(*integer).into(),
        Value::Int64(integer) => (*integer).into(),
        Value::Float32(number) => real(f64::from(*number))?,
        Value::Float64(number) => real(*number)?,
        Value::Numeric(digits) => match decimal::keep(digits) {
            Some(Kept::Integer(integer)) => integer.into(),
            Some(Kept::Real(number)) => number.into(),
            Some(Kept::Digits) => ToSqlOutput::Borrowed(ValueRef::Blob(digits.as_bytes())),
            None if is_numeric(digits) => ToSqlOutput::Borrowed(ValueRef::Text(digits.as_bytes())),
            None => return Err(refused("it is not a decimal number")),
        },
        Value::Json(json) => match decimal::keep(json.trim()) {
            Some(Kept::Digits) => {
                return Err(refused(
                    "SQLite would round a number with so many digits; pass it as text",
                ));
            }
            _ => json.as_str().into(),
        },
        Value::Text(content) | Value::Uuid(content) | Value::Other { text: content, .. } => {
            content.as_str().into()
        }
        Value::Bytes(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
        Value::Date(days) => text(time::date_text(*days)),
        Value::Time(micros) => {
            text(time::time_text(*micros).ok_or_else(|| refused("a time lies within one day"))?)
        }
        Value::Timestamp(micros) => text(time::timestamp_text(*micros, Zone::None)),
        Value::Timestamptz(micros) => text(time::timestamp_text(*micros, Zone::Utc)),
        Value::Interval {
            months,
            days,
            microseconds,
        } => text(time::interval_text(*months, *days, *microseconds)),
    })
}

/// About how many bytes the stored value takes as a [`Value`], before it is copied.
pub(super) fn size(stored: ValueRef<'_>) -> u64 {
    let heap = match stored {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len(),
        _ => 0,
    };
    u64::try_from(heap + size_of::<Value>()).unwrap_or(u64::MAX)
}

fn is_numeric(text: &str) -> bool {
    matches!(text, "NaN" | "Infinity" | "-Infinity") || decimal::keep(text).is_some()
}

/// Whether the text is a UUID in its canonical form.
fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}
