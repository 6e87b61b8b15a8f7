//! Which migrations a rule is about: by the names of revisions and branches, by components, and by who signed them.

use serde::Deserialize;
use thiserror::Error;

use crate::digest::Digest;
use crate::document::nearest;
use crate::printable;
use crate::revision::check_name;
use crate::signature::Signers;

/// A pattern that nothing can fit.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` {problem}")]
pub struct InvalidPattern {
    /// The pattern.
    pub text: String,
    /// What is wrong with it, and what to write instead.
    pub problem: String,
}

fn invalid(text: String, problem: impl Into<String>) -> InvalidPattern {
    InvalidPattern {
        text,
        problem: problem.into(),
    }
}

/// Ids or labels, with `*` for any characters.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct NamePattern(String);

impl NamePattern {
    /// Whether a name is one of them.
    pub fn fits(&self, name: &str) -> bool {
        fits(&self.0, name)
    }
}

impl TryFrom<String> for NamePattern {
    type Error = InvalidPattern;

    fn try_from(text: String) -> Result<Self, InvalidPattern> {
        if let Some((branch, _)) = text.split_once('@') {
            let problem = format!(
                "is a target; rules know whole ids, and branches by their labels: write labels = [\"{branch}\"]"
            );
            return Err(invalid(text, problem));
        }
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '*');
        let is_name = match text.contains('*') {
            true => text.chars().all(is_part),
            false => check_name(&text).is_ok(),
        };
        match is_name {
            true => Ok(Self(text)),
            false => Err(invalid(
                text,
                "is no id and no label: write it as it stands in the migration, with `*` for any characters, or leave the \
                 key out to mean all",
            )),
        }
    }
}

/// Components.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum ComponentPattern {
    /// The one with this digest: `sha256:` and what `sha256sum` prints.
    Digest(Digest),
    /// Those whose file, relative to the project, has such a path, with `*` for any characters.
    Path(String),
}

impl ComponentPattern {
    /// Whether a component is one of them.
    pub fn fits(&self, path: &str, digest: Option<Digest>) -> bool {
        match self {
            Self::Digest(wanted) => digest == Some(*wanted),
            Self::Path(pattern) => fits(pattern, path),
        }
    }
}

impl TryFrom<String> for ComponentPattern {
    type Error = InvalidPattern;

    fn try_from(text: String) -> Result<Self, InvalidPattern> {
        const DIGEST: &str = "write `sha256:` and the 64 hexadecimal digits that `sha256sum` prints for the component";
        if let Some(digits) = text.strip_prefix("sha256:") {
            return match digits.parse() {
                Ok(digest) => Ok(Self::Digest(digest)),
                Err(_) => Err(invalid(text, format!("is no digest: {DIGEST}"))),
            };
        }
        let algorithm = text
            .split_once(':')
            .map(|(before, _)| before.to_ascii_lowercase());
        if text.parse::<Digest>().is_ok() || algorithm.is_some_and(|name| name.starts_with("sha")) {
            return Err(invalid(text, format!("is no path: {DIGEST}")));
        }
        match text.split('/').any(|part| matches!(part, "" | "." | "..")) {
            true => Err(invalid(
                text,
                "is the path of no component: write it from the project's folder on, without `.` and `..`, as \
                 `migrations/*/migration.wasm`",
            )),
            false => Ok(Self::Path(text)),
        }
    }
}

/// Names of keys in `[signers]`, with `*` for any characters.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct SignerPattern(String);

impl SignerPattern {
    /// Whether a name is one of them.
    pub fn fits(&self, name: &str) -> bool {
        fits(&self.0, name)
    }

    /// What is wrong with it, where it fits none of the names that there are.
    pub(super) fn mistake(&self, signers: &Signers) -> Option<String> {
        if signers.names().any(|name| self.fits(name)) {
            return None;
        }
        let pattern = printable::line(&self.0);
        let hint = match nearest(&self.0, signers.names()) {
            Some(name) => format!("did you mean `{name}`?"),
            None => "write its minisign public key there".to_owned(),
        };
        Some(format!("no key in [signers] is called `{pattern}`; {hint}"))
    }
}

/// Whether a text is what a pattern describes, in which `*` stands for any characters.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, text) in [
            ("*", ""),
            ("5b*", "5b61"),
            ("*61", "5b61"),
            ("5*6*", "5b61"),
            ("a*a", "aa"),
            ("**", "x"),
        ] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("5b", "5b61"),
            ("b*", "5b61"),
            ("a*a", "a"),
            ("", "x"),
            ("a*b*c", "acb"),
        ] {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
    }
}
