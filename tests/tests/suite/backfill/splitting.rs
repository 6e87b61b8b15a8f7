//! The ranges that a backfill begins with cover every key once, and are about as large as each other, however its keys lie.

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use whimbrel::engine::BackfillMode;
use whimbrel_tests::{Backend, Database, on_every_postgres};

use super::property::holds;
use super::sql;
use crate::staging::{Folder, engine, id, up};

/// Rows one after another, whose keys have two columns.
#[derive(Debug, Clone)]
struct Cluster {
    rows: u32,
    /// The first column of the first row.
    start: i64,
    /// How many rows have the same first column.
    alike: u32,
    /// How far it is to the next one.
    step: i64,
}

fn cluster() -> impl Strategy<Value = Cluster> {
    let alike = prop_oneof![2 => Just(1_u32), 1 => 2..100_u32, 1 => Just(u32::MAX)];
    let step = prop_oneof![Just(1_i64), 2..1_000_i64, Just(1_000_000_007)];
    let start = -1_000_000_000_000..1_000_000_000_000_i64;
    (1..6_000_u32, start, alike, step).prop_map(|(rows, start, alike, step)| Cluster {
        rows,
        start,
        alike,
        step,
    })
}

const TABLE: &str = "CREATE TABLE items (a bigint, b bigint, n integer, PRIMARY KEY (a, b));";

/// The statements that make the table and fill it.
fn filled(clusters: &[Cluster], is_backwards: bool) -> String {
    let mut before = 0;
    let mut statements = TABLE.to_owned();
    let sign = if is_backwards { "-" } else { "" };
    for Cluster {
        rows,
        start,
        alike,
        step,
    } in clusters
    {
        statements.push_str(&format!(
            "\nINSERT INTO items (a, b) SELECT {start} + (i / {alike}) * {step}, {sign}(i + {before}) \
             FROM generate_series(0::bigint, {rows} - 1) AS i;"
        ));
        before += rows;
    }
    statements
}

/// How many rows each range has that a backfill of `items` begins with. They must be one after another, and have all rows.
async fn ranges(db: &Database, table: &str, workers: u32) -> Vec<u32> {
    let backfill = format!("-- whimbrel:backfill\n-- workers: {workers}\nUPDATE items SET n = 1;");
    let folder = Folder::default()
        .with("a", "", table, None)
        .file("migrations/b_x.sql", sql("b", "a", &backfill));
    let mut engine = engine(db, folder);
    engine.backfills.mode = BackfillMode::Detached;
    up(&engine, "head").await.unwrap();

    let status = engine.backfill_status(Some(&id("b"))).await.unwrap();
    let ranges = &status[0].ranges;
    let mut before = None;
    let mut counts = Vec::new();
    for (at, range) in ranges.iter().enumerate() {
        assert_eq!(
            range.after, before,
            "{at} does not begin where the one before it ends"
        );
        before = range.upto.clone();
        assert_eq!(
            before.is_none(),
            at + 1 == ranges.len(),
            "the last one alone has no end"
        );
        let bound = |operator: &str, key: &Option<String>| {
            key.as_ref().map_or("true".to_owned(), |key| {
                format!("(a, b) {operator} ({key})")
            })
        };
        let count = format!(
            "SELECT count(*) FROM items WHERE {} AND {}",
            bound(">", &range.after),
            bound("<=", &range.upto)
        );
        counts.push(db.value(&count).await.parse().unwrap());
    }
    let all: u32 = db
        .value("SELECT count(*) FROM items")
        .await
        .parse()
        .unwrap();
    assert_eq!(counts.iter().sum::<u32>(), all);
    counts
}

on_every_postgres! {
    async fn they_are_even_whatever_the_keys(db: Database) {
        let cases = (vec(cluster(), 1..4), any::<bool>(), 1..7_u32);
        holds(&db, 12, cases, async |(clusters, is_backwards, workers)| {
            let counts = ranges(&db, &filled(&clusters, is_backwards), workers).await;
            let rows: u32 = clusters.iter().map(|cluster| cluster.rows).sum();
            // Few rows are not worth it.
            let expected = if rows < 2_000 { 1 } else { 4 * workers };
            assert_eq!(counts.len(), expected as usize);
            let is_fair = |count: &u32| count.abs_diff(rows / expected) <= 1;
            assert!(counts.iter().all(is_fair), "{counts:?} of {rows}");
        }).await;
    }

    async fn those_that_lag_are_cut_while_others_have_nothing_to_do(db: Database) {
        assert!(lag(&db, 40_000, 3).await > 6);
    }
}

#[test]
fn those_that_lag_are_cut_by_a_sample_where_the_table_is_large() {
    whimbrel_tests::run(Backend::Postgres(15), |db: Database| async move {
        assert!(lag(&db, 600_000, 2).await > 4);
    });
}

/// How many ranges a backfill ends with whose last rows take far longer than the others.
async fn lag(db: &Database, rows: u32, workers: u32) -> usize {
    let table = format!(
        "CREATE TABLE items (id bigint PRIMARY KEY, n integer NOT NULL DEFAULT 0);\n\
         INSERT INTO items (id) SELECT i FROM generate_series(1, {rows}) AS i;\nANALYZE items;"
    );
    let backfill = format!(
        "-- whimbrel:backfill\n-- workers: {workers}\n-- batch: 20ms\n-- changed: leave\n\
         UPDATE items SET n = n + 1 + CASE WHEN id > {} THEN length(repeat(md5(id::text), 40000)) * 0 ELSE 0 END;",
        rows - 2_500
    );
    let folder = Folder::default()
        .with("a", "", &table, None)
        .file("migrations/b_test.sql", sql("b", "a", &backfill));
    let engine = engine(db, folder);
    up(&engine, "head").await.unwrap();
    let status = engine.backfill_status(None).await.unwrap().remove(0);
    let done = db.value("SELECT count(*) FROM items WHERE n = 1").await;
    assert_eq!(done, rows.to_string());
    status.ranges.len()
}

#[test]
fn a_table_that_is_only_sampled_is_cut_where_its_keys_are() {
    whimbrel_tests::run(Backend::Postgres(15), |db: Database| async move {
        let rows = 600_000;
        let crowd = Cluster {
            rows: rows / 2,
            start: 7,
            alike: u32::MAX,
            step: 1,
        };
        let rest = Cluster {
            rows: rows / 2,
            start: 1_000,
            alike: 3,
            step: 1_000_000,
        };
        let table = format!("{}\nANALYZE items;", filled(&[crowd, rest], true));
        let counts = ranges(&db, &table, 4).await;
        assert_eq!(counts.len(), 16);
        let fair = rows / 16;
        let is_fair = |count: &u32| (fair / 4..fair * 4).contains(count);
        assert!(counts.iter().all(is_fair), "{counts:?}");
    });
}
