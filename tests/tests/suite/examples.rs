//! The examples work as their readers follow them.

use whimbrel_tests::{Project, follow, root};

/// Follows the README of an example in a copy of it.
fn follow_example(name: &str) {
    let example = format!("examples/{name}");
    follow(
        &root().join(&example).join("README.md"),
        &Project::copy_of(&example),
    );
}

#[test]
fn backfill() {
    follow_example("backfill");
}

#[test]
fn embed() {
    follow_example("embed");
}

#[test]
fn quickstart() {
    follow_example("quickstart");
}

#[test]
fn data_migration() {
    follow_example("data-migration");
}
