//! Values as text that the server reads back as the same value, whatever the session's settings.

use std::fmt::Write as _;

use super::time::MICROSECONDS_PER_DAY;
use crate::driver::Value;

/// The text form of a value; `None` for NULL.
pub(in crate::driver::postgres) fn text_form(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        Value::Boolean(true) => "true".to_owned(),
        Value::Boolean(false) => "false".to_owned(),
        Value::Int16(number) => number.to_string(),
        Value::Int32(number) => number.to_string(),
        Value::Int64(number) => number.to_string(),
        Value::Float32(number) => float(f64::from(*number), number.to_string()),
        Value::Float64(number) => float(*number, format!("{number:e}")),
        Value::Numeric(text)
        | Value::Text(text)
        | Value::Uuid(text)
        | Value::Json(text)
        | Value::Other { text, .. } => text.clone(),
        Value::Bytes(bytes) => hex(bytes),
        Value::Date(i32::MAX) | Value::Timestamp(i64::MAX) | Value::Timestamptz(i64::MAX) => {
            "infinity".to_owned()
        }
        Value::Date(i32::MIN) | Value::Timestamp(i64::MIN) | Value::Timestamptz(i64::MIN) => {
            "-infinity".to_owned()
        }
        Value::Date(days) => date(i64::from(*days), "", ""),
        Value::Time(microseconds) => clock(*microseconds),
        Value::Timestamp(microseconds) => timestamp(*microseconds, ""),
        Value::Timestamptz(microseconds) => timestamp(*microseconds, "+00"),
        Value::Interval {
            months,
            days,
            microseconds,
        } => interval(*months, *days, *microseconds),
    })
}

fn float(number: f64, finite: String) -> String {
    if number.is_nan() {
        "NaN".to_owned()
    } else if number == f64::INFINITY {
        "Infinity".to_owned()
    } else if number == f64::NEG_INFINITY {
        "-Infinity".to_owned()
    } else {
        finite
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(2 + bytes.len() * 2);
    text.push_str("\\x");
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

fn clock(microseconds: i64) -> String {
    let seconds = microseconds.div_euclid(1_000_000);
    format!(
        "{:02}:{:02}:{:02}.{:06}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        microseconds.rem_euclid(1_000_000)
    )
}

fn timestamp(microseconds: i64, zone: &str) -> String {
    let clock = clock(microseconds.rem_euclid(MICROSECONDS_PER_DAY));
    date(microseconds.div_euclid(MICROSECONDS_PER_DAY), &clock, zone)
}

/// A date with what follows it. The server writes the year before 1 as `0001 … BC`.
fn date(days: i64, clock: &str, zone: &str) -> String {
    let (year, month, day) = civil(days);
    let shown = if year > 0 { year } else { 1 - year };
    let mut text = format!("{shown:04}-{month:02}-{day:02}");
    if !clock.is_empty() {
        text.push(' ');
        text.push_str(clock);
        text.push_str(zone);
    }
    if year <= 0 {
        text.push_str(" BC");
    }
    text
}

/// Year, month and day of a day counted from 1970-01-01 in the Gregorian calendar, which the server uses for all
/// time. Counts in eras of 400 years that start on the first of March.
fn civil(days: i64) -> (i64, i64, i64) {
    const DAYS_PER_ERA: i64 = 146_097;
    const DAYS_FROM_ERA_TO_1970: i64 = 719_468;
    let days = days + DAYS_FROM_ERA_TO_1970;
    let era = days.div_euclid(DAYS_PER_ERA);
    let day_of_era = days.rem_euclid(DAYS_PER_ERA);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

fn interval(months: i32, days: i32, microseconds: i64) -> String {
    let mut text = format!("{months} mons {days} days ");
    let sign = if microseconds < 0 { "-" } else { "" };
    let magnitude = microseconds.unsigned_abs();
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "{sign}{}.{:06} secs",
        magnitude / 1_000_000,
        magnitude % 1_000_000
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_as_the_server_reads_them() {
        let cases = [
            (Value::Date(0), "1970-01-01"),
            (Value::Date(-719_163), "0001-12-31 BC"),
            (Value::Date(11_016), "2000-02-29"),
            (Value::Date(i32::MAX), "infinity"),
            (Value::Time(86_400_000_000), "24:00:00.000000"),
            (Value::Timestamp(-1), "1969-12-31 23:59:59.999999"),
            (Value::Timestamptz(i64::MIN), "-infinity"),
            (Value::Timestamptz(1), "1970-01-01 00:00:00.000001+00"),
            (Value::Bytes(vec![0, 255]), "\\x00ff"),
            (Value::Float64(1e300), "1e300"),
            (Value::Float64(f64::NAN), "NaN"),
            (Value::Float32(f32::NEG_INFINITY), "-Infinity"),
            (
                Value::Interval {
                    months: -1,
                    days: 2,
                    microseconds: -1_500_000,
                },
                "-1 mons 2 days -1.500000 secs",
            ),
        ];
        for (value, expected) in cases {
            assert_eq!(text_form(&value).as_deref(), Some(expected));
        }
        assert_eq!(text_form(&Value::Null), None);
    }
}
