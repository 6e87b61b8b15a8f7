//! The graph as SVG, in rows and lanes as a log of commits is drawn.

use std::fmt::Write as _;

use super::lanes::{Edge, Kind, Layout};
use super::text::{harmless, xml};
use super::{Picture, State};
use crate::graph::Position;

/// How it looks, by day and by night.
pub(super) const STYLE: &str = include_str!("style.css");

const ROW: usize = 28;
const MARGIN: usize = 20;
/// The colours of lanes, over and over.
const COLOURS: usize = 8;
/// A longer message is cut; whoever points at it reads all of it.
const LONGEST_MESSAGE: usize = 120;

/// A document of its own.
pub(super) fn document(picture: &Picture<'_>) -> String {
    let style = format!(
        "<style>\n{STYLE}</style>\n<rect class=\"ground\" width=\"100%\" height=\"100%\"/>\n"
    );
    render(picture, &style)
}

/// The `svg` element, with `head` in front of what is drawn.
pub(super) fn render(picture: &Picture<'_>, head: &str) -> String {
    let layout = Layout::of(picture.graph);
    let lane = LaneWidth::of(&layout);
    let legend = !picture.states.is_empty();
    let top = MARGIN + if legend { ROW } else { 0 };
    let height = top + layout.rows.len().max(1) * ROW + MARGIN / 2;
    let caption = |row: usize| lane.at(layout.extents[row]) + 4;
    let ends = layout.rows.iter().enumerate();
    let ends = ends.map(|(row, &(at, _))| caption(row) + caption_width(picture, at));
    let width = (ends.max().unwrap_or(0) + MARGIN).max(320);

    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         role=\"img\" aria-label=\"revisions\">\n{head}"
    );
    if legend {
        write_legend(&mut out);
    }
    writeln!(out, "<g transform=\"translate(0 {})\">", top).ok();
    for edge in &layout.edges {
        write_edge(&mut out, edge, lane);
    }
    for (row, &(position, at)) in layout.rows.iter().enumerate() {
        let place = (lane.at(at), middle(row));
        let class = picture.state(position).map_or("plain", State::name);
        writeln!(out, "<g class=\"revision {class}\">").ok();
        write_row(&mut out, row);
        write_node(&mut out, class, at % COLOURS, place);
        write_caption(&mut out, picture, position, (caption(row), place.1 + 4));
        out.push_str("</g>\n");
    }
    if layout.rows.is_empty() {
        writeln!(out, "<text x=\"{MARGIN}\" y=\"18\">no revisions</text>").ok();
    }
    out.push_str("</g>\n</svg>\n");
    out
}

/// Lanes stand closer together where there are many.
#[derive(Debug, Clone, Copy)]
struct LaneWidth(usize);

impl LaneWidth {
    fn of(layout: &Layout) -> Self {
        Self((480 / layout.width.max(1)).clamp(5, 18))
    }

    fn at(self, lane: usize) -> usize {
        MARGIN + lane * self.0
    }
}

fn middle(row: usize) -> usize {
    row * ROW + ROW / 2
}

fn write_edge(out: &mut String, edge: &Edge, lane: LaneWidth) {
    let (x, y) = (lane.at(edge.from.lane), middle(edge.from.row));
    let (to_x, to_y) = (lane.at(edge.to.lane), middle(edge.to.row));
    let mut path = format!("M{x} {y}");
    if edge.from.row + 1 < edge.to.row {
        let along = lane.at(edge.lane);
        curve(&mut path, (x, y), (along, y + ROW));
        write!(path, "V{}", to_y - ROW).ok();
        curve(&mut path, (along, to_y - ROW), (to_x, to_y));
    } else {
        curve(&mut path, (x, y), (to_x, to_y));
    }
    let kind = match edge.kind {
        Kind::Parent => "parent",
        Kind::Dependency => "dependency",
    };
    let colour = edge.lane % COLOURS;
    writeln!(
        out,
        "<path class=\"edge {kind} lane{colour}\" d=\"{path}\"/>"
    )
    .ok();
}

fn curve(path: &mut String, (x, y): (usize, usize), (to_x, to_y): (usize, usize)) {
    if x == to_x {
        write!(path, "V{to_y}").ok();
    } else {
        let half = y.midpoint(to_y);
        write!(path, "C{x} {half} {to_x} {half} {to_x} {to_y}").ok();
    }
}

/// What shows where the pointer is.
fn write_row(out: &mut String, row: usize) {
    let top = row * ROW;
    writeln!(
        out,
        "<rect class=\"row\" y=\"{top}\" width=\"100%\" height=\"{ROW}\"/>"
    )
    .ok();
}

fn write_caption(
    out: &mut String,
    picture: &Picture<'_>,
    position: Position,
    (x, y): (usize, usize),
) {
    let revision = picture.graph.revision(position);
    let id = xml(revision.id.as_str());
    writeln!(out, "<title>{}</title>", xml(&picture.details(position))).ok();
    write!(
        out,
        "<text x=\"{x}\" y=\"{y}\"><tspan class=\"id\">{id}</tspan>"
    )
    .ok();
    for label in &revision.labels {
        write!(
            out,
            "<tspan class=\"label\" dx=\"8\">[{}]</tspan>",
            xml(label)
        )
        .ok();
    }
    if picture.state(position) == Some(State::Current) {
        out.push_str("<tspan class=\"mark\" dx=\"8\">current</tspan>");
    }
    if !revision.message.is_empty() {
        let message = xml(&cut(&harmless(&revision.message)));
        write!(out, "<tspan class=\"message\" dx=\"10\">{message}</tspan>").ok();
    }
    out.push_str("</text>\n");
}

fn write_node(out: &mut String, class: &str, colour: usize, (x, y): (usize, usize)) {
    if class == State::Current.name() {
        writeln!(
            out,
            "<circle class=\"ring lane{colour}\" cx=\"{x}\" cy=\"{y}\" r=\"8\"/>"
        )
        .ok();
    }
    writeln!(
        out,
        "<circle class=\"node {class} lane{colour}\" cx=\"{x}\" cy=\"{y}\" r=\"5\"/>"
    )
    .ok();
}

fn write_legend(out: &mut String) {
    out.push_str("<g class=\"legend\">\n");
    for (index, state) in State::ALL.into_iter().enumerate() {
        let x = MARGIN + index * 90;
        write_node(out, state.name(), 0, (x, MARGIN));
        let (x, y, name) = (x + 14, MARGIN + 4, state.name());
        writeln!(out, "<text x=\"{x}\" y=\"{y}\">{name}</text>").ok();
    }
    out.push_str("</g>\n");
}

fn cut(message: &str) -> String {
    match message.char_indices().nth(LONGEST_MESSAGE) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    }
}

/// How wide a caption may become; letters beyond ASCII may be twice as wide.
fn caption_width(picture: &Picture<'_>, position: Position) -> usize {
    let revision = picture.graph.revision(position);
    let message = cut(&harmless(&revision.message));
    let labels = revision.labels.iter().flat_map(|label| label.chars());
    let letters = revision
        .id
        .as_str()
        .chars()
        .chain(labels)
        .chain(message.chars());
    let units: usize = letters.map(|c| if c.is_ascii() { 1 } else { 2 }).sum();
    units * 8 + 24 * revision.labels.len() + 80
}
