//! Why a target means nothing, or not one thing.

use thiserror::Error;

use super::{Range, Target};
use crate::graph::{Graph, Position};
use crate::revision::{Direction, RevisionId};

/// Why a target names nothing, or not one thing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TargetError {
    /// It is not of the language.
    #[error(
        "`{0}` is not a revision, `head`, `heads`, `base`, `+N`, `-N`, or one of these of a branch (`label@head`)"
    )]
    Malformed(String),
    /// It is not a range.
    #[error("`{0}` is not a range: write `FROM:TO`, `FROM:` or `:TO`")]
    MalformedRange(String),
    /// One head is needed where there are several.
    #[error("there are {} heads: {}", heads.len(), list(heads))]
    MultipleHeads {
        /// All of them.
        heads: Vec<RevisionId>,
    },
    /// No revision and no branch has the name.
    #[error("no revision is called `{name}`")]
    Unknown {
        /// The name.
        name: String,
        /// Names that look like it.
        similar: Vec<String>,
    },
    /// The start of a name that several revisions share.
    #[error("`{prefix}` is the start of {} ids: {}", candidates.len(), candidates.join(", "))]
    AmbiguousPrefix {
        /// What the user wrote.
        prefix: String,
        /// The ids and labels that it could mean.
        candidates: Vec<String>,
    },
    /// A revision that is not on the branch that was named with it.
    #[error("revision {revision} is not on the branch `{branch}`")]
    NotOnBranch {
        /// The revision.
        revision: RevisionId,
        /// The branch, as the user wrote it.
        branch: String,
    },
    /// A step at which there are several ways to go.
    #[error("`{target}` is ambiguous: the way leads to {}", list(candidates))]
    AmbiguousStep {
        /// The target.
        target: Target,
        /// The revisions between which it does not choose.
        candidates: Vec<RevisionId>,
    },
    /// Steps from where the database is, which is at several revisions.
    #[error("`{target}` is ambiguous: the database is at {}", list(starts))]
    AmbiguousStart {
        /// The target.
        target: Target,
        /// The revisions that it could start from.
        starts: Vec<RevisionId>,
    },
    /// Steps that lead out of the graph.
    #[error("`{target}` goes too far: {}", available_steps(*available))]
    TooFar {
        /// The target.
        target: Target,
        /// How many steps there are.
        available: u64,
    },
    /// Steps that lead the wrong way.
    #[error("`{target}` points the wrong way for {}", article(*direction))]
    WrongWay {
        /// The target.
        target: Target,
        /// The direction of the command.
        direction: Direction,
    },
    /// Nothing of the branch is applied.
    #[error("nothing of the branch `{branch}` is applied")]
    NothingOnBranch {
        /// The branch, as the user wrote it.
        branch: String,
    },
    /// Several revisions of which one needs another.
    #[error("`{target}` means {needed} and {needs}, which needs it")]
    Overlap {
        /// The target.
        target: Target,
        /// One of its revisions.
        needed: RevisionId,
        /// Another.
        needs: RevisionId,
    },
    /// `current` where it has no meaning.
    #[error("`{0}` has no meaning here: `current` is for `show`, `edit` and `history -r`")]
    Current(Target),
    /// Steps where a revision must be named.
    #[error("`{0}` counts steps; name a revision here, `head`, `heads` or `base`")]
    Steps(Target),
    /// A range whose end does not follow from its start.
    #[error("`{range}` is empty: {from} does not lead to {to}")]
    NotAncestor {
        /// The range.
        range: Box<Range>,
        /// Its start.
        from: String,
        /// Its end.
        to: String,
    },
}

fn list(ids: &[RevisionId]) -> String {
    let names: Vec<&str> = ids.iter().map(RevisionId::as_str).collect();
    names.join(", ")
}

fn article(direction: Direction) -> &'static str {
    match direction {
        Direction::Upgrade => "an upgrade",
        Direction::Downgrade => "a downgrade",
    }
}

fn available_steps(count: u64) -> String {
    match count {
        0 => "there is no step to take".to_owned(),
        1 => "there is only 1 step to take".to_owned(),
        count => format!("there are only {count} steps to take"),
    }
}

/// The ids at some positions.
pub(super) fn ids(graph: &Graph, positions: &[Position]) -> Vec<RevisionId> {
    positions
        .iter()
        .map(|&position| graph.revision(position).id.clone())
        .collect()
}
