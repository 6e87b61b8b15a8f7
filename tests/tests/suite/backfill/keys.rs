//! Rows are taken in the order of any unique key.

use std::time::Duration;

use tokio::time::timeout;
use whimbrel::driver::Value;
use whimbrel::engine::{BackfillMode, Engine};
use whimbrel_tests::{Backend, Database, on_every_database, on_every_postgres};

use super::coded::{self, Coded, Made, coded};
use super::property::empty;
use super::{COUNTING, sql, told};
use crate::staging::{Folder, engine, up};

const ROWS: u32 = 5_000;
/// How long one table may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A table and its key.
struct Case {
    key: String,
    /// What makes `items`, and fills it with [`ROWS`] rows.
    table: String,
}

/// A key, columns, a constraint, and the values of row `i` on PostgreSQL and on SQLite.
const KEYS: [(&str, &str, &str, &str, &str); 8] = [
    (
        "a, b",
        "a integer NOT NULL, b text NOT NULL",
        "PRIMARY KEY (a, b)",
        "i % 7, 'x' || i",
        "i % 7, 'x' || i",
    ),
    (
        "a",
        "a text COLLATE \"{collation}\" NOT NULL",
        "PRIMARY KEY (a)",
        "chr(97 + i % 26) || upper(chr(97 + i % 25)) || i",
        "char(97 + i % 26) || upper(char(97 + i % 25)) || i",
    ),
    (
        "a",
        "a timestamp NOT NULL",
        "UNIQUE (a)",
        "timestamp '2020-01-01' + i * interval '1.000001 s'",
        "datetime('2020-01-01', i || ' seconds')",
    ),
    (
        "a",
        "a {uuid} NOT NULL",
        "PRIMARY KEY (a)",
        "md5(i::text)::uuid",
        "lower(hex(randomblob(16)))",
    ),
    (
        "a",
        "a numeric NOT NULL",
        "UNIQUE (a)",
        "i::numeric * 1.0000000000000000000001",
        "i * 1.5",
    ),
    (
        "a",
        "a {bytes} NOT NULL",
        "UNIQUE (a)",
        "decode(md5(i::text), 'hex')",
        "randomblob(12)",
    ),
    (
        "\"Odd \"\"key\"\"\"",
        "\"Odd \"\"key\"\"\" double precision NOT NULL",
        "UNIQUE (\"Odd \"\"key\"\"\")",
        "sqrt(i)",
        "i * 1.000001",
    ),
    (
        "b, a",
        "a integer NOT NULL, b date NOT NULL",
        "UNIQUE (a, b)",
        "i, date '2000-01-01' + i % 10",
        "i, date('2000-01-01', (i % 10) || ' days')",
    ),
];

/// A type, or a table, that PostgreSQL alone has: a key, columns, a constraint and what else says how the table is made, the
/// values of row `i`, and what is made before it and after it.
struct PostgresKey {
    key: &'static str,
    columns: &'static str,
    constraint: &'static str,
    values: &'static str,
    before: &'static str,
    after: &'static str,
    /// What is true of a server that has what this takes. Debian's, which is 15, has all.
    is_there: &'static str,
}

const PLAIN: PostgresKey = PostgresKey {
    key: "a",
    columns: "",
    constraint: ", PRIMARY KEY (a))",
    values: "",
    before: "",
    after: "",
    is_there: "true",
};

const POSTGRES_KEYS: [PostgresKey; 15] = [
    PostgresKey {
        columns: "a text COLLATE \"en-x-icu\" NOT NULL",
        values: "chr(97 + i % 26) || upper(chr(97 + i % 25)) || i",
        is_there: "EXISTS (SELECT 1 FROM pg_collation WHERE collname = 'en-x-icu')",
        ..PLAIN
    },
    PostgresKey {
        columns: "a timestamptz NOT NULL",
        values: "CASE i WHEN 1 THEN 'infinity' WHEN 2 THEN '-infinity' ELSE timestamptz '2020-01-01' + i * interval '1.000001 s' END",
        ..PLAIN
    },
    PostgresKey {
        columns: "a date NOT NULL",
        values: "CASE i WHEN 1 THEN 'infinity' WHEN 2 THEN '-infinity' ELSE date '2020-01-01' + i END",
        ..PLAIN
    },
    PostgresKey {
        columns: "a interval NOT NULL",
        values: "i * interval '1 month 3 days 1.000001 s'",
        ..PLAIN
    },
    PostgresKey {
        columns: "a double precision NOT NULL",
        values: "CASE i WHEN 1 THEN 'NaN' WHEN 2 THEN 'infinity' WHEN 3 THEN '-infinity' ELSE -sqrt(i) END",
        ..PLAIN
    },
    PostgresKey {
        columns: "a numeric NOT NULL",
        values: "CASE i WHEN 1 THEN 'NaN' ELSE i::numeric / 7 END",
        ..PLAIN
    },
    PostgresKey {
        columns: "a char(8) NOT NULL",
        values: "chr(97 + i % 26) || i",
        ..PLAIN
    },
    PostgresKey {
        columns: "a code NOT NULL",
        values: "chr(97 + i % 26) || i",
        before: "CREATE DOMAIN code AS text CHECK (VALUE ~ '^[a-z]');",
        ..PLAIN
    },
    PostgresKey {
        columns: "a inet NOT NULL",
        values: "inet '10.0.0.0' + i",
        ..PLAIN
    },
    PostgresKey {
        columns: "a bit varying NOT NULL",
        values: "i::bit(16)::bit varying",
        ..PLAIN
    },
    PostgresKey {
        columns: "a citext NOT NULL",
        values: "chr(97 + i % 26) || upper(chr(97 + i % 25)) || i",
        before: "CREATE EXTENSION citext;",
        is_there: "EXISTS (SELECT 1 FROM pg_available_extensions WHERE name = 'citext')",
        ..PLAIN
    },
    PostgresKey {
        key: "kind, a",
        columns: "kind kind NOT NULL, a integer NOT NULL",
        constraint: ", PRIMARY KEY (kind, a))",
        values: "(ARRAY['small', 'middling', 'large']::kind[])[1 + i % 3], i",
        before: "CREATE TYPE kind AS ENUM ('small', 'middling', 'large');",
        ..PLAIN
    },
    PostgresKey {
        columns: "a int4range NOT NULL",
        values: "int4range(i, i + 1 + i % 5)",
        ..PLAIN
    },
    PostgresKey {
        key: "b, a",
        columns: "a integer NOT NULL, b timestamptz NOT NULL",
        constraint: ", UNIQUE (a, b)) PARTITION BY RANGE (a)",
        values: "i, timestamptz '2020-01-01' + i % 50 * interval '1 s'",
        after: "CREATE TABLE items_1 PARTITION OF items FOR VALUES FROM (MINVALUE) TO (1700);\n\
            CREATE TABLE items_2 PARTITION OF items FOR VALUES FROM (1700) TO (3000) PARTITION BY RANGE (b);\n\
            CREATE TABLE items_3 PARTITION OF items_2 DEFAULT;\n\
            CREATE TABLE items_4 PARTITION OF items DEFAULT;",
        ..PLAIN
    },
    PostgresKey {
        columns: "a integer NOT NULL",
        constraint: ", PRIMARY KEY (a)) PARTITION BY RANGE (a)",
        values: "i",
        after: "CREATE TABLE items_1 PARTITION OF items FOR VALUES FROM (MINVALUE) TO (1700);\n\
            CREATE TABLE items_2 PARTITION OF items FOR VALUES FROM (1700) TO (MAXVALUE);",
        ..PLAIN
    },
];

fn of_any_kind(backend: Backend) -> Vec<Case> {
    let is_sqlite = backend == Backend::Sqlite;
    let numbers = match is_sqlite {
        true => format!(
            "(WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS}) SELECT i FROM n) AS n"
        ),
        false => format!("generate_series(1, {ROWS}) AS i"),
    };
    let case = |(key, columns, constraint, postgres, sqlite): (&str, &str, &str, &str, &str)| {
        let columns = columns
            .replace("{collation}", if is_sqlite { "NOCASE" } else { "C" })
            .replace("{uuid}", if is_sqlite { "text" } else { "uuid" })
            .replace("{bytes}", if is_sqlite { "blob" } else { "bytea" });
        let values = if is_sqlite { sqlite } else { postgres };
        Case {
            key: key.to_owned(),
            table: format!(
                "CREATE TABLE items ({columns}, runs integer NOT NULL DEFAULT 0, {constraint});\n\
                 INSERT INTO items SELECT {values}, 0 FROM {numbers};"
            ),
        }
    };
    KEYS.into_iter().map(case).collect()
}

async fn of_postgres(db: &Database) -> Vec<Case> {
    let mut cases = Vec::new();
    for it in &POSTGRES_KEYS {
        if db.value(&format!("SELECT {}", it.is_there)).await != "t" {
            assert_ne!(db.backend(), Backend::Postgres(15), "{}", it.columns);
            continue;
        }
        cases.push(Case {
            key: it.key.to_owned(),
            table: format!(
                "{}\nCREATE TABLE items ({}, runs integer NOT NULL DEFAULT 0{};\n{}\n\
                 INSERT INTO items SELECT {}, 0 FROM generate_series(1, {ROWS}) AS i;",
                it.before, it.columns, it.constraint, it.after, it.values
            ),
        });
    }
    cases
}

/// Works through each table by an UPDATE.
async fn by_an_update(db: &Database, cases: &[Case]) {
    let mut wrong = Vec::new();
    for Case { key, table } in cases {
        empty(db).await;
        let backfill = format!(
            "-- whimbrel:backfill\n-- key: {key}\n-- changed: again\n-- workers: 3\nUPDATE items SET runs = runs + 1"
        );
        let folder = Folder::default()
            .with("a", "", table, None)
            .file("migrations/b_test.sql", sql("b", "a", &backfill));
        let outcome = outcome(db, &engine(db, folder)).await;
        wrong.extend(outcome.map(|outcome| format!("{table}\n  {outcome}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Works through each table by code, which takes keys to and fro, after others have changed all rows, which takes notes of
/// keys.
async fn by_code(db: &Database, cases: &[Case]) {
    let mut wrong = Vec::new();
    for Case { key, table } in cases {
        empty(db).await;
        let code = Coded::new(&["runs"], &["runs"], |row| {
            Made::Write(vec![Value::Int64(coded::number(&row[0]) + 1)])
        });
        let code = code.with(|spec| {
            spec.key = key.split(", ").map(ToOwned::to_owned).collect();
            spec.workers = Some(2);
        });
        let folder = || {
            Folder::default()
                .with("a", "", table, None)
                .file("migrations/b_test.sql", sql("b", "a", COUNTING))
        };
        let mut begun = coded(engine(db, folder()), code.clone());
        begun.backfills.mode = BackfillMode::Detached;
        if let Ok(Ok(_)) = timeout(PATIENCE, up(&begun, "b")).await {
            db.execute("UPDATE items SET runs = 0").await;
        }
        let outcome = outcome(db, &coded(engine(db, folder()), code)).await;
        wrong.extend(outcome.map(|outcome| format!("{table}\n  {outcome}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is wrong when it is done, or why it is not.
async fn outcome(db: &Database, engine: &Engine) -> Option<String> {
    match timeout(PATIENCE, up(engine, "b")).await {
        Ok(Ok(_)) => {}
        Ok(Err(failure)) => return Some(told(&failure)),
        Err(_) => return Some("it does not come to an end".to_owned()),
    }
    let right = db.value("SELECT count(*) FROM items WHERE runs = 1").await;
    (right != ROWS.to_string()).then(|| format!("{right} rows are right"))
}

on_every_database! {
    async fn of_any_kind_by_an_update(db: Database) {
        by_an_update(&db, &of_any_kind(db.backend())).await;
    }

    async fn of_any_kind_by_code(db: Database) {
        by_code(&db, &of_any_kind(db.backend())).await;
    }
}

on_every_postgres! {
    async fn of_any_type_by_an_update(db: Database) {
        let cases = of_postgres(&db).await;
        by_an_update(&db, &cases).await;
    }

    async fn of_any_type_by_code(db: Database) {
        let cases = of_postgres(&db).await;
        by_code(&db, &cases).await;
    }
}
