//! The ranges that a backfill begins with cover every key once, and are about as large as each other, however its keys lie.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use whimbrel::engine::BackfillMode;
use whimbrel_tests::{Database, on_every_postgres};

use super::sql;
use crate::staging::{Folder, engine, up};

const ROWS: u32 = 12_000;
const WORKERS: u32 = 5;

/// How keys lie: what the key of row `i` is, from some numbers that differ from run to run.
fn keys(rng: &mut StdRng) -> String {
    let (a, b) = (rng.random_range(1..1_000_000), rng.random_range(2..40));
    match rng.random_range(0..6) {
        // One after another.
        0 => format!("{a} + i, 0"),
        // Ever further apart, and below zero as well.
        1 => format!("(i::bigint * i * {b} - {a}), 0"),
        // Nearly all of them for one of the first column's values.
        2 => format!("CASE WHEN i % 100 < {b} THEN i ELSE {a} END, i"),
        // A few far away.
        3 => "CASE WHEN i % 1000 = 0 THEN i * 1000000000::bigint ELSE i END, 0".to_owned(),
        // In clusters.
        4 => format!("(i / 500) * {a}, i % 500"),
        // Anywhere.
        _ => format!("(hashint4(i)::bigint * {b}), i"),
    }
}

on_every_postgres! {
    async fn they_are_even_whatever_the_keys(db: Database) {
        let mut rng = StdRng::seed_from_u64(11);
        for case in 0..12 {
            let keys = keys(&mut rng);
            let table = format!(
                "CREATE TABLE t{case} (a bigint, b bigint, n integer, PRIMARY KEY (a, b));\n\
                 INSERT INTO t{case} (a, b) SELECT {keys} FROM generate_series(1, {ROWS}) AS i;\nANALYZE t{case};"
            );
            let (first, second) = (format!("a{case}"), format!("b{case}"));
            let backfill = format!("-- whimbrel:backfill\n-- workers: {WORKERS}\nUPDATE t{case} SET n = 1;");
            let folder = Folder::default()
                .with(&first, "", &table, None)
                .file(&format!("migrations/{second}_x.sql"), sql(&second, &first, &backfill));
            let mut engine = engine(&db, folder);
            engine.backfills.mode = BackfillMode::Detached;
            db.execute("DROP TABLE IF EXISTS whimbrel_version, whimbrel_ledger").await;
            up(&engine, "head").await.unwrap();

            let id = crate::staging::id(&second);
            let ranges = engine.backfill_status(Some(&id)).await.unwrap().remove(0).ranges;
            assert_eq!(ranges.len(), 4 * WORKERS as usize, "{keys}");
            let mut before = None;
            let mut all = 0;
            for (at, range) in ranges.iter().enumerate() {
                assert_eq!(range.after, before, "{keys}: {at} does not begin where the one before it ends");
                before = range.upto.clone();
                assert_eq!(before.is_none(), at + 1 == ranges.len(), "{keys}: the last one alone has no end");
                let bound = |operator: &str, key: &Option<String>| {
                    key.as_ref().map_or("true".to_owned(), |key| format!("(a, b) {operator} ({key})"))
                };
                let count = format!(
                    "SELECT count(*) FROM t{case} WHERE {} AND {}",
                    bound(">", &range.after),
                    bound("<=", &range.upto)
                );
                let count: u32 = db.value(&count).await.parse().unwrap();
                let fair = ROWS / ranges.len() as u32;
                assert!((fair * 9 / 10..=fair * 11 / 10).contains(&count), "{keys}: range {at} has {count} rows of {ROWS}");
                all += count;
            }
            assert_eq!(all, ROWS, "{keys}");
        }
    }

    async fn those_that_lag_are_cut_while_others_have_nothing_to_do(db: Database) {
        let table = "CREATE TABLE items (id bigint PRIMARY KEY, n integer NOT NULL DEFAULT 0);\n\
             INSERT INTO items (id) SELECT i FROM generate_series(1, 40000) AS i;";
        // The rows at the end take far longer than the others.
        let backfill = "-- whimbrel:backfill\n-- workers: 3\n-- batch: 20ms\n-- changed: leave\n\
             UPDATE items SET n = n + 1 + CASE WHEN id > 37500 THEN length(repeat(md5(id::text), 3000)) * 0 ELSE 0 END;";
        let folder = Folder::default()
            .with("a", "", table, None)
            .file("migrations/b_test.sql", sql("b", "a", backfill));
        let engine = engine(&db, folder);
        up(&engine, "head").await.unwrap();
        let status = engine.backfill_status(None).await.unwrap().remove(0);
        assert!(status.ranges.len() > 12, "{} ranges", status.ranges.len());
        assert_eq!(db.value("SELECT count(*) FROM items WHERE n = 1").await, "40000");
    }
}
