//! The parts of a person's name, as far as they can be told from one line of text.

/// A name in its parts. Someone with a single name has it as the given name.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Name {
    pub title: Option<String>,
    pub given: String,
    pub family: Option<String>,
    pub suffix: Option<String>,
}

const TITLES: [(&str, &str); 8] = [
    ("dr", "Dr."),
    ("prof", "Prof."),
    ("mr", "Mr."),
    ("mrs", "Mrs."),
    ("ms", "Ms."),
    ("mx", "Mx."),
    ("sir", "Sir"),
    ("dame", "Dame"),
];

const SUFFIXES: [(&str, &str); 8] = [
    ("jr", "Jr."),
    ("sr", "Sr."),
    ("ii", "II"),
    ("iii", "III"),
    ("iv", "IV"),
    ("phd", "PhD"),
    ("md", "MD"),
    ("esq", "Esq."),
];

/// Words that begin a family name rather than end a given one.
const PARTICLES: [&str; 20] = [
    "af", "al", "bin", "da", "das", "de", "del", "della", "der", "di", "do", "dos", "du", "el",
    "la", "le", "ten", "van", "von", "zu",
];

impl Name {
    /// Reads `Title Given van Family, Suffix` as well as `van Family, Given`.
    pub fn parse(text: &str) -> Self {
        let parts: Vec<&str> = text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .collect();
        let mut words: Vec<&str> = Vec::new();
        let mut suffix = None;
        let mut family_first = None;
        for (index, part) in parts.iter().enumerate() {
            match look_up(&SUFFIXES, part) {
                Some(known) if index > 0 => suffix = Some(known),
                _ if index == 1 => {
                    family_first = Some(std::mem::take(&mut words));
                    words.extend(part.split_whitespace());
                }
                _ => words.extend(part.split_whitespace()),
            }
        }

        let title = words.first().and_then(|word| look_up(&TITLES, word));
        if title.is_some() {
            words.remove(0);
        }
        let last = family_first.as_mut().unwrap_or(&mut words);
        if let Some(known) = last
            .last()
            .and_then(|word| look_up(&SUFFIXES, word))
            .filter(|_| last.len() > 1)
        {
            suffix = Some(known);
            last.pop();
        }

        let (given, family) = match family_first {
            Some(family) => (words, family),
            None => {
                let family = words.split_off(family_start(&words));
                (words, family)
            }
        };
        let letters = || given.iter().chain(&family).flat_map(|word| word.chars());
        let shouts_or_whispers =
            !letters().any(char::is_lowercase) || !letters().any(char::is_uppercase);
        let spell = |words: &[&str], is_family| {
            let spelt = words.iter().map(|word| {
                if is_family && is_particle(word) && (shouts_or_whispers || starts_lower(word)) {
                    word.to_lowercase()
                } else if shouts_or_whispers
                    || word.chars().all(|c| !c.is_lowercase()) && word.chars().count() > 2
                {
                    capitalise(word)
                } else {
                    (*word).to_owned()
                }
            });
            spelt.collect::<Vec<_>>().join(" ")
        };
        let given_text = spell(&given, false);
        let family_text = spell(&family, true);
        let (given, family) = match (given_text.is_empty(), family_text.is_empty()) {
            (true, _) => (family_text, None),
            (false, true) => (given_text, None),
            (false, false) => (given_text, Some(family_text)),
        };
        Self {
            title: title.map(str::to_owned),
            given,
            family,
            suffix: suffix.map(str::to_owned),
        }
    }
}

/// Where the family name begins: at the first particle after a given name, else at the last word.
fn family_start(words: &[&str]) -> usize {
    let particle = words
        .iter()
        .skip(1)
        .position(|word| is_particle(word))
        .map(|index| index + 1);
    match particle {
        Some(index) if index + 1 < words.len() => index,
        _ => words.len().saturating_sub(1).max(1).min(words.len()),
    }
}

fn is_particle(word: &str) -> bool {
    PARTICLES.contains(&word.to_lowercase().as_str())
}

fn starts_lower(word: &str) -> bool {
    word.chars().next().is_some_and(char::is_lowercase)
}

fn look_up(known: &[(&str, &'static str)], word: &str) -> Option<&'static str> {
    let bare: String = word
        .chars()
        .filter(|c| *c != '.')
        .flat_map(char::to_lowercase)
        .collect();
    known
        .iter()
        .find(|(key, _)| *key == bare)
        .map(|(_, spelling)| *spelling)
}

/// `O'BRIEN-mcdonald` → `O'Brien-McDonald`.
fn capitalise(word: &str) -> String {
    let mut spelt = String::with_capacity(word.len());
    let mut at_start = true;
    for character in word.chars() {
        if at_start {
            spelt.extend(character.to_uppercase());
        } else {
            spelt.extend(character.to_lowercase());
        }
        let is_after_mc = spelt.ends_with("Mc") && word.chars().count() > 3;
        at_start = matches!(character, '-' | '\'' | '’') || is_after_mc;
    }
    spelt
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (String, String, String, String) {
        let name = Name::parse(text);
        let or_none = |part: Option<String>| part.unwrap_or_default();
        (
            or_none(name.title),
            name.given,
            or_none(name.family),
            or_none(name.suffix),
        )
    }

    #[test]
    fn names_are_split_where_people_would() {
        for (text, title, given, family, suffix) in [
            ("Ada Lovelace", "", "Ada", "Lovelace", ""),
            (
                "Martin Luther King, Jr.",
                "",
                "Martin Luther",
                "King",
                "Jr.",
            ),
            ("Martin Luther King III", "", "Martin Luther", "King", "III"),
            ("Lovelace, Ada", "", "Ada", "Lovelace", ""),
            ("van der Berg, Joost", "", "Joost", "van der Berg", ""),
            ("Joost van der Berg", "", "Joost", "van der Berg", ""),
            (
                "King Jr., Martin Luther",
                "",
                "Martin Luther",
                "King",
                "Jr.",
            ),
            (
                "Prof. Maria del Carmen Ruiz",
                "Prof.",
                "Maria",
                "del Carmen Ruiz",
                "",
            ),
            ("Pelé", "", "Pelé", "", ""),
            ("", "", "", "", ""),
            ("Dr. Who", "Dr.", "Who", "", ""),
        ] {
            let expected = (title.into(), given.into(), family.into(), suffix.into());
            assert_eq!(parts(text), expected, "{text}");
        }
    }

    #[test]
    fn capitals_and_spaces_are_put_right_only_where_they_are_wrong() {
        for (text, given, family) in [
            ("  SINÉAD   O'BRIEN ", "Sinéad", "O'Brien"),
            ("angus mcdonald", "Angus", "McDonald"),
            ("JEAN-LUC DE LA TOUR", "Jean-Luc", "de la Tour"),
            ("Leonardo DiCaprio", "Leonardo", "DiCaprio"),
            ("Dick Van Dyke", "Dick", "Van Dyke"),
            ("Ömer YILDIZ", "Ömer", "Yildiz"),
            ("王 小明", "王", "小明"),
        ] {
            let (_, g, f, _) = parts(text);
            assert_eq!((g.as_str(), f.as_str()), (given, family), "{text}");
        }
    }
}
