//! Whatever is done to a backfill in whatever order, it ends with every row worked on once.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use whimbrel::backfill::State;
use whimbrel::engine::{BackfillMode, Engine};
use whimbrel::migration::Cancel;
use whimbrel_tests::{Database, on_every_database};

use super::coded::Coded;
use super::{WRONG, coded_engine, leftovers};
use crate::staging::{id, up, versions};

const ROWS: u32 = 1_500;

fn fresh(db: &Database) -> Engine {
    let mut engine = coded_engine(db, ROWS, Coded::counting());
    engine.backfills.changes = vec!["rate=20000".to_owned(), "batch=10ms".to_owned()];
    engine
}

/// Runs for a while, and is stopped as by Ctrl-C.
async fn for_a_while(mut engine: Engine, milliseconds: u64) {
    let cancel = Cancel::default();
    engine.cancel = cancel.clone();
    let timer = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        cancel.request();
    });
    // It may have come to its end, or have been paused, or been stopped.
    let _ = up(&engine, "b").await;
    timer.abort();
}

/// The state that it is in; none where nothing is known of it.
async fn state(engine: &Engine) -> Option<State> {
    let mut all = engine.backfill_status(None).await.unwrap();
    all.pop().map(|status| status.state)
}

/// One thing that somebody does, and what must be so afterwards.
async fn act(db: &Database, rng: &mut StdRng) {
    let engine = fresh(db);
    let revision = id("b");
    let before = state(&engine).await;
    let is_open = before.is_some_and(|state| state != State::Done);
    match rng.random_range(0..9) {
        0 => {
            let mut engine = engine;
            engine.backfills.mode = BackfillMode::Detached;
            up(&engine, "b").await.unwrap();
            if before == Some(State::Paused) {
                assert_eq!(
                    state(&engine).await,
                    Some(State::Paused),
                    "beginning resumes nothing"
                );
            }
        }
        1..4 => for_a_while(engine, rng.random_range(5..150)).await,
        4 => {
            let set = engine.set_backfill_state(&revision, State::Paused).await;
            assert_eq!(set.is_ok(), is_open);
            if is_open {
                assert_eq!(state(&engine).await, Some(State::Paused));
            }
        }
        5 => {
            let set = engine.set_backfill_state(&revision, State::Running).await;
            assert_eq!(set.is_ok(), is_open);
        }
        6 => {
            let set = engine.set_backfill_state(&revision, State::Stopped).await;
            assert_eq!(set.is_ok(), is_open);
        }
        7 => {
            let retried = engine.retry_backfill(&revision).await;
            assert_eq!(retried.is_ok(), is_open);
        }
        _ => {
            let given_up = engine.abandon_backfill(&revision).await;
            assert_eq!(given_up.is_ok(), is_open);
            if is_open {
                assert_eq!(state(&engine).await, None);
                assert_eq!(leftovers(db).await, [""; 0]);
                // Rows that have new values keep them, and would be worked on again.
                db.execute("UPDATE items SET runs = 0, doubled = NULL")
                    .await;
            }
        }
    }
    // Somebody else writes as well.
    if versions(db).await == ["a"] {
        let row = rng.random_range(1..=ROWS);
        let amount = rng.random_range(0..1_000);
        db.execute(&format!(
            "UPDATE items SET amount = {amount}, runs = 0 WHERE id = {row}"
        ))
        .await;
    }
}

on_every_database! {
    async fn any_row_of_commands_ends_well(db: Database) {
        for seed in 0..4 {
            let mut rng = StdRng::seed_from_u64(seed);
            up(&fresh(&db), "a").await.unwrap();
            for _ in 0..10 {
                act(&db, &mut rng).await;
            }
            let engine = fresh(&db);
            if state(&engine).await == Some(State::Paused) {
                engine.set_backfill_state(&id("b"), State::Running).await.unwrap();
            }
            up(&engine, "b").await.unwrap();
            assert_eq!(versions(&db).await, ["b"], "seed {seed}");
            assert_eq!(db.value(WRONG).await, "0", "seed {seed}");
            assert_eq!(leftovers(&db).await, [""; 0], "seed {seed}");
            db.execute("DROP TABLE items").await;
            db.execute("DELETE FROM whimbrel_version").await;
            db.execute("DELETE FROM whimbrel_ledger").await;
            db.execute("DELETE FROM whimbrel_backfill").await;
        }
    }
}
