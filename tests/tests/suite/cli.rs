//! The command line: transcripts in `cli/*.md`, and what a transcript cannot show.

use std::fs;
use std::os::unix::fs::symlink;

use whimbrel_tests::{Backend, Database, Project, follow, guest, root};

/// Follows `cli/NAME.md` in a project of its own.
fn transcript_in(name: &str, project: &Project) {
    let document = root().join("tests/tests/suite/cli").join(name);
    follow(&document.with_extension("md"), project);
}

macro_rules! transcripts {
    ($($name:ident)+) => {$(
        #[test]
        fn $name() {
            transcript_in(stringify!($name), &Project::empty());
        }
    )+};
}

transcripts! {
    backfill
    backup
    bad_sql
    changed
    dry_run
    graph
    heads
    json
    labels
    lock_held
    log
    pictures
    plan
    project
    repair
    settings
    sources
    targets
}

#[test]
fn bad_sql_on_postgresql() {
    whimbrel_tests::run(Backend::Postgres(15), |db: Database| async move {
        tokio::task::block_in_place(|| {
            transcript_in("bad_sql_on_postgresql", &Project::empty().on(&db));
        });
    });
}

#[test]
fn isolation_on_postgresql() {
    whimbrel_tests::run(Backend::Postgres(15), |db: Database| async move {
        db.execute("CREATE TABLE users (id int, name text, password text)")
            .await;
        tokio::task::block_in_place(|| {
            let project = Project::empty().on(&db);
            fs::copy(guest("adversary"), project.path().join("adversary.wasm")).unwrap();
            transcript_in("isolation_on_postgresql", &project);
        });
    });
}

#[test]
fn backup_on_postgresql() {
    whimbrel_tests::run(Backend::Postgres(15), |db: Database| async move {
        tokio::task::block_in_place(|| {
            transcript_in("backup_on_postgresql", &Project::empty().on(&db));
        });
    });
}

#[test]
fn backfill_on_postgresql() {
    whimbrel_tests::run(Backend::Postgres(15), |db: Database| async move {
        tokio::task::block_in_place(|| {
            transcript_in("backfill_on_postgresql", &Project::empty().on(&db));
        });
    });
}

#[test]
fn plan_on_postgresql() {
    whimbrel_tests::run(Backend::Postgres(15), |db: Database| async move {
        tokio::task::block_in_place(|| {
            transcript_in("plan_on_postgresql", &Project::empty().on(&db));
        });
    });
}

#[test]
fn a_guest_that_misbehaves() {
    let project = Project::empty();
    fs::copy(guest("adversary"), project.path().join("adversary.wasm")).unwrap();
    transcript_in("guest", &project);
}

#[test]
fn what_is_asked_for_is_approved() {
    let project = Project::empty();
    fs::copy(guest("adversary"), project.path().join("adversary.wasm")).unwrap();
    transcript_in("approve", &project);
}

#[test]
fn a_journal_is_replayed() {
    let project = Project::empty();
    fs::copy(guest("adversary"), project.path().join("adversary.wasm")).unwrap();
    transcript_in("journal", &project);
}

#[test]
fn an_operator_writes_a_policy() {
    let project = Project::empty();
    fs::copy(guest("adversary"), project.path().join("adversary.wasm")).unwrap();
    transcript_in("policy", &project);
}

#[test]
fn what_migrations_ask_for_is_learned() {
    let project = Project::empty();
    fs::copy(guest("adversary"), project.path().join("adversary.wasm")).unwrap();
    transcript_in("learn", &project);
}

/// An empty project, in one of whose folders components share what they depend on with those of all tests.
fn with_shared_build(folder: &str) -> Project {
    let project = Project::empty();
    let shared = guest("adversary").with_file_name("build");
    fs::create_dir_all(&shared).unwrap();
    let cache = project.path().join(folder).join(".whimbrel");
    fs::create_dir_all(&cache).unwrap();
    symlink(shared, cache.join("target")).unwrap();
    project
}

#[test]
fn rust() {
    transcript_in("rust", &with_shared_build(""));
}

#[test]
fn templates() {
    transcript_in("templates", &with_shared_build("people"));
}

#[test]
fn every_transcript_is_followed() {
    let source = fs::read_to_string(root().join("tests/tests/suite/cli.rs")).unwrap();
    let folder = root().join("tests/tests/suite/cli");
    for entry in folder.read_dir_utf8().unwrap() {
        let path = entry.unwrap().into_path();
        let name = path.file_stem().unwrap();
        assert!(
            source.contains(&format!("{name}\n")) || source.contains(&format!("\"{name}\"")),
            "no test follows {path}"
        );
    }
}

fn project_with_two() -> Project {
    let project = Project::empty();
    project.write("whimbrel.toml", "database = 'sqlite:app.db'\n");
    project.sql_migration("aa01", "", "CREATE TABLE a (x int);", "DROP TABLE a;");
    project.sql_migration("bb02", "aa01", "CREATE TABLE b (x int);", "DROP TABLE b;");
    project
}

#[test]
fn colours_are_for_terminals_unless_told_otherwise() {
    let project = project_with_two();
    let escape = '\u{1b}';
    let plain = project.run(["heads"]).succeeds();
    assert!(!plain.stdout.contains(escape));
    let forced = project.run(["heads", "--color", "always"]).succeeds();
    assert!(forced.stdout.contains(escape));
    let terminal = project.run_on_terminal(["heads"]).succeeds();
    assert!(terminal.stdout.contains(escape));
    let refused = project
        .run_on_terminal(["heads", "--color", "never"])
        .succeeds();
    assert!(!refused.stdout.contains(escape));
    let no_color = project.variable("NO_COLOR", "1");
    let refused = no_color.run_on_terminal(["heads"]).succeeds();
    assert!(!refused.stdout.contains(escape));
}

#[test]
fn a_terminal_shows_each_step_and_a_summary() {
    let outcome = project_with_two().run_on_terminal(["upgrade"]).succeeds();
    for text in ["[2/2] upgrade bb02 test", "Upgraded sqlite:app.db to bb02"] {
        assert!(outcome.stdout.contains(text), "{}", outcome.stdout);
    }
}

#[test]
fn plain_lines_replace_the_display_where_asked_for() {
    let outcome = project_with_two()
        .run_on_terminal(["upgrade", "--no-progress", "--color", "never"])
        .succeeds();
    assert!(!outcome.stdout.contains('\u{1b}'), "{}", outcome.stdout);
    assert!(
        outcome.stdout.contains("upgrade bb02 test"),
        "{}",
        outcome.stdout
    );
}

#[test]
fn quiet_prints_errors_only() {
    let project = project_with_two();
    let outcome = project.run(["-q", "upgrade"]).succeeds();
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("", ""));
    let outcome = project.run(["-q", "upgrade", "zz"]).exits_with(2);
    assert!(
        outcome
            .stderr
            .starts_with("Error: no revision is called `zz`")
    );
}

#[test]
fn stdout_carries_json_alone() {
    let project = project_with_two();
    let events = project.run(["--json", "upgrade"]).succeeds();
    assert_eq!(events.stderr, "");
    let names: Vec<_> = events
        .events()
        .iter()
        .map(|event| event["event"].clone())
        .collect();
    assert_eq!(names.last().unwrap(), "run-finished");
    assert_eq!(
        names.iter().filter(|name| *name == "step-finished").count(),
        2
    );
    let failed = project.run(["--json", "upgrade", "zz"]).exits_with(2);
    assert_eq!(failed.events()[0]["event"], "run-failed");
    assert!(failed.stderr.starts_with("Error: "));
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let project = project_with_two();
    let outcome = project
        .tool("bash")
        .args([
            "-c",
            "set -o pipefail; whimbrel completions zsh | head -n 1",
        ])
        .output()
        .unwrap();
    assert!(outcome.status.success(), "{outcome:?}");
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let outcome = Project::empty().run(["completions", shell]).succeeds();
        assert!(outcome.stdout.contains("downgrade"), "{shell}");
    }
}

/// Some seconds of work that a signal can stop.
const SLOW: &str = "CREATE TABLE slow AS WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000000) \
                    SELECT max(i) AS top FROM n;";

#[test]
fn ctrl_c_rolls_back_says_so_and_exits() {
    let project = project_with_two();
    project.sql_migration("cc03", "bb02", SLOW, "");
    let run = project.start(["upgrade"]);
    wait_for_rows(&project, "bb02");
    run.interrupt();
    let outcome = run.wait().exits_with(130);
    assert!(
        outcome
            .stderr
            .contains("2 of 3 applied; cc03 rolled back; nothing else changed."),
        "{}",
        outcome.stderr
    );
    let current = project.run(["current"]).succeeds();
    assert_eq!(current.stdout, "bb02 (current), test\n");
}

#[test]
fn a_backfill_is_watched_on_a_terminal_and_through_a_pipe() {
    let project = Project::empty();
    project.write("whimbrel.toml", "database = 'sqlite:app.db'\n");
    let rows = "CREATE TABLE items (id integer PRIMARY KEY, name text);\n\
                INSERT INTO items (id) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000) SELECT i FROM n;";
    project.sql_migration("aa01", "", rows, "DROP TABLE items;");
    project.write(
        "migrations/bb02_fill.sql",
        "-- whimbrel:migration\n-- id: bb02\n-- revises: aa01\n-- message: fill\n-- whimbrel:backfill\n\
         UPDATE items SET name = 'item ' || id;\n",
    );
    project.run(["upgrade", "--detach"]).succeeds();
    project.run(["backfill", "set", "rate=1000"]).succeeds();
    let piped = project.start(["backfill", "status", "--watch"]);
    let worker = project.start(["backfill", "work"]);
    let terminal = project
        .run_on_terminal(["backfill", "status", "--watch"])
        .succeeds();
    worker.wait().succeeds();
    let piped = piped.wait().succeeds();
    assert!(terminal.stdout.contains("A\u{1b}[J"), "{}", terminal.stdout);
    assert!(!piped.stdout.contains('\u{1b}'), "{}", piped.stdout);
    let frames: Vec<&str> = piped.stdout.split("\n\n").collect();
    assert!(frames.len() > 2, "{}", piped.stdout);
    assert!(frames[0].starts_with("upgrade bb02 of items: running\n"));
    let last = frames.last().unwrap();
    assert!(
        last.starts_with("upgrade bb02 of items: done\n  [#"),
        "{last}"
    );
    for line in piped.stdout.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

/// Waits until a run has applied a revision.
fn wait_for_rows(project: &Project, revision: &str) {
    for _ in 0..400 {
        if project.run(["current"]).stdout.contains(revision) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(25));
    }
    panic!("{revision} was not applied in time");
}
