use super::lanes::{Kind, Layout};
use super::*;
use crate::graph::fixture::{graph, revisions};

/// Two branches, joined again, one of which depends on a third.
const FAMILY: &str = "
    a
    z
    b: a [left]
    c: a / z
    d: b c
";

/// What an author might try in each of the formats.
const HOSTILE: &str = "\"]; click r0 \"javascript:x()\"\n</title></text><script>x('&')</script> \\\" -> `**b**` \u{202e}\u{1b}[31m";

fn hostile() -> Graph {
    let mut all = revisions("a");
    all[0].message = HOSTILE.to_owned();
    Graph::new(all).unwrap()
}

fn at_b(graph: &Graph) -> Picture<'_> {
    Picture::with_states(graph, &Applied::from_rows(graph, &["b"]).unwrap())
}

#[test]
fn a_revision_is_applied_pending_or_current() {
    let graph = graph(FAMILY);
    let picture = at_b(&graph);
    let state = |id: &str| picture.state(graph.position(id).unwrap());
    assert_eq!(state("a"), Some(State::Applied));
    assert_eq!(state("b"), Some(State::Current));
    assert_eq!(state("c"), Some(State::Pending));
    let plain = Picture::new(&graph);
    assert!(graph.positions().all(|at| plain.state(at).is_none()));
}

#[test]
fn mermaid_shows_edges_and_states() {
    let graph = graph(FAMILY);
    let edges = "  r0 --> r1\n  r0 --> r3\n  r2 -.-> r3\n  r1 --> r4\n  r3 --> r4\n";
    let plain = Picture::new(&graph).mermaid();
    assert!(plain.starts_with("flowchart BT\n  r0[\"a\"]\n"), "{plain}");
    assert!(plain.contains("  r1[\"b<br/>#91;left#93;\"]\n"), "{plain}");
    assert!(plain.ends_with(edges), "{plain}");
    let states = at_b(&graph).mermaid();
    assert!(states.contains("\n  class r1 current\n"), "{states}");
    assert!(states.contains("\n  class r0 applied\n"), "{states}");
    assert!(states.contains("\n  class r2,r3,r4 pending\n"), "{states}");
}

#[test]
fn mermaid_reads_no_markup_of_a_message() {
    let picture = Picture::new(&hostile()).mermaid();
    let line = picture.lines().nth(1).unwrap();
    let label = line.strip_prefix("  r0[\"a<br/>").unwrap();
    let label = label.strip_suffix("\"]").unwrap();
    assert!(picture.lines().count() == 2, "{picture}");
    assert!(
        label
            .chars()
            .all(|c| c.is_alphanumeric() || " ,#;".contains(c)),
        "{label}"
    );
    assert!(label.starts_with("#34;#93;#59; click r0 "), "{label}");
}

#[test]
fn dot_shows_edges_and_states() {
    let graph = graph(FAMILY);
    let plain = Picture::new(&graph).dot();
    for line in [
        "  \"a\" [label=\"a\"]\n",
        "  \"b\" [label=\"b\\n[left]\"]\n",
        "  \"a\" -> \"c\"\n",
        "  \"z\" -> \"c\" [style=dashed]\n",
    ] {
        assert!(plain.contains(line), "{plain}");
    }
    let states = at_b(&graph).dot();
    let of = |id: &str| {
        let start = format!("  \"{id}\" [label");
        states
            .lines()
            .find(|line| line.starts_with(&start))
            .unwrap()
            .to_owned()
    };
    assert!(of("b").contains("penwidth=3"), "{states}");
    assert!(of("a").contains("rounded,filled"), "{states}");
    assert!(of("c").contains("rounded,dashed"), "{states}");
}

#[test]
fn dot_ends_no_string_and_reads_no_escape_of_a_message() {
    let picture = Picture::new(&hostile()).dot();
    let line = picture.lines().find(|line| line.contains("label")).unwrap();
    assert!(
        line.ends_with(" -> `**b**` \u{fffd}\u{fffd}[31m\"]"),
        "{line}"
    );
    assert!(
        line.starts_with("  \"a\" [label=\"a\\n\\\"]; click r0 \\\"javascript"),
        "{line}"
    );
    assert!(line.contains("x('&amp;')"), "{line}");
    assert!(line.contains(" \\\\\\\" -> "), "{line}");
}

#[test]
fn svg_shows_edges_and_states() {
    let graph = graph(FAMILY);
    let plain = Picture::new(&graph).svg();
    assert_eq!(plain.matches("class=\"edge parent").count(), 4);
    assert_eq!(plain.matches("class=\"edge dependency").count(), 1);
    assert_eq!(plain.matches("class=\"revision plain\"").count(), 5);
    assert!(plain.contains("depends on: z"));
    assert!(!plain.contains("legend"));
    let states = at_b(&graph).svg();
    for (state, count) in [("applied", 1), ("current", 1), ("pending", 3)] {
        let class = format!("class=\"revision {state}\"");
        assert_eq!(states.matches(&class).count(), count, "{state}");
    }
    assert!(states.contains("legend"));
}

#[test]
fn svg_and_html_take_no_markup_of_a_message() {
    let graph = hostile();
    let picture = Picture::new(&graph);
    for text in [picture.svg(), picture.html()] {
        assert!(!text.contains("<script>x("), "{text}");
        assert!(text.contains("&lt;/title&gt;&lt;/text&gt;&lt;script&gt;x(&#39;&amp;&#39;)"));
        assert!(!text.contains(['\u{202e}', '\u{1b}']));
        assert_eq!(
            text.matches("<script").count(),
            text.matches("</html>").count()
        );
    }
}

#[test]
fn html_loads_nothing() {
    let graph = graph(FAMILY);
    let page = Picture::new(&graph).html();
    assert!(page.contains("default-src 'none'"));
    let addresses = page.matches("http").count();
    let known =
        page.matches("http-equiv").count() + page.matches("http://www.w3.org/2000/svg").count();
    assert_eq!(addresses, known);
}

#[test]
fn an_empty_graph_is_drawn() {
    let graph = graph("");
    let picture = Picture::new(&graph);
    assert_eq!(picture.mermaid(), "flowchart BT\n");
    assert!(picture.svg().contains("no revisions"));
}

#[test]
fn no_line_runs_through_a_revision_that_it_does_not_touch() {
    for family in [FAMILY, "a\nb: a\nc: b\nd: a\ne: d\nf: c / d\ng: e a"] {
        let layout = Layout::of(&graph(family));
        for edge in &layout.edges {
            for (row, &(_, lane)) in layout.rows.iter().enumerate() {
                let passes = edge.from.row < row && row < edge.to.row;
                assert!(
                    !passes || lane != edge.lane,
                    "{edge:?} runs through row {row} of {family}"
                );
            }
        }
    }
}

#[test]
fn the_trunk_stays_at_the_left() {
    let layout = Layout::of(&graph("a\nb: a\nc: b\nd: b\ne: c d"));
    let lanes: Vec<usize> = layout.rows.iter().map(|&(_, lane)| lane).collect();
    assert_eq!(lanes, [0, 1, 0, 0, 0]);
}

#[test]
fn many_children_take_few_lanes() {
    let children: String = (0..100).map(|number| format!("c{number}: a\n")).collect();
    let layout = Layout::of(&graph(&format!("a\n{children}")));
    assert_eq!(layout.width, 2);
    assert_eq!(layout.edges.len(), 100);
    assert!(layout.edges.iter().all(|edge| edge.kind == Kind::Parent));
}
