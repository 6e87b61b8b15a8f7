//! Places in the order of a key.

use std::fmt;

use crate::driver::Value;

/// The values of a row's key, in the order of the key's columns.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Key(pub(crate) Vec<Value>);

impl Key {
    /// As a table of ours keeps it.
    pub(super) fn to_text(&self) -> String {
        serde_json::to_string(&self.0).unwrap_or_default()
    }

    /// Reads what [`Key::to_text`] wrote.
    pub(super) fn from_text(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().map(Self)
    }
}

/// The values as people read them.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, value) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{}", shown(value))?;
        }
        Ok(())
    }
}

/// A value as people read it, shortened.
pub(super) fn shown(value: &Value) -> String {
    const LONGEST: usize = 60;
    let text = match value {
        Value::Null => "NULL".to_owned(),
        Value::Boolean(truth) => truth.to_string(),
        Value::Int16(number) => number.to_string(),
        Value::Int32(number) => number.to_string(),
        Value::Int64(number) => number.to_string(),
        Value::Float32(number) => number.to_string(),
        Value::Float64(number) => number.to_string(),
        Value::Numeric(text) | Value::Uuid(text) | Value::Json(text) => text.clone(),
        Value::Text(text) => format!("{text:?}"),
        Value::Other { text, .. } => text.clone(),
        Value::Bytes(bytes) => format!("{} bytes", bytes.len()),
        Value::Date(days) => jiff::civil::date(1970, 1, 1)
            .checked_add(jiff::Span::new().days(*days))
            .map_or_else(|_| format!("day {days}"), |date| date.to_string()),
        Value::Time(time) => moment(*time).strftime("%H:%M:%S%.f").to_string(),
        Value::Timestamp(time) => moment(*time).strftime("%Y-%m-%d %H:%M:%S%.f").to_string(),
        Value::Timestamptz(time) => moment(*time).to_string(),
        Value::Interval {
            months,
            days,
            microseconds,
        } => format!("{months} months {days} days {microseconds} µs"),
    };
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn moment(microseconds: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_microsecond(microseconds).unwrap_or(match microseconds < 0 {
        true => jiff::Timestamp::MIN,
        false => jiff::Timestamp::MAX,
    })
}

/// The rows of a table between two places: after the one, up to and with the other; all where there is none.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Span {
    pub(super) after: Option<Key>,
    pub(super) upto: Option<Key>,
}

impl Span {
    /// The condition that a row with these key columns lies in it, whose parameters are counted from `first`. Empty
    /// where all do.
    pub(super) fn condition(&self, key: &[String], first: usize) -> (String, Vec<Value>) {
        let mut conditions = Vec::new();
        let mut params: Vec<Value> = Vec::new();
        for (bound, operator) in [(&self.after, ">"), (&self.upto, "<=")] {
            let Some(bound) = bound else { continue };
            let numbers: Vec<String> = (0..key.len())
                .map(|at| format!("${}", first + params.len() + at))
                .collect();
            conditions.push(match key.len() {
                1 => format!("{} {operator} {}", key[0], numbers[0]),
                _ => format!("({}) {operator} ({})", key.join(", "), numbers.join(", ")),
            });
            params.extend(bound.0.iter().cloned());
        }
        (conditions.join(" AND "), params)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn a_key_is_read_back_as_it_was_written() {
        let key = Key(vec![
            Value::Int64(-5),
            Value::from("Größe \"x\""),
            Value::Float64(0.1),
            Value::Bytes(vec![0, 255]),
            Value::Timestamptz(i64::MAX),
        ]);
        assert_eq!(Key::from_text(&key.to_text()).unwrap(), key);
        assert_eq!(Key::from_text("nonsense"), None);
    }

    #[test]
    fn a_span_is_a_condition_for_each_of_its_ends() {
        let columns = ["t.a".to_owned(), "t.b".to_owned()];
        let key = |a: i64, b: i64| Some(Key(vec![Value::Int64(a), Value::Int64(b)]));
        let span = Span {
            after: key(1, 2),
            upto: key(3, 4),
        };
        let (sql, params) = span.condition(&columns, 3);
        assert_eq!(sql, "(t.a, t.b) > ($3, $4) AND (t.a, t.b) <= ($5, $6)");
        assert_eq!(params.len(), 4);
        assert_eq!(Span::default().condition(&columns, 1).0, "");
        let below = Span {
            after: None,
            upto: Some(Key(vec![Value::Int64(9)])),
        };
        assert_eq!(below.condition(&columns[..1], 1).0, "t.a <= $1");
    }
}
