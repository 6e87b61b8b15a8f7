//! A replica that falls behind is waited for.

use std::sync::Arc;
use std::time::Duration;

use whimbrel::backfill::BackfillError;
use whimbrel::engine::{Cause, Engine};
use whimbrel_tests::{Cluster, Database};

use super::{COUNTING, WRONG, folder};
use crate::staging::{driver_for, engine, engine_over, up};

/// What the first worker is doing, and how many rows are done.
async fn doing(engine: &Engine) -> (String, u64) {
    let found = engine.backfill_status(None).await.unwrap();
    let Some(status) = found.first() else {
        return (String::new(), 0);
    };
    let worker = status.workers.first();
    (
        worker.map_or_else(String::new, |worker| worker.doing.clone()),
        status.counts.read,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_does_not_replay_is_waited_for() {
    let cluster = Cluster::start(15).unwrap();
    let db = Database::on(&cluster, 15).await;
    let replica = cluster.standby().unwrap();
    let (on_replica, connection) =
        tokio_postgres::connect(&replica.url("postgres"), tokio_postgres::NoTls)
            .await
            .unwrap();
    tokio::spawn(connection);

    let mut engine = engine(&db, folder(&db, 6_000, COUNTING));
    engine.backfills.changes = ["max-lag=1s", "rate=1000", "batch=50ms"]
        .map(str::to_owned)
        .to_vec();
    let engine = Arc::new(engine);
    let running = tokio::spawn({
        let engine = Arc::clone(&engine);
        async move { up(&engine, "b").await }
    });
    while doing(&engine).await.1 == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    on_replica
        .batch_execute("SELECT pg_wal_replay_pause()")
        .await
        .unwrap();
    let mut seen = Vec::new();
    let held = loop {
        let (doing, rows) = doing(&engine).await;
        if doing.starts_with("walreceiver is ") && doing.ends_with(" s behind") {
            break rows;
        }
        assert!(seen.len() < 200, "nobody waits: {seen:?}");
        seen.push(doing);
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(doing(&engine).await.1, held, "nothing moves");
    assert!(held < 6_000);

    on_replica
        .batch_execute("SELECT pg_wal_replay_resume()")
        .await
        .unwrap();
    running.await.unwrap().unwrap();
    assert_eq!(db.value(WRONG).await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_not_see_replicas_is_told_so() {
    let cluster = Cluster::start(15).unwrap();
    let db = Database::on(&cluster, 15).await;
    let _replica = cluster.standby().unwrap();
    db.execute("CREATE ROLE plain LOGIN; ALTER SCHEMA public OWNER TO plain")
        .await;
    let driver = driver_for(&db.url().replace("postgres@", "plain@"));
    let mut plain = engine_over(driver, folder(&db, 100, COUNTING));
    plain.backfills.changes = vec!["max-lag=1s".to_owned()];
    let failure = up(&plain, "b").await.unwrap_err();
    let Cause::Backfill { source, .. } = &*failure.cause else {
        panic!("{failure:?}");
    };
    assert!(
        matches!(&**source, BackfillError::Unfit(told) if told.contains("grant it pg_monitor")),
        "{source}"
    );
    plain.backfills.changes = vec!["max-lag=none".to_owned()];
    up(&plain, "b").await.unwrap();
    assert_eq!(db.value(WRONG).await, "0");
}
