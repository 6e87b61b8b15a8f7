//! Where a run goes from where the database is.

use super::error::ids;
use super::walk::Walk;
use super::{Anchor, Target, TargetError, names};
use crate::graph::{Graph, Position};
use crate::revision::Direction;

/// Where a downgrade leads.
pub(crate) struct Descent {
    /// The revisions to be reverted, with all that need them, as far as they are applied.
    pub(crate) roots: Vec<Position>,
    /// The revision that stays; none for `base`.
    pub(crate) stays: Option<Position>,
    /// The revision that the database was taken to be at, where it is at several and none was named.
    pub(crate) assumed: Option<Position>,
}

/// The revisions to be applied, with all that they need, for an upgrade to `target`. `rows` are the version table's.
pub(crate) fn ascend(
    graph: &Graph,
    rows: &[Position],
    target: &Target,
) -> Result<Vec<Position>, TargetError> {
    if target.names_current() {
        return Err(TargetError::Current(target.clone()));
    }
    let Some(steps) = target.offset else {
        let found = names::all(graph, target, rows)?;
        return match overlap(graph, &found) {
            None => Ok(found),
            Some((needed, needs)) => Err(TargetError::Overlap {
                target: target.clone(),
                needed: graph.revision(needed).id.clone(),
                needs: graph.revision(needs).id.clone(),
            }),
        };
    };
    let branch = target.branch.as_deref();
    let (start, branch) = match target.anchor {
        Anchor::Here if steps > 0 => (starting_point(graph, rows, target)?, branch),
        Anchor::Here => {
            return Err(TargetError::WrongWay {
                target: target.clone(),
                direction: Direction::Upgrade,
            });
        }
        _ if steps > 0 => (names::one(graph, &anywhere(target))?, branch),
        _ => (names::one(graph, target)?, None),
    };
    let walk = Walk {
        graph,
        target,
        branch,
    };
    Ok(walk.by(start, steps)?.into_iter().collect())
}

/// A revision among `positions` that another one of them needs.
fn overlap(graph: &Graph, positions: &[Position]) -> Option<(Position, Position)> {
    if positions.len() < 2 {
        return None;
    }
    positions.iter().find_map(|&needs| {
        let ancestors = graph.ancestors([needs]);
        let needed = positions
            .iter()
            .find(|&&at| at != needs && ancestors.contains(at))?;
        Some((*needed, needs))
    })
}

/// The revision that steps forward count from: what the database is at, on the branch if one is named.
fn starting_point(
    graph: &Graph,
    rows: &[Position],
    target: &Target,
) -> Result<Option<Position>, TargetError> {
    let branch = target.branch.as_deref();
    let mut starts = names::of_branch(graph, rows.to_vec(), branch)?;
    if starts.is_empty() && branch.is_some() {
        let applied = graph.ancestors(rows.iter().copied());
        let on_branch = names::of_branch(graph, applied.iter().collect(), branch)?;
        starts = on_branch
            .iter()
            .copied()
            .filter(|&at| {
                !on_branch
                    .iter()
                    .any(|&other| graph.needs(other).contains(&at))
            })
            .collect();
    }
    match starts.as_slice() {
        [] => Ok(None),
        [only] => Ok(Some(*only)),
        _ => Err(TargetError::AmbiguousStart {
            target: target.clone(),
            starts: ids(graph, &starts),
        }),
    }
}

/// The same target, of any branch.
fn anywhere(target: &Target) -> Target {
    Target {
        branch: None,
        ..target.clone()
    }
}

/// What a downgrade to `target` reverts. `rows` are the version table's; as in Alembic, the first of them is meant where
/// several could be.
pub(crate) fn descend(
    graph: &Graph,
    rows: &[Position],
    target: &Target,
) -> Result<Descent, TargetError> {
    if target.names_current() {
        return Err(TargetError::Current(target.clone()));
    }
    let Aim {
        branch,
        stays,
        assumed,
    } = aim(graph, rows, target)?;
    let mut roots = match stays {
        Some(stays) => graph.children(stays).to_vec(),
        None => graph.bases(),
    };
    if let Some(branch) = branch {
        let line = graph.branch_ancestors([names::named(graph, &branch, None)?]);
        if roots.len() > 1 {
            roots.retain(|&root| line.contains(root));
            if let ([], Some(stays)) = (roots.as_slice(), stays) {
                let revision = graph.revision(stays).id.clone();
                return Err(TargetError::NotOnBranch { revision, branch });
            }
        }
    }
    Ok(Descent {
        roots,
        stays,
        assumed,
    })
}

struct Aim {
    branch: Option<String>,
    stays: Option<Position>,
    assumed: Option<Position>,
}

fn aim(graph: &Graph, rows: &[Position], target: &Target) -> Result<Aim, TargetError> {
    let branch = target.branch.clone();
    let walk = |branch| Walk {
        graph,
        target,
        branch,
    };
    let Some(steps) = target.offset else {
        // The branch says which way to go down from there, not where it is.
        let stays = names::one(graph, &anywhere(target))?;
        return Ok(Aim {
            branch,
            stays,
            assumed: None,
        });
    };
    if target.anchor != Anchor::Here {
        let stays = if steps >= 0 {
            let start = names::one(graph, &anywhere(target))?;
            let found = walk(branch.as_deref()).by(start, steps)?;
            if found.is_none() {
                return Err(TargetError::TooFar {
                    target: target.clone(),
                    available: 0,
                });
            }
            found
        } else {
            walk(None).by(names::one(graph, target)?, steps)?
        };
        return Ok(Aim {
            branch,
            stays,
            assumed: None,
        });
    }
    if steps >= 0 {
        return Err(TargetError::WrongWay {
            target: target.clone(),
            direction: Direction::Downgrade,
        });
    }
    let (start, branch, assumed) = match branch {
        Some(branch) => (tip(graph, rows, target, &branch)?, branch, None),
        None => {
            let Some(&first) = rows.first() else {
                return Err(TargetError::TooFar {
                    target: target.clone(),
                    available: 0,
                });
            };
            let assumed = (rows.len() > 1).then_some(first);
            (first, graph.revision(first).id.to_string(), assumed)
        }
    };
    let stays = walk(None).by(Some(start), steps)?;
    Ok(Aim {
        branch: Some(branch),
        stays,
        assumed,
    })
}

/// The revision of a branch that the database is at.
fn tip(
    graph: &Graph,
    rows: &[Position],
    target: &Target,
    branch: &str,
) -> Result<Position, TargetError> {
    let mut tips = names::of_branch(graph, rows.to_vec(), Some(branch))?;
    if tips.is_empty() {
        // What is applied of the branch may all be needed by another one, so that it has no row of its own.
        let applied = graph.ancestors(rows.iter().copied());
        let ends: Vec<Position> = applied
            .iter()
            .filter(|&at| {
                !graph
                    .children(at)
                    .iter()
                    .any(|&child| applied.contains(child))
            })
            .collect();
        tips = names::of_branch(graph, ends, Some(branch))?;
    }
    match tips.as_slice() {
        [only] => Ok(*only),
        [] => Err(TargetError::NothingOnBranch {
            branch: branch.to_owned(),
        }),
        _ => Err(TargetError::AmbiguousStart {
            target: target.clone(),
            starts: ids(graph, &tips),
        }),
    }
}
