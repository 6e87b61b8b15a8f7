//! Every case of `value` goes guest → host → database → host → guest, at its edges, on every database; and the
//! guests in other languages do the same work everywhere.

use whimbrel::driver::ResultLimit;
use whimbrel_tests::{Backend, Database, as_guest, on_every_database, root};

use crate::faults::told;
use crate::staging::{Folder, down, driver, engine, ledger, up};

/// A column type, the case of `value` that it comes as, and what is kept in it, as SQL.
type Kind = (&'static str, &'static str, &'static [&'static str]);

const HUNDRED_DIGITS: &str = "'-1234567890123456789012345678901234567890123456789012345678901234567890.123456789012345678901234567890'";

const POSTGRES: &[Kind] = &[
    ("boolean", "boolean", &["true", "false"]),
    ("smallint", "int16", &["-32768", "32767", "0"]),
    ("integer", "int32", &["-2147483648", "2147483647"]),
    (
        "bigint",
        "int64",
        &["-9223372036854775808", "9223372036854775807"],
    ),
    (
        "real",
        "float32",
        &[
            "'NaN'",
            "'Infinity'",
            "'-Infinity'",
            "'-0'",
            "3.4028235e38",
            "1.1754944e-38",
        ],
    ),
    (
        "double precision",
        "float64",
        &[
            "'NaN'",
            "'Infinity'",
            "'-Infinity'",
            "'-0'",
            "1.7976931348623157e308",
            "2.2250738585072014e-308",
        ],
    ),
    (
        "numeric",
        "numeric",
        &["'NaN'", "0", "0.000", HUNDRED_DIGITS, "1e1000", "1e-1000"],
    ),
    ("numeric(10, 2)", "numeric", &["'99999999.99'", "-0.01"]),
    (
        "text",
        "text",
        &[
            "''",
            "' '",
            "'ä🦤'",
            "U&'\\0001\\001b'",
            "repeat('x', 10485760)",
        ],
    ),
    ("varchar(5)", "text", &["'abcde'"]),
    ("char(5)", "text", &["'ab'"]),
    (
        "bytea",
        "bytes",
        &[
            "''",
            "'\\x0000ff'",
            "decode(repeat('00ff', 5242880), 'hex')",
        ],
    ),
    (
        "date",
        "date",
        &[
            "'1970-01-01'",
            "'infinity'",
            "'-infinity'",
            "'4713-01-01 BC'",
            "'5874897-12-31'",
        ],
    ),
    ("time", "time", &["'00:00'", "'24:00'", "'23:59:59.999999'"]),
    (
        "timestamp",
        "timestamp",
        &[
            "'1970-01-01'",
            "'infinity'",
            "'-infinity'",
            "'4713-01-01 00:00:00.000001 BC'",
            "'294246-12-31 23:59:59.999999'",
        ],
    ),
    (
        "timestamptz",
        "timestamptz",
        &[
            "'1970-01-01Z'",
            "'infinity'",
            "'-infinity'",
            "'4712-01-01 00:00Z BC'",
            "'1969-12-31 23:59:59.999999Z'",
        ],
    ),
    (
        "interval",
        "interval",
        &[
            "'0'",
            "'-178000000 years'",
            "'1 month -1 day 00:00:00.000001'",
            "'2000000000 hours'",
        ],
    ),
    (
        "uuid",
        "uuid",
        &[
            "'00000000-0000-0000-0000-000000000000'",
            "'ffffffff-ffff-ffff-ffff-ffffffffffff'",
        ],
    ),
    (
        "json",
        "json",
        &["'null'", "'{\"b\" : [1, null],  \"a\": \"\"}'"],
    ),
    ("jsonb", "json", &["'null'", "'{\"a\": [1e400, \"ä\"]}'"]),
    (
        "integer[]",
        "other",
        &["'{}'", "'{1,NULL,-3}'", "'{{1,2},{3,4}}'", "'[0:1]={7,8}'"],
    ),
    ("text[]", "other", &["'{\"\",NULL,\"NULL\",\"a,b\"}'"]),
    ("mood", "other", &["'calm'", "'it''s, \"loud\"'"]),
    ("point", "other", &["'(1.5,-2)'"]),
    ("int4range", "other", &["'empty'", "'[1,)'"]),
    ("inet", "other", &["'::1/128'"]),
    ("bit varying", "other", &["'0101'"]),
    ("tsvector", "other", &["'a:1 b:2'"]),
    ("xid", "other", &["'42'"]),
];

const SQLITE: &[Kind] = &[
    ("BOOLEAN", "boolean", &["1", "0"]),
    ("SMALLINT", "int16", &["-32768", "32767"]),
    ("INT", "int32", &["-2147483648", "2147483647"]),
    (
        "BIGINT",
        "int64",
        &["-9223372036854775808", "9223372036854775807"],
    ),
    ("FLOAT4", "float32", &["9e999", "-9e999", "0.5"]),
    (
        "REAL",
        "float64",
        &["9e999", "-9e999", "1.7976931348623157e308", "5e-324"],
    ),
    (
        "NUMERIC",
        "numeric",
        &[
            "12",
            "0.5",
            "CAST('-1234567890123456789012345678901234567890.5' AS BLOB)",
            "'NaN'",
        ],
    ),
    (
        "TEXT",
        "text",
        &[
            "''",
            "'ä🦤'",
            "char(1, 27)",
            "printf('%.*c', 10485760, 'x')",
            "'a' || char(0) || 'b'",
        ],
    ),
    ("BLOB", "bytes", &["x''", "x'0000ff'", "zeroblob(10485760)"]),
    (
        "DATE",
        "date",
        &["'1970-01-01'", "'infinity'", "'-infinity'", "'-4712-01-01'"],
    ),
    ("TIME", "time", &["'00:00:00'", "'23:59:59.999999'"]),
    (
        "TIMESTAMP",
        "timestamp",
        &[
            "'1970-01-01 00:00:00'",
            "'infinity'",
            "'-infinity'",
            "'-4712-01-01 00:00:00'",
        ],
    ),
    (
        "TIMESTAMPTZ",
        "timestamptz",
        &["'1970-01-01 00:00:00+00:00'", "'infinity'", "'-infinity'"],
    ),
    ("INTERVAL", "interval", &["'P1M'", "'P-14M400DT-0.000001S'"]),
    ("UUID", "uuid", &["'00000000-0000-0000-0000-0000000000ff'"]),
    ("JSON", "json", &["'null'", "'{\"b\" : [1, null]}'", "1"]),
];

fn kinds(backend: Backend) -> &'static [Kind] {
    match backend {
        Backend::Sqlite => SQLITE,
        Backend::Postgres(_) => POSTGRES,
    }
}

/// `c0, c1, …`: a column for each kind, as `column` writes it.
fn columns(kinds: &[Kind], column: impl Fn(usize, &Kind) -> String) -> String {
    let columns: Vec<String> = kinds
        .iter()
        .enumerate()
        .map(|(number, kind)| column(number, kind))
        .collect();
    columns.join(", ")
}

/// Makes a table `source` with one row for each value, every other column NULL.
async fn fill(db: &Database, kinds: &[Kind]) {
    if db.backend().is_postgres() {
        db.execute("CREATE TYPE mood AS ENUM ('calm', 'it''s, \"loud\"')")
            .await;
    }
    create(db, kinds, "source").await;
    let mut inserts = String::from("INSERT INTO source (id) VALUES (0);\n");
    let values = kinds
        .iter()
        .enumerate()
        .flat_map(|(column, kind)| kind.2.iter().map(move |value| (column, value)));
    for (id, (column, value)) in values.enumerate() {
        inserts.push_str(&format!(
            "INSERT INTO source (id, c{column}) VALUES ({}, {value});\n",
            id + 1
        ));
    }
    db.execute(&inserts).await;
}

async fn create(db: &Database, kinds: &[Kind], table: &str) {
    let columns = columns(kinds, |number, (type_name, ..)| {
        format!("c{number} {type_name}")
    });
    db.execute(&format!(
        "CREATE TABLE {table} (id integer PRIMARY KEY, {columns})"
    ))
    .await;
}

/// Demands that the host reads each value as the case that is expected of its type.
async fn comes_as_expected(db: &Database, kinds: &[Kind]) {
    let mut session = driver(db).connect().await.unwrap();
    session.assume(as_guest()).await.unwrap();
    for (number, (type_name, case, values)) in kinds.iter().enumerate() {
        let sql = format!("SELECT c{number} FROM source WHERE c{number} IS NOT NULL");
        let rows = session
            .query(&sql, &[], ResultLimit::NONE)
            .await
            .unwrap()
            .into_rows();
        assert_eq!(rows.len(), values.len(), "{type_name}");
        for row in rows {
            assert_eq!(row[0].case(), *case, "{type_name}");
        }
    }
}

/// Demands that a table holds what `source` holds, to the last bit.
async fn is_the_same(db: &Database, kinds: &[Kind], table: &str) {
    assert_eq!(
        db.value(&format!("SELECT count(*) FROM {table}")).await,
        db.value("SELECT count(*) FROM source").await
    );
    for (number, (type_name, ..)) in kinds.iter().enumerate() {
        let (a, b) = (format!("a.c{number}"), format!("b.c{number}"));
        let differs = match db.backend() {
            Backend::Sqlite => format!("{a} IS NOT {b} OR typeof({a}) <> typeof({b})"),
            Backend::Postgres(_) => format!("{a}::text IS DISTINCT FROM {b}::text"),
        };
        let different = db
            .column(&format!(
                "SELECT a.id FROM source a JOIN {table} b USING (id) WHERE {differs}"
            ))
            .await;
        assert!(
            different.is_empty(),
            "{type_name} in {table}: {different:?}"
        );
    }
}

/// The parameters of the guest `values`.
fn parameters(read: &str, write: &str, through: &str) -> String {
    format!("[params]\nread = \"{read}\"\nwrite = \"{write}\"\nthrough = \"{through}\"\n")
}

/// What a guest is told when it copies what cannot be converted.
async fn refusal(db: &Database, read: &str, write: &str) -> String {
    let folder = Folder::default().component("a", "", "values", &parameters(read, write, "rows"));
    let failure = up(&engine(db, folder), "head").await.unwrap_err();
    told(&*failure.cause)
}

/// Runs a guest that makes a table, writes a row and reads it back, up and down again.
async fn works(db: &Database, folder: Folder) {
    let engine = engine(db, folder);
    up(&engine, "head").await.unwrap();
    assert_eq!(
        db.query("SELECT id, name FROM waders").await,
        [[Some("1".into()), Some("whimbrel".into())]]
    );
    down(&engine, "base").await.unwrap();
    assert_eq!(ledger(db).await, ["a upgrade done", "a downgrade done"]);
    assert!(!db.dump().await.contains("waders"));
}

on_every_database! {
    async fn all_cases_make_the_round_trip(db: Database) {
        let kinds = kinds(db.backend());
        fill(&db, kinds).await;
        comes_as_expected(&db, kinds).await;
        let names = columns(kinds, |number, _| format!("c{number}"));
        let places = columns(kinds, |number, _| format!("${}", number + 2));
        let mut folder = Folder::default();
        let mut parent = "";
        for (id, through) in [("a", "rows"), ("b", "batch"), ("c", "cursor")] {
            create(&db, kinds, through).await;
            let read = format!("SELECT id, {names} FROM source ORDER BY id");
            let write = format!("INSERT INTO {through} (id, {names}) VALUES ($1, {places})");
            folder = folder.component(id, parent, "values", &parameters(&read, &write, through));
            parent = id;
        }
        for (id, through) in [("d", "many"), ("e", "copy"), ("f", "out_of")] {
            create(&db, kinds, through).await;
            let read = match through {
                "out_of" => "source".to_owned(),
                _ => format!("SELECT id, {names} FROM source ORDER BY id"),
            };
            let write = match through {
                "copy" => "copy".to_owned(),
                _ => format!("INSERT INTO {through} (id, {names}) VALUES ($1, {places})"),
            };
            let more = format!("columns = \"id, {names}\"\n");
            let params = parameters(&read, &write, through) + &more;
            folder = folder.component(id, parent, "values", &params);
            parent = id;
        }
        up(&engine(&db, folder), "head").await.unwrap();
        for table in ["rows", "batch", "cursor", "many", "copy", "out_of"] {
            is_the_same(&db, kinds, table).await;
        }
    }

    async fn what_cannot_be_converted_names_column_or_parameter_and_type(db: Database) {
        match db.backend() {
            Backend::Sqlite => {
                db.execute("CREATE TABLE source (words text); INSERT INTO source VALUES (CAST(x'ff' AS TEXT))").await;
                let told = refusal(&db, "SELECT words FROM source", "SELECT $1").await;
                assert!(told.contains("words") && told.contains("text") && told.contains("UTF-8"), "{told}");
            }
            Backend::Postgres(_) => {
                let told = refusal(&db, "SELECT 40000::bigint", "SELECT $1::smallint").await;
                assert!(told.contains("$1") && told.contains("int2"), "{told}");
            }
        }
        if db.backend() == Backend::Postgres(18) {
            let told = refusal(&db, "SELECT timestamp '294276-12-31' AS late", "SELECT $1").await;
            assert!(told.contains("late") && told.contains("timestamp"), "{told}");
        }
    }

    async fn a_guest_in_c_works(db: Database) {
        works(&db, Folder::default().component("a", "", "c", "")).await;
    }

    async fn a_guest_in_python_works(db: Database) {
        works(&db, Folder::default().component("a", "", "python", "language = \"python\"\n")).await;
    }

    async fn a_component_of_long_ago_works(db: Database) {
        let fixture = root().join("tests/fixtures/migrate-0.1.0.wasm");
        works(&db, Folder::default().component_from("a", "", &fixture, "")).await;
    }
}
