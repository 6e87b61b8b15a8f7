//! `numeric` in the server's binary form: digits to the base of 10,000.

const NAN: u16 = 0xC000;
const INFINITY: u16 = 0xD000;
const NEGATIVE_INFINITY: u16 = 0xF000;
const NEGATIVE: u16 = 0x4000;
const POSITIVE: u16 = 0;

const DECIMALS_PER_DIGIT: usize = 4;

/// The decimal text of a binary numeric; `None` when it is malformed.
pub(super) fn decode(bytes: &[u8]) -> Option<String> {
    let (header, digits) = bytes.split_at_checked(8)?;
    let field = |at: usize| [header[at], header[at + 1]];
    let count = usize::try_from(i16::from_be_bytes(field(0))).ok()?;
    let weight = i32::from(i16::from_be_bytes(field(2)));
    let sign = u16::from_be_bytes(field(4));
    let scale = usize::from(u16::from_be_bytes(field(6)));
    match sign {
        NAN => return Some("NaN".to_owned()),
        INFINITY => return Some("Infinity".to_owned()),
        NEGATIVE_INFINITY => return Some("-Infinity".to_owned()),
        NEGATIVE | POSITIVE => {}
        _ => return None,
    }
    if digits.len() != count * 2 {
        return None;
    }
    let digit = |place: i32| -> Option<u16> {
        let index = usize::try_from(weight - place).ok()?;
        let pair = digits.get(index * 2..index * 2 + 2)?;
        Some(u16::from_be_bytes([pair[0], pair[1]]))
    };

    let whole_places = usize::try_from(weight.max(0)).ok()? + 1;
    let mut text = String::with_capacity(whole_places * DECIMALS_PER_DIGIT + scale + 2);
    if sign == NEGATIVE {
        text.push('-');
    }
    let start = text.len();
    for place in (0..=weight.max(0)).rev() {
        push_decimals(&mut text, digit(place).unwrap_or(0))?;
    }
    let leading_zeros = text[start..]
        .bytes()
        .take_while(|&byte| byte == b'0')
        .count()
        .min(text.len() - start - 1);
    text.replace_range(start..start + leading_zeros, "");

    if scale > 0 {
        text.push('.');
        let end = text.len() + scale;
        let mut place = -1;
        while text.len() < end {
            push_decimals(&mut text, digit(place).unwrap_or(0))?;
            place -= 1;
        }
        text.truncate(end);
    }
    Some(text)
}

fn push_decimals(text: &mut String, digit: u16) -> Option<()> {
    if digit > 9_999 {
        return None;
    }
    for divisor in [1_000, 100, 10, 1] {
        text.push(char::from(b'0' + u8::try_from(digit / divisor % 10).ok()?));
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::decode;

    fn binary(weight: i16, sign: u16, scale: u16, digits: &[u16]) -> Vec<u8> {
        let count = u16::try_from(digits.len()).unwrap_or(u16::MAX);
        [count, weight.cast_unsigned(), sign, scale]
            .iter()
            .chain(digits)
            .flat_map(|field| field.to_be_bytes())
            .collect()
    }

    #[test]
    fn digits_become_decimals() {
        let cases: &[(i16, u16, u16, &[u16], &str)] = &[
            (0, 0, 0, &[], "0"),
            (0, 0, 2, &[], "0.00"),
            (0, 0, 0, &[7], "7"),
            (1, 0, 0, &[1, 5], "10005"),
            (2, 0, 0, &[1], "100000000"),
            (0, 0x4000, 3, &[12, 3450], "-12.345"),
            (-2, 0, 8, &[42], "0.00000042"),
            (-1, 0x4000, 1, &[5000], "-0.5"),
            (0, 0xC000, 0, &[], "NaN"),
            (0, 0xD000, 0, &[], "Infinity"),
            (0, 0xF000, 0, &[], "-Infinity"),
        ];
        for (weight, sign, scale, digits, expected) in cases {
            assert_eq!(
                decode(&binary(*weight, *sign, *scale, digits)).as_deref(),
                Some(*expected)
            );
        }
    }

    #[test]
    fn malformed_input_is_refused() {
        assert_eq!(decode(&[0; 7]), None);
        assert_eq!(decode(&binary(0, 0, 0, &[10_000])), None);
        assert_eq!(decode(&binary(0, 0x1234, 0, &[1])), None);
        assert_eq!(decode(&[0, 9, 0, 0, 0, 0, 0, 0, 0, 1]), None);
    }
}
