//! Parameters of a run, which come as JSON text.

/// A type that a parameter can be read as. `-x` on the command line cannot tell a number from a text, so each reads
/// as the other where it can.
pub trait FromParameter: Sized {
    /// Reads the JSON text of a parameter, or its absence.
    ///
    /// # Errors
    /// What is wrong with it, to follow the words "parameter `x`".
    fn from_parameter(json: Option<&str>) -> Result<Self, String>;
}

impl<T: FromParameter> FromParameter for Option<T> {
    fn from_parameter(json: Option<&str>) -> Result<Self, String> {
        match json.map(str::trim) {
            None | Some("null") => Ok(None),
            present => T::from_parameter(present).map(Some),
        }
    }
}

impl FromParameter for String {
    fn from_parameter(json: Option<&str>) -> Result<Self, String> {
        let json = json
            .ok_or("is not set: pass it by `-x`, or set it in [params] of migration.toml")?
            .trim();
        match json
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
        {
            Some(body) => unescape(body).ok_or_else(|| format!("is not JSON: {json}")),
            None => Ok(json.into()),
        }
    }
}

macro_rules! parsed {
    ($($type:ty => $what:literal),+ $(,)?) => {$(
        impl FromParameter for $type {
            fn from_parameter(json: Option<&str>) -> Result<Self, String> {
                let text = String::from_parameter(json)?;
                text.parse().map_err(|_| format!(concat!("is not ", $what, ": {}"), text))
            }
        }
    )+};
}

parsed! {
    bool => "true or false",
    i32 => "a whole number", i64 => "a whole number", u32 => "a whole number from 0", u64 => "a whole number from 0",
    f64 => "a number",
}

/// The text of a JSON string without its quotes.
fn unescape(body: &str) -> Option<String> {
    let mut text = String::with_capacity(body.len());
    let mut rest = body.chars();
    while let Some(character) = rest.next() {
        if character != '\\' {
            text.push(character);
            continue;
        }
        text.push(match rest.next()? {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let unit = code_unit(&mut rest)?;
                let is_high_surrogate = (0xd800..0xdc00).contains(&unit);
                let low = match is_high_surrogate {
                    true if (rest.next()?, rest.next()?) == ('\\', 'u') => {
                        Some(code_unit(&mut rest)?)
                    }
                    _ => None,
                };
                char::decode_utf16([unit].into_iter().chain(low))
                    .next()?
                    .ok()?
            }
            literal @ ('"' | '\\' | '/') => literal,
            _ => return None,
        });
    }
    Some(text)
}

fn code_unit(rest: &mut std::str::Chars<'_>) -> Option<u16> {
    let digits: String = rest.by_ref().take(4).collect();
    let is_complete = digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    u16::from_str_radix(&digits, 16)
        .ok()
        .filter(|_| is_complete)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_texts_read_as_each_other() {
        assert_eq!(i64::from_parameter(Some("5")), Ok(5));
        assert_eq!(i64::from_parameter(Some("\"5\"")), Ok(5));
        assert_eq!(String::from_parameter(Some("5")), Ok("5".into()));
        assert_eq!(bool::from_parameter(Some("true")), Ok(true));
    }

    #[test]
    fn a_wrong_or_absent_parameter_says_what_is_wrong() {
        assert_eq!(
            i64::from_parameter(Some("\"ten\"")),
            Err("is not a whole number: ten".into())
        );
        assert!(i64::from_parameter(None).is_err());
        assert_eq!(Option::<i64>::from_parameter(None), Ok(None));
    }

    #[test]
    fn escapes_are_undone() {
        let json = r#""a\"b\\\n\u00e9\ud83d\udc26""#;
        assert_eq!(String::from_parameter(Some(json)), Ok("a\"b\\\né🐦".into()));
        assert_eq!(unescape(r"\ud83d"), None);
        assert_eq!(unescape(r"\x"), None);
    }
}
