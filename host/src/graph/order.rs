//! From revisions as they were read to edges between them and an order of application.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use super::{Edge, GraphError, GraphErrors};
use crate::revision::{Revision, RevisionId};

/// What one revision needs, as indices into the input.
pub(super) struct Links {
    pub(super) parents: Vec<usize>,
    pub(super) dependencies: Vec<usize>,
}

/// Resolves every reference between revisions. A dependency may also be named by the label of the branch that it starts.
pub(super) fn link(revisions: &[Arc<Revision>]) -> Result<Vec<Links>, GraphErrors> {
    let mut errors = Vec::new();
    let mut by_id: HashMap<&str, usize> = HashMap::with_capacity(revisions.len());
    for (index, revision) in revisions.iter().enumerate() {
        if let Some(first) = by_id.insert(revision.id.as_str(), index) {
            errors.push(GraphError::DuplicateId {
                id: revision.id.clone(),
                first: revisions[first].path.clone(),
                second: revision.path.clone(),
            });
        }
    }
    let mut by_label = by_id.clone();
    for (index, revision) in revisions.iter().enumerate() {
        for label in &revision.labels {
            if let Some(first) = by_label.insert(label, index) {
                errors.push(GraphError::DuplicateLabel {
                    label: label.clone(),
                    first: revisions[first].path.clone(),
                    second: revision.path.clone(),
                });
            }
        }
    }
    let mut resolve = |revision: &Revision, edge: Edge, targets: &[RevisionId]| {
        let known = match edge {
            Edge::Revises => &by_id,
            Edge::DependsOn => &by_label,
        };
        let mut found = Vec::with_capacity(targets.len());
        for target in targets {
            let named = known.get(target.as_str()).copied();
            if target == &revision.id
                || named.is_some_and(|index| revisions[index].id == revision.id)
            {
                errors.push(GraphError::SelfReference {
                    id: revision.id.clone(),
                    edge,
                    path: revision.path.clone(),
                });
            } else if let Some(index) = named {
                if !found.contains(&index) {
                    found.push(index);
                }
            } else {
                errors.push(GraphError::Unknown {
                    id: revision.id.clone(),
                    edge,
                    missing: target.clone(),
                    path: revision.path.clone(),
                });
            }
        }
        found
    };
    let links = revisions
        .iter()
        .map(|revision| Links {
            parents: resolve(revision, Edge::Revises, &revision.revises),
            dependencies: resolve(revision, Edge::DependsOn, &revision.depends_on),
        })
        .collect();
    if errors.is_empty() {
        Ok(links)
    } else {
        Err(GraphErrors(errors))
    }
}

/// Orders the revisions so that each stands behind all that it needs. Among those that could come next the older one
/// does, then the one with the smaller id, so that the order is the same on every machine.
pub(super) fn sort(
    revisions: &[Arc<Revision>],
    links: &[Links],
) -> Result<Vec<usize>, GraphErrors> {
    let needs = |index: usize| {
        links[index]
            .parents
            .iter()
            .chain(&links[index].dependencies)
    };
    let mut needed_by = vec![Vec::new(); revisions.len()];
    let mut missing = vec![0usize; revisions.len()];
    for (index, missing) in missing.iter_mut().enumerate() {
        for &needed in needs(index) {
            needed_by[needed].push(index);
            *missing += 1;
        }
    }
    let rank = |index: usize| Reverse((revisions[index].created, &revisions[index].id, index));
    let mut ready: BinaryHeap<_> = (0..revisions.len())
        .filter(|&index| missing[index] == 0)
        .map(rank)
        .collect();
    let mut order = Vec::with_capacity(revisions.len());
    while let Some(Reverse((_, _, index))) = ready.pop() {
        order.push(index);
        for &next in &needed_by[index] {
            missing[next] -= 1;
            if missing[next] == 0 {
                ready.push(rank(next));
            }
        }
    }
    if order.len() == revisions.len() {
        return Ok(order);
    }
    let stuck = |index: usize| missing[index] > 0;
    Err(GraphErrors(vec![cycle(revisions, needs, stuck)]))
}

/// Finds one cycle among the revisions that could not be ordered. Each of those needs another of them, so that walking
/// from need to need must come back to where it has been.
fn cycle<'a, I: Iterator<Item = &'a usize>>(
    revisions: &[Arc<Revision>],
    needs: impl Fn(usize) -> I,
    stuck: impl Fn(usize) -> bool,
) -> GraphError {
    let mut walk: Vec<usize> = Vec::new();
    let mut seen_at: HashMap<usize, usize> = HashMap::new();
    let mut next = (0..revisions.len()).find(|&index| stuck(index));
    let mut start = 0;
    while let Some(index) = next {
        if let Some(&at) = seen_at.get(&index) {
            start = at;
            break;
        }
        seen_at.insert(index, walk.len());
        walk.push(index);
        next = needs(index).copied().find(|&needed| stuck(needed));
    }
    GraphError::Cycle {
        path: walk[start..]
            .iter()
            .map(|&index| (revisions[index].id.clone(), revisions[index].path.clone()))
            .collect(),
    }
}
