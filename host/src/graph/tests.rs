use super::fixture::{graph, revisions, try_graph};
use super::*;

const DIAMOND: &str = "
    a
    b: a [left]
    c: a
    d: b c
";

fn names(graph: &Graph, positions: &[Position]) -> String {
    positions
        .iter()
        .map(|&p| graph.revision(p).id.as_str())
        .collect::<Vec<_>>()
        .join(" ")
}

fn order(graph: &Graph) -> String {
    names(graph, &graph.positions().collect::<Vec<_>>())
}

fn errors(text: &str) -> Vec<String> {
    let errors = try_graph(text).unwrap_err();
    errors.0.iter().map(ToString::to_string).collect()
}

#[test]
fn an_empty_graph_has_neither_heads_nor_bases() {
    let graph = graph("");
    assert!(graph.is_empty());
    assert_eq!(graph.heads(), []);
    assert_eq!(graph.bases(), []);
}

#[test]
fn a_diamond_has_one_head_one_base_a_branch_point_and_a_merge_point() {
    let graph = graph(DIAMOND);
    let at = |id: &str| graph.position(id).unwrap();
    assert_eq!(names(&graph, &graph.heads()), "d");
    assert_eq!(names(&graph, &graph.bases()), "a");
    assert!(graph.is_branch_point(at("a")) && !graph.is_branch_point(at("b")));
    assert!(graph.is_merge_point(at("d")) && !graph.is_merge_point(at("c")));
    assert_eq!(names(&graph, graph.children(at("a"))), "b c");
    assert_eq!(names(&graph, graph.parents(at("d"))), "b c");
    assert_eq!(graph.labelled("left"), Some(at("b")));
}

#[test]
fn the_order_does_not_depend_on_the_order_of_reading() {
    let mut reversed = revisions(DIAMOND);
    reversed.reverse();
    assert_eq!(order(&Graph::new(reversed).unwrap()), "a b c d");
}

#[test]
fn an_older_revision_comes_first_where_the_graph_leaves_the_choice() {
    let mut all = revisions("a\nb: a\nc: a");
    all[2].created = Some("2020-01-01T00:00:00Z".parse().unwrap());
    all[1].created = Some("2021-01-01T00:00:00Z".parse().unwrap());
    assert_eq!(order(&Graph::new(all).unwrap()), "a c b");
}

#[test]
fn a_dependency_orders_but_makes_neither_parent_nor_branch() {
    let graph = graph("a\nz: / b\nb: a\nc: b");
    let z = graph.position("z").unwrap();
    assert_eq!(order(&graph), "a b c z");
    assert!(graph.is_base(z) && graph.is_head(z));
    assert!(!graph.is_branch_point(graph.position("b").unwrap()));
    assert_eq!(names(&graph, graph.needs(z)), "b");
}

#[test]
fn closures_follow_both_kinds_of_edges() {
    let graph = graph("a\nb: a\nx\ny: x / b");
    let at = |id: &str| graph.position(id).unwrap();
    let up: Vec<_> = graph.ancestors([at("y")]).iter().collect();
    assert_eq!(names(&graph, &up), "a b x y");
    let down: Vec<_> = graph.descendants([at("a")]).iter().collect();
    assert_eq!(names(&graph, &down), "a b y");
}

#[test]
fn a_parent_that_is_named_twice_counts_once() {
    let graph = graph("a\nb: a a / a");
    let b = graph.position("b").unwrap();
    assert!(!graph.is_merge_point(b));
    assert_eq!(graph.needs(b).len(), 1);
}

#[test]
fn every_error_names_its_files() {
    assert_eq!(
        errors("a\na"),
        ["revision a exists twice: in migrations/a.sql and in migrations/a.sql"]
    );
    assert_eq!(
        errors("a\nb: x / y"),
        [
            "revision b revises x, which no migration has (migrations/b.sql)",
            "revision b depends on y, which no migration has (migrations/b.sql)"
        ]
    );
    assert_eq!(
        errors("a: a"),
        ["revision a revises itself (migrations/a.sql)"]
    );
    assert_eq!(
        errors("a: [l]\nb: a [l]"),
        ["branch label `l` is used twice: in migrations/a.sql and in migrations/b.sql"]
    );
    assert_eq!(
        errors("a\nb: a [a]"),
        ["branch label `a` is used twice: in migrations/a.sql and in migrations/b.sql"]
    );
}

#[test]
fn a_cycle_is_shown_from_end_to_end_without_what_hangs_on_it() {
    assert_eq!(
        errors("root\na: root / c\nb: a\nc: b\ntail: c"),
        [
            "revisions form a cycle: a -> c -> b -> a (migrations/a.sql, migrations/c.sql, migrations/b.sql)"
        ]
    );
}

#[test]
fn prefixes_find_ids_in_order() {
    let graph = graph("ab10\nab20: ab10 [abel]\nabc: ab20\nac10: abc");
    let found: Vec<_> = graph
        .starting_with("ab")
        .into_iter()
        .map(|(name, at)| (name, at.index()))
        .collect();
    assert_eq!(found, [("ab10", 0), ("ab20", 1), ("abel", 1)]);
    assert!(graph.starting_with("x").is_empty());
}

#[test]
fn a_dependency_can_be_named_by_its_label() {
    let graph = graph("a: [first]\nb\nc: b / first");
    let at = |id: &str| graph.position(id).unwrap();
    assert_eq!(graph.needs(at("c")), [at("a"), at("b")]);
    assert_eq!(graph.effective_heads(), [at("c")]);
    assert_eq!(graph.heads(), [at("a"), at("c")]);
    assert_eq!(
        errors("a: [first]\nb: / second"),
        ["revision b depends on second, which no migration has (migrations/b.sql)"]
    );
}
