//! The SQLite driver on real files.

use std::sync::Arc;
use std::time::{Duration, Instant};

use camino::Utf8Path;
use tempfile::TempDir;
use whimbrel::driver::{
    self, Authority, CommitError, Driver, DriverError, Durability, Holder, Isolation, LockAttempt,
    ResultLimit, RunLock, RunLockKind, Session, Settings, Statement, Value,
};
use whimbrel_tests::{as_file, as_guest};

/// A folder of its own with a driver on `app.db` in it.
struct Fixture {
    folder: TempDir,
    driver: Arc<dyn Driver>,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let driver = open("sqlite:app.db", folder.path());
        Self { folder, driver }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    async fn session(&self) -> Box<dyn Session> {
        self.driver.connect().await.unwrap()
    }

    /// A session in a transaction, after the statements were committed.
    async fn prepared(&self, statements: &[&str]) -> Box<dyn Session> {
        let mut session = self.session().await;
        for sql in statements {
            session.run(sql).await.unwrap();
        }
        session.begin().await.unwrap();
        session
    }
}

fn open(url: &str, folder: &std::path::Path) -> Arc<dyn Driver> {
    let settings = Settings {
        lock_timeout: Duration::from_millis(200),
        version_table: "alembic_version".to_owned(),
        run_lock: RunLockKind::Auto,
        isolation: Isolation::None,
    };
    driver::open(url, Utf8Path::from_path(folder).unwrap(), &settings).unwrap()
}

async fn query(session: &mut dyn Session, sql: &str) -> Vec<Vec<Value>> {
    let result = session.query(sql, &[], ResultLimit::NONE).await;
    result
        .unwrap_or_else(|error| panic!("{sql}: {error}"))
        .into_rows()
}

async fn count(session: &mut dyn Session, table: &str) -> i64 {
    match query(session, &format!("SELECT count(*) FROM {table}")).await[0][0] {
        Value::Int64(count) => count,
        ref other => panic!("{other:?}"),
    }
}

fn sqlstate(error: &DriverError) -> &str {
    error
        .database()
        .and_then(|error| error.sqlstate.as_deref())
        .unwrap_or_else(|| panic!("no database error: {error:?}"))
}

const ENDLESS: &str =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";

#[tokio::test]
async fn every_value_makes_the_round_trip_at_its_edges() {
    let long_number = format!("-{}.{}", "1234567890".repeat(5), "0987654321".repeat(5));
    let interval = |months, days, microseconds| Value::Interval {
        months,
        days,
        microseconds,
    };
    let uuid = "00000000-0000-4000-8000-00000000ffff";
    let same: Vec<(&str, Value)> = vec![
        ("INTEGER", Value::Null),
        ("BOOLEAN", Value::Boolean(true)),
        ("BOOL", Value::Boolean(false)),
        ("SMALLINT", Value::Int16(i16::MIN)),
        ("INT", Value::Int32(i32::MAX)),
        ("INTEGER", Value::Int64(i64::MIN)),
        ("BIGINT", Value::Int64(i64::MAX)),
        ("FLOAT4", Value::Float32(f32::MIN_POSITIVE)),
        ("FLOAT4", Value::Float32(f32::INFINITY)),
        ("REAL", Value::Float64(f64::MAX)),
        ("DOUBLE PRECISION", Value::Float64(f64::NEG_INFINITY)),
        ("REAL", Value::Float64(5e-324)),
        ("NUMERIC", Value::Numeric("0".into())),
        ("NUMERIC(10, 2)", Value::Numeric("0.1".into())),
        ("DECIMAL", Value::Numeric(i64::MAX.to_string())),
        ("NUMERIC", Value::Numeric("9223372036854775808".into())),
        ("NUMERIC", Value::Numeric(long_number.clone())),
        (
            "NUMERIC",
            Value::Numeric("0.1000000000000000055511151231257827".into()),
        ),
        ("NUMERIC", Value::Numeric("NaN".into())),
        ("NUMERIC", Value::Numeric("-Infinity".into())),
        ("TEXT", Value::Text(String::new())),
        ("VARCHAR(10)", Value::Text("a\0b\u{10ffff}".into())),
        ("TEXT", Value::Text("x".repeat(10 << 20))),
        ("BLOB", Value::Bytes(Vec::new())),
        ("BYTEA", Value::Bytes(vec![0xff; 10 << 20])),
        ("DATE", Value::Date(0)),
        ("DATE", Value::Date(i32::MAX)),
        ("DATE", Value::Date(i32::MIN)),
        ("DATE", Value::Date(i32::MIN + 1)),
        ("DATE", Value::Date(-2_440_588)),
        ("TIME", Value::Time(0)),
        ("TIME", Value::Time(86_400_000_000)),
        ("TIMESTAMP", Value::Timestamp(-1)),
        ("TIMESTAMP", Value::Timestamp(i64::MAX)),
        ("DATETIME", Value::Timestamp(i64::MIN + 1)),
        ("TIMESTAMPTZ", Value::Timestamptz(i64::MAX - 1)),
        ("TIMESTAMP WITH TIME ZONE", Value::Timestamptz(i64::MIN)),
        ("INTERVAL", interval(0, 0, 0)),
        ("INTERVAL", interval(i32::MIN, i32::MAX, i64::MIN)),
        ("UUID", Value::Uuid(uuid.into())),
        ("JSON", Value::Json(r#"{"a": [1, 2.50, "é"]}"#.into())),
        ("JSONB", Value::Json("12".into())),
    ];
    let changed = [
        // Only the number counts, not how many zeros were written.
        (
            "NUMERIC",
            Value::Numeric("12.500".into()),
            Value::Numeric("12.5".into()),
        ),
        // What does not fit the declared type comes out by its storage class.
        ("INT", Value::Int64(1 << 40), Value::Int64(1 << 40)),
        ("BOOLEAN", Value::Int64(2), Value::Int64(2)),
        (
            "DATE",
            Value::Text("soon".into()),
            Value::Text("soon".into()),
        ),
        (
            "UUID",
            Value::Text("no uuid".into()),
            Value::Text("no uuid".into()),
        ),
        (
            "mood",
            Value::Other {
                type_name: "mood".into(),
                text: "glad".into(),
            },
            Value::Text("glad".into()),
        ),
    ];
    let cases = same
        .into_iter()
        .map(|(declared, value)| (declared, value.clone(), value))
        .chain(changed);

    let fixture = Fixture::new();
    let mut session = fixture.prepared(&[]).await;
    for (number, (declared, value, expected)) in cases.enumerate() {
        session
            .run(&format!("CREATE TABLE t{number} (v {declared})"))
            .await
            .unwrap();
        session
            .execute(&format!("INSERT INTO t{number} VALUES ($1)"), &[value])
            .await
            .unwrap();
        let rows = session
            .query(&format!("SELECT v FROM t{number}"), &[], ResultLimit::NONE)
            .await
            .unwrap();
        assert_eq!(rows.columns[0].type_name, declared);
        let rows = rows.into_rows();
        assert!(rows == [[expected]], "{declared}: {rows:.200?}");
    }
    session.commit(&[], Durability::Now).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_kept_is_refused() {
    let fixture = Fixture::new();
    let mut session = fixture
        .prepared(&["CREATE TABLE t (name TEXT, v NUMERIC)"])
        .await;
    for (value, named) in [
        (Value::Float64(f64::NAN), "$2 (float64)"),
        (Value::Float32(f32::NAN), "$2 (float32)"),
        (Value::Time(-1), "$2 (time)"),
        (Value::Numeric("twelve".into()), "$2 (numeric)"),
        (Value::Json("1.00000000000000000001".into()), "$2 (json)"),
    ] {
        let result = session
            .execute("INSERT INTO t VALUES ($1, $2)", &["x".into(), value])
            .await;
        let Err(DriverError::Conversion(message)) = result else {
            panic!("{named}: {result:?}");
        };
        assert!(message.contains(named), "{message}");
    }
    session
        .run("INSERT INTO t (name) VALUES (CAST(X'ff' AS TEXT))")
        .await
        .unwrap();
    let result = session
        .query("SELECT name FROM t", &[], ResultLimit::NONE)
        .await;
    let Err(DriverError::Conversion(message)) = result else {
        panic!("{result:?}");
    };
    assert!(message.contains("`name` (TEXT)"), "{message}");
}

#[tokio::test]
async fn dates_are_what_sqlite_reads_as_dates() {
    let fixture = Fixture::new();
    let mut session = fixture.prepared(&[]).await;
    let rows = session
        .query(
            "SELECT strftime('%Y', $2), unixepoch($1), unixepoch($3)",
            &[
                Value::Timestamptz(1_500_000),
                Value::Date(-1),
                Value::Timestamp(-1_000_000),
            ],
            ResultLimit::NONE,
        )
        .await
        .unwrap();
    assert_eq!(
        rows.into_rows(),
        [["1969".into(), Value::Int64(1), Value::Int64(-1)]]
    );
}

#[tokio::test]
async fn parameters_go_by_their_numbers() {
    let fixture = Fixture::new();
    let mut session = fixture.prepared(&[]).await;
    let params = [Value::Int64(1), Value::Int64(2), Value::Int64(3)];
    for sql in [
        "SELECT $3, $1, $2, $1",
        "SELECT ?3, ?1, ?2, ?1",
        "SELECT :3, @1, $2, :1",
    ] {
        let rows = session
            .query(sql, &params, ResultLimit::NONE)
            .await
            .unwrap()
            .into_rows();
        assert_eq!(rows, [[3, 1, 2, 1].map(Value::Int64)], "{sql}");
    }
    for (sql, params) in [
        ("SELECT $1, $2", &params[..1]),
        ("SELECT $1", &params[..2]),
        ("SELECT :a", &params[..1]),
    ] {
        let result = session.query(sql, params, ResultLimit::NONE).await;
        assert!(
            matches!(result, Err(DriverError::Conversion(_))),
            "{sql}: {result:?}"
        );
    }
}

#[tokio::test]
async fn errors_name_code_position_and_objects() {
    let fixture = Fixture::new();
    let mut session = fixture
        .prepared(&[
            "CREATE TABLE t (a INTEGER UNIQUE, b TEXT NOT NULL)",
            "INSERT INTO t VALUES (1, 'x')",
        ])
        .await;
    let error = session.run("SELECT 'é', nope FROM t").await.unwrap_err();
    assert_eq!(sqlstate(&error), "SQLITE_ERROR");
    assert_eq!(error.database().unwrap().position, Some(13));
    assert_eq!(error.database().unwrap().column.as_deref(), Some("nope"));

    let error = session
        .run("INSERT INTO t VALUES (1, 'y')")
        .await
        .unwrap_err();
    assert_eq!(sqlstate(&error), "SQLITE_CONSTRAINT_UNIQUE");
    assert_eq!(error.database().unwrap().table.as_deref(), Some("t"));
    assert_eq!(error.database().unwrap().column.as_deref(), Some("a"));

    for sql in ["", " -- nothing", ";", "SELECT 1\0"] {
        assert!(
            session.run(sql).await.unwrap_err().database().is_some(),
            "{sql:?}"
        );
    }
}

#[tokio::test]
async fn rows_touched_are_counted_without_triggers_and_schema_changes() {
    let fixture = Fixture::new();
    let mut session = fixture
        .prepared(&[
            "CREATE TABLE t (a)",
            "CREATE TABLE log (a)",
            "CREATE TRIGGER x AFTER INSERT ON t BEGIN INSERT INTO log VALUES (1); INSERT INTO log VALUES (2); END",
        ])
        .await;
    assert_eq!(
        session
            .run("INSERT INTO t VALUES (1), (2), (3)")
            .await
            .unwrap(),
        3
    );
    assert_eq!(session.run("CREATE TABLE u (a)").await.unwrap(), 0);
    assert_eq!(session.run("SELECT * FROM t").await.unwrap(), 0);
    assert_eq!(
        session
            .run("UPDATE t SET a = 0 WHERE a > 1 RETURNING a")
            .await
            .unwrap(),
        2
    );
    assert_eq!(session.run("DELETE FROM t").await.unwrap(), 3);
    assert_eq!(count(&mut *session, "log").await, 6);
}

#[tokio::test]
async fn results_stop_at_their_limit() {
    let fixture = Fixture::new();
    let mut session = fixture.prepared(&[]).await;
    let rows = |rows| ResultLimit {
        rows,
        bytes: u64::MAX,
    };
    let result = session
        .query(ENDLESS.replace("count(*)", "i").as_str(), &[], rows(1000))
        .await;
    assert!(
        matches!(
            result,
            Err(DriverError::Limit {
                unit: "rows",
                limit: 1000
            })
        ),
        "{result:?}"
    );

    let bytes = ResultLimit {
        rows: u64::MAX,
        bytes: 4 << 20,
    };
    let result = session
        .query("SELECT zeroblob(100000000)", &[], bytes)
        .await;
    assert!(
        matches!(result, Err(DriverError::Limit { unit: "bytes", .. })),
        "{result:?}"
    );
    let result = session
        .query("SELECT randomblob(2000000000)", &[], bytes)
        .await;
    assert_eq!(sqlstate(&result.unwrap_err()), "SQLITE_TOOBIG");

    let megabytes = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 10) \
                     SELECT i, zeroblob(1 << 20) FROM n";
    let cursor = session.open_cursor(megabytes, &[]).await.unwrap();
    let mut pages = Vec::new();
    loop {
        let page = session.fetch(cursor, 100, bytes).await.unwrap();
        if page.is_empty() {
            break;
        }
        pages.push(page.len());
    }
    assert_eq!(pages, [3, 3, 3, 1]);

    let cursor = session
        .open_cursor("SELECT zeroblob(5 << 20)", &[])
        .await
        .unwrap();
    let result = session.fetch(cursor, 1, bytes).await;
    assert!(
        matches!(result, Err(DriverError::Limit { unit: "bytes", .. })),
        "{result:?}"
    );
}

#[tokio::test]
async fn cursors_show_what_was_there_whatever_is_written_between() {
    let fixture = Fixture::new();
    let mut session = fixture
        .prepared(&[
            "CREATE TABLE t (id INTEGER PRIMARY KEY, v INT, note DATE)",
            "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 1000) \
             INSERT INTO t SELECT i, i, '2024-01-01' FROM n",
        ])
        .await;
    let up = session
        .open_cursor("SELECT id, v, note FROM t ORDER BY v", &[])
        .await
        .unwrap();
    let down = session
        .open_cursor(
            "SELECT id FROM t WHERE v > $1 ORDER BY id DESC",
            &[Value::Int64(10)],
        )
        .await
        .unwrap();
    assert_eq!(session.cursor_columns(up).unwrap().len(), 3);

    let mut seen = Vec::new();
    loop {
        let page = session
            .fetch(up, 90, ResultLimit::NONE)
            .await
            .unwrap()
            .into_rows();
        if page.is_empty() {
            break;
        }
        for row in page {
            assert_eq!(row[2], Value::Date(19_723));
            let id = row[0].clone();
            // Would be seen again, in a scan that is not apart from it.
            session
                .execute(
                    "UPDATE t SET v = v + 100000 WHERE id = $1",
                    std::slice::from_ref(&id),
                )
                .await
                .unwrap();
            session
                .execute("INSERT INTO t (v) VALUES (5000)", &[])
                .await
                .unwrap();
            seen.push(id);
        }
        session.fetch(down, 7, ResultLimit::NONE).await.unwrap();
    }
    let expected: Vec<Value> = (1..=1000).map(Value::Int64).collect();
    assert_eq!(seen, expected);
    assert_eq!(count(&mut *session, "t").await, 2000);

    session.close_cursor(down).await.unwrap();
    assert!(matches!(
        session.fetch(down, 1, ResultLimit::NONE).await,
        Err(DriverError::Closed { .. })
    ));
    session.run("DROP TABLE t").await.unwrap();
    assert!(
        session
            .fetch(up, 1, ResultLimit::NONE)
            .await
            .unwrap()
            .is_empty()
    );
    session.commit(&[], Durability::Now).await.unwrap();
}

#[tokio::test]
async fn a_cursor_that_was_half_read_does_not_start_again() {
    let fixture = Fixture::new();
    let mut session = fixture.prepared(&[]).await;
    let cursor = session
        .open_cursor("SELECT value FROM json_each('[1,2,3,4,5]')", &[])
        .await
        .unwrap();
    let mut seen = Vec::new();
    for _ in 0..8 {
        let page = session.fetch(cursor, 2, ResultLimit::NONE).await.unwrap();
        seen.push(page.len());
    }
    assert_eq!(seen, [2, 2, 1, 0, 0, 0, 0, 0]);
}

#[tokio::test]
async fn a_statement_can_be_cancelled() {
    let fixture = Fixture::new();
    let mut session = fixture.prepared(&["CREATE TABLE t (a)"]).await;
    session.canceller().cancel().await;
    session.run("INSERT INTO t VALUES (1)").await.unwrap();

    let canceller = session.canceller();
    let cancelling = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        canceller.cancel().await;
    });
    let result = session.query(ENDLESS, &[], ResultLimit::NONE).await;
    assert!(matches!(result, Err(DriverError::Cancelled)), "{result:?}");
    cancelling.await.unwrap();
    session.rollback().await.unwrap();
    assert_eq!(count(&mut *session, "t").await, 0);
}

#[tokio::test]
async fn a_dropped_call_ends_the_session_and_its_transaction() {
    let fixture = Fixture::new();
    let mut session = fixture.prepared(&["CREATE TABLE t (a)"]).await;
    session.run("INSERT INTO t VALUES (1)").await.unwrap();
    let call = session.query(ENDLESS, &[], ResultLimit::NONE);
    assert!(
        tokio::time::timeout(Duration::from_millis(50), call)
            .await
            .is_err()
    );
    let result = session.run("INSERT INTO t VALUES (2)").await;
    assert!(
        matches!(result, Err(DriverError::Closed { .. })),
        "{result:?}"
    );
    drop(session);

    let mut other = fixture.session().await;
    other.begin().await.unwrap();
    assert_eq!(count(&mut *other, "t").await, 0);
}

#[tokio::test]
async fn a_transaction_that_sqlite_ended_takes_nothing_more() {
    let fixture = Fixture::new();
    for ending in [
        "INSERT OR ROLLBACK INTO t VALUES (1)",
        "INSERT INTO t VALUES (NULL)",
    ] {
        let mut session = fixture
            .prepared(&[
                "DROP TABLE IF EXISTS t",
                "CREATE TABLE t (a INTEGER UNIQUE)",
                "CREATE TRIGGER x BEFORE INSERT ON t WHEN new.a IS NULL BEGIN SELECT RAISE(ROLLBACK, 'enough'); END",
            ])
            .await;
        session.assume(as_guest()).await.unwrap();
        session.run("INSERT INTO t VALUES (1)").await.unwrap();
        session.run(ending).await.unwrap_err();
        let error = session.run("INSERT INTO t VALUES (2)").await.unwrap_err();
        assert_eq!(sqlstate(&error), "SQLITE_ABORT_ROLLBACK");
        session.savepoint("s").await.unwrap_err();
        session.assume(Authority::Host).await.unwrap();
        assert_eq!(
            sqlstate(
                &session
                    .commit(&[], Durability::Now)
                    .await
                    .unwrap_err()
                    .into()
            ),
            "SQLITE_ABORT_ROLLBACK"
        );
        assert_eq!(count(&mut *session, "t").await, 0, "{ending}");
        session.begin().await.unwrap();
    }
}

#[tokio::test]
async fn savepoints_come_back() {
    let fixture = Fixture::new();
    let mut session = fixture.prepared(&["CREATE TABLE t (a)"]).await;
    session.assume(as_guest()).await.unwrap();
    session.savepoint("one").await.unwrap();
    session.run("INSERT INTO t VALUES (1)").await.unwrap();
    session.savepoint("two").await.unwrap();
    session.run("INSERT INTO t VALUES (2)").await.unwrap();
    session
        .run("INSERT INTO nowhere VALUES (2)")
        .await
        .unwrap_err();
    session.rollback_to_savepoint("two").await.unwrap();
    session.release_savepoint("one").await.unwrap();
    session.release_savepoint("one").await.unwrap_err();
    session.assume(Authority::Host).await.unwrap();
    session.commit(&[], Durability::Now).await.unwrap();
    assert_eq!(count(&mut *session, "t").await, 1);
}

/// What a component may try, and what its denial must name.
const ATTACKS: &[(&str, &str)] = &[
    ("COMMIT", "COMMIT"),
    ("END", "COMMIT"),
    ("/* x */ rollback", "ROLLBACK"),
    ("BEGIN", "BEGIN"),
    ("SAVEPOINT a", "SAVEPOINT"),
    ("ROLLBACK TO a", "ROLLBACK TO"),
    ("RELEASE a", "RELEASE"),
    ("EXPLAIN COMMIT", "COMMIT"),
    ("INSERT INTO t VALUES (1); COMMIT", "several statements"),
    ("SELECT 1;; COMMIT", "several statements"),
    ("ATTACH 'other.db' AS other", "ATTACH"),
    ("DETACH main", "DETACH"),
    ("VACUUM INTO 'copy.db'", "VACUUM"),
    ("SELECT load_extension('x.so')", "load_extension"),
    ("PRAGMA writable_schema = 1", "PRAGMA writable_schema"),
    ("PRAGMA foreign_keys = ON", "PRAGMA foreign_keys"),
    ("PRAGMA journal_mode = MEMORY", "PRAGMA journal_mode"),
    ("PRAGMA synchronous = OFF", "PRAGMA synchronous"),
    (
        "PRAGMA temp_store_directory = '/'",
        "PRAGMA temp_store_directory",
    ),
    ("PRAGMA database_list", "PRAGMA database_list"),
    ("PRAGMA user_version = 7", "PRAGMA user_version"),
    ("PRAGMA table_info(whimbrel_lock)", "PRAGMA table_info"),
    (
        "SELECT * FROM pragma_table_info('whimbrel_lock')",
        "PRAGMA table_info",
    ),
    ("SELECT count(*) FROM whimbrel_ledger", "SELECT"),
    ("SELECT version_num FROM \"Alembic_Version\"", "SELECT"),
    ("SELECT * FROM v", "SELECT"),
    ("INSERT INTO [whimbrel_ledger] VALUES (1)", "INSERT"),
    ("INSERT INTO trap VALUES (1)", "INSERT"),
    ("UPDATE alembic_version SET version_num = 'x'", "UPDATE"),
    ("DELETE FROM main.alembic_version", "DELETE"),
    ("REPLACE INTO alembic_version VALUES ('x')", "INSERT"),
    (
        "CREATE TABLE copy AS SELECT * FROM alembic_version",
        "SELECT",
    ),
    ("DROP TABLE alembic_version", "DROP TABLE"),
    ("ALTER TABLE alembic_version ADD COLUMN x", "ALTER TABLE"),
    ("ALTER TABLE t RENAME TO whimbrel_new", "ALTER TABLE"),
    ("ALTER TABLE t RENAME TO 'whimbrel_new'", "ALTER TABLE"),
    (
        "ALTER TABLE t ADD COLUMN x REFERENCES alembic_version",
        "ALTER TABLE",
    ),
    (
        "CREATE TABLE c (x REFERENCES alembic_version (version_num))",
        "REFERENCES",
    ),
    ("CREATE TABLE whimbrel_mine (a)", "CREATE TABLE"),
    (
        "CREATE TEMP TABLE alembic_version (version_num)",
        "CREATE TABLE",
    ),
    (
        "CREATE TEMP VIEW alembic_version AS SELECT 1",
        "CREATE VIEW",
    ),
    (
        "CREATE VIEW w AS SELECT * FROM 'whimbrel_ledger'",
        "CREATE VIEW",
    ),
    (
        "CREATE INDEX i ON alembic_version (version_num)",
        "CREATE INDEX",
    ),
    (
        "CREATE TRIGGER x AFTER INSERT ON alembic_version BEGIN SELECT 1; END",
        "CREATE TRIGGER",
    ),
    (
        "CREATE TRIGGER x AFTER INSERT ON t BEGIN DELETE FROM \"alembic_version\"; END",
        "CREATE TRIGGER",
    ),
    (
        "CREATE TEMP TRIGGER x AFTER INSERT ON t BEGIN DELETE FROM main.alembic_version; END",
        "CREATE TRIGGER",
    ),
    (
        "CREATE VIRTUAL TABLE f USING dbstat",
        "CREATE VIRTUAL TABLE",
    ),
    (
        "SELECT 1 WHERE 1 IN (SELECT 1 FROM whimbrel_ledger)",
        "SELECT",
    ),
];

#[tokio::test]
async fn no_attack_gets_through() {
    let fixture = Fixture::new();
    let mut session = fixture
        .prepared(&[
            "CREATE TABLE t (a)",
            "CREATE TABLE trap (a)",
            "CREATE TABLE alembic_version (version_num TEXT PRIMARY KEY)",
            "CREATE TABLE whimbrel_ledger (a)",
            "INSERT INTO alembic_version VALUES ('now')",
            "CREATE VIEW v AS SELECT version_num FROM alembic_version",
            "CREATE TRIGGER old AFTER INSERT ON trap BEGIN INSERT INTO whimbrel_ledger VALUES (1); END",
        ])
        .await;
    for authority in [as_guest(), as_file()] {
        session.assume(authority.clone()).await.unwrap();
        for (sql, operation) in ATTACKS {
            if matches!(authority, Authority::File(_)) && sql.contains("user_version") {
                continue;
            }
            let result = session.query(sql, &[], ResultLimit::NONE).await;
            let Err(DriverError::Denied {
                operation: denied,
                reason,
                ..
            }) = result
            else {
                panic!("{authority:?}: {sql}: {result:?}");
            };
            assert_eq!(denied, *operation, "{sql}");
            assert!(!reason.is_empty());
            let again = match session.open_cursor(sql, &[]).await {
                Ok(cursor) => session
                    .fetch(cursor, 1, ResultLimit::NONE)
                    .await
                    .map(|_| ()),
                Err(error) => Err(error),
            };
            assert!(
                matches!(again, Err(DriverError::Denied { .. })),
                "{sql}: {again:?}"
            );
            let again = session.execute(sql, &[]).await;
            assert!(
                matches!(again, Err(DriverError::Denied { .. })),
                "{sql}: {again:?}"
            );
        }
        for sql in [
            "UPDATE sqlite_schema SET sql = 'x'",
            "INSERT INTO sqlite_master VALUES ('table', 'x', 'x', 0, 'CREATE TABLE x (a)')",
        ] {
            assert_eq!(
                sqlstate(&session.run(sql).await.unwrap_err()),
                "SQLITE_ERROR",
                "{sql}"
            );
        }
    }
    session.assume(Authority::Host).await.unwrap();
    session.commit(&[], Durability::Now).await.unwrap();
    assert_eq!(
        query(&mut *session, "SELECT version_num FROM v").await,
        [["now".into()]] as [[Value; 1]; 1]
    );
    assert_eq!(count(&mut *session, "whimbrel_ledger").await, 0);
    assert!(!fixture.path("other.db").exists() && !fixture.path("copy.db").exists());
}

#[tokio::test]
async fn a_statement_of_the_host_in_the_cache_is_judged_again() {
    let fixture = Fixture::new();
    let mut session = fixture
        .prepared(&["CREATE TABLE whimbrel_ledger (a)"])
        .await;
    let sql = "INSERT INTO whimbrel_ledger VALUES (1)";
    session.run(sql).await.unwrap();
    session.assume(as_guest()).await.unwrap();
    assert!(matches!(
        session.run(sql).await,
        Err(DriverError::Denied { .. })
    ));
}

#[tokio::test]
async fn ordinary_work_is_allowed() {
    let fixture = Fixture::new();
    let mut session = fixture.prepared(&["CREATE TABLE t (a)"]).await;
    for authority in [as_guest(), as_file()] {
        session.assume(authority.clone()).await.unwrap();
        for sql in [
            "CREATE TABLE u (a INTEGER PRIMARY KEY, b TEXT DEFAULT 'whimbrel_x', c REFERENCES t)",
            "CREATE INDEX i ON u (b)",
            "CREATE TEMP TABLE scratch AS SELECT 1 AS x",
            "CREATE VIEW w AS SELECT count(*) FROM u",
            "CREATE TRIGGER x AFTER INSERT ON u BEGIN UPDATE u SET b = upper(b); END",
            "CREATE VIRTUAL TABLE f USING fts5(body)",
            "INSERT INTO f VALUES ('some text')",
            "SELECT * FROM f WHERE f MATCH 'text'",
            "WITH n AS (SELECT 1) SELECT * FROM n",
            "SELECT name FROM sqlite_schema",
            "SELECT * FROM pragma_table_info('u')",
            "PRAGMA table_info(u)",
            "PRAGMA user_version",
            "PRAGMA legacy_alter_table = ON",
            "ALTER TABLE u RENAME COLUMN b TO d",
            "ALTER TABLE u RENAME TO z",
            "EXPLAIN QUERY PLAN SELECT * FROM z",
            "ANALYZE",
            "REINDEX",
            "DROP TABLE f",
            "DROP VIEW w",
            "DROP TABLE z;",
        ] {
            let result = session.run(sql).await;
            assert!(result.is_ok(), "{authority:?}: {sql}: {result:?}");
        }
    }
    session.run("PRAGMA user_version = 3").await.unwrap();
    session.assume(Authority::Host).await.unwrap();
    assert_eq!(count(&mut *session, "sqlite_temp_schema").await, 0);
    session.commit(&[], Durability::Now).await.unwrap();

    session.assume(as_file()).await.unwrap();
    for sql in ["VACUUM", "PRAGMA foreign_keys = OFF", "PRAGMA optimize"] {
        session
            .run(sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    for sql in ["VACUUM INTO 'copy.db'", "VACUUM main INTO 'copy.db'"] {
        let result = session.run(sql).await;
        assert!(
            matches!(result, Err(DriverError::Denied { .. })),
            "{sql}: {result:?}"
        );
    }
    session.assume(as_guest()).await.unwrap();
    let result = session.run("VACUUM").await;
    assert!(
        matches!(result, Err(DriverError::Denied { .. })),
        "{result:?}"
    );
    session.assume(Authority::Host).await.unwrap();
    assert_eq!(
        query(&mut *session, "PRAGMA foreign_keys").await,
        [[Value::Int64(1)]]
    );
}

const FAMILY: &[&str] = &[
    "CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT)",
    "CREATE TABLE child (id INTEGER PRIMARY KEY, parent REFERENCES parent ON DELETE CASCADE)",
    "INSERT INTO parent VALUES (1, 'a'), (2, 'b')",
    "INSERT INTO child VALUES (10, 1), (20, 2)",
];

#[tokio::test]
async fn a_table_can_be_rebuilt_without_losing_what_refers_to_it() {
    let fixture = Fixture::new();
    let mut session = fixture.prepared(FAMILY).await;
    session.assume(as_file()).await.unwrap();
    for sql in [
        "CREATE TABLE new_parent (id INTEGER PRIMARY KEY, name TEXT NOT NULL)",
        "INSERT INTO new_parent SELECT * FROM parent",
        "DROP TABLE parent",
        "ALTER TABLE new_parent RENAME TO parent",
    ] {
        session.run(sql).await.unwrap();
    }
    session.assume(Authority::Host).await.unwrap();
    session.commit(&[], Durability::Now).await.unwrap();
    assert_eq!(count(&mut *session, "child").await, 2);
    let result = session.run("INSERT INTO child VALUES (30, 99)").await;
    assert_eq!(
        sqlstate(&result.unwrap_err()),
        "SQLITE_CONSTRAINT_FOREIGNKEY"
    );
}

#[tokio::test]
async fn a_table_that_a_view_reads_is_rebuilt_with_the_legacy_rename() {
    let fixture = Fixture::new();
    let mut session = fixture.prepared(FAMILY).await;
    session
        .run("CREATE VIEW names AS SELECT name FROM parent")
        .await
        .unwrap();
    session.assume(as_guest()).await.unwrap();
    for sql in [
        "CREATE TABLE new_parent (id INTEGER PRIMARY KEY, name TEXT NOT NULL)",
        "INSERT INTO new_parent SELECT * FROM parent",
        "DROP TABLE parent",
    ] {
        session.run(sql).await.unwrap();
    }
    let rename = "ALTER TABLE new_parent RENAME TO parent";
    session.run(rename).await.unwrap_err();
    session.run("PRAGMA legacy_alter_table = ON").await.unwrap();
    session.run(rename).await.unwrap();
    session.assume(Authority::Host).await.unwrap();
    session.commit(&[], Durability::Now).await.unwrap();
    assert_eq!(count(&mut *session, "names").await, 2);
    assert_eq!(
        query(&mut *session, "PRAGMA legacy_alter_table").await,
        [[Value::Int64(0)]]
    );
}

#[tokio::test]
async fn rows_that_refer_to_nothing_stop_the_commit() {
    let fixture = Fixture::new();
    for breaking in [
        "DELETE FROM parent WHERE id = 2",
        "UPDATE parent SET id = 3 WHERE id = 2",
        "INSERT INTO child VALUES (20, 7) ON CONFLICT DO UPDATE SET parent = 7",
        "DROP TABLE parent",
    ] {
        let mut session = fixture
            .prepared(&["DROP TABLE IF EXISTS child", "DROP TABLE IF EXISTS parent"])
            .await;
        session.commit(&[], Durability::Now).await.unwrap();
        for sql in FAMILY {
            session.run(sql).await.unwrap();
        }
        session.begin().await.unwrap();
        session.run(breaking).await.unwrap();
        let error = DriverError::from(session.commit(&[], Durability::Now).await.unwrap_err());
        assert_eq!(
            sqlstate(&error),
            "SQLITE_CONSTRAINT_FOREIGNKEY",
            "{breaking}"
        );
        let detail = error.database().unwrap().detail.clone().unwrap();
        assert!(
            detail.contains("child, row 20: no such row in parent"),
            "{breaking}: {detail}"
        );
        assert_eq!(count(&mut *session, "parent").await, 2, "{breaking}");
    }
}

#[tokio::test]
async fn violations_from_before_do_not_count() {
    let fixture = Fixture::new();
    let mut session = fixture.prepared(FAMILY).await;
    session.rollback().await.unwrap();
    session.run("PRAGMA foreign_keys = OFF").await.unwrap();
    session
        .run("INSERT INTO child VALUES (30, 99)")
        .await
        .unwrap();
    session.begin().await.unwrap();
    session
        .run("UPDATE child SET parent = 2 WHERE id = 10")
        .await
        .unwrap();
    session.commit(&[], Durability::Now).await.unwrap();

    session.begin().await.unwrap();
    session
        .run("INSERT INTO child VALUES (40, 99)")
        .await
        .unwrap();
    let error = DriverError::from(session.commit(&[], Durability::Now).await.unwrap_err());
    let detail = error.database().unwrap().detail.clone().unwrap();
    assert_eq!(detail, "child, row 40: no such row in parent");
}

#[tokio::test]
async fn records_go_together_with_the_commit() {
    let fixture = Fixture::new();
    let mut session = fixture.prepared(&["CREATE TABLE t (a int UNIQUE)"]).await;
    let change = |sql: &str, a: i64| Statement::new(sql, [Value::Int64(a)]);
    let insert = |a| change("INSERT INTO t VALUES ($1)", a);
    let delete = |a| change("DELETE FROM t WHERE a = $1", a);
    session.assume(Authority::Host).await.unwrap();
    session
        .commit(&[insert(1), insert(2)], Durability::Now)
        .await
        .unwrap();
    assert_eq!(count(&mut *session, "t").await, 2);

    session.begin().await.unwrap();
    let refused = session
        .commit(&[insert(3), insert(1)], Durability::Now)
        .await;
    assert!(
        matches!(refused, Err(CommitError::Record(_))),
        "{refused:?}"
    );
    session.begin().await.unwrap();
    let refused = session
        .commit(&[insert(3), delete(9)], Durability::Now)
        .await;
    assert!(matches!(refused, Err(CommitError::Conflict)), "{refused:?}");
    assert_eq!(count(&mut *session, "t").await, 2, "nothing of it is there");
    session.begin().await.unwrap();
    session.commit(&[delete(1)], Durability::Now).await.unwrap();
    assert_eq!(count(&mut *session, "t").await, 1);
}

#[tokio::test]
async fn reading_makes_no_file() {
    let fixture = Fixture::new();
    let mut session = fixture.session().await;
    let _lock = fixture.driver.open_lock("alembic_version").await.unwrap();
    assert!(
        query(&mut *session, "SELECT name FROM sqlite_schema")
            .await
            .is_empty()
    );
    assert!(!fixture.path("app.db").exists());

    let mut writer = fixture.session().await;
    writer.run("CREATE TABLE t (a)").await.unwrap();
    assert_eq!(
        query(&mut *session, "SELECT name FROM sqlite_schema").await,
        [["t".into()]] as [[Value; 1]; 1]
    );
}

#[tokio::test]
async fn the_first_write_makes_the_file() {
    let fixture = Fixture::new();
    let mut session = fixture.session().await;
    session.assume(as_file()).await.unwrap();
    session.begin().await.unwrap();
    session.run("CREATE TABLE t (a)").await.unwrap();
    assert!(matches!(
        session.run("COMMIT").await,
        Err(DriverError::Denied { .. })
    ));
    session.commit(&[], Durability::Now).await.unwrap();
    assert!(fixture.path("app.db").exists());
}

#[tokio::test]
async fn what_cannot_be_opened_says_why() {
    let fixture = Fixture::new();
    std::fs::create_dir(fixture.path("folder")).unwrap();
    std::fs::write(
        fixture.path("notes.txt"),
        "These are no pages of a database.".repeat(99),
    )
    .unwrap();
    let long = fixture.path("notes.txt");
    for (url, reason) in [
        ("sqlite:missing/app.db".to_owned(), "no folder"),
        ("sqlite:folder".to_owned(), "is a folder"),
        ("sqlite:notes.txt".to_owned(), "not a SQLite database"),
        (
            format!("sqlite://{}", long.display()),
            "not a SQLite database",
        ),
        ("sqlite:app.db?mode=rw".to_owned(), "no file"),
        ("sqlite:app.db?mode=ro".to_owned(), "no file"),
    ] {
        let result = open(&url, fixture.folder.path()).connect().await;
        let Err(DriverError::Connect { location, source }) = result.map(|_| ()) else {
            panic!("{url}");
        };
        assert_eq!(location, url);
        assert!(source.to_string().contains(reason), "{url}: {source}");
    }
    let settings = Settings {
        lock_timeout: Duration::ZERO,
        version_table: String::new(),
        run_lock: RunLockKind::Auto,
        isolation: Isolation::None,
    };
    for url in [
        "sqlite:",
        "sqlite:app.db?mode=x",
        "sqlite:app.db?cache=shared",
    ] {
        let result = driver::open(url, Utf8Path::new("."), &settings);
        assert!(matches!(result, Err(DriverError::Settings { .. })), "{url}");
    }
}

#[tokio::test]
async fn a_read_only_database_can_be_read() {
    let fixture = Fixture::new();
    fixture
        .session()
        .await
        .run("CREATE TABLE t (a)")
        .await
        .unwrap();
    let mut session = open("sqlite:app.db?mode=ro", fixture.folder.path())
        .connect()
        .await
        .unwrap();
    assert_eq!(count(&mut *session, "t").await, 0);
    let error = session.run("INSERT INTO t VALUES (1)").await.unwrap_err();
    assert_eq!(sqlstate(&error), "SQLITE_READONLY");
    session.begin().await.unwrap();
    let error = session.run("DROP TABLE t").await.unwrap_err();
    assert_eq!(sqlstate(&error), "SQLITE_READONLY");
}

#[tokio::test]
async fn a_database_in_memory_lives_as_long_as_its_driver() {
    let driver = open("sqlite::memory:", std::path::Path::new("/"));
    let mut session = driver.connect().await.unwrap();
    session.begin().await.unwrap();
    session.run("CREATE TABLE t (a)").await.unwrap();
    session.commit(&[], Durability::Now).await.unwrap();
    drop(session);
    let mut session = driver.connect().await.unwrap();
    assert_eq!(count(&mut *session, "t").await, 0);
    let other = open("sqlite::memory:", std::path::Path::new("/"));
    let mut other = other.connect().await.unwrap();
    assert!(
        query(&mut *other, "SELECT 1 FROM sqlite_schema")
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn a_writer_is_waited_for_and_then_reported() {
    let fixture = Fixture::new();
    let mut first = fixture.prepared(&["CREATE TABLE t (a)"]).await;
    first.run("INSERT INTO t VALUES (1)").await.unwrap();
    let mut second = fixture.session().await;
    let started = Instant::now();
    let error = second.begin().await.unwrap_err();
    assert_eq!(sqlstate(&error), "SQLITE_BUSY");
    assert!(error.is_transient());
    assert!(started.elapsed() >= Duration::from_millis(200));
    assert_eq!(count(&mut *second, "t").await, 0);
    first.commit(&[], Durability::Now).await.unwrap();
    second.begin().await.unwrap();
}

fn holder(host: &str, pid: u32) -> Holder {
    Holder {
        host: host.to_owned(),
        pid,
        since: None,
        expires: None,
    }
}

async fn lock(fixture: &Fixture) -> Box<dyn RunLock> {
    fixture.driver.open_lock("alembic_version").await.unwrap()
}

#[tokio::test]
async fn the_lock_is_for_one() {
    let fixture = Fixture::new();
    let own = holder("here", std::process::id());
    let (mut first, mut second) = (lock(&fixture).await, lock(&fixture).await);
    assert!(!first.is_held());
    assert_eq!(
        first.try_acquire(&own).await.unwrap(),
        LockAttempt::Acquired
    );
    assert_eq!(
        first.try_acquire(&own).await.unwrap(),
        LockAttempt::Acquired
    );
    assert!(first.is_held());
    let LockAttempt::Held(Some(holder)) = second.try_acquire(&own).await.unwrap() else {
        panic!("taken twice");
    };
    assert_eq!(
        (holder.host.as_str(), holder.pid),
        ("here", std::process::id())
    );
    assert!(holder.since.is_some());

    let mut session = fixture.session().await;
    session.begin().await.unwrap();
    let fence = first.fence().unwrap();
    assert_eq!(session.execute(&fence.sql, &fence.params).await.unwrap(), 1);
    let foreign = second.fence().unwrap();
    assert_eq!(
        session
            .execute(&foreign.sql, &foreign.params)
            .await
            .unwrap(),
        0
    );
    let busy = second.try_acquire(&own).await.unwrap();
    assert!(matches!(busy, LockAttempt::Held(Some(_))), "{busy:?}");
    session.commit(&[], Durability::Now).await.unwrap();

    first.release().await.unwrap();
    assert!(!first.is_held());
    assert_eq!(
        second.try_acquire(&own).await.unwrap(),
        LockAttempt::Acquired
    );
    drop(second);
    assert_eq!(
        first.try_acquire(&own).await.unwrap(),
        LockAttempt::Acquired
    );
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn the_lock_of_a_killed_process_is_taken_over_at_once() {
    let fixture = Fixture::new();
    let mut child = std::process::Command::new("sleep")
        .arg("60")
        .spawn()
        .unwrap();
    let mut first = lock(&fixture).await;
    let dead = holder("here", child.id());
    assert_eq!(
        first.try_acquire(&dead).await.unwrap(),
        LockAttempt::Acquired
    );
    let own = holder("here", std::process::id());
    let mut second = lock(&fixture).await;
    assert!(matches!(
        second.try_acquire(&own).await.unwrap(),
        LockAttempt::Held(Some(_))
    ));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(
        second.try_acquire(&own).await.unwrap(),
        LockAttempt::Acquired
    );

    let mut session = fixture.session().await;
    let fence = first.fence().unwrap();
    assert_eq!(session.execute(&fence.sql, &fence.params).await.unwrap(), 0);
}

#[tokio::test]
async fn the_lock_of_another_machine_is_taken_over_after_its_lease() {
    let fixture = Fixture::new();
    let mut first = lock(&fixture).await;
    let there = holder("there", 1);
    assert_eq!(
        first.try_acquire(&there).await.unwrap(),
        LockAttempt::Acquired
    );
    let own = holder("here", std::process::id());
    let mut second = lock(&fixture).await;
    assert_eq!(
        second.try_acquire(&own).await.unwrap(),
        LockAttempt::Held(Some(Holder {
            since: match second.try_acquire(&own).await.unwrap() {
                LockAttempt::Held(Some(holder)) => holder.since,
                other => panic!("{other:?}"),
            },
            ..there
        }))
    );
    let mut session = fixture.session().await;
    session
        .run("UPDATE whimbrel_lock SET expires_at = expires_at - 61")
        .await
        .unwrap();
    assert_eq!(
        second.try_acquire(&own).await.unwrap(),
        LockAttempt::Acquired
    );
}
