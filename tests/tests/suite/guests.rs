//! Guests against the sandbox, each on a SQLite database of its own.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use whimbrel::capability::{Grant, Limits};
use whimbrel::driver::{self, Isolation, RunLockKind, Session, Settings, Value};
use whimbrel::migration::{Call, Cancel, Level, Listener, Migration, MigrationError, Work};
use whimbrel::revision::{Direction, RevisionId};
use whimbrel::wasm::{ComponentMigration, Runtime, Wasi};
use whimbrel_tests::{guest, root};

/// What one call came to.
struct Outcome {
    session: Box<dyn Session>,
    result: Result<Work, MigrationError>,
    log: Vec<(Level, String)>,
    took: Duration,
}

#[derive(Default)]
struct Heard(Mutex<Vec<(Level, String)>>);

impl Listener for Heard {
    fn log(&self, level: Level, message: &str) {
        self.0.lock().unwrap().push((level, message.to_owned()));
    }
    fn progress(&self, _: u64, _: Option<u64>) {}
}

fn runtime() -> &'static Runtime {
    static RUNTIME: std::sync::OnceLock<Runtime> = std::sync::OnceLock::new();
    RUNTIME.get_or_init(|| {
        Runtime::with_cache(guest("adversary").with_file_name("cache").as_std_path())
    })
}

async fn session(folder: &camino::Utf8Path) -> Box<dyn Session> {
    let settings = Settings {
        lock_timeout: Duration::from_secs(1),
        version_table: "whimbrel_version".to_owned(),
        run_lock: RunLockKind::Auto,
        isolation: Isolation::None,
    };
    let driver = driver::open("sqlite:test.db", folder, &settings).unwrap();
    let mut session = driver.connect().await.unwrap();
    session.begin().await.unwrap();
    session
}

fn component(name: &str, wasi: Wasi, limits: Limits) -> ComponentMigration {
    let bytes = std::fs::read(guest(name)).unwrap();
    ComponentMigration::from_bytes(runtime(), bytes, wasi, limits)
}

/// Runs `upgrade` of a component and checks that the session came back alive.
async fn upgrade(
    migration: &ComponentMigration,
    parameters: serde_json::Value,
    cancel: Cancel,
) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let session = session(camino::Utf8Path::from_path(folder.path()).unwrap()).await;
    upgrade_in(session, migration, parameters, cancel).await
}

async fn upgrade_in(
    session: Box<dyn Session>,
    migration: &ComponentMigration,
    parameters: serde_json::Value,
    cancel: Cancel,
) -> Outcome {
    let heard = Arc::new(Heard::default());
    let call = Call {
        revision: RevisionId::new("abc123").unwrap(),
        direction: Direction::Upgrade,
        run: Default::default(),
        dialect: session.dialect(),
        now: "2026-11-22T10:00:00Z".parse().unwrap(),
        seed: [7; 8],
        parameters: Arc::new(parameters.as_object().unwrap().clone()),
        is_offline: false,
        grant: Arc::new(Grant::everything()),
        cancel,
        listener: heard.clone(),
    };
    let start = Instant::now();
    let (mut session, result) = migration.run(&call, session).await;
    let took = start.elapsed();
    let one = session
        .query("SELECT 1", &[], driver::ResultLimit::NONE)
        .await;
    assert_eq!(
        one.unwrap().into_rows(),
        [[Value::Int64(1)]],
        "the session lives on"
    );
    let log = std::mem::take(&mut *heard.0.lock().unwrap());
    Outcome {
        session,
        result,
        log,
        took,
    }
}

async fn behave(behaviour: &str, sql: &str, limits: Limits) -> Outcome {
    let migration = component("adversary", Wasi::Refused, limits);
    let parameters = json!({ "behaviour": behaviour, "sql": sql });
    upgrade(&migration, parameters, Cancel::default()).await
}

async fn error_of(behaviour: &str, sql: &str) -> MigrationError {
    behave(behaviour, sql, Limits::default())
        .await
        .result
        .unwrap_err()
}

fn limit_of(outcome: Outcome) -> (&'static str, u64) {
    match outcome.result.unwrap_err() {
        MigrationError::Limit { what, limit, .. } => (what, limit),
        other => panic!("{other:?}"),
    }
}

fn trap_of(error: MigrationError) -> (String, Vec<String>) {
    match error {
        MigrationError::Trap {
            message, backtrace, ..
        } => (message, backtrace),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn work_is_counted() {
    let outcome = behave("statement", "CREATE TABLE t (a)", Limits::default()).await;
    assert_eq!(outcome.result.unwrap().statements, 1);
    drop(outcome.session);
}

#[tokio::test]
async fn an_error_that_the_guest_returns_names_its_statement() {
    match error_of("statement", "SELEKT 1").await {
        MigrationError::Statement {
            statement: Some(statement),
            ..
        } => assert_eq!(statement.sql, "SELEKT 1"),
        other => panic!("{other:?}"),
    }
    match error_of("fail", "").await {
        MigrationError::Failed(failure) => assert_eq!(failure.message, "it gives up"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_guest_cannot_end_the_transaction() {
    for sql in ["COMMIT", "ROLLBACK", "SAVEPOINT s", "SELECT 1; COMMIT"] {
        let outcome = behave("ignore-error", sql, Limits::default()).await;
        assert!(outcome.result.is_ok(), "{sql}: the guest handled the error");
        let error = error_of("statement", sql).await;
        assert!(
            matches!(error, MigrationError::Statement { .. }),
            "{sql}: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_panic_shows_its_message_and_where_it_came_from() {
    let (message, backtrace) = trap_of(error_of("panic", "").await);
    assert!(message.starts_with("panicked at "), "{message}");
    assert!(
        message.contains("a panic with [31mcolour") && !message.contains('\u{1b}'),
        "{message}"
    );
    assert!(
        backtrace.iter().any(|frame| frame.contains("adversary")),
        "{backtrace:?}"
    );
}

#[tokio::test]
async fn a_panic_on_an_error_keeps_the_error() {
    match error_of("panic-after-error", "SELEKT 1").await {
        MigrationError::Trap {
            source: Some(source),
            ..
        } => assert!(source.database().is_some()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn endless_computing_ends_by_fuel_and_by_time() {
    let fuel = Limits {
        fuel: 1_000_000,
        ..Limits::default()
    };
    assert_eq!(
        limit_of(behave("loop", "", fuel).await),
        ("fuel", 1_000_000)
    );
    let time = Limits {
        time: Duration::from_millis(200),
        ..Limits::default()
    };
    let outcome = behave("loop", "", time).await;
    assert!(outcome.took < Duration::from_secs(2), "{:?}", outcome.took);
    assert_eq!(limit_of(outcome), ("time", 200));
}

#[tokio::test]
async fn a_statement_without_end_is_cancelled_when_time_is_up() {
    let limits = Limits {
        time: Duration::from_millis(300),
        result_rows: u64::MAX,
        result_bytes: u64::MAX,
        ..Limits::default()
    };
    let counting =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    let outcome = behave("query", counting, limits).await;
    assert!(outcome.took < Duration::from_secs(3), "{:?}", outcome.took);
    assert_eq!(limit_of(outcome).0, "time");
}

#[tokio::test]
async fn a_user_who_cancels_is_obeyed() {
    let migration = component("adversary", Wasi::Refused, Limits::default());
    for behaviour in ["loop", "endless-cursor"] {
        let cancel = Cancel::default();
        let later = cancel.clone();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(150));
            later.request();
        });
        let outcome = upgrade(&migration, json!({ "behaviour": behaviour }), cancel).await;
        assert!(
            matches!(outcome.result, Err(MigrationError::Cancelled)),
            "{:?}",
            outcome.result
        );
        assert!(outcome.took < Duration::from_secs(2), "{:?}", outcome.took);
    }
}

#[tokio::test]
async fn memory_stack_and_exit_end_only_the_guest() {
    let small = Limits {
        memory: 32 << 20,
        ..Limits::default()
    };
    assert_eq!(
        limit_of(behave("memory", "", small).await),
        ("memory", 32 << 20)
    );
    let (message, _) = trap_of(error_of("stack", "").await);
    assert!(message.contains("stack"), "{message}");
    trap_of(error_of("exit", "").await);
}

#[tokio::test]
async fn results_larger_than_the_limits_fail_the_call() {
    let rows = Limits {
        result_rows: 1000,
        ..Limits::default()
    };
    assert_eq!(
        limit_of(behave("endless-query", "", rows).await),
        ("result-rows", 1000)
    );
    let bytes = Limits {
        result_bytes: 100_000,
        ..Limits::default()
    };
    assert_eq!(
        limit_of(behave("endless-query", "", bytes).await),
        ("result-bytes", 100_000)
    );
    assert_eq!(
        limit_of(behave("handles", "SELECT 1", Limits::default()).await),
        ("handles", 1000)
    );
}

#[tokio::test]
async fn floods_of_log_end_the_call() {
    let lines = Limits {
        log_lines: 50,
        ..Limits::default()
    };
    let outcome = behave("log-lines", "", lines).await;
    assert_eq!(outcome.log.len(), 50);
    assert_eq!(limit_of(outcome), ("log-lines", 50));
    let outcome = behave("log-bytes", "", Limits::default()).await;
    assert_eq!(limit_of(outcome).0, "log-bytes");
}

#[tokio::test]
async fn a_statement_of_100_megabytes_is_refused() {
    let (message, _) = trap_of(error_of("huge-statement", "").await);
    assert!(message.contains("fuel"), "{message}");
}

#[tokio::test]
async fn a_batch_that_lies_is_an_error() {
    for (behaviour, why) in [
        ("bulk-lies", "1 values for 4294967295 rows"),
        ("bulk-no-columns", "no columns"),
        ("bulk-injection", "not the name of a table"),
        ("bulk-injection-out", "not the name of a table"),
    ] {
        let error = error_of(behaviour, "").await;
        let told = format!("{error:?}");
        assert!(told.contains(why), "{behaviour}: {told}");
    }
}

#[tokio::test]
async fn misuse_of_handles_traps() {
    for behaviour in [
        "savepoint-twice",
        "savepoint-order",
        "cursor-outlived",
        "cursor-zero",
    ] {
        let (message, _) = trap_of(error_of(behaviour, "SELECT 1").await);
        assert!(
            message.contains("savepoint") || message.contains("cursor"),
            "{behaviour}: {message}"
        );
    }
    let unfinished = error_of("savepoint-unfinished", "").await;
    assert!(
        matches!(unfinished, MigrationError::Unfinished(_)),
        "{unfinished:?}"
    );
    let saved = behave("savepoint-saves", "SELEKT 1", Limits::default()).await;
    assert!(saved.result.is_ok(), "{:?}", saved.result);
}

#[tokio::test]
async fn what_is_no_migration_is_refused_before_it_runs() {
    let refused = |bytes: &[u8]| {
        let migration =
            ComponentMigration::from_bytes(runtime(), bytes, Wasi::Refused, Limits::default());
        match migration.load().unwrap_err() {
            MigrationError::Admission { reasons } => reasons.join("; "),
            other => panic!("{other:?}"),
        }
    };
    assert!(refused(b"#!/bin/sh").contains("not a WebAssembly file"));
    assert!(refused(b"\0asm\x01\0\0\0").contains("core WebAssembly module"));
    let python = std::fs::read(guest("python")).unwrap();
    assert!(refused(&python).contains("gets no WASI"));
}

#[tokio::test]
async fn a_guest_in_c_works_and_its_errors_arrive_whole() {
    let migration = component("c", Wasi::Refused, Limits::default());
    let outcome = upgrade(&migration, json!({}), Cancel::default()).await;
    assert_eq!(outcome.result.unwrap().statements, 3);
    assert_eq!(outcome.log, [(Level::Info, "whimbrel".to_owned())]);
    let broken = upgrade(&migration, json!({ "broken": true }), Cancel::default()).await;
    match broken.result.unwrap_err() {
        MigrationError::Statement { statement, .. } => {
            assert_eq!(statement.unwrap().sql, "SELEKT 1")
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_component_that_was_built_long_ago_still_runs() {
    let bytes = std::fs::read(root().join("tests/fixtures/migrate-0.1.0.wasm")).unwrap();
    let migration =
        ComponentMigration::from_bytes(runtime(), bytes, Wasi::Refused, Limits::default());
    let outcome = upgrade(&migration, json!({}), Cancel::default()).await;
    assert_eq!(outcome.result.unwrap().statements, 3);
    assert_eq!(outcome.log, [(Level::Info, "whimbrel".to_owned())]);
}

#[tokio::test]
async fn values_make_the_round_trip_by_rows_and_by_columns() {
    let setup = "CREATE TABLE v AS WITH t(a, b, c, d) AS (VALUES (1, 'ä', x'00ff', 1.5), (NULL, NULL, NULL, NULL), \
                 (9223372036854775807, '', x'', -1e300), ('mixed', 2, 3.5, x'01')) SELECT * FROM t";
    let difference = "SELECT count(*) FROM (SELECT * FROM (SELECT a, b, c, d FROM v EXCEPT SELECT a, b, c, d FROM w) \
                      UNION ALL SELECT * FROM (SELECT a, b, c, d FROM w EXCEPT SELECT a, b, c, d FROM v))";
    for through in ["rows", "batch", "cursor"] {
        let folder = tempfile::tempdir().unwrap();
        let mut session = session(camino::Utf8Path::from_path(folder.path()).unwrap()).await;
        session.run(setup).await.unwrap();
        session.run("CREATE TABLE w (a, b, c, d)").await.unwrap();
        let parameters = json!({
            "read": "SELECT a, b, c, d FROM v",
            "write": "INSERT INTO w VALUES ($1, $2, $3, $4)",
            "through": through,
        });
        let migration = component("values", Wasi::Refused, Limits::default());
        let mut outcome = upgrade_in(session, &migration, parameters, Cancel::default()).await;
        assert_eq!(
            outcome.result.unwrap(),
            Work {
                statements: 5,
                rows: 4
            },
            "{through}"
        );
        let different = outcome
            .session
            .query(difference, &[], driver::ResultLimit::NONE)
            .await;
        assert_eq!(
            different.unwrap().into_rows(),
            [[Value::Int64(0)]],
            "{through}"
        );
    }
}

#[tokio::test]
async fn a_guest_in_python_works_and_shows_its_traceback() {
    let migration = component("python", Wasi::for_language("python"), Limits::default());
    let outcome = upgrade(&migration, json!({}), Cancel::default()).await;
    assert_eq!(outcome.result.unwrap().statements, 3);
    assert_eq!(outcome.log, [(Level::Info, "whimbrel".to_owned())]);
    let broken = upgrade(&migration, json!({ "broken": true }), Cancel::default()).await;
    match broken.result.unwrap_err() {
        MigrationError::Statement { statement, .. } => {
            assert_eq!(statement.unwrap().sql, "SELEKT 1")
        }
        other => panic!("{other:?}"),
    }
    let raised = upgrade(&migration, json!({ "raise": true }), Cancel::default()).await;
    let (message, backtrace) = trap_of(raised.result.unwrap_err());
    assert_eq!(message, "ValueError: the tide was out");
    assert!(backtrace[0].contains("misfortune"), "{backtrace:?}");
}

#[tokio::test]
async fn an_interpreter_reaches_nothing_of_the_machine() {
    let migration = component("python", Wasi::Inert, Limits::default());
    let reach = || upgrade(&migration, json!({ "reach": true }), Cancel::default());
    let (first, second) = (reach().await, reach().await);
    let said = |outcome: &Outcome| {
        outcome
            .log
            .iter()
            .map(|(_, line)| line.clone())
            .collect::<Vec<_>>()
    };
    assert!(
        said(&first)[0].starts_with("environment {}, time 1795341600.0"),
        "{:?}",
        said(&first)
    );
    assert_eq!(
        said(&first)[0],
        said(&second)[0],
        "the same seed gives the same numbers"
    );
    assert!(said(&first)[1].starts_with("files: "), "{:?}", said(&first));
    let (message, _) = trap_of(first.result.unwrap_err());
    assert!(message.contains("a migration has no network"), "{message}");
}
