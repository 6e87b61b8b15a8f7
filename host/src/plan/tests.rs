use super::*;
use crate::graph::fixture::graph;

const PROJECT: &str = "
    a
    b: a
    c: a [side]
    d: b c
    x
    y: x / b
";

fn steps(rows: &[&str], target: &str, direction: Direction) -> Result<String, PlanError> {
    let graph = graph(PROJECT);
    let plan = plan(&graph, rows, &target.parse()?, direction)?;
    let mut current: Vec<String> = plan.from.iter().map(ToString::to_string).collect();
    let mut shown = Vec::new();
    for step in &plan.steps {
        for row in &step.removes {
            let at = current.iter().position(|c| c == row.as_str());
            current.remove(at.unwrap());
        }
        current.extend(step.adds.iter().map(ToString::to_string));
        current.sort();
        shown.push(format!("{}=>{}", step.revision, current.join("+")));
    }
    let mut to: Vec<_> = plan.to.iter().map(ToString::to_string).collect();
    to.sort();
    assert_eq!(current, to, "the steps lead where the plan says");
    Ok(shown.join(" "))
}

fn up(rows: &[&str], target: &str) -> String {
    steps(rows, target, Direction::Upgrade).unwrap()
}

fn down(rows: &[&str], target: &str) -> String {
    steps(rows, target, Direction::Downgrade).unwrap()
}

#[test]
fn an_upgrade_applies_what_is_missing_and_no_more() {
    assert_eq!(up(&[], "b"), "a=>a b=>b");
    assert_eq!(up(&["a"], "d"), "b=>b c=>b+c d=>d");
    assert_eq!(up(&["d"], "d"), "");
    assert_eq!(up(&["d"], "a"), "");
}

#[test]
fn an_upgrade_pulls_in_dependencies() {
    assert_eq!(up(&[], "y"), "a=>a b=>b x=>b+x y=>y");
}

#[test]
fn a_dependency_that_goes_on_has_a_row_of_its_own_again() {
    assert_eq!(up(&["y"], "d"), "c=>c+y d=>d+y");
}

#[test]
fn a_downgrade_reverts_the_children_and_leaves_other_branches() {
    assert_eq!(down(&["d"], "a"), "d=>b+c c=>b b=>a");
    assert_eq!(down(&["d", "y"], "x"), "y=>d+x");
}

#[test]
fn a_downgrade_takes_dependents_along() {
    assert_eq!(down(&["y"], "a"), "y=>b+x b=>a+x");
}

#[test]
fn base_reverts_everything() {
    assert_eq!(down(&["d"], "base"), "d=>b+c c=>b b=>a a=>");
    assert_eq!(down(&[], "base"), "");
}

#[test]
fn relative_steps_are_planned() {
    assert_eq!(up(&["x"], "+1"), "a=>a+x b=>b+x y=>y");
    assert_eq!(down(&["b"], "-1"), "b=>a");
}

#[test]
fn there_is_no_downgrade_to_what_is_not_applied() {
    assert_eq!(
        steps(&["b"], "c", Direction::Downgrade)
            .unwrap_err()
            .to_string(),
        "there is nothing to downgrade to c: it is not applied"
    );
}

#[test]
fn unknown_rows_are_all_named() {
    assert_eq!(
        steps(&["a", "p", "q"], "head", Direction::Upgrade)
            .unwrap_err()
            .to_string(),
        "the database is at revision p, q, which no migration has"
    );
}

#[test]
fn redundant_rows_are_read_as_what_they_stand_for() {
    assert_eq!(up(&["a", "b"], "b"), "");
}

fn stamp(rows: &[&str], targets: &str) -> String {
    let targets: Vec<Target> = targets
        .split(' ')
        .map(|text| text.parse().unwrap())
        .collect();
    let rows = stamped(&graph(PROJECT), rows, &targets).unwrap();
    rows.iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn a_stamp_moves_its_line_and_leaves_others() {
    assert_eq!(stamp(&[], "d"), "d");
    assert_eq!(stamp(&["b", "x"], "d"), "d x");
    assert_eq!(stamp(&["d", "x"], "b"), "b x");
    assert_eq!(stamp(&["d", "x"], "base"), "");
    assert_eq!(stamp(&["d", "x"], "x@base"), "d");
    assert_eq!(stamp(&["y"], "a"), "a");
    assert_eq!(stamp(&["a"], "heads"), "d y");
}

#[test]
fn a_stamp_writes_only_what_nothing_else_stands_for() {
    assert_eq!(stamp(&[], "b y"), "y");
    assert_eq!(stamp(&["b", "x"], "x d"), "d x");
}

#[test]
fn a_stamp_counts_no_steps() {
    let targets = ["d-1".parse().unwrap()];
    let refused = stamped(&graph(PROJECT), &["d"], &targets).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "`d-1` counts steps; name a revision here, `head`, `heads` or `base`"
    );
}

#[test]
fn a_redundant_row_goes_with_the_first_step() {
    let graph = graph(PROJECT);
    let target = "head".parse().unwrap();
    let rows = ["a", "b", "x"];
    let refused = plan(&graph, &rows, &target, Direction::Upgrade).unwrap_err();
    assert_eq!(refused.to_string(), "there are 2 heads: d, y");
    let plan = plan(&graph, &rows, &"d".parse().unwrap(), Direction::Upgrade).unwrap();
    assert_eq!(plan.steps[0].removes.last().unwrap().as_str(), "a");
}

#[test]
fn ten_thousand_revisions_plan_quickly_and_in_order() {
    let text = (0..10_000)
        .map(|n| match n {
            0 => "r0".to_owned(),
            _ => format!("r{n}: r{}", n - 1),
        })
        .collect::<Vec<_>>()
        .join("\n");
    let graph = graph(&text);
    let rows: [&str; 0] = [];
    let plan = plan(&graph, &rows, &Target::HEAD, Direction::Upgrade).unwrap();
    assert_eq!(plan.steps.len(), 10_000);
    assert_eq!(plan.steps[9_999].revision.as_str(), "r9999");
}
