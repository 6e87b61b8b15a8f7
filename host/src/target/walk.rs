//! Counting steps.

use super::error::ids;
use super::{Target, TargetError, names};
use crate::graph::{Graph, Position};

/// A walk along parents and children, which must never part.
pub(super) struct Walk<'a> {
    pub(super) graph: &'a Graph,
    /// What asked for it, for messages.
    pub(super) target: &'a Target,
    /// The branch that a walk forward keeps to.
    pub(super) branch: Option<&'a str>,
}

impl Walk<'_> {
    /// So many steps from a revision, or from before the first: forward if positive. `None` is before the first.
    pub(super) fn by(
        &self,
        start: Option<Position>,
        steps: i64,
    ) -> Result<Option<Position>, TargetError> {
        if steps < 0 {
            self.back(start, steps.unsigned_abs())
        } else {
            self.forward(start, steps.unsigned_abs())
        }
    }

    fn forward(
        &self,
        mut at: Option<Position>,
        steps: u64,
    ) -> Result<Option<Position>, TargetError> {
        for taken in 0..steps {
            let next = match at {
                Some(at) => self.graph.children(at).to_vec(),
                None => self.graph.bases(),
            };
            let next = names::of_branch(self.graph, next, self.branch)?;
            at = Some(self.only(&next, taken)?);
        }
        Ok(at)
    }

    fn back(&self, mut at: Option<Position>, steps: u64) -> Result<Option<Position>, TargetError> {
        for taken in 0..steps {
            let Some(from) = at else {
                return Err(self.too_far(taken));
            };
            at = match self.graph.parents(from) {
                [] => None,
                parents => Some(self.only(parents, taken)?),
            };
        }
        Ok(at)
    }

    fn only(&self, next: &[Position], taken: u64) -> Result<Position, TargetError> {
        match next {
            [only] => Ok(*only),
            [] => Err(self.too_far(taken)),
            _ => Err(TargetError::AmbiguousStep {
                target: self.target.clone(),
                candidates: ids(self.graph, next),
            }),
        }
    }

    fn too_far(&self, available: u64) -> TargetError {
        TargetError::TooFar {
            target: self.target.clone(),
            available,
        }
    }
}
