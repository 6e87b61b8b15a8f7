//! Postal addresses in the forms of the countries that our people live in.

/// An address in its parts.
#[derive(Debug, PartialEq, Eq)]
pub struct Address {
    pub street: String,
    pub house_number: Option<String>,
    pub postal_code: String,
    pub city: String,
    /// State or province, where addresses name one.
    pub region: Option<String>,
    /// ISO 3166-1, two letters.
    pub country: &'static str,
}

const COUNTRIES: [(&str, &str); 12] = [
    ("usa", "US"),
    ("united states", "US"),
    ("canada", "CA"),
    ("united kingdom", "GB"),
    ("uk", "GB"),
    ("germany", "DE"),
    ("deutschland", "DE"),
    ("france", "FR"),
    ("netherlands", "NL"),
    ("nederland", "NL"),
    ("spain", "ES"),
    ("españa", "ES"),
];

impl Address {
    /// Reads `street, town, country` on one line or several; `None` when it is none of the forms known here.
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text
            .split([',', '\n'])
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .collect();
        let (last, rest) = parts.split_last()?;
        let name = last.to_lowercase();
        let (_, country) = COUNTRIES.iter().find(|(known, _)| *known == name)?;
        let (town, street) = match *country {
            "US" | "CA" => {
                let (state_and_code, rest) = rest.split_last()?;
                let (city, street) = rest.split_last()?;
                (Town::with_region(city, state_and_code)?, street)
            }
            "GB" => {
                let (town, street) = rest.split_last()?;
                (Town::code_last(town)?, street)
            }
            _ => {
                let (town, street) = rest.split_last()?;
                (Town::code_first(town)?, street)
            }
        };
        let (street, house_number) = split_street(&street.join(", "))?;
        Some(Self {
            street,
            house_number,
            postal_code: town.code,
            city: town.city,
            region: town.region,
            country,
        })
    }
}

struct Town {
    code: String,
    city: String,
    region: Option<String>,
}

impl Town {
    /// `Mountain View`, `CA 94043`; `Toronto`, `ON M5V 2T6`.
    fn with_region(city: &str, region_and_code: &str) -> Option<Self> {
        let (region, code) = region_and_code.split_once(' ')?;
        let is_region = region.len() == 2 && region.chars().all(char::is_alphabetic);
        (is_region && has_digit(code)).then(|| Self {
            code: code.trim().to_uppercase(),
            city: city.into(),
            region: Some(region.to_uppercase()),
        })
    }

    /// `London NW1 6XE`.
    fn code_last(town: &str) -> Option<Self> {
        let words: Vec<&str> = town.split_whitespace().collect();
        let (city, code) = words.split_at(words.len().checked_sub(2)?);
        (!city.is_empty() && code.iter().all(|word| has_digit(word))).then(|| Self {
            code: code.join(" ").to_uppercase(),
            city: city.join(" "),
            region: None,
        })
    }

    /// `10117 Berlin`, `D-10117 Berlin`, `1016 GV Amsterdam`.
    fn code_first(town: &str) -> Option<Self> {
        let mut words = town.split_whitespace().peekable();
        let first = words.next()?;
        let digits = first.split_once('-').map_or(first, |(_, digits)| digits);
        if digits.len() < 4 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let mut code = digits.to_owned();
        if digits.len() == 4 {
            let is_pair =
                |word: &&str| word.len() == 2 && word.bytes().all(|b| b.is_ascii_uppercase());
            if let Some(letters) = words.next_if(is_pair) {
                code.push(' ');
                code.push_str(letters);
            }
        }
        let city = words.collect::<Vec<_>>().join(" ");
        (!city.is_empty()).then(|| Self {
            code,
            city,
            region: None,
        })
    }
}

fn has_digit(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit())
}

/// `221B Baker Street` and `Prinsengracht 263`; a street without a number is one too.
fn split_street(text: &str) -> Option<(String, Option<String>)> {
    let is_number = |word: &str| word.starts_with(|c: char| c.is_ascii_digit());
    let (first, after_first) = text.split_once(' ').unwrap_or((text, ""));
    let (before_last, last) = text.rsplit_once(' ').unwrap_or(("", text));
    let (street, number) = if is_number(first) {
        (after_first, Some(first))
    } else if is_number(last) {
        (before_last, Some(last))
    } else {
        (text, None)
    };
    let street = street.trim_end_matches(',').trim();
    (!street.is_empty()).then(|| (street.to_owned(), number.map(str::to_owned)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Option<String> {
        let a = Address::parse(text)?;
        let (number, region) = (
            a.house_number.unwrap_or_default(),
            a.region.unwrap_or_default(),
        );
        Some(format!(
            "{}|{number}|{}|{}|{region}|{}",
            a.street, a.postal_code, a.city, a.country
        ))
    }

    #[test]
    fn the_forms_of_seven_countries_are_read() {
        for (text, parts) in [
            (
                "1600 Amphitheatre Pkwy, Mountain View, CA 94043, USA",
                "Amphitheatre Pkwy|1600|94043|Mountain View|CA|US",
            ),
            (
                "290 Bremner Blvd, Toronto, on m5v 3l9, Canada",
                "Bremner Blvd|290|M5V 3L9|Toronto|ON|CA",
            ),
            (
                "221B Baker Street, London NW1 6XE, United Kingdom",
                "Baker Street|221B|NW1 6XE|London||GB",
            ),
            (
                "Unter den Linden 77\n10117 Berlin\nGermany",
                "Unter den Linden|77|10117|Berlin||DE",
            ),
            (
                "Marienplatz 8, D-80331 München, Deutschland",
                "Marienplatz|8|80331|München||DE",
            ),
            (
                "8 rue de la Paix, 75002 Paris, France",
                "rue de la Paix|8|75002|Paris||FR",
            ),
            (
                "Prinsengracht 263, 1016 GV Amsterdam, Netherlands",
                "Prinsengracht|263|1016 GV|Amsterdam||NL",
            ),
            (
                "Calle Mayor, 12, 28013 Madrid, España",
                "Calle Mayor|12|28013|Madrid||ES",
            ),
        ] {
            assert_eq!(line(text).as_deref(), Some(parts), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_not_made_one() {
        for text in [
            "",
            "ask at the desk",
            "Germany",
            "Berlin, Germany",
            "Main St, Springfield, USA",
            "x, y, Atlantis",
        ] {
            assert_eq!(Address::parse(text), None, "{text}");
        }
    }
}
