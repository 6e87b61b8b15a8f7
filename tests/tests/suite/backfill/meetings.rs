//! Single changes by others at just the wrong moment.

use std::sync::Arc;
use std::time::{Duration, Instant};

use whimbrel::driver::Value;
use whimbrel::engine::Engine;
use whimbrel::project::{Pinning, RunOptions};
use whimbrel_tests::{Backend, Database, on_every_database};

use super::coded::{Coded, Made, coded, number};
use super::{COUNTING, WRONG, coded_engine, folder, leftovers, sql, told};
use crate::staging::{Folder, engine, engine_with, id, up};

/// Waits until a session of this database waits for a lock.
async fn until_one_waits(db: &Database) {
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    for _ in 0..200 {
        if db.value(waits).await != "0" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("nobody waits for a lock");
}

fn running(engine: &Arc<Engine>) -> tokio::task::JoinHandle<()> {
    let engine = Arc::clone(engine);
    tokio::spawn(async move {
        if let Err(failure) = up(&engine, "b").await {
            panic!("{}", told(&failure));
        }
    })
}

/// The last row of the first batch gets a key far behind it while the batch waits for it.
#[test]
fn a_row_that_moves_on_takes_none_along() {
    whimbrel_tests::run(Backend::Postgres(15), |db: Database| async move {
        for code in [Coded::counting(), Coded::counting().keeping()] {
            let engine = Arc::new(coded_engine(&db, 3_000, code));
            up(&engine, "a").await.unwrap();
            db.execute("DELETE FROM items WHERE id IN (250, 2900)")
                .await;
            let mut client = db.connect_postgres().await;
            let moving = client.transaction().await.unwrap();
            moving
                .batch_execute("UPDATE items SET id = 2900 WHERE id = 500; UPDATE items SET id = 250 WHERE id = 499")
                .await
                .unwrap();
            let run = running(&engine);
            until_one_waits(&db).await;
            moving.commit().await.unwrap();
            run.await.unwrap();
            assert_eq!(db.value(WRONG).await, "0");
            crate::staging::down(&engine, "base").await.ok();
            db.execute("DROP TABLE IF EXISTS items; DELETE FROM whimbrel_version; DELETE FROM whimbrel_ledger; DROP TABLE IF EXISTS whimbrel_old_b; DELETE FROM whimbrel_backfill; DELETE FROM whimbrel_backfill_range").await;
        }
    });
}

/// Waits until so many sessions of this database are in a transaction and do nothing.
async fn until_idle_in_transactions(db: &Database, wanted: &str) {
    let idle = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'";
    for _ in 0..400 {
        if db.value(idle).await == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{wanted} sessions never were in a transaction and did nothing");
}

/// The first batch waits for somebody who waits for the second one, which is written and waits for its turn: for the first. The
/// server sees no circle in that.
#[test]
fn a_batch_that_is_written_ahead_does_not_keep_what_the_one_before_it_waits_for() {
    whimbrel_tests::run(Backend::Postgres(15), |db: Database| async move {
        let engine = Arc::new(coded_engine(&db, 3_000, Coded::counting()));
        up(&engine, "a").await.unwrap();
        let mut client = db.connect_postgres().await;
        let changing = client.transaction().await.unwrap();
        changing
            .batch_execute("UPDATE items SET amount = amount + 1 WHERE id = 100")
            .await
            .unwrap();
        let run = running(&engine);
        until_one_waits(&db).await;
        until_idle_in_transactions(&db, "2").await;
        let asked = Instant::now();
        changing
            .batch_execute("UPDATE items SET amount = amount + 1 WHERE id = 700")
            .await
            .unwrap();
        // Sooner than the first batch stops waiting.
        assert!(asked.elapsed() < Duration::from_millis(2_500));
        changing.commit().await.unwrap();
        run.await.unwrap();
        assert_eq!(db.value(WRONG).await, "0");
    });
}

/// A transaction that began before the one before it ended cannot move the range on then.
#[test]
fn batches_are_written_where_transactions_see_what_was_there_when_they_began() {
    for level in ["repeatable read", "serializable"] {
        whimbrel_tests::run(Backend::Postgres(15), move |db: Database| async move {
            db.execute(&format!(
                "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = %L', \
                 current_database(), '{level}'); END $$"
            ))
            .await;
            let engine = coded_engine(&db, 20_000, Coded::counting());
            up(&engine, "b").await.unwrap();
            assert_eq!(db.value(WRONG).await, "0");
        });
    }
}

/// Who has the table open keeps the trigger, and the end, from it for longer than one statement waits.
#[test]
fn a_reader_that_stays_is_waited_for_at_both_ends() {
    whimbrel_tests::run(Backend::Postgres(15), |db: Database| async move {
        let options = RunOptions {
            pinning: Pinning::AsIs,
            ..RunOptions::default()
        };
        let engine = Arc::new(engine_with(&db, folder(&db, 1_000, COUNTING), options));
        up(&engine, "a").await.unwrap();
        let mut client = db.connect_postgres().await;
        let writing = client.transaction().await.unwrap();
        writing
            .batch_execute("LOCK TABLE items IN ROW EXCLUSIVE MODE")
            .await
            .unwrap();
        let run = running(&engine);
        until_one_waits(&db).await;
        tokio::time::sleep(Duration::from_millis(3_500)).await;
        assert!(!run.is_finished());
        writing.commit().await.unwrap();
        let reading = loop {
            // Between the two ends.
            let found = engine.backfill_status(Some(&id("b"))).await.unwrap();
            if !found.is_empty() {
                let reading = client.transaction().await.unwrap();
                reading
                    .batch_execute("SELECT count(*) FROM items")
                    .await
                    .unwrap();
                break reading;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        tokio::time::sleep(Duration::from_millis(4_000)).await;
        reading.commit().await.unwrap();
        run.await.unwrap();
        assert_eq!(db.value(WRONG).await, "0");
        assert_eq!(leftovers(&db).await, [""; 0]);
    });
}

/// Trigger of the table's own that change what nobody names.
#[test]
fn columns_that_triggers_change_are_watched() {
    whimbrel_tests::run(Backend::Postgres(15), |db: Database| async move {
        let mut detached = engine(&db, folder(&db, 100, COUNTING));
        up(&detached, "a").await.unwrap();
        db.execute(
            "CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                 IF NEW.remark LIKE 'a%' THEN NEW.amount := length(NEW.remark); NEW.runs := 0; END IF; RETURN NEW; END $$; \
             CREATE TRIGGER follow BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION follow()",
        )
        .await;
        detached.backfills.mode = whimbrel::engine::BackfillMode::Detached;
        up(&detached, "b").await.unwrap();
        detached.work_on(&id("b")).await.unwrap();
        db.execute("UPDATE items SET remark = 'abcdef' WHERE id = 7")
            .await;
        db.execute("DROP TRIGGER follow ON items").await;
        up(&engine(&db, folder(&db, 100, COUNTING)), "b")
            .await
            .unwrap();
        assert_eq!(db.value(WRONG).await, "0");
        assert_eq!(
            db.value("SELECT doubled FROM items WHERE id = 7").await,
            "12"
        );
    });
}

on_every_database! {
    async fn a_condition_that_comes_true_later_counts(db: Database) {
        let code = || {
            let make = |row: &[Value]| Made::Write(vec![Value::Int64(number(&row[0]) * 2), Value::Int64(1)]);
            Coded::new(&["amount"], &["doubled", "runs"], make)
                .with(|spec| spec.condition = Some("items.remark = 'yes'".to_owned()))
        };
        let mut detached = coded_engine(&db, 100, code());
        detached.backfills.mode = whimbrel::engine::BackfillMode::Detached;
        up(&detached, "b").await.unwrap();
        detached.work_on(&id("b")).await.unwrap();
        db.execute("UPDATE items SET remark = 'yes' WHERE id IN (5, 50)").await;
        up(&coded_engine(&db, 100, code()), "b").await.unwrap();
        assert_eq!(db.column("SELECT id FROM items WHERE runs = 1 AND doubled = amount * 2 ORDER BY 1").await, ["5", "50"]);
    }

    async fn what_is_refused_only_by_the_commit_is_found(db: Database) {
        let constraint = match db.backend() {
            Backend::Sqlite => "FOREIGN KEY (doubled) REFERENCES allowed (n)",
            Backend::Postgres(_) => "FOREIGN KEY (doubled) REFERENCES allowed (n) DEFERRABLE INITIALLY DEFERRED",
        };
        let numbers = match db.backend() {
            Backend::Sqlite => "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 700) SELECT i FROM n",
            Backend::Postgres(_) => "SELECT i FROM generate_series(1, 700) AS i",
        };
        let table = format!(
            "CREATE TABLE allowed (n integer PRIMARY KEY);\nINSERT INTO allowed {numbers};\nDELETE FROM allowed WHERE n = 333;\n\
             CREATE TABLE items (id bigint NOT NULL PRIMARY KEY, amount integer NOT NULL, doubled integer, {constraint});\n\
             INSERT INTO items (id, amount) {numbers_twice};",
            numbers_twice = numbers.replacen("SELECT i FROM", "SELECT i, i FROM", 1)
        );
        let backfill = "-- whimbrel:backfill\nUPDATE items SET doubled = amount";
        for is_code in [false, true] {
            let folder = Folder::default().with("a", "", &table, Some("DROP TABLE items;\nDROP TABLE allowed;")).file("migrations/b_test.sql", sql("b", "a", backfill));
            let mut engine = engine(&db, folder);
            if is_code {
                let make = |row: &[Value]| Made::Write(vec![row[0].clone()]);
                engine = coded(engine, Coded::new(&["amount"], &["doubled"], make));
            }
            engine.backfills.changes = vec!["bad-rows=set-aside".to_owned()];
            let failure = up(&engine, "b").await.unwrap_err();
            assert!(told(&failure).contains("1 row is set aside") || told(&failure).contains("1 rows are set aside"), "{}", told(&failure));
            let bad = engine.bad_rows(&id("b"), 10).await.unwrap();
            assert_eq!(bad.iter().map(|row| row.key.as_str()).collect::<Vec<_>>(), ["333"]);
            engine.backfills.changes = vec!["bad-rows=leave".to_owned()];
            up(&engine, "b").await.unwrap();
            assert_eq!(db.value("SELECT count(*) FROM items WHERE doubled = amount").await, "699");
            db.execute("DELETE FROM whimbrel_version").await;
            db.execute("DROP TABLE items").await;
            db.execute("DROP TABLE allowed").await;
            db.execute("DELETE FROM whimbrel_ledger").await;
        }
    }
}

/// Keys that compare without regard to case lie in their table's order, whatever order their letters have.
#[test]
fn notes_about_keys_of_any_collation_are_kept() {
    whimbrel_tests::run(Backend::Sqlite, |db: Database| async move {
        let table = "CREATE TABLE items (id text COLLATE NOCASE NOT NULL PRIMARY KEY, amount integer NOT NULL, doubled integer, \
             runs integer NOT NULL DEFAULT 0, remark text);\n\
             INSERT INTO items (id, amount) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) \
             SELECT char(65 + i % 26 + (i % 2) * 32) || i, i FROM n;";
        let folder = Folder::default()
            .with("a", "", table, Some("DROP TABLE items;"))
            .file("migrations/b_test.sql", sql("b", "a", COUNTING));
        let mut engine = engine(&db, folder);
        up(&engine, "a").await.unwrap();
        engine.backfills.changes = vec!["rate=1500".to_owned(), "batch=20ms".to_owned()];
        let engine = Arc::new(engine);
        let run = running(&engine);
        let mut number = 0;
        while !run.is_finished() {
            number += 1;
            let sql = format!(
                "INSERT OR IGNORE INTO items (id, amount) SELECT char({} + {number} % 26) || 'x{number}', {number} WHERE NOT EXISTS (SELECT 1 FROM whimbrel_version WHERE version_num = 'b')",
                if number % 2 == 0 { 97 } else { 65 }
            );
            tokio::task::block_in_place(|| {
                let connection = db.connect_sqlite();
                connection.busy_timeout(Duration::from_secs(20)).unwrap();
                connection.execute_batch(&sql).unwrap();
            });
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        run.await.unwrap();
        assert!(number > 50);
        assert_eq!(db.value(WRONG).await, "0");
    });
}
