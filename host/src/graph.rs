//! The revision graph: heads, bases, branch points, order, closures. No IO.
//!
//! Two kinds of edges lead from a revision to what must be applied before it: `revises` (its parents, which shape
//! branches and merges) and `depends_on`. Whether a revision is a head, a base or a branch point is a matter of
//! parents alone; the order of application and the version table's rows follow both.

mod error;
mod labels;
mod order;

use std::collections::HashMap;
use std::sync::Arc;

pub use error::{Edge, GraphError, GraphErrors};

use crate::revision::{Revision, RevisionId};

/// The place of a revision in its graph; smaller means applied earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(u32);

impl Position {
    /// The number of revisions that stand before it in the order of application.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

#[derive(Debug)]
struct Node {
    revision: Arc<Revision>,
    parents: Vec<Position>,
    children: Vec<Position>,
    /// Parents and dependencies, without repetition.
    needs: Vec<Position>,
    /// Children and dependents, without repetition.
    needed_by: Vec<Position>,
}

/// All revisions of a project and how they hang together; valid by construction.
#[derive(Debug, Default)]
pub struct Graph {
    /// In order of application: a node stands behind all that it needs.
    nodes: Vec<Node>,
    by_id: HashMap<RevisionId, Position>,
    by_label: HashMap<String, Position>,
}

impl Graph {
    /// Puts revisions together.
    ///
    /// # Errors
    /// Every duplicate id or label, unknown or self reference, and cycle, in one [`GraphErrors`].
    pub fn new(
        revisions: impl IntoIterator<Item = impl Into<Arc<Revision>>>,
    ) -> Result<Self, GraphErrors> {
        let revisions: Vec<Arc<Revision>> = revisions.into_iter().map(Into::into).collect();
        let links = order::link(&revisions)?;
        let order = order::sort(&revisions, &links)?;

        let mut place = vec![Position(0); revisions.len()];
        for (position, &input) in (0u32..).zip(&order) {
            place[input] = Position(position);
        }
        let mut nodes: Vec<Node> = Vec::with_capacity(order.len());
        for &input in &order {
            let parents = places(&links[input].parents, &place);
            let mut needs = parents.clone();
            needs.extend(places(&links[input].dependencies, &place));
            needs.sort_unstable();
            needs.dedup();
            nodes.push(Node {
                revision: Arc::clone(&revisions[input]),
                parents,
                children: Vec::new(),
                needs,
                needed_by: Vec::new(),
            });
        }

        let mut graph = Self {
            by_id: HashMap::with_capacity(nodes.len()),
            by_label: HashMap::new(),
            nodes,
        };
        for position in graph.positions() {
            let node = &graph.nodes[position.index()];
            graph.by_id.insert(node.revision.id.clone(), position);
            for label in &node.revision.labels {
                graph.by_label.insert(label.clone(), position);
            }
            for parent in node.parents.clone() {
                graph.nodes[parent.index()].children.push(position);
            }
            for needed in graph.nodes[position.index()].needs.clone() {
                graph.nodes[needed.index()].needed_by.push(position);
            }
        }
        Ok(graph)
    }

    /// How many revisions there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// All positions, in order of application.
    pub fn positions(&self) -> impl DoubleEndedIterator<Item = Position> + use<> {
        (0..self.nodes.len() as u32).map(Position)
    }

    /// The revision at a position.
    pub fn revision(&self, position: Position) -> &Revision {
        &self.nodes[position.index()].revision
    }

    /// All revisions, in order of application.
    pub fn revisions(&self) -> impl DoubleEndedIterator<Item = &Revision> {
        self.nodes.iter().map(|node| &*node.revision)
    }

    /// Where the revision with exactly this id is.
    pub fn position(&self, id: &str) -> Option<Position> {
        // A `RevisionId` is hashed as its text, so that a text finds it.
        self.by_id.get(id).copied()
    }

    /// The revision with exactly this id.
    pub fn get(&self, id: &str) -> Option<&Revision> {
        self.position(id).map(|position| self.revision(position))
    }

    /// Where the branch with this label starts.
    pub fn labelled(&self, label: &str) -> Option<Position> {
        self.by_label.get(label).copied()
    }

    /// The names that start with `prefix`, in order, each with its revision: ids and branch labels of more than three
    /// characters, as in Alembic.
    pub fn starting_with(&self, prefix: &str) -> Vec<(&str, Position)> {
        let ids = self.by_id.iter().map(|(id, &at)| (id.as_str(), at));
        let labels = self
            .by_label
            .iter()
            .map(|(label, &at)| (label.as_str(), at));
        let mut found: Vec<_> = ids
            .chain(labels)
            .filter(|(name, _)| name.len() > 3 && name.starts_with(prefix))
            .collect();
        found.sort_unstable();
        found
    }

    /// The parents of a revision.
    pub fn parents(&self, position: Position) -> &[Position] {
        &self.nodes[position.index()].parents
    }

    /// The revisions that have this one as a parent, in order of application.
    pub fn children(&self, position: Position) -> &[Position] {
        &self.nodes[position.index()].children
    }

    /// What must be applied before a revision: its parents and its dependencies.
    pub fn needs(&self, position: Position) -> &[Position] {
        &self.nodes[position.index()].needs
    }

    /// What must be applied before a revision without being its parent, in order of application.
    pub fn dependencies(&self, position: Position) -> impl Iterator<Item = Position> + '_ {
        let Node { parents, needs, .. } = &self.nodes[position.index()];
        needs.iter().copied().filter(|need| !parents.contains(need))
    }

    /// What must not be applied without a revision: its children and its dependents.
    pub fn needed_by(&self, position: Position) -> &[Position] {
        &self.nodes[position.index()].needed_by
    }

    /// Whether no other revision has it as a parent.
    pub fn is_head(&self, position: Position) -> bool {
        self.children(position).is_empty()
    }

    /// Whether it has no parent.
    pub fn is_base(&self, position: Position) -> bool {
        self.parents(position).is_empty()
    }

    /// Whether several revisions have it as a parent.
    pub fn is_branch_point(&self, position: Position) -> bool {
        self.children(position).len() > 1
    }

    /// Whether it has several parents.
    pub fn is_merge_point(&self, position: Position) -> bool {
        self.parents(position).len() > 1
    }

    /// The heads, in order of application.
    pub fn heads(&self) -> Vec<Position> {
        self.positions().filter(|&p| self.is_head(p)).collect()
    }

    /// The heads that no other revision depends on, in order of application: the version table's rows when everything is
    /// applied.
    pub fn effective_heads(&self) -> Vec<Position> {
        self.positions()
            .filter(|&p| self.needed_by(p).is_empty())
            .collect()
    }

    /// The bases, in order of application.
    pub fn bases(&self) -> Vec<Position> {
        self.positions().filter(|&p| self.is_base(p)).collect()
    }

    /// The given revisions and all that they need.
    pub fn ancestors(&self, from: impl IntoIterator<Item = Position>) -> Selection {
        self.closure(from, |node| &node.needs)
    }

    /// The given revisions and all that need them.
    pub fn descendants(&self, from: impl IntoIterator<Item = Position>) -> Selection {
        self.closure(from, |node| &node.needed_by)
    }

    /// The given revisions and those that they revise, over any number of generations; without dependencies.
    pub fn branch_ancestors(&self, from: impl IntoIterator<Item = Position>) -> Selection {
        self.closure(from, |node| &node.parents)
    }

    /// The given revisions and those that revise them, over any number of generations; without dependents.
    pub fn branch_descendants(&self, from: impl IntoIterator<Item = Position>) -> Selection {
        self.closure(from, |node| &node.children)
    }

    /// The ancestors and descendants of a revision, and itself; without dependencies and dependents.
    pub fn branch(&self, position: Position) -> Selection {
        let mut branch = self.branch_ancestors([position]);
        branch.extend(&self.branch_descendants([position]));
        branch
    }

    fn closure(
        &self,
        from: impl IntoIterator<Item = Position>,
        next: impl Fn(&Node) -> &[Position],
    ) -> Selection {
        let mut selection = Selection::none(self);
        let mut open: Vec<Position> = from.into_iter().collect();
        while let Some(position) = open.pop() {
            if !selection.insert(position) {
                continue;
            }
            open.extend(next(&self.nodes[position.index()]));
        }
        selection
    }
}

fn places(inputs: &[usize], place: &[Position]) -> Vec<Position> {
    inputs.iter().map(|&input| place[input]).collect()
}

/// A set of revisions of one graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection(Vec<bool>);

impl Selection {
    /// An empty one.
    pub(crate) fn none(graph: &Graph) -> Self {
        Self(vec![false; graph.len()])
    }

    /// Whether the revision is in it.
    pub fn contains(&self, position: Position) -> bool {
        self.0.get(position.index()).copied().unwrap_or(false)
    }

    /// The revisions in it, in order of application.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Position> + '_ {
        (0u32..)
            .zip(&self.0)
            .filter_map(|(position, &selected)| selected.then_some(Position(position)))
            .collect::<Vec<_>>()
            .into_iter()
    }

    /// Adds all of another selection of the same graph.
    pub(crate) fn extend(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine |= theirs;
        }
    }

    /// Whether it has a revision of another selection of the same graph.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        self.0
            .iter()
            .zip(&other.0)
            .any(|(&mine, &theirs)| mine && theirs)
    }

    /// Adds a revision; returns whether it was not in it before.
    pub(crate) fn insert(&mut self, position: Position) -> bool {
        !std::mem::replace(&mut self.0[position.index()], true)
    }

    /// Takes a revision out.
    pub(crate) fn remove(&mut self, position: Position) {
        self.0[position.index()] = false;
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
pub(crate) mod fixture;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
