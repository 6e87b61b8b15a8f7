//! Decimal numbers and what SQLite keeps of them.
//!
//! A column with NUMERIC affinity turns text that looks like a number into an integer or a double, whatever that
//! loses. So a number goes in as the integer or double that it exactly is, or else in a form that no affinity touches.

/// The form in which SQLite keeps a decimal number without loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kept {
    /// As a 64-bit integer.
    Integer(i64),
    /// As a double, whose shortest text form has the same digits.
    Real(f64),
    /// Not as a number: it has more digits than a double keeps, or is too large or too small.
    Digits,
}

/// The digits that every double keeps.
const DOUBLE_DIGITS: usize = 15;

/// How SQLite can keep the number that `text` writes; `None` where it is no decimal number.
pub(super) fn keep(text: &str) -> Option<Kept> {
    let exact = Decimal::parse(text)?;
    if let Ok(integer) = text.parse() {
        return Some(Kept::Integer(integer));
    }
    let real: f64 = text.parse().ok()?;
    let same = exact.digits.len() <= DOUBLE_DIGITS
        && real.is_finite()
        && Decimal::parse(&real.to_string()).as_ref() == Some(&exact);
    Some(if same { Kept::Real(real) } else { Kept::Digits })
}

/// The shortest decimal text that reads as the same double, without an exponent.
pub(super) fn real_text(real: f64) -> String {
    if real == f64::INFINITY {
        "Infinity".to_owned()
    } else if real == f64::NEG_INFINITY {
        "-Infinity".to_owned()
    } else {
        real.to_string()
    }
}

/// A decimal number in its shortest form: ±0.DIGITS × 10^point.
#[derive(Debug, PartialEq, Eq)]
struct Decimal {
    negative: bool,
    /// Without zeros at either end; empty for zero.
    digits: Vec<u8>,
    point: i64,
}

impl Decimal {
    fn parse(text: &str) -> Option<Self> {
        let (negative, unsigned) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, i64::from(exponent.parse::<i32>().ok()?)),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = [whole.as_bytes(), fraction.as_bytes()].concat();
        if all.is_empty() || !all.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let leading = all.iter().take_while(|digit| **digit == b'0').count();
        let trailing = all[leading..]
            .iter()
            .rev()
            .take_while(|digit| **digit == b'0')
            .count();
        let digits = all[leading..all.len() - trailing].to_vec();
        if digits.is_empty() {
            return Some(Self {
                negative: false,
                digits,
                point: 0,
            });
        }
        let point = i64::try_from(whole.len()).ok()? - i64::try_from(leading).ok()? + exponent;
        Some(Self {
            negative,
            digits,
            point,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_kept_as_what_it_exactly_is() {
        let cases = [
            ("0", Kept::Integer(0)),
            ("-0", Kept::Integer(0)),
            ("9223372036854775807", Kept::Integer(i64::MAX)),
            ("9223372036854775808", Kept::Digits),
            ("0.1", Kept::Real(0.1)),
            ("12.50", Kept::Real(12.5)),
            (".5", Kept::Real(0.5)),
            ("1e3", Kept::Real(1000.0)),
            ("123456789.012345", Kept::Real(123_456_789.012_345)),
            ("0.1000000000000000055511151231257827", Kept::Digits),
            ("1234567890.1234567", Kept::Digits),
            ("1e400", Kept::Digits),
            ("1e-400", Kept::Digits),
        ];
        for (text, kept) in cases {
            assert_eq!(keep(text), Some(kept), "{text}");
        }
        for text in [
            "", "-", ".", "1.2.3", "NaN", "Infinity", "inf", "0x10", " 1", "1_000", "ä",
        ] {
            assert_eq!(keep(text), None, "{text}");
        }
    }

    #[test]
    fn doubles_are_written_without_exponent() {
        assert_eq!(real_text(1e20), "100000000000000000000");
        assert_eq!(real_text(0.1), "0.1");
        assert_eq!(real_text(f64::NEG_INFINITY), "-Infinity");
    }
}
