//! What was there when a backfill began is not there any more, or is something else.

use whimbrel::backfill::{BackfillError, State};
use whimbrel::engine::{Cause, Engine, RunFailure};
use whimbrel_tests::{Backend, Database, on_every_database};

use super::coded::Coded;
use super::{COUNTING, TABLE, WRONG, coded_engine, folder, leftovers, told};
use crate::staging::{down, engine, id, tables, up};

/// Begins the backfill of so many rows and stops it half-way.
async fn half_done(db: &Database, rows: u32) -> Engine {
    let mut engine = coded_engine(db, rows, Coded::counting());
    engine.backfills.changes = vec!["rate=2000".to_owned(), "batch=50ms".to_owned()];
    up(&engine, "a").await.unwrap();
    let running = async { up(&engine, "b").await };
    let stopping = async {
        loop {
            let status = engine.backfill_status(None).await.unwrap();
            if status.first().is_some_and(|status| status.counts.read > 0) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        engine
            .set_backfill_state(&id("b"), State::Stopped)
            .await
            .unwrap();
    };
    let (ran, ()) = tokio::join!(running, stopping);
    ran.unwrap_err();
    engine
        .set_backfill(&id("b"), &["rate=none".to_owned()])
        .await
        .unwrap();
    engine
}

fn unfit(failure: &RunFailure) -> String {
    match &*failure.cause {
        Cause::Backfill { source, .. } => {
            assert!(matches!(**source, BackfillError::Unfit(_)), "{source:?}")
        }
        other => panic!("{other:?}"),
    }
    told(failure)
}

on_every_database! {
    async fn a_table_that_was_made_anew_is_not_gone_on_with(db: Database) {
        let engine = half_done(&db, 4_000).await;
        let failure = down(&engine, "base").await.unwrap_err();
        assert!(matches!(&*failure.cause, Cause::OpenBackfill { revision, .. } if *revision == id("b")), "{failure:?}");
        assert_eq!(tables(&db).await.len(), 0, "the tables of the test are not named so");
        // Others need not ask.
        let again: Vec<String> = match db.backend() {
            Backend::Sqlite => vec!["CREATE TABLE other AS SELECT * FROM items".to_owned(), "DROP TABLE items".to_owned(), TABLE.to_owned(), "INSERT INTO items SELECT * FROM other".to_owned()],
            Backend::Postgres(_) => vec!["CREATE TABLE other (LIKE items INCLUDING ALL)".to_owned(), "INSERT INTO other SELECT * FROM items".to_owned(), "DROP TABLE items CASCADE".to_owned(), "ALTER TABLE other RENAME TO items".to_owned()],
        };
        for sql in again {
            db.execute(&sql).await;
        }
        assert!(unfit(&up(&engine, "b").await.unwrap_err()).contains("is gone or disabled"));
        engine.abandon_backfill(&id("b")).await.unwrap();
        assert_eq!(leftovers(&db).await, [""; 0]);
        db.execute("UPDATE items SET runs = 0").await;
        up(&engine, "b").await.unwrap();
        assert_eq!(db.value(WRONG).await, "0");
    }

    async fn a_backfill_of_a_table_that_is_gone_can_be_given_up(db: Database) {
        let engine = half_done(&db, 4_000).await;
        db.execute("ALTER TABLE items RENAME TO elsewhere").await;
        assert!(unfit(&up(&engine, "b").await.unwrap_err()).contains("there is no table"));
        engine.abandon_backfill(&id("b")).await.unwrap();
        assert_eq!(leftovers(&db).await, [""; 0]);
        assert!(engine.backfill_status(None).await.unwrap().is_empty());
        db.execute("UPDATE elsewhere SET amount = 5 WHERE id = 1").await;
        let missing = engine.abandon_backfill(&id("b")).await.unwrap_err();
        assert!(matches!(*missing.cause, Cause::NoBackfill(_)), "{missing:?}");
    }

    async fn a_trigger_that_someone_has_dropped_is_missed_at_the_end(db: Database) {
        let engine = engine(&db, folder(&db, 100, COUNTING));
        up(&engine, "a").await.unwrap();
        let mut detached = crate::staging::engine(&db, folder(&db, 100, COUNTING));
        detached.backfills.mode = whimbrel::engine::BackfillMode::Detached;
        up(&detached, "b").await.unwrap();
        let drop = match db.backend() {
            Backend::Sqlite => "DROP TRIGGER whimbrel_note_b_update",
            Backend::Postgres(_) => "DROP TRIGGER whimbrel_note_b ON items",
        };
        detached.work_on(&id("b")).await.unwrap();
        db.execute(drop).await;
        assert!(unfit(&up(&engine, "b").await.unwrap_err()).contains("is gone or disabled"));
    }
}
