//! Dates, times and intervals as SQLite keeps them: as text, in the forms that its date functions read.
//!
//! - Years have four digits; before year 0 a minus sign (year 0 is 1 BC, as ISO 8601 counts and SQLite reads), after
//!   9999 a plus sign and as many digits as needed (which SQLite's functions do not read).
//! - Fractions of a second have up to six digits and are left out when they are zero.
//! - A time with a zone is written in UTC and ends in `+00:00`.
//! - `infinity` and `-infinity` stand for themselves.
//! - Intervals are ISO 8601 durations of months, days and seconds, each with a sign of its own: `P1M-2DT0.5S`.

use std::fmt::Write as _;

const INFINITY: &str = "infinity";
const MINUS_INFINITY: &str = "-infinity";
const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// The text of days since 1970-01-01.
pub(super) fn date_text(days: i32) -> String {
    match days {
        i32::MAX => INFINITY.to_owned(),
        i32::MIN => MINUS_INFINITY.to_owned(),
        _ => finite_date_text(days.into()),
    }
}

/// Days since 1970-01-01, where the text is a date and nothing else.
pub(super) fn parse_date(text: &str) -> Option<i32> {
    match text {
        INFINITY => Some(i32::MAX),
        MINUS_INFINITY => Some(i32::MIN),
        _ => i32::try_from(parse_finite_date(text)?)
            .ok()
            .filter(|days| !matches!(*days, i32::MIN | i32::MAX)),
    }
}

/// The text of microseconds since midnight; `None` where they are more than a day.
pub(super) fn time_text(micros: i64) -> Option<String> {
    (0..=MICROS_PER_DAY)
        .contains(&micros)
        .then(|| clock_text(micros))
}

/// Microseconds since midnight, where the text is a time of day and nothing else.
pub(super) fn parse_time(text: &str) -> Option<i64> {
    parse_clock(text)
}

/// Whether a point in time has a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Zone {
    /// It has none.
    None,
    /// It is in UTC.
    Utc,
}

/// The text of microseconds since 1970-01-01 00:00:00.
pub(super) fn timestamp_text(micros: i64, zone: Zone) -> String {
    match micros {
        i64::MAX => INFINITY.to_owned(),
        i64::MIN => MINUS_INFINITY.to_owned(),
        _ => {
            let date = finite_date_text(micros.div_euclid(MICROS_PER_DAY));
            let clock = clock_text(micros.rem_euclid(MICROS_PER_DAY));
            let zone = if zone == Zone::Utc { "+00:00" } else { "" };
            format!("{date} {clock}{zone}")
        }
    }
}

/// Microseconds since 1970-01-01 00:00:00. Where a zone is wanted and the text has none it is UTC, as SQLite's own
/// `CURRENT_TIMESTAMP`; where none is wanted the text must have none.
pub(super) fn parse_timestamp(text: &str, zone: Zone) -> Option<i64> {
    match text {
        INFINITY => return Some(i64::MAX),
        MINUS_INFINITY => return Some(i64::MIN),
        _ => {}
    }
    let (date, clock) = text.split_once([' ', 'T'])?;
    let (clock, offset) = match zone {
        Zone::None => (clock, 0),
        Zone::Utc => split_offset(clock)?,
    };
    let days = i128::from(parse_finite_date(date)?);
    let within = i128::from(parse_clock(clock)? - offset);
    i64::try_from(days * i128::from(MICROS_PER_DAY) + within)
        .ok()
        .filter(|micros| !matches!(*micros, i64::MIN | i64::MAX))
}

/// The text of an interval.
pub(super) fn interval_text(months: i32, days: i32, micros: i64) -> String {
    let mut text = String::from("P");
    if months != 0 {
        let _ = write!(text, "{months}M");
    }
    if days != 0 {
        let _ = write!(text, "{days}D");
    }
    if micros != 0 || text.len() == 1 {
        let sign = if micros < 0 { "-" } else { "" };
        let seconds = micros.unsigned_abs() / MICROS_PER_SECOND.unsigned_abs();
        let fraction = micros.unsigned_abs() % MICROS_PER_SECOND.unsigned_abs();
        let _ = write!(text, "T{sign}{seconds}{}S", fraction_text(fraction));
    }
    text
}

/// Months, days and microseconds of an ISO 8601 duration.
pub(super) fn parse_interval(text: &str) -> Option<(i32, i32, i64)> {
    let (date, clock) = match text.strip_prefix('P')?.split_once('T') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (text.strip_prefix('P')?, ""),
    };
    if date.is_empty() && clock.is_empty() {
        return None;
    }
    let (mut months, mut days, mut micros) = (0_i32, 0_i32, 0_i64);
    for (number, unit) in amounts(date)? {
        let amount: i32 = number.parse().ok()?;
        match unit {
            'Y' => months = months.checked_add(amount.checked_mul(12)?)?,
            'M' => months = months.checked_add(amount)?,
            'W' => days = days.checked_add(amount.checked_mul(7)?)?,
            'D' => days = days.checked_add(amount)?,
            _ => return None,
        }
    }
    for (number, unit) in amounts(clock)? {
        let scale = match unit {
            'H' => 3_600,
            'M' => 60,
            'S' => 1,
            _ => return None,
        };
        let amount = i128::from(scale) * parse_seconds(number)?;
        micros = i64::try_from(i128::from(micros) + amount).ok()?;
    }
    Some((months, days, micros))
}

/// The numbers with their units that a duration consists of.
fn amounts(mut text: &str) -> Option<Vec<(&str, char)>> {
    let mut amounts = Vec::new();
    while !text.is_empty() {
        let at = text.find(|c: char| c.is_ascii_alphabetic())?;
        let unit = char::from(text.as_bytes()[at]);
        amounts.push((&text[..at], unit));
        text = &text[at + 1..];
    }
    Some(amounts)
}

/// Microseconds of a signed decimal number of seconds.
fn parse_seconds(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let micros = i128::from(number(whole)?) * i128::from(MICROS_PER_SECOND)
        + i128::from(parse_fraction(fraction)?);
    Some(if negative { -micros } else { micros })
}

fn finite_date_text(days: i64) -> String {
    let (year, month, day) = civil_from_days(days);
    let year = match year {
        ..0 => format!("-{:04}", year.unsigned_abs()),
        0..=9999 => format!("{year:04}"),
        _ => format!("+{year}"),
    };
    format!("{year}-{month:02}-{day:02}")
}

fn parse_finite_date(text: &str) -> Option<i64> {
    let (sign, unsigned) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let mut parts = unsigned.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let expanded = unsigned.len() < text.len();
    let year_fits = year.len() == 4 || (expanded && (4..=7).contains(&year.len()));
    if parts.next().is_some() || !year_fits || month.len() != 2 || day.len() != 2 {
        return None;
    }
    let (year, month, day) = (sign * number(year)?, number(month)?, number(day)?);
    let days = days_from_civil(year, month, day);
    (civil_from_days(days) == (year, month, day)).then_some(days)
}

fn clock_text(micros: i64) -> String {
    let micros = micros.unsigned_abs();
    let seconds = micros / MICROS_PER_SECOND.unsigned_abs();
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    let fraction = fraction_text(micros % MICROS_PER_SECOND.unsigned_abs());
    format!("{hours:02}:{minutes:02}:{:02}{fraction}", seconds % 60)
}

/// A fraction of a second with its point, or nothing.
fn fraction_text(micros: u64) -> String {
    if micros == 0 {
        return String::new();
    }
    format!(".{micros:06}").trim_end_matches('0').to_owned()
}

fn parse_clock(text: &str) -> Option<i64> {
    let (text, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let mut parts = text.split(':');
    let (hours, minutes) = (parts.next()?, parts.next()?);
    let seconds = parts.next();
    let two_digits = |part: &str| part.len() == 2;
    if parts.next().is_some()
        || ![hours, minutes, seconds.unwrap_or("00")]
            .into_iter()
            .all(two_digits)
    {
        return None;
    }
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let seconds = number(seconds.unwrap_or("00"))?;
    let micros = ((hours * 60 + minutes) * 60 + seconds) * MICROS_PER_SECOND;
    let micros = micros + parse_fraction(fraction)?;
    (minutes < 60 && seconds < 60 && micros <= MICROS_PER_DAY).then_some(micros)
}

/// Microseconds of the digits behind a point; `None` where there are more than microseconds keep.
fn parse_fraction(digits: &str) -> Option<i64> {
    let digits = match digits.get(..6) {
        Some(micros) if digits[6..].bytes().all(|byte| byte == b'0') => micros,
        Some(_) => return None,
        None => digits,
    };
    let scale = 10_i64.pow(u32::try_from(6 - digits.len()).ok()?);
    Some(number(digits)? * scale)
}

/// Splits `+HH:MM`, `-HH` or `Z` off a time; the offset in microseconds.
fn split_offset(clock: &str) -> Option<(&str, i64)> {
    if let Some(clock) = clock.strip_suffix('Z') {
        return Some((clock, 0));
    }
    let Some(at) = clock.find(['+', '-']) else {
        return Some((clock, 0));
    };
    let (hours, minutes) = match clock[at + 1..].split_once(':') {
        Some((hours, minutes)) => (number(hours)?, number(minutes)?),
        None => (number(&clock[at + 1..])?, 0),
    };
    let sign = if clock.as_bytes()[at] == b'-' { -1 } else { 1 };
    let offset = sign * (hours * 60 + minutes) * 60 * MICROS_PER_SECOND;
    (hours < 24 && minutes < 60).then_some((&clock[..at], offset))
}

/// Digits and nothing else, few enough to reckon with.
fn number(digits: &str) -> Option<i64> {
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain
        .then(|| digits.parse().ok())?
        .filter(|number| *number < 10_i64.pow(15))
}

// The two below are Howard Hinnant's algorithms for the proleptic Gregorian calendar, over eras of 400 years that
// begin on the first of March.

const DAYS_PER_ERA: i64 = 146_097;
const DAYS_TO_1970: i64 = 719_468;

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * DAYS_PER_ERA + day_of_era - DAYS_TO_1970
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + DAYS_TO_1970;
    let era = days.div_euclid(DAYS_PER_ERA);
    let day_of_era = days.rem_euclid(DAYS_PER_ERA);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_make_the_round_trip() {
        let cases = [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (19_782, "2024-02-29"),
            (-719_528, "0000-01-01"),
            (-719_529, "-0001-12-31"),
            (-2_440_588, "-4713-11-24"),
            (2_932_896, "9999-12-31"),
            (2_932_897, "+10000-01-01"),
            (i32::MAX - 1, "+5881580-07-10"),
            (i32::MIN + 1, "-5877641-06-24"),
            (i32::MAX, "infinity"),
            (i32::MIN, "-infinity"),
        ];
        for (days, text) in cases {
            assert_eq!(date_text(days), text);
            assert_eq!(parse_date(text), Some(days), "{text}");
        }
        let mut days = i32::MIN;
        while let Some(next) = days.checked_add(1_000_003) {
            assert_eq!(parse_date(&date_text(days)), Some(days));
            days = next;
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "2024",
            "2024-02-30",
            "2024-13-01",
            "2024-1-1",
            "12024-01-01",
            "+5881580-07-11",
            "+9999999-01-01",
            "-5877641-06-23",
            "2024-01-01 00:00:00",
            "2024-01-0ä",
            "--01-01",
        ] {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }

    #[test]
    fn times_make_the_round_trip() {
        let cases = [
            (0, "00:00:00"),
            (1, "00:00:00.000001"),
            (45_296_500_000, "12:34:56.5"),
            (MICROS_PER_DAY - 1, "23:59:59.999999"),
            (MICROS_PER_DAY, "24:00:00"),
        ];
        for (micros, text) in cases {
            assert_eq!(time_text(micros).as_deref(), Some(text));
            assert_eq!(parse_time(text), Some(micros));
        }
        assert_eq!(time_text(-1), None);
        assert_eq!(time_text(MICROS_PER_DAY + 1), None);
        assert_eq!(parse_time("12:34"), Some(45_240_000_000));
        for text in [
            "24:00:01",
            "12",
            "12:60:00",
            "1:2:3",
            "12:00:00.1234567",
            "12:00:00.",
        ] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }

    #[test]
    fn timestamps_make_the_round_trip() {
        let cases = [
            (0, "1970-01-01 00:00:00"),
            (-1, "1969-12-31 23:59:59.999999"),
            (i64::MAX - 1, "+294247-01-10 04:00:54.775806"),
            (i64::MIN + 1, "-290308-12-21 19:59:05.224193"),
            (i64::MAX, "infinity"),
            (i64::MIN, "-infinity"),
        ];
        for (micros, text) in cases {
            assert_eq!(timestamp_text(micros, Zone::None), text);
            assert_eq!(parse_timestamp(text, Zone::None), Some(micros), "{text}");
            let with_zone = timestamp_text(micros, Zone::Utc);
            assert_eq!(parse_timestamp(&with_zone, Zone::Utc), Some(micros));
        }
        let noon = Some(43_200_000_000);
        for text in [
            "1970-01-01T12:00:00Z",
            "1970-01-01 12:00",
            "1970-01-01 13:30:00+01:30",
            "1970-01-01 10:00:00-02",
        ] {
            assert_eq!(parse_timestamp(text, Zone::Utc), noon, "{text}");
        }
        for text in [
            "1970-01-01",
            "1970-01-01 12:00:00+00:00",
            "+9999999-01-01 00:00:00",
        ] {
            assert_eq!(parse_timestamp(text, Zone::None), None, "{text}");
        }
    }

    #[test]
    fn intervals_make_the_round_trip() {
        let cases = [
            ((0, 0, 0), "PT0S"),
            ((14, -3, 0), "P14M-3D"),
            ((0, 0, -1), "PT-0.000001S"),
            ((1, 2, 3_500_000), "P1M2DT3.5S"),
            (
                (i32::MIN, i32::MAX, i64::MIN),
                "P-2147483648M2147483647DT-9223372036854.775808S",
            ),
        ];
        for ((months, days, micros), text) in cases {
            assert_eq!(interval_text(months, days, micros), text);
            assert_eq!(parse_interval(text), Some((months, days, micros)));
        }
        assert_eq!(
            parse_interval("P1Y2WT1H1M1S"),
            Some((12, 14, 3_661_000_000))
        );
        for text in [
            "",
            "P",
            "PT",
            "P1",
            "1 day",
            "P1X",
            "P1.5M",
            "PTS",
            "P999999999999M",
        ] {
            assert_eq!(parse_interval(text), None, "{text}");
        }
    }
}
