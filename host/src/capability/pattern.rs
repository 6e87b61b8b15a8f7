//! Names with wildcards.

use std::fmt;

use super::Name;

/// A name in which `*` stands for any characters.
///
/// A pattern without a schema speaks of the default schema only; `*.users` of all schemas.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern {
    pub(super) schema: Option<Glob>,
    pub(super) name: Glob,
}

/// Texts with any characters between them; a text alone is a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Glob(pub(super) Vec<String>);

impl Pattern {
    /// The pattern of one name.
    pub fn exactly(name: &Name) -> Self {
        Self {
            schema: name.schema.as_deref().map(Glob::exactly),
            name: Glob::exactly(&name.name),
        }
    }

    /// All objects of all schemas.
    pub fn any() -> Self {
        Self {
            schema: Some(Glob::any()),
            name: Glob::any(),
        }
    }

    /// Whether it stands for a name.
    pub fn matches(&self, name: &Name, default_schema: &str) -> bool {
        let schema = name.schema.as_deref().unwrap_or(default_schema);
        let in_schema = match &self.schema {
            Some(pattern) => pattern.matches(schema),
            None => schema == default_schema,
        };
        in_schema && self.name.matches(&name.name)
    }

    /// Whether it stands for all names that another one stands for, whatever the default schema is.
    pub fn covers(&self, other: &Self) -> bool {
        let in_schema = match (&self.schema, &other.schema) {
            (None, None) => true,
            (Some(these), None) => *these == Glob::any(),
            (None, Some(_)) => false,
            (Some(these), Some(others)) => these.covers(others),
        };
        in_schema && self.name.covers(&other.name)
    }

    /// Whether there may be a name that both stand for.
    pub fn meets(&self, other: &Self) -> bool {
        let in_schema = match (&self.schema, &other.schema) {
            (Some(these), Some(others)) => these.meets(others),
            // The default schema may be any.
            _ => true,
        };
        in_schema && self.name.meets(&other.name)
    }

    /// Whether it stands for one name only.
    pub fn is_exact(&self) -> bool {
        self.name.0.len() == 1 && self.schema.as_ref().is_none_or(|glob| glob.0.len() == 1)
    }

    /// The schema and the name that it stands for, `%` for any characters and with `\` before what LIKE would take for
    /// more; the schema is none for the default one.
    pub fn to_like(&self) -> (Option<String>, String) {
        (self.schema.as_ref().map(Glob::to_like), self.name.to_like())
    }
}

impl Glob {
    pub(super) fn any() -> Self {
        Self(vec![String::new(), String::new()])
    }

    fn exactly(name: &str) -> Self {
        Self(vec![name.to_owned()])
    }

    fn matches(&self, text: &str) -> bool {
        let [first, middle @ .., last] = self.0.as_slice() else {
            return self.0.first().is_some_and(|only| only == text);
        };
        let Some(mut rest) = text
            .strip_prefix(first.as_str())
            .and_then(|rest| rest.strip_suffix(last.as_str()))
        else {
            return false;
        };
        for part in middle {
            match rest.split_once(part.as_str()) {
                Some((_, after)) => rest = after,
                None => return false,
            }
        }
        true
    }

    /// As [`Glob::matches`], where the other's wildcards are characters that only a wildcard stands for.
    fn covers(&self, other: &Self) -> bool {
        // No name has it: the parser takes none, and servers refuse it.
        const WILD: &str = "\0";
        self.matches(&other.0.join(WILD))
    }

    fn meets(&self, other: &Self) -> bool {
        match (self.0.as_slice(), other.0.as_slice()) {
            ([name], _) => other.matches(name),
            (_, [name]) => self.matches(name),
            ([first, .., last], [other_first, .., other_last]) => {
                let starts = first.starts_with(other_first.as_str())
                    || other_first.starts_with(first.as_str());
                let ends =
                    last.ends_with(other_last.as_str()) || other_last.ends_with(last.as_str());
                starts && ends
            }
            _ => false,
        }
    }

    fn to_like(&self) -> String {
        let parts: Vec<String> = self
            .0
            .iter()
            .map(|part| {
                part.replace('\\', "\\\\")
                    .replace('%', "\\%")
                    .replace('_', "\\_")
            })
            .collect();
        parts.join("%")
    }
}

/// Writes a name as SQL has it, in quotes where it would be read as something else; `wild` are the places, in bytes, of
/// stars that are wildcards.
pub(super) fn write_name(f: &mut fmt::Formatter<'_>, name: &str, wild: &[usize]) -> fmt::Result {
    let plain = name.char_indices().all(|(at, c)| {
        wild.contains(&at)
            || c == '_'
            || c.is_ascii_lowercase()
            || (!c.is_ascii() && c.is_alphanumeric() && !c.is_uppercase())
            || (at > 0 && (c.is_ascii_digit() || c == '$'))
    });
    if plain && !name.is_empty() {
        return f.write_str(name);
    }
    f.write_str("\"")?;
    for (at, c) in name.char_indices() {
        match c {
            '"' => f.write_str("\"\"")?,
            // A star in quotes is a wildcard as well; a real one is escaped.
            '*' if !wild.contains(&at) => f.write_str("\\*")?,
            '\\' => f.write_str("\\\\")?,
            c => write!(f, "{c}")?,
        }
    }
    f.write_str("\"")
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut wild = Vec::new();
        let mut text = String::new();
        for (at, part) in self.0.iter().enumerate() {
            if at > 0 {
                wild.push(text.len());
                text.push('*');
            }
            text.push_str(part);
        }
        write_name(f, &text, &wild)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{schema}.")?;
        }
        write!(f, "{}", self.name)
    }
}
