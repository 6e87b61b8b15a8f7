//! From what is applied and where to go, to the steps in between. No IO.

use serde::Serialize;
use thiserror::Error;

use crate::graph::{Graph, Position, Selection};
use crate::revision::{Direction, RevisionId};
use crate::target::{self, Target, TargetError};

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
    /// The head that steps back were counted from, where the database is at several and the target names none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assumed: Option<RevisionId>,
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
    /// A downgrade to a revision from which nothing leads to what is applied.
    #[error("there is nothing to downgrade to {revision}: {}", why_not(*applied))]
    NothingToRevert {
        /// The revision.
        revision: RevisionId,
        /// Whether it is applied.
        applied: bool,
    },
}

fn join(names: &[String]) -> String {
    names.join(", ")
}

fn why_not(applied: bool) -> &'static str {
    match applied {
        true => "no revision that revises it is applied",
        false => "it is not applied",
    }
}

/// What is applied, as the version table's rows say it.
#[derive(Debug, Clone)]
pub struct Applied {
    selection: Selection,
    /// For each position, how many applied revisions need it.
    needed: Vec<u32>,
    /// The revisions of the rows, in the order of the rows, without those that another row implies.
    tips: Vec<Position>,
    /// Rows that another row implies, so that they should not be there.
    redundant: Vec<RevisionId>,
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
        let selection = graph.ancestors(positions.iter().copied());
        let mut needed = vec![0; graph.len()];
        for position in selection.iter() {
            for need in graph.needs(position) {
                needed[need.index()] += 1;
            }
        }
        let is_implied = |position: &Position| needed[position.index()] > 0;
        let (implied, tips): (Vec<_>, Vec<_>) = positions.into_iter().partition(is_implied);
        Ok(Self {
            tips,
            redundant: implied
                .into_iter()
                .map(|position| graph.revision(position).id.clone())
                .collect(),
            selection,
            needed,
        })
    }

    /// The revisions of the rows, in the order of the rows, without those that another row implies.
    pub(crate) fn tips(&self) -> &[Position] {
        &self.tips
    }

    /// Rows that another row implies, so that they should not be there.
    pub(crate) fn redundant(&self) -> &[RevisionId] {
        &self.redundant
    }

    /// Whether an applied revision needs this one.
    pub(crate) fn is_needed(&self, position: Position) -> bool {
        self.needed[position.index()] > 0
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

    /// Applies a revision whose needs are applied.
    pub(crate) fn apply(&mut self, graph: &Graph, position: Position) -> Step {
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

    /// Reverts a revision that no applied one needs.
    pub(crate) fn revert(&mut self, graph: &Graph, position: Position) -> Step {
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
    let tips = applied.tips().to_vec();
    let mut assumed = None;
    let mut steps: Vec<Step> = match direction {
        Direction::Upgrade => {
            let wanted = graph.ancestors(target::ascend(graph, &tips, target)?);
            let missing: Vec<Position> = wanted
                .iter()
                .filter(|&position| !applied.selection.contains(position))
                .collect();
            missing
                .into_iter()
                .map(|position| applied.apply(graph, position))
                .collect()
        }
        Direction::Downgrade => {
            let descent = target::descend(graph, &tips, target)?;
            assumed = descent.assumed.map(|at| graph.revision(at).id.clone());
            let unwanted = graph.descendants(descent.roots);
            let excess: Vec<Position> = unwanted
                .iter()
                .rev()
                .filter(|&position| applied.selection.contains(position))
                .collect();
            if let Some(stays) = descent.stays
                && excess.is_empty()
                && !tips.contains(&stays)
            {
                return Err(PlanError::NothingToRevert {
                    revision: graph.revision(stays).id.clone(),
                    applied: applied.selection.contains(stays),
                });
            }
            excess
                .into_iter()
                .map(|position| applied.revert(graph, position))
                .collect()
        }
    };
    if let Some(first) = steps.first_mut() {
        for row in std::mem::take(&mut applied.redundant) {
            match first.adds.iter().position(|added| *added == row) {
                Some(at) => drop(first.adds.remove(at)),
                None => first.removes.push(row),
            }
        }
    }
    Ok(Plan {
        direction,
        from,
        to: applied.rows(graph),
        steps,
        assumed,
    })
}

/// The rows of the version table after a stamp: each target takes the place of the rows in its line, and leaves those of
/// other branches alone; `base` takes away those in its line.
///
/// # Errors
/// A [`PlanError`].
pub fn stamped<S: AsRef<str>>(
    graph: &Graph,
    rows: &[S],
    targets: &[Target],
) -> Result<Vec<RevisionId>, PlanError> {
    let applied = Applied::from_rows(graph, rows)?;
    let tips = applied.tips().to_vec();
    let mut replaced = Selection::none(graph);
    let mut wanted = Vec::new();
    for target in targets {
        if target.names_current() {
            return Err(TargetError::Current(target.clone()).into());
        }
        if target.offset.is_some() {
            return Err(TargetError::Steps(target.clone()).into());
        }
        let line = target::lineage(graph, target)?;
        for &tip in &tips {
            if line.as_ref().is_none_or(|line| line.contains(tip)) {
                replaced.insert(tip);
            }
        }
        wanted.extend(target::all(graph, target, &[])?);
    }
    let mut left = Selection::none(graph);
    for &tip in &tips {
        left.insert(tip);
    }
    if wanted.is_empty() {
        for tip in replaced.iter() {
            left.remove(tip);
        }
    }
    for &at in &wanted {
        if replaced.contains(at) {
            left.insert(at);
            continue;
        }
        let mut line = graph.ancestors([at]);
        line.extend(&graph.descendants([at]));
        if line.meets(&replaced) {
            for tip in replaced.iter().filter(|tip| !wanted.contains(tip)) {
                left.remove(tip);
            }
        }
        left.insert(at);
    }
    let implied = |at: Position| {
        graph
            .descendants([at])
            .iter()
            .any(|other| other != at && left.contains(other))
    };
    Ok(left
        .iter()
        .filter(|&at| !implied(at))
        .map(|at| graph.revision(at).id.clone())
        .collect())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
