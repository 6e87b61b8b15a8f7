//! A run that is cancelled, or dropped, at every call that a component makes to the database.

mod interrupting;

use std::sync::Arc;
use std::time::{Duration, Instant};

use whimbrel::engine::{Aftermath, Cause};
use whimbrel::migration::Cancel;
use whimbrel::project::RunOptions;
use whimbrel::revision::Direction;
use whimbrel_tests::{Backend, Database, on_every_database};

use crate::attacks_components::component;
use crate::faults::{after, unharmed};
use crate::staging::{Folder, driver, engine, engine_of, id, patience};
use interrupting::{Interrupting, Plan, When};

/// One call of each kind: nine, with the statement that comes first.
const GUEST: &str = r#"
  (call $query (i32.const 64) (i32.const 8) (i32.const 0) (i32.const 0) (i32.const 2048))
  (global.set $handle (call $cursor))
  (call $next (global.get $handle) (i32.const 10) (i32.const 2048))
  (call $drop-cursor (global.get $handle))
  (call $release (call $savepoint) (i32.const 2048))
  (call $rollback (call $savepoint) (i32.const 2048))
"#;
const CALLS: usize = 9;

fn folder() -> Folder {
    Folder::default()
        .table("a", "")
        .component_of(
            "b",
            "a",
            component(GUEST, "(global $handle (mut i32) (i32.const 0))"),
            "[capabilities]\nddl = [\"create table t_b\"]\n",
        )
        .table("c", "b")
}

/// Rows in bulk: a statement for each, and copied in.
fn bulk() -> Folder {
    let manifest = "[params]\nbehaviour = \"bulk\"\nfirst = \"CREATE TABLE t_b (n integer)\"\n\
                    [capabilities]\nddl = [\"create table t_b\"]\n";
    Folder::default()
        .table("a", "")
        .component("b", "a", "adversary", manifest)
        .table("c", "b")
}
const BULK_CALLS: usize = 3;

/// Demands that no session of a run is left, which a server may take a moment to see.
async fn nobody_is_connected(db: &Database) {
    if db.backend() == Backend::Sqlite {
        return;
    }
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
               AND application_name LIKE 'whimbrel%' AND pid <> pg_backend_pid()";
    let deadline = Instant::now() + Duration::from_secs(10);
    while db.value(sql).await != "0" {
        assert!(Instant::now() < deadline, "a session is left behind");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Interrupts a run at each of so many calls in turn. Each begins where the one before was undone.
async fn interrupted(db: &Database, when: When, folder: fn() -> Folder, calls: usize) {
    // Whoever cancels around the last call may find the component at its end, and its migration with it.
    let calls = match when {
        When::Before | When::After => calls - 1,
        When::Dropped => calls,
    };
    for call in 0..calls {
        let cancel = Cancel::default();
        let plan = Arc::new(Plan::new(call, when, cancel.clone()));
        let options = RunOptions {
            cancel,
            patience: patience(),
            ..RunOptions::default()
        };
        let over = Arc::new(Interrupting::new(driver(db), Arc::clone(&plan)));
        let engine = engine_of(over, folder(), options);
        let target = "head".parse().unwrap();
        tokio::select! {
            biased;
            outcome = engine.run(&target, Direction::Upgrade) => {
                let failure = outcome.unwrap_err();
                assert_ne!(when, When::Dropped, "call {call}: {failure:?}");
                assert!(matches!(*failure.cause, Cause::Cancelled | Cause::Migration { .. }), "call {call}: {failure:?}");
                assert_eq!(failure.aftermath, Aftermath::RolledBack(id("b")), "call {call}: {failure:?}");
            }
            () = plan.dropped() => {}
        }
        assert!(plan.was_reached(), "no call {call} was made");
        drop(engine);
        nobody_is_connected(db).await;
        unharmed(db, &["a"]).await;
    }
    after(db, &["a"], &engine(db, folder())).await;
}

/// Runs to the end, and counts.
async fn makes(db: &Database, folder: Folder, calls: usize) {
    let plan = Arc::new(Plan::new(calls, When::Before, Cancel::default()));
    let over = Arc::new(Interrupting::new(driver(db), Arc::clone(&plan)));
    let options = RunOptions {
        patience: patience(),
        ..RunOptions::default()
    };
    let engine = engine_of(over, folder, options);
    let target = "head".parse().unwrap();
    engine.run(&target, Direction::Upgrade).await.unwrap();
    assert_eq!(plan.made(), calls);
}

on_every_database! {
    async fn cancelled_before_each_call(db: Database) {
        interrupted(&db, When::Before, folder, CALLS).await;
    }

    async fn cancelled_after_each_call(db: Database) {
        interrupted(&db, When::After, folder, CALLS).await;
    }

    async fn dropped_before_each_call(db: Database) {
        interrupted(&db, When::Dropped, folder, CALLS).await;
    }

    async fn cancelled_before_each_call_in_bulk(db: Database) {
        interrupted(&db, When::Before, bulk, BULK_CALLS).await;
    }

    async fn cancelled_after_each_call_in_bulk(db: Database) {
        interrupted(&db, When::After, bulk, BULK_CALLS).await;
    }

    async fn dropped_before_each_call_in_bulk(db: Database) {
        interrupted(&db, When::Dropped, bulk, BULK_CALLS).await;
    }

    async fn the_guest_makes_as_many_calls_as_are_interrupted(db: Database) {
        makes(&db, folder(), CALLS).await;
    }

    async fn the_guest_makes_as_many_calls_in_bulk(db: Database) {
        makes(&db, bulk(), BULK_CALLS).await;
    }
}
