//! Values that travel as text: decimal numbers, UUIDs, JSON, arrays.

use std::fmt::{self, Write as _};

use crate::value::{FromValue, OtherValue, ToValue, Value, ValueRef};

macro_rules! text_types {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub struct $name(pub String);

        impl ToValue for $name {
            fn to_value(&self) -> Value {
                Value::$name(self.0.clone())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    )+};
}

text_types! {
    /// A number of any size: decimal digits with an optional sign and point, or `NaN`, `Infinity`, `-Infinity`.
    Numeric,
    /// A UUID as 8-4-4-4-12 lower-case hexadecimal digits.
    Uuid,
    /// JSON text.
    Json,
}

impl FromValue<'_> for Numeric {
    fn from_value(value: ValueRef<'_>) -> Option<Self> {
        match value {
            ValueRef::Other(Value::Numeric(digits)) => Some(Self(digits.clone())),
            // How SQLite hands over a NUMERIC column.
            ValueRef::Integer(number) => Some(Self(number.to_string())),
            ValueRef::Float(number) if number.is_finite() => Some(Self(number.to_string())),
            _ => None,
        }
    }
}

impl FromValue<'_> for Uuid {
    fn from_value(value: ValueRef<'_>) -> Option<Self> {
        match value {
            ValueRef::Other(Value::Uuid(digits)) => Some(Self(digits.clone())),
            ValueRef::Text(digits) => Some(Self(digits.into())),
            _ => None,
        }
    }
}

impl FromValue<'_> for Json {
    fn from_value(value: ValueRef<'_>) -> Option<Self> {
        match value {
            ValueRef::Other(Value::Json(text)) => Some(Self(text.clone())),
            ValueRef::Text(text) => Some(Self(text.into())),
            _ => None,
        }
    }
}

/// A type that can be an element of a PostgreSQL array.
pub trait Element {
    /// The type of the element as PostgreSQL spells it.
    const TYPE: &'static str;

    /// Whether its text form may hold more than letters, digits, signs and points, or be `NULL`.
    const QUOTED: bool = true;

    /// Appends the text form of the element, unquoted.
    fn write(&self, text: &mut String);

    /// Whether it is SQL NULL.
    fn is_null(&self) -> bool {
        false
    }
}

macro_rules! elements {
    ($($type:ty => $name:literal, $quoted:literal, $write:expr);+ $(;)?) => {$(
        impl Element for $type {
            const TYPE: &'static str = $name;
            const QUOTED: bool = $quoted;

            #[inline]
            fn write(&self, text: &mut String) {
                let write: fn(&Self, &mut String) = $write;
                write(self, text);
            }
        }
    )+};
}

elements! {
    bool => "boolean", false, |truth, text| text.push_str(if *truth { "true" } else { "false" });
    i16 => "smallint", false, |&number, text| push_integer(number.into(), text);
    i32 => "integer", false, |&number, text| push_integer(number.into(), text);
    i64 => "bigint", false, |&number, text| push_integer(number, text);
    f64 => "double precision", false, |number, text| {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{number}");
    };
    String => "text", true, |element, text| text.push_str(element);
    str => "text", true, |element, text| text.push_str(element);
    Numeric => "numeric", true, |element, text| text.push_str(&element.0);
    Uuid => "uuid", true, |element, text| text.push_str(&element.0);
    Json => "jsonb", true, |element, text| text.push_str(&element.0);
}

/// As `Display` does, without the machinery of it.
fn push_integer(number: i64, text: &mut String) {
    const LONGEST: usize = 19;
    let mut digits = [0; LONGEST];
    let mut start = LONGEST;
    let mut rest = number.unsigned_abs();
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        text.push('-');
    }
    text.extend(digits[start..].iter().map(|&digit| char::from(digit)));
}

impl<T: Element> Element for Option<T> {
    const TYPE: &'static str = T::TYPE;
    const QUOTED: bool = T::QUOTED;

    #[inline]
    fn write(&self, text: &mut String) {
        if let Some(element) = self {
            element.write(text);
        }
    }

    fn is_null(&self) -> bool {
        self.is_none()
    }
}

impl<T: Element + ?Sized> Element for &T {
    const TYPE: &'static str = T::TYPE;
    const QUOTED: bool = T::QUOTED;

    #[inline]
    fn write(&self, text: &mut String) {
        (**self).write(text);
    }

    fn is_null(&self) -> bool {
        (**self).is_null()
    }
}

/// A PostgreSQL array of the items, to write many rows by one statement.
///
/// ```
/// use whimbrel_sdk::{array, params};
///
/// let ids = [1_i64, 2];
/// let names = [Some("O'Brien, \"Pat\""), None];
/// let params = params![array(ids), array(names)];
/// // UPDATE users SET name = new.name FROM unnest($1, $2) AS new(id, name) WHERE users.id = new.id
/// # use whimbrel_sdk::Value;
/// # let Value::Other(names) = &params[1] else { panic!() };
/// # assert_eq!(names.text, r#"{"O'Brien, \"Pat\"",NULL}"#);
/// ```
pub fn array<T: Element>(items: impl IntoIterator<Item = T>) -> Value {
    let items = items.into_iter();
    let mut text = String::with_capacity(2 + items.size_hint().0.saturating_mul(8));
    text.push('{');
    for (index, item) in items.enumerate() {
        if index > 0 {
            text.push(',');
        }
        if item.is_null() {
            text.push_str("NULL");
        } else if T::QUOTED {
            text.push('"');
            let start = text.len();
            item.write(&mut text);
            escape(&mut text, start);
            text.push('"');
        } else {
            item.write(&mut text);
        }
    }
    text.push('}');
    Value::Other(OtherValue {
        type_name: format!("{}[]", T::TYPE),
        text,
    })
}

/// Escapes what stands from `start` on for the inside of quotes.
fn escape(text: &mut String, start: usize) {
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\');
    let Some(first) = text.as_bytes()[start..].iter().position(is_special) else {
        return;
    };
    for character in text.split_off(start + first).chars() {
        if matches!(character, '"' | '\\') {
            text.push('\\');
        }
        text.push(character);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: Value) -> (String, String) {
        match value {
            Value::Other(other) => (other.type_name, other.text),
            other => panic!("not an array: {other:?}"),
        }
    }

    #[test]
    fn an_array_quotes_its_elements_and_names_its_type() {
        assert_eq!(
            text(array([1_i64, -20, i64::MIN, i64::MAX])),
            (
                "bigint[]".into(),
                "{1,-20,-9223372036854775808,9223372036854775807}".into()
            )
        );
        assert_eq!(
            text(array([Some(true), None])),
            ("boolean[]".into(), "{true,NULL}".into())
        );
        assert_eq!(
            text(array(["", "NULL", r"a\b"])),
            ("text[]".into(), r#"{"","NULL","a\\b"}"#.into())
        );
        assert_eq!(text(array::<i32>([])), ("integer[]".into(), "{}".into()));
    }

    #[test]
    fn a_uuid_reads_from_its_own_type_and_from_text() {
        let digits = "6f1d7d2a-4b1f-4b32-9a4d-0d9a1f2b3c4d";
        let value = Value::Uuid(digits.into());
        assert_eq!(Uuid::from_value((&value).into()), Some(Uuid(digits.into())));
        assert_eq!(
            Uuid::from_value(ValueRef::Text(digits)),
            Some(Uuid(digits.into()))
        );
        assert_eq!(Uuid::from_value(ValueRef::Integer(1)), None);
    }
}
