//! Behind a pooler, where what a session has prepared is gone with its transaction.

use whimbrel::driver::Value;
use whimbrel_tests::{Database, on_every_postgres};

use super::coded::{Coded, Made, coded, number};
use super::{COUNTING, WRONG, folder, leftovers};
use crate::pooler::{nothing_is_left_behind, pooled};
use crate::staging::{driver_for, engine_over, up};

/// Fewer than the workers' connections, so that they take turns.
const CONNECTIONS: u32 = 2;

/// Work on a column whose type tokio-postgres has to ask the server for.
fn of_a_kind() -> Coded {
    let make = |row: &[Value]| match &row[2] {
        Value::Other { text, .. } if text == "odd" || text == "even" => Made::Write(vec![
            Value::Int64(number(&row[0]) * 2),
            Value::Int64(number(&row[1]) + 1),
        ]),
        other => Made::Fail(format!("{other:?}")),
    };
    Coded::new(&["amount", "runs", "kind"], &["doubled", "runs"], make)
        .with(|spec| spec.workers = Some(2))
}

on_every_postgres! {
    async fn code_reads_columns_of_any_type_there(db: Database) {
        let (_pooler, url) = pooled(&db, CONNECTIONS);
        let made = || folder(&db, 5_000, COUNTING);
        up(&engine_over(driver_for(&url), made()), "a").await.unwrap();
        db.execute(
            "CREATE TYPE parity AS ENUM ('even', 'odd'); \
             ALTER TABLE items ADD COLUMN kind parity NOT NULL GENERATED ALWAYS AS \
                 (CASE amount % 2 WHEN 0 THEN 'even'::parity ELSE 'odd' END) STORED",
        )
        .await;
        let engine = coded(engine_over(driver_for(&url), made()), of_a_kind());
        up(&engine, "b").await.unwrap();
        assert_eq!(db.value(WRONG).await, "0");
        assert_eq!(leftovers(&db).await, [""; 0]);
        nothing_is_left_behind(&url).await;
    }

    async fn an_update_is_done_there(db: Database) {
        let (_pooler, url) = pooled(&db, CONNECTIONS);
        let engine = engine_over(driver_for(&url), folder(&db, 5_000, COUNTING));
        up(&engine, "b").await.unwrap();
        assert_eq!(db.value(WRONG).await, "0");
        nothing_is_left_behind(&url).await;
    }
}
