//! Values on their way between a guest and a database.

/// A SQL value; the cases are those of the WIT's `value`, which documents their units.
#[derive(Debug, Clone, PartialEq)]
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
    Float32(f32),
    /// A double-precision number.
    Float64(f64),
    /// Decimal digits, or `NaN`, `Infinity`, `-Infinity`.
    Numeric(String),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The column's name as the database reports it.
    pub name: String,
    /// The name of its type as the database spells it; empty where it has none (an expression in SQLite).
    pub type_name: String,
}
