//! What `plan` says of steps, as the library tells it.

use std::time::Duration;

use whimbrel::driver::Dialect;
use whimbrel::engine::inspect::{HeldLock, Inspection, Status, StepInspection, View};
use whimbrel::revision::Direction;
use whimbrel::sql::effects::{Advice, LockMode, Toll};
use whimbrel_tests::{Database, on_every_database, on_every_postgres};

use crate::staging::{Folder, engine, up};

const TIMEOUT: Duration = Duration::from_secs(3);

async fn inspect(db: &Database, folder: Folder, target: &str) -> Inspection {
    let engine = engine(db, folder);
    let inspected = engine
        .inspect(&target.parse().unwrap(), Direction::Upgrade, TIMEOUT)
        .await;
    inspected.unwrap_or_else(|failure| panic!("{}", failure.cause))
}

fn lock<'a>(step: &'a StepInspection, table: &str, mode: LockMode) -> &'a HeldLock {
    let found = step
        .locks
        .iter()
        .find(|lock| lock.table == table && lock.mode == mode);
    found.unwrap_or_else(|| panic!("no {mode} on {table}: {:?}", step.locks))
}

fn warning<'a>(inspection: &'a Inspection, check: &str) -> Option<&'a str> {
    let found = inspection.checks.iter().find(|found| found.check == check);
    let found = found.unwrap_or_else(|| panic!("no check {check}"));
    (found.status == Status::Warning).then_some(found.detail.as_str())
}

on_every_database! {
    async fn an_inspection_leaves_no_trace(db: Database) {
        db.execute("CREATE TABLE birds (id integer PRIMARY KEY); INSERT INTO birds VALUES (1)").await;
        let before = db.dump().await;
        let folder = Folder::default()
            .with("a", "", "DELETE FROM birds; DROP TABLE birds;", None)
            .component("b", "a", "values", "")
            .with("c", "-- revises: b\n", "CREATE TABLE nests (id int);", Some("DROP TABLE nests;"));
        let inspection = inspect(&db, folder, "head").await;
        assert_eq!(db.dump().await, before);
        let [a, b, c] = inspection.steps.as_slice() else { panic!("{inspection:?}") };
        let losses: Vec<&str> = a.destructive.iter().map(|loss| loss.what.as_str()).collect();
        assert_eq!(losses, ["deletes all rows of birds", "drops table birds"]);
        assert_eq!(a.destructive[0].place.line, Some(5));
        assert!(b.imports.iter().any(|name| name.starts_with("whimbrel:migrate/sql@")), "{:?}", b.imports);
        assert_eq!((c.view, c.locks.len()), (View::Full, 0));
        assert_eq!(warning(&inspection, "downgrades"), Some("there is no way back from a"));
        assert!(warning(&inspection, "backup").is_some());
        assert_eq!(warning(&inspection, "names"), None);
        let rows: Vec<_> = inspection.tables.iter().map(|table| table.name.as_str()).collect();
        assert_eq!(rows, ["birds"]);
        assert_eq!(inspection.dialect == Dialect::Sqlite, a.locks.is_empty());
    }

    async fn a_component_shows_the_statements_that_it_sends_without_a_database(db: Database) {
        let guest = |behaviour: &str, sql: &str| {
            format!("[params]\nbehaviour = \"{behaviour}\"\nsql = \"{sql}\"\n[limits]\ntime = \"2s\"\n")
        };
        let folder = Folder::default()
            .with("a", "", "CREATE TABLE log (message text);", Some(""))
            .component("b", "a", "adversary", &guest("statement", "DELETE FROM log"))
            .component("c", "b", "adversary", &guest("query", "SELECT 1"))
            .component("d", "c", "adversary", &guest("loop", ""))
            .component("e", "d", "adversary", &guest("statement", "COMMIT"));
        let inspection = inspect(&db, folder, "head").await;
        let [_, b, c, d, e] = inspection.steps.as_slice() else { panic!("{inspection:?}") };
        assert_eq!((b.view, b.statements, b.notes.len()), (View::Full, 1, 0), "{b:?}");
        assert_eq!(b.destructive[0].what, "deletes all rows of log");
        assert_eq!((b.destructive[0].place.statement, b.destructive[0].place.line), (1, None));
        for (step, said) in [(c, "reads the database"), (d, "exceeded its limit"), (e, "fails")] {
            assert_eq!((step.view, step.statements), (View::Partial, 0));
            assert!(step.notes[0].text.contains(said), "{:?}", step.notes);
        }
    }
}

on_every_postgres! {
    async fn a_lock_is_held_while_later_statements_work(db: Database) {
        db.execute(
            "CREATE TABLE a (id int PRIMARY KEY, n int);
             CREATE TABLE b (id int PRIMARY KEY, a_id int CONSTRAINT to_a REFERENCES a, n int);
             CREATE TABLE \"Odd name\" (id int); CREATE INDEX odd ON \"Odd name\" (id);
             CREATE SCHEMA other; CREATE TABLE other.far (id int);
             CREATE TABLE parts (id int) PARTITION BY RANGE (id);
             CREATE TABLE part PARTITION OF parts FOR VALUES FROM (0) TO (10);",
        )
        .await;
        let folder = Folder::default()
            .with(
                "a",
                "",
                "ALTER TABLE a ADD COLUMN late int; UPDATE b SET n = 1 WHERE id > 5;
                 CREATE TABLE fresh (id int); CREATE INDEX ON fresh (id);",
                Some(""),
            )
            .with("b", "-- revises: a\n", "ALTER TABLE b DROP CONSTRAINT to_a;", Some(""))
            .with("c", "-- revises: b\n", "DROP INDEX odd; ALTER TABLE other.far ADD x int;", Some(""))
            .with("d", "-- revises: c\n", "ALTER TABLE parts ADD x int; ALTER TABLE fresh ADD x int;", Some(""))
            .with("e", "-- revises: d\n-- transaction: false\n", "CREATE INDEX CONCURRENTLY ON a (n); VACUUM FULL b;", Some(""));
        let inspection = inspect(&db, folder, "head").await;
        let [a, b, c, d, e] = inspection.steps.as_slice() else { panic!("{inspection:?}") };
        let added = lock(a, "a", LockMode::AccessExclusive);
        assert_eq!((added.work, added.held), (Toll::Instant, Toll::Rows));
        assert_eq!(lock(a, "b", LockMode::RowExclusive).work, Toll::Rows);
        assert!(a.locks.iter().all(|lock| lock.table != "fresh"), "{:?}", a.locks);
        lock(b, "b", LockMode::AccessExclusive);
        assert_eq!(lock(b, "a", LockMode::AccessExclusive).work, Toll::Instant);
        assert!(lock(c, "\"Odd name\"", LockMode::AccessExclusive).bytes.is_some());
        assert!(lock(c, "other.far", LockMode::AccessExclusive).bytes.is_some());
        assert_eq!(lock(d, "parts", LockMode::AccessExclusive).children, 1);
        assert_eq!(d.locks.len(), 1, "{:?}", d.locks);
        assert_eq!(lock(e, "a", LockMode::ShareUpdateExclusive).held, Toll::Scan);
        assert_eq!(lock(e, "b", LockMode::AccessExclusive).held, Toll::Rewrite);
        assert!(warning(&inspection, "lock_timeout").unwrap().contains('e'));
        assert_eq!(warning(&inspection, "large tables"), None);
    }

    async fn a_type_of_the_same_form_costs_an_instant(db: Database) {
        db.execute("CREATE TABLE names (short varchar(10), checked varchar(10) CHECK (checked <> ''), n int)").await;
        let change = |column: &str, to: &str| format!("ALTER TABLE names ALTER COLUMN {column} TYPE {to};");
        let folder = Folder::default()
            .with("a", "", &change("short", "varchar(20)"), Some(""))
            .with("b", "-- revises: a\n", &change("checked", "text"), Some(""))
            .with("c", "-- revises: b\n", &change("n", "bigint"), Some(""));
        let inspection = inspect(&db, folder, "head").await;
        let told: Vec<(Toll, usize)> = inspection
            .steps
            .iter()
            .map(|step| (lock(step, "names", LockMode::AccessExclusive).work, step.destructive.len()))
            .collect();
        assert_eq!(told, [(Toll::Instant, 0), (Toll::Scan, 0), (Toll::Rewrite, 1)]);
    }

    async fn large_tables_that_are_blocked_are_named(db: Database) {
        db.execute("CREATE TABLE big (id int, n int); CREATE TABLE small (id int, n int);
                    UPDATE pg_class SET reltuples = 5e6 WHERE relname = 'big'").await;
        let folder = Folder::default()
            .with("a", "", "CREATE INDEX ON big (id); CREATE INDEX ON small (id);", Some(""))
            .with("b", "-- revises: a\n-- transaction: false\n", "CREATE INDEX CONCURRENTLY ON big (n);", Some(""));
        let inspection = inspect(&db, folder, "head").await;
        let [a, b] = inspection.steps.as_slice() else { panic!("{inspection:?}") };
        let held = lock(a, "big", LockMode::Share);
        assert_eq!((held.rows, held.advice), (Some(5_000_000), Some(Advice::IndexConcurrently)));
        assert!(held.is_heavy() && !lock(a, "small", LockMode::Share).is_heavy());
        assert!(!lock(b, "big", LockMode::ShareUpdateExclusive).is_heavy());
        let said = warning(&inspection, "large tables").unwrap();
        assert!(said.starts_with("big is large"), "{said}");
    }

    async fn a_table_that_somebody_has_locked_keeps_no_plan_waiting(db: Database) {
        db.execute("CREATE TABLE held (id int)").await;
        let client = db.connect_postgres().await;
        client.batch_execute("BEGIN; LOCK TABLE held IN ACCESS EXCLUSIVE MODE").await.unwrap();
        let folder = Folder::default().with("a", "", "ALTER TABLE held ADD n int;", Some(""));
        let inspection = inspect(&db, folder, "head").await;
        assert_eq!(lock(&inspection.steps[0], "held", LockMode::AccessExclusive).bytes, None);
        let said = warning(&inspection, "large tables").unwrap();
        assert!(said.contains("another session"), "{said}");
    }

    async fn what_was_said_is_what_a_run_does(db: Database) {
        let folder = || Folder::default()
            .with("a", "", "CREATE TABLE t (n int); INSERT INTO t VALUES (1);", Some("DROP TABLE t;"))
            .with("b", "-- revises: a\n", "ALTER TABLE t ADD m int; DO $$ BEGIN END $$;", Some(""));
        let inspection = inspect(&db, folder(), "head").await;
        assert_eq!(inspection.steps[1].view, View::Partial);
        assert!(warning(&inspection, "visibility").unwrap().contains('b'));
        up(&engine(&db, folder()), "head").await.unwrap();
        assert!(inspect(&db, folder(), "head").await.steps.is_empty());
    }
}
