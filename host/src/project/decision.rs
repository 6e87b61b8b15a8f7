//! What a project's migrations may do: what they ask for, by the policy where there is one.

use camino::Utf8Path;

use super::{Project, ProjectError, RequestError};
use crate::capability::{Capabilities, Grant, Limits};
use crate::config::Config;
use crate::migration::PrepareError;
use crate::policy::{Decision, Facts, POLICY_FILE, Policy, PolicyError, Subject};
use crate::revision::RevisionId;
use crate::source::{Body, Files};

/// What to do where a policy does not allow what is asked for.
pub const ASK_THE_OPERATOR: &str =
    "have it ask for less in its [capabilities], or have a rule in the policy grant it";

impl Project {
    /// The rules that its migrations are held to, where there are any.
    pub fn policy(&self) -> Option<&Policy> {
        self.policy.as_ref()
    }

    /// Holds the migrations to rules. For programs that have no `policy.toml`.
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// What a revision may do. Without a policy a component may do exactly what its manifest asks for, and a SQL file
    /// everything that SQL files can.
    ///
    /// # Errors
    /// [`RequestError::Unknown`].
    pub fn decision(&self, revision: &RevisionId) -> Result<Decision, RequestError> {
        let migrations = self.migrations();
        let source = migrations
            .get(revision.as_str())
            .ok_or_else(|| RequestError::Unknown(revision.clone()))?;
        let admitted = |grant| Decision {
            grant,
            missing: Capabilities::NONE,
            denied: Vec::new(),
        };
        let Some(policy) = &self.policy else {
            return Ok(admitted(match &source.body {
                Body::Component(component) => component.manifest().grant(),
                Body::Sql(_) => Grant::everything(),
            }));
        };
        let labels = match policy.asks_for_labels() {
            true => self.labels_at(revision),
            false => &[],
        };
        let facts = |subject| Facts {
            revision: revision.as_str(),
            labels,
            subject,
        };
        Ok(match &source.body {
            Body::Component(component) => {
                let path = component.path();
                // A component that cannot be read has no digest that a rule could name.
                let digest = component.digest().map(|digest| digest.to_string());
                let subject = Subject::Component {
                    path: path.as_str(),
                    digest: digest.as_deref().unwrap_or_default(),
                };
                let manifest = component.manifest();
                let request = &manifest.capabilities.capabilities;
                policy.decide(&facts(subject), Some(request), manifest.limits)
            }
            Body::Sql(file) => {
                let path = source.revision.path.as_str();
                policy.decide(
                    &facts(Subject::Sql { path }),
                    file.request(),
                    Limits::default(),
                )
            }
        })
    }

    fn labels_at(&self, revision: &RevisionId) -> &[String] {
        let labels = self.labels.get_or_init(|| {
            let labels = self.graph.branch_labels().into_iter();
            labels
                .map(|labels| labels.into_iter().map(str::to_owned).collect())
                .collect()
        });
        let at = self.graph.position(revision.as_str());
        at.and_then(|at| labels.get(at.index()))
            .map_or(&[], Vec::as_slice)
    }

    /// Refuses revisions that ask for more than the policy allows, before any of them runs.
    pub(super) fn check_policy(&self, revisions: &[&RevisionId]) -> Result<(), PrepareError> {
        let mut reasons = Vec::new();
        let mut first = None;
        for &revision in revisions {
            let Ok(decision) = self.decision(revision) else {
                continue;
            };
            if !decision.is_admitted() {
                first.get_or_insert(revision);
                let found = decision.reasons().into_iter();
                reasons.extend(found.map(|reason| format!("{revision} {reason}")));
            }
        }
        match first {
            None => Ok(()),
            Some(revision) => Err(PrepareError::Refused {
                revision: revision.clone(),
                reason: reasons.join("; "),
                remedy: ASK_THE_OPERATOR.to_owned(),
            }),
        }
    }
}

/// The policy of a project on disk: the file that its settings name, which must be there, or else [`POLICY_FILE`] where
/// there is one.
pub(super) fn read(config: &Config) -> Result<Option<Policy>, ProjectError> {
    let path = config.policy().unwrap_or(Utf8Path::new(POLICY_FILE));
    let failed = |source: PolicyError| ProjectError::Policy {
        path: path.to_owned(),
        source,
    };
    let text = match Files::read(&*config.root, path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && config.policy().is_none() => {
            return Ok(None);
        }
        Err(error) => {
            return Err(failed(PolicyError {
                line: None,
                message: format!("it cannot be read: {error}"),
            }));
        }
    };
    let text = String::from_utf8(text).map_err(|_| {
        failed(PolicyError {
            line: None,
            message: "it is not valid UTF-8".to_owned(),
        })
    })?;
    Policy::parse(&text).map(Some).map_err(failed)
}
