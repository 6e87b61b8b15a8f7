//! What came of a request.

use serde::Serialize;

use crate::capability::{Capabilities, Capability, Grant, Limits, Reach};
use crate::signature::VoidSignature;

/// What a SQL file may do under a policy without asking: data and definitions in the default schema, and no code, no
/// function beyond the safe ones, no rights of others, no extension.
pub const SQL_DEFAULT: &str = "select *; insert *; update *; delete *; truncate *; \
    create table *; alter table *; drop table *; create index on *; alter index *; drop index *; \
    create sequence *; alter sequence *; drop sequence *; create type *; alter type *; drop type *; \
    create statistics *; alter statistics *; drop statistics *";

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What the migration may do, if it is admitted.
    pub grant: Grant,
    /// What it asks for and no rule grants.
    pub missing: Capabilities,
    /// What it asks for and a rule denies altogether.
    pub denied: Vec<Denied>,
    /// Why the component counts as not signed, though there is a signature.
    pub void: Option<VoidSignature>,
}

/// A part of a request that a rule denies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Denied {
    /// What was asked for.
    #[serde(serialize_with = "text")]
    pub asked: Capability,
    /// What the rule says.
    #[serde(serialize_with = "text")]
    pub rule: Capability,
}

fn text<S: serde::Serializer>(capability: &Capability, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(capability)
}

impl Decision {
    /// Whether the migration may run.
    pub fn is_admitted(&self) -> bool {
        self.missing.is_empty() && self.denied.is_empty()
    }

    /// Why not, in one sentence each.
    pub fn reasons(&self) -> Vec<String> {
        let denied = self.denied.iter().map(|Denied { asked, rule }| {
            format!("asks for `{asked}`; the policy denies `{rule}`")
        });
        let missing = self
            .missing
            .iter()
            .map(|asked| format!("asks for `{asked}`, which no rule of the policy grants"));
        let mut reasons: Vec<String> = denied.chain(missing).collect();
        // A signature that counts would not have helped whoever may run, and may help whoever may not.
        if let (Some(why), false) = (self.void, reasons.is_empty()) {
            reasons.push(format!("has a signature that counts for nothing: it {why}"));
        }
        reasons
    }

    pub(super) fn of(
        request: &Capabilities,
        granted: &Capabilities,
        denied: Capabilities,
        limits: Limits,
    ) -> Self {
        let refused: Vec<Denied> = request
            .iter()
            .filter_map(|asked| {
                let rule = denied.iter().find(|rule| rule.covers(asked))?;
                Some(Denied {
                    asked: asked.clone(),
                    rule: rule.clone(),
                })
            })
            .collect();
        let missing = request
            .iter()
            .filter(|asked| !granted.cover(asked))
            .cloned()
            .collect();
        Self {
            grant: Grant {
                reach: Reach::Only(request.clone()),
                denied,
                limits,
                ..Grant::default()
            },
            missing,
            denied: refused,
            void: None,
        }
    }

    pub(super) fn without_request(
        granted: Capabilities,
        denied: Capabilities,
        limits: Limits,
    ) -> Self {
        Self {
            grant: Grant {
                reach: Reach::Only(granted),
                denied,
                limits,
                ..Grant::default()
            },
            missing: Capabilities::NONE,
            denied: Vec::new(),
            void: None,
        }
    }
}
