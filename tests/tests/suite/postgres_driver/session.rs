//! Transactions, limits, cursors, cancellation and the lock.

use std::time::{Duration, Instant};

use whimbrel::driver::{
    Authority, CommitError, DriverError, Durability, Holder, LockAttempt, ResultLimit, Statement,
    Value,
};
use whimbrel_tests::{Backend, Database, Setup, as_file, as_guest, on_every_postgres};

use super::{connect, open, rows, value};

fn sqlstate(error: &DriverError) -> &str {
    match error {
        DriverError::Database(report) => report.sqlstate.as_deref().unwrap_or(""),
        _ => "",
    }
}

on_every_postgres! {
    async fn a_transaction_is_all_or_nothing(db: Database) {
        let mut session = connect(&db, as_file()).await;
        session.begin().await.unwrap();
        session.commit(&[], Durability::Now).await.unwrap();

        session.begin().await.unwrap();
        assert_eq!(session.run("CREATE TABLE t (a int PRIMARY KEY)").await.unwrap(), 0);
        assert_eq!(session.run("INSERT INTO t VALUES (1), (2)").await.unwrap(), 2);
        session.rollback().await.unwrap();
        assert_eq!(value(&mut *session, "SELECT to_regclass('t')::text", &[]).await, Value::Null);

        session.begin().await.unwrap();
        session.run("CREATE TABLE t (a int PRIMARY KEY)").await.unwrap();
        session.commit(&[], Durability::Now).await.unwrap();
        assert_eq!(db.value("SELECT count(*) FROM t").await, "0");
    }

    async fn a_failed_transaction_is_not_committed(db: Database) {
        let mut session = connect(&db, as_file()).await;
        session.begin().await.unwrap();
        session.run("CREATE TABLE t (a int)").await.unwrap();
        assert_eq!(sqlstate(&session.run("SELECT 1/0").await.unwrap_err()), "22012");
        assert_eq!(sqlstate(&session.run("SELECT 1").await.unwrap_err()), "25P02");
        assert_eq!(sqlstate(&session.commit(&[], Durability::Now).await.unwrap_err().into()), "25P02");
        session.begin().await.unwrap();
        assert_eq!(value(&mut *session, "SELECT to_regclass('t')::text", &[]).await, Value::Null);
        session.commit(&[], Durability::Now).await.unwrap();
    }

    async fn a_transaction_that_ended_behind_our_back_is_not_called_committed(db: Database) {
        let mut session = connect(&db, Authority::Host).await;
        session.begin().await.unwrap();
        session.run("CREATE TABLE t (a int)").await.unwrap();
        session.run("ROLLBACK").await.unwrap();
        assert!(session.commit(&[], Durability::Now).await.is_err());
    }

    async fn errors_carry_all_that_the_server_says(db: Database) {
        let mut session = connect(&db, as_file()).await;
        session.run("CREATE TABLE t (a int CONSTRAINT small CHECK (a < 10))").await.unwrap();
        let error = session.run("INSERT INTO t VALUES (11)").await.unwrap_err();
        let report = error.database().unwrap();
        assert_eq!(report.constraint.as_deref(), Some("small"));
        assert_eq!((report.schema.as_deref(), report.table.as_deref()), (Some("public"), Some("t")));
        assert!(report.detail.as_deref().unwrap().contains("11"));
        let error = session.run("SELECT ä, nosuch FROM t").await.unwrap_err();
        assert_eq!(error.database().unwrap().position, Some(8));
        let error = session.open_cursor("SELECT 1 +", &[]).await.unwrap_err();
        assert_eq!(error.database().unwrap().position, Some(11));
    }

    async fn one_statement_a_message_and_no_transaction_control(db: Database) {
        for authority in [as_file(), as_guest()] {
            let mut session = connect(&db, authority).await;
            session.begin().await.unwrap();
            for sql in ["COMMIT", "SELECT 1; COMMIT", "DELETE FROM whimbrel_version", "EXPLAIN ANALYZE COMMIT"] {
                let error = session.run(sql).await.unwrap_err();
                assert!(matches!(error, DriverError::Denied { .. }), "{sql}: {error:?}");
            }
            session.run("CREATE TABLE x ()").await.unwrap();
            session.rollback().await.unwrap();
        }
        assert_eq!(db.value("SELECT to_regclass('x')").await, "NULL");
    }

    async fn savepoints_rescue_a_failed_transaction(db: Database) {
        let mut session = connect(&db, as_guest()).await;
        session.begin().await.unwrap();
        session.savepoint("one").await.unwrap();
        session.run("CREATE TABLE t (a int)").await.unwrap();
        let cursor = session.open_cursor("SELECT 1", &[]).await.unwrap();
        assert!(session.run("SELECT 1/0").await.is_err());
        session.rollback_to_savepoint("one").await.unwrap();
        session.close_cursor(cursor).await.unwrap();
        session.savepoint("two").await.unwrap();
        session.run("CREATE TABLE u (a int)").await.unwrap();
        session.release_savepoint("two").await.unwrap();
        session.commit(&[], Durability::Now).await.unwrap();
        assert_eq!(db.value("SELECT to_regclass('t')").await, "NULL");
        assert_eq!(db.value("SELECT to_regclass('u')").await, "u");
    }

    async fn records_go_together_with_the_commit(db: Database) {
        let mut session = connect(&db, Authority::Host).await;
        session.run("CREATE TABLE t (a int UNIQUE, b text, c timestamptz)").await.unwrap();
        let insert = |a: i64| Statement::new(
            "INSERT INTO t VALUES ($1, $2, $3)",
            [Value::Int64(a), Value::from("b"), Value::Timestamptz(a)],
        );
        let delete = |a: i64| Statement::new("DELETE FROM t WHERE a = $1", [Value::Int64(a)]);
        for durability in [Durability::Now, Durability::Deferred, Durability::Now] {
            for records in [vec![insert(1), insert(2)], vec![delete(1), delete(2), insert(3)], vec![delete(3)]] {
                session.begin().await.unwrap();
                session.will_write("t");
                session.commit(&records, durability).await.unwrap();
            }
        }
        session.begin().await.unwrap();
        session.commit(&(10..90).map(insert).collect::<Vec<_>>(), Durability::Now).await.unwrap();
        assert_eq!(db.value("SELECT count(*) FROM t").await, "80");

        session.begin().await.unwrap();
        let refused = session.commit(&[insert(1), insert(1), insert(3)], Durability::Now).await;
        let Err(CommitError::Record(error)) = refused else { panic!("{refused:?}") };
        assert_eq!(sqlstate(&error), "23505");
        for records in [vec![insert(1), delete(2)], vec![Statement::new("DELETE FROM t", [])]] {
            session.begin().await.unwrap();
            let refused = session.commit(&records, Durability::Now).await;
            assert!(matches!(refused, Err(CommitError::Conflict)), "{refused:?}");
        }
        session.begin().await.unwrap();
        session.run("CREATE TABLE gone ()").await.unwrap();
        session.run("SELECT 1/0").await.unwrap_err();
        let refused = session.commit(&[insert(1)], Durability::Deferred).await;
        let Err(CommitError::Commit(error)) = refused else { panic!("{refused:?}") };
        assert_eq!(sqlstate(&error), "25P02");
        assert_eq!(db.value("SELECT count(*) FROM t").await, "80", "nothing of it is there");
        assert_eq!(db.value("SELECT to_regclass('gone')").await, "NULL");
        session.begin().await.unwrap();
        session.commit(&[insert(1)], Durability::Now).await.unwrap();
    }

    async fn results_over_the_limit_are_refused(db: Database) {
        let mut session = connect(&db, as_guest()).await;
        let limit = ResultLimit { rows: 10, bytes: 1 << 20 };
        let error = session.query("SELECT generate_series(1, 11)", &[], limit).await.unwrap_err();
        assert!(matches!(error, DriverError::Limit { unit: "rows", limit: 10 }), "{error:?}");
        assert_eq!(session.query("SELECT generate_series(1, 10)", &[], limit).await.unwrap().len(), 10);
        let started = Instant::now();
        let endless = "SELECT repeat('x', 1000), generate_series(1, 1000000000)";
        let error = session.query(endless, &[], limit).await.unwrap_err();
        assert!(matches!(error, DriverError::Limit { .. }), "{error:?}");
        assert!(started.elapsed() < Duration::from_secs(20));
        assert_eq!(value(&mut *session, "SELECT 1", &[]).await, Value::Int32(1));
    }

    async fn cursors_read_all_rows_under_a_limit(db: Database) {
        let mut session = connect(&db, as_guest()).await;
        session.begin().await.unwrap();
        let sql = "SELECT n, ARRAY[n] AS a FROM generate_series($1::int, $2::int) n";
        let cursor = session.open_cursor(sql, &[Value::Int32(1), Value::Int64(1000)]).await.unwrap();
        assert_eq!(session.cursor_columns(cursor).unwrap()[1].type_name, "int4[]");
        let limit = ResultLimit { rows: u64::MAX, bytes: 10_000 };
        let mut read = Vec::new();
        loop {
            let rows = session.fetch(cursor, 700, limit).await.unwrap().into_rows();
            if rows.is_empty() {
                break;
            }
            assert!(rows.iter().flatten().map(Value::size).sum::<usize>() <= 10_000);
            read.extend(rows);
        }
        assert_eq!(read.len(), 1000);
        assert_eq!(read[999][0], Value::Int32(1000));
        session.close_cursor(cursor).await.unwrap();
        assert!(session.fetch(cursor, 1, limit).await.is_err());
        let growing = "SELECT repeat('x', n * 100) FROM generate_series(1, 50) n";
        let growing = session.open_cursor(growing, &[]).await.unwrap();
        let mut read = 0;
        while let n @ 1.. = session.fetch(growing, 1000, limit).await.unwrap().len() {
            read += n;
        }
        assert_eq!(read, 50);
        let wide = session.open_cursor("SELECT repeat('x', 20000)", &[]).await.unwrap();
        let error = session.fetch(wide, 1, limit).await.unwrap_err();
        assert!(matches!(error, DriverError::Limit { unit: "bytes", .. }), "{error:?}");
        session.commit(&[], Durability::Now).await.unwrap();
    }

    async fn a_statement_can_be_cancelled(db: Database) {
        let mut session = connect(&db, as_file()).await;
        let canceller = session.canceller();
        let cancel = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(200)).await;
            canceller.cancel().await;
        });
        let error = session.run("SELECT pg_sleep(30)").await.unwrap_err();
        assert!(matches!(error, DriverError::Cancelled), "{error:?}");
        cancel.await.unwrap();
        session.run("SELECT 1").await.unwrap();
    }

    async fn a_dropped_future_ends_the_session_and_its_statement(db: Database) {
        let mut session = connect(&db, as_file()).await;
        session.begin().await.unwrap();
        session.run("CREATE TABLE t ()").await.unwrap();
        let sleep = session.run("SELECT pg_sleep(30) /* orphan */");
        assert!(tokio::time::timeout(Duration::from_millis(200), sleep).await.is_err());
        assert!(matches!(session.run("SELECT 1").await.unwrap_err(), DriverError::Closed { .. }));
        drop(session);
        let running = "SELECT count(*) FROM pg_stat_activity \
                       WHERE query LIKE '%/* orphan */' AND datname = current_database()";
        for _ in 0..50 {
            if db.value(running).await == "0" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the statement runs on");
    }

    async fn waiting_for_a_lock_ends_with_a_transient_error(db: Database) {
        db.execute("CREATE TABLE t (a int)").await;
        let holder = db.connect_postgres().await;
        holder.batch_execute("BEGIN; LOCK TABLE t").await.unwrap();
        let mut session = connect(&db, as_file()).await;
        session.begin().await.unwrap();
        let error = session.run("ALTER TABLE t ADD b int").await.unwrap_err();
        assert_eq!(sqlstate(&error), "55P03");
        assert!(error.is_transient());
    }

    async fn a_lost_connection_is_told_apart_from_a_lost_commit(db: Database) {
        let kill = async |session: &mut Box<dyn whimbrel::driver::Session>| {
            let pid = value(&mut **session, "SELECT pg_backend_pid()", &[]).await;
            let Value::Int32(pid) = pid else { panic!("{pid:?}") };
            db.execute(&format!("SELECT pg_terminate_backend({pid})")).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        let mut session = connect(&db, as_file()).await;
        session.begin().await.unwrap();
        kill(&mut session).await;
        assert!(matches!(session.run("SELECT 1").await.unwrap_err(), DriverError::Closed { source: Some(_) }));
        let mut session = connect(&db, as_file()).await;
        session.begin().await.unwrap();
        kill(&mut session).await;
        let error = DriverError::from(session.commit(&[], Durability::Now).await.unwrap_err());
        assert!(matches!(error, DriverError::CommitUnknown { .. }), "{error:?}");
    }

    async fn changes_of_the_schema_do_not_break_repeated_statements(db: Database) {
        let mut session = connect(&db, as_guest()).await;
        session.begin().await.unwrap();
        session.run("CREATE TABLE t (a int)").await.unwrap();
        session.run("INSERT INTO t VALUES (1)").await.unwrap();
        assert_eq!(rows(&mut *session, "SELECT * FROM t", &[]).await, [[Value::Int32(1)]]);
        session.execute("ALTER TABLE t ADD b int", &[]).await.unwrap();
        assert_eq!(rows(&mut *session, "SELECT * FROM t", &[]).await, [[Value::Int32(1), Value::Null]]);
        session.savepoint("s").await.unwrap();
        session.run("ALTER TABLE t DROP b").await.unwrap();
        assert_eq!(rows(&mut *session, "SELECT * FROM t", &[]).await, [[Value::Int32(1)]]);
        session.rollback_to_savepoint("s").await.unwrap();
        assert_eq!(rows(&mut *session, "SELECT * FROM t", &[]).await, [[Value::Int32(1), Value::Null]]);
    }

    async fn notices_reach_the_caller(db: Database) {
        let mut session = connect(&db, as_file()).await;
        session.run("DO $$ BEGIN RAISE NOTICE 'hello'; END $$").await.unwrap();
        assert_eq!(session.take_notices(), ["NOTICE: hello"]);
        assert_eq!(session.take_notices(), Vec::<String>::new());
    }

    async fn one_run_has_the_lock_and_others_see_who(db: Database) {
        let driver = open(&db.url());
        let holder = |pid| Holder { host: "host.example".into(), pid, since: None, expires: None };
        let mut first = driver.open_lock("whimbrel_version").await.unwrap();
        let mut second = driver.open_lock("whimbrel_version").await.unwrap();
        let mut elsewhere = driver.open_lock("other_version").await.unwrap();
        assert_eq!(first.try_acquire(&holder(41)).await.unwrap(), LockAttempt::Acquired);
        assert!(first.is_held() && first.fence().is_none());
        assert_eq!(elsewhere.try_acquire(&holder(43)).await.unwrap(), LockAttempt::Acquired);
        let LockAttempt::Held(Some(seen)) = second.try_acquire(&holder(42)).await.unwrap() else {
            panic!("the lock is held");
        };
        assert_eq!((seen.host.as_str(), seen.pid), ("host.example", 41));
        assert!(seen.since.is_some());
        let idle = "SELECT state FROM pg_stat_activity WHERE application_name = 'whimbrel lock 41@host.example'";
        assert_eq!(db.value(idle).await, "idle");
        first.release().await.unwrap();
        assert!(!first.is_held());
        assert_eq!(second.try_acquire(&holder(42)).await.unwrap(), LockAttempt::Acquired);
        drop(second);
        let mut third = driver.open_lock("whimbrel_version").await.unwrap();
        for _ in 0..50 {
            if third.try_acquire(&holder(44)).await.unwrap() == LockAttempt::Acquired {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("dropping the lock gives it back");
    }
}

#[test]
fn settings_of_the_url_reach_the_server() {
    whimbrel_tests::run(Backend::Postgres(15), async |db: Database| {
        let url = format!(
            "{}?options=-c%20work_mem%3D123kB%20-c%20lock_timeout%3D7s&application_name=me",
            db.url()
        );
        let mut session = open(&url).connect().await.unwrap();
        session.begin().await.unwrap();
        for (name, expected) in [
            ("work_mem", "123kB"),
            ("lock_timeout", "7s"),
            ("application_name", "me"),
        ] {
            let shown = value(&mut *session, &format!("SHOW {name}"), &[]).await;
            assert_eq!(shown, Value::from(expected));
        }
    });
}

#[test]
fn passwords_come_from_url_and_file_and_are_never_shown() {
    let cluster = Setup::new(15)
        .authentication("host all all 127.0.0.1/32 scram-sha-256\nlocal all all trust")
        .start()
        .unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let socket = format!(
            "postgres://postgres@/postgres?host={}&port={}",
            cluster.socket_folder().display(),
            cluster.port()
        );
        let mut session = open(&socket).connect().await.unwrap();
        session
            .run("ALTER ROLE postgres PASSWORD 'hunter2'")
            .await
            .unwrap();
        let at = format!("127.0.0.1:{}/postgres", cluster.port());
        open(&format!("postgres://postgres:hunter2@{at}"))
            .connect()
            .await
            .unwrap();

        let wrong = open(&format!("postgres://postgres:hunter3@{at}"));
        let Err(error) = wrong.connect().await else {
            panic!("the password is wrong")
        };
        let shown = format!("{error} {error:?} {wrong:?} {}", wrong.location());
        assert!(
            matches!(error, DriverError::Connect { .. }) && !shown.contains("hunter3"),
            "{shown}"
        );

        let folder = tempfile::tempdir().unwrap();
        let passfile = folder.path().join("pass");
        std::fs::write(&passfile, "127.0.0.1:*:postgres:*:hunter2\n").unwrap();
        let url = format!("postgres://postgres@{at}?passfile={}", passfile.display());
        std::fs::set_permissions(
            &passfile,
            std::os::unix::fs::PermissionsExt::from_mode(0o644),
        )
        .unwrap();
        let Err(error) = open(&url).connect().await else {
            panic!("the file may be read by others")
        };
        assert!(format!("{error:?}").contains("chmod 0600"), "{error:?}");
        std::fs::set_permissions(
            &passfile,
            std::os::unix::fs::PermissionsExt::from_mode(0o600),
        )
        .unwrap();
        open(&url).connect().await.unwrap();

        let closed = "postgres://postgres@127.0.0.1:1,";
        let several = format!(
            "{closed}127.0.0.1:{}/postgres?passfile={}",
            cluster.port(),
            passfile.display()
        );
        open(&several).connect().await.unwrap();
    });
}
