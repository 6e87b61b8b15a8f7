//! Servers that crash.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use whimbrel::engine::{Engine, Patience};
use whimbrel::project::RunOptions;
use whimbrel_tests::{Cluster, Database, Setup};

use super::aftermath::{after, told};
use crate::staging::{engine, engine_with, patience, three, until_it_sleeps, up, with_sleep};

/// Runs a test on a server of its own, which brings deferred commits to its disk in its own time.
fn on_a_server_of_its_own<F: Future<Output = ()>>(
    major: u32,
    body: impl FnOnce(Cluster, Database) -> F,
) {
    let cluster = Setup::new(major)
        .setting("synchronous_commit", "on")
        .setting("autovacuum", "off")
        .setting("bgwriter_lru_maxpages", "0")
        .start()
        .unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let db = Database::on(&cluster, major).await;
        body(cluster, db).await;
    });
}

/// The process that brings deferred commits to the disk.
async fn wal_writer(db: &Database) -> Pid {
    let pid = db
        .value("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'")
        .await;
    Pid::from_raw(pid.parse().unwrap()).unwrap()
}

/// An engine that waits for a server that comes back.
fn patient(db: &Database) -> Engine {
    let patience = Patience {
        attempts: 40,
        longest_delay: Duration::from_millis(500),
        ..patience()
    };
    let options = RunOptions {
        patience,
        ..RunOptions::default()
    };
    engine_with(db, with_sleep(600), options)
}

async fn and_stays_away(mut cluster: Cluster, db: Database) {
    let engine_that_loses = engine(&db, with_sleep(600));
    let crash = async {
        until_it_sleeps(&db).await;
        db.execute("CHECKPOINT").await;
        cluster.crash().unwrap();
    };
    let (result, ()) = tokio::join!(up(&engine_that_loses, "head"), crash);
    let failure = result.unwrap_err();
    assert_eq!(
        failure.state(),
        "0 of 3 applied; whether a and what followed it was kept is not known, since the server cannot be asked."
    );
    let failure = up(&engine(&db, three()), "head").await.unwrap_err();
    assert_eq!(failure.state(), "Nothing was changed.");
    assert!(
        told(&*failure.cause).contains("cannot connect"),
        "{failure:?}"
    );
    cluster.restart().unwrap();
    after(&db, &["a"], &engine(&db, three())).await;
}

async fn after_a_step_is_on_its_disk(mut cluster: Cluster, db: Database) {
    let engine_that_loses = patient(&db);
    let crash = async {
        until_it_sleeps(&db).await;
        db.execute("CHECKPOINT").await;
        cluster.crash().unwrap();
        cluster.restart().unwrap();
    };
    let (result, ()) = tokio::join!(up(&engine_that_loses, "head"), crash);
    let failure = result.unwrap_err();
    assert_eq!(
        failure.state(),
        "1 of 3 applied; b rolled back; nothing else changed."
    );
    after(&db, &["a"], &engine(&db, three())).await;
}

async fn before_a_step_is_on_its_disk(cluster: Cluster, db: Database) {
    let wal_writer = wal_writer(&db).await;
    kill_process(wal_writer, Signal::STOP).unwrap();
    let engine_that_loses = patient(&db);
    let crash = async {
        until_it_sleeps(&db).await;
        // The server ends all its processes when one is killed, and starts again by itself.
        kill_process(wal_writer, Signal::KILL).unwrap();
    };
    let (result, ()) = tokio::join!(up(&engine_that_loses, "head"), crash);
    let failure = result.unwrap_err();
    assert_eq!(
        failure.state(),
        "0 of 3 applied; b rolled back; nothing else changed.",
        "{failure:?}"
    );
    after(&db, &[], &engine(&db, three())).await;
    drop(cluster);
}

macro_rules! on_every_server_of_its_own {
    ($($name:ident)*) => {$(
        mod $name {
            use super::{$name, on_a_server_of_its_own};

            #[test]
            fn postgres_13() {
                on_a_server_of_its_own(13, $name);
            }

            #[test]
            fn postgres_15() {
                on_a_server_of_its_own(15, $name);
            }

            #[test]
            fn postgres_18() {
                on_a_server_of_its_own(18, $name);
            }
        }
    )*};
}

on_every_server_of_its_own! {
    and_stays_away
    after_a_step_is_on_its_disk
    before_a_step_is_on_its_disk
}
