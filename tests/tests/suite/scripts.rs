//! Scripts of runs, executed by `psql` and `sqlite3`.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use camino::Utf8Path;
use whimbrel::config::{Root, VersionTable};
use whimbrel::driver::tape::Tape;
use whimbrel::engine::{Engine, Stamping};
use whimbrel::project::{Project, RunOptions};
use whimbrel::revision::Direction;
use whimbrel::target::Target;
use whimbrel_tests::{Backend, Database, on_every_database};

use crate::staging::{Folder, driver_for, engine, engine_over, ledger, three, up, versions};

/// What became of a script.
struct Executed {
    succeeded: bool,
    said: String,
}

/// Has the database's own program run a script.
fn execute(db: &Database, script: &str) -> Executed {
    let mut program = match db.backend() {
        Backend::Postgres(_) => {
            let mut psql = Command::new("psql");
            psql.args(["--no-psqlrc", "--quiet"]).arg(db.url());
            psql
        }
        Backend::Sqlite => {
            let mut sqlite = Command::new("sqlite3");
            sqlite.args(["-init", "/dev/null", "-batch"]).arg(file(db));
            sqlite
        }
    };
    let mut child = program
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("psql and sqlite3 are installed by `cargo xtask test`");
    let mut input = child.stdin.take().unwrap();
    let script = script.to_owned();
    let writer = std::thread::spawn(move || input.write_all(script.as_bytes()));
    let output = child.wait_with_output().unwrap();
    // A program that stops at an error does not read the rest.
    writer.join().unwrap().ok();
    Executed {
        succeeded: output.status.success(),
        said: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn file(db: &Database) -> String {
    db.url().trim_start_matches("sqlite:").to_owned()
}

fn succeeds(db: &Database, script: &str) {
    let Executed { succeeded, said } = execute(db, script);
    assert!(succeeded, "{said}\n{script}");
}

/// Milliseconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap().as_millis().try_into().unwrap()
}

async fn script(engine: &Engine, from: &str, to: &str, direction: Direction) -> String {
    let from: Target = from.parse().unwrap();
    let to = to.parse().unwrap();
    let written = engine.script(Some(&from), &to, direction, None).await;
    written.unwrap_or_else(|failure| panic!("{}", failure.cause))
}

/// Branches, a merge, a dependency, a migration without a transaction, a component, and text that is hard to quote.
fn all_kinds(db: &Database) -> Folder {
    let bare = match db.backend() {
        Backend::Postgres(_) => "CREATE INDEX CONCURRENTLY i ON t_a (n);",
        Backend::Sqlite => "CREATE INDEX i ON t_a (n);\nVACUUM;",
    };
    let code = match db.backend() {
        Backend::Postgres(_) => {
            "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$ SELECT 'it''s; \\ $1'::text; $$;\n\
             INSERT INTO t_a VALUES (length(f()));"
        }
        Backend::Sqlite => {
            "CREATE TRIGGER f AFTER INSERT ON t_a BEGIN\n  UPDATE t_a SET n = n + 1; SELECT 'it''s; \\ $1';\nEND;\n\
             INSERT INTO t_a VALUES (16);"
        }
    };
    let parameters =
        "[params]\nbehaviour = \"statement\"\nsql = \"CREATE TABLE t_g (n integer)\"\n";
    Folder::default()
        .table("a", "")
        .with("b", "-- revises: a\n", code, Some("DELETE FROM t_a;"))
        .with(
            "c",
            "-- revises: a\n-- labels: side\n-- transaction: false\n",
            bare,
            Some("DROP INDEX i;"),
        )
        .with("d", "-- revises: b, c\n", "", Some(""))
        .component("g", "d", "adversary", parameters)
        .table("x", "")
        .with(
            "y",
            "-- revises: x\n-- depends-on: side\n",
            "-- nothing but a comment",
            Some(""),
        )
}

/// What the ledger says, but for when, who and how long.
async fn book(db: &Database) -> Vec<String> {
    db.column(
        "SELECT revision || ' ' || action || ' ' || outcome || ' ' || digest || ' ' || statements || ' ' || coalesce(tally, '') \
         FROM whimbrel_ledger ORDER BY id",
    )
    .await
}

async fn twin(db: &Database) -> Database {
    match db.backend() {
        Backend::Sqlite => Database::sqlite(),
        Backend::Postgres(major) => Database::postgres(major).await,
    }
}

on_every_database! {
    async fn do_what_the_run_does(db: Database) {
        let other = twin(&db).await;
        let run = engine(&db, all_kinds(&db));
        up(&run, "heads").await.unwrap();
        let upgrade = script(&run, "base", "heads", Direction::Upgrade).await;
        succeeds(&other, &upgrade);
        // A script takes no lock, and has another time and another duration for everything.
        let own = ["whimbrel_ledger", "whimbrel_lock"];
        assert_eq!(other.dump_without(&own).await, db.dump_without(&own).await);
        assert_eq!(book(&other).await, book(&db).await);

        // The script leaves a database that runs go on with.
        let other_engine = engine(&other, all_kinds(&db));
        assert!(up(&other_engine, "heads").await.unwrap().steps.is_empty());
        assert!(other_engine.inconsistencies(&other_engine.state().await.unwrap()).unwrap().is_empty());
    }

    async fn stop_where_they_do_not_fit(db: Database) {
        let engine = engine(&db, three());
        up(&engine, "a").await.unwrap();
        let before = db.dump().await;
        let late = script(&engine, "b", "c", Direction::Upgrade).await;
        assert!(!execute(&db, &late).succeeded);
        assert_eq!(db.dump().await, before);
        let fitting = script(&engine, "a", "c", Direction::Upgrade).await;
        succeeds(&db, &fitting);
        assert_eq!(versions(&db).await, ["c"]);
        assert!(!execute(&db, &fitting).succeeded, "the second time");
        let back = script(&engine, "c", "base", Direction::Downgrade).await;
        succeeds(&db, &back);
        assert_eq!(versions(&db).await, [] as [&str; 0]);
        assert_eq!(ledger(&db).await.len(), 6);
    }

    async fn stamp_as_well(db: Database) {
        let engine = engine(&db, three());
        let targets = ["b".parse().unwrap()];
        let stamp = engine.stamp_script(None, &targets, Stamping::Move).await.unwrap();
        succeeds(&db, &stamp);
        assert_eq!(versions(&db).await, ["b"]);
        assert_eq!(up(&engine, "head").await.unwrap().steps.len(), 1);
    }

    async fn say_when_they_ran(db: Database) {
        let engine = engine(&db, all_kinds(&db));
        let upgrade = script(&engine, "base", "heads", Direction::Upgrade).await;
        let targets = ["x".parse().unwrap()];
        let stamp = engine.stamp_script(Some(&"heads".parse().unwrap()), &targets, Stamping::Move).await.unwrap();
        let written = now();
        tokio::time::sleep(Duration::from_millis(20)).await;
        succeeds(&db, &upgrade);
        succeeds(&db, &stamp);
        let log = engine.log().await.unwrap();
        assert!(log.len() > 7);
        for entry in log {
            let started = entry.started.expect("a time that can be read");
            assert!((written..=now()).contains(&started.as_millisecond()), "{}: {started}", entry.revision);
            assert!(entry.performed_by.ends_with(" by script"), "{}", entry.performed_by);
        }
    }

    async fn cannot_be_written_of_what_reads(db: Database) {
        let reads = "[params]\nbehaviour = \"query\"\nsql = \"SELECT 1\"\n";
        let folder = Folder::default().component("a", "", "adversary", reads);
        let engine = engine_over(driver_for(&db.url()), folder);
        let failure = engine
            .script(None, &"a".parse().unwrap(), Direction::Upgrade, None)
            .await
            .unwrap_err();
        let told = format!("{:?}", failure.cause);
        assert!(told.contains("Offline") || told.contains("a script is being written"), "{told}");
    }
}

/// The reference project, from its files.
fn reference(db: &Database) -> Engine {
    let files = Arc::new(Root::open(&whimbrel_tests::root().join("migrations")).unwrap());
    let project = Arc::new(Project::read(files, Utf8Path::new(".")).unwrap());
    project.engine(
        driver_for(&db.url()),
        &VersionTable::default(),
        RunOptions::default(),
    )
}

/// Rows as many hands typed them, more than one batch of a cursor holds.
async fn fill(db: &Database) {
    let names = [
        "María",
        "  Yuki   Hopper",
        "SINÉAD DEL CARMEN O''BRIEN",
        "Dr. Angus \\ Smith-Jones, Jr.",
    ];
    let addresses = [
        "'94 rue de la Paix, 75002 Paris, France'",
        "'Marienplatz 294, D-80331 München, Deutschland'",
        "NULL",
        "'somewhere'",
    ];
    let users = (0..700).map(|at| {
        let (name, address) = (names[at % names.len()], addresses[at / 7 % addresses.len()]);
        format!(
            "({at}, '{name}', 'user{at}@example.org', {address}, '2026-01-0{}')",
            at % 9 + 1
        )
    });
    let users: Vec<String> = users.collect();
    db.execute(&format!("INSERT INTO users VALUES {}", users.join(", ")))
        .await;
    let projects = (0..30).map(|at| {
        format!(
            "({at}, NULL, {at}, 'PRJ-{at}', 'Café {at}: hand-over', '2026-09-05', NULL, {at}.50, '1c8b4421')"
        )
    });
    let projects: Vec<String> = projects.collect();
    db.execute(&format!(
        "INSERT INTO projects VALUES {}",
        projects.join(", ")
    ))
    .await;
}

on_every_database! {
    /// The whole reference project by scripts: what reads is answered from the record of a dry run.
    async fn of_the_reference_project_do_what_its_run_does(db: Database) {
        let other = twin(&db).await;
        let (run, by_script) = (reference(&db), reference(&other));
        up(&run, "4d08").await.unwrap();
        succeeds(&other, &script(&by_script, "base", "4d08", Direction::Upgrade).await);
        fill(&db).await;
        fill(&other).await;

        let (from, head): (Target, Target) = ("4d08".parse().unwrap(), "head".parse().unwrap());
        let tape = Tape::new(run.driver.dialect());
        run.dry_run(&head, Direction::Upgrade, Some(&tape)).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = Utf8Path::from_path(folder.path()).unwrap().join("record");
        tape.save(&file).unwrap();
        let kept = Tape::load(&file, run.driver.dialect()).unwrap();
        let written = by_script.script(Some(&from), &head, Direction::Upgrade, Some(&kept)).await
            .unwrap_or_else(|failure| panic!("{:?}", failure.cause));

        // Another database than the dry run read: the script says so, and changes nothing of that step.
        other.execute("UPDATE users SET full_name = 'Someone Else' WHERE id = 17").await;
        let before = other.dump_without(&["whimbrel_ledger"]).await;
        let Executed { succeeded, said } = execute(&other, &written);
        assert!(!succeeded, "it was not where the dry run was");
        let reason = match db.backend() {
            Backend::Postgres(_) => "division by zero",
            Backend::Sqlite => "the database has what the dry run read",
        };
        assert!(said.contains(reason), "{said}");
        assert_eq!(other.dump_without(&["whimbrel_ledger"]).await, before);
        other.execute("UPDATE users SET full_name = (SELECT full_name FROM users WHERE id = 1) WHERE id = 17").await;

        succeeds(&other, &written);
        up(&run, "head").await.unwrap();
        let own = ["whimbrel_ledger", "whimbrel_lock"];
        assert_eq!(other.dump_without(&own).await, db.dump_without(&own).await);
        assert_eq!(book(&other).await, book(&db).await);
        if let (Some(ours), Some(theirs)) = (native_dump(&other), native_dump(&db)) {
            assert!(ours.contains("Marienplatz") && ours == theirs, "pg_dump and .dump see a difference");
        }
        assert!(up(&by_script, "head").await.unwrap().steps.is_empty());

        let tape = Tape::new(run.driver.dialect());
        run.dry_run(&from, Direction::Downgrade, Some(&tape)).await.unwrap();
        let back = by_script.script(Some(&head), &from, Direction::Downgrade, Some(&tape)).await.unwrap();
        succeeds(&other, &back);
        succeeds(&other, &script(&by_script, "4d08", "base", Direction::Downgrade).await);
        assert!(versions(&other).await.is_empty());
    }
}

/// What the database's own program dumps, without the ledger. There is none for the newest server here: pg_dump dumps no
/// server that is newer than itself.
fn native_dump(db: &Database) -> Option<String> {
    let output = match db.backend() {
        Backend::Postgres(major) if major > 15 => return None,
        Backend::Postgres(_) => Command::new("pg_dump")
            .args([
                "--no-owner",
                "--inserts",
                "--exclude-table=whimbrel_ledger",
                &db.url(),
            ])
            .output(),
        Backend::Sqlite => Command::new("sqlite3")
            .args([file(db), ".dump".to_owned()])
            .output(),
    };
    let output = output.unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let mut statements: Vec<&str> = match db.backend() {
        Backend::Sqlite => text
            .split(";\n")
            .filter(|sql| is_of_the_user(sql))
            .collect(),
        // Newer versions of pg_dump guard a dump by a word that is another one each time.
        Backend::Postgres(_) => text
            .lines()
            .filter(|line| !line.contains("restrict "))
            .collect(),
    };
    // Rows come in the order in which they were last written, and the dry run has written, too.
    let (mut rows, rest): (Vec<_>, Vec<_>) = statements
        .drain(..)
        .partition(|sql| sql.starts_with("INSERT"));
    rows.sort_unstable();
    Some([rest, rows].concat().join("\n"))
}

fn is_of_the_user(sql: &str) -> bool {
    ["whimbrel_ledger", "whimbrel_lock", "sqlite_sequence"]
        .iter()
        .all(|name| !sql.contains(name))
}

/// Two tables of which one refers to the other, and a second migration.
fn with_references(second: &str) -> Folder {
    Folder::default()
        .with(
            "a",
            "",
            "CREATE TABLE t_parent (id integer PRIMARY KEY);\n\
             CREATE TABLE t_child (id integer PRIMARY KEY, parent integer REFERENCES t_parent);\n\
             INSERT INTO t_parent VALUES (1), (2);\nINSERT INTO t_child VALUES (1, 1), (2, 2);",
            None,
        )
        .with("b", "-- revises: a\n", second, None)
}

/// Has a script of the second of [`with_references`] run after the first, and after what `before` does to it.
async fn after_references(second: &str, before: &str) -> (Database, Executed) {
    let db = Database::sqlite();
    let engine = engine(&db, with_references(second));
    up(&engine, "a").await.unwrap();
    db.execute(&format!("PRAGMA foreign_keys = OFF; {before}"))
        .await;
    let state = db.dump().await;
    let written = script(&engine, "a", "b", Direction::Upgrade).await;
    let executed = execute(&db, &written);
    if !executed.succeeded {
        assert_eq!(db.dump().await, state, "nothing of it is in effect");
    }
    (db, executed)
}

const REBUILD: &str = "CREATE TABLE t_new (id integer PRIMARY KEY, name text);\n\
                       INSERT INTO t_new (id) SELECT id FROM t_parent;\n\
                       DROP TABLE t_parent;\nALTER TABLE t_new RENAME TO t_parent;";

#[tokio::test]
async fn stop_before_the_commit_where_a_row_refers_to_none() {
    for second in [
        "DELETE FROM t_parent WHERE id = 2;",
        "INSERT INTO t_child VALUES (3, 3);",
        "DROP TABLE t_parent;",
    ] {
        let (_, executed) = after_references(second, "").await;
        assert!(!executed.succeeded, "{second}");
        let said = &executed.said;
        assert!(
            said.contains("every row refers to one that exists"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn leave_alone_what_referred_to_nothing_before() {
    let orphan = "INSERT INTO t_child VALUES (9, 9)";
    for second in [
        REBUILD,
        "UPDATE t_child SET id = id + 0;",
        "DELETE FROM t_child;",
    ] {
        let (db, executed) = after_references(second, orphan).await;
        assert!(executed.succeeded, "{second}: {}", executed.said);
        assert_eq!(versions(&db).await, ["b"]);
    }
    let (_, executed) = after_references("INSERT INTO t_child VALUES (8, 9);", orphan).await;
    assert!(!executed.succeeded, "one more is one too many");
}
