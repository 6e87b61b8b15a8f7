//! Rows in bulk have the effect that they have one by one.

use std::sync::Arc;

use whimbrel::capability::{Capabilities, Capability, Grant, Reach};
use whimbrel::driver::{
    Authority, Batch, CopyTarget, Dialect, DriverError, Durability, ResultLimit, Session, Value,
};
use whimbrel_tests::{Database, as_guest, on_every_database, on_every_postgres};

use crate::staging::driver;

const TABLE: &str =
    "CREATE TABLE t (id integer PRIMARY KEY, code text UNIQUE, n bigint NOT NULL DEFAULT 0)";

async fn session(db: &Database, authority: Authority) -> Box<dyn Session> {
    let mut session = driver(db).connect().await.unwrap();
    session.assume(authority).await.unwrap();
    session.begin().await.unwrap();
    session
}

fn batch(rows: &[&[Value]]) -> Arc<Batch> {
    let width = rows.first().map_or(0, |row| row.len());
    Arc::new(Batch::from_rows(
        width,
        rows.iter().map(|row| row.to_vec()).collect(),
    ))
}

async fn rows(session: &mut dyn Session, sql: &str) -> Vec<Vec<Value>> {
    let rows = session.query(sql, &[], ResultLimit::NONE).await;
    rows.unwrap_or_else(|error| panic!("{sql}: {error}"))
        .into_rows()
}

/// What is in the table, in a form that is the same everywhere.
async fn content(session: &mut dyn Session) -> Vec<String> {
    let sql = "SELECT id, code, n FROM t ORDER BY id, code";
    let text = |value: Value| match value {
        Value::Null => "-".to_owned(),
        Value::Text(text) => text,
        Value::Int16(number) => number.to_string(),
        Value::Int32(number) => number.to_string(),
        Value::Int64(number) => number.to_string(),
        other => panic!("{other:?}"),
    };
    rows(session, sql)
        .await
        .into_iter()
        .map(|row| row.into_iter().map(text).collect::<Vec<_>>().join("|"))
        .collect()
}

/// Statements, and the rows that they are run for.
fn cases() -> Vec<(&'static str, Arc<Batch>)> {
    let int = |number: i64| Value::Int64(number);
    let text = |text: &str| Value::from(text);
    vec![
        (
            "INSERT INTO t (id, code) VALUES ($1, upper($2))",
            batch(&[
                &[int(1), text("a")],
                &[int(2), text("b")],
                &[int(3), Value::Null],
            ]),
        ),
        (
            "INSERT INTO t (code, id, n) VALUES ($2, $1, $3) ON CONFLICT DO NOTHING",
            batch(&[
                &[int(3), text("c"), int(9)],
                &[int(4), text("d"), int(9)],
                &[int(4), text("e"), int(8)],
            ]),
        ),
        (
            "INSERT INTO t (id, n) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET n = t.n + excluded.n",
            batch(&[
                &[int(5), int(1)],
                &[int(1), int(10)],
                &[int(5), int(2)],
                &[int(5), int(3)],
            ]),
        ),
        // Each key once, in no order, and a row that is not there.
        (
            "UPDATE t SET n = n + $2, code = code || '!' WHERE id = $1",
            batch(&[
                &[int(4), int(1)],
                &[int(99), int(1)],
                &[int(2), int(2)],
                &[Value::Null, int(7)],
            ]),
        ),
        // A key that comes again changes its row again.
        (
            "UPDATE t SET n = n * 2 + $2 WHERE id = $1",
            batch(&[
                &[int(2), int(1)],
                &[int(2), int(5)],
                &[int(1), int(0)],
                &[int(2), int(0)],
            ]),
        ),
        // A row that one of the rows makes and a later one changes.
        (
            "UPDATE t SET id = $2 WHERE id = $1",
            batch(&[&[int(1), int(101)], &[int(101), int(102)]]),
        ),
        (
            "UPDATE t SET n = (SELECT sum(n) FROM t) + $2 WHERE id = $1",
            batch(&[&[int(2), int(1)], &[int(3), int(1)]]),
        ),
        (
            "UPDATE t SET n = $2 WHERE code = $1",
            batch(&[
                &[text("B!"), int(500)],
                &[text("none"), int(501)],
                &[Value::Null, int(502)],
            ]),
        ),
        (
            "DELETE FROM t WHERE id = $1 AND n < $2",
            batch(&[&[int(3), int(0)], &[int(4), int(100)], &[int(5), int(1)]]),
        ),
    ]
}

on_every_database! {
    async fn a_batch_does_what_its_rows_do(db: Database) {
        db.execute(TABLE).await;
        let (mut one, mut touched_one) = (Vec::new(), Vec::new());
        let (mut many, mut touched_many) = (Vec::new(), Vec::new());
        let mut session = session(&db, as_guest()).await;
        for (sql, batch) in cases() {
            let mut touched = 0;
            for at in 0..batch.len() {
                touched += session.execute(sql, &batch.row(at)).await.unwrap();
            }
            touched_one.push(touched);
            one.push(content(&mut *session).await);
        }
        session.rollback().await.unwrap();
        session.begin().await.unwrap();
        for (sql, batch) in cases() {
            touched_many.push(session.execute_many(sql, &batch).await.unwrap());
            many.push(content(&mut *session).await);
        }
        assert_eq!(many, one);
        assert_eq!(touched_many, touched_one);
        assert!(one.iter().all(|content| !content.is_empty()));
    }

    async fn ten_thousand_rows_go_and_change(db: Database) {
        db.execute(TABLE).await;
        let mut session = session(&db, as_guest()).await;
        let row = |id: i64| vec![Value::Int64(id), Value::Text(format!("code {id}"))];
        let batch = Arc::new(Batch::from_rows(2, (0..10_000).map(row).collect()));
        let columns = ["id".to_owned(), "code".to_owned()];
        let to = CopyTarget::new("t", &columns, session.dialect()).unwrap();
        assert_eq!(session.copy_in(&to, &batch).await.unwrap(), 10_000);
        let sql = "UPDATE t SET n = id * 3, code = $2 || '.' WHERE id = $1";
        assert_eq!(session.execute_many(sql, &batch).await.unwrap(), 10_000);
        let found = rows(&mut *session, "SELECT count(*) FROM t WHERE n = id * 3 AND code = 'code ' || id || '.'").await;
        assert_eq!(found, [[Value::Int64(10_000)]]);
    }

    async fn what_fails_is_told_and_a_savepoint_leads_back(db: Database) {
        db.execute(TABLE).await;
        let mut session = session(&db, as_guest()).await;
        let insert = "INSERT INTO t (id, code) VALUES ($1, $2)";
        let good = batch(&[&[Value::Int64(1), Value::from("a")]]);
        session.execute_many(insert, &good).await.unwrap();
        session.savepoint("s").await.unwrap();
        let twice = batch(&[
            &[Value::Int64(2), Value::from("b")],
            &[Value::Int64(3), Value::from("a")],
            &[Value::Int64(4), Value::from("d")],
        ]);
        let error = session.execute_many(insert, &twice).await.unwrap_err();
        assert!(error.database().is_some(), "{error:?}");
        session.rollback_to_savepoint("s").await.unwrap();
        assert_eq!(content(&mut *session).await, ["1|a|0"]);
        let to = CopyTarget::new("t", &["id".into(), "code".into()], session.dialect()).unwrap();
        session.savepoint("s").await.unwrap();
        let error = session.copy_in(&to, &twice).await.unwrap_err();
        assert!(error.database().is_some(), "{error:?}");
        session.rollback_to_savepoint("s").await.unwrap();
        assert_eq!(content(&mut *session).await, ["1|a|0"]);
        assert_eq!(session.copy_in(&to, &batch(&[&[Value::Int64(2), Value::Null]])).await.unwrap(), 1);
        assert_eq!(content(&mut *session).await, ["1|a|0", "2|-|0"]);
    }

    async fn what_was_made_ready_is_written_where_it_is_asked_for(db: Database) {
        db.execute(TABLE).await;
        let mut session = session(&db, Authority::Host).await;
        // From now on it knows that no pooler stands between.
        assert!(content(&mut *session).await.is_empty());
        session.commit(&[], Durability::Now).await.unwrap();
        let insert = "INSERT INTO t (id, code) VALUES ($1, $2)";
        let announced = batch(&[&[Value::Int64(1), Value::from("a")]]);
        let others = batch(&[&[Value::Int64(2), Value::from("b")]]);

        session.will_execute_many(insert, &announced).await;
        assert!(content(&mut *session).await.is_empty(), "announced and not written");
        session.begin().await.unwrap();
        assert_eq!(session.execute_many(insert, &others).await.unwrap(), 1);
        assert_eq!(content(&mut *session).await, ["2|b|0"]);
        assert_eq!(session.execute_many(insert, &announced).await.unwrap(), 1);
        assert_eq!(content(&mut *session).await, ["1|a|0", "2|b|0"]);
        session.rollback().await.unwrap();

        session.will_execute_many(insert, &announced).await;
        session.begin().await.unwrap();
        assert_eq!(session.execute_many("UPDATE t SET code = $2 WHERE id = $1", &announced).await.unwrap(), 0);
        assert_eq!(session.execute_many(insert, &announced).await.unwrap(), 1);
        session.commit(&[], Durability::Now).await.unwrap();
        assert_eq!(content(&mut *session).await, ["1|a|0"]);

        // Twice the same rows: once announced, they are not written a second time for it.
        session.will_execute_many(insert, &others).await;
        session.begin().await.unwrap();
        assert_eq!(session.execute_many(insert, &others).await.unwrap(), 1);
        let again = session.execute_many(insert, &others).await.unwrap_err();
        assert!(again.database().is_some(), "{again:?}");
        session.rollback().await.unwrap();
    }

    async fn what_cannot_be_made_ready_is_told_when_it_is_written(db: Database) {
        db.execute(TABLE).await;
        let mut session = session(&db, Authority::Host).await;
        // From now on it knows that no pooler stands between.
        assert!(content(&mut *session).await.is_empty());
        session.commit(&[], Durability::Now).await.unwrap();
        let row = batch(&[&[Value::Int64(1), Value::from("a")]]);

        session.will_execute_many("INSERT INTO nowhere (id, code) VALUES ($1, $2)", &row).await;
        session.begin().await.unwrap();
        let error = session.execute_many("INSERT INTO nowhere (id, code) VALUES ($1, $2)", &row).await.unwrap_err();
        assert!(error.is_undefined_table(), "{error:?}");
        session.rollback().await.unwrap();

        let insert = "INSERT INTO t (id, code) VALUES ($1, $2)";
        session.will_execute_many(insert, &row).await;
        db.execute("DROP TABLE t").await;
        session.begin().await.unwrap();
        let error = session.execute_many(insert, &row).await.unwrap_err();
        assert!(error.is_undefined_table(), "{error:?}");
        session.rollback().await.unwrap();
    }

    async fn the_width_must_be_that_of_the_statement(db: Database) {
        db.execute(TABLE).await;
        let mut session = session(&db, as_guest()).await;
        let wide = batch(&[&[Value::Int64(1), Value::from("a"), Value::Null]]);
        let error = session.execute_many("INSERT INTO t (id, code) VALUES ($1, $2)", &wide).await.unwrap_err();
        assert!(matches!(error, DriverError::Conversion(_)), "{error:?}");
        session.rollback().await.unwrap();
    }

    async fn what_is_not_granted_is_refused(db: Database) {
        db.execute(TABLE).await;
        db.execute("CREATE TABLE other (id integer)").await;
        let asks = |texts: &[&str]| {
            let list: Vec<Capability> = texts.iter().map(|text| text.parse().unwrap()).collect();
            let reach = Reach::Only(Capabilities::from_iter(list));
            Authority::Guest(Arc::new(Grant { reach, ..Grant::everything() }))
        };
        let row = batch(&[&[Value::Int64(1)]]);
        let copy = |table: &str| CopyTarget::new(table, &["id".into()], match db.backend() {
            whimbrel_tests::Backend::Sqlite => Dialect::Sqlite,
            whimbrel_tests::Backend::Postgres(_) => Dialect::Postgresql,
        }).unwrap();
        let own = "CREATE TABLE whimbrel_version (id integer)";
        db.execute(own).await;
        let mut session = session(&db, asks(&["insert t(id)"])).await;
        let refused = session.copy_in(&copy("t"), &row).await.unwrap_err();
        let DriverError::NotGranted(refused) = refused else { panic!("{refused:?}") };
        assert_eq!(refused.access.action.to_string(), "copy");
        let refused = session.execute_many("INSERT INTO other (id) VALUES ($1)", &row).await.unwrap_err();
        assert!(matches!(refused, DriverError::NotGranted(_)), "{refused:?}");
        session.rollback().await.unwrap();

        session.assume(Authority::Host).await.unwrap();
        session.assume(asks(&["copy t"])).await.unwrap();
        session.begin().await.unwrap();
        let refused = session.copy_in(&copy("t"), &row).await.unwrap_err();
        let DriverError::NotGranted(refused) = refused else { panic!("{refused:?}") };
        assert_eq!(refused.access.action.to_string(), "insert");
        session.rollback().await.unwrap();

        session.assume(Authority::Host).await.unwrap();
        session.assume(asks(&["insert t(id)", "copy t"])).await.unwrap();
        session.begin().await.unwrap();
        assert_eq!(session.copy_in(&copy("t"), &row).await.unwrap(), 1);
        let own = copy("whimbrel_version");
        let refused = session.copy_in(&own, &row).await.unwrap_err();
        assert!(matches!(refused, DriverError::Denied { .. }), "{refused:?}");
        session.rollback().await.unwrap();
    }
}

on_every_postgres! {
    async fn types_of_the_users_own_go_in_bulk(db: Database) {
        db.execute("CREATE TYPE mood AS ENUM ('calm', 'loud'); CREATE DOMAIN age AS integer CHECK (value > 0);
            CREATE TABLE own (id bigint, m mood, a age, tags text[], amount numeric(10, 2))").await;
        let mut session = session(&db, as_guest()).await;
        let row = |id: i64, mood: &str| {
            vec![
                Value::Int64(id),
                Value::from(mood),
                Value::Int64(id + 10),
                Value::Other { type_name: "_text".into(), text: "{a,b}".into() },
                Value::Numeric("1.5".into()),
            ]
        };
        let rows_in = Arc::new(Batch::from_rows(5, vec![row(1, "calm"), row(2, "loud")]));
        let columns = ["id", "m", "a", "tags", "amount"].map(str::to_owned);
        let to = CopyTarget::new("own", &columns, Dialect::Postgresql).unwrap();
        assert_eq!(session.copy_in(&to, &rows_in).await.unwrap(), 2);
        assert_eq!(session.execute_many(&to.insert(), &rows_in).await.unwrap(), 2);
        let without_arrays = "INSERT INTO own (id, m, a, amount) VALUES ($1, $2, $3, $4)";
        let slim = |id: i64| vec![Value::Int64(id), Value::from("calm"), Value::Int64(3), Value::Int64(7)];
        let slim = Arc::new(Batch::from_rows(4, vec![slim(1), slim(2)]));
        assert_eq!(session.execute_many(without_arrays, &slim).await.unwrap(), 2);
        let found = rows(&mut *session, "SELECT string_agg(concat_ws('/', id, m, a, tags, amount), ' ' ORDER BY id, a, amount) FROM own").await;
        assert_eq!(
            found,
            [[Value::from("1/calm/3/7.00 1/calm/11/{a,b}/1.50 1/calm/11/{a,b}/1.50 2/calm/3/7.00 2/loud/12/{a,b}/1.50 2/loud/12/{a,b}/1.50")]]
        );
        let bad = Arc::new(Batch::from_rows(2, vec![vec![Value::Int64(1), Value::Int64(-5)]]));
        let error = session.execute_many("INSERT INTO own (id, a) VALUES ($1, $2)", &bad).await.unwrap_err();
        assert_eq!(error.database().and_then(|error| error.sqlstate.clone()).as_deref(), Some("23514"));
    }

    async fn what_cursors_hold_together_is_limited(db: Database) {
        let mut session = session(&db, as_guest()).await;
        let limit = ResultLimit { rows: 1000, bytes: 1000 };
        // Narrow rows lead to a long run, and then wide ones come.
        let sql = "SELECT CASE WHEN n <= 9 THEN 'x' ELSE repeat('y', 700) END FROM generate_series(1, 17) AS n";
        let first = session.open_cursor(sql, &[]).await.unwrap();
        let second = session.open_cursor(sql, &[]).await.unwrap();
        assert!(session.fetch(first, 1000, limit).await.unwrap().len() >= 9);
        let error = session.fetch(second, 1000, limit).await.unwrap_err();
        assert!(matches!(error, DriverError::Limit { unit: "bytes", .. }), "{error:?}");
        let mut left = 0;
        loop {
            let rows = session.fetch(first, 1000, limit).await.unwrap();
            if rows.is_empty() {
                break;
            }
            left += rows.len();
        }
        assert!(left > 0 && left <= 8, "{left}");
    }
}
