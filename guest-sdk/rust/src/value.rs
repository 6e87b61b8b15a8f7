//! SQL values and the Rust types that they become.

use crate::bindings::whimbrel::migrate::types;
use crate::row_buffer::Cell;

pub use types::{Column, Interval, OtherValue, Value};

/// A value of a result, borrowed from it.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum ValueRef<'a> {
    /// SQL NULL.
    Null,
    /// A truth value.
    Boolean(bool),
    /// An integer of any width.
    Integer(i64),
    /// A number of either precision.
    Float(f64),
    /// Text.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A value of another type.
    Other(&'a Value),
}

impl<'a> From<&'a Value> for ValueRef<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Boolean(truth) => Self::Boolean(*truth),
            Value::Int16(number) => Self::Integer((*number).into()),
            Value::Int32(number) => Self::Integer((*number).into()),
            Value::Int64(number) => Self::Integer(*number),
            Value::Float32(number) => Self::Float((*number).into()),
            Value::Float64(number) => Self::Float(*number),
            Value::Text(text) => Self::Text(text),
            Value::Bytes(bytes) => Self::Bytes(bytes),
            other => Self::Other(other),
        }
    }
}

impl ValueRef<'_> {
    /// What it is, in words, for errors; integers are shown, texts are not, since they may be private.
    pub(crate) fn describe(self) -> String {
        match self {
            Self::Null => "NULL".into(),
            Self::Boolean(truth) => truth.to_string(),
            Self::Integer(number) => number.to_string(),
            // Printing it would put the code for that, 15 KB, into every component.
            Self::Float(_) => "a floating-point number".into(),
            Self::Text(text) => format!("a text of {} bytes", text.len()),
            Self::Bytes(bytes) => format!("{} bytes", bytes.len()),
            Self::Other(value) => match value {
                Value::Numeric(digits) => digits.clone(),
                Value::Date(_) => "a date".into(),
                Value::Time(_) => "a time".into(),
                Value::Timestamp(_) => "a timestamp".into(),
                Value::Timestamptz(_) => "a timestamp with time zone".into(),
                Value::Interval(_) => "an interval".into(),
                Value::Uuid(_) => "a UUID".into(),
                Value::Json(_) => "JSON".into(),
                Value::Other(other) => format!("a value of type {}", other.type_name),
                _ => "a value".into(),
            },
        }
    }

    /// The text of a value that has one of its own.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Other(Value::Numeric(text) | Value::Uuid(text) | Value::Json(text)) => Some(text),
            Self::Other(Value::Other(other)) => Some(&other.text),
            _ => None,
        }
    }
}

/// A type that a value of a result can be read as.
///
/// Integers of every width and truth values read as one another where they fit, for the sake of SQLite, which
/// knows only one of them; for the same reason dates, times, UUIDs and JSON also read from their text form.
/// Nothing is rounded or cut.
///
/// ```
/// use whimbrel_sdk::{FromValue, ValueRef};
///
/// #[derive(Debug, PartialEq)]
/// enum Status {
///     Active,
///     Archived,
/// }
///
/// impl FromValue<'_> for Status {
///     fn from_value(value: ValueRef<'_>) -> Option<Self> {
///         match value {
///             ValueRef::Text("active") => Some(Self::Active),
///             ValueRef::Text("archived") => Some(Self::Archived),
///             _ => None,
///         }
///     }
/// }
///
/// assert_eq!(Status::from_value(ValueRef::Text("active")), Some(Status::Active));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be read from a column",
    note = "implement `whimbrel_sdk::FromValue` for it, or use `Option<…>`, an integer, `f64`, `bool`, `String`, `Vec<u8>` or a type of `whimbrel_sdk`"
)]
pub trait FromValue<'a>: Sized {
    /// Reads the value; `None` when it does not fit.
    fn from_value(value: ValueRef<'a>) -> Option<Self>;
}

/// A type that can be a parameter of a statement.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a parameter of a statement",
    note = "implement `whimbrel_sdk::ToValue` for it, or convert it to `i64`, `f64`, `bool`, `String`, `Vec<u8>` or a type of `whimbrel_sdk`"
)]
pub trait ToValue {
    /// The parameter.
    fn to_value(&self) -> Value;

    /// Writes it into a column of a [`RowBuffer`](crate::RowBuffer): without a value of its own where it can.
    #[inline]
    fn write_cell(&self, cell: &mut Cell<'_, '_>) {
        cell.put(ValueRef::from(&self.to_value()));
    }
}

/// The parameters of a statement: `params![id, &name, None::<i64>]`.
///
/// ```
/// use whimbrel_sdk::{Value, params};
///
/// let name = String::from("Ada");
/// assert_eq!(params![7_i64, &name], &[Value::Int64(7), Value::Text("Ada".into())]);
/// ```
#[macro_export]
macro_rules! params {
    () => { &[] as &[$crate::Value] };
    ($($value:expr),+ $(,)?) => { &[$($crate::ToValue::to_value(&$value)),+] as &[$crate::Value] };
}

macro_rules! integers {
    ($($type:ty => $case:ident as $wire:ty),+ $(,)?) => {$(
        impl FromValue<'_> for $type {
            fn from_value(value: ValueRef<'_>) -> Option<Self> {
                match value {
                    ValueRef::Integer(number) => number.try_into().ok(),
                    ValueRef::Boolean(truth) => Some(truth.into()),
                    _ => None,
                }
            }
        }
        impl ToValue for $type {
            fn to_value(&self) -> Value {
                Value::$case(<$wire>::from(*self))
            }

            #[inline]
            fn write_cell(&self, cell: &mut Cell<'_, '_>) {
                cell.put(ValueRef::Integer(i64::from(*self)));
            }
        }
    )+};
}

integers! {
    i8 => Int16 as i16, i16 => Int16 as i16, i32 => Int32 as i32, i64 => Int64 as i64,
    u8 => Int16 as i16, u16 => Int32 as i32, u32 => Int64 as i64,
}

impl FromValue<'_> for bool {
    fn from_value(value: ValueRef<'_>) -> Option<Self> {
        match value {
            ValueRef::Boolean(truth) => Some(truth),
            ValueRef::Integer(0) => Some(false),
            ValueRef::Integer(1) => Some(true),
            _ => None,
        }
    }
}

impl ToValue for bool {
    fn to_value(&self) -> Value {
        Value::Boolean(*self)
    }

    #[inline]
    fn write_cell(&self, cell: &mut Cell<'_, '_>) {
        cell.put(ValueRef::Boolean(*self));
    }
}

impl FromValue<'_> for f64 {
    fn from_value(value: ValueRef<'_>) -> Option<Self> {
        match value {
            ValueRef::Float(number) => Some(number),
            ValueRef::Integer(number) => i32::try_from(number).ok().map(Self::from),
            _ => None,
        }
    }
}

impl ToValue for f64 {
    fn to_value(&self) -> Value {
        Value::Float64(*self)
    }

    #[inline]
    fn write_cell(&self, cell: &mut Cell<'_, '_>) {
        cell.put(ValueRef::Float(*self));
    }
}

impl ToValue for f32 {
    fn to_value(&self) -> Value {
        Value::Float32(*self)
    }

    #[inline]
    fn write_cell(&self, cell: &mut Cell<'_, '_>) {
        cell.put(ValueRef::Float((*self).into()));
    }
}

impl<'a> FromValue<'a> for &'a str {
    fn from_value(value: ValueRef<'a>) -> Option<Self> {
        match value {
            ValueRef::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl FromValue<'_> for String {
    fn from_value(value: ValueRef<'_>) -> Option<Self> {
        value.text().map(Self::from)
    }
}

impl<'a> FromValue<'a> for &'a [u8] {
    fn from_value(value: ValueRef<'a>) -> Option<Self> {
        match value {
            ValueRef::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }
}

impl FromValue<'_> for Vec<u8> {
    fn from_value(value: ValueRef<'_>) -> Option<Self> {
        <&[u8]>::from_value(value).map(Self::from)
    }
}

impl FromValue<'_> for Interval {
    fn from_value(value: ValueRef<'_>) -> Option<Self> {
        match value {
            ValueRef::Other(Value::Interval(interval)) => Some(*interval),
            _ => None,
        }
    }
}

impl FromValue<'_> for Value {
    fn from_value(value: ValueRef<'_>) -> Option<Self> {
        Some(match value {
            ValueRef::Null => Self::Null,
            ValueRef::Boolean(truth) => Self::Boolean(truth),
            ValueRef::Integer(number) => Self::Int64(number),
            ValueRef::Float(number) => Self::Float64(number),
            ValueRef::Text(text) => Self::Text(text.into()),
            ValueRef::Bytes(bytes) => Self::Bytes(bytes.into()),
            ValueRef::Other(value) => value.clone(),
        })
    }
}

impl<'a, T: FromValue<'a>> FromValue<'a> for Option<T> {
    fn from_value(value: ValueRef<'a>) -> Option<Self> {
        match value {
            ValueRef::Null => Some(None),
            value => T::from_value(value).map(Some),
        }
    }
}

impl ToValue for str {
    fn to_value(&self) -> Value {
        Value::Text(self.into())
    }

    #[inline]
    fn write_cell(&self, cell: &mut Cell<'_, '_>) {
        cell.put(ValueRef::Text(self));
    }
}

impl ToValue for String {
    fn to_value(&self) -> Value {
        Value::Text(self.clone())
    }

    #[inline]
    fn write_cell(&self, cell: &mut Cell<'_, '_>) {
        cell.put(ValueRef::Text(self));
    }
}

impl ToValue for [u8] {
    fn to_value(&self) -> Value {
        Value::Bytes(self.into())
    }

    #[inline]
    fn write_cell(&self, cell: &mut Cell<'_, '_>) {
        cell.put(ValueRef::Bytes(self));
    }
}

impl ToValue for Vec<u8> {
    fn to_value(&self) -> Value {
        Value::Bytes(self.clone())
    }

    #[inline]
    fn write_cell(&self, cell: &mut Cell<'_, '_>) {
        cell.put(ValueRef::Bytes(self));
    }
}

impl ToValue for Interval {
    fn to_value(&self) -> Value {
        Value::Interval(*self)
    }
}

impl ToValue for Value {
    fn to_value(&self) -> Value {
        self.clone()
    }

    #[inline]
    fn write_cell(&self, cell: &mut Cell<'_, '_>) {
        cell.put(ValueRef::from(self));
    }
}

impl<T: ToValue + ?Sized> ToValue for &T {
    fn to_value(&self) -> Value {
        (**self).to_value()
    }

    #[inline]
    fn write_cell(&self, cell: &mut Cell<'_, '_>) {
        (**self).write_cell(cell);
    }
}

impl<T: ToValue> ToValue for Option<T> {
    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Null, T::to_value)
    }

    #[inline]
    fn write_cell(&self, cell: &mut Cell<'_, '_>) {
        match self {
            Some(value) => value.write_cell(cell),
            None => cell.put(ValueRef::Null),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_read_as_any_width_that_holds_them() {
        assert_eq!(u8::from_value(ValueRef::Integer(255)), Some(255));
        assert_eq!(u8::from_value(ValueRef::Integer(256)), None);
        assert_eq!(bool::from_value(ValueRef::Integer(1)), Some(true));
        assert_eq!(bool::from_value(ValueRef::Integer(2)), None);
    }

    #[test]
    fn null_reads_only_as_an_option() {
        assert_eq!(i64::from_value(ValueRef::Null), None);
        assert_eq!(Option::<i64>::from_value(ValueRef::Null), Some(None));
    }

    #[test]
    fn none_is_null() {
        assert_eq!(None::<i64>.to_value(), Value::Null);
        assert_eq!(Some("a").to_value(), Value::Text("a".into()));
    }
}
