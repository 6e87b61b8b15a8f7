//! From what is applied and where to go, to the steps in between. No IO.

use serde::Serialize;
use thiserror::Error;

use crate::graph::{Graph, Position, Selection};
use crate::revision::{Direction, RevisionId};
use crate::target::{Target, TargetError};

/// One revision in one direction, and what it does to the version table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The revision.
    pub revision: RevisionId,
    /// The direction.
    pub direction: Direction,
    /// Rows of the version table that go away.
    pub removes: Vec<RevisionId>,
    /// Rows of the version table that come.
    pub adds: Vec<RevisionId>,
}

/// Ordered steps from one state of the version table to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The direction of all steps.
    pub direction: Direction,
    /// The version table's rows before.
    pub from: Vec<RevisionId>,
    /// The version table's rows after.
    pub to: Vec<RevisionId>,
    /// What to do, in order.
    pub steps: Vec<Step>,
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlanError {
    /// The target cannot be resolved.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The version table has a revision that no migration has.
    #[error(
        "the database is at revision {}, which no migration has",
        join(unknown)
    )]
    UnknownApplied {
        /// The revisions.
        unknown: Vec<String>,
    },
    /// A downgrade to a revision that is not applied.
    #[error("revision {revision} is not applied, so that there is no downgrade to it")]
    NotApplied {
        /// The revision.
        revision: RevisionId,
    },
}

fn join(names: &[String]) -> String {
    names.join(", ")
}

/// What is applied, as the version table's rows say it.
#[derive(Debug, Clone)]
pub struct Applied {
    selection: Selection,
    /// For each position, how many applied revisions need it.
    needed: Vec<u32>,
}

impl Applied {
    /// Reads the version table's rows: each stands for itself and all that it needs.
    ///
    /// # Errors
    /// [`PlanError::UnknownApplied`] with every row that the graph does not have.
    pub fn from_rows<S: AsRef<str>>(graph: &Graph, rows: &[S]) -> Result<Self, PlanError> {
        let mut positions = Vec::with_capacity(rows.len());
        let mut unknown = Vec::new();
        for row in rows {
            match graph.position(row.as_ref()) {
                Some(position) => positions.push(position),
                None => unknown.push(row.as_ref().to_owned()),
            }
        }
        if !unknown.is_empty() {
            return Err(PlanError::UnknownApplied { unknown });
        }
        let selection = graph.ancestors(positions);
        let mut needed = vec![0; graph.len()];
        for position in selection.iter() {
            for need in graph.needs(position) {
                needed[need.index()] += 1;
            }
        }
        Ok(Self { selection, needed })
    }

    /// The applied revisions.
    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    /// The rows of the version table: the applied revisions that no applied one needs.
    pub fn rows(&self, graph: &Graph) -> Vec<RevisionId> {
        self.selection
            .iter()
            .filter(|position| self.needed[position.index()] == 0)
            .map(|position| graph.revision(position).id.clone())
            .collect()
    }

    fn apply(&mut self, graph: &Graph, position: Position) -> Step {
        let mut removes = Vec::new();
        for &need in graph.needs(position) {
            if self.needed[need.index()] == 0 {
                removes.push(graph.revision(need).id.clone());
            }
            self.needed[need.index()] += 1;
        }
        self.selection.insert(position);
        let revision = graph.revision(position).id.clone();
        Step {
            adds: vec![revision.clone()],
            revision,
            direction: Direction::Upgrade,
            removes,
        }
    }

    fn revert(&mut self, graph: &Graph, position: Position) -> Step {
        let mut adds = Vec::new();
        for &need in graph.needs(position) {
            self.needed[need.index()] -= 1;
            if self.needed[need.index()] == 0 {
                adds.push(graph.revision(need).id.clone());
            }
        }
        self.selection.remove(position);
        let revision = graph.revision(position).id.clone();
        Step {
            removes: vec![revision.clone()],
            revision,
            direction: Direction::Downgrade,
            adds,
        }
    }
}

/// Plans the way from what is applied to `target`.
///
/// An upgrade applies the target and all that it needs and that is not applied yet. A downgrade reverts the applied
/// children of the target and all that needs them; other branches stay.
///
/// # Errors
/// A [`PlanError`]; nothing is ever planned past an unknown revision.
pub fn plan<S: AsRef<str>>(
    graph: &Graph,
    rows: &[S],
    target: &Target,
    direction: Direction,
) -> Result<Plan, PlanError> {
    let mut applied = Applied::from_rows(graph, rows)?;
    let from = applied.rows(graph);
    let steps = match direction {
        Direction::Upgrade => {
            let wanted = graph.ancestors(target.resolve_upgrade(graph, applied.selection())?);
            let missing: Vec<Position> = wanted
                .iter()
                .filter(|&position| !applied.selection().contains(position))
                .collect();
            missing
                .into_iter()
                .map(|position| applied.apply(graph, position))
                .collect()
        }
        Direction::Downgrade => {
            if let Target::Named(_) = target {
                check_applied(graph, &applied, target)?;
            }
            let unwanted = graph.descendants(target.resolve_downgrade(graph, applied.selection())?);
            let excess: Vec<Position> = unwanted
                .iter()
                .rev()
                .filter(|&position| applied.selection().contains(position))
                .collect();
            excess
                .into_iter()
                .map(|position| applied.revert(graph, position))
                .collect()
        }
    };
    Ok(Plan {
        direction,
        from,
        to: applied.rows(graph),
        steps,
    })
}

fn check_applied(graph: &Graph, applied: &Applied, target: &Target) -> Result<(), PlanError> {
    let missing = target
        .resolve(graph)?
        .into_iter()
        .find(|&position| !applied.selection().contains(position));
    match missing {
        None => Ok(()),
        Some(position) => Err(PlanError::NotApplied {
            revision: graph.revision(position).id.clone(),
        }),
    }
}

/// The rows of the version table when exactly `targets` and all that they need are applied: what `stamp` writes.
pub fn stamped(graph: &Graph, targets: &[Position]) -> Vec<RevisionId> {
    let selection = graph.ancestors(targets.iter().copied());
    selection
        .iter()
        .filter(|&p| !graph.needed_by(p).iter().any(|&n| selection.contains(n)))
        .map(|p| graph.revision(p).id.clone())
        .collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
