//! Rows that cannot be worked on.

use whimbrel::backfill::BackfillError;
use whimbrel::driver::Value;
use whimbrel::engine::{Aftermath, Cause, Engine};
use whimbrel_tests::{Database, on_every_database};

use super::coded::{Coded, Made, number};
use super::{COUNTING, WRONG, coded_engine, folder, leftovers};
use crate::staging::{engine, id, up, versions};

/// Code that fails for rows whose amount is 13, and, as a whole, for those whose amount is 666.
fn picky() -> Coded {
    Coded::new(&["amount", "runs"], &["doubled", "runs"], |row| {
        let [amount, runs] = [number(&row[0]), number(&row[1])];
        match amount {
            13 => Made::Fail("thirteen".to_owned()),
            666 => Made::Trap,
            _ => Made::Write(vec![Value::Int64(amount * 2), Value::Int64(runs + 1)]),
        }
    })
}

fn setting(mut engine: Engine, changes: &[&str]) -> Engine {
    engine.backfills.changes = changes.iter().map(ToString::to_string).collect();
    engine
}

fn reason(cause: &Cause) -> &BackfillError {
    match cause {
        Cause::Backfill { source, .. } => source,
        other => panic!("{other:?}"),
    }
}

on_every_database! {
    async fn the_first_of_them_fails_it_by_name(db: Database) {
        let engine = coded_engine(&db, 3_000, picky());
        let failure = up(&engine, "b").await.unwrap_err();
        assert_eq!(failure.aftermath, Aftermath::Unfinished(id("b")));
        match reason(&failure.cause) {
            BackfillError::BadRow { key, reason, .. } => assert_eq!((key.as_str(), reason.as_str()), ("13", "thirteen")),
            other => panic!("{other:?}"),
        }
        assert_eq!(versions(&db).await, ["a"]);
        db.execute("UPDATE items SET amount = 14 WHERE amount = 13").await;
        db.execute("UPDATE items SET amount = 14 WHERE amount = 666").await;
        up(&engine, "b").await.unwrap();
        assert_eq!(db.value(WRONG).await, "0");
        assert_eq!(leftovers(&db).await, [""; 0]);
    }

    async fn they_are_set_aside_and_retried(db: Database) {
        let engine = setting(coded_engine(&db, 3_000, picky()), &["bad-rows=set-aside"]);
        let failure = up(&engine, "b").await.unwrap_err();
        assert!(matches!(reason(&failure.cause), BackfillError::BadRowsLeft { count: 6, .. }), "{failure:?}");
        assert_eq!(versions(&db).await, ["a"]);
        assert_eq!(db.value("SELECT count(*) FROM items WHERE runs = 1").await, "2994");

        let mut rows = engine.bad_rows(&id("b"), 100).await.unwrap();
        rows.sort_by_key(|row| row.key.parse::<u32>().unwrap());
        let keys: Vec<&str> = rows.iter().map(|row| row.key.as_str()).collect();
        assert_eq!(keys, ["13", "666", "1013", "1666", "2013", "2666"]);
        assert_eq!(rows[0].error, "thirteen");
        assert_eq!(rows[0].input.as_deref(), Some(r#"{"amount":"13","runs":"0"}"#));
        assert!(rows[1].error.contains("nobody says which"), "{}", rows[1].error);

        db.execute("UPDATE items SET amount = 1 WHERE id IN (13, 666, 1013)").await;
        assert_eq!(engine.retry_backfill(&id("b")).await.unwrap(), 6);
        let failure = up(&engine, "b").await.unwrap_err();
        assert!(matches!(reason(&failure.cause), BackfillError::BadRowsLeft { count: 3, .. }), "{failure:?}");
        // A row that changes is tried again without being asked for.
        db.execute("UPDATE items SET amount = 2 WHERE id = 1666").await;
        let failure = up(&engine, "b").await.unwrap_err();
        assert!(matches!(reason(&failure.cause), BackfillError::BadRowsLeft { count: 2, .. }), "{failure:?}");
        engine.set_backfill(&id("b"), &["bad-rows=leave".to_owned()]).await.unwrap();
        let engine = setting(engine, &[]);
        up(&engine, "b").await.unwrap();
        assert_eq!(versions(&db).await, ["b"]);
        assert_eq!(db.column("SELECT id FROM items WHERE runs <> 1 ORDER BY id").await, ["2013", "2666"]);
    }

    async fn more_than_allowed_fail_it(db: Database) {
        let engine = setting(coded_engine(&db, 3_000, picky()), &["bad-rows=set-aside", "max-bad-rows=2"]);
        let failure = up(&engine, "b").await.unwrap_err();
        assert!(matches!(reason(&failure.cause), BackfillError::TooManyBadRows { limit: 2, .. }), "{failure:?}");
    }

    async fn what_the_database_refuses_is_found_as_well(db: Database) {
        let engine = setting(coded_engine(&db, 2_500, Coded::counting()), &["bad-rows=set-aside"]);
        up(&engine, "a").await.unwrap();
        db.execute("CREATE TABLE doubles (n integer PRIMARY KEY)").await;
        db.execute("INSERT INTO doubles SELECT DISTINCT amount * 2 FROM items WHERE amount NOT IN (7, 77)").await;
        db.execute("ALTER TABLE items RENAME TO old_items").await;
        db.execute("CREATE TABLE items (id bigint NOT NULL PRIMARY KEY, amount integer NOT NULL, \
            doubled integer CHECK (doubled <> 14 AND doubled <> 154), runs integer NOT NULL DEFAULT 0, remark text)").await;
        db.execute("INSERT INTO items SELECT * FROM old_items").await;
        let failure = up(&engine, "b").await.unwrap_err();
        assert!(matches!(reason(&failure.cause), BackfillError::BadRowsLeft { count: 6, .. }), "{:?}", failure.cause);
        assert_eq!(db.value("SELECT count(*) FROM items WHERE runs = 1").await, "2494");
        let rows = engine.bad_rows(&id("b"), 100).await.unwrap();
        assert!(rows.iter().all(|row| row.error.to_lowercase().contains("check constraint")), "{rows:?}");
    }

    async fn what_an_expression_cannot_compute_is_found_as_well(db: Database) {
        let engine = setting(engine(&db, folder(&db, 2_000, COUNTING)), &["bad-rows=set-aside"]);
        up(&engine, "a").await.unwrap();
        db.execute("ALTER TABLE items RENAME TO old_items").await;
        db.execute("CREATE TABLE items (id bigint NOT NULL PRIMARY KEY, amount integer NOT NULL, \
            doubled integer CHECK (doubled <> 14), runs integer NOT NULL DEFAULT 0, remark text)").await;
        db.execute("INSERT INTO items SELECT * FROM old_items").await;
        let failure = up(&engine, "b").await.unwrap_err();
        assert!(matches!(reason(&failure.cause), BackfillError::BadRowsLeft { count: 2, .. }), "{:?}", failure.cause);
        let rows = engine.bad_rows(&id("b"), 100).await.unwrap();
        let told: Vec<_> = rows.iter().map(|row| (row.key.as_str(), row.input.as_deref())).collect();
        let input = Some(r#"{"amount":"7","runs":"0"}"#);
        assert_eq!(told, [("7", input), ("1007", input)]);
        db.execute("UPDATE items SET amount = 8 WHERE amount = 7").await;
        up(&engine, "b").await.unwrap();
        assert_eq!(db.value(WRONG).await, "0");
    }
}
