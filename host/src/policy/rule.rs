//! One rule: whom it is about, and what it says of them.

use serde::{Deserialize, Deserializer};

use super::{Cap, ComponentPattern, NamePattern, SignerPattern};
use crate::capability::Capabilities;
use crate::digest::Digest;
use crate::signature::{Signature, Signers};

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
        /// Its digest. A policy that [asks for digests](super::Policy::asks_for_digests) has to be told.
        digest: Option<Digest>,
        /// Its signature. A policy that [asks for signatures](super::Policy::asks_for_signatures) has to be told.
        signature: &'a Signature,
    },
    /// A SQL file.
    Sql {
        /// The file, relative to the project.
        path: &'a str,
    },
}

impl<'a> Facts<'a> {
    /// Its signature. SQL files have none.
    pub(super) fn signature(&self) -> &'a Signature {
        match self.subject {
            Subject::Component { signature, .. } => signature,
            Subject::Sql { .. } => &Signature::Absent,
        }
    }
}

/// One rule. It is about the migrations that meet all of its conditions; without any, about all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The 1-based line of the policy that it starts in, where it was read from one.
    #[serde(skip)]
    pub line: Option<u32>,
    /// Ids; one of them must fit.
    #[serde(default, deserialize_with = "some")]
    pub revisions: Option<Vec<NamePattern>>,
    /// Labels; one of them must fit one of the revision's.
    #[serde(default, deserialize_with = "some")]
    pub labels: Option<Vec<NamePattern>>,
    /// `component` or `sql`.
    pub kind: Option<RuleKind>,
    /// Components; one of them must fit.
    #[serde(default, deserialize_with = "some")]
    pub components: Option<Vec<ComponentPattern>>,
    /// Names of keys; the component's signature must verify under one of those that fit.
    #[serde(default, deserialize_with = "some")]
    pub signers: Option<Vec<SignerPattern>>,
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
fn some<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<Option<Vec<T>>, D::Error> {
    let list = Vec::<T>::deserialize(from)?;
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
        let kind = match self.kind {
            None => true,
            Some(RuleKind::Component) => matches!(facts.subject, Subject::Component { .. }),
            Some(RuleKind::Sql) => matches!(facts.subject, Subject::Sql { .. }),
        };
        let revision = self.revisions.as_ref().is_none_or(|patterns| {
            let mut patterns = patterns.iter();
            patterns.any(|pattern| pattern.fits(facts.revision))
        });
        let labels = self.labels.as_ref().is_none_or(|patterns| {
            let mut labels = facts.labels.iter();
            labels.any(|label| patterns.iter().any(|pattern| pattern.fits(label)))
        });
        let component = match (&self.components, facts.subject) {
            (None, _) => true,
            (Some(_), Subject::Sql { .. }) => false,
            (Some(patterns), Subject::Component { path, digest, .. }) => {
                patterns.iter().any(|pattern| pattern.fits(path, digest))
            }
        };
        let signer = self.signers.as_ref().is_none_or(|patterns| {
            let mut signers = facts.signature().signers().iter();
            signers.any(|signer| patterns.iter().any(|pattern| pattern.fits(signer)))
        });
        kind && revision && labels && component && signer
    }

    /// Whether it knows components by their digests.
    pub(super) fn asks_for_digests(&self) -> bool {
        let mut patterns = self.components.iter().flatten();
        patterns.any(|pattern| matches!(pattern, ComponentPattern::Digest(_)))
    }

    /// What is wrong with it as a whole.
    pub(super) fn mistake(&self, signers: &Signers) -> Option<String> {
        let says_nothing =
            self.grant.is_empty() && self.deny.is_empty() && self.cap == Cap::default();
        if self.kind == Some(RuleKind::Sql) && self.components.is_some() {
            return Some(
                "a SQL file has no component: leave out `components`, or kind = \"sql\"".to_owned(),
            );
        }
        if self.kind == Some(RuleKind::Sql) && self.signers.is_some() {
            return Some(
                "a SQL file has no signer: leave out `signers`, or kind = \"sql\"".to_owned(),
            );
        }
        let mut patterns = self.signers.iter().flatten();
        if let Some(mistake) = patterns.find_map(|pattern| pattern.mistake(signers)) {
            return Some(mistake);
        }
        says_nothing
            .then(|| "the rule says nothing: give it a `grant`, a `deny` or a `cap`".to_owned())
    }
}
