//! How a revision is shown, in text and in JSON.

use owo_colors::OwoColorize;
use serde::Serialize;
use whimbrel::graph::{Graph, Position};
use whimbrel::revision::RevisionId;

use super::report::{Format, Report};

/// A revision as `--json` prints it.
#[derive(Debug, Serialize)]
pub(crate) struct RevisionView<'a> {
    id: &'a RevisionId,
    revises: &'a [RevisionId],
    depends_on: &'a [RevisionId],
    labels: &'a [String],
    /// The labels that hold at it: its own, and those that it has from the branch that it is on.
    branch_labels: Vec<&'a str>,
    message: &'a str,
    created: Option<String>,
    path: &'a str,
    kind: whimbrel::revision::Kind,
    is_head: bool,
    is_base: bool,
    is_branch_point: bool,
    is_merge_point: bool,
    /// Whether the version table has it; `null` where the database was not asked.
    is_current: Option<bool>,
    /// Whether another revision depends on it.
    #[serde(skip)]
    is_depended_on: bool,
    /// Where a branch point leads to.
    #[serde(skip)]
    leads_to: Vec<&'a str>,
}

/// The version table's rows, where the database was asked for them.
pub(crate) type Rows<'a> = Option<&'a [String]>;

/// Descriptions of the revisions of one graph.
pub(crate) struct Views<'a> {
    graph: &'a Graph,
    branch_labels: Vec<Vec<&'a str>>,
    rows: Rows<'a>,
}

impl<'a> Views<'a> {
    /// Looks at a graph, and at the version table's rows where the database was asked for them.
    pub(crate) fn new(graph: &'a Graph, rows: Rows<'a>) -> Self {
        Self {
            graph,
            branch_labels: graph.branch_labels(),
            rows,
        }
    }

    /// Describes one revision.
    pub(crate) fn of(&self, position: Position) -> RevisionView<'a> {
        let graph = self.graph;
        let revision = graph.revision(position);
        let is_row = |rows: &[String]| rows.iter().any(|row| row == revision.id.as_str());
        RevisionView {
            id: &revision.id,
            revises: &revision.revises,
            depends_on: &revision.depends_on,
            labels: &revision.labels,
            branch_labels: self.branch_labels[position.index()].clone(),
            message: &revision.message,
            created: revision.created.map(|time| format!("{time:.0}")),
            path: revision.path.as_str(),
            kind: revision.kind,
            is_head: graph.is_head(position),
            is_base: graph.is_base(position),
            is_branch_point: graph.is_branch_point(position),
            is_merge_point: graph.is_merge_point(position),
            is_current: self.rows.map(is_row),
            is_depended_on: graph.needed_by(position).len() > graph.children(position).len(),
            leads_to: match graph.is_branch_point(position) {
                true => graph
                    .children(position)
                    .iter()
                    .map(|&child| graph.revision(child).id.as_str())
                    .collect(),
                false => Vec::new(),
            },
        }
    }
}

impl RevisionView<'_> {
    /// What it is made of.
    pub(crate) fn kind(&self) -> whimbrel::revision::Kind {
        self.kind
    }

    /// What is special about it, in parentheses after its id.
    fn marks(&self) -> String {
        let flags = [
            (self.is_current == Some(true), "current"),
            (self.is_head && !self.is_depended_on, "head"),
            // Alembic's word for a head that the version table has no row for once all is applied.
            (self.is_head && self.is_depended_on, "effective head"),
            (self.is_branch_point, "branch point"),
            (self.is_merge_point, "merge point"),
        ];
        let marks: Vec<&str> = flags
            .iter()
            .filter_map(|(holds, mark)| holds.then_some(*mark))
            .collect();
        let labels = match self.branch_labels.as_slice() {
            [] => String::new(),
            labels => format!(" [{}]", labels.join(", ")),
        };
        match marks.as_slice() {
            [] => labels,
            marks => format!("{labels} ({})", marks.join(", ")),
        }
    }

    /// `ae10 [label] (head), message`
    pub(crate) fn short(&self) -> String {
        format!(
            "{}{}{}",
            self.id.yellow(),
            self.marks().green(),
            self.after()
        )
    }

    /// `1975 -> ae10 [label] (head), message`; after the parents, in parentheses, what it depends on.
    fn step(&self) -> String {
        let parents = match self.revises {
            [] => "<base>".to_owned(),
            parents => parents
                .iter()
                .map(RevisionId::as_str)
                .collect::<Vec<_>>()
                .join(", "),
        };
        let parents = match self.depends_on {
            [] => parents,
            needed => {
                let needed: Vec<&str> = needed.iter().map(RevisionId::as_str).collect();
                format!("{parents} ({})", needed.join(", "))
            }
        };
        format!("{} -> {}", parents.dimmed(), self.short())
    }

    /// As a listing of this detail shows it; on several lines only where everything is shown.
    pub(crate) fn text(&self, detail: Detail) -> String {
        match detail {
            Detail::Short => self.short(),
            Detail::Step => self.step(),
            Detail::Long => self.long(),
        }
    }

    fn after(&self) -> String {
        match self.message {
            "" => String::new(),
            message => format!(", {message}"),
        }
    }

    /// Every key on a line of its own.
    pub(crate) fn long(&self) -> String {
        let ids = |ids: &[RevisionId]| {
            ids.iter()
                .map(RevisionId::as_str)
                .collect::<Vec<_>>()
                .join(", ")
        };
        let revises = match self.revises {
            [] => "<base>".to_owned(),
            parents => ids(parents),
        };
        let lines = [
            (
                "Revision",
                format!("{}{}", self.id.yellow(), self.marks().green()),
            ),
            ("Revises", revises),
            ("Depends on", ids(self.depends_on)),
            ("Leads to", self.leads_to.join(", ")),
            ("Labels", self.labels.join(", ")),
            ("Message", self.message.to_owned()),
            ("Created", self.created.clone().unwrap_or_default()),
            ("Kind", self.kind.to_string()),
            ("Path", self.path.to_owned()),
        ];
        let lines: Vec<String> = lines
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| format!("{:<12}{value}", format!("{name}:")))
            .collect();
        lines.join("\n")
    }
}

/// How much of each revision is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Id, marks and message.
    Short,
    /// The same with its parents in front.
    Step,
    /// Everything.
    Long,
}

/// Prints revisions: one JSON array, or as text.
pub(crate) fn print<'a>(
    report: &Report,
    graph: &'a Graph,
    positions: impl IntoIterator<Item = Position>,
    rows: Rows<'a>,
    detail: Detail,
) {
    let described = Views::new(graph, rows);
    let views: Vec<RevisionView<'a>> = positions
        .into_iter()
        .map(|position| described.of(position))
        .collect();
    if report.format() == Format::Json {
        return report.json(&views);
    }
    let detail = if report.is_verbose() {
        Detail::Long
    } else {
        detail
    };
    for (index, view) in views.iter().enumerate() {
        if index > 0 && detail == Detail::Long {
            report.line("");
        }
        report.line(view.text(detail));
    }
}
