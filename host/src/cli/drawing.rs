//! How `history --graph` draws revisions and what leads from one to another.

use owo_colors::OwoColorize;
use renderdag::{Ancestor, GraphRowRenderer, Renderer};
use whimbrel::graph::{Graph, Position};

use super::report::Report;
use super::view::{Detail, Rows, Views};

/// Prints the given revisions, the newest first, with their edges at the left.
pub(crate) fn print(report: &Report, graph: &Graph, newest_first: &[Position], rows: Rows<'_>) {
    let detail = if report.is_verbose() {
        Detail::Long
    } else {
        Detail::Step
    };
    let mut renderer = GraphRowRenderer::new()
        .output()
        .with_min_row_height(1)
        .build_box_drawing();
    let views = Views::new(graph, rows);
    for &position in newest_first {
        let is_current = rows.is_some_and(|rows| {
            let id = &graph.revision(position).id;
            rows.iter().any(|row| row == id.as_str())
        });
        let node = if is_current {
            "●".green().to_string()
        } else {
            "○".to_owned()
        };
        let text = views.of(position).text(detail);
        let row = renderer.next_row(position, edges(graph, position, newest_first), node, text);
        report.line(row.trim_end_matches('\n'));
    }
}

/// What a revision needs, as the crate draws it; what is not drawn itself is one loose end.
fn edges(graph: &Graph, position: Position, newest_first: &[Position]) -> Vec<Ancestor<Position>> {
    let is_drawn = |need: &Position| newest_first.binary_search_by(|at| need.cmp(at)).is_ok();
    let parents = graph.parents(position);
    let dependencies = graph.dependencies(position);
    let needs = parents.iter().copied().map(Ancestor::Parent);
    let mut edges: Vec<Ancestor<Position>> = needs
        .chain(dependencies.map(Ancestor::Ancestor))
        .filter(|edge| match edge {
            Ancestor::Parent(need) | Ancestor::Ancestor(need) => is_drawn(need),
            Ancestor::Anonymous => true,
        })
        .collect();
    if edges.len() < graph.needs(position).len() {
        edges.push(Ancestor::Anonymous);
    }
    edges
}
