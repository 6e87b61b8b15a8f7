//! From names to revisions.

use super::error::ids;
use super::{Anchor, Target, TargetError};
use crate::graph::{Graph, Position, Selection};

/// The revisions that a target names, its steps left out; none for `base`.
pub(crate) fn all(
    graph: &Graph,
    target: &Target,
    current: &[Position],
) -> Result<Vec<Position>, TargetError> {
    let branch = target.branch.as_deref();
    match &target.anchor {
        Anchor::Here | Anchor::Current => of_branch(graph, current.to_vec(), branch),
        Anchor::Head => {
            let heads = of_branch(graph, graph.heads(), branch)?;
            if heads.len() > 1 {
                return Err(several(graph, &heads));
            }
            Ok(heads)
        }
        Anchor::Heads => match branch {
            None => Ok(graph.effective_heads()),
            Some(_) => of_branch(graph, graph.heads(), branch),
        },
        Anchor::Base => Ok(Vec::new()),
        Anchor::Named(name) => Ok(vec![named(graph, name, branch)?]),
    }
}

/// The one revision that a target names, its steps left out; none for `base`.
pub(super) fn one(graph: &Graph, target: &Target) -> Result<Option<Position>, TargetError> {
    match all(graph, target, &[])?.as_slice() {
        [] => Ok(None),
        [only] => Ok(Some(*only)),
        heads => Err(several(graph, heads)),
    }
}

fn several(graph: &Graph, heads: &[Position]) -> TargetError {
    TargetError::MultipleHeads {
        heads: ids(graph, heads),
    }
}

/// Those of some revisions that are on a branch.
pub(super) fn of_branch(
    graph: &Graph,
    positions: Vec<Position>,
    branch: Option<&str>,
) -> Result<Vec<Position>, TargetError> {
    let Some(branch) = branch else {
        return Ok(positions);
    };
    let branch = graph.branch(named(graph, branch, None)?);
    let on = positions.into_iter().filter(|&at| branch.contains(at));
    Ok(on.collect())
}

/// All that shares a line of descent with what a target names, dependencies included; everything for `base`.
pub(crate) fn lineage(graph: &Graph, target: &Target) -> Result<Option<Selection>, TargetError> {
    let mut tests = all(graph, target, &[])?;
    if let Some(branch) = &target.branch {
        tests.push(named(graph, branch, None)?);
    }
    if tests.is_empty() {
        return Ok(None);
    }
    let mut lineage = graph.ancestors(tests.iter().copied());
    lineage.extend(&graph.descendants(tests));
    Ok(Some(lineage))
}

/// Finds a revision by id, by branch label, or by the start of one of them; an exact name wins over the start of
/// another. Of several that start alike, the one on the branch is meant.
pub(super) fn named(
    graph: &Graph,
    name: &str,
    branch: Option<&str>,
) -> Result<Position, TargetError> {
    let line = match branch {
        Some(branch) => Some((branch, graph.branch(named(graph, branch, None)?))),
        None => None,
    };
    if let Some(position) = graph.position(name).or_else(|| graph.labelled(name)) {
        return match line {
            Some((branch, line)) if !line.contains(position) => Err(TargetError::NotOnBranch {
                revision: graph.revision(position).id.clone(),
                branch: branch.to_owned(),
            }),
            _ => Ok(position),
        };
    }
    let mut candidates = graph.starting_with(name);
    if let Some((_, line)) = line {
        candidates.retain(|&(_, position)| line.contains(position));
    }
    match candidates.as_slice() {
        [] => Err(TargetError::Unknown {
            name: name.to_owned(),
            similar: similar(graph, name),
        }),
        [(_, only)] => Ok(*only),
        several => Err(TargetError::AmbiguousPrefix {
            prefix: name.to_owned(),
            candidates: several.iter().map(|(name, _)| (*name).to_owned()).collect(),
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
