//! A run with nothing to do leaves a record, and the next one finds what has changed since.

use std::fs;
use std::thread;
use std::time::Duration;

use whimbrel_tests::Project;

/// Longer than a file must have been as it is before a record tells of it.
const SETTLING: Duration = Duration::from_millis(2500);

fn records(project: &Project) -> usize {
    let folder = project.path().join("cache/settled");
    fs::read_dir(folder).map_or(0, Iterator::count)
}

#[test]
fn a_change_is_found_behind_a_record() {
    let project = Project::empty();
    let cache = project.path().join("cache");
    let project = project.variable("WHIMBREL_CACHE_DIR", cache.as_str());
    project.write("whimbrel.toml", "database = 'sqlite:app.db'\n");
    project.sql_migration("aa01", "", "CREATE TABLE a (x int);", "");
    project.run(["upgrade"]).succeeds();
    let read = project.run(["upgrade"]).succeeds();
    assert_eq!(read.stderr, "Nothing to do: sqlite:app.db is at aa01.\n");
    assert_eq!(records(&project), 0, "the file might still change");

    thread::sleep(SETTLING);
    let read = project.run(["--json", "upgrade"]).succeeds();
    assert_eq!(records(&project), 1);
    let settled = project.run(["--json", "upgrade"]).succeeds();
    let untimed = |mut event: serde_json::Value| {
        event["duration_us"].take();
        event
    };
    assert_eq!(untimed(settled.json()), untimed(read.json()));
    for target in ["head", "heads", "aa01"] {
        let settled = project.run(["upgrade", target]).succeeds();
        assert_eq!(settled.stderr, "Nothing to do: sqlite:app.db is at aa01.\n");
    }

    project.sql_migration("aa01", "", "CREATE TABLE a (y int);", "");
    let changed = project.run(["upgrade"]).exits_with(1);
    assert_eq!(
        changed.stderr.lines().next(),
        Some("Error: revision aa01 has changed since it was applied (migrations/aa01_test.sql)")
    );
    project.sql_migration("aa01", "", "CREATE TABLE a (x int);", "");
    project.run(["upgrade"]).succeeds();

    thread::sleep(SETTLING);
    project.run(["upgrade"]).succeeds();
    project.sql_migration("bb02", "aa01", "CREATE TABLE b (x int);", "");
    let upgraded = project.run(["upgrade"]).succeeds();
    assert!(upgraded.stderr.contains("to bb02"), "{}", upgraded.stderr);

    thread::sleep(SETTLING);
    project.run(["upgrade"]).succeeds();
    project
        .run(["upgrade", "--database", "sqlite:other.db"])
        .succeeds();
    let settled = project
        .run(["upgrade", "--database", "sqlite:other.db"])
        .succeeds();
    assert_eq!(
        settled.stderr,
        "Nothing to do: sqlite:other.db is at bb02.\n"
    );
}
