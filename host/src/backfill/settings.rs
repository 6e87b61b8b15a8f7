//! What the operator of a backfill says: how many workers, how fast, and when it gives way.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::document::nearest;

/// How a backfill runs. All of it can be set while it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// How many workers one process has. SQLite, which has one writer, has one worker.
    pub workers: u32,
    /// How long one batch should take; its number of rows follows from that.
    #[serde(with = "span")]
    pub batch: Duration,
    /// The most rows a second, of all workers together.
    pub rate: Option<u64>,
    /// How far a replica may lag behind before the workers wait for it.
    #[serde(with = "span::optional")]
    pub max_lag: Option<Duration>,
    /// A query of the operator's; while its first value is true, or a number other than 0, the workers wait.
    pub load: Option<String>,
    /// The time of day in which it runs, by the clock of the database.
    pub window: Option<Window>,
    /// How many dead rows the table may have before the workers wait for autovacuum.
    pub max_dead: Option<u64>,
    /// What becomes of rows that cannot be worked on.
    pub bad_rows: BadRows,
    /// With [`BadRows::SetAside`], how many before it fails after all.
    pub max_bad_rows: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            workers: 1,
            batch: Duration::from_millis(200),
            rate: None,
            max_lag: None,
            load: None,
            window: None,
            max_dead: None,
            bad_rows: BadRows::Fail,
            max_bad_rows: 1_000,
        }
    }
}

/// What becomes of rows that cannot be worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BadRows {
    /// The backfill fails at the first.
    Fail,
    /// They are kept in a table of Whimbrel's with key, error and input, and the rest is done.
    SetAside,
    /// The same, and the backfill is done without them.
    Leave,
}

/// A time of every day, which may go over midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Window {
    /// The first minute of the day in it.
    from: u16,
    /// The first minute after it.
    to: u16,
}

impl Window {
    /// Whether a minute of the day, from 0 to 1439, lies in it.
    pub fn contains(self, minute: u16) -> bool {
        match self.from <= self.to {
            true => (self.from..self.to).contains(&minute),
            false => minute >= self.from || minute < self.to,
        }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (self.from, self.to);
        let [a, b, c, d] = [from / 60, from % 60, to / 60, to % 60];
        write!(f, "{a:02}:{b:02}-{c:02}:{d:02}")
    }
}

impl FromStr for Window {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let minute = |text: &str| {
            let (hour, minute) = text.trim().split_once(':')?;
            let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
            (hour < 24 && minute < 60).then_some(hour * 60 + minute)
        };
        let read = || {
            let (from, to) = text.split_once('-')?;
            let (from, to) = (minute(from)?, minute(to)?);
            (from != to).then_some(Self { from, to })
        };
        read().ok_or_else(|| format!("`{text}` is no time of day; write for example 22:00-06:00"))
    }
}

impl TryFrom<String> for Window {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Window> for String {
    fn from(window: Window) -> Self {
        window.to_string()
    }
}

/// A change of a setting that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidSetting {
    /// It is not `NAME=VALUE`.
    #[error("`{0}` is not a setting; write NAME=VALUE, for example rate=5000")]
    Form(String),
    /// No setting has this name.
    #[error("no setting is called `{name}`{}", suggestion.map(|other| format!("; did you mean `{other}`?")).unwrap_or_default())]
    Name {
        /// The name.
        name: String,
        /// The one that is nearest.
        suggestion: Option<&'static str>,
    },
    /// The value is of another kind.
    #[error("{name}: {reason}")]
    Value {
        /// The setting.
        name: &'static str,
        /// What is wrong with the value.
        reason: String,
    },
}

/// The names of the settings, as a change spells them.
pub const NAMES: [&str; 9] = [
    "workers",
    "batch",
    "rate",
    "max-lag",
    "load",
    "window",
    "max-dead",
    "bad-rows",
    "max-bad-rows",
];

impl Settings {
    /// Whether rows may be set aside.
    pub(crate) fn may_set_aside(&self) -> bool {
        self.bad_rows != BadRows::Fail
    }

    /// Changes one setting: `workers=4`, `rate=5000`, `window=22:00-06:00`; `none` takes a limit away.
    ///
    /// # Errors
    /// [`InvalidSetting`]; nothing is changed then.
    pub fn set(&mut self, change: &str) -> Result<(), InvalidSetting> {
        let (name, value) = change
            .split_once('=')
            .ok_or_else(|| InvalidSetting::Form(change.to_owned()))?;
        let (name, value) = (name.trim(), value.trim());
        let name = NAMES
            .into_iter()
            .find(|known| *known == name)
            .ok_or_else(|| InvalidSetting::Name {
                name: name.to_owned(),
                suggestion: nearest(name, NAMES),
            })?;
        let wrong = |reason: String| InvalidSetting::Value { name, reason };
        let limit = (value != "none").then_some(value);
        match name {
            "workers" => self.workers = positive(value, 256).map_err(wrong)?,
            "batch" => self.batch = duration(value).map_err(wrong)?,
            "rate" => {
                self.rate = limit
                    .map(|value| positive(value, u64::MAX))
                    .transpose()
                    .map_err(wrong)?;
            }
            "max-lag" => self.max_lag = limit.map(duration).transpose().map_err(wrong)?,
            "load" => self.load = limit.map(str::to_owned),
            "window" => self.window = limit.map(str::parse).transpose().map_err(wrong)?,
            "max-dead" => {
                self.max_dead = limit
                    .map(|value| positive(value, u64::MAX))
                    .transpose()
                    .map_err(wrong)?;
            }
            "bad-rows" => {
                self.bad_rows = match value {
                    "fail" => BadRows::Fail,
                    "set-aside" => BadRows::SetAside,
                    "leave" => BadRows::Leave,
                    _ => {
                        return Err(wrong(format!(
                            "`{value}` is none of fail, set-aside and leave"
                        )));
                    }
                };
            }
            _ => self.max_bad_rows = positive(value, u64::MAX).map_err(wrong)?,
        }
        Ok(())
    }
}

fn positive<T: FromStr + PartialOrd + From<u8> + fmt::Display>(
    text: &str,
    most: T,
) -> Result<T, String> {
    text.replace('_', "")
        .parse()
        .ok()
        .filter(|number| *number >= T::from(1) && *number <= most)
        .ok_or_else(|| format!("`{text}` is not a number from 1 on"))
}

/// Reads a duration that is longer than nothing.
fn duration(text: &str) -> Result<Duration, String> {
    text.parse::<jiff::SignedDuration>()
        .ok()
        .and_then(|duration| Duration::try_from(duration).ok())
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| format!("`{text}` is no duration; write for example 500ms, 30s or 1m30s"))
}

/// Durations as texts.
mod span {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        let signed = jiff::SignedDuration::try_from(*duration).unwrap_or(jiff::SignedDuration::MAX);
        to.collect_str(&format_args!("{signed:#}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        super::duration(&String::deserialize(from)?).map_err(de::Error::custom)
    }

    pub(super) mod optional {
        use std::time::Duration;

        use serde::{Deserialize, Deserializer, Serializer, de};

        pub(in super::super) fn serialize<S: Serializer>(
            duration: &Option<Duration>,
            to: S,
        ) -> Result<S::Ok, S::Error> {
            match duration {
                Some(duration) => super::serialize(duration, to),
                None => to.serialize_none(),
            }
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Option<Duration>, D::Error> {
            Option::<String>::deserialize(from)?
                .map(|text| super::super::duration(&text).map_err(de::Error::custom))
                .transpose()
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn settings_are_set_by_name_and_read_back() {
        let mut settings = Settings::default();
        let changes = [
            "workers=4",
            "batch=250ms",
            "rate=5_000",
            "max-lag=2s",
            "load=SELECT 1",
            "window=22:00-06:30",
            "max-dead=100000",
            "bad-rows=set-aside",
            "max-bad-rows=7",
        ];
        for change in changes {
            settings.set(change).unwrap();
        }
        let text = serde_json::to_string(&settings).unwrap();
        let read: Settings = serde_json::from_str(&text).unwrap();
        assert_eq!(read, settings);
        assert_eq!((read.workers, read.rate), (4, Some(5_000)));
        settings.set("rate=none").unwrap();
        assert_eq!(settings.rate, None);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let refusal = |change: &str| Settings::default().set(change).unwrap_err().to_string();
        assert!(refusal("rate").contains("NAME=VALUE"));
        assert!(refusal("rat=1").contains("did you mean `rate`?"));
        for change in [
            "workers=0",
            "batch=-1s",
            "window=25:00-1:00",
            "window=6:00-6:00",
            "bad-rows=x",
        ] {
            assert!(refusal(change).contains(change.split('=').next().unwrap()));
        }
    }

    #[test]
    fn a_window_may_go_over_midnight() {
        let night: Window = "22:00-06:00".parse().unwrap();
        assert!(night.contains(23 * 60) && night.contains(0) && !night.contains(6 * 60));
        let day: Window = "9:00-17:00".parse().unwrap();
        assert!(day.contains(9 * 60) && !day.contains(17 * 60));
        assert_eq!(day.to_string(), "09:00-17:00");
    }
}
