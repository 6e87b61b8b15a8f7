//! The language that names revisions: `ae10`, `head`, `billing@base`, `ae10+2`, `-1`. No IO.
//!
//! Its words mean what they mean in Alembic; a test of the project compares the two.

mod destination;
mod error;
mod names;
mod range;
mod walk;

use std::fmt;
use std::str::FromStr;

pub use error::TargetError;
pub use range::Range;

pub(crate) use destination::{ascend, descend};
pub(crate) use names::{all, lineage};

use crate::graph::{Graph, Position};
use crate::revision::check_name;

/// What a user wrote to say where to go: `[BRANCH@][ANCHOR][±N]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The branch that is meant: a label, or any revision on it by its id or the start of its id.
    pub branch: Option<String>,
    /// What is named.
    pub anchor: Anchor,
    /// So many revisions from there: forward if positive.
    pub offset: Option<i64>,
}

/// What a target names before it counts steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Anchor {
    /// Nothing: where the database is, as in `+1`.
    Here,
    /// `current`: the revisions that the database is at.
    Current,
    /// `head`: the only head.
    Head,
    /// `heads`: all heads that no other revision depends on; of a branch, all its heads.
    Heads,
    /// `base`: before the first revision.
    Base,
    /// A revision by its id, by the start of its id, or by the label of the branch that it starts.
    Named(String),
}

impl Target {
    /// `head`
    pub const HEAD: Self = Self::plain(Anchor::Head);
    /// `heads`
    pub const HEADS: Self = Self::plain(Anchor::Heads);
    /// `base`
    pub const BASE: Self = Self::plain(Anchor::Base);

    /// An anchor alone.
    pub const fn plain(anchor: Anchor) -> Self {
        Self {
            branch: None,
            anchor,
            offset: None,
        }
    }

    /// The revisions that the target means for a command that only looks; none for `base`. Steps without an anchor
    /// start from the heads. `current` are the version table's rows, where the database was asked.
    ///
    /// # Errors
    /// A [`TargetError`].
    pub fn resolve(
        &self,
        graph: &Graph,
        current: &[Position],
    ) -> Result<Vec<Position>, TargetError> {
        let Some(steps) = self.offset else {
            return names::all(graph, self, current);
        };
        let starts = match self.anchor {
            Anchor::Here => names::all(
                graph,
                &Self {
                    offset: None,
                    anchor: Anchor::Heads,
                    ..self.clone()
                },
                current,
            )?,
            _ => names::all(graph, self, current)?,
        };
        let mut found = Vec::with_capacity(starts.len());
        for start in starts {
            let walk = walk::Walk {
                graph,
                target: self,
                branch: None,
            };
            found.extend(walk.by(Some(start), steps)?);
        }
        Ok(found)
    }

    /// Whether it can only be resolved by asking the database.
    pub fn names_current(&self) -> bool {
        self.anchor == Anchor::Current
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        parse(text).ok_or_else(|| TargetError::Malformed(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Target> {
    let (branch, rest) = match text.split_once('@') {
        Some((branch, rest)) => {
            check_name(branch).ok()?;
            (Some(branch.to_owned()), rest)
        }
        None => (None, text),
    };
    let (anchor, offset) = match rest.find(['+', '-']) {
        Some(at) => (&rest[..at], Some(steps(&rest[at..])?)),
        None => (rest, None),
    };
    let anchor = match anchor {
        "" if offset.is_some() => Anchor::Here,
        "current" => Anchor::Current,
        "head" => Anchor::Head,
        "heads" => Anchor::Heads,
        "base" => Anchor::Base,
        name => {
            check_name(name).ok()?;
            Anchor::Named(name.to_owned())
        }
    };
    Some(Target {
        branch,
        anchor,
        offset,
    })
}

/// `+2` or `-1`.
fn steps(text: &str) -> Option<i64> {
    text[1..]
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(branch) = &self.branch {
            write!(f, "{branch}@")?;
        }
        f.write_str(match &self.anchor {
            Anchor::Here => "",
            Anchor::Current => "current",
            Anchor::Head => "head",
            Anchor::Heads => "heads",
            Anchor::Base => "base",
            Anchor::Named(name) => name,
        })?;
        match self.offset {
            Some(steps) => write!(f, "{steps:+}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
