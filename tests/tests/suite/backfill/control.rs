//! What operators do to backfills while they run.

use std::sync::Arc;
use std::time::Duration;

use whimbrel::backfill::{BackfillError, State};
use whimbrel::engine::{Aftermath, BackfillMode, Cause, Engine};
use whimbrel::migration::Cancel;
use whimbrel_tests::{Backend, Database, on_every_database};

use super::coded::Coded;
use super::{COUNTING, WRONG, coded_engine, folder, leftovers};
use crate::staging::{Folder, engine, id, tables, up, versions};

/// An engine whose backfill takes its time.
fn slow(db: &Database) -> Engine {
    let mut engine = coded_engine(db, 4_000, Coded::counting());
    engine.backfills.changes = vec!["rate=4000".to_owned(), "batch=50ms".to_owned()];
    engine
}

/// Waits until a backfill has read some rows, and not all.
async fn until_under_way(engine: &Engine) {
    loop {
        if let Some(status) = engine.backfill_status(None).await.unwrap().first()
            && status.counts.read > 0
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

on_every_database! {
    async fn paused_it_waits_and_resumed_it_goes_on(db: Database) {
        let engine = Arc::new(slow(&db));
        let running = tokio::spawn({ let engine = Arc::clone(&engine); async move { up(&engine, "b").await } });
        until_under_way(&engine).await;
        engine.set_backfill_state(&id("b"), State::Paused).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        let first = engine.backfill_status(None).await.unwrap().remove(0);
        assert_eq!(first.state, State::Paused);
        tokio::time::sleep(Duration::from_millis(700)).await;
        let second = engine.backfill_status(None).await.unwrap().remove(0);
        assert_eq!(first.counts, second.counts, "nothing moves");
        assert!(second.counts.read < 4_000);
        assert!(second.workers.iter().any(|worker| worker.doing == "paused"), "{:?}", second.workers);
        engine.set_backfill(&id("b"), &["rate=none".to_owned()]).await.unwrap();
        engine.set_backfill_state(&id("b"), State::Running).await.unwrap();
        running.await.unwrap().unwrap();
        assert_eq!(db.value(WRONG).await, "0");
    }

    async fn stopped_it_ends_and_the_next_run_goes_on(db: Database) {
        let engine = Arc::new(slow(&db));
        let running = tokio::spawn({ let engine = Arc::clone(&engine); async move { up(&engine, "b").await } });
        until_under_way(&engine).await;
        engine.set_backfill_state(&id("b"), State::Stopped).await.unwrap();
        let failure = running.await.unwrap().unwrap_err();
        assert_eq!(failure.aftermath, Aftermath::Unfinished(id("b")));
        assert!(matches!(&*failure.cause, Cause::Backfill { source, .. } if matches!(**source, BackfillError::Stopped)), "{:?}", failure.cause);
        assert_eq!(versions(&db).await, ["a"]);
        assert_ne!(db.value(WRONG).await, "0");
        let before: u64 = db.value("SELECT count(*) FROM items WHERE runs = 1").await.parse().unwrap();
        assert!(before > 0);
        let fast = coded_engine(&db, 4_000, Coded::counting());
        fast.set_backfill(&id("b"), &["rate=none".to_owned()]).await.unwrap();
        up(&fast, "b").await.unwrap();
        assert_eq!(db.value(WRONG).await, "0");
    }

    async fn cancelled_it_ends_between_batches(db: Database) {
        let cancel = Cancel::default();
        let mut engine = slow(&db);
        engine.cancel = cancel.clone();
        let engine = Arc::new(engine);
        let running = tokio::spawn({ let engine = Arc::clone(&engine); async move { up(&engine, "b").await } });
        until_under_way(&engine).await;
        cancel.request();
        let failure = running.await.unwrap().unwrap_err();
        assert!(matches!(*failure.cause, Cause::Cancelled), "{:?}", failure.cause);
        let other = coded_engine(&db, 4_000, Coded::counting());
        other.set_backfill(&id("b"), &["rate=none".to_owned()]).await.unwrap();
        up(&other, "b").await.unwrap();
        assert_eq!(db.value(WRONG).await, "0");
    }

    async fn a_run_that_only_ends_what_is_under_way_begins_and_resumes_nothing(db: Database) {
        let over = |mode| {
            let mut engine = engine(&db, folder(&db, 100, COUNTING));
            engine.backfills.mode = mode;
            engine
        };
        let reason = |failure: &whimbrel::engine::RunFailure| match &*failure.cause {
            Cause::Backfill { source, .. } => (**source).to_string(),
            other => panic!("{other:?}"),
        };
        up(&over(BackfillMode::Attached), "a").await.unwrap();
        let concluding = over(BackfillMode::UnderWay);
        let failure = up(&concluding, "b").await.unwrap_err();
        assert_eq!(reason(&failure), "it is not under way any more");
        assert_eq!(leftovers(&db).await, [""; 0]);

        up(&over(BackfillMode::Detached), "b").await.unwrap();
        concluding.work_on(&id("b")).await.unwrap();
        for (state, told) in [(State::Stopped, "it was stopped"), (State::Failed, "")] {
            concluding.set_backfill_state(&id("b"), state).await.unwrap();
            let failure = up(&concluding, "b").await.unwrap_err();
            assert!(reason(&failure).starts_with(told), "{}", reason(&failure));
            let status = concluding.backfill_status(None).await.unwrap().remove(0);
            assert_eq!(status.state, state);
        }
        concluding.set_backfill_state(&id("b"), State::Running).await.unwrap();
        up(&concluding, "b").await.unwrap();
        assert_eq!(versions(&db).await, ["b"]);
        assert_eq!(db.value(WRONG).await, "0");
    }

    async fn given_up_it_is_as_if_it_had_not_begun(db: Database) {
        let engine = Arc::new(slow(&db));
        let running = tokio::spawn({ let engine = Arc::clone(&engine); async move { up(&engine, "b").await } });
        until_under_way(&engine).await;
        engine.set_backfill_state(&id("b"), State::Stopped).await.unwrap();
        running.await.unwrap().unwrap_err();
        engine.abandon_backfill(&id("b")).await.unwrap();
        assert_eq!(leftovers(&db).await, [""; 0]);
        assert!(engine.backfill_status(None).await.unwrap().is_empty());
        assert_eq!(versions(&db).await, ["a"]);
        db.execute("UPDATE items SET runs = 0").await;
        let again = coded_engine(&db, 4_000, Coded::counting());
        up(&again, "b").await.unwrap();
        assert_eq!(db.value(WRONG).await, "0");
    }

    async fn detached_it_waits_for_workers_and_what_depends_on_it_waits(db: Database) {
        let sections = |folder: Folder| folder.table("c", "b").table("x", "").with("m", "-- revises: c, x\n", "CREATE TABLE t_m (n integer);", None);
        let over = |mode| {
            let mut engine = engine(&db, sections(folder(&db, 4_000, COUNTING)));
            engine.backfills.mode = mode;
            engine
        };
        let detached = over(BackfillMode::Detached);
        let report = up(&detached, "heads").await.unwrap();
        assert_eq!(report.detached, [id("b")]);
        let mut heads = report.heads.clone();
        heads.sort_by_key(ToString::to_string);
        assert_eq!(heads, [id("a"), id("x")]);
        assert_eq!(tables(&db).await, ["t_x"]);
        assert_eq!(db.value("SELECT count(*) FROM items WHERE runs = 0").await, "4000");

        detached.work_on(&id("b")).await.unwrap();
        assert_eq!(db.value(WRONG).await, "0");
        let status = detached.backfill_status(None).await.unwrap().remove(0);
        assert_eq!(status.state, State::Running, "its end is for a run");
        db.execute("INSERT INTO items (id, amount) VALUES (1000001, 5)").await;
        let attached = over(BackfillMode::Attached);
        let report = up(&attached, "heads").await.unwrap();
        let done: Vec<&str> = report.steps.iter().map(|step| step.revision.as_str()).collect();
        assert_eq!(done, ["b", "c", "m"]);
        assert_eq!(db.value(WRONG).await, "0");
        assert_eq!(leftovers(&db).await, [""; 0]);
    }

    async fn it_does_not_go_on_with_other_code(db: Database) {
        let engine = Arc::new(slow(&db));
        let running = tokio::spawn({ let engine = Arc::clone(&engine); async move { up(&engine, "b").await } });
        until_under_way(&engine).await;
        engine.set_backfill_state(&id("b"), State::Stopped).await.unwrap();
        running.await.unwrap().unwrap_err();
        let changed = crate::staging::engine(&db, folder(&db, 4_000, &COUNTING.replace("runs + 1", "runs + 2")));
        let failure = up(&changed, "b").await.unwrap_err();
        assert!(matches!(&*failure.cause, Cause::Backfill { source, .. } if matches!(**source, BackfillError::Changed { .. })), "{:?}", failure.cause);
    }

    async fn settings_make_sense_or_are_refused(db: Database) {
        let engine = coded_engine(&db, 10, Coded::counting());
        up(&engine, "b").await.unwrap();
        let failure = engine.set_backfill(&id("b"), &["workers=none".to_owned()]).await.unwrap_err();
        assert!(matches!(*failure.cause, Cause::Setting(_)), "{failure:?}");
        for missing in [
            engine.set_backfill_state(&id("b"), State::Paused).await.unwrap_err(),
            engine.retry_backfill(&id("b")).await.unwrap_err(),
            engine.work_on(&id("b")).await.unwrap_err(),
        ] {
            assert!(matches!(*missing.cause, Cause::NoBackfill(_)), "{missing:?}");
        }
    }

    async fn it_gives_way_to_a_load_query_and_to_the_clock(db: Database) {
        let mut engine = coded_engine(&db, 3_000, Coded::counting());
        engine.backfills.changes = vec!["load=SELECT busy FROM load".to_owned()];
        let engine = Arc::new(engine);
        db.execute("CREATE TABLE load (busy integer)").await;
        db.execute("INSERT INTO load VALUES (1)").await;
        let running = tokio::spawn({ let engine = Arc::clone(&engine); async move { up(&engine, "b").await } });
        let waits = |why: &'static str| {
            let engine = Arc::clone(&engine);
            async move {
                for _ in 0..100 {
                    let found = engine.backfill_status(None).await.unwrap();
                    if found.iter().any(|status| status.workers.iter().any(|worker| worker.doing.contains(why))) {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                panic!("nobody waits because of {why}");
            }
        };
        waits("load query").await;
        // An hour that is not now.
        let now: u32 = db.value(match db.backend() {
            Backend::Sqlite => "SELECT CAST(strftime('%H', 'now', 'localtime') AS integer)",
            Backend::Postgres(_) => "SELECT CAST(extract(hour FROM localtime) AS integer)",
        }).await.parse().unwrap();
        let later = (now + 12) % 24;
        let window = format!("window={later:02}:00-{later:02}:30");
        engine.set_backfill(&id("b"), &["load=none".to_owned(), window]).await.unwrap();
        waits("time of day").await;
        assert_eq!(db.value("SELECT count(*) FROM items WHERE runs = 1").await, "0");
        engine.set_backfill(&id("b"), &["window=none".to_owned()]).await.unwrap();
        running.await.unwrap().unwrap();
        assert_eq!(db.value(WRONG).await, "0");
    }
}
