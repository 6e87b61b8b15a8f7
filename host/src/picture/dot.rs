//! The graph in Graphviz's language.

use std::fmt::Write as _;

use super::{Picture, State};

pub(super) fn render(picture: &Picture<'_>) -> String {
    let graph = picture.graph;
    let mut out = "digraph revisions {\n  rankdir=BT\n  \
                   node [shape=box, style=rounded, fontname=\"sans-serif\", fontsize=11]\n"
        .to_owned();
    for position in graph.positions() {
        let lines: Vec<String> = picture
            .caption(position)
            .iter()
            .map(|line| escaped(line))
            .collect();
        let id = &graph.revision(position).id;
        let label = lines.join("\\n");
        let style = picture.state(position).map_or("", style);
        writeln!(out, "  \"{id}\" [label=\"{label}\"{style}]").ok();
    }
    for position in graph.positions() {
        let to = &graph.revision(position).id;
        for &parent in graph.parents(position) {
            let from = &graph.revision(parent).id;
            writeln!(out, "  \"{from}\" -> \"{to}\"").ok();
        }
        for dependency in graph.dependencies(position) {
            let from = &graph.revision(dependency).id;
            writeln!(out, "  \"{from}\" -> \"{to}\" [style=dashed]").ok();
        }
    }
    out.push_str("}\n");
    out
}

fn style(state: State) -> &'static str {
    match state {
        State::Applied => ", style=\"rounded,filled\", fillcolor=\"#dcfce7\", color=\"#15803d\"",
        State::Pending => ", style=\"rounded,dashed\", color=\"#64748b\", fontcolor=\"#334155\"",
        State::Current => {
            ", style=\"rounded,filled\", fillcolor=\"#15803d\", color=\"#14532d\", fontcolor=\"#ffffff\", penwidth=3"
        }
    }
}

/// A text between quotes. Graphviz reads escapes and entities there.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => escaped.push_str("\\\\"),
            '"' => escaped.push_str("\\\""),
            '&' => escaped.push_str("&amp;"),
            c => escaped.push(c),
        }
    }
    escaped
}
