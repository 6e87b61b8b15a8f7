//! Ranges: `a:b`, `a:`, `:b`, `-3:current`.

use std::fmt;
use std::str::FromStr;

use super::error::ids;
use super::{Anchor, Target, TargetError, names};
use crate::graph::{Graph, Position};

/// The revisions from one to another, both included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// Where it starts; at the bases if nothing is written. Steps alone count back from its end.
    pub from: Option<Target>,
    /// Where it ends; at the heads if nothing is written. Steps alone count from its start.
    pub to: Option<Target>,
}

impl FromStr for Range {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let malformed = || TargetError::MalformedRange(text.to_owned());
        let (from, to) = text.split_once(':').ok_or_else(malformed)?;
        let end = |text: &str| match text {
            "" => Ok(None),
            text => text.parse().map(Some),
        };
        Ok(Self {
            from: end(from)?,
            to: end(to)?,
        })
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(from) = &self.from {
            write!(f, "{from}")?;
        }
        f.write_str(":")?;
        match &self.to {
            Some(to) => write!(f, "{to}"),
            None => Ok(()),
        }
    }
}

impl Range {
    /// The revisions in it, in order of application. `current` are the version table's rows, where the database was
    /// asked.
    ///
    /// # Errors
    /// A [`TargetError`]; [`TargetError::NotAncestor`] where the start does not lead to the end.
    pub fn resolve(
        &self,
        graph: &Graph,
        current: &[Position],
    ) -> Result<Vec<Position>, TargetError> {
        let counts = |end: &Option<Target>| {
            end.as_ref()
                .is_some_and(|end| end.anchor == Anchor::Here && end.branch.is_none())
        };
        let (from, to) = if counts(&self.to) && !counts(&self.from) {
            let from = resolve(graph, self.from.as_ref(), &Target::BASE, current)?;
            let to = steps(graph, self.to.as_ref(), &from)?;
            (from, to)
        } else {
            let to = resolve(graph, self.to.as_ref(), &Target::HEADS, current)?;
            let from = if counts(&self.from) {
                back(graph, self.from.as_ref(), &to)?
            } else {
                resolve(graph, self.from.as_ref(), &Target::BASE, current)?
            };
            (from, to)
        };
        let to = self.on_branch(graph, to);
        let wanted = graph.ancestors(to.iter().copied());
        if !from.iter().all(|&at| wanted.contains(at)) {
            return Err(TargetError::NotAncestor {
                range: Box::new(self.clone()),
                from: join(graph, &from),
                to: join(graph, &to),
            });
        }
        let before = graph.ancestors(from.iter().copied());
        let after = graph.branch_descendants(from.iter().copied());
        let inside = wanted.iter().filter(|&at| {
            from.contains(&at) || !before.contains(at) && (from.is_empty() || after.contains(at))
        });
        Ok(inside.collect())
    }

    /// Whether it can only be resolved by asking the database.
    pub fn names_current(&self) -> bool {
        [&self.from, &self.to]
            .into_iter()
            .flatten()
            .any(Target::names_current)
    }

    /// A range that starts on a branch ends on it.
    fn on_branch(&self, graph: &Graph, mut to: Vec<Position>) -> Vec<Position> {
        let branch = self.from.as_ref().and_then(|from| from.branch.as_deref());
        if let Some(branch) = branch
            && let Ok(start) = names::named(graph, branch, None)
        {
            let line = graph.branch(start);
            to.retain(|&at| line.contains(at));
        }
        to
    }
}

fn resolve(
    graph: &Graph,
    end: Option<&Target>,
    default: &Target,
    current: &[Position],
) -> Result<Vec<Position>, TargetError> {
    end.unwrap_or(default).resolve(graph, current)
}

/// So many steps on from the start.
fn steps(
    graph: &Graph,
    end: Option<&Target>,
    from: &[Position],
) -> Result<Vec<Position>, TargetError> {
    match end {
        Some(target) => super::ascend(graph, from, target),
        None => Ok(Vec::new()),
    }
}

/// So many steps back from the end; before the first revision, where there are fewer.
fn back(
    graph: &Graph,
    end: Option<&Target>,
    to: &[Position],
) -> Result<Vec<Position>, TargetError> {
    let mut found = Vec::new();
    for &end_of_range in to {
        let steps = end.and_then(|target| target.offset).unwrap_or_default();
        let mut at = Some(end_of_range);
        for _ in 0..steps.unsigned_abs() {
            at = at.and_then(|at| graph.parents(at).first().copied());
        }
        found.extend(at);
    }
    Ok(found)
}

fn join(graph: &Graph, positions: &[Position]) -> String {
    let names: Vec<String> = ids(graph, positions)
        .iter()
        .map(ToString::to_string)
        .collect();
    match names.is_empty() {
        true => "base".to_owned(),
        false => names.join(", "),
    }
}
