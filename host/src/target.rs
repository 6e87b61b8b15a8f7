//! The language that names revisions: `ae10`, `head`, `base`, `+2`, `-1`. No IO.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::graph::{Graph, Position, Selection};
use crate::revision::{Direction, RevisionId};

/// What a user wrote to say where to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The only head.
    Head,
    /// All heads.
    Heads,
    /// Before the first revision.
    Base,
    /// So many revisions from where the database is: forward if positive.
    Relative(i64),
    /// A revision by its id, by the start of its id, or by the label of the branch that it starts.
    Named(String),
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        match text {
            "head" => return Ok(Self::Head),
            "heads" => return Ok(Self::Heads),
            "base" => return Ok(Self::Base),
            _ => {}
        }
        if text.starts_with(['+', '-']) {
            return text
                .parse()
                .map(Self::Relative)
                .map_err(|_| TargetError::Malformed(text.to_owned()));
        }
        crate::revision::check_name(text)
            .map(|()| Self::Named(text.to_owned()))
            .map_err(|_| TargetError::Malformed(text.to_owned()))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head => f.write_str("head"),
            Self::Heads => f.write_str("heads"),
            Self::Base => f.write_str("base"),
            Self::Relative(steps) => write!(f, "{steps:+}"),
            Self::Named(name) => f.write_str(name),
        }
    }
}

/// Why a target names nothing, or not one thing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TargetError {
    /// It is not of the language.
    #[error("`{0}` is not a revision, `head`, `heads`, `base`, `+N` or `-N`")]
    Malformed(String),
    /// `head` where there are several.
    #[error("there are {} heads: {}", heads.len(), list(heads))]
    MultipleHeads {
        /// All of them.
        heads: Vec<RevisionId>,
    },
    /// No revision has the name.
    #[error("no revision is called `{name}`")]
    Unknown {
        /// The name.
        name: String,
        /// Names that look like it.
        similar: Vec<String>,
    },
    /// The start of an id that several revisions share.
    #[error("`{prefix}` is the start of {} ids: {}", candidates.len(), list(candidates))]
    AmbiguousPrefix {
        /// What the user wrote.
        prefix: String,
        /// The revisions that it could mean.
        candidates: Vec<RevisionId>,
    },
    /// A relative step for which there are several ways to go.
    #[error(
        "`{target}` is ambiguous: from here it could mean {}",
        list(candidates)
    )]
    AmbiguousStep {
        /// The relative target.
        target: Target,
        /// The revisions between which it does not choose.
        candidates: Vec<RevisionId>,
    },
    /// A relative target that leads out of the graph.
    #[error("`{target}` goes too far: only {available} {} {direction} from here", revisions(*available))]
    TooFar {
        /// The relative target.
        target: Target,
        /// How many steps there are.
        available: u64,
        /// Which way it was meant.
        direction: Direction,
    },
    /// A relative target that points the wrong way.
    #[error("`{target}` points the wrong way for {}", article(*direction))]
    WrongWay {
        /// The relative target.
        target: Target,
        /// The direction of the command.
        direction: Direction,
    },
}

fn list(ids: &[RevisionId]) -> String {
    ids.iter()
        .map(RevisionId::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

fn article(direction: Direction) -> &'static str {
    match direction {
        Direction::Upgrade => "an upgrade",
        Direction::Downgrade => "a downgrade",
    }
}

fn revisions(count: u64) -> &'static str {
    if count == 1 {
        "revision to"
    } else {
        "revisions to"
    }
}

impl Target {
    /// The revisions that the target means, whatever is applied; none for `base`.
    ///
    /// # Errors
    /// A [`TargetError`]; a relative target is [`TargetError::Malformed`] here, since it has no starting point.
    pub fn resolve(&self, graph: &Graph) -> Result<Vec<Position>, TargetError> {
        match self {
            Self::Head => {
                let heads = graph.heads();
                if heads.len() > 1 {
                    return Err(TargetError::MultipleHeads {
                        heads: ids(graph, &heads),
                    });
                }
                Ok(heads)
            }
            Self::Heads => Ok(graph.heads()),
            Self::Base => Ok(Vec::new()),
            Self::Named(name) => named(graph, name).map(|position| vec![position]),
            Self::Relative(_) => Err(TargetError::Malformed(self.to_string())),
        }
    }

    /// The revisions to be applied for an upgrade to this target: the named ones, without what they need.
    ///
    /// # Errors
    /// A [`TargetError`].
    pub fn resolve_upgrade(
        &self,
        graph: &Graph,
        applied: &Selection,
    ) -> Result<Vec<Position>, TargetError> {
        match self {
            Self::Relative(steps) => self
                .walk_forward(graph, applied, *steps)
                .map(|position| vec![position]),
            _ => self.resolve(graph),
        }
    }

    /// The revisions to be reverted, with all that need them, for a downgrade to this target.
    ///
    /// # Errors
    /// A [`TargetError`].
    pub fn resolve_downgrade(
        &self,
        graph: &Graph,
        applied: &Selection,
    ) -> Result<Vec<Position>, TargetError> {
        match self {
            Self::Relative(steps) => self.walk_back(graph, applied, *steps),
            Self::Base => Ok(graph.bases()),
            _ => Ok(self
                .resolve(graph)?
                .into_iter()
                .flat_map(|position| graph.children(position).iter().copied())
                .collect()),
        }
    }

    fn walk_forward(
        &self,
        graph: &Graph,
        applied: &Selection,
        steps: i64,
    ) -> Result<Position, TargetError> {
        if steps <= 0 {
            return Err(TargetError::WrongWay {
                target: self.clone(),
                direction: Direction::Upgrade,
            });
        }
        let tips: Vec<Position> = applied
            .iter()
            .filter(|&p| !graph.needed_by(p).iter().any(|&n| applied.contains(n)))
            .collect();
        let mut at = match tips.as_slice() {
            [] => None,
            [only] => Some(*only),
            _ => return Err(self.ambiguous(graph, &tips)),
        };
        for done in 0..steps.unsigned_abs() {
            let next = at.map_or_else(|| graph.bases(), |p| graph.children(p).to_vec());
            at = match next.as_slice() {
                [only] => Some(*only),
                [] => return Err(self.too_far(done, Direction::Upgrade)),
                _ => return Err(self.ambiguous(graph, &next)),
            };
        }
        at.ok_or_else(|| self.too_far(0, Direction::Upgrade))
    }

    fn walk_back(
        &self,
        graph: &Graph,
        applied: &Selection,
        steps: i64,
    ) -> Result<Vec<Position>, TargetError> {
        if steps >= 0 {
            return Err(TargetError::WrongWay {
                target: self.clone(),
                direction: Direction::Downgrade,
            });
        }
        let mut remaining = applied.clone();
        let mut reverted = Vec::new();
        for done in 0..steps.unsigned_abs() {
            let tips: Vec<Position> = remaining
                .iter()
                .filter(|&p| !graph.needed_by(p).iter().any(|&n| remaining.contains(n)))
                .collect();
            match tips.as_slice() {
                [only] => {
                    remaining.remove(*only);
                    reverted.push(*only);
                }
                [] => return Err(self.too_far(done, Direction::Downgrade)),
                _ => return Err(self.ambiguous(graph, &tips)),
            }
        }
        Ok(reverted)
    }

    fn ambiguous(&self, graph: &Graph, candidates: &[Position]) -> TargetError {
        TargetError::AmbiguousStep {
            target: self.clone(),
            candidates: ids(graph, candidates),
        }
    }

    fn too_far(&self, available: u64, direction: Direction) -> TargetError {
        TargetError::TooFar {
            target: self.clone(),
            available,
            direction,
        }
    }
}

fn ids(graph: &Graph, positions: &[Position]) -> Vec<RevisionId> {
    positions
        .iter()
        .map(|&position| graph.revision(position).id.clone())
        .collect()
}

/// Finds a revision by id, by branch label, or by the start of its id; an exact name wins over the start of another.
fn named(graph: &Graph, name: &str) -> Result<Position, TargetError> {
    if let Some(position) = graph.position(name).or_else(|| graph.labelled(name)) {
        return Ok(position);
    }
    match graph.with_prefix(name).as_slice() {
        [] => Err(TargetError::Unknown {
            name: name.to_owned(),
            similar: similar(graph, name),
        }),
        [only] => graph
            .position(only.as_str())
            .ok_or_else(|| TargetError::Unknown {
                name: name.to_owned(),
                similar: Vec::new(),
            }),
        several => Err(TargetError::AmbiguousPrefix {
            prefix: name.to_owned(),
            candidates: several.iter().map(|&id| id.clone()).collect(),
        }),
    }
}

const SUGGESTIONS: usize = 3;
const SIMILAR_ENOUGH: f64 = 0.75;

fn similar(graph: &Graph, name: &str) -> Vec<String> {
    let mut scored: Vec<(f64, &str)> = graph
        .revisions()
        .flat_map(|revision| {
            std::iter::once(revision.id.as_str()).chain(revision.labels.iter().map(String::as_str))
        })
        .map(|known| {
            let start: String = known.chars().take(name.chars().count()).collect();
            let score =
                strsim::jaro_winkler(name, known).max(strsim::normalized_levenshtein(name, &start));
            (score, known)
        })
        .filter(|(score, _)| *score >= SIMILAR_ENOUGH)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored
        .into_iter()
        .take(SUGGESTIONS)
        .map(|(_, known)| known.to_owned())
        .collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
