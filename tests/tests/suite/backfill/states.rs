//! Whatever is done to a backfill in whatever order, it ends with every row worked on once.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, prop_oneof};
use whimbrel::backfill::State;
use whimbrel::engine::{Aftermath, BackfillMode, Engine};
use whimbrel::migration::Cancel;
use whimbrel_tests::{Database, on_every_database};

use super::coded::Coded;
use super::property::holds;
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

/// One thing that somebody does.
#[derive(Debug, Clone)]
enum Act {
    Begin,
    /// For so many milliseconds.
    Run(u64),
    Pause,
    Resume,
    Stop,
    Retry,
    Abandon,
    /// Somebody else writes a row.
    Write {
        id: u32,
        amount: u32,
    },
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        1 => Just(Act::Begin),
        3 => (5..150_u64).prop_map(Act::Run),
        1 => Just(Act::Pause),
        1 => Just(Act::Resume),
        1 => Just(Act::Stop),
        1 => Just(Act::Retry),
        1 => Just(Act::Abandon),
        4 => (1..=ROWS, 0..1_000_u32).prop_map(|(id, amount)| Act::Write { id, amount }),
    ]
}

impl Act {
    /// Does it, and checks what must be so afterwards.
    async fn perform(&self, db: &Database) {
        let engine = fresh(db);
        let revision = id("b");
        let before = state(&engine).await;
        let is_open = before.is_some_and(|state| state != State::Done);
        match self {
            Self::Begin => {
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
            Self::Run(milliseconds) => for_a_while(engine, *milliseconds).await,
            Self::Pause => {
                let set = engine.set_backfill_state(&revision, State::Paused).await;
                assert_eq!(set.is_ok(), is_open);
                if is_open {
                    assert_eq!(state(&engine).await, Some(State::Paused));
                }
            }
            Self::Resume => {
                let set = engine.set_backfill_state(&revision, State::Running).await;
                assert_eq!(set.is_ok(), is_open);
            }
            Self::Stop => {
                let set = engine.set_backfill_state(&revision, State::Stopped).await;
                assert_eq!(set.is_ok(), is_open);
            }
            Self::Retry => {
                let retried = engine.retry_backfill(&revision).await;
                assert_eq!(retried.is_ok(), is_open);
            }
            Self::Abandon => {
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
            // What is written when it is over nobody works on.
            Self::Write { id, amount } if versions(db).await == ["a"] => {
                db.execute(&format!(
                    "UPDATE items SET amount = {amount}, runs = 0 WHERE id = {id}"
                ))
                .await;
            }
            Self::Write { .. } => {}
        }
    }
}

on_every_database! {
    async fn what_cannot_begin_says_why_and_has_nobody_wait_for_it(db: Database) {
        up(&fresh(&db), "a").await.unwrap();
        db.execute("CREATE TABLE whimbrel_notes_b (n integer)").await;
        let failure = up(&fresh(&db), "b").await.unwrap_err();
        assert_eq!(failure.aftermath, Aftermath::RolledBack(id("b")));
        assert_eq!(state(&fresh(&db)).await, None);
        db.execute("DROP TABLE whimbrel_notes_b").await;
        up(&fresh(&db), "b").await.unwrap();
        assert_eq!(versions(&db).await, ["b"]);
        assert_eq!(db.value(WRONG).await, "0");
    }

    async fn any_row_of_commands_ends_well(db: Database) {
        holds(&db, 5, vec(act(), 0..20), async |acts| {
            up(&fresh(&db), "a").await.unwrap();
            for act in acts {
                act.perform(&db).await;
            }
            let engine = fresh(&db);
            if state(&engine).await == Some(State::Paused) {
                engine.set_backfill_state(&id("b"), State::Running).await.unwrap();
            }
            up(&engine, "b").await.unwrap();
            assert_eq!(versions(&db).await, ["b"]);
            assert_eq!(db.value(WRONG).await, "0");
            assert_eq!(leftovers(&db).await, [""; 0]);
        }).await;
    }
}
