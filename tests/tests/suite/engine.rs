//! The engine on every database: what is applied is applied whole, and what fails leaves a state that is named.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use whimbrel::driver::{Holder, LockAttempt};
use whimbrel::engine::{Aftermath, Cause, Engine, Inconsistency, Remedy};
use whimbrel::event::{Event, Observer};
use whimbrel::migration::Cancel;
use whimbrel::project::RunOptions;
use whimbrel_tests::{Backend, Database, on_every_database};

use crate::staging::{
    Folder, down, driver, engine, engine_with, id, ledger, patience, tables, three, up, versions,
};

/// Remembers that a run had to wait.
#[derive(Default)]
struct Waits(Mutex<Vec<String>>);

impl Observer for Waits {
    fn event(&self, event: &Event<'_>) {
        match event {
            Event::Retrying { reason, .. } => self.0.lock().unwrap().push((*reason).to_owned()),
            Event::WaitingForLock { .. } => self.0.lock().unwrap().push("lock".to_owned()),
            _ => {}
        }
    }
}

/// Another program that keeps `t_a` from being changed.
enum Blocker {
    Postgres(tokio_postgres::Client),
    Sqlite(rusqlite::Connection),
}

impl Blocker {
    async fn hold(db: &Database) -> Self {
        match db.backend() {
            Backend::Sqlite => {
                let connection = db.connect_sqlite();
                connection.execute_batch("BEGIN IMMEDIATE").unwrap();
                Self::Sqlite(connection)
            }
            Backend::Postgres(_) => {
                let client = db.connect_postgres().await;
                client
                    .batch_execute("BEGIN; LOCK TABLE t_a IN ACCESS SHARE MODE")
                    .await
                    .unwrap();
                Self::Postgres(client)
            }
        }
    }

    async fn release(self) {
        match self {
            Self::Sqlite(connection) => connection.execute_batch("ROLLBACK").unwrap(),
            Self::Postgres(client) => client.batch_execute("ROLLBACK").await.unwrap(),
        }
    }
}

/// Tells when a revision's step begins.
struct Begun {
    revision: &'static str,
    notify: Notify,
}

impl Observer for Begun {
    fn event(&self, event: &Event<'_>) {
        if let Event::StepStarted { step, .. } = event
            && step.revision.as_str() == self.revision
        {
            self.notify.notify_one();
        }
    }
}

on_every_database! {
    async fn goes_up_down_and_up_again(db: Database) {
        let engine = engine(&db, three());
        let report = up(&engine, "head").await.unwrap();
        assert_eq!(report.steps.len(), 3);
        assert_eq!(report.steps[0].work.statements, 1);
        assert_eq!(tables(&db).await, ["t_a", "t_b", "t_c"]);
        assert_eq!(versions(&db).await, ["c"]);

        assert_eq!(down(&engine, "-2").await.unwrap().steps.len(), 2);
        assert_eq!(tables(&db).await, ["t_a"]);
        assert_eq!(versions(&db).await, ["a"]);

        assert_eq!(down(&engine, "base").await.unwrap().steps.len(), 1);
        assert!(tables(&db).await.is_empty() && versions(&db).await.is_empty());

        up(&engine, "b").await.unwrap();
        assert_eq!(versions(&db).await, ["b"]);
        assert_eq!(
            ledger(&db).await,
            ["a upgrade done", "b upgrade done", "c upgrade done", "c downgrade done", "b downgrade done",
             "a downgrade done", "a upgrade done", "b upgrade done"]
        );
    }

    async fn a_run_with_nothing_to_do_writes_nothing_and_needs_no_lock(db: Database) {
        let engine = engine(&db, three());
        up(&engine, "head").await.unwrap();
        let before = db.dump_without(&["whimbrel_lock"]).await;
        let mut lock = driver(&db).open_lock("whimbrel_version").await.unwrap();
        let holder = Holder { host: "elsewhere".into(), pid: std::process::id(), since: None, expires: None };
        assert_eq!(lock.try_acquire(&holder).await.unwrap(), LockAttempt::Acquired);
        let report = up(&engine, "head").await.unwrap();
        lock.release().await.unwrap();
        assert!(report.steps.is_empty());
        assert_eq!(db.dump_without(&["whimbrel_lock"]).await, before);
    }

    async fn a_failure_in_the_middle_keeps_what_was_done_and_undoes_the_rest(db: Database) {
        let broken = three().with("d", "-- revises: c\n", "CREATE TABLE t_d (n integer);\n\nINSERT INTO nowhere VALUES (1);", Some("DROP TABLE t_d;")).table("e", "d");
        let failure = up(&engine(&db, broken), "head").await.unwrap_err();
        assert_eq!(failure.state(), "3 of 5 applied; d rolled back; nothing else changed.");
        assert_eq!(failure.aftermath, Aftermath::RolledBack(id("d")));
        assert_eq!(tables(&db).await, ["t_a", "t_b", "t_c"]);
        assert_eq!(versions(&db).await, ["c"]);
        assert_eq!(ledger(&db).await.last().unwrap(), "d upgrade failed");

        let mended = three().table("d", "c").table("e", "d");
        assert_eq!(up(&engine(&db, mended), "head").await.unwrap().steps.len(), 2);
        assert_eq!(versions(&db).await, ["e"]);
    }

    async fn a_run_gives_up_on_a_lock_that_another_keeps(db: Database) {
        let mut lock = driver(&db).open_lock("whimbrel_version").await.unwrap();
        let holder = Holder { host: "here".into(), pid: std::process::id(), since: None, expires: None };
        assert_eq!(lock.try_acquire(&holder).await.unwrap(), LockAttempt::Acquired);
        let mut hasty = engine(&db, three());
        hasty.patience.lock_wait = Duration::from_millis(300);
        let failure = up(&hasty, "head").await.unwrap_err();
        let Cause::Locked { holder: Some(seen), .. } = *failure.cause else { panic!("{failure:?}") };
        assert_eq!(seen.pid, std::process::id());
        assert!(tables(&db).await.is_empty());
        lock.release().await.unwrap();
        up(&hasty, "head").await.unwrap();
    }

    async fn the_lock_is_free_again_after_every_kind_of_failure(db: Database) {
        let commit = Folder::default().with("a", "", "CREATE TABLE t_a (n integer);\nCOMMIT;", None);
        let failure = up(&engine(&db, commit), "head").await.unwrap_err();
        assert!(format!("{:?}", failure.cause).contains("Denied"), "{failure:?}");
        assert!(tables(&db).await.is_empty());
        let mut hasty = engine(&db, three());
        hasty.patience.lock_wait = Duration::from_millis(100);
        up(&hasty, "head").await.unwrap();
    }

    async fn a_bare_migration_that_fails_stops_everything_until_someone_has_looked(db: Database) {
        let folder = |second: &str| Folder::default().table("a", "").with(
            "b", "-- revises: a\n-- transaction: false\n",
            &format!("CREATE TABLE t_b (n integer);\nINSERT INTO {second} VALUES (1);"), Some("DROP TABLE t_b;"));
        let failure = up(&engine(&db, folder("nowhere")), "head").await.unwrap_err();
        assert_eq!(failure.aftermath, Aftermath::Partial(id("b")));
        assert_eq!(tables(&db).await, ["t_a", "t_b"], "what it did stays");
        assert_eq!(versions(&db).await, ["a"]);
        assert_eq!(ledger(&db).await, ["a upgrade done", "b upgrade partial"]);

        let mended = engine(&db, folder("t_b"));
        let failure = up(&mended, "head").await.unwrap_err();
        assert!(matches!(&*failure.cause, Cause::Inconsistent(found) if matches!(found[0], Inconsistency::Unfinished { .. })), "{failure:?}");

        db.execute("DROP TABLE t_b").await;
        mended.repair(Some("b"), Remedy::NotApplied).await.unwrap();
        up(&mended, "head").await.unwrap();
        assert_eq!(versions(&db).await, ["b"]);
        assert_eq!(db.column("SELECT n FROM t_b").await, ["1"]);
    }

    async fn an_applied_migration_that_changed_is_named(db: Database) {
        up(&engine(&db, three()), "head").await.unwrap();
        let changed = Folder::default().table("a", "").with("b", "-- revises: a\n", "CREATE TABLE t_b (m integer);", Some("DROP TABLE t_b;")).table("c", "b").table("d", "c");
        let engine = engine(&db, changed);
        let failure = up(&engine, "head").await.unwrap_err();
        assert!(failure.cause.to_string().contains("revision b has changed since it was applied"), "{failure:?}");
        assert_eq!(versions(&db).await, ["c"]);
        engine.repair(Some("b"), Remedy::Accept).await.unwrap();
        up(&engine, "head").await.unwrap();
        assert_eq!(versions(&db).await, ["d"]);
    }

    async fn a_revision_that_no_file_has_stops_the_run(db: Database) {
        up(&engine(&db, three()), "head").await.unwrap();
        let failure = up(&engine(&db, Folder::default().table("a", "").table("b", "a")), "head").await.unwrap_err();
        assert_eq!(failure.cause.to_string(), "the database is at revision c, which no migration has");
    }

    async fn an_irreversible_revision_is_refused_before_anything_is_undone(db: Database) {
        let folder = Folder::default().table("a", "").with("b", "-- revises: a\n", "CREATE TABLE t_b (n integer);", None).table("c", "b");
        let engine = engine(&db, folder);
        up(&engine, "head").await.unwrap();
        let failure = down(&engine, "base").await.unwrap_err();
        assert_eq!(failure.cause.to_string(), "revision b is irreversible: it has no downgrade");
        assert_eq!(tables(&db).await, ["t_a", "t_b", "t_c"]);
    }

    async fn cancelling_stops_the_running_statement_and_undoes_it(db: Database) {
        let slow = match db.backend() {
            Backend::Sqlite => "INSERT INTO t_a WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n;",
            Backend::Postgres(_) => "SELECT pg_sleep(600);",
        };
        let folder = Folder::default().table("a", "").with("b", "-- revises: a\n", slow, None);
        let cancel = Cancel::default();
        let begun = Arc::new(Begun { revision: "b", notify: Notify::new() });
        let observer = Arc::clone(&begun) as Arc<dyn Observer>;
        let engine = engine_with(&db, folder, RunOptions { cancel: cancel.clone(), observer, ..RunOptions::default() });
        let asker = async {
            begun.notify.notified().await;
            // Time for the statement to get there; without it, the run stops before the statement.
            tokio::time::sleep(Duration::from_millis(300)).await;
            cancel.request();
        };
        let (result, ()) = tokio::join!(up(&engine, "head"), asker);
        let failure = result.unwrap_err();
        assert!(matches!(*failure.cause, Cause::Cancelled), "{failure:?}");
        assert_eq!(failure.state(), "1 of 2 applied; b rolled back; nothing else changed.");
        assert_eq!(versions(&db).await, ["a"]);
        assert_eq!(db.value("SELECT count(*) FROM t_a").await, "0");
    }

    async fn settings_that_a_migration_leaves_behind_concern_nobody_else(db: Database) {
        let set = match db.backend() {
            Backend::Sqlite => "PRAGMA legacy_alter_table = ON;",
            Backend::Postgres(_) => "CREATE SCHEMA elsewhere;\nSET search_path TO elsewhere;\nSET LOCAL row_security = off;",
        };
        let folder = Folder::default().with("a", "", set, None).table("b", "a");
        up(&engine(&db, folder), "head").await.unwrap();
        assert_eq!(versions(&db).await, ["b"]);
        assert_eq!(tables(&db).await, ["t_b"]);
    }

    async fn a_lock_timeout_is_retried_from_the_start(db: Database) {
        up(&engine(&db, three()), "a").await.unwrap();
        let folder = Folder::default().table("a", "").with("b", "-- revises: a\n", "CREATE TABLE t_b (n integer);\nALTER TABLE t_a ADD COLUMN m integer;", None);
        let counted = Arc::new(Waits::default());
        let mut engine = engine_with(&db, folder, RunOptions { observer: counted.clone(), patience: patience(), ..RunOptions::default() });
        engine.patience.attempts = 50;
        let blocker = Blocker::hold(&db).await;
        let free = async {
            while counted.0.lock().unwrap().is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            blocker.release().await;
        };
        let (report, ()) = tokio::join!(up(&engine, "head"), free);
        let report = report.unwrap();
        if db.backend() != Backend::Sqlite {
            assert!(report.steps[0].attempts > 1, "SQLite waits for the whole file before it begins");
        }
        assert_eq!(versions(&db).await, ["b"]);
        assert_eq!(tables(&db).await, ["t_a", "t_b"]);
    }

    async fn of_many_runs_at_once_one_migrates_and_the_others_see_it_done(db: Database) {
        let engines: Vec<Engine> = (0..10).map(|_| engine(&db, three())).collect();
        let runs = engines.iter().map(|engine| up(engine, "head"));
        let mut done: Vec<usize> = futures_util::future::join_all(runs).await.into_iter().map(|r| r.unwrap().steps.len()).collect();
        done.sort_unstable();
        assert_eq!(done, [0, 0, 0, 0, 0, 0, 0, 0, 0, 3]);
        assert_eq!(ledger(&db).await, ["a upgrade done", "b upgrade done", "c upgrade done"]);
    }
}
