//! Others write into the table while it is worked on.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use whimbrel::engine::Engine;
use whimbrel_tests::{Backend, Database, on_every_database};

use super::coded::Coded;
use super::{COUNTING, WRONG, coded_engine, folder, leftovers};
use crate::staging::{engine, up};

/// What a writer does to a row: whatever it makes of it has not been worked on.
pub(super) fn write(rng: &mut StdRng, rows: i64) -> String {
    let id = rng.random_range(1..rows * 2);
    let amount = rng.random_range(0..1_000);
    match rng.random_range(0..10) {
        0..3 => format!("UPDATE items SET amount = {amount}, runs = 0 WHERE id = {id}"),
        // Nothing that the new values are made of.
        3..5 => format!("UPDATE items SET remark = 'x{amount}' WHERE id = {id}"),
        5..7 => format!(
            "INSERT INTO items (id, amount) VALUES ({id}, {amount}) ON CONFLICT (id) DO UPDATE SET amount = {amount}, runs = 0"
        ),
        7 => format!("DELETE FROM items WHERE id = {id}"),
        8 => format!(
            "DELETE FROM items WHERE id = {id}; INSERT INTO items (id, amount) VALUES ({id}, {amount})"
        ),
        _ => format!(
            "UPDATE items SET id = {}, runs = 0 WHERE id = {id} AND NOT EXISTS (SELECT 1 FROM items WHERE id = {})",
            id + rows * 3,
            id + rows * 3
        ),
    }
}

/// One transaction of a writer; `false` when the backfill is over, which nothing can be written between and its end.
pub(super) async fn once(db: &Database, sql: &str) -> bool {
    match db.backend() {
        // A thread that waits for the database must not be one that whoever has it is polled on.
        Backend::Sqlite => tokio::task::block_in_place(|| {
            let connection = db.connect_sqlite();
            connection.busy_timeout(Duration::from_secs(20)).unwrap();
            connection.execute_batch("BEGIN IMMEDIATE").unwrap();
            let is_over: i64 = connection
                .query_row(
                    "SELECT count(*) FROM whimbrel_version WHERE version_num = 'b'",
                    [],
                    |row| row.get(0),
                )
                .unwrap();
            if is_over == 0 {
                connection.execute_batch(sql).unwrap();
            }
            connection.execute_batch("COMMIT").unwrap();
            is_over == 0
        }),
        Backend::Postgres(_) => {
            let mut client = db.connect_postgres().await;
            write_once(&mut client, sql).await.unwrap()
        }
    }
}

/// One transaction of a writer on PostgreSQL.
pub(super) async fn write_once(
    client: &mut tokio_postgres::Client,
    sql: &str,
) -> Result<bool, tokio_postgres::Error> {
    let transaction = client.transaction().await?;
    transaction
        .batch_execute("LOCK TABLE items IN ROW EXCLUSIVE MODE")
        .await?;
    let over = transaction
        .query(
            "SELECT 1 FROM whimbrel_version WHERE version_num = 'b'",
            &[],
        )
        .await?;
    if over.is_empty() {
        match transaction.batch_execute(sql).await {
            Ok(()) => transaction.commit().await?,
            // Two writers can meet, as everywhere.
            Err(error)
                if error
                    .code()
                    .is_some_and(|code| matches!(code.code(), "40P01" | "23505")) =>
            {
                transaction.rollback().await?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(over.is_empty())
}

/// Runs a backfill of so many rows while writers write, and checks that every row was worked on once since it was last
/// written.
async fn beside_writers(db: Database, rows: u32, mut engine: Engine) {
    let db = Arc::new(db);
    up(&engine, "a").await.unwrap();
    engine.backfills.changes = vec![
        "batch=20ms".to_owned(),
        "workers=2".to_owned(),
        format!("rate={}", rows / 2),
    ];
    let running = tokio::spawn(async move { up(&engine, "b").await });
    let writers = (0..3).map(|seed| {
        let db = Arc::clone(&db);
        tokio::spawn(async move {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut written = 0_u32;
            while once(&db, &write(&mut rng, rows.into())).await {
                written += 1;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            written
        })
    });
    let writers: Vec<_> = writers.collect();
    running.await.unwrap().unwrap();
    let mut written = 0;
    for writer in writers {
        written += writer.await.unwrap();
    }
    assert!(written > 50, "only {written} were written meanwhile");
    let wrong = db.query("SELECT id, amount, doubled, runs, remark FROM items WHERE runs <> 1 OR doubled IS NULL OR doubled <> amount * 2").await;
    assert!(
        wrong.is_empty(),
        "{} of them: {:?}",
        wrong.len(),
        &wrong[..wrong.len().min(5)]
    );
    assert_eq!(db.value(WRONG).await, "0");
    assert_eq!(leftovers(&db).await, [""; 0]);
}

on_every_database! {
    async fn rows_that_code_works_on_are_done_once(db: Database) {
        let rows = if db.backend() == Backend::Sqlite { 3_000 } else { 12_000 };
        let engine = coded_engine(&db, rows, Coded::counting());
        beside_writers(db, rows, engine).await;
    }

    async fn rows_that_an_expression_works_on_are_done_once(db: Database) {
        let rows = if db.backend() == Backend::Sqlite { 3_000 } else { 12_000 };
        let engine = engine(&db, folder(&db, rows, COUNTING));
        beside_writers(db, rows, engine).await;
    }

    async fn rows_whose_old_values_are_kept_are_done_once(db: Database) {
        let rows = if db.backend() == Backend::Sqlite { 2_000 } else { 8_000 };
        let engine = coded_engine(&db, rows, Coded::counting().keeping());
        beside_writers(db, rows, engine).await;
    }
}
