//! Steps that share one transaction: runs that are in effect as a whole or not at all, and runs that are only tried.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use whimbrel::engine::{Aftermath, Cause, DryRun, Engine, RunFailure};
use whimbrel::event::{Event, Observer};
use whimbrel::project::RunOptions;
use whimbrel::revision::{Direction, TransactionMode};
use whimbrel::sql::effects::LockMode;
use whimbrel_tests::{Backend, Database, on_every_database};

use crate::staging::{
    Folder, down, engine, engine_with, id, ledger, patience, tables, three, up, versions,
};

/// Counts what is done and what is done again.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Observer for Told {
    fn event(&self, event: &Event<'_>) {
        let told = match event {
            Event::Retrying { revision, .. } => format!("{revision} again"),
            Event::StepFinished { report } => format!("{} finished", report.revision),
            _ => return,
        };
        self.0.lock().unwrap().push(told);
    }
}

impl Told {
    fn has(&self, what: &str) -> bool {
        self.0.lock().unwrap().iter().any(|told| told == what)
    }
}

fn together(db: &Database, folder: Folder) -> (Engine, Arc<Told>) {
    let told = Arc::new(Told::default());
    let options = RunOptions {
        transaction: TransactionMode::Run,
        patience: patience(),
        observer: told.clone(),
        ..RunOptions::default()
    };
    (engine_with(db, folder, options), told)
}

async fn tried(engine: &Engine, target: &str) -> Result<DryRun, RunFailure> {
    engine
        .dry_run(&target.parse().unwrap(), Direction::Upgrade, None)
        .await
}

fn ids(revisions: &[whimbrel::revision::RevisionId]) -> Vec<&str> {
    revisions.iter().map(|id| id.as_str()).collect()
}

/// Rows that refer to a row that is not there, which is looked at when the transaction ends.
fn dangling() -> &'static str {
    "CREATE TABLE t_child (parent integer REFERENCES t_parent (id) DEFERRABLE INITIALLY DEFERRED);\n\
     INSERT INTO t_child VALUES (7);"
}

fn with_parents() -> Folder {
    Folder::default().with(
        "a",
        "",
        "CREATE TABLE t_parent (id integer PRIMARY KEY);",
        Some("DROP TABLE t_parent;"),
    )
}

/// Keeps others from changing `t_a` until it is dropped.
async fn hold(db: &Database) -> Box<dyn Send> {
    match db.backend() {
        Backend::Sqlite => {
            let connection = db.connect_sqlite();
            connection.execute_batch("BEGIN IMMEDIATE").unwrap();
            Box::new(connection)
        }
        Backend::Postgres(_) => {
            let client = db.connect_postgres().await;
            let lock = "BEGIN; LOCK TABLE t_a IN ACCESS SHARE MODE";
            client.batch_execute(lock).await.unwrap();
            Box::new(client)
        }
    }
}

on_every_database! {
    async fn a_run_in_one_transaction_is_all_or_nothing(db: Database) {
        let broken = three().with("d", "-- revises: c\n", "CREATE TABLE t_d (n integer);\nINSERT INTO nowhere VALUES (1);", None);
        let (engine, told) = together(&db, broken);
        let failure = up(&engine, "head").await.unwrap_err();
        assert_eq!(failure.state(), "0 of 4 applied; d rolled back; nothing else changed.");
        assert!(tables(&db).await.is_empty() && versions(&db).await.is_empty());
        assert_eq!(ledger(&db).await, ["d upgrade failed"]);
        assert!(!told.has("a finished"), "what is not in effect is not called done");

        let (engine, told) = together(&db, three());
        let report = up(&engine, "head").await.unwrap();
        assert_eq!(report.steps.len(), 3);
        assert!(told.has("a finished") && told.has("c finished"));
        assert_eq!(tables(&db).await, ["t_a", "t_b", "t_c"]);
        assert_eq!(versions(&db).await, ["c"]);
        assert_eq!(down(&engine, "base").await.unwrap().steps.len(), 3);
        assert!(tables(&db).await.is_empty() && versions(&db).await.is_empty());
        assert_eq!(ledger(&db).await.len(), 7);
        assert!(up(&engine, "base").await.is_ok());
    }

    async fn a_lock_that_passes_has_the_whole_run_tried_again(db: Database) {
        up(&engine(&db, three()), "a").await.unwrap();
        let blocker = hold(&db).await;
        let folder = three().with("b", "-- revises: a\n", "CREATE TABLE t_b (n integer);", None)
            .with("c", "-- revises: b\n", "ALTER TABLE t_a ADD COLUMN m integer;", None);
        let (mut engine, told) = together(&db, folder);
        engine.patience.attempts = 30;
        let run = tokio::spawn(async move { up(&engine, "head").await });
        tokio::time::sleep(Duration::from_millis(700)).await;
        drop(blocker);
        let report = run.await.unwrap().unwrap();
        assert_eq!(report.steps.len(), 2);
        // SQLite has one writer, so that the run waits at its beginning.
        assert!(told.has("c again") || told.has("b again") || matches!(db.backend(), Backend::Sqlite));
        assert_eq!(versions(&db).await, ["c"]);
        assert_eq!(ledger(&db).await, ["a upgrade done", "b upgrade done", "c upgrade done"]);
    }

    async fn what_cannot_share_a_transaction_is_refused_before_anything_runs(db: Database) {
        let folder = || three()
            .with("d", "-- revises: c\n-- transaction: false\n", "CREATE INDEX i ON t_a (n);", None)
            .with("e", "-- revises: d\n-- transaction: migration\n", "CREATE TABLE t_e (n integer);", None);
        let (engine, _) = together(&db, folder());
        let failure = up(&engine, "head").await.unwrap_err();
        assert!(matches!(&*failure.cause, Cause::Mixed(apart) if ids(apart) == ["d", "e"]), "{}", failure.cause);
        assert!(tables(&db).await.is_empty());
        let failure = tried(&engine, "head").await.unwrap_err();
        assert!(matches!(&*failure.cause, Cause::Lasting(lasting) if ids(lasting) == ["d"]), "{}", failure.cause);

        // One step is a whole run, however it runs; and what shares no transaction shares none.
        up(&engine, "c").await.unwrap();
        up(&engine, "d").await.unwrap();
        up(&engine, "e").await.unwrap();
        assert_eq!(versions(&db).await, ["e"]);
    }

    async fn each_step_answers_for_its_own_constraints(db: Database) {
        let folder = with_parents().with("b", "-- revises: a\n", dangling(), None).table("c", "b");
        let (engine, _) = together(&db, folder);
        let failure = up(&engine, "head").await.unwrap_err();
        assert_eq!(failure.aftermath, Aftermath::RolledBack(id("b")));
        assert!(tables(&db).await.is_empty());
        let failure = tried(&engine, "head").await.unwrap_err();
        assert_eq!(failure.state(), "Nothing was changed: it was a dry run.");

        // What is put off until the end of a migration is put off in each of them.
        let late = "CREATE TABLE t_child (parent integer REFERENCES t_parent (id) DEFERRABLE INITIALLY DEFERRED);\n\
             INSERT INTO t_child VALUES (7);\nINSERT INTO t_parent VALUES (7);";
        let later = "INSERT INTO t_child VALUES (8);\nINSERT INTO t_parent VALUES (8);";
        let folder = with_parents().with("b", "-- revises: a\n", late, None).with("c", "-- revises: b\n", later, None);
        let (engine, _) = together(&db, folder);
        up(&engine, "head").await.unwrap();
        assert_eq!(versions(&db).await, ["c"]);
    }

    async fn a_dry_run_runs_everything_and_leaves_nothing(db: Database) {
        up(&engine(&db, three()), "a").await.unwrap();
        let folder = three()
            .with("b", "-- revises: a\n", "ALTER TABLE t_a ADD COLUMN m integer;\nINSERT INTO t_a (n) VALUES (1), (2), (3);", None)
            .with("c", "-- revises: b\n", "CREATE TABLE t_c (n integer);\nUPDATE t_a SET m = n;", None);
        let before = db.dump_without(&["whimbrel_lock"]).await;
        let engine = engine(&db, folder);
        let tried = tried(&engine, "head").await.unwrap();
        assert_eq!(db.dump_without(&["whimbrel_lock"]).await, before);
        assert_eq!((ids(&tried.from), ids(&tried.to)), (vec!["a"], vec!["c"]));
        let work: Vec<_> = tried.steps.iter().map(|step| (step.work.statements, step.work.rows)).collect();
        assert_eq!(work, [(2, 3), (2, 3)]);
        if let Backend::Postgres(_) = db.backend() {
            let locks: Vec<Vec<_>> = tried.steps.iter().map(|step| {
                step.locks.iter().map(|lock| (lock.relation.as_str(), lock.mode)).collect()
            }).collect();
            let own = |name| (name, LockMode::RowExclusive);
            assert_eq!(locks[0].iter().filter(|lock| lock.0 == "public.t_a").collect::<Vec<_>>(), [&("public.t_a", LockMode::AccessExclusive)]);
            assert!(!locks[1].iter().any(|lock| lock.0.contains("t_c")), "nobody else can see it: {locks:?}");
            assert!(!locks.concat().contains(&own("public.whimbrel_version")), "its own are not the migration's: {locks:?}");
        }
        up(&engine, "head").await.unwrap();
        assert_eq!(versions(&db).await, ["c"]);
    }

    async fn a_dry_run_of_a_database_that_is_empty_leaves_it_so(db: Database) {
        let engine = engine(&db, three());
        let before = db.dump_without(&["whimbrel_lock"]).await;
        assert_eq!(tried(&engine, "head").await.unwrap().steps.len(), 3);
        assert_eq!(db.dump_without(&["whimbrel_lock"]).await, before);
        up(&engine, "head").await.unwrap();
        assert!(tried(&engine, "head").await.unwrap().steps.is_empty());
        let back = engine.dry_run(&"base".parse().unwrap(), Direction::Downgrade, None).await.unwrap();
        assert_eq!(back.steps.len(), 3);
        assert_eq!(tables(&db).await, ["t_a", "t_b", "t_c"]);
    }
}

/// A number that a sequence was set to stays when the transaction is rolled back.
#[test]
fn a_dry_run_refuses_what_a_rollback_does_not_undo() {
    whimbrel_tests::run(Backend::Postgres(15), async |db: Database| {
        let folder = Folder::default().with(
            "a",
            "",
            "CREATE SEQUENCE t_s;\nSELECT setval('t_s', 100);",
            None,
        );
        let engine = engine(&db, folder);
        let failure = tried(&engine, "head").await.unwrap_err();
        let told = format!("{:?}", failure.cause);
        assert!(told.contains("a dry run could not take back"), "{told}");
        up(&engine, "head").await.unwrap();
    });
}
