use super::*;
use crate::revision::Direction;

fn history(dialect: Dialect) -> History {
    History::new(&VersionTable::default(), dialect)
}

fn id(name: &str) -> RevisionId {
    RevisionId::new(name).unwrap()
}

fn step(removes: &[&str], adds: &[&str]) -> Step {
    Step {
        revision: id("r"),
        direction: Direction::Upgrade,
        removes: removes.iter().copied().map(id).collect(),
        adds: adds.iter().copied().map(id).collect(),
    }
}

fn kinds(statements: &[Statement]) -> String {
    statements
        .iter()
        .map(|s| s.sql.split(' ').next().unwrap())
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn a_row_moves_by_an_update_and_the_rest_by_deletes_and_inserts() {
    let history = history(Dialect::Sqlite);
    let moved =
        |removes: &[&str], adds: &[&str]| kinds(&history.move_versions(&step(removes, adds)));
    assert_eq!(moved(&[], &["a"]), "INSERT");
    assert_eq!(moved(&["a"], &["b"]), "UPDATE");
    assert_eq!(moved(&["a", "b"], &["m"]), "UPDATE DELETE");
    assert_eq!(moved(&["m"], &["a", "b"]), "UPDATE INSERT");
    assert_eq!(moved(&["a"], &[]), "DELETE");
}

#[test]
fn a_stamp_leaves_rows_that_stay_alone() {
    let history = history(Dialect::Sqlite);
    let statements = history.replace_versions(&["a".into(), "b".into()], &[id("b"), id("c")]);
    assert_eq!(kinds(&statements), "DELETE INSERT");
}

#[test]
fn the_ledger_stands_in_the_schema_of_the_version_table() {
    let history = History::new(&"ops.versions".parse().unwrap(), Dialect::Postgresql);
    assert!(
        history
            .state_query()
            .contains("FROM \"ops\".\"whimbrel_ledger\"")
    );
}

#[test]
fn rows_and_ledger_are_told_apart() {
    let row = |id: i64, texts: [&str; 5]| {
        let texts = texts.map(Value::from);
        std::iter::once(Value::from(id)).chain(texts).collect()
    };
    let state = state(vec![
        row(0, ["", "b", "", "", ""]),
        row(1, ["done", "a", "upgrade", "ff", ""]),
        row(3, ["started", "b", "upgrade", "ee", "2026-11-22T10:00:00Z"]),
        row(2, ["done", "b", "downgrade", "ee", ""]),
    ]);
    assert_eq!(state.rows, ["b"]);
    assert_eq!(state.last["a"].outcome, Outcome::Done);
    assert_eq!(state.last["a"].started, None);
    assert!(state.last["b"].outcome.is_unfinished());
    assert!(state.last["b"].started.is_some());
}
