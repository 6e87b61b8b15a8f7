//! Array literals in the server's binary form, which it reads in less than half the time.

use tokio_postgres::types::Type;

const NULL: i32 = -1;
/// Where the header says whether there are nulls, and how many elements.
const FLAGS: usize = 4;
const COUNT: usize = 12;

/// Reads the element that a literal begins with, writes its length and its form, and returns what follows it.
type Transcribe = fn(literal: &[u8], out: &mut Vec<u8>) -> Option<usize>;

/// The binary form of a plain literal for an array type that is common in large statements; `None` for other types, and
/// where what the literal means is for the server to say.
pub(super) fn binary(literal: &str, wanted: &Type) -> Option<Vec<u8>> {
    let (element_type, transcribe): (Type, Transcribe) = match *wanted {
        Type::INT4_ARRAY => (Type::INT4, integer::<4>),
        Type::INT8_ARRAY => (Type::INT8, integer::<8>),
        Type::TEXT_ARRAY => (Type::TEXT, quoted),
        _ => return None,
    };
    let mut rest = literal.as_bytes().strip_prefix(b"{")?;
    let mut out = Vec::with_capacity(literal.len() + literal.len() / 2);
    let header: [u32; 5] = [1, 0, element_type.oid(), 0, 1];
    out.extend(header.iter().flat_map(|field| field.to_be_bytes()));
    let mut count = 0_i32;
    loop {
        let taken = if rest.starts_with(b"NULL") {
            out[FLAGS + 3] = 1;
            out.extend(NULL.to_be_bytes());
            b"NULL".len()
        } else {
            transcribe(rest, &mut out)?
        };
        count = count.checked_add(1)?;
        match (rest.get(taken)?, rest.len() - taken) {
            (b',', _) => rest = &rest[taken + 1..],
            (b'}', 1) => break,
            _ => return None,
        }
    }
    out[COUNT..COUNT + 4].copy_from_slice(&count.to_be_bytes());
    Some(out)
}

/// An integer of so many bytes, with or without quotes.
fn integer<const BYTES: usize>(literal: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    let is_quoted = literal.first() == Some(&b'"');
    let digits = &literal[usize::from(is_quoted)..];
    let is_negative = digits.first() == Some(&b'-');
    let start = usize::from(is_negative);
    let mut end = start;
    // Towards the negative side, which reaches one further.
    let mut number = 0_i64;
    while let Some(digit) = digits.get(end).filter(|byte| byte.is_ascii_digit()) {
        number = number
            .checked_mul(10)?
            .checked_sub(i64::from(digit - b'0'))?;
        end += 1;
    }
    let number = if is_negative {
        number
    } else {
        number.checked_neg()?
    };
    let closes = !is_quoted || digits.get(end) == Some(&b'"');
    if end == start || !closes {
        return None;
    }
    out.extend((BYTES as i32).to_be_bytes());
    match BYTES {
        4 => out.extend(i32::try_from(number).ok()?.to_be_bytes()),
        _ => out.extend(number.to_be_bytes()),
    }
    Some(end + 2 * usize::from(is_quoted))
}

/// A text in quotes, in which a backslash escapes what follows it.
fn quoted(literal: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    let length_at = out.len();
    out.extend([0; 4]);
    let mut at = 1;
    if literal.first() != Some(&b'"') {
        return None;
    }
    loop {
        let rest = &literal[at..];
        let end = memchr::memchr2(b'"', b'\\', rest)?;
        out.extend_from_slice(&rest[..end]);
        at += end + 1;
        if rest[end] == b'"' {
            break;
        }
        // The first byte of what is escaped; if there are more, they are no quotes and no backslashes.
        out.push(*literal.get(at)?);
        at += 1;
    }
    let length = i32::try_from(out.len() - length_at - 4).ok()?;
    out[length_at..length_at + 4].copy_from_slice(&length.to_be_bytes());
    Some(at)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test may panic")]

    use tokio_postgres::types::FromSql;

    use super::*;

    fn read<T: for<'a> FromSql<'a>>(literal: &str, wanted: &Type) -> Vec<Option<T>> {
        Vec::from_sql(wanted, &binary(literal, wanted).unwrap()).unwrap()
    }

    #[test]
    fn a_plain_literal_becomes_binary() {
        assert_eq!(
            read::<i64>(r#"{1,"-2",NULL}"#, &Type::INT8_ARRAY),
            [Some(1), Some(-2), None]
        );
        assert_eq!(
            read::<i32>("{2147483647}", &Type::INT4_ARRAY),
            [Some(i32::MAX)]
        );
        assert_eq!(
            read::<String>(r#"{"","NULL",NULL,"a\"\\ä\é,}"}"#, &Type::TEXT_ARRAY),
            [
                Some(String::new()),
                Some("NULL".to_owned()),
                None,
                Some("a\"\\äé,}".to_owned())
            ]
        );
    }

    #[test]
    fn what_else_a_literal_can_be_is_left_to_the_server() {
        for literal in [
            "",
            "{",
            "{}",
            "{1",
            "{1,",
            "{1,}",
            "{1}}",
            "{ 1}",
            "{1 }",
            "{null}",
            "{x}",
            "{{1}}",
            "[2:2]={1}",
            "{99999999999999999999}",
            r#"{"1}"#,
            r#"{"1"2}"#,
            r#"{"1\"#,
        ] {
            assert_eq!(binary(literal, &Type::INT8_ARRAY), None, "{literal}");
        }
        for literal in [r#"{"a",b}"#, r#"{"a", "b"}"#, r#"{{"a"}}"#, r#"{"a"} "#] {
            assert_eq!(binary(literal, &Type::TEXT_ARRAY), None, "{literal}");
        }
        assert_eq!(binary("{1}", &Type::NUMERIC_ARRAY), None);
    }
}
