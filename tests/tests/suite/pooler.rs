//! Behind PgBouncer in transaction mode, where each transaction may meet another server process.

use std::sync::Arc;
use std::time::Duration;

use camino::Utf8Path;
use whimbrel::config::VersionTable;
use whimbrel::driver::{Driver, Holder, Isolation, LockAttempt, RunLock, RunLockKind, Settings};
use whimbrel::engine::{Aftermath, Cause, Stamping};
use whimbrel::migration::Cancel;
use whimbrel::revision::{Direction, TransactionMode};
use whimbrel_tests::{Database, PgBouncer, Project, on_every_postgres};

use crate::staging::{
    Folder, down, driver_for, engine, engine_over, id, ledger, patience, tables, three,
    until_it_sleeps, up, versions, with_sleep,
};

/// Two server connections for all: neighbouring transactions do not all meet the same.
const CONNECTIONS: u32 = 2;

/// A pooler before a database, and the database's URL through it.
pub(crate) fn pooled(db: &Database, connections: u32) -> (PgBouncer, String) {
    let url = db.url();
    let (before, rest) = url.split_once('@').unwrap();
    let (address, name) = rest.split_once('/').unwrap();
    let (host, port) = address.split_once(':').unwrap();
    let user = before.rsplit_once('/').unwrap().1;
    let login = match user.split_once(':') {
        Some((user, password)) => format!("user={user} password={password}"),
        None => format!("user={user}"),
    };
    let pooler =
        PgBouncer::start(&format!("host={host} port={port} {login}"), connections).unwrap();
    let url = format!("{before}@127.0.0.1:{}/{name}", pooler.port());
    (pooler, url)
}

fn driver_with(url: &str, run_lock: RunLockKind) -> Arc<dyn Driver> {
    let settings = Settings {
        lock_timeout: Duration::from_millis(200),
        version_table: VersionTable::default().to_string(),
        run_lock,
        isolation: Isolation::None,
    };
    whimbrel::driver::open(url, Utf8Path::new("."), &settings).unwrap()
}

async fn lock(url: &str) -> Box<dyn RunLock> {
    driver_for(url).open_lock("whimbrel_version").await.unwrap()
}

fn holder(host: &str) -> Holder {
    Holder {
        host: host.to_owned(),
        pid: 7,
        since: None,
        expires: None,
    }
}

/// Who is said to hold the lock.
async fn held_by(lock: &mut dyn RunLock) -> Option<Holder> {
    match lock.try_acquire(&holder("waiter")).await.unwrap() {
        LockAttempt::Held(holder) => holder,
        LockAttempt::Acquired => panic!("the lock was free"),
    }
}

/// Demands that the server connections that the pooler shares are as they were.
pub(crate) async fn nothing_is_left_behind(url: &str) {
    let sql = "SELECT (SELECT count(*) FROM pg_prepared_statements) + (SELECT count(*) FROM pg_listening_channels()) \
        + (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()) \
        + (SELECT count(*) FROM pg_class WHERE relpersistence = 't' AND relnamespace = pg_my_temp_schema()), \
        current_setting('lock_timeout') || current_setting('search_path') || current_setting('synchronous_commit')";
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls)
            .await
            .unwrap();
        tokio::spawn(connection);
        // An open transaction keeps its server connection, so that the next one looks at another.
        client.batch_execute("BEGIN").await.unwrap();
        let answer = client.simple_query(sql).await.unwrap();
        let row = answer
            .iter()
            .find_map(|message| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => Some(row),
                _ => None,
            })
            .unwrap();
        assert_eq!(row.get(0), Some("0"));
        assert_eq!(row.get(1), Some("0\"$user\", publicon"));
        clients.push(client);
    }
}

on_every_postgres! {
    async fn goes_up_and_down_and_stamps(db: Database) {
        let (_pooler, url) = pooled(&db, CONNECTIONS);
        let engine = engine_over(driver_for(&url), three());
        assert_eq!(up(&engine, "head").await.unwrap().steps.len(), 3);
        assert_eq!(tables(&db).await, ["t_a", "t_b", "t_c"]);
        assert_eq!(down(&engine, "-2").await.unwrap().steps.len(), 2);
        assert_eq!(versions(&db).await, ["a"]);
        engine.stamp(&["c".parse().unwrap()], Stamping::Move).await.unwrap();
        assert_eq!(versions(&db).await, ["c"]);
        assert!(up(&engine, "head").await.unwrap().steps.is_empty());
        assert_eq!(db.value("SELECT count(*) FROM whimbrel_lock").await, "0", "the lease is given back");
        nothing_is_left_behind(&url).await;
    }

    async fn what_a_migration_leaves_in_its_session_reaches_nobody(db: Database) {
        let (_pooler, url) = pooled(&db, CONNECTIONS);
        let upgrade = "CREATE SCHEMA elsewhere;\nSET search_path TO elsewhere;\nSET synchronous_commit TO off;\n\
            CREATE TEMP TABLE scratch (n integer);\nLISTEN something;\nPREPARE mine AS SELECT 1;\n\
            SELECT pg_advisory_lock(1);";
        let broken = format!("{upgrade}\nSELECT 1 / 0;");
        let folder = Folder::default().with("a", "", upgrade, None).table("b", "a");
        up(&engine_over(driver_for(&url), folder), "head").await.unwrap();
        assert_eq!(tables(&db).await, ["t_b"]);
        nothing_is_left_behind(&url).await;

        let folder = Folder::default().with("a", "", upgrade, None).table("b", "a").with("c", "-- revises: b\n", &broken, None);
        up(&engine_over(driver_for(&url), folder), "head").await.unwrap_err();
        nothing_is_left_behind(&url).await;
    }

    async fn a_migration_without_a_transaction_works(db: Database) {
        let (_pooler, url) = pooled(&db, CONNECTIONS);
        let folder = || Folder::default().table("a", "").with(
            "b", "-- revises: a\n-- transaction: false\n", "CREATE INDEX CONCURRENTLY t_a_n ON t_a (n);",
            Some("DROP INDEX CONCURRENTLY t_a_n;"));
        let engine = engine_over(driver_for(&url), folder());
        up(&engine, "head").await.unwrap();
        assert_eq!(db.value("SELECT indisvalid FROM pg_index WHERE indexrelid = 't_a_n'::regclass").await, "t");
        down(&engine, "base").await.unwrap();
        assert!(tables(&db).await.is_empty());

        let sets = folder().with("c", "-- revises: b\n-- transaction: false\n", "SET search_path TO elsewhere;", None);
        let failure = up(&engine_over(driver_for(&url), sets), "head").await.unwrap_err();
        assert!(format!("{:?}", failure.cause).contains("behind a connection pooler"), "{failure:?}");
        nothing_is_left_behind(&url).await;
    }

    async fn a_failure_in_the_middle_is_rolled_back(db: Database) {
        let (_pooler, url) = pooled(&db, CONNECTIONS);
        let broken = three().with("d", "-- revises: c\n", "CREATE TABLE t_d (n integer);\n\nINSERT INTO nowhere VALUES (1);", None);
        let failure = up(&engine_over(driver_for(&url), broken), "head").await.unwrap_err();
        assert_eq!(failure.aftermath, Aftermath::RolledBack(id("d")));
        assert_eq!(tables(&db).await, ["t_a", "t_b", "t_c"]);
        assert_eq!(ledger(&db).await.last().unwrap(), "d upgrade failed");
        let mended = three().table("d", "c");
        up(&engine_over(driver_for(&url), mended), "head").await.unwrap();
    }

    async fn components_work_as_they_do_directly(db: Database) {
        let (_pooler, url) = pooled(&db, CONNECTIONS);
        let project = Project::copy_of("migrations").variable("WHIMBREL_DATABASE_URL", &url);
        project.run(["upgrade"]).succeeds();
        assert_eq!(db.value("SELECT count(DISTINCT revision) FROM whimbrel_ledger WHERE outcome = 'done'").await, "11");
        nothing_is_left_behind(&url).await;
        project.run(["downgrade", "base"]).succeeds();
        project.run(["upgrade"]).succeeds();
        nothing_is_left_behind(&url).await;
    }

    async fn a_type_of_the_database_is_met_in_several_steps(db: Database) {
        let (_pooler, url) = pooled(&db, CONNECTIONS);
        let step = |kind: &str| format!(
            "[params]\nfirst = \"CREATE TYPE {kind} AS ENUM ('sad', 'glad')\"\nbehaviour = \"ignore-error\"\n\
             sql = \"SELECT 'sad'::{kind} AS m\"\n");
        let folder = Folder::default()
            .component("a", "", "adversary", &step("mood"))
            .component("b", "a", "adversary", &step("temper"))
            .component("c", "b", "adversary", &step("humour"));
        up(&engine_over(driver_for(&url), folder), "head").await.unwrap();
        nothing_is_left_behind(&url).await;
    }

    async fn steps_share_a_transaction_and_can_be_tried(db: Database) {
        let (_pooler, url) = pooled(&db, CONNECTIONS);
        let step = |kind: &str| format!(
            "[params]\nfirst = \"CREATE TYPE {kind} AS ENUM ('sad', 'glad')\"\nbehaviour = \"ignore-error\"\n\
             sql = \"SELECT 'sad'::{kind} AS m\"\n");
        let leaves = "CREATE TABLE public.t_c (n integer);\nSET search_path TO pg_catalog;\nINSERT INTO public.t_c VALUES (1);\n\
            CREATE TEMP TABLE scratch (n integer);\nPREPARE mine AS SELECT 1;";
        let folder = Folder::default()
            .component("a", "", "adversary", &step("mood"))
            .component("b", "a", "adversary", &step("temper"))
            .with("c", "-- revises: b\n", leaves, None)
            .component("d", "c", "adversary", &step("humour"))
            .table("e", "d");
        let mut engine = engine_over(driver_for(&url), folder);
        engine.transaction = TransactionMode::Run;
        let head = "head".parse().unwrap();
        assert_eq!(engine.dry_run(&head, Direction::Upgrade, None).await.unwrap().steps.len(), 5);
        assert!(tables(&db).await.is_empty());
        nothing_is_left_behind(&url).await;
        up(&engine, "head").await.unwrap();
        assert_eq!(tables(&db).await, ["t_c", "t_e"]);
        assert_eq!(versions(&db).await, ["e"]);
        nothing_is_left_behind(&url).await;
    }

    async fn a_statement_stops_when_the_user_asks_for_it(db: Database) {
        let (_pooler, url) = pooled(&db, CONNECTIONS);
        let mut engine = engine_over(driver_for(&url), with_sleep(120));
        let cancel = Cancel::default();
        engine.cancel = cancel.clone();
        let run = tokio::spawn(async move { up(&engine, "head").await });
        until_it_sleeps(&db).await;
        cancel.request();
        let stopped = tokio::time::timeout(Duration::from_secs(30), run).await;
        let failure = stopped.expect("it stops").unwrap().unwrap_err();
        assert!(matches!(*failure.cause, Cause::Cancelled), "{failure:?}");
        assert_eq!(versions(&db).await, ["a"]);
    }

    async fn both_kinds_of_lock_keep_each_other_out(db: Database) {
        let (_pooler, url) = pooled(&db, CONNECTIONS);
        let (mut direct, mut leased) = (lock(&db.url()).await, lock(&url).await);

        assert_eq!(direct.try_acquire(&holder("direct")).await.unwrap(), LockAttempt::Acquired);
        assert_eq!(direct.fence(), None);
        assert_eq!(held_by(&mut *leased).await.unwrap().host, "direct");
        direct.release().await.unwrap();

        assert_eq!(leased.try_acquire(&holder("pooled")).await.unwrap(), LockAttempt::Acquired);
        assert!(leased.fence().is_some() && leased.is_held());
        let (mut direct, mut second) = (lock(&db.url()).await, lock(&url).await);
        for other in [&mut direct, &mut second] {
            let seen = held_by(&mut **other).await.unwrap();
            assert_eq!((seen.host.as_str(), seen.pid), ("pooled", 7));
            assert!(seen.expires.is_some());
        }
        leased.release().await.unwrap();
        assert_eq!(direct.try_acquire(&holder("direct")).await.unwrap(), LockAttempt::Acquired);
        direct.release().await.unwrap();
        assert_eq!(second.try_acquire(&holder("pooled")).await.unwrap(), LockAttempt::Acquired);
        second.release().await.unwrap();
    }

    async fn a_lease_that_has_run_out_is_taken_over_and_its_holder_cannot_commit(db: Database) {
        let (_pooler, url) = pooled(&db, CONNECTIONS);
        let run_out = "UPDATE whimbrel_lock SET expires_at = now() - interval '1 s'";
        for other in [db.url(), url.clone()] {
            let mut first = lock(&url).await;
            assert_eq!(first.try_acquire(&holder("first")).await.unwrap(), LockAttempt::Acquired);
            db.execute(run_out).await;
            let mut second = lock(&other).await;
            assert_eq!(second.try_acquire(&holder("second")).await.unwrap(), LockAttempt::Acquired);
            let fence = first.fence().unwrap();
            let mut session = driver_for(&url).connect().await.unwrap();
            assert_eq!(session.execute(&fence.sql, &fence.params).await.unwrap(), 0);
            first.release().await.unwrap();
            second.release().await.unwrap();
        }
    }

    async fn a_lease_is_renewed_while_a_step_runs(db: Database) {
        let (_pooler, url) = pooled(&db, CONNECTIONS);
        let mut lock = lock(&url).await;
        assert_eq!(lock.try_acquire(&holder("here")).await.unwrap(), LockAttempt::Acquired);
        let expires = "SELECT expires_at FROM whimbrel_lock";
        let before = db.value(expires).await;
        tokio::time::sleep(Duration::from_secs(7)).await;
        assert_ne!(db.value(expires).await, before);
        lock.release().await.unwrap();
    }

    async fn a_dropped_lease_is_given_back(db: Database) {
        let (_pooler, url) = pooled(&db, CONNECTIONS);
        let mut first = lock(&url).await;
        assert_eq!(first.try_acquire(&holder("first")).await.unwrap(), LockAttempt::Acquired);
        drop(first);
        let mut second = lock(&url).await;
        let mut attempts = 0;
        while second.try_acquire(&holder("second")).await.unwrap() != LockAttempt::Acquired {
            attempts += 1;
            assert!(attempts < 100, "the lease is still held");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        second.release().await.unwrap();
    }

    async fn a_run_that_lost_its_lease_rolls_its_step_back(db: Database) {
        let (_pooler, url) = pooled(&db, CONNECTIONS);
        let folder = Folder::default().table("a", "").with("b", "-- revises: a\n",
            "CREATE TABLE t_b (n integer);\nSELECT pg_sleep(2);", None);
        let engine = engine_over(driver_for(&url), folder);
        let thief = async {
            until_it_sleeps(&db).await;
            db.execute("UPDATE whimbrel_lock SET token = 'another'").await;
        };
        let (result, ()) = tokio::join!(up(&engine, "head"), thief);
        let failure = result.unwrap_err();
        assert!(matches!(*failure.cause, Cause::VersionConflict { .. } | Cause::LockLost), "{failure:?}");
        assert_eq!(tables(&db).await, ["t_a"]);
        assert_eq!(versions(&db).await, ["a"]);
    }

    async fn a_lease_can_be_had_without_a_pooler(db: Database) {
        let leased = engine_over(driver_with(&db.url(), RunLockKind::Lease), three());
        up(&leased, "b").await.unwrap();
        assert_eq!(db.value("SELECT count(*) FROM whimbrel_lock").await, "0");
        let mut other = driver_with(&db.url(), RunLockKind::Lease).open_lock("whimbrel_version").await.unwrap();
        assert_eq!(other.try_acquire(&holder("other")).await.unwrap(), LockAttempt::Acquired);
        let mut hasty = engine(&db, three());
        hasty.patience = patience();
        hasty.patience.lock_wait = Duration::from_millis(100);
        let failure = up(&hasty, "head").await.unwrap_err();
        assert!(failure.cause.to_string().contains("process 7 on other"), "{failure:?}");
        other.release().await.unwrap();
        up(&hasty, "head").await.unwrap();
    }
}
