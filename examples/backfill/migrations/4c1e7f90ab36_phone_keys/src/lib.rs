//! Gives readers a key to be found by, whichever way their phone number is written.

use whimbrel_sdk::prelude::*;
use whimbrel_sdk::{Backfill, Batch, Changes, Description, Direction};

/// What stands before a number without a country.
const HERE: &str = "31";

#[whimbrel::backfill]
struct PhoneKeys;

impl Backfill for PhoneKeys {
    fn describe(_: Direction) -> Result<Description> {
        Ok(Description::new("readers")
            .reads(["phone"])
            .writes(["phone_key"])
            .keep_old_values())
    }

    fn transform(rows: &Batch, changes: &mut Changes) -> Result<()> {
        for phone in rows.values::<&str>(0)? {
            match key(phone?) {
                Some(key) => changes.write(&(key,))?,
                None => changes.fail("this is no phone number"),
            }
        }
        Ok(())
    }
}

/// `+31201234` for `020-1234`, `0031 (0)20 1234` and the like.
fn key(phone: &str) -> Option<String> {
    let phone = phone.replace("(0)", "");
    let digits: String = phone.chars().filter(char::is_ascii_digit).collect();
    let is_known = |c: char| c.is_ascii_digit() || " +-/.()".contains(c);
    if digits.len() < 6 || !phone.chars().all(is_known) {
        return None;
    }
    Some(match (phone.starts_with('+'), digits.strip_prefix("00")) {
        (true, _) => format!("+{digits}"),
        (false, Some(abroad)) => format!("+{abroad}"),
        (false, None) => format!("+{HERE}{}", digits.strip_prefix('0')?),
    })
}

#[cfg(test)]
mod tests {
    use whimbrel_sdk::Value;

    use super::*;

    #[test]
    fn all_ways_to_write_a_number_are_one_key() {
        for phone in ["+31 20 1234", "0031 (0)20 1234", "020-1234", "020/12.34"] {
            assert_eq!(key(phone).as_deref(), Some("+31201234"), "{phone}");
        }
    }

    #[test]
    fn what_is_no_number_fails_alone() -> Result<()> {
        let phones = ["020-1234", "ask Marie"].map(|phone| vec![Value::Text(phone.into())]);
        let rows = Batch::from_rows(["phone"], phones.to_vec());
        let changes = Changes::of::<PhoneKeys>(Direction::Upgrade, &rows)?;
        let key = Value::Text("+31201234".into());
        assert_eq!(changes.written(), [Some(vec![key]), None]);
        assert_eq!(changes.failed(), [(1, "this is no phone number")]);
        Ok(())
    }
}
