//! Rows are taken in the order of any unique key.

use whimbrel_tests::{Backend, Database, on_every_database};

use super::sql;
use crate::staging::{Folder, engine, up};

/// A key, columns, a constraint, and the values of row `i` on PostgreSQL and on SQLite.
type Case = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

const KEYS: [Case; 8] = [
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

on_every_database! {
    async fn of_any_kind(db: Database) {
        let is_sqlite = db.backend() == Backend::Sqlite;
        let numbers = match is_sqlite {
            true => "(WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) SELECT i FROM n) AS n",
            false => "generate_series(1, 5000) AS i",
        };
        let mut folder = Folder::default();
        let mut last = String::new();
        for (number, (key, columns, constraint, postgres, sqlite)) in KEYS.into_iter().enumerate() {
            let columns = columns
                .replace("{collation}", if is_sqlite { "NOCASE" } else { "C" })
                .replace("{uuid}", if is_sqlite { "text" } else { "uuid" })
                .replace("{bytes}", if is_sqlite { "blob" } else { "bytea" });
            let values = if is_sqlite { sqlite } else { postgres };
            let table = format!(
                "CREATE TABLE t{number} ({columns}, runs integer NOT NULL DEFAULT 0, {constraint});\n\
                 INSERT INTO t{number} SELECT {}, 0 FROM {numbers};",
                values
            );
            let backfill = format!(
                "-- whimbrel:backfill\n-- key: {key}\n-- changed: again\n-- workers: 3\nUPDATE t{number} SET runs = runs + 1"
            );
            let (a, b) = (format!("a{number}"), format!("b{number}"));
            let header = match last.is_empty() {
                true => String::new(),
                false => format!("-- revises: {last}\n"),
            };
            folder = folder
                .with(&a, &header, &table, None)
                .file(&format!("migrations/{b}_test.sql"), sql(&b, &a, &backfill));
            last = b;
        }
        let engine = engine(&db, folder);
        up(&engine, "head").await.unwrap_or_else(|error| panic!("{error}: {:?}", error.cause));
        for (number, (key, ..)) in KEYS.into_iter().enumerate() {
            let right = db.value(&format!("SELECT count(*) FROM t{number} WHERE runs = 1")).await;
            assert_eq!(right, "5000", "{key}");
        }
    }
}
