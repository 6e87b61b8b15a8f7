//! One rule: whom it is about, and what it says of them.

use serde::{Deserialize, Deserializer};

use super::Cap;
use crate::capability::Capabilities;

/// What a policy is told of a migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts<'a> {
    /// Its revision's id.
    pub revision: &'a str,
    /// Labels of the branches that it is on.
    pub labels: &'a [String],
    /// What it is.
    pub subject: Subject<'a>,
}

/// What a migration is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject<'a> {
    /// A component.
    Component {
        /// Its file, relative to the project.
        path: &'a str,
        /// Its SHA-256, in hexadecimal.
        digest: &'a str,
    },
    /// A SQL file.
    Sql {
        /// The file, relative to the project.
        path: &'a str,
    },
}

/// One rule. It is about the migrations that meet all of its conditions; without any, about all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Ids, with `*` for any characters; one of them must fit.
    #[serde(default, deserialize_with = "some")]
    pub revisions: Option<Vec<String>>,
    /// Labels, with `*`; one of them must fit one of the revision's.
    #[serde(default, deserialize_with = "some")]
    pub labels: Option<Vec<String>>,
    /// `component` or `sql`.
    pub kind: Option<RuleKind>,
    /// Components, by the path of their file, with `*`, or by `sha256:` and digest; one of them must fit.
    #[serde(default, deserialize_with = "some")]
    pub components: Option<Vec<String>>,
    /// What is allowed.
    #[serde(default)]
    pub grant: Capabilities,
    /// What is not, whatever else allows it.
    #[serde(default)]
    pub deny: Capabilities,
    /// The most of it.
    #[serde(default)]
    pub cap: Cap,
}

/// What kind of migration a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleKind {
    /// Components.
    Component,
    /// SQL files.
    Sql,
}

/// An empty list would be about nothing, which nobody means.
fn some<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<String>>, D::Error> {
    let list = Vec::<String>::deserialize(from)?;
    match list.is_empty() {
        true => Err(serde::de::Error::custom(
            "the list is empty, so that no migration fits; leave the key out to mean all",
        )),
        false => Ok(Some(list)),
    }
}

impl Rule {
    /// Whether it is about a migration.
    pub fn matches(&self, facts: &Facts<'_>) -> bool {
        let any = |patterns: &Option<Vec<String>>, text: &str| {
            patterns
                .as_ref()
                .is_none_or(|patterns| patterns.iter().any(|pattern| fits(pattern, text)))
        };
        let kind = match self.kind {
            None => true,
            Some(RuleKind::Component) => matches!(facts.subject, Subject::Component { .. }),
            Some(RuleKind::Sql) => matches!(facts.subject, Subject::Sql { .. }),
        };
        let labels =
            self.labels.is_none() || facts.labels.iter().any(|label| any(&self.labels, label));
        let component = match (&self.components, facts.subject) {
            (None, _) => true,
            (Some(_), Subject::Sql { .. }) => false,
            (Some(patterns), Subject::Component { path, digest }) => {
                patterns
                    .iter()
                    .any(|pattern| match pattern.strip_prefix("sha256:") {
                        Some(wanted) => !digest.is_empty() && wanted.eq_ignore_ascii_case(digest),
                        None => fits(pattern, path),
                    })
            }
        };
        kind && labels && component && any(&self.revisions, facts.revision)
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
