use super::error::ids;
use super::*;
use crate::graph::fixture::graph;
use crate::plan::Applied;

/// Two lines that part and meet, and a third that depends on one of them.
const PROJECT: &str = "
    aa10
    bb20: aa10 [left]
    bb21: aa10
    cc30: bb20 bb21
    dd40: cc30
    xx10: [other]
    xx20: xx10 / bb21
";

fn names(graph: &Graph, found: &[Position]) -> String {
    let names: Vec<String> = ids(graph, found).iter().map(ToString::to_string).collect();
    names.join(" ")
}

fn resolve(graph: &Graph, text: &str) -> Result<String, TargetError> {
    let target: Target = text.parse()?;
    Ok(names(graph, &target.resolve(graph, &[])?))
}

fn told(error: Result<String, TargetError>) -> String {
    error.unwrap_err().to_string()
}

fn tips(graph: &Graph, rows: &[&str]) -> Vec<Position> {
    Applied::from_rows(graph, rows).unwrap().tips().to_vec()
}

/// What an upgrade to a target applies, without what that needs.
fn up(graph: &Graph, rows: &[&str], text: &str) -> Result<String, TargetError> {
    let found = ascend(graph, &tips(graph, rows), &text.parse()?)?;
    Ok(names(graph, &found))
}

/// What a downgrade to a target reverts, without what needs that.
fn down(graph: &Graph, rows: &[&str], text: &str) -> Result<String, TargetError> {
    let descent = descend(graph, &tips(graph, rows), &text.parse()?)?;
    Ok(names(graph, &descent.roots))
}

fn range(graph: &Graph, current: &[&str], text: &str) -> Result<String, TargetError> {
    let range: Range = text.parse()?;
    assert_eq!(range.to_string(), text);
    Ok(names(graph, &range.resolve(graph, &tips(graph, current))?))
}

#[test]
fn every_form_is_read_and_written_the_same() {
    for text in [
        "head",
        "heads",
        "base",
        "current",
        "+2",
        "-1",
        "ae10",
        "billing",
        "billing@head",
        "billing@heads",
        "billing@base",
        "billing@ae10",
        "ae10@head",
        "ae10+2",
        "ae10-2",
        "billing@+2",
        "billing@-1",
        "billing@head-2",
        "base+1",
    ] {
        assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
    }
}

#[test]
fn what_is_not_of_the_language_is_refused() {
    for text in [
        "",
        "+",
        "-",
        "+x",
        "a b",
        "a:b",
        "--1",
        "a@",
        "@a",
        "a@b@c",
        "head@head",
        "a+",
        "a+1x",
        "a+1+1",
    ] {
        assert_eq!(
            text.parse::<Target>(),
            Err(TargetError::Malformed(text.to_owned())),
            "{text:?}"
        );
    }
}

#[test]
fn names_are_ids_labels_or_unique_prefixes() {
    let graph = graph(PROJECT);
    assert_eq!(resolve(&graph, "aa10").unwrap(), "aa10");
    assert_eq!(resolve(&graph, "aa").unwrap(), "aa10");
    assert_eq!(resolve(&graph, "left").unwrap(), "bb20");
    assert_eq!(resolve(&graph, "lef").unwrap(), "bb20");
    assert_eq!(resolve(&graph, "base").unwrap(), "");
    assert_eq!(
        told(resolve(&graph, "bb")),
        "`bb` is the start of 2 ids: bb20, bb21"
    );
    assert_eq!(
        resolve(&graph, "bb20@bb").unwrap(),
        "bb20",
        "the other one is on another branch"
    );
}

#[test]
fn what_is_shorter_than_four_characters_has_no_prefix() {
    let graph = graph("abc\nabcd: abc");
    assert_eq!(resolve(&graph, "abc").unwrap(), "abc");
    assert_eq!(resolve(&graph, "ab").unwrap(), "abcd");
}

#[test]
fn heads_are_all_or_those_of_a_branch() {
    let graph = graph(PROJECT);
    assert_eq!(
        told(resolve(&graph, "head")),
        "there are 2 heads: dd40, xx20"
    );
    assert_eq!(resolve(&graph, "heads").unwrap(), "dd40 xx20");
    assert_eq!(resolve(&graph, "other@head").unwrap(), "xx20");
    assert_eq!(resolve(&graph, "bb21@heads").unwrap(), "dd40");
    assert_eq!(resolve(&graph, "xx20@xx10").unwrap(), "xx10");
    assert_eq!(
        told(resolve(&graph, "left@xx10")),
        "revision xx10 is not on the branch `left`"
    );
}

#[test]
fn heads_leave_out_what_others_depend_on() {
    let graph = graph("aaaa\nbbbb: aaaa [one]\ncccc: / bbbb");
    assert_eq!(resolve(&graph, "heads").unwrap(), "cccc");
    assert_eq!(resolve(&graph, "one@heads").unwrap(), "bbbb");
    assert_eq!(
        told(resolve(&graph, "head")),
        "there are 2 heads: bbbb, cccc"
    );
}

#[test]
fn an_unknown_name_suggests_what_looks_like_it() {
    let graph = graph(PROJECT);
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
fn steps_from_a_name_follow_parents_and_children() {
    let graph = graph(PROJECT);
    assert_eq!(resolve(&graph, "bb20+2").unwrap(), "dd40");
    assert_eq!(resolve(&graph, "dd40-1").unwrap(), "cc30");
    assert_eq!(resolve(&graph, "other@head-1").unwrap(), "xx10");
    assert_eq!(
        told(resolve(&graph, "aa10+1")),
        "`aa10+1` is ambiguous: the way leads to bb20, bb21"
    );
    assert_eq!(
        told(resolve(&graph, "dd40-2")),
        "`dd40-2` is ambiguous: the way leads to bb20, bb21"
    );
    assert_eq!(
        told(resolve(&graph, "xx10+2")),
        "`xx10+2` goes too far: there is only 1 step to take"
    );
}

#[test]
fn steps_forward_start_from_what_is_applied() {
    let graph = graph(PROJECT);
    assert_eq!(up(&graph, &["bb20"], "+1").unwrap(), "cc30");
    assert_eq!(up(&graph, &[], "other@+1").unwrap(), "xx10");
    assert_eq!(up(&graph, &["aa10"], "left@+1").unwrap(), "bb20");
    assert_eq!(up(&graph, &["dd40"], "other@+2").unwrap(), "xx20");
    assert_eq!(up(&graph, &["dd40", "xx10"], "other@+1").unwrap(), "xx20");
    assert_eq!(
        told(up(&graph, &["dd40", "xx10"], "+1")),
        "`+1` is ambiguous: the database is at dd40, xx10"
    );
    assert_eq!(
        told(up(&graph, &["dd40"], "+1")),
        "`+1` goes too far: there is no step to take"
    );
    assert_eq!(
        told(up(&graph, &["dd40"], "-1")),
        "`-1` points the wrong way for an upgrade"
    );
    assert_eq!(up(&graph, &[], "left@base+2").unwrap(), "bb20");
}

#[test]
fn steps_back_start_from_what_is_applied() {
    let graph = graph(PROJECT);
    assert_eq!(down(&graph, &["dd40"], "-1").unwrap(), "dd40");
    assert_eq!(down(&graph, &["bb20", "bb21"], "bb21@-1").unwrap(), "bb21");
    assert_eq!(down(&graph, &["xx20"], "other@-1").unwrap(), "xx20");
    assert_eq!(
        down(&graph, &["xx20"], "left@-1"),
        Err(TargetError::NothingOnBranch {
            branch: "left".into()
        })
    );
    assert_eq!(
        told(down(&graph, &["dd40"], "-2")),
        "`-2` is ambiguous: the way leads to bb20, bb21"
    );
    assert_eq!(
        told(down(&graph, &["dd40"], "+1")),
        "`+1` points the wrong way for a downgrade"
    );
    assert_eq!(
        told(down(&graph, &[], "-1")),
        "`-1` goes too far: there is no step to take"
    );
    assert_eq!(down(&graph, &["xx10"], "-1").unwrap(), "xx10");
}

#[test]
fn steps_back_from_several_heads_count_from_the_first() {
    let graph = graph(PROJECT);
    let target = "-1".parse().unwrap();
    let descent = descend(&graph, &tips(&graph, &["bb20", "xx10"]), &target).unwrap();
    assert_eq!(descent.assumed, graph.position("bb20"));
    assert_eq!(names(&graph, &descent.roots), "bb20");
}

#[test]
fn a_branch_says_which_way_a_downgrade_goes() {
    let graph = graph(PROJECT);
    let rows = ["dd40", "xx20"];
    assert_eq!(down(&graph, &rows, "aa10").unwrap(), "bb20 bb21");
    assert_eq!(down(&graph, &rows, "left@aa10").unwrap(), "bb20");
    assert_eq!(down(&graph, &rows, "base").unwrap(), "aa10 xx10");
    assert_eq!(down(&graph, &rows, "other@base").unwrap(), "xx10");
    assert_eq!(down(&graph, &rows, "dd40@base").unwrap(), "aa10");
}

#[test]
fn ranges_have_both_ends() {
    let graph = graph(PROJECT);
    assert_eq!(range(&graph, &[], "bb20:dd40").unwrap(), "bb20 cc30 dd40");
    assert_eq!(range(&graph, &[], ":cc30").unwrap(), "aa10 bb20 bb21 cc30");
    assert_eq!(range(&graph, &[], "cc30:").unwrap(), "cc30 dd40");
    assert_eq!(range(&graph, &["cc30"], "-1:current").unwrap(), "bb20 cc30");
    assert_eq!(range(&graph, &["bb20"], "current:+1").unwrap(), "bb20 cc30");
    assert_eq!(
        range(&graph, &[], "other@base:heads").unwrap(),
        "aa10 bb21 xx10 xx20"
    );
    assert_eq!(range(&graph, &[], "dd40:dd40").unwrap(), "dd40");
    assert_eq!(
        told(range(&graph, &[], "dd40:bb20")),
        "`dd40:bb20` is empty: dd40 does not lead to bb20"
    );
    assert_eq!(
        "dd40".parse::<Range>().unwrap_err().to_string(),
        "`dd40` is not a range: write `FROM:TO`, `FROM:` or `:TO`"
    );
}
