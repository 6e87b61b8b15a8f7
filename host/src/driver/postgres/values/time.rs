//! Dates and times: PostgreSQL counts from 2000-01-01, a value from 1970-01-01.

/// Days from 1970-01-01 to 2000-01-01.
const EPOCH_DAYS: i32 = 10_957;
/// The same in microseconds.
const EPOCH_MICROSECONDS: i64 = EPOCH_DAYS as i64 * MICROSECONDS_PER_DAY;

pub(super) const MICROSECONDS_PER_DAY: i64 = 86_400_000_000;

/// The first day that the server can hold, 4714-11-24 BC, in its own count.
const FIRST_DAY: i32 = -2_451_545;
/// The day after the last that the server can hold as a date, 5874897-12-31, in its own count.
const END_OF_DAYS: i32 = 2_145_031_949;
const FIRST_MICROSECOND: i64 = FIRST_DAY as i64 * MICROSECONDS_PER_DAY;
/// The first microsecond after 294276-12-31, in the server's count.
const END_OF_TIME: i64 = 9_223_371_331_200_000_000;

/// The server's count of days as ours; `None` where ours cannot say it. The extremes are the infinities in both.
pub(super) fn date_from_server(days: i32) -> Option<i32> {
    match days {
        i32::MIN | i32::MAX => Some(days),
        _ => days
            .checked_add(EPOCH_DAYS)
            .filter(|&days| days != i32::MAX),
    }
}

/// Our count of days as the server's; `None` outside its range.
pub(super) fn date_to_server(days: i32) -> Option<i32> {
    match days {
        i32::MIN | i32::MAX => Some(days),
        _ => days
            .checked_sub(EPOCH_DAYS)
            .filter(|days| (FIRST_DAY..END_OF_DAYS).contains(days)),
    }
}

/// The server's count of microseconds as ours; `None` where ours cannot say it.
pub(super) fn timestamp_from_server(microseconds: i64) -> Option<i64> {
    match microseconds {
        i64::MIN | i64::MAX => Some(microseconds),
        _ => microseconds
            .checked_add(EPOCH_MICROSECONDS)
            .filter(|&microseconds| microseconds != i64::MAX),
    }
}

/// Our count of microseconds as the server's; `None` outside its range.
pub(super) fn timestamp_to_server(microseconds: i64) -> Option<i64> {
    match microseconds {
        i64::MIN | i64::MAX => Some(microseconds),
        _ => microseconds
            .checked_sub(EPOCH_MICROSECONDS)
            .filter(|microseconds| (FIRST_MICROSECOND..END_OF_TIME).contains(microseconds)),
    }
}

/// Whether a day has this time; it ends with 24:00:00.
pub(super) fn is_time_of_day(microseconds: i64) -> bool {
    (0..=MICROSECONDS_PER_DAY).contains(&microseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_counts_agree_and_extremes_are_kept() {
        assert_eq!(date_from_server(0), Some(10_957));
        assert_eq!(date_to_server(0), Some(-10_957));
        assert_eq!(timestamp_from_server(-EPOCH_MICROSECONDS), Some(0));
        for extreme in [i32::MIN, i32::MAX] {
            assert_eq!(date_from_server(extreme), Some(extreme));
            assert_eq!(date_to_server(extreme), Some(extreme));
        }
        for extreme in [i64::MIN, i64::MAX] {
            assert_eq!(timestamp_from_server(extreme), Some(extreme));
            assert_eq!(timestamp_to_server(extreme), Some(extreme));
        }
    }

    #[test]
    fn what_does_not_fit_is_not_wrapped() {
        assert_eq!(timestamp_from_server(END_OF_TIME - 1), None);
        assert_eq!(timestamp_to_server(i64::MIN + 1), None);
        assert_eq!(
            timestamp_to_server(i64::MAX - 1),
            Some(i64::MAX - 1 - EPOCH_MICROSECONDS)
        );
        assert_eq!(date_to_server(i32::MIN + 1), None);
        assert_eq!(date_to_server(i32::MAX - 1), None);
        assert_eq!(
            date_from_server(END_OF_DAYS - 1),
            Some(END_OF_DAYS - 1 + EPOCH_DAYS)
        );
    }
}
