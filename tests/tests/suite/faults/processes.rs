//! The program itself: killed, or started many times at once.

use std::fs;
use std::time::{Duration, Instant};

use whimbrel_tests::{Backend, Database, Project, Running, on_every_database};

use super::aftermath::{in_effect, nobody_holds_a_lock, unharmed};
use crate::staging::ledger;

const POLL: Duration = Duration::from_millis(10);

/// A line of three as a project on disk, `b` ending with a statement of the caller's.
fn project(db: &Database, last_of_b: &str) -> Project {
    let project = Project::empty().on(db);
    project.write("whimbrel.toml", "");
    project.sql_migration("a", "", "CREATE TABLE t_a (n integer);", "DROP TABLE t_a;");
    write_b(&project, last_of_b);
    project.sql_migration("c", "b", "CREATE TABLE t_c (n integer);", "DROP TABLE t_c;");
    project
}

fn write_b(project: &Project, last: &str) {
    let upgrade = format!("CREATE TABLE t_b (n integer);\n{last}");
    project.sql_migration("b", "a", &upgrade, "DROP TABLE t_b;");
}

/// A statement that does not end before the test does, but for PostgreSQL 13, which does not notice that the client
/// is gone as long as a statement runs.
fn slow(backend: Backend) -> &'static str {
    match backend {
        Backend::Sqlite => {
            "INSERT INTO t_b WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n;"
        }
        Backend::Postgres(13) => "SELECT pg_sleep(3);",
        Backend::Postgres(_) => "SELECT pg_sleep(600);",
    }
}

/// Waits until the slow statement has begun; on SQLite until it has also written to the file.
async fn until_under_way(db: &Database, running: &mut Running) {
    const SPILLED: u64 = 8 << 20;
    loop {
        assert!(running.is_running(), "it should not have come to an end");
        let under_way = match db.backend() {
            Backend::Sqlite => {
                let url = db.url();
                let path = url.trim_start_matches("sqlite:");
                let size = |path: &str| fs::metadata(path).map_or(0, |file| file.len());
                size(path) + size(&format!("{path}-wal")) > SPILLED
            }
            Backend::Postgres(_) => {
                let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                           AND query LIKE 'SELECT pg_sleep%' AND state = 'active'";
                db.value(sql).await != "0"
            }
        };
        if under_way {
            return;
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Takes the slow statement away; the next upgrade then succeeds.
async fn goes_on(db: &Database, project: &Project) {
    write_b(project, "");
    project.run(["upgrade", "head"]).succeeds();
    unharmed(db, &["a", "b", "c"]).await;
}

/// Starts the program so many times at once; all must succeed, and one of them does the work.
async fn start_at_once(db: &Database, count: usize) {
    let project = project(db, "");
    let started: Vec<Running> = (0..count)
        .map(|_| project.start(["upgrade", "head"]))
        .collect();
    let mut idle = 0;
    for run in started {
        let outcome = run.wait().succeeds();
        idle += usize::from(outcome.stderr.contains("Nothing to do"));
    }
    assert_eq!(idle, count - 1);
    assert_eq!(
        ledger(db).await,
        ["a upgrade done", "b upgrade done", "c upgrade done"]
    );
    unharmed(db, &["a", "b", "c"]).await;
}

on_every_database! {
    async fn the_program_is_killed(db: Database) {
        let project = project(&db, slow(db.backend()));
        let mut running = project.start(["upgrade", "head"]);
        until_under_way(&db, &mut running).await;
        running.kill();
        assert_eq!(running.wait().status.code(), None);
        unharmed(&db, &["a"]).await;
        goes_on(&db, &project).await;
    }

    async fn the_program_is_interrupted(db: Database) {
        let project = project(&db, slow(db.backend()));
        let mut running = project.start(["upgrade", "head"]);
        until_under_way(&db, &mut running).await;
        running.interrupt();
        let outcome = running.wait().exits_with(130);
        assert!(outcome.stderr.contains("1 of 3 applied; b rolled back"), "{}", outcome.stderr);
        unharmed(&db, &["a"]).await;
        goes_on(&db, &project).await;
    }

    async fn the_program_is_killed_wherever_it_happens_to_be(db: Database) {
        const KILLS: u32 = 12;
        let project = Project::empty().on(&db);
        project.write("whimbrel.toml", "");
        let mut parent = String::new();
        for id in 'a'..='z' {
            project.sql_migration(&id.to_string(), &parent, &format!("CREATE TABLE t_{id} (n integer);"), &format!("DROP TABLE t_{id};"));
            parent = id.to_string();
        }
        let started = Instant::now();
        project.run(["upgrade", "head"]).succeeds();
        let whole = started.elapsed();
        for kill in 0..KILLS {
            project.run(["downgrade", "base"]).succeeds();
            let running = project.start(["upgrade", "head"]);
            tokio::time::sleep(whole * kill / KILLS).await;
            running.kill();
            let _ = running.wait();
            nobody_holds_a_lock(&db).await;
            in_effect(&db).await;
        }
        project.run(["upgrade", "head"]).succeeds();
        assert_eq!(in_effect(&db).await.len(), 26);
    }

    async fn two_are_started_at_once(db: Database) {
        start_at_once(&db, 2).await;
    }

    async fn ten_are_started_at_once(db: Database) {
        start_at_once(&db, 10).await;
    }
}
