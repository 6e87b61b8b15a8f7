//! What is wrong with what a database says of itself, and what repairs it.

use std::time::Duration;

use whimbrel::engine::{Cause, Engine, Inconsistency, Problem, Remedy, RepairError, Stamping};
use whimbrel::revision::RevisionId;
use whimbrel_tests::{Backend, Database, Project, Running, on_every_database, on_every_postgres};

use crate::staging::{Folder, down, engine, ledger, tables, three, up, versions};

/// The tally of what is applied, as the ledger's last row has it.
async fn tally(db: &Database) -> String {
    db.value("SELECT coalesce(tally, '') FROM whimbrel_ledger ORDER BY id DESC LIMIT 1")
        .await
}

async fn problems(engine: &Engine) -> Vec<Problem> {
    engine.problems().await.unwrap()
}

/// Demands that nothing is wrong, and that an upgrade to the head finds nothing to do.
async fn in_order(engine: &Engine) {
    assert_eq!(problems(engine).await, []);
    assert!(up(engine, "head").await.unwrap().steps.is_empty());
}

async fn refused(engine: &Engine, revision: &str, remedy: Remedy) -> RepairError {
    let failure = engine.repair(Some(revision), remedy).await.unwrap_err();
    match *failure.cause {
        Cause::Repair(error) => error,
        cause => panic!("{cause:?}"),
    }
}

fn ids(names: &[&str]) -> Vec<RevisionId> {
    names
        .iter()
        .map(|name| RevisionId::new(name).unwrap())
        .collect()
}

/// A line of three whose second runs without a transaction, up and down; `broken` makes it fail half-way.
fn with_bare(up: &str, down: &str) -> Folder {
    Folder::default()
        .table("a", "")
        .with(
            "b",
            "-- revises: a\n-- transaction: false\n",
            &format!("CREATE TABLE t_b (n integer);\n{up}"),
            Some(&format!("DROP TABLE t_b;\n{down}")),
        )
        .table("c", "b")
}

const FAILS: &str = "INSERT INTO nowhere VALUES (1);";

/// A bare migration on disk that does not come to an end by itself.
fn endless(db: &Database) -> Project {
    let slow = match db.backend() {
        Backend::Sqlite => {
            "INSERT INTO t_b WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n;"
        }
        Backend::Postgres(13) => "SELECT pg_sleep(3);",
        Backend::Postgres(_) => "SELECT pg_sleep(600);",
    };
    slow_project(db, slow)
}

fn slow_project(db: &Database, slow: &str) -> Project {
    let project = Project::empty().on(db);
    project.write("whimbrel.toml", "");
    project.sql_migration("a", "", "CREATE TABLE t_a (n integer);", "DROP TABLE t_a;");
    project.write(
        "migrations/b_test.sql",
        format!(
            "-- whimbrel:migration\n-- id: b\n-- revises: a\n-- transaction: false\n-- message: test\n\
             -- whimbrel:upgrade\nCREATE TABLE t_b (n integer);\n{slow}\n-- whimbrel:downgrade\nDROP TABLE t_b;\n"
        ),
    );
    project
}

async fn until_it_has_made(table: &str, db: &Database, running: &mut Running) {
    while !tables(db).await.iter().any(|made| made == table) {
        assert!(running.is_running(), "it should not have come to an end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

on_every_database! {
    async fn nothing_is_wrong_where_nothing_happened(db: Database) {
        let engine = engine(&db, three());
        assert_eq!(problems(&engine).await, []);
        up(&engine, "b").await.unwrap();
        assert_eq!(problems(&engine).await, []);
        for target in ["a", "c", "base"] {
            engine.stamp(&[target.parse().unwrap()], Stamping::Move).await.unwrap();
            assert_eq!(problems(&engine).await, [], "after a stamp to {target}");
        }
        assert_eq!(refused(&engine, "a", Remedy::Applied).await, RepairError::NothingToRepair { revision: Some("a".into()), remedy: Remedy::Applied });
    }

    async fn a_database_of_another_tool_is_in_order(db: Database) {
        db.execute("CREATE TABLE whimbrel_version (version_num varchar(32) NOT NULL PRIMARY KEY);
                    INSERT INTO whimbrel_version VALUES ('b'); CREATE TABLE t_b (n integer);").await;
        let engine = engine(&db, three());
        assert_eq!(problems(&engine).await, []);
        up(&engine, "c").await.unwrap();
        assert_eq!(problems(&engine).await, []);
        down(&engine, "a").await.unwrap();
        assert_eq!(problems(&engine).await, []);
    }

    async fn what_failed_half_way_is_finished_by_hand(db: Database) {
        let broken = engine(&db, with_bare(FAILS, ""));
        up(&broken, "head").await.unwrap_err();
        let [Problem::Inconsistent(Inconsistency::Unfinished { .. })] = &problems(&broken).await[..] else { panic!() };
        let stamped = broken.stamp(&["b".parse().unwrap()], Stamping::Move).await.unwrap_err();
        assert!(matches!(*stamped.cause, Cause::Inconsistent(_)), "a stamp settles nothing: {stamped:?}");

        let repaired = broken.repair(Some("b"), Remedy::Applied).await.unwrap();
        assert_eq!(repaired.rows, ["b"]);
        assert_eq!(ledger(&db).await, ["a upgrade done", "b upgrade partial", "b repair done"]);
        up(&broken, "head").await.unwrap();
        assert_eq!(versions(&db).await, ["c"]);
        in_order(&broken).await;
        assert_eq!(refused(&broken, "b", Remedy::NotApplied).await.to_string(), "revision b has no problem that counting it as not applied would solve");

        // What ran is what the ledger has: that the file has been mended since is another matter.
        let mended = engine(&db, with_bare("", ""));
        let [Problem::Inconsistent(Inconsistency::Changed { .. })] = &problems(&mended).await[..] else { panic!() };
        mended.repair(Some("b"), Remedy::Accept).await.unwrap();
        in_order(&mended).await;
        assert_eq!(versions(&db).await, ["c"]);
    }

    async fn what_failed_half_way_is_undone_by_hand(db: Database) {
        let whole = engine(&db, with_bare("", ""));
        up(&whole, "head").await.unwrap();
        let tally_of_all = tally(&db).await;
        down(&whole, "a").await.unwrap();
        let before = tally(&db).await;

        let broken = engine(&db, with_bare(FAILS, ""));
        up(&broken, "head").await.unwrap_err();
        assert_eq!(tally(&db).await, "");
        db.execute("DROP TABLE t_b").await;
        let repaired = broken.repair(Some("b"), Remedy::NotApplied).await.unwrap();
        assert_eq!(repaired.rows, ["a"]);
        assert_eq!(ledger(&db).await.last().unwrap(), "b repair undone");
        assert_eq!(tally(&db).await, before);
        assert_eq!(problems(&broken).await, []);
        up(&whole, "head").await.unwrap();
        assert_eq!(tally(&db).await, tally_of_all);
        in_order(&whole).await;
    }

    async fn a_downgrade_that_failed_half_way_is_finished_or_undone(db: Database) {
        let broken = engine(&db, with_bare("", FAILS));
        up(&broken, "b").await.unwrap();
        let at_b = tally(&db).await;
        down(&broken, "a").await.unwrap_err();
        assert_eq!(versions(&db).await, ["b"]);
        db.execute("CREATE TABLE t_b (n integer)").await;
        assert_eq!(broken.repair(Some("b"), Remedy::Applied).await.unwrap().rows, ["b"]);
        assert_eq!(tally(&db).await, at_b);
        assert_eq!(problems(&broken).await, []);

        down(&broken, "a").await.unwrap_err();
        assert_eq!(broken.repair(Some("b"), Remedy::NotApplied).await.unwrap().rows, ["a"]);
        assert_eq!(problems(&broken).await, []);
        up(&broken, "head").await.unwrap();
        in_order(&broken).await;
    }

    async fn what_was_unfinished_when_its_file_went_still_stops_runs(db: Database) {
        up(&engine(&db, with_bare(FAILS, "")), "head").await.unwrap_err();
        let without = engine(&db, Folder::default().table("a", "").table("x", "a"));
        up(&without, "head").await.unwrap_err();
        assert!(matches!(refused(&without, "b", Remedy::Applied).await, RepairError::NothingToRepair { .. }));
        without.repair(Some("b"), Remedy::NotApplied).await.unwrap();
        up(&without, "head").await.unwrap();
        in_order(&without).await;
    }

    async fn a_change_is_accepted_for_one_revision(db: Database) {
        up(&engine(&db, three()), "head").await.unwrap();
        let changed = || Folder::default()
            .with("a", "", "CREATE TABLE t_a (m integer);", None)
            .with("b", "-- revises: a\n", "CREATE TABLE t_b (m integer);", None)
            .table("c", "b");
        let changed = engine(&db, changed());
        assert_eq!(problems(&changed).await.len(), 2);
        changed.repair(Some("b"), Remedy::Accept).await.unwrap();
        assert_eq!(problems(&changed).await.len(), 1);
        changed.repair(Some("a"), Remedy::Accept).await.unwrap();
        in_order(&changed).await;
        assert_eq!(ledger(&db).await[3..], ["b repair done", "a repair done"]);
        let twin = match db.backend() {
            Backend::Sqlite => Database::sqlite(),
            Backend::Postgres(major) => Database::postgres(major).await,
        };
        let fresh = Folder::default()
            .with("a", "", "CREATE TABLE t_a (m integer);", None)
            .with("b", "-- revises: a\n", "CREATE TABLE t_b (m integer);", None)
            .table("c", "b");
        up(&engine(&twin, fresh), "head").await.unwrap();
        assert_eq!(tally(&db).await, tally(&twin).await, "a run with nothing to do goes by the tally alone");
    }

    async fn a_row_without_a_file_gives_way_to_what_the_ledger_proves(db: Database) {
        up(&engine(&db, three()), "a").await.unwrap();
        let at_a = tally(&db).await;
        up(&engine(&db, three().table("d", "c")), "head").await.unwrap();
        let fewer = engine(&db, Folder::default().table("a", ""));
        assert_eq!(problems(&fewer).await, [Problem::Missing { revision: "d".into(), before: Some(ids(&["a"])) }]);
        assert_eq!(fewer.repair(Some("d"), Remedy::Forget).await.unwrap().rows, ["a"]);
        assert_eq!(tally(&db).await, at_a);
        in_order(&fewer).await;
        // Their files come back: nothing of them counts as applied any more.
        db.execute("DROP TABLE t_b; DROP TABLE t_c; DROP TABLE t_d").await;
        let all = engine(&db, three().table("d", "c"));
        assert_eq!(up(&all, "head").await.unwrap().steps.len(), 3);
        in_order(&all).await;
    }

    async fn several_rows_without_files_go_one_by_one(db: Database) {
        let branches = || three().table("x", "a").table("y", "x");
        up(&engine(&db, branches()), "heads").await.unwrap();
        let fewer = engine(&db, Folder::default().table("a", "").table("b", "a"));
        assert_eq!(problems(&fewer).await.len(), 2);
        assert_eq!(fewer.repair(Some("y"), Remedy::Forget).await.unwrap().rows, ["c"]);
        assert_eq!(fewer.repair(Some("c"), Remedy::Forget).await.unwrap().rows, ["b"]);
        in_order(&fewer).await;
    }

    async fn nothing_is_forgotten_on_a_guess(db: Database) {
        db.execute("CREATE TABLE whimbrel_version (version_num varchar(32) NOT NULL PRIMARY KEY);
                    INSERT INTO whimbrel_version VALUES ('zz');").await;
        let taken_over = engine(&db, three());
        assert_eq!(problems(&taken_over).await, [Problem::Missing { revision: "zz".into(), before: None }]);
        assert_eq!(refused(&taken_over, "zz", Remedy::Forget).await, RepairError::NotProved { revision: "zz".into() });
        taken_over.stamp(&["b".parse().unwrap()], Stamping::Purge).await.unwrap();
        assert_eq!(problems(&taken_over).await, []);
    }

    async fn an_implied_row_goes(db: Database) {
        let engine = engine(&db, three());
        up(&engine, "head").await.unwrap();
        let before = tally(&db).await;
        db.execute("INSERT INTO whimbrel_version VALUES ('a')").await;
        let implied = Problem::Implied { revision: ids(&["a"]).remove(0), by: ids(&["c"]).remove(0) };
        assert_eq!(problems(&engine).await, [implied]);
        assert_eq!(engine.repair(Some("a"), Remedy::Forget).await.unwrap().rows, ["c"]);
        assert_eq!(tally(&db).await, before);
        in_order(&engine).await;
    }

    async fn an_implied_row_of_another_tool_goes(db: Database) {
        db.execute("CREATE TABLE whimbrel_version (version_num varchar(32) NOT NULL PRIMARY KEY);
                    INSERT INTO whimbrel_version VALUES ('b'), ('a');").await;
        let engine = engine(&db, three());
        assert_eq!(engine.repair(Some("a"), Remedy::Forget).await.unwrap().rows, ["b"]);
        assert_eq!(problems(&engine).await, []);
        assert_eq!(up(&engine, "head").await.unwrap().steps.len(), 1);
        in_order(&engine).await;
    }

    async fn rows_that_something_else_changed_are_noticed(db: Database) {
        let engine = engine(&db, three());
        up(&engine, "head").await.unwrap();
        db.execute("UPDATE whimbrel_version SET version_num = 'b'").await;
        let moved = Problem::Moved { rows: ids(&["b"]), lost: ids(&["c"]) };
        assert_eq!(problems(&engine).await, [moved]);
        engine.stamp(&["c".parse().unwrap()], Stamping::Move).await.unwrap();
        in_order(&engine).await;

        db.execute("DELETE FROM whimbrel_version").await;
        let repaired = engine.repair(None, Remedy::Rows).await.unwrap();
        assert_eq!(repaired.rows, [] as [&str; 0]);
        assert_eq!(problems(&engine).await, []);
    }

    async fn a_migration_that_another_run_is_at_is_waited_for(db: Database) {
        let slow = match db.backend() {
            Backend::Sqlite => {
                "CREATE TABLE t_s AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000) \
                 SELECT max(i) AS top FROM n;"
            }
            Backend::Postgres(_) => "SELECT pg_sleep(2);",
        };
        let project = slow_project(&db, slow);
        let mut first = project.start(["upgrade", "head"]);
        until_it_has_made("t_b", &db, &mut first).await;
        let second = project.run(["upgrade", "head"]).succeeds();
        assert!(second.stderr.contains("Nothing to do"), "{}", second.stderr);
        first.wait().succeeds();
        assert_eq!(ledger(&db).await, ["a upgrade done", "b upgrade done"]);
    }

    async fn a_migration_without_a_transaction_is_killed(db: Database) {
        let project = endless(&db);
        let mut running = project.start(["upgrade", "head"]);
        until_it_has_made("t_b", &db, &mut running).await;
        running.kill();
        let _ = running.wait();
        let outcome = project.run(["upgrade", "head"]).exits_with(1);
        assert!(outcome.stderr.contains("`whimbrel repair b --applied`"), "{}", outcome.stderr);
        let listed = project.run(["repair"]).exits_with(3);
        assert_eq!(listed.stdout, "the upgrade of b, which runs without a transaction, was interrupted\n    \
            all of it is in effect: whimbrel repair b --applied\n    \
            nothing of it is in effect: whimbrel repair b --not-applied\n");
        let json = project.run(["repair", "--json"]).exits_with(3).json();
        assert_eq!(json[0]["problem"], "unfinished");
        assert_eq!(json[0]["commands"][1], "whimbrel repair b --not-applied");

        let done = project.run(["repair", "b", "--applied"]).succeeds();
        assert_eq!(done.stderr, "b counts as applied. The database is at b.\n");
        project.run(["repair"]).succeeds();
        assert!(project.run(["upgrade", "head"]).succeeds().stderr.starts_with("Nothing to do"));
        project.run(["repair", "b", "--applied"]).exits_with(1);
    }
}

const BUILDING: &str =
    "SELECT count(*) FROM pg_stat_progress_create_index WHERE datname = current_database()";

on_every_postgres! {
    async fn a_program_that_is_killed_while_it_builds_an_index_leaves_an_invalid_one(db: Database) {
        let project = Project::empty().on(&db);
        project.write("whimbrel.toml", "");
        project.sql_migration("a", "", "CREATE TABLE t_a (n integer);", "DROP TABLE t_a;");
        project.write(
            "migrations/b_test.sql",
            "-- whimbrel:migration\n-- id: b\n-- revises: a\n-- transaction: false\n-- message: test\n\
             -- whimbrel:upgrade\nCREATE INDEX CONCURRENTLY i ON t_a (n);\n-- whimbrel:downgrade\nDROP INDEX i;\n",
        );
        project.run(["upgrade", "a"]).succeeds();
        // A transaction that has written into the table is waited for.
        let (client, connection) = tokio_postgres::connect(&db.url(), tokio_postgres::NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        client.batch_execute("BEGIN; INSERT INTO t_a VALUES (1)").await.unwrap();
        let mut running = project.start(["upgrade", "head"]);
        while db.value(BUILDING).await == "0" {
            assert!(running.is_running(), "it should not have come to an end");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        running.kill();
        let _ = running.wait();
        db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_progress_create_index WHERE datname = current_database()").await;
        while db.value(BUILDING).await != "0" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        client.batch_execute("COMMIT").await.unwrap();
        drop(client);
        connection.await.unwrap().unwrap();

        let listed = project.run(["repair"]).exits_with(3).stdout;
        for said in [
            "the upgrade of b, which runs without a transaction, was interrupted",
            "the index public.i on t_a is invalid",
            "DROP INDEX CONCURRENTLY public.i;",
        ] {
            assert!(listed.contains(said), "{listed}");
        }
        db.execute("DROP INDEX CONCURRENTLY public.i").await;
        project.run(["repair", "b", "--not-applied"]).succeeds();
        project.run(["upgrade", "head"]).succeeds();
        project.run(["repair"]).succeeds();
        assert_eq!(versions(&db).await, ["b"]);
    }

    async fn an_index_that_was_not_finished_is_shown(db: Database) {
        let build = "CREATE INDEX CONCURRENTLY i ON t_a (n);";
        let folder = || Folder::default().table("a", "").with("b", "-- revises: a\n-- transaction: false\n", build, None);
        let engine = engine(&db, folder());
        up(&engine, "a").await.unwrap();
        // It makes the index unique to fail: two rows are the same.
        db.execute("INSERT INTO t_a VALUES (1), (1)").await;
        let unique = Folder::default().table("a", "").with("b", "-- revises: a\n-- transaction: false\n", "CREATE UNIQUE INDEX CONCURRENTLY \"I\" ON t_a (n);", None);
        let broken = crate::staging::engine(&db, unique);
        up(&broken, "head").await.unwrap_err();
        let found = problems(&broken).await;
        assert_eq!(found[1], Problem::InvalidIndex { index: "public.\"I\"".into(), table: "t_a".into() });
        db.execute("DROP INDEX CONCURRENTLY public.\"I\"").await;
        broken.repair(Some("b"), Remedy::NotApplied).await.unwrap();
        up(&engine, "head").await.unwrap();
        in_order(&engine).await;
    }
}

#[test]
fn a_terminal_is_asked_about_one_problem_after_another() {
    let project = Project::empty();
    project.write("whimbrel.toml", "database = 'sqlite:app.db'\n");
    for (id, parent) in [("a1", ""), ("b2", "a1")] {
        project.sql_migration(id, parent, &format!("CREATE TABLE {id} (n integer);"), "");
    }
    project.run(["upgrade"]).succeeds();
    for (id, parent) in [("a1", ""), ("b2", "a1")] {
        project.sql_migration(id, parent, &format!("CREATE TABLE {id} (m integer);"), "");
    }
    let answered = |answers: &str| {
        let line = format!(
            "printf '{answers}' | script --quiet --return --command 'whimbrel repair' /dev/null"
        );
        project.tool("bash").args(["-c", &line]).output().unwrap()
    };
    let first = answered("1\\n\\n");
    let said = String::from_utf8_lossy(&first.stdout);
    assert!(said.contains("a1 is accepted as it is now."), "{said}");
    assert!(said.contains("1 problem left."), "{said}");
    assert_eq!(first.status.code(), Some(3));
    let line = "printf '\\n' | script --quiet --return --command 'whimbrel repair a1' /dev/null";
    let nothing = project.tool("bash").args(["-c", line]).output().unwrap();
    assert_eq!(nothing.status.code(), Some(0), "a1 is in order");
    let second = answered("1\\n");
    let said = String::from_utf8_lossy(&second.stdout);
    assert!(said.contains("Nothing is wrong any more."), "{said}");
    assert_eq!(second.status.code(), Some(0));
    project.run(["repair"]).succeeds();
}
