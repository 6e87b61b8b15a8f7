//! A change of a table gives way to whoever holds it, and so never stops those who come behind it for long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use whimbrel_tests::{Database, Outcome, Project, on_every_postgres};

use crate::staging::versions;

const LOCK_TIMEOUT: Duration = Duration::from_millis(300);
/// What a busy machine may add to a wait.
const SLACK: Duration = Duration::from_millis(1_000);

/// Reads a table over and over until told to stop; returns the longest wait.
async fn read_all_the_time(db: &Database, stop: &AtomicBool) -> Duration {
    let client = db.connect_postgres().await;
    let mut longest = Duration::ZERO;
    while !stop.load(Ordering::Relaxed) {
        let asked = Instant::now();
        client
            .batch_execute("SELECT count(*) FROM t")
            .await
            .unwrap();
        longest = longest.max(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    longest
}

/// Upgrades while another session holds the table for `held`, and a third one reads it.
async fn upgrade_against(db: &Database, held: Duration, arguments: &[&str]) -> (Outcome, Duration) {
    db.execute("CREATE TABLE t (n integer)").await;
    let project = Project::empty().on(db);
    project.write("whimbrel.toml", "lock_timeout = '300ms'\n");
    project.sql_migration(
        "aa01",
        "",
        "ALTER TABLE t ADD COLUMN m integer;",
        "SELECT 1;",
    );
    let holder = db.connect_postgres().await;
    holder
        .batch_execute("BEGIN; LOCK TABLE t IN ACCESS SHARE MODE")
        .await
        .unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let upgrading = async {
        let running = project.start(arguments);
        tokio::time::sleep(held).await;
        holder.batch_execute("ROLLBACK").await.unwrap();
        let outcome = tokio::task::spawn_blocking(move || running.wait());
        let outcome = outcome.await.unwrap();
        stop.store(true, Ordering::Relaxed);
        outcome
    };
    tokio::join!(upgrading, read_all_the_time(db, &stop))
}

on_every_postgres! {
    async fn readers_wait_no_longer_than_the_lock_timeout(db: Database) {
        let held = Duration::from_millis(1_500);
        let (outcome, longest) = upgrade_against(&db, held, &["upgrade", "--no-progress"]).await;
        let outcome = outcome.succeeds();
        let says = "attempt 1 failed: canceling statement due to lock timeout; again in";
        assert!(outcome.stderr.contains(says), "{outcome:?}");
        assert!(longest < LOCK_TIMEOUT + SLACK, "a reader waited for {longest:?}");
        assert_eq!(versions(&db).await, ["aa01"]);
    }

    async fn each_attempt_is_an_event(db: Database) {
        let held = Duration::from_millis(1_500);
        let (outcome, _) = upgrade_against(&db, held, &["--json", "upgrade"]).await;
        let events = outcome.succeeds().events();
        assert!(events.iter().any(|event| event["event"] == "retrying" && event["attempt"] == 1), "{events:#?}");
    }

    async fn who_gives_up_is_told_what_to_do(db: Database) {
        let held = Duration::from_secs(16);
        let (outcome, _) = upgrade_against(&db, held, &["upgrade", "--no-progress"]).await;
        let outcome = outcome.exits_with(1);
        assert!(outcome.stderr.contains("lock_timeout in whimbrel.toml"), "{outcome:?}");
    }
}
