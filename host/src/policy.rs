//! What the operator allows: rules, and what they make of a request. Pure.
//!
//! ```
//! use whimbrel::capability::Limits;
//! use whimbrel::policy::{Facts, Policy, Subject};
//! use whimbrel::signature::Signature;
//!
//! let policy = Policy::parse(
//!     "[[rule]]\nkind = \"component\"\ngrant = [\"select users\"]\ndeny = [\"select users(password)\"]\n",
//! )?;
//! let subject = Subject::Component { path: "migrations/5b61/migration.wasm", digest: None, signature: &Signature::Absent };
//! let facts = Facts { revision: "5b61", labels: &[], subject };
//! let asked = "select users(id)".parse()?;
//! assert!(policy.decide(&facts, Some(&asked), Limits::default()).is_admitted());
//! let asked = "select users(password); delete users".parse()?;
//! let decision = policy.decide(&facts, Some(&asked), Limits::default());
//! assert_eq!((decision.missing.iter().count(), decision.denied.len()), (1, 1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cap;
mod condition;
mod decision;
mod rule;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::Deserialize;
use thiserror::Error;
use toml::Spanned;

pub use cap::Cap;
pub use condition::{ComponentPattern, InvalidPattern, NamePattern, SignerPattern};
pub use decision::{Decision, SQL_DEFAULT};
pub use rule::{Facts, Rule, Subject};

use crate::capability::{Capabilities, Limits};
use crate::document::{self, DocumentError, line_at};
use crate::signature::Signers;

/// The file that a project's policy is in, unless its settings name another.
pub const POLICY_FILE: &str = "policy.toml";

/// Why a policy cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}{message}", .line.map(|line| format!("line {line}: ")).unwrap_or_default())]
pub struct PolicyError {
    /// The 1-based line, where it is known.
    pub line: Option<u32>,
    /// The mistake.
    pub message: String,
}

/// The rules of an operator. All that match a migration count together, whatever their order; what one of them denies no
/// other one allows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// The rules.
    pub rules: Vec<Rule>,
    /// The keys that rules know by name.
    pub signers: Signers,
}

/// A policy as it stands on disk.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyFile {
    #[serde(default)]
    signers: BTreeMap<String, Spanned<String>>,
    #[serde(default, rename = "rule")]
    rules: Vec<Spanned<Rule>>,
}

impl Policy {
    /// Reads a policy.
    ///
    /// # Errors
    /// [`PolicyError`] names the line.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let file: PolicyFile = document::parse(text)
            .map_err(|DocumentError { line, message }| PolicyError { line, message })?;
        let mut signers = Signers::default();
        for (name, key) in &file.signers {
            signers
                .add(name, key.get_ref())
                .map_err(|error| PolicyError {
                    line: Some(line_at(text, key.span().start)),
                    message: error.to_string(),
                })?;
        }
        let rules = file.rules.into_iter().map(|rule| {
            let line = Some(line_at(text, rule.span().start));
            let rule = Rule {
                line,
                ..rule.into_inner()
            };
            match rule.mistake(&signers) {
                None => Ok(rule),
                Some(mistake) => Err(PolicyError {
                    line,
                    message: mistake,
                }),
            }
        });
        Ok(Self {
            rules: rules.collect::<Result<_, _>>()?,
            signers,
        })
    }

    /// Whether a rule looks at the labels of a migration.
    pub fn asks_for_labels(&self) -> bool {
        self.rules.iter().any(|rule| rule.labels.is_some())
    }

    /// Whether a rule looks at the digests of components.
    pub fn asks_for_digests(&self) -> bool {
        self.rules.iter().any(Rule::asks_for_digests)
    }

    /// Whether it looks at who signed components: for its rules, or to say so.
    pub fn asks_for_signatures(&self) -> bool {
        !self.signers.is_empty()
    }

    /// What the rules make of a request. A component without one asks for nothing; a SQL file without one gets
    /// [`SQL_DEFAULT`], and what rules grant. One that asks for less than that gets what it asks for.
    pub fn decide(
        &self,
        facts: &Facts<'_>,
        request: Option<&Capabilities>,
        limits: Limits,
    ) -> Decision {
        let matching = || self.rules.iter().filter(|rule| rule.matches(facts));
        let mut granted: Capabilities = matching()
            .flat_map(|rule| rule.grant.iter())
            .cloned()
            .collect();
        if matches!(facts.subject, Subject::Sql { .. }) {
            // A test reads it.
            granted.extend(SQL_DEFAULT.parse().unwrap_or(Capabilities::NONE));
        }
        let denied: Capabilities = matching()
            .flat_map(|rule| rule.deny.iter())
            .cloned()
            .collect();
        let limits = matching().fold(limits, |limits, rule| rule.cap.apply(limits));
        let decision = match (facts.subject, request) {
            (Subject::Sql { .. }, None) => Decision::without_request(granted, denied, limits),
            (_, request) => Decision::of(
                request.unwrap_or(&Capabilities::NONE),
                &granted,
                denied,
                limits,
            ),
        };
        Decision {
            void: facts.signature().void(),
            ..decision
        }
    }
}
