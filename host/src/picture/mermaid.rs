//! The graph as a Mermaid flowchart.

use std::fmt::Write as _;

use super::{Picture, State};

pub(super) fn render(picture: &Picture<'_>) -> String {
    let graph = picture.graph;
    let mut out = "flowchart BT\n".to_owned();
    for position in graph.positions() {
        let lines: Vec<String> = picture
            .caption(position)
            .iter()
            .map(|line| escaped(line))
            .collect();
        // Some ids, such as `end`, are words of the language.
        let line = format!("  r{}[\"{}\"]", position.index(), lines.join("<br/>"));
        writeln!(out, "{line}").ok();
    }
    for position in graph.positions() {
        let to = position.index();
        for parent in graph.parents(position) {
            writeln!(out, "  r{} --> r{to}", parent.index()).ok();
        }
        for dependency in graph.dependencies(position) {
            writeln!(out, "  r{} -.-> r{to}", dependency.index()).ok();
        }
    }
    for state in State::ALL {
        let of_state: Vec<String> = graph
            .positions()
            .filter(|&position| picture.state(position) == Some(state))
            .map(|position| format!("r{}", position.index()))
            .collect();
        if !of_state.is_empty() {
            let name = state.name();
            writeln!(out, "  classDef {name} {}", style(state)).ok();
            writeln!(out, "  class {} {name}", of_state.join(",")).ok();
        }
    }
    out
}

fn style(state: State) -> &'static str {
    match state {
        State::Applied => "fill:#dcfce7,stroke:#15803d,color:#14532d",
        State::Pending => "fill:#ffffff,stroke:#64748b,color:#334155,stroke-dasharray:4 3",
        State::Current => "fill:#15803d,stroke:#14532d,color:#ffffff,stroke-width:3px",
    }
}

/// A text between quotes. Mermaid reads markup and Markdown there, so that all but letters and digits is written by
/// number.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_alphanumeric() || matches!(c, ' ' | ',') {
            escaped.push(c);
        } else {
            write!(escaped, "#{};", u32::from(c)).ok();
        }
    }
    escaped
}
