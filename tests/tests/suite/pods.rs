//! Ten processes at once, as when ten pods of a deployment start.

use whimbrel_tests::{Backend, Database, Outcome, Project, on_every_database, on_every_postgres};

use crate::pooler::pooled;
use crate::staging::{ledger, until_it_sleeps};

const PODS: usize = 10;
const CONNECTIONS: u32 = 4;

/// A project of four migrations, the second of which takes its time.
fn project(db: &Database, url: &str) -> Project {
    let project = Project::empty().variable("WHIMBREL_DATABASE_URL", url);
    project.write("whimbrel.toml", "");
    let slow = match db.backend() {
        Backend::Sqlite => {
            "CREATE TABLE slow AS WITH RECURSIVE n (i) AS \
                (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000000) SELECT max(i) AS top FROM n;"
        }
        Backend::Postgres(_) => "CREATE TABLE slow (n integer);\nSELECT pg_sleep(1);",
    };
    project.sql_migration("aa01", "", "CREATE TABLE a (n integer);", "DROP TABLE a;");
    project.sql_migration("bb02", "aa01", slow, "DROP TABLE slow;");
    project.sql_migration(
        "cc03",
        "bb02",
        "CREATE TABLE c (n integer);",
        "DROP TABLE c;",
    );
    project.sql_migration(
        "dd04",
        "cc03",
        "INSERT INTO c VALUES (1);",
        "DELETE FROM c;",
    );
    project
}

/// Starts as many `whimbrel upgrade` as there are pods, each with one of the URLs in turn.
async fn all_upgrade(db: &Database, urls: &[&str]) {
    let projects: Vec<Project> = (0..PODS)
        .map(|pod| project(db, urls[pod % urls.len()]))
        .collect();
    let outcomes: Vec<Outcome> = tokio::task::block_in_place(|| {
        let running: Vec<_> = projects
            .iter()
            .map(|project| project.start(["upgrade", "--no-progress"]))
            .collect();
        running
            .into_iter()
            .map(|pod| pod.wait().succeeds())
            .collect()
    });
    let says = |outcome: &&Outcome, text: &str| {
        outcome.stdout.contains(text) || outcome.stderr.contains(text)
    };
    let migrated = outcomes.iter().filter(|outcome| says(outcome, "Upgraded"));
    assert_eq!(migrated.count(), 1, "{outcomes:#?}");
    let waited = outcomes.iter().filter(|outcome| {
        outcome
            .stderr
            .contains("waiting for another run to finish (process")
    });
    assert!(waited.count() > 0, "{outcomes:#?}");
    assert_eq!(
        ledger(db).await,
        [
            "aa01 upgrade done",
            "bb02 upgrade done",
            "cc03 upgrade done",
            "dd04 upgrade done"
        ]
    );
    assert_eq!(db.value("SELECT count(*) FROM c").await, "1");
}

/// Runs into a lock that another process keeps.
async fn gives_up(db: &Database, url: &str) {
    let project = Project::empty().variable("WHIMBREL_DATABASE_URL", url);
    project.write("whimbrel.toml", "");
    project.sql_migration("aa01", "", "SELECT pg_sleep(60);", "SELECT 1;");
    let holder = project.start(["upgrade", "--no-progress"]);
    until_it_sleeps(db).await;
    tokio::task::block_in_place(|| {
        let second = project
            .run(["upgrade", "--no-progress", "--lock-wait", "2s"])
            .exits_with(4);
        let says = "Error: another run holds the lock (process ";
        assert!(second.stderr.contains(says), "{second:?}");
        holder.kill();
        holder.wait();
    });
}

on_every_database! {
    async fn one_of_ten_migrates(db: Database) {
        all_upgrade(&db, &[&db.url()]).await;
    }
}

on_every_postgres! {
    async fn one_of_ten_migrates_through_a_pooler(db: Database) {
        let (_pooler, url) = pooled(&db, CONNECTIONS);
        all_upgrade(&db, &[&url]).await;
    }

    async fn one_of_ten_migrates_when_half_of_them_come_through_a_pooler(db: Database) {
        let (_pooler, url) = pooled(&db, CONNECTIONS);
        all_upgrade(&db, &[&url, &db.url()]).await;
    }

    async fn whoever_gives_up_names_the_holder(db: Database) {
        gives_up(&db, &db.url()).await;
    }

    async fn whoever_gives_up_names_the_holder_of_a_lease(db: Database) {
        let (_pooler, url) = pooled(&db, CONNECTIONS);
        gives_up(&db, &url).await;
    }
}
