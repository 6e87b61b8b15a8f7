//! Dates, times and points in time, as the databases count them.

use std::fmt;
use std::str::FromStr;

use crate::value::{FromValue, ToValue, Value, ValueRef};

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

macro_rules! points {
    ($($(#[$doc:meta])* $name:ident($count:ty)),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $count);

        impl FromValue<'_> for $name {
            fn from_value(value: ValueRef<'_>) -> Option<Self> {
                match value {
                    ValueRef::Other(Value::$name(count)) => Some(Self(*count)),
                    ValueRef::Text(text) => text.parse().ok(),
                    _ => None,
                }
            }
        }

        impl ToValue for $name {
            fn to_value(&self) -> Value {
                Value::$name(self.0)
            }
        }
    )+};
}

points! {
    /// A calendar date, in days since 1970-01-01. Written and read as `2026-11-22`.
    Date(i32),
    /// A time of day, in microseconds since midnight. Written and read as `10:00:00` or `10:00:00.000001`.
    Time(i64),
    /// Date and time of day without a zone, in microseconds since 1970-01-01 00:00:00. Written and read as
    /// `2026-11-22 10:00:00`.
    Timestamp(i64),
    /// A point in time, in microseconds since 1970-01-01 00:00:00 UTC. Written as `2026-11-22 10:00:00Z`, and read
    /// with `Z` or an offset.
    Timestamptz(i64),
}

/// Why a text is not a date or a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidTime(&'static str);

impl fmt::Display for InvalidTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a {}", self.0)
    }
}

impl std::error::Error for InvalidTime {}

impl Date {
    /// After every other date.
    pub const INFINITY: Self = Self(i32::MAX);
    /// Before every other date.
    pub const NEG_INFINITY: Self = Self(i32::MIN);

    /// The date of a year (0 is 1 BC), a month from 1 and a day from 1; `None` when there is no such day.
    pub fn from_ymd(year: i32, month: u32, day: u32) -> Option<Self> {
        if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
            return None;
        }
        // Days are counted in eras of 400 years that begin on 1 March, so that a leap day ends its year.
        let year = i64::from(year) - i64::from(month <= 2);
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let day_of_year = i64::from((153 * ((month + 9) % 12) + 2) / 5 + day - 1);
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        i32::try_from(era * 146_097 + day_of_era - 719_468)
            .ok()
            .map(Self)
    }

    /// Year (0 is 1 BC), month and day.
    pub fn ymd(self) -> (i32, u32, u32) {
        let days = i64::from(self.0) + 719_468;
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 {
            shifted_month + 3
        } else {
            shifted_month - 9
        };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        // An `i32` of days is at most 5.9 million years, and months and days are small.
        (year as i32, month as u32, day as u32)
    }
}

fn days_in_month(year: i32, month: u32) -> u32 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::INFINITY => f.write_str("infinity"),
            Self::NEG_INFINITY => f.write_str("-infinity"),
            date => {
                let (year, month, day) = date.ymd();
                let sign = if year < 0 { "-" } else { "" };
                write!(f, "{sign}{:04}-{month:02}-{day:02}", year.unsigned_abs())
            }
        }
    }
}

impl FromStr for Date {
    type Err = InvalidTime;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_date(text).ok_or(InvalidTime("date"))
    }
}

fn parse_date(text: &str) -> Option<Date> {
    match text {
        "infinity" => return Some(Date::INFINITY),
        "-infinity" => return Some(Date::NEG_INFINITY),
        _ => {}
    }
    let (rest, day) = text.rsplit_once('-')?;
    let (year, month) = rest.rsplit_once('-')?;
    Date::from_ymd(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?)
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / MICROS_PER_SECOND;
        write!(
            f,
            "{:02}:{:02}:{:02}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        )?;
        match self.0 % MICROS_PER_SECOND {
            0 => Ok(()),
            micros => write!(f, ".{micros:06}"),
        }
    }
}

impl FromStr for Time {
    type Err = InvalidTime;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_time(text).ok_or(InvalidTime("time"))
    }
}

fn parse_time(text: &str) -> Option<Time> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = clock.split(':').map(|part| part.parse::<u32>().ok());
    let (hours, minutes) = (parts.next()??, parts.next()??);
    let seconds = parts.next().unwrap_or(Some(0))?;
    let is_a_time = hours < 24 && minutes < 60 && seconds < 60 && parts.next().is_none();
    if !is_a_time || fraction.len() > 6 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let micros: i64 = format!("{fraction:0<6}").parse().ok()?;
    let seconds = i64::from(hours * 3600 + minutes * 60 + seconds);
    Some(Time(seconds * MICROS_PER_SECOND + micros))
}

impl Timestamp {
    /// After every other timestamp.
    pub const INFINITY: Self = Self(i64::MAX);
    /// Before every other timestamp.
    pub const NEG_INFINITY: Self = Self(i64::MIN);

    /// Date and time of day put together.
    pub fn new(date: Date, time: Time) -> Self {
        Self(i64::from(date.0) * MICROS_PER_DAY + time.0)
    }

    /// The date; the infinities have those of [`Date`].
    pub fn date(self) -> Date {
        match self {
            Self::INFINITY => Date::INFINITY,
            Self::NEG_INFINITY => Date::NEG_INFINITY,
            // An `i64` of microseconds is at most 107 million days.
            Self(micros) => Date(micros.div_euclid(MICROS_PER_DAY) as i32),
        }
    }

    /// The time of day.
    pub fn time(self) -> Time {
        Time(self.0.rem_euclid(MICROS_PER_DAY))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::INFINITY | Self::NEG_INFINITY => self.date().fmt(f),
            _ => write!(f, "{} {}", self.date(), self.time()),
        }
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTime;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_timestamp(text).ok_or(InvalidTime("timestamp"))
    }
}

fn parse_timestamp(text: &str) -> Option<Timestamp> {
    match text {
        "infinity" => return Some(Timestamp::INFINITY),
        "-infinity" => return Some(Timestamp::NEG_INFINITY),
        _ => {}
    }
    let (date, time) = text.split_once([' ', 'T'])?;
    let days = i64::from(parse_date(date)?.0);
    let micros = days
        .checked_mul(MICROS_PER_DAY)?
        .checked_add(parse_time(time)?.0)?;
    Some(Timestamp(micros))
}

impl Timestamptz {
    /// After every other point in time.
    pub const INFINITY: Self = Self(i64::MAX);
    /// Before every other point in time.
    pub const NEG_INFINITY: Self = Self(i64::MIN);

    /// Date and time of day in UTC.
    pub fn in_utc(self) -> Timestamp {
        Timestamp(self.0)
    }
}

impl fmt::Display for Timestamptz {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::INFINITY | Self::NEG_INFINITY => self.in_utc().fmt(f),
            _ => write!(f, "{}Z", self.in_utc()),
        }
    }
}

impl FromStr for Timestamptz {
    type Err = InvalidTime;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_timestamptz(text).ok_or(InvalidTime("timestamp with time zone"))
    }
}

fn parse_timestamptz(text: &str) -> Option<Timestamptz> {
    if let Some(utc) = text.strip_suffix(['Z', 'z']) {
        return parse_timestamp(utc).map(|utc| Timestamptz(utc.0));
    }
    if text.ends_with("infinity") {
        return parse_timestamp(text).map(|utc| Timestamptz(utc.0));
    }
    let sign_at = text
        .rfind(['+', '-'])
        .filter(|at| text[..*at].contains(':'))?;
    let (local, offset) = text.split_at(sign_at);
    let direction = if offset.starts_with('-') { 1 } else { -1 };
    let (hours, minutes) = offset[1..].split_once(':').unwrap_or((&offset[1..], "0"));
    let minutes = hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?;
    let shift = direction * minutes * 60 * MICROS_PER_SECOND;
    Some(Timestamptz(parse_timestamp(local)?.0.checked_add(shift)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_make_the_round_trip_through_text_and_days() {
        for (text, days) in [
            ("1970-01-01", 0),
            ("2000-02-29", 11_016),
            ("1969-12-31", -1),
            ("0000-03-01", -719_468),
            ("-0043-03-15", -735_160),
            ("infinity", i32::MAX),
        ] {
            assert_eq!(text.parse(), Ok(Date(days)), "{text}");
            assert_eq!(Date(days).to_string(), text);
        }
    }

    #[test]
    fn every_day_of_a_millennium_has_its_own_date() {
        for days in -200_000..200_000 {
            let (year, month, day) = Date(days).ymd();
            assert_eq!(Date::from_ymd(year, month, day), Some(Date(days)));
        }
    }

    #[test]
    fn there_is_no_thirtieth_of_february() {
        assert_eq!("2024-02-30".parse::<Date>(), Err(InvalidTime("date")));
        assert_eq!(Date::from_ymd(1900, 2, 29), None);
    }

    #[test]
    fn timestamps_make_the_round_trip_before_1970_and_in_zones() {
        let text = "1969-12-31 23:59:59.999999";
        assert_eq!(text.parse(), Ok(Timestamp(-1)));
        assert_eq!(Timestamp(-1).to_string(), text);
        assert_eq!("1970-01-01T02:30:00+02:30".parse(), Ok(Timestamptz(0)));
        assert_eq!("1969-12-31 16:00:00-08".parse(), Ok(Timestamptz(0)));
        assert_eq!("1970-01-01 00:00:00Z".parse(), Ok(Timestamptz(0)));
        assert!("1970-01-01 00:00:00".parse::<Timestamptz>().is_err());
    }
}
