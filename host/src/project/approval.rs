//! What the migrations of a project ask for, beside what an operator has approved of it.

use super::{BuildFailure, Project};
use crate::capability::{Capabilities, Limits};
use crate::config::Root;
use crate::digest::Digest;
use crate::migration::{PrepareError, Standing};
use crate::revision::{Direction, RevisionId};
use crate::signature::Signature;
use crate::source::{Approval, Body, Lock, SourceError, SourceRevision};

/// What one revision asks for, and what was last approved of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Petition {
    /// The revision.
    pub revision: RevisionId,
    /// Of what would run.
    pub digest: Digest,
    /// What it asks for; `None` for a SQL file that does not say: all that a SQL file may do, or under a policy what that
    /// gives it.
    pub request: Option<Capabilities>,
    /// What a call of it may use by its manifest; the defaults for a SQL file.
    pub limits: Limits,
    /// What the policy lowers of what a call of it may use, as a manifest spells it: the name, and to how much.
    pub caps: Vec<(&'static str, String)>,
    /// What the policy has against it.
    pub objections: Vec<String>,
    /// Who signed it, by the keys of the policy.
    pub signature: Signature,
    /// The last approval, be it for this content or for an earlier one.
    pub approval: Option<Approval>,
}

/// Whether what runs must have been approved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Approvals {
    Needed,
    NotNeeded,
}

impl Petition {
    fn of(project: &Project, source: &SourceRevision, lock: &Lock) -> Result<Self, SourceError> {
        let decision = project.decision(&source.revision.id);
        let (limits, uncapped) = match &source.body {
            Body::Sql(_) => (Limits::default(), Limits::NONE),
            Body::Component(component) => {
                let limits = component.manifest().limits;
                (limits, limits)
            }
        };
        Ok(Self {
            revision: source.revision.id.clone(),
            digest: source.digest()?,
            request: match &source.body {
                Body::Sql(file) => file.request().cloned(),
                Body::Component(component) => {
                    Some(component.manifest().capabilities.capabilities.clone())
                }
            },
            limits,
            caps: decision.as_ref().map_or_else(
                |_| Vec::new(),
                |decision| decision.grant.limits.differing(&uncapped),
            ),
            objections: decision.map_or_else(
                |error| vec![error.to_string()],
                |decision| decision.reasons(),
            ),
            signature: project.signature(&source.body)?,
            approval: lock.approval(source.revision.id.as_str()).cloned(),
        })
    }

    /// Whether it is approved: for exactly this content, and for all that it asks for.
    pub fn is_approved(&self) -> bool {
        self.refusal().is_none()
    }

    /// Why it is not approved; `None` where it is.
    pub fn refusal(&self) -> Option<String> {
        let Some(approval) = &self.approval else {
            return Some("it is not approved".to_owned());
        };
        let beyond = self.beyond(approval);
        if !beyond.is_empty() {
            return Some(format!(
                "it asks for more than is approved: {}",
                beyond.join("; ")
            ));
        }
        (approval.digest != self.digest)
            .then(|| "it is not the content that was approved".to_owned())
    }

    /// What a plan says of it. Downgrades need no approval.
    pub(super) fn standing(&self, direction: Direction, approvals: Approvals) -> Standing {
        let mut obstacles: Vec<String> = self
            .objections
            .iter()
            .map(|objection| format!("it {objection}"))
            .collect();
        if direction == Direction::Upgrade && approvals == Approvals::Needed && obstacles.is_empty()
        {
            obstacles.extend(self.refusal());
        }
        Standing {
            request: self
                .request
                .as_ref()
                .map(|request| request.iter().map(ToString::to_string).collect()),
            obstacles,
        }
    }

    fn capabilities_beyond(&self, approval: &Approval) -> Vec<String> {
        match (&self.request, &approval.capabilities) {
            (_, None) => Vec::new(),
            (None, Some(_)) => vec!["everything".to_owned()],
            (Some(request), Some(approved)) => request
                .iter()
                .filter(|asked| !approved.cover(asked))
                .map(ToString::to_string)
                .collect(),
        }
    }

    /// What it asks for beyond an approval.
    fn beyond(&self, approval: &Approval) -> Vec<String> {
        let limits = self.limits.beyond(&approval.limits);
        let limits = limits
            .into_iter()
            .map(|(name, asked, approved)| format!("{name} {asked} where {approved} is approved"));
        self.capabilities_beyond(approval)
            .into_iter()
            .chain(limits)
            .collect()
    }
}

impl Project {
    /// What revisions ask for, beside their last approvals.
    ///
    /// # Errors
    /// A lock file or a migration that cannot be read.
    pub fn petitions(
        &self,
        root: &Root,
        revisions: &[&RevisionId],
    ) -> Result<Vec<Petition>, BuildFailure> {
        let lock = Lock::read(root)?;
        let migrations = self.migrations();
        revisions
            .iter()
            .filter_map(|id| migrations.get(id.as_str()))
            .map(|source| Ok(Petition::of(self, source, &lock)?))
            .collect()
    }

    /// What one revision asks for, beside its last approval.
    ///
    /// # Errors
    /// As [`Project::petitions`]; `None` for a revision that no migration has.
    pub fn petition(&self, revision: &RevisionId) -> Result<Option<Petition>, BuildFailure> {
        let lock = Lock::read(&*self.files)?;
        let migrations = self.migrations();
        let source = migrations.get(revision.as_str());
        Ok(source
            .map(|source| Petition::of(self, source, &lock))
            .transpose()?)
    }

    /// Approves what was read, as it was read: a migration that has changed since is not approved by it.
    ///
    /// # Errors
    /// A lock file that cannot be read or written.
    pub fn approve(&self, root: &Root, petitions: &[Petition]) -> Result<(), BuildFailure> {
        let mut lock = Lock::read(root)?;
        for petition in petitions {
            lock.approve(
                petition.revision.clone(),
                Approval {
                    digest: petition.digest,
                    capabilities: petition.request.clone(),
                    limits: petition.limits,
                },
            );
        }
        Ok(lock.write(root)?)
    }
}

/// Refuses revisions that are not approved.
pub(super) fn check(
    project: &Project,
    lock: &Lock,
    sources: &[&SourceRevision],
) -> Result<(), PrepareError> {
    let mut refused = Vec::new();
    for source in sources {
        let petition = Petition::of(project, source, lock)
            .map_err(|error| PrepareError::Build(std::sync::Arc::new(BuildFailure::from(error))))?;
        if let Some(why) = petition.refusal() {
            refused.push((petition.revision, why));
        }
    }
    let Some(((first, why), others)) = refused.split_first() else {
        return Ok(());
    };
    let mut reason = why.clone();
    let mut command = format!("whimbrel approve {first}");
    for (revision, why) in others {
        reason.push_str(&format!("; revision {revision}: {why}"));
        command.push_str(&format!(" {revision}"));
    }
    Err(PrepareError::Refused {
        revision: first.clone(),
        reason,
        remedy: format!("read what is asked for and approve it: `{command}`"),
    })
}
