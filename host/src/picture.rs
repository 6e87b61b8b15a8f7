//! Pictures of the revision graph: Mermaid, Graphviz, SVG, and a page with a search box. No IO.
//!
//! Whoever writes a migration chooses its message, and a picture may end in a browser or in a tool with a language of
//! its own. So every text of a revision goes through the escaping of its format, and none can bring markup along.

mod dot;
mod html;
mod lanes;
mod mermaid;
mod svg;
mod text;

use crate::graph::{Graph, Position};
use crate::plan::Applied;
use crate::revision::RevisionId;

/// Where a revision stands in a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is applied, and another one that is applied needs it.
    Applied,
    /// It is not applied.
    Pending,
    /// It is applied, and the version table has a row for it.
    Current,
}

impl State {
    /// All of them, in the order of a legend.
    pub(crate) const ALL: [Self; 3] = [Self::Current, Self::Applied, Self::Pending];

    /// Its name, as pictures show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Pending => "pending",
            Self::Current => "current",
        }
    }
}

/// All revisions of a graph, to be drawn; the newest is at the top.
#[derive(Debug, Clone)]
pub struct Picture<'a> {
    graph: &'a Graph,
    /// By position; empty where no database was asked.
    states: Vec<State>,
}

impl<'a> Picture<'a> {
    /// Shows all revisions alike.
    pub fn new(graph: &'a Graph) -> Self {
        Self {
            graph,
            states: Vec::new(),
        }
    }

    /// Tells apart what a database has and what it lacks.
    pub fn with_states(graph: &'a Graph, applied: &Applied) -> Self {
        let mut states: Vec<State> = graph
            .positions()
            .map(|position| match applied.selection().contains(position) {
                true => State::Applied,
                false => State::Pending,
            })
            .collect();
        for tip in applied.tips() {
            states[tip.index()] = State::Current;
        }
        Self { graph, states }
    }

    /// A flowchart for [Mermaid](https://mermaid.js.org), which GitHub and GitLab draw in Markdown.
    pub fn mermaid(&self) -> String {
        mermaid::render(self)
    }

    /// A digraph for [Graphviz](https://graphviz.org).
    pub fn dot(&self) -> String {
        dot::render(self)
    }

    /// An SVG document: a row for each revision, a lane for each branch.
    pub fn svg(&self) -> String {
        svg::document(self)
    }

    /// One HTML file that loads nothing: the SVG with a search box.
    pub fn html(&self) -> String {
        html::render(self)
    }

    /// Where a revision stands; none where no database was asked.
    fn state(&self, position: Position) -> Option<State> {
        self.states.get(position.index()).copied()
    }

    /// What a revision is shown as, from its id on, each part of it a line where the format has lines.
    fn caption(&self, position: Position) -> Vec<String> {
        let revision = self.graph.revision(position);
        let mut lines = vec![revision.id.to_string()];
        if !revision.labels.is_empty() {
            lines.push(format!("[{}]", revision.labels.join(", ")));
        }
        if !revision.message.is_empty() {
            lines.push(text::harmless(&revision.message));
        }
        lines
    }

    /// Everything that a reader may want to know of a revision, a line each.
    fn details(&self, position: Position) -> String {
        let revision = self.graph.revision(position);
        let ids = |ids: &[RevisionId]| {
            let ids: Vec<&str> = ids.iter().map(RevisionId::as_str).collect();
            ids.join(", ")
        };
        let lines = [
            ("", revision.id.to_string()),
            ("", text::harmless(&revision.message)),
            ("labels: ", revision.labels.join(", ")),
            ("revises: ", ids(&revision.revises)),
            ("depends on: ", ids(&revision.depends_on)),
            ("path: ", text::harmless(revision.path.as_str())),
            (
                "state: ",
                self.state(position)
                    .map_or(String::new(), |state| state.name().to_owned()),
            ),
        ];
        let lines: Vec<String> = lines
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| format!("{name}{value}"))
            .collect();
        lines.join("\n")
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
