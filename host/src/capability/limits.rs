//! What one call of a guest may use.

mod text;

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

/// The limits of one call: the `[limits]` table of a component's manifest.
///
/// Sizes are numbers of bytes or texts such as `"64MiB"`; `time` is a number of seconds or a text such as `"90s"`
/// or `"1h 30m"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    /// Bytes of linear memory, over all memories of the component. Default: 256 MiB.
    #[serde(deserialize_with = "size")]
    pub memory: u64,
    /// Units of computing, about one a Wasm instruction; host calls and waiting use none. The verdict is the same
    /// on every machine. Default: 1,000,000,000,000, some ten minutes of pure computing.
    pub fuel: u64,
    /// The wall-clock time of the whole call, the database's included. Default: one hour.
    #[serde(deserialize_with = "duration")]
    pub time: Duration,
    /// Rows in one result. Default: 1,000,000.
    pub result_rows: u64,
    /// Statements of one call. Default: 100,000,000.
    pub statements: u64,
    /// Rows that one call may add, change or remove, those of triggers and cascades included. Default: no limit.
    pub rows_written: u64,
    /// Bytes in one result or one batch of a cursor. Default: 64 MiB.
    #[serde(deserialize_with = "size")]
    pub result_bytes: u64,
    /// Bytes that one host call may carry from the guest: a statement with its parameters. Default: 64 MiB.
    #[serde(deserialize_with = "size")]
    pub call_bytes: u64,
    /// Cursors and savepoints that the guest holds at once, finished ones included until it drops them.
    /// Default: 1,000.
    pub handles: u32,
    /// Lines of log. Default: 10,000.
    pub log_lines: u64,
    /// Bytes of log. Default: 4 MiB.
    #[serde(deserialize_with = "size")]
    pub log_bytes: u64,
}

impl Limits {
    /// None at all: what a SQL file has, unless a policy caps it. Of these only `time`, `statements` and `rows_written` mean
    /// anything to it.
    pub const NONE: Self = Self {
        memory: u64::MAX,
        fuel: u64::MAX,
        time: Duration::MAX,
        result_rows: u64::MAX,
        statements: u64::MAX,
        rows_written: u64::MAX,
        result_bytes: u64::MAX,
        call_bytes: u64::MAX,
        handles: u32::MAX,
        log_lines: u64::MAX,
        log_bytes: u64::MAX,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 256 << 20,
            fuel: 1_000_000_000_000,
            time: Duration::from_secs(3600),
            statements: 100_000_000,
            rows_written: u64::MAX,
            result_rows: 1_000_000,
            result_bytes: 64 << 20,
            call_bytes: 64 << 20,
            handles: 1_000,
            log_lines: 10_000,
            log_bytes: 4 << 20,
        }
    }
}

const UNITS: [(&str, u64); 4] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("B", 1),
];

fn parse_size(text: &str) -> Option<u64> {
    let (digits, factor) = UNITS
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)))
        .unwrap_or((text, 1));
    digits.trim_end().parse::<u64>().ok()?.checked_mul(factor)
}

fn parse_duration(text: &str) -> Option<Duration> {
    let duration: jiff::SignedDuration = text.parse().ok()?;
    Duration::try_from(duration).ok().filter(|d| !d.is_zero())
}

/// Reads a number in its base unit, or a text that `parse` understands.
struct Human<T> {
    expected: &'static str,
    parse: fn(&str) -> Option<T>,
    whole: fn(u64) -> T,
}

impl<T> Visitor<'_> for Human<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        Ok((self.whole)(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        u64::try_from(number)
            .map(self.whole)
            .map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(number), &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
    }
}

fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    deserializer.deserialize_any(Human {
        expected: "a size such as 1048576, \"512KiB\" or \"64MiB\"",
        parse: parse_size,
        whole: |bytes| bytes,
    })
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_any(Human {
        expected: "a duration such as 30, \"30s\" or \"1h 30m\"",
        parse: parse_duration,
        whole: Duration::from_secs,
    })
}

/// A size where there is one.
pub(crate) fn some_size<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    size(from).map(Some)
}

/// A duration where there is one.
pub(crate) fn some_duration<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Duration>, D::Error> {
    duration(from).map(Some)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    fn parse(text: &str) -> Result<Limits, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn nothing_set_means_the_defaults() {
        assert_eq!(parse("").unwrap(), Limits::default());
    }

    #[test]
    fn sizes_and_durations_are_numbers_or_texts() {
        let limits = parse("memory = \"64MiB\"\ntime = \"1m 30s\"\nresult-bytes = 4096").unwrap();
        assert_eq!(limits.memory, 64 << 20);
        assert_eq!(limits.time, Duration::from_secs(90));
        assert_eq!(limits.result_bytes, 4096);
    }

    #[test]
    fn nonsense_says_what_is_expected() {
        assert!(
            parse("memory = \"lots\"")
                .unwrap_err()
                .to_string()
                .contains("64MiB")
        );
        assert!(
            parse("time = \"0s\"")
                .unwrap_err()
                .to_string()
                .contains("1h 30m")
        );
        assert!(parse("memory = -1").is_err());
        assert!(parse("memory = \"99999999999GiB\"").is_err());
        assert!(
            parse("cpu = 3")
                .unwrap_err()
                .to_string()
                .contains("unknown field")
        );
    }
}
