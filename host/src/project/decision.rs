//! What a project's migrations may do: what they ask for, by the policy where there is one.

use std::sync::{Arc, OnceLock, RwLock};

use super::{Project, RequestError};
use crate::capability::{Capabilities, Grant, Limits};
use crate::migration::{MigrationError, PrepareError};
use crate::policy::{Decision, Facts, Policy, Rule, Subject};
use crate::revision::RevisionId;
use crate::signature::Signature;
use crate::source::{Body, SourceError, SourceRevision};

/// What to do where a policy does not allow what is asked for.
pub const ASK_THE_OPERATOR: &str =
    "have it ask for less in its [capabilities], or have a rule in the policy grant it";

impl Project {
    /// The rules that its migrations are held to, where there are any.
    pub fn policy(&self) -> Option<&Policy> {
        self.policy.as_ref()
    }

    /// Holds the migrations to rules, in the place of those of a `policy.toml`. For programs that bring their own.
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// The same migrations, held to rules.
    pub(crate) fn under(&self, policy: Policy) -> Self {
        Self {
            files: Arc::clone(&self.files),
            folders: self.folders.clone(),
            migrations: RwLock::new(self.migrations()),
            graph: Arc::clone(&self.graph),
            runtime: self.runtime.clone(),
            policy: Some(policy),
            labels: OnceLock::new(),
            unsettled: None,
        }
    }

    /// What a revision may do. Without a policy a component may do exactly what its manifest asks for, and a SQL file
    /// everything that SQL files can.
    ///
    /// # Errors
    /// [`RequestError::Unknown`], [`RequestError::Unreadable`] where a rule knows components by their digests, and
    /// [`RequestError::Signature`] where the policy has signers.
    pub fn decision(&self, revision: &RevisionId) -> Result<Decision, RequestError> {
        let migrations = self.migrations();
        let source = migrations
            .get(revision.as_str())
            .ok_or_else(|| RequestError::Unknown(revision.clone()))?;
        let admitted = |grant| Decision {
            grant,
            missing: Capabilities::NONE,
            denied: Vec::new(),
            void: None,
        };
        let Some(policy) = &self.policy else {
            return Ok(admitted(match &source.body {
                Body::Component(component) => component.manifest().grant(),
                Body::Sql(_) => Grant::everything(),
            }));
        };
        self.with_facts(policy, source, |facts| match &source.body {
            Body::Component(component) => {
                let manifest = component.manifest();
                let request = &manifest.capabilities.capabilities;
                policy.decide(facts, Some(request), manifest.limits)
            }
            Body::Sql(file) => policy.decide(facts, file.request(), Limits::NONE),
        })
    }

    /// The rules that are about none of the migrations: those of which something else was meant, or that have had their day.
    ///
    /// # Errors
    /// As [`Project::decision`].
    pub fn idle_rules(&self) -> Result<Vec<&Rule>, RequestError> {
        let Some(policy) = &self.policy else {
            return Ok(Vec::new());
        };
        let mut idle: Vec<&Rule> = policy.rules.iter().collect();
        for source in self.migrations().iter() {
            self.with_facts(policy, source, |facts| {
                idle.retain(|rule| !rule.matches(facts));
            })?;
        }
        Ok(idle)
    }

    /// Who signed a migration by the keys of the policy. Nobody signs SQL files.
    pub(super) fn signature(&self, body: &Body) -> Result<Signature, SourceError> {
        match (body, &self.policy) {
            (Body::Component(component), Some(policy)) if policy.asks_for_signatures() => {
                component.signature(&policy.signers)
            }
            _ => Ok(Signature::Absent),
        }
    }

    /// Tells what rules may ask of a migration. Its component is read only for rules that know it by its digest, and where
    /// there is a signature to hold against it.
    fn with_facts<T>(
        &self,
        policy: &Policy,
        source: &SourceRevision,
        ask: impl FnOnce(&Facts<'_>) -> T,
    ) -> Result<T, RequestError> {
        let revision = &source.revision.id;
        let labels = match policy.asks_for_labels() {
            true => self.labels_at(revision),
            false => &[],
        };
        let path = match &source.body {
            Body::Component(component) => component.path(),
            Body::Sql(_) => source.revision.path.clone(),
        };
        let path = path.as_str();
        let signature = self
            .signature(&source.body)
            .map_err(RequestError::Signature)?;
        let subject = match &source.body {
            Body::Component(component) => Subject::Component {
                path,
                digest: match policy.asks_for_digests() {
                    true => Some(component.digest().map_err(RequestError::Unreadable)?),
                    false => None,
                },
                signature: &signature,
            },
            Body::Sql(_) => Subject::Sql { path },
        };
        Ok(ask(&Facts {
            revision: revision.as_str(),
            labels,
            subject,
        }))
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
            let decision = self
                .decision(revision)
                .map_err(|error| PrepareError::Load {
                    revision: revision.clone(),
                    source: Box::new(MigrationError::Admission {
                        reasons: vec![error.to_string()],
                    }),
                })?;
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
