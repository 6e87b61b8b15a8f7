//! Backfills: each row is worked on once, whoever else writes, and whatever dies meanwhile.

mod bad_rows;
mod chaos;
mod coded;
mod component;
mod control;
mod gone;
mod hostile;
mod keys;
mod languages;
mod machines;
mod meetings;
mod pooled;
mod property;
mod protocol;
mod relay;
mod replica;
mod splitting;
mod states;
mod trial;
mod writers;

use whimbrel::driver::Value;
use whimbrel::engine::{Cause, RunFailure};
use whimbrel_tests::{Backend, Database, on_every_database};

use crate::staging::{Folder, down, engine, id, ledger, up, versions};
use coded::{Coded, coded};

/// A table whose rows can tell how often they were worked on.
const TABLE: &str = "CREATE TABLE items (id bigint NOT NULL PRIMARY KEY, amount integer NOT NULL, doubled integer, \
     runs integer NOT NULL DEFAULT 0, remark text)";

/// The migration `a`, which makes the table with so many rows, and `b`, a backfill.
fn folder(db: &Database, rows: u32, backfill: &str) -> Folder {
    Folder::default()
        .with(
            "a",
            "",
            &format!("{TABLE};\n{}", filled(db.backend(), rows)),
            Some("DROP TABLE items;"),
        )
        .file("migrations/b_test.sql", sql("b", "a", backfill))
}

fn sql(id: &str, revises: &str, sections: &str) -> Vec<u8> {
    format!("-- whimbrel:migration\n-- id: {id}\n-- revises: {revises}\n-- message: {id}\n\n{sections}\n").into()
}

/// The statement that fills the table with so many rows.
fn filled(backend: Backend, rows: u32) -> String {
    match backend {
        Backend::Postgres(_) => format!(
            "INSERT INTO items (id, amount) SELECT i, i % 1000 FROM generate_series(1, {rows}) AS i;"
        ),
        Backend::Sqlite => format!(
            "INSERT INTO items (id, amount) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) \
             SELECT i, i % 1000 FROM n;"
        ),
    }
}

/// What shows each time that a row is worked on.
const COUNTING: &str = "-- whimbrel:backfill
-- changed: again
UPDATE items SET doubled = amount * 2, runs = runs + 1;";

/// Rows that were not worked on exactly once, or not as they should have been.
const WRONG: &str =
    "SELECT count(*) FROM items WHERE runs <> 1 OR doubled IS NULL OR doubled <> amount * 2";

/// What a database has of a backfill when it is over.
async fn leftovers(db: &Database) -> Vec<String> {
    let sql = match db.backend() {
        Backend::Sqlite => {
            "SELECT name FROM sqlite_schema WHERE name LIKE 'whimbrel\\_note%' ESCAPE '\\' ORDER BY 1"
        }
        Backend::Postgres(_) => {
            "SELECT relname::text FROM pg_class WHERE relname LIKE 'whimbrel\\_note%' \
             UNION ALL SELECT tgname FROM pg_trigger WHERE tgname LIKE 'whimbrel%' \
             UNION ALL SELECT proname FROM pg_proc WHERE proname LIKE 'whimbrel%' ORDER BY 1"
        }
    };
    db.column(sql).await
}

/// All that a failure says, the innermost last.
fn told(failure: &RunFailure) -> String {
    let mut text = failure.cause.to_string();
    let mut error: &dyn std::error::Error = &*failure.cause;
    while let Some(source) = error.source() {
        error = source;
        text.push_str(&format!(": {error}"));
    }
    text
}

on_every_database! {
    async fn an_update_is_done_batch_by_batch_and_recorded_with_its_end(db: Database) {
        let engine = engine(&db, folder(&db, 25_000, COUNTING).table("c", "b"));
        let report = up(&engine, "head").await.unwrap();
        assert_eq!(report.steps.len(), 3);
        assert_eq!(report.steps[1].work.rows, 25_000);
        assert!(report.steps[1].work.statements > 3, "in several batches");
        assert_eq!(db.value(WRONG).await, "0");
        assert_eq!(versions(&db).await, ["c"]);
        assert_eq!(ledger(&db).await, ["a upgrade done", "b upgrade done", "c upgrade done"]);
        assert_eq!(leftovers(&db).await, [""; 0]);

        let status = engine.backfill_status(None).await.unwrap().remove(0);
        assert_eq!((status.revision.as_str(), status.state.name()), ("b", "done"));
        assert_eq!((status.counts.read, status.counts.written), (25_000, 25_000));
        assert!(status.ranges.iter().all(|range| range.done));
    }

    async fn code_makes_the_new_values(db: Database) {
        let engine = coded(engine(&db, folder(&db, 25_000, COUNTING)), Coded::counting());
        let report = up(&engine, "head").await.unwrap();
        assert_eq!(report.steps[1].work.rows, 25_000);
        assert_eq!(db.value(WRONG).await, "0");
        assert_eq!(leftovers(&db).await, [""; 0]);
    }

    async fn an_empty_table_is_done_at_once(db: Database) {
        let nothing = engine(&db, folder(&db, 0, COUNTING));
        up(&nothing, "head").await.unwrap();
        assert_eq!(versions(&db).await, ["b"]);
        assert_eq!(leftovers(&db).await, [""; 0]);
    }

    async fn only_rows_that_the_condition_holds_for_are_touched(db: Database) {
        let backfill = "-- whimbrel:backfill\nUPDATE items AS i SET doubled = i.amount * 2 WHERE i.id % 3 = 0 OR i.id = 1";
        let declared = engine(&db, folder(&db, 9_000, backfill));
        up(&declared, "b").await.unwrap();
        assert_eq!(db.value("SELECT count(*) FROM items WHERE doubled IS NOT NULL").await, "3001");
        assert_eq!(db.value("SELECT count(*) FROM items WHERE doubled = amount * 2").await, "3001");
    }

    async fn rows_can_be_kept_and_dropped(db: Database) {
        let code = Coded::new(&["amount", "runs"], &["doubled", "runs"], |row| {
            let amount = coded::number(&row[0]);
            match amount % 3 {
                0 => coded::Made::Keep,
                1 => coded::Made::Drop,
                _ => coded::Made::Write(vec![Value::Int64(amount * 2), Value::Int64(1)]),
            }
        }).dropping();
        let engine = coded(engine(&db, folder(&db, 6_000, COUNTING)), code);
        up(&engine, "b").await.unwrap();
        assert_eq!(db.value("SELECT count(*) FROM items").await, "4002");
        assert_eq!(db.value("SELECT count(*) FROM items WHERE amount % 3 = 0 AND runs = 0 AND doubled IS NULL").await, "2004");
        assert_eq!(db.value("SELECT count(*) FROM items WHERE amount % 3 = 2 AND runs = 1 AND doubled = amount * 2").await, "1998");
        let status = engine.backfill_status(None).await.unwrap().remove(0);
        let counts = status.counts;
        assert_eq!((counts.written, counts.kept, counts.dropped), (1_998, 2_004, 1_998));
    }

    async fn a_downgrade_brings_the_old_values_back(db: Database) {
        let backfill = "-- whimbrel:backfill\n-- keep: old-values\n-- changed: again\n\
            UPDATE items SET amount = amount + 1000000, remark = 'new' WHERE id > 10";
        let kept = engine(&db, folder(&db, 12_000, backfill));
        up(&kept, "a").await.unwrap();
        db.execute("UPDATE items SET remark = 'old' WHERE id % 2 = 0").await;
        let before = db.query("SELECT id, amount, remark FROM items ORDER BY id").await;
        up(&kept, "b").await.unwrap();
        assert_eq!(db.value("SELECT count(*) FROM items WHERE amount >= 1000000 AND remark = 'new'").await, "11990");
        down(&kept, "a").await.unwrap();
        assert_eq!(db.query("SELECT id, amount, remark FROM items ORDER BY id").await, before);
        assert_eq!(versions(&db).await, ["a"]);
        assert_eq!(ledger(&db).await.last().unwrap(), "b downgrade done");
        up(&kept, "b").await.unwrap();
        assert_eq!(db.value("SELECT count(*) FROM items WHERE remark = 'new'").await, "11990");
    }

    async fn old_values_are_kept_of_what_code_overwrites(db: Database) {
        let code = Coded::counting().keeping();
        let engine = coded(engine(&db, folder(&db, 5_000, COUNTING)), code);
        up(&engine, "a").await.unwrap();
        db.execute("UPDATE items SET doubled = -id").await;
        let before = db.query("SELECT * FROM items ORDER BY id").await;
        up(&engine, "b").await.unwrap();
        assert_eq!(db.value(WRONG).await, "0");
        down(&engine, "a").await.unwrap();
        assert_eq!(db.query("SELECT * FROM items ORDER BY id").await, before);
    }

    async fn the_way_back_can_be_a_backfill_or_plain_sql(db: Database) {
        let sections = format!("{COUNTING}\n-- whimbrel:backfill downgrade\n-- changed: leave\nUPDATE items SET runs = runs - 1, doubled = NULL;");
        let both = engine(&db, folder(&db, 3_000, &sections));
        up(&both, "b").await.unwrap();
        down(&both, "a").await.unwrap();
        assert_eq!(db.value("SELECT count(*) FROM items WHERE runs = 0 AND doubled IS NULL").await, "3000");
        assert_eq!(ledger(&db).await, ["a upgrade done", "b upgrade done", "b downgrade done"]);
        let state = both.backfill_status(Some(&id("b"))).await.unwrap().remove(0);
        assert_eq!((state.direction.as_str(), state.state.name()), ("downgrade", "done"));
    }

    async fn without_a_way_back_there_is_none(db: Database) {
        let engine = engine(&db, folder(&db, 10, COUNTING));
        up(&engine, "b").await.unwrap();
        let failure = down(&engine, "a").await.unwrap_err();
        assert!(matches!(*failure.cause, Cause::Irreversible { .. }), "{failure:?}");
    }

    async fn what_does_not_fit_is_refused_before_anything_is_changed(db: Database) {
        let cases = [
            ("UPDATE nowhere SET a = 1", "there is no table"),
            ("UPDATE items SET nothing = 1", "has no column `nothing`"),
            ("UPDATE items SET id = id + 1", "is a column of the key"),
            ("-- key: amount\nUPDATE items SET doubled = 1", "is no key of"),
            ("UPDATE items SET runs = runs + 1", "`changed: again`"),
            ("UPDATE items SET doubled = 1, doubled = 2", "written twice"),
            ("UPDATE items SET doubled = no_such_function(amount)", "no_such_function"),
            ("UPDATE items SET doubled = 1 WHERE nothing > 1", "nothing"),
        ];
        let table = engine(&db, folder(&db, 10, COUNTING));
        up(&table, "a").await.unwrap();
        let before = db.dump_without(&["whimbrel_ledger", "sqlite_sequence"]).await;
        for (update, expected) in cases {
            let engine = engine(&db, folder(&db, 10, &format!("-- whimbrel:backfill\n{update}")));
            let failure = up(&engine, "b").await.unwrap_err();
            let mut message = failure.cause.to_string();
            let mut error: &dyn std::error::Error = &*failure.cause;
            while let Some(source) = error.source() {
                error = source;
                message.push_str(&format!(": {error}"));
            }
            assert!(message.contains(expected), "{update}: {message}");
            assert_eq!(db.dump_without(&["whimbrel_ledger", "sqlite_sequence"]).await, before, "{update}");
        }
    }
}

/// An engine whose backfill of so many rows is code.
fn coded_engine(db: &Database, rows: u32, code: Coded) -> whimbrel::engine::Engine {
    coded(engine(db, folder(db, rows, COUNTING)), code)
}
