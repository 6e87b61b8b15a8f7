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

    /// Appends the text form of the element, unquoted.
    fn write(&self, text: &mut String);

    /// Whether it is SQL NULL.
    fn is_null(&self) -> bool {
        false
    }
}

macro_rules! elements {
    ($($type:ty => $name:literal),+ $(,)?) => {$(
        impl Element for $type {
            const TYPE: &'static str = $name;

            fn write(&self, text: &mut String) {
                // Writing to a `String` cannot fail.
                let _ = write!(text, "{self}");
            }
        }
    )+};
}

elements! {
    bool => "boolean", i16 => "smallint", i32 => "integer", i64 => "bigint", f64 => "double precision",
    String => "text", str => "text", Numeric => "numeric", Uuid => "uuid", Json => "jsonb",
}

impl<T: Element> Element for Option<T> {
    const TYPE: &'static str = T::TYPE;

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
    let mut text = String::from("{");
    let mut element = String::new();
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        if item.is_null() {
            text.push_str("NULL");
            continue;
        }
        element.clear();
        item.write(&mut element);
        text.push('"');
        for character in element.chars() {
            if matches!(character, '"' | '\\') {
                text.push('\\');
            }
            text.push(character);
        }
        text.push('"');
    }
    text.push('}');
    Value::Other(OtherValue {
        type_name: format!("{}[]", T::TYPE),
        text,
    })
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
            text(array([1_i64, -2])),
            ("bigint[]".into(), r#"{"1","-2"}"#.into())
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
