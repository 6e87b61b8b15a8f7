//! Limits as people write and compare them.

use std::time::Duration;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::{Limits, UNITS};

/// How much of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Amount {
    Count(u64),
    Bytes(u64),
    Time(Duration),
}

impl Amount {
    fn text(self) -> String {
        match self {
            Self::Count(u64::MAX) => "no limit".to_owned(),
            Self::Count(count) => count.to_string(),
            Self::Bytes(bytes) => {
                let whole = |(_, size): &&(&str, u64)| bytes >= *size && bytes % size == 0;
                match ["GiB", "MiB", "KiB"]
                    .iter()
                    .filter_map(|unit| UNITS.iter().find(|(known, _)| known == unit))
                    .find(whole)
                {
                    Some((unit, size)) => format!("{}{unit}", bytes / size),
                    None => bytes.to_string(),
                }
            }
            Self::Time(time) => match jiff::SignedDuration::try_from(time) {
                Ok(time) => format!("{time:#}"),
                Err(_) => format!("{}s", time.as_secs()),
            },
        }
    }
}

impl Limits {
    fn amounts(&self) -> [(&'static str, Amount); 11] {
        use Amount::{Bytes, Count, Time};
        let Self {
            memory,
            fuel,
            time,
            result_rows,
            statements,
            rows_written,
            result_bytes,
            call_bytes,
            handles,
            log_lines,
            log_bytes,
        } = *self;
        [
            ("memory", Bytes(memory)),
            ("fuel", Count(fuel)),
            ("time", Time(time)),
            ("statements", Count(statements)),
            ("rows-written", Count(rows_written)),
            ("result-rows", Count(result_rows)),
            ("result-bytes", Bytes(result_bytes)),
            ("call-bytes", Bytes(call_bytes)),
            ("handles", Count(handles.into())),
            ("log-lines", Count(log_lines)),
            ("log-bytes", Bytes(log_bytes)),
        ]
    }

    /// Those that are not the defaults, as a manifest spells them: the name, and how much.
    pub fn set(&self) -> Vec<(&'static str, String)> {
        self.differing(&Self::default())
    }

    /// Those that are not as in `other`, as a manifest spells them: the name, and how much.
    pub fn differing(&self, other: &Self) -> Vec<(&'static str, String)> {
        self.amounts()
            .into_iter()
            .zip(other.amounts())
            .filter(|((_, amount), (_, other))| amount != other)
            .map(|((name, amount), _)| (name, amount.text()))
            .collect()
    }

    /// Those that are above `allowed`: the name, how much, and how much is allowed.
    pub fn beyond(&self, allowed: &Self) -> Vec<(&'static str, String, String)> {
        self.amounts()
            .into_iter()
            .zip(allowed.amounts())
            .filter(|((_, amount), (_, allowed))| amount > allowed)
            .map(|((name, amount), (_, allowed))| (name, amount.text(), allowed.text()))
            .collect()
    }
}

/// As the table `[limits]` of a manifest, without what is as by default.
impl Serialize for Limits {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let defaults = Self::default().amounts();
        let mut map = to.serialize_map(None)?;
        for ((name, amount), (_, default)) in self.amounts().into_iter().zip(defaults) {
            match amount {
                _ if amount == default => {}
                Amount::Count(count) => map.serialize_entry(name, &count)?,
                amount => map.serialize_entry(name, &amount.text())?,
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    fn limits(text: &str) -> Limits {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn limits_read_back_as_they_are_written() {
        for text in [
            "",
            "memory = \"512MiB\"\n",
            "time = \"1h 30m\"\nresult-bytes = \"1000\"\n",
            "rows-written = 100000\nhandles = 5\nlog-bytes = \"3GiB\"\n",
        ] {
            assert_eq!(toml::to_string(&limits(text)).unwrap(), reordered(text));
            assert_eq!(
                limits(&toml::to_string(&limits(text)).unwrap()),
                limits(text)
            );
        }
    }

    /// The order in which they are written is that of the amounts.
    fn reordered(text: &str) -> String {
        let order = Limits::default().amounts().map(|(name, _)| name);
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_by_key(|line| order.iter().position(|name| line.starts_with(name)));
        lines.iter().map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn what_is_above_is_named_with_both_amounts() {
        let asked = limits("memory = \"1GiB\"\ntime = \"5s\"\nrows-written = 10");
        let allowed = limits("rows-written = 9");
        assert_eq!(
            asked.beyond(&allowed),
            [
                ("memory", "1GiB".to_owned(), "256MiB".to_owned()),
                ("rows-written", "10".to_owned(), "9".to_owned())
            ]
        );
        assert!(Limits::default().beyond(&Limits::default()).is_empty());
        assert_eq!(
            Limits::default().beyond(&allowed)[0].1,
            "no limit".to_owned()
        );
    }
}
