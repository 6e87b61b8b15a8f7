use super::*;
use crate::graph::fixture::graph;

const DIAMOND: &str = "
    aa10
    bb20: aa10 [left]
    bb21: aa10
    cc30: bb20 bb21
    dd40: cc30
";

fn resolve(graph: &Graph, text: &str) -> Result<String, TargetError> {
    text.parse::<Target>()?.resolve(graph).map(|found| {
        ids(graph, &found)
            .iter()
            .map(|id| id.as_str().to_owned())
            .collect::<Vec<_>>()
            .join(" ")
    })
}

fn step(
    graph: &Graph,
    rows: &[&str],
    text: &str,
    direction: Direction,
) -> Result<String, TargetError> {
    let applied = graph.ancestors(rows.iter().map(|row| graph.position(row).unwrap()));
    let target: Target = text.parse()?;
    let found = match direction {
        Direction::Upgrade => target.resolve_upgrade(graph, &applied),
        Direction::Downgrade => target.resolve_downgrade(graph, &applied),
    }?;
    Ok(list(&ids(graph, &found)))
}

#[test]
fn every_form_is_read_and_written_the_same() {
    for text in ["head", "heads", "base", "+2", "-1", "ae10", "billing"] {
        assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
    }
}

#[test]
fn what_is_not_of_the_language_is_refused() {
    for text in ["", "+", "-", "+x", "a b", "current", "a:b", "--1"] {
        assert_eq!(
            text.parse::<Target>(),
            Err(TargetError::Malformed(text.to_owned())),
            "{text:?}"
        );
    }
}

#[test]
fn names_are_ids_labels_or_unique_prefixes() {
    let graph = graph(DIAMOND);
    assert_eq!(resolve(&graph, "aa10").unwrap(), "aa10");
    assert_eq!(resolve(&graph, "aa").unwrap(), "aa10");
    assert_eq!(resolve(&graph, "left").unwrap(), "bb20");
    assert_eq!(resolve(&graph, "head").unwrap(), "dd40");
    assert_eq!(resolve(&graph, "base").unwrap(), "");
    assert_eq!(
        resolve(&graph, "bb").unwrap_err().to_string(),
        "`bb` is the start of 2 ids: bb20, bb21"
    );
}

#[test]
fn an_exact_id_wins_over_a_longer_one_that_starts_with_it() {
    let graph = graph("a\nab: a");
    assert_eq!(resolve(&graph, "a").unwrap(), "a");
}

#[test]
fn an_unknown_name_suggests_what_looks_like_it() {
    let graph = graph(DIAMOND);
    let Err(TargetError::Unknown { similar, .. }) = resolve(&graph, "bb2O") else {
        panic!("it is unknown");
    };
    assert_eq!(similar, ["bb20", "bb21"]);
    let Err(TargetError::Unknown { similar, .. }) = resolve(&graph, "zzzz") else {
        panic!("it is unknown");
    };
    assert!(similar.is_empty());
}

#[test]
fn several_heads_are_listed() {
    let graph = graph("a\nb: a\nc: a");
    assert_eq!(resolve(&graph, "heads").unwrap(), "b c");
    assert_eq!(
        resolve(&graph, "head").unwrap_err().to_string(),
        "there are 2 heads: b, c"
    );
}

#[test]
fn steps_forward_start_from_what_is_applied() {
    let graph = graph("a\nb: a\nc: b");
    let up = |rows: &[&str], text| step(&graph, rows, text, Direction::Upgrade);
    assert_eq!(up(&[], "+1").unwrap(), "a");
    assert_eq!(up(&["a"], "+2").unwrap(), "c");
    assert_eq!(
        up(&["b"], "+3").unwrap_err().to_string(),
        "`+3` goes too far: only 1 revision to upgrade from here"
    );
    assert_eq!(
        up(&["b"], "-1").unwrap_err().to_string(),
        "`-1` points the wrong way for an upgrade"
    );
}

#[test]
fn a_step_forward_at_a_branch_point_is_ambiguous() {
    let graph = graph(DIAMOND);
    assert_eq!(
        step(&graph, &["aa10"], "+1", Direction::Upgrade)
            .unwrap_err()
            .to_string(),
        "`+1` is ambiguous: from here it could mean bb20, bb21"
    );
}

#[test]
fn steps_back_revert_the_last_and_stop_where_the_way_parts() {
    let graph = graph(DIAMOND);
    let down = |rows: &[&str], text| step(&graph, rows, text, Direction::Downgrade);
    assert_eq!(down(&["dd40"], "-2").unwrap(), "dd40, cc30");
    assert_eq!(
        down(&["dd40"], "-3").unwrap_err().to_string(),
        "`-3` is ambiguous: from here it could mean bb20, bb21"
    );
    assert_eq!(
        down(&["aa10"], "-2").unwrap_err().to_string(),
        "`-2` goes too far: only 1 revision to downgrade from here"
    );
}
