//! The SDK against a real database, in a native test as an author would write it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use whimbrel_sdk::prelude::*;
use whimbrel_sdk::testing::Database;
use whimbrel_sdk::{Date, Error, Json, Numeric, Timestamptz, Value};

fn people(count: i64) -> Database {
    let database = Database::new().unwrap();
    database
        .script("CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT NOT NULL, born DATE, email TEXT UNIQUE)")
        .unwrap();
    for id in 1..=count {
        database
            .db()
            .execute(
                "INSERT INTO people (id, name, email) VALUES ($2, $1, $3)",
                params![format!("person {id}"), id, format!("{id}@example.org")],
            )
            .unwrap();
    }
    database
}

#[test]
fn parameters_go_by_their_numbers() {
    let database = people(1);
    let row: (String, String) = database
        .db()
        .query_one("SELECT $2 || $1, $1", params!["a", "b"])
        .unwrap();
    assert_eq!(row, ("ba".into(), "a".into()));
}

#[test]
fn a_missing_parameter_is_named() {
    let error = people(0)
        .db()
        .query::<i64>("SELECT $1 + $3", params![1_i64, 2_i64])
        .unwrap_err();
    assert_eq!(
        error,
        Error::Conversion("parameter `$3` has no value: 2 were given".into())
    );
}

#[test]
fn typed_values_come_back_as_they_went() {
    let database = people(1);
    let born: Date = "1815-12-10".parse().unwrap();
    let now: Timestamptz = "2026-11-22 10:00:00.5Z".parse().unwrap();
    let (json, number) = (Json(r#"{"a":[1]}"#.into()), Numeric("12345".into()));
    let row: (Date, Timestamptz, Json, Option<i64>, Vec<u8>, bool) = database
        .db()
        .query_one(
            "SELECT $1, $2, $3, $4, $5, $6",
            params![born, now, &json, None::<i64>, vec![0_u8, 255], true],
        )
        .unwrap();
    assert_eq!(row, (born, now, json, None, vec![0, 255], true));
    let sum: Numeric = database
        .db()
        .query_one("SELECT CAST($1 AS INTEGER)", params![&number])
        .unwrap();
    assert_eq!(sum, number);
}

#[test]
fn cursors_cross_batches_and_let_other_statements_run() {
    let database = people(2500);
    let db = database.db();
    let mut seen = 0;
    for id in db
        .cursor::<i64>("SELECT id FROM people ORDER BY id", params![])
        .unwrap()
    {
        let id = id.unwrap();
        seen += 1;
        assert_eq!(id, seen);
        db.execute("UPDATE people SET email = NULL WHERE id = $1", params![id])
            .unwrap();
    }
    assert_eq!(seen, 2500);
    assert_eq!(
        db.query_one::<i64>("SELECT count(*) FROM people WHERE email IS NULL", params![])
            .unwrap(),
        2500
    );
}

#[test]
fn batches_give_columns() {
    let database = people(7);
    let sizes: Vec<usize> = database
        .db()
        .query_batches("SELECT id, name FROM people ORDER BY id", params![], 3)
        .unwrap()
        .map(|batch| {
            let batch = batch.unwrap();
            let names: Vec<&str> = batch
                .column("name")
                .unwrap()
                .collect::<Result<_, _>>()
                .unwrap();
            assert!(names.iter().all(|name| name.starts_with("person ")));
            batch.len()
        })
        .collect();
    assert_eq!(sizes, [3, 3, 1]);
}

#[test]
fn a_struct_is_read_and_sent() {
    #[derive(Row, Debug, PartialEq)]
    struct Person {
        id: i64,
        #[row(rename = "name")]
        called: String,
        email: Option<String>,
    }
    let database = people(5);
    let db = database.db();
    let mut renamed = RowBuffer::new();
    for person in db
        .cursor::<Person>("SELECT email, name, id FROM people ORDER BY id", params![])
        .unwrap()
    {
        let mut person = person.unwrap();
        person.called.insert_str(0, "the ");
        person.email = person.email.filter(|_| person.id > 1);
        renamed.push(&person).unwrap();
    }
    let update = "UPDATE people SET name = $2, email = $3 WHERE id = $1";
    assert_eq!(db.execute_many(update, &renamed).unwrap(), 5);
    let people: Vec<Person> = db
        .query("SELECT * FROM people WHERE id <= 2 ORDER BY id", params![])
        .unwrap();
    let person = |id, called: &str, email: Option<&str>| Person {
        id,
        called: called.to_owned(),
        email: email.map(str::to_owned),
    };
    assert_eq!(
        people,
        [
            person(1, "the person 1", None),
            person(2, "the person 2", Some("2@example.org"))
        ]
    );
}

#[test]
fn a_table_is_copied_out_in_batches_and_in_again() {
    let database = people(7);
    let db = database.db();
    db.run("CREATE TABLE \"Old people\" (born DATE, name TEXT, id INTEGER)")
        .unwrap();
    let mut sizes = Vec::new();
    for batch in db.copy_out("people", &["id", "name"], 3).unwrap() {
        let batch = batch.unwrap();
        let names: Vec<_> = batch.columns().iter().map(|column| &*column.name).collect();
        assert_eq!(names, ["id", "name"]);
        sizes.push(batch.len());
        let mut rows = RowBuffer::new();
        for row in batch.rows::<(i64, String)>() {
            rows.push(&row.unwrap()).unwrap();
        }
        db.copy_in("\"Old people\"", &["id", "name"], &rows)
            .unwrap();
    }
    assert_eq!(sizes, [3, 3, 1]);
    let same = "SELECT count(*) FROM people JOIN \"Old people\" AS old USING (id, name) WHERE old.born IS NULL";
    assert_eq!(db.query_one::<i64>(same, params![]).unwrap(), 7);
    assert!(db.copy_out("nowhere", &["id"], 3).is_err());
    assert!(db.copy_out("people", &["nothing"], 3).is_err());
}

#[test]
fn a_failed_savepoint_is_undone_and_the_migration_goes_on() {
    struct Careful;
    impl Migration for Careful {
        fn upgrade(db: &Db) -> Result<()> {
            let outcome = db.savepoint(|db| {
                db.run("UPDATE people SET name = 'gone'")?;
                db.savepoint(|db| Ok(db.run("UPDATE people SET email = 'same'")?))
            });
            let error = outcome.unwrap_err();
            let sqlstate = error
                .downcast_ref::<Error>()
                .and_then(Error::sqlstate)
                .map(str::to_owned);
            ensure!(
                sqlstate.as_deref() == Some("SQLITE_CONSTRAINT_UNIQUE"),
                "{sqlstate:?}"
            );
            db.savepoint(|db| Ok(db.run("UPDATE people SET born = '1900-01-01'")?))
        }
        fn downgrade(_: &Db) -> Result<()> {
            Ok(())
        }
    }
    let mut database = people(2);
    database.upgrade::<Careful>().unwrap();
    let rows: Vec<(String, Date)> = database
        .db()
        .query("SELECT name, born FROM people", params![])
        .unwrap();
    assert!(
        rows.iter()
            .all(|(name, born)| name.starts_with("person") && born.to_string() == "1900-01-01")
    );
}

#[test]
fn a_failed_migration_leaves_nothing_behind() {
    struct Failing;
    impl Migration for Failing {
        fn upgrade(db: &Db) -> Result<()> {
            db.run("CREATE TABLE half_done (id INTEGER)")?;
            bail!("changed my mind")
        }
        fn downgrade(db: &Db) -> Result<()> {
            Ok(db.run("COMMIT")?)
        }
    }
    let mut database = people(0);
    assert_eq!(
        database.upgrade::<Failing>().unwrap_err().to_string(),
        "changed my mind"
    );
    let tables: i64 = database
        .db()
        .query_one(
            "SELECT count(*) FROM sqlite_schema WHERE name = 'half_done'",
            params![],
        )
        .unwrap();
    assert_eq!(tables, 0);
    let denied = database.downgrade::<Failing>().unwrap_err();
    assert!(
        matches!(denied.downcast_ref(), Some(Error::Denied(denial)) if denial.operation == "COMMIT")
    );
}

#[test]
fn an_untyped_row_is_a_list_of_values() {
    let rows: Vec<Vec<Value>> = people(1)
        .db()
        .query("SELECT id, name, born FROM people", params![])
        .unwrap();
    assert_eq!(
        rows,
        [[Value::Int64(1), Value::Text("person 1".into()), Value::Null]]
    );
}

#[test]
fn one_row_means_one_row() {
    let database = people(2);
    let query = |sql: &str| database.db().query_one::<i64>(sql, params![]);
    assert_eq!(
        query("SELECT id FROM people").unwrap_err().to_string(),
        "the query returned 2 rows instead of at most one"
    );
    assert_eq!(
        query("SELECT id FROM people WHERE id > 2")
            .unwrap_err()
            .to_string(),
        "the query returned 0 rows instead of one"
    );
}
