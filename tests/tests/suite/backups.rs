//! Backups before runs, and the way back.
//!
//! `pg_dump` refuses servers that are newer than it is. Debian's is 15, so that these tests run on SQLite and on
//! PostgreSQL 13 and 15; on 18 the refusal is tested where there is no newer `pg_dump`.

use std::fs;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use tempfile::TempDir;
use tokio::sync::Notify;
use whimbrel::driver::backup::BackupError;
use whimbrel::driver::{Driver, Isolation, RunLockKind, Settings};
use whimbrel::engine::{Cause, Engine, RunFailure};
use whimbrel::event::{Event, Observer};
use whimbrel::migration::Cancel;
use whimbrel_tests::{Backend, Database, Project, Setup, run};

use crate::staging::{
    Folder, driver, driver_for, engine, engine_over, ledger, tables, three, up, versions,
};

/// Makes tests of an async function: one on SQLite, and one on each PostgreSQL that Debian's `pg_dump` can dump.
macro_rules! on_every_database_that_can_be_backed_up {
    ($(async fn $name:ident($db:ident: Database) $body:block)+) => {$(
        mod $name {
            use super::*;

            async fn body($db: Database) $body

            #[test]
            fn sqlite() {
                run(Backend::Sqlite, body);
            }
            #[test]
            fn postgres_13() {
                run(Backend::Postgres(13), body);
            }
            #[test]
            fn postgres_15() {
                run(Backend::Postgres(15), body);
            }
        }
    )+};
}

/// A folder for backups.
struct Shelf(TempDir);

impl Shelf {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str) -> Utf8PathBuf {
        Utf8Path::from_path(self.0.path()).unwrap().join(name)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

/// An engine whose runs begin with a backup.
fn keeping(db: &Database, folder: Folder, file: &Utf8Path) -> Engine {
    let mut engine = engine(db, folder);
    engine.backup = Some(file.to_owned());
    engine
}

const OWN: [&str; 3] = ["whimbrel_version", "whimbrel_ledger", "whimbrel_lock"];

/// Everything that is not Whimbrel's: by what `pg_dump` or SQLite says, and by our own look at it.
async fn everything(db: &Database) -> String {
    let own = db.dump_without(&OWN).await;
    match db.backend() {
        Backend::Sqlite => {
            // The ledger counts its rows there.
            let foreign = |line: &&str| {
                !line.contains("whimbrel_ledger") && !line.contains("table sqlite_sequence")
            };
            own.lines().filter(foreign).collect::<Vec<_>>().join("\n")
        }
        Backend::Postgres(_) => {
            let mut dump = Command::new("pg_dump");
            dump.args(["--exclude-table=whimbrel_*", "--dbname", &db.url()]);
            let output = dump.output().unwrap();
            assert!(output.status.success(), "{output:?}");
            let text = String::from_utf8(output.stdout).unwrap();
            let lines = text
                .lines()
                .filter(|line| !line.starts_with('\\') || *line == "\\.");
            format!("{own}\n{}", lines.collect::<Vec<_>>().join("\n"))
        }
    }
}

/// What a database may hold that is hard to bring back.
fn rich(db: &Database) -> &'static str {
    match db.backend() {
        Backend::Sqlite => {
            "CREATE TABLE people (id integer PRIMARY KEY AUTOINCREMENT, name text NOT NULL UNIQUE, photo blob);
             INSERT INTO people VALUES (7, 'Ada', x'00ff'), (8, 'it''s \"Grace\"', NULL);
             CREATE TABLE loose (a, b);
             INSERT INTO loose VALUES (1, 2.5), ('x', NULL);
             CREATE TABLE keyed (k text PRIMARY KEY, v) WITHOUT ROWID;
             INSERT INTO keyed VALUES ('k', 'v');
             CREATE VIEW names AS SELECT name FROM people;
             CREATE TRIGGER tidy AFTER DELETE ON people BEGIN DELETE FROM loose; END;
             CREATE INDEX by_name ON people (lower(name));
             CREATE VIRTUAL TABLE found USING fts5 (body);
             INSERT INTO found VALUES ('a bird that flies');"
        }
        Backend::Postgres(_) => {
            r#"CREATE SCHEMA "other Place";
             CREATE TYPE mood AS ENUM ('low', 'high');
             CREATE DOMAIN short AS text CHECK (length(VALUE) < 100);
             CREATE TYPE span AS RANGE (subtype = float8);
             CREATE TYPE pair AS (a integer, b mood);
             CREATE TABLE people (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name short NOT NULL UNIQUE, m mood, s span);
             INSERT INTO people (name, m, s) VALUES ('Ada', 'high', '[1,2)'), (E'tab\tback\\slash\nline \\. ü', NULL, NULL);
             CREATE TABLE "other Place"."or;der" (person integer REFERENCES people, p pair, tags text[] DEFAULT '{a}');
             INSERT INTO "other Place"."or;der" VALUES (1, '(1,low)', '{x,NULL}');
             CREATE TABLE parts (n integer) PARTITION BY RANGE (n);
             CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (0) TO (10);
             INSERT INTO parts VALUES (1), (2);
             CREATE SEQUENCE counter START 5;
             SELECT nextval('counter');
             CREATE FUNCTION tricky(n integer) RETURNS text LANGUAGE plpgsql AS $f$
             BEGIN
               RETURN '
COPY people (id) FROM stdin;
';
             END $f$;
             CREATE FUNCTION nothing() RETURNS integer LANGUAGE sql AS 'SELECT 1';
             CREATE AGGREGATE total (integer) (SFUNC = int4pl, STYPE = integer, INITCOND = 0);
             CREATE PROCEDURE proc() LANGUAGE sql AS 'SELECT 1';
             CREATE OPERATOR === (LEFTARG = integer, RIGHTARG = integer, FUNCTION = int4eq);
             CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
             CREATE TRIGGER touched BEFORE UPDATE ON people FOR EACH ROW EXECUTE FUNCTION touch();
             CREATE VIEW names AS SELECT name FROM people;
             CREATE MATERIALIZED VIEW summary AS SELECT count(*) AS n FROM people;
             CREATE STATISTICS st ON id, m FROM people;
             CREATE COLLATION mine FROM "C";
             CREATE TEXT SEARCH CONFIGURATION words (COPY = simple);
             CREATE CAST (mood AS integer) WITH FUNCTION as_number(mood);
             CREATE PUBLICATION pub FOR TABLE people;
             CREATE INDEX by_name ON people (lower(name));
             COMMENT ON TABLE people IS 'it''s\nhere';
             GRANT SELECT ON people TO PUBLIC;
             SELECT lo_from_bytea(4711, '\x00ff');"#
        }
    }
}

/// The same, in the order that its parts need.
fn first(db: &Database) -> String {
    let as_number = "CREATE FUNCTION as_number(mood) RETURNS integer LANGUAGE sql AS 'SELECT 1';\n";
    rich(db).replace(
        "             CREATE CAST",
        &format!("             {as_number}             CREATE CAST"),
    )
}

/// Work that nobody wants, in all of these places.
fn havoc(db: &Database) -> &'static str {
    match db.backend() {
        Backend::Sqlite => {
            "DROP TRIGGER tidy;
             DELETE FROM people WHERE id = 7;
             DROP TABLE loose;
             ALTER TABLE keyed ADD COLUMN more text DEFAULT 'm';
             CREATE TABLE t_new (n integer);
             INSERT INTO t_new VALUES (1);
             CREATE VIEW later AS SELECT * FROM t_new;
             DELETE FROM found;"
        }
        Backend::Postgres(_) => {
            r#"DROP TABLE "other Place"."or;der";
             CREATE TABLE t_new (person integer REFERENCES people, m mood);
             CREATE TABLE "other Place".more (n integer);
             CREATE SCHEMA later;
             CREATE TABLE later.t (n integer REFERENCES t_new2);
             DELETE FROM people WHERE id = 2;
             ALTER TABLE people ADD COLUMN extra text;
             ALTER TYPE mood ADD VALUE 'middle';
             CREATE VIEW more_names AS SELECT name FROM people;
             CREATE FUNCTION f_new(mood) RETURNS mood LANGUAGE sql AS 'SELECT $1';
             CREATE AGGREGATE agg_new (*) (SFUNC = int8inc, STYPE = int8, INITCOND = 0);
             CREATE TYPE later_span AS RANGE (subtype = timestamptz);
             CREATE DOMAIN later_domain AS later_span;
             CREATE OPERATOR ~== (RIGHTARG = integer, FUNCTION = int4up);
             CREATE OPERATOR FAMILY fam USING btree;
             CREATE OPERATOR CLASS cls FOR TYPE integer USING btree FAMILY fam AS OPERATOR 3 = (integer, integer), FUNCTION 1 btint4cmp(integer, integer);
             CREATE SEQUENCE seq_new;
             CREATE PUBLICATION pub_new;
             CREATE FOREIGN DATA WRAPPER wrap;
             CREATE SERVER away FOREIGN DATA WRAPPER wrap;
             CREATE FOREIGN TABLE distant (n integer) SERVER away;
             CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
             CREATE EVENT TRIGGER watching ON sql_drop EXECUTE FUNCTION watch();
             CREATE TEXT SEARCH DICTIONARY dict (TEMPLATE = simple);
             CREATE CONVERSION conv FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
             SELECT lo_from_bytea(4712, '\x01');
             SELECT lo_put(4711, 0, '\x11');
             SELECT setval('counter', 99);"#
        }
    }
}

fn damaging(db: &Database) -> Folder {
    let havoc = havoc(db).replace("REFERENCES t_new2", "").replace(
        "CREATE OPERATOR ~== (RIGHTARG = integer, FUNCTION = int4up);",
        "CREATE OPERATOR ~== (RIGHTARG = integer, FUNCTION = int4um);",
    );
    Folder::default()
        .with("a", "", &first(db), None)
        .with("b", "-- revises: a\n", &havoc, None)
}

async fn tallies(db: &Database) -> Vec<String> {
    db.column("SELECT tally FROM whimbrel_ledger ORDER BY id")
        .await
}

fn restore_cause(failure: RunFailure) -> Cause {
    assert_eq!(failure.state(), "Nothing was changed.");
    *failure.cause
}

on_every_database_that_can_be_backed_up! {
    async fn a_run_that_destroys_is_undone_as_a_whole(db: Database) {
        let shelf = Shelf::new();
        up(&engine(&db, damaging(&db)), "a").await.unwrap();
        let before = everything(&db).await;
        let tally = tallies(&db).await.remove(0);

        let file = shelf.file("before-b.backup");
        up(&keeping(&db, damaging(&db), &file), "head").await.unwrap();
        assert_eq!(shelf.names(), ["before-b.backup"]);
        assert_ne!(everything(&db).await, before);
        assert_eq!(ledger(&db).await, ["a upgrade done", " backup done", "b upgrade done"]);
        assert_eq!(tallies(&db).await[1], tally);
        let digest = whimbrel::digest::Digest::of(&fs::read(&file).unwrap()).to_string();
        let row = db.query("SELECT digest, error, revision FROM whimbrel_ledger WHERE action = 'backup'").await.remove(0);
        assert_eq!(row[0], Some(digest));
        let note: serde_json::Value = serde_json::from_str(row[1].as_deref().unwrap()).unwrap();
        assert_eq!(note, serde_json::json!({ "file": file, "bytes": fs::metadata(&file).unwrap().len() }));

        let engine = engine(&db, damaging(&db));
        let report = engine.restore(&file).await.unwrap();
        assert_eq!((report.heads, report.undone), (vec!["a".to_owned()], vec!["b".to_owned()]));
        assert_eq!(everything(&db).await, before);
        assert_eq!(versions(&db).await, ["a"]);
        assert_eq!(ledger(&db).await, ["a upgrade done", " restore done"]);
        assert_eq!(tallies(&db).await, [tally.clone(), tally], "the last row has the tally of what is applied");

        let log = engine.log().await.unwrap();
        assert_eq!(log[0].backup.as_ref().unwrap().undone, ["b"]);
        assert!(up(&engine, "a").await.unwrap().steps.is_empty());
        assert!(engine.inconsistencies(&engine.state().await.unwrap()).unwrap().is_empty());
        up(&engine, "head").await.unwrap();
        engine.restore(&file).await.unwrap();
        assert_eq!(everything(&db).await, before, "the ledger knows it by the restore");
    }

    async fn the_first_run_of_all_can_be_undone(db: Database) {
        let shelf = Shelf::new();
        db.execute("CREATE TABLE t_old (n integer); INSERT INTO t_old VALUES (1)").await;
        let before = everything(&db).await;
        let file = shelf.file("first.backup");
        let engine = keeping(&db, three(), &file);
        up(&engine, "head").await.unwrap();
        assert_eq!(tables(&db).await, ["t_a", "t_b", "t_c", "t_old"]);
        let report = engine.restore(&file).await.unwrap();
        assert_eq!(report.undone, ["a", "b", "c"]);
        assert_eq!(everything(&db).await, before);
        assert_eq!(versions(&db).await, [] as [&str; 0]);
        assert_eq!(ledger(&db).await, [" restore done"]);
        fs::remove_file(&file).unwrap();
        up(&engine, "head").await.unwrap();
    }

    async fn a_backup_that_fails_stops_the_run_before_it_begins(db: Database) {
        let shelf = Shelf::new();
        let failure = up(&keeping(&db, three(), &shelf.file("nowhere/x.backup")), "head").await.unwrap_err();
        assert!(matches!(&*failure.cause, Cause::Backup { source, .. } if matches!(**source, BackupError::File { .. })), "{failure:?}");
        assert_eq!(failure.state(), "Nothing was changed.");
        assert!(tables(&db).await.is_empty());
        assert!(!everything(&db).await.contains("whimbrel_version"));

        fs::write(shelf.file("taken"), "precious").unwrap();
        let failure = up(&keeping(&db, three(), &shelf.file("taken")), "head").await.unwrap_err();
        assert!(matches!(&*failure.cause, Cause::Backup { source, .. } if matches!(**source, BackupError::Exists { .. })), "{failure:?}");
        assert_eq!(fs::read_to_string(shelf.file("taken")).unwrap(), "precious");
        assert_eq!(shelf.names(), ["taken"]);
        assert!(tables(&db).await.is_empty());
    }

    async fn a_run_with_nothing_to_do_makes_none(db: Database) {
        let shelf = Shelf::new();
        up(&engine(&db, three()), "head").await.unwrap();
        let report = up(&keeping(&db, three(), &shelf.file("none.backup")), "head").await.unwrap();
        assert!(report.steps.is_empty());
        assert!(shelf.names().is_empty());
        assert_eq!(ledger(&db).await.len(), 3);
    }

    async fn a_run_that_fails_keeps_its_backup(db: Database) {
        let shelf = Shelf::new();
        let file = shelf.file("kept.backup");
        let folder = || three().with("d", "-- revises: c\n", "DROP TABLE nowhere;", None);
        let failure = up(&keeping(&db, folder(), &file), "head").await.unwrap_err();
        assert_eq!(failure.done.len(), 3);
        assert_eq!(ledger(&db).await, [" backup done", "a upgrade done", "b upgrade done", "c upgrade done", "d upgrade failed"]);
        engine(&db, folder()).restore(&file).await.unwrap();
        assert!(tables(&db).await.is_empty());
    }

    async fn a_file_that_is_no_whole_backup_changes_nothing(db: Database) {
        let shelf = Shelf::new();
        let engine = engine(&db, damaging(&db));
        up(&engine, "a").await.unwrap();
        let file = shelf.file("whole.backup");
        up(&keeping(&db, damaging(&db), &file), "head").await.unwrap();
        let before = everything(&db).await;

        let mut cut = fs::read(&file).unwrap();
        cut.truncate(cut.len() / 2);
        let mut garbled = fs::read(&file).unwrap();
        let middle = garbled.len() / 2;
        garbled[middle..].fill(0xff);
        for (name, content) in [("garbage", b"once upon a time".to_vec()), ("empty", Vec::new()), ("cut", cut), ("garbled", garbled)] {
            fs::write(shelf.file(name), content).unwrap();
            let failure = engine.restore(&shelf.file(name)).await.unwrap_err();
            let cause = restore_cause(failure);
            assert!(matches!(cause, Cause::Restore { .. }), "{name}: {cause:?}");
            assert_eq!(everything(&db).await, before, "{name}");
        }
        let cause = restore_cause(engine.restore(&shelf.file("missing")).await.unwrap_err());
        assert!(matches!(&cause, Cause::Restore { source, .. } if matches!(**source, BackupError::File { .. })), "{cause:?}");
        assert_eq!(versions(&db).await, ["b"]);
        assert_eq!(ledger(&db).await, ["a upgrade done", " backup done", "b upgrade done"]);
        // Nothing holds the lock any more.
        engine.restore(&file).await.unwrap();
        assert_eq!(versions(&db).await, ["a"]);
    }

    async fn a_backup_of_something_else_is_refused(db: Database) {
        let shelf = Shelf::new();
        let other = Database::create(db.backend()).await;
        other.execute("CREATE TABLE t_foreign (n integer)").await;
        let stranger = Folder::default().table("x", "").table("y", "x");
        let (plain, used) = (shelf.file("plain.backup"), shelf.file("used.backup"));
        up(&keeping(&other, stranger, &plain), "x").await.unwrap();
        let stranger = Folder::default().table("x", "").table("y", "x");
        up(&keeping(&other, stranger, &used), "y").await.unwrap();

        let engine = engine(&db, three());
        up(&engine, "head").await.unwrap();
        let before = everything(&db).await;
        for (file, reason) in [(plain, "no migration of this project has run in it"), (used, "it is at revision x, which no migration has")] {
            let cause = restore_cause(engine.restore(&file).await.unwrap_err());
            assert!(matches!(&cause, Cause::ForeignBackup { reason: told, .. } if told == reason), "{cause:?}");
            assert_eq!(everything(&db).await, before);
        }
        assert_eq!(versions(&db).await, ["c"]);
        assert_eq!(ledger(&db).await.len(), 3);
    }

    async fn a_backup_of_another_database_of_the_project_is_taken(db: Database) {
        let shelf = Shelf::new();
        let production = Database::create(db.backend()).await;
        up(&engine(&production, three()), "a").await.unwrap();
        production.execute("INSERT INTO t_a VALUES (42)").await;
        let file = shelf.file("production.backup");
        up(&keeping(&production, three(), &file), "head").await.unwrap();

        let staging = engine(&db, three());
        staging.restore(&file).await.unwrap();
        assert_eq!(db.column("SELECT n FROM t_a").await, ["42"]);
        up(&staging, "head").await.unwrap();
        assert_eq!(tables(&db).await, ["t_a", "t_b", "t_c"]);
    }

    async fn a_restore_waits_for_the_run_lock(db: Database) {
        let shelf = Shelf::new();
        let file = shelf.file("first.backup");
        up(&keeping(&db, three(), &file), "head").await.unwrap();
        let mut lock = driver(&db).open_lock("whimbrel_version").await.unwrap();
        let holder = whimbrel::driver::Holder { host: "test".to_owned(), pid: std::process::id(), since: None, expires: None };
        lock.try_acquire(&holder).await.unwrap();
        let mut engine = engine(&db, three());
        engine.patience.lock_wait = Duration::from_millis(100);
        let cause = restore_cause(engine.restore(&file).await.unwrap_err());
        assert!(matches!(cause, Cause::Locked { .. }), "{cause:?}");
        assert_eq!(versions(&db).await, ["c"]);
        lock.release().await.unwrap();
        engine.restore(&file).await.unwrap();
    }
}

#[test]
fn a_server_that_is_newer_than_every_pg_dump_is_refused() {
    run(Backend::Postgres(18), |db: Database| async move {
        let shelf = Shelf::new();
        let file = shelf.file("x.backup");
        let engine = keeping(&db, three(), &file);
        match up(&engine, "head").await {
            Ok(_) => engine.restore(&file).await.map(drop).unwrap(),
            Err(failure) => {
                let Cause::Backup { source, .. } = &*failure.cause else {
                    panic!("{failure:?}");
                };
                let BackupError::NoProgram {
                    major: 18, found, ..
                } = &**source
                else {
                    panic!("{failure:?}");
                };
                assert!(found.iter().all(|version| *version < 18), "{found:?}");
                assert!(shelf.names().is_empty());
            }
        }
        assert!(tables(&db).await.is_empty());
    });
}

/// As in most places where it counts: the role that migrates owns the database, and may do no more than that. Debian's
/// server brings the extensions.
#[test]
fn an_owner_without_other_rights_can_go_back() {
    run(Backend::Postgres(15), |db: Database| async move {
        let shelf = Shelf::new();
        let role = db.value("SELECT current_database()").await;
        let make = format!("CREATE ROLE {role} LOGIN; ALTER DATABASE {role} OWNER TO {role}");
        db.execute(&make).await;
        let url = db.url().replace("postgres@", &format!("{role}@"));
        assert_ne!(url, db.url());
        let upgrade = "CREATE EXTENSION citext;\nCREATE SCHEMA own;\nCREATE TABLE own.t (c citext);\n\
                       INSERT INTO own.t VALUES ('A'), ('b');";
        let havoc = "CREATE EXTENSION hstore;\nCREATE TABLE t_b (h hstore);\nDROP EXTENSION citext CASCADE;";
        let folder = Folder::default().with("a", "", upgrade, None).with(
            "b",
            "-- revises: a\n",
            havoc,
            None,
        );
        let mut engine = engine_over(driver_for(&url), folder);
        up(&engine, "a").await.unwrap();
        let before = everything(&db).await;
        assert!(before.contains("CREATE EXTENSION IF NOT EXISTS citext"));
        let file = shelf.file("own.backup");
        engine.backup = Some(file.clone());
        up(&engine, "head").await.unwrap();
        engine.restore(&file).await.unwrap();
        assert_eq!(everything(&db).await, before);
        assert_eq!(versions(&db).await, ["a"]);

        // What belongs to someone else cannot be taken away, and so everything stays.
        db.execute("CREATE EXTENSION pg_stat_statements").await;
        let with_foreign = everything(&db).await;
        let cause = restore_cause(engine.restore(&file).await.unwrap_err());
        assert!(
            format!("{cause:?}").contains("must be owner of"),
            "{cause:?}"
        );
        assert_eq!(everything(&db).await, with_foreign);

        let remove = format!(
            "ALTER DATABASE {role} OWNER TO postgres; DROP OWNED BY {role} CASCADE; DROP ROLE {role}"
        );
        db.execute(&remove).await;
    });
}

/// A program that begins to read when the restore begins, and does not end.
struct Reader(Mutex<rusqlite::Connection>);

impl Observer for Reader {
    fn event(&self, event: &Event<'_>) {
        if matches!(event, Event::Restoring { .. }) {
            let reader = self.0.lock().unwrap();
            reader
                .execute_batch("BEGIN; SELECT count(*) FROM t_a")
                .unwrap();
        }
    }
}

/// Tells when the backup begins.
#[derive(Default)]
struct Begun(Notify);

impl Observer for Begun {
    fn event(&self, event: &Event<'_>) {
        if matches!(event, Event::BackingUp { .. }) {
            self.0.notify_one();
        }
    }
}

#[test]
fn cancelling_ends_pg_dump_and_leaves_no_file() {
    run(Backend::Postgres(15), |db: Database| async move {
        let shelf = Shelf::new();
        up(&engine(&db, three()), "a").await.unwrap();
        let blocker = db.connect_postgres().await;
        let lock = "BEGIN; LOCK TABLE t_a IN ACCESS EXCLUSIVE MODE";
        blocker.batch_execute(lock).await.unwrap();

        let begun = Arc::new(Begun::default());
        let cancel = Cancel::default();
        let patient = Settings {
            lock_timeout: Duration::from_secs(600),
            version_table: "whimbrel_version".to_owned(),
            run_lock: RunLockKind::default(),
            isolation: Isolation::None,
        };
        let driver: Arc<dyn Driver> =
            whimbrel::driver::open(&db.url(), Utf8Path::new("."), &patient).unwrap();
        let mut engine = engine_over(driver, three());
        engine.observer = Arc::clone(&begun) as _;
        engine.cancel = cancel.clone();
        engine.backup = Some(shelf.file("x.backup"));
        let dumping = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                       AND application_name = 'whimbrel backup'";
        let asker = async {
            begun.0.notified().await;
            while db.value(dumping).await == "0" {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            assert_eq!(shelf.names().len(), 1, "an unfinished file");
            cancel.request();
        };
        let (result, ()) = tokio::join!(up(&engine, "head"), asker);
        let failure = result.unwrap_err();
        assert!(matches!(*failure.cause, Cause::Cancelled), "{failure:?}");
        assert_eq!(failure.state(), "Nothing was changed.");
        assert!(shelf.names().is_empty(), "{:?}", shelf.names());
        blocker.batch_execute("ROLLBACK").await.unwrap();
        for _ in 0..200 {
            if db.value(dumping).await == "0" {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(db.value(dumping).await, "0");
        assert_eq!(versions(&db).await, ["a"]);
    });
}

#[test]
fn a_password_reaches_pg_dump_and_nobody_else() {
    const PASSWORD: &str = "curlew-and-godwit";
    let cluster = Setup::new(15)
        .authentication("host all all 127.0.0.1/32 scram-sha-256\nlocal all all trust")
        .start()
        .unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut socket = tokio_postgres::Config::new();
    socket
        .host_path(cluster.socket_folder())
        .port(cluster.port())
        .user("postgres");
    let (client, connection) = runtime
        .block_on(socket.connect(tokio_postgres::NoTls))
        .unwrap();
    runtime.spawn(connection);
    let sql = |sql: &str| runtime.block_on(client.batch_execute(sql)).unwrap();
    sql(&format!("ALTER ROLE postgres PASSWORD '{PASSWORD}'"));

    let place = format!("127.0.0.1:{}/postgres", cluster.port());
    let url = format!("postgres://postgres:{PASSWORD}@{place}");
    let project = Project::empty().variable("WHIMBREL_DATABASE_URL", &url);
    project.write("whimbrel.toml", "lock_timeout = '600s'\n");
    project.sql_migration(
        "aa01",
        "",
        "CREATE TABLE t_a (n integer);",
        "DROP TABLE t_a;",
    );
    let upgrade = [
        "--database",
        url.as_str(),
        "upgrade",
        "--backup",
        "one.backup",
    ];
    let upgraded = project.run(upgrade).succeeds();
    let way_back = format!("whimbrel --database postgres://postgres@{place} restore one.backup");
    assert!(upgraded.stderr.contains(&way_back), "{}", upgraded.stderr);
    assert!(!upgraded.stderr.contains(PASSWORD), "{}", upgraded.stderr);

    sql("BEGIN; LOCK TABLE t_a IN ACCESS EXCLUSIVE MODE");
    let run = project.start(["downgrade", "base", "--backup", "two.backup"]);
    let dumps = || -> Vec<String> {
        let processes = fs::read_dir("/proc").unwrap().flatten();
        processes
            .filter_map(|process| fs::read_to_string(process.path().join("cmdline")).ok())
            .filter(|words| words.contains("pg_dump") && words.contains("two.backup."))
            .collect()
    };
    while dumps().is_empty() {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(!dumps().concat().contains(PASSWORD), "{:?}", dumps());
    run.interrupt();
    let stopped = run.wait().exits_with(130);
    assert!(
        stopped.stderr.contains("Nothing was changed."),
        "{}",
        stopped.stderr
    );
    sql("ROLLBACK");
    let left = fs::read_dir(project.path()).unwrap().flatten();
    let left: Vec<_> = left.map(|entry| entry.file_name()).collect();
    assert!(
        !left
            .iter()
            .any(|name| name.to_string_lossy().contains("two.backup")),
        "{left:?}"
    );

    let restored = project.run(["restore", "--yes", "one.backup"]).succeeds();
    assert!(restored.stderr.contains("to base"), "{}", restored.stderr);
}

#[test]
fn a_reader_of_sqlite_goes_on_with_what_it_sees() {
    run(Backend::Sqlite, |db: Database| async move {
        let shelf = Shelf::new();
        let reader = db.connect_sqlite();
        reader
            .query_row("PRAGMA journal_mode = WAL", (), |_| Ok(()))
            .unwrap();
        up(&engine(&db, three()), "a").await.unwrap();
        db.execute("INSERT INTO t_a VALUES (1)").await;
        let file = shelf.file("one.backup");
        up(&keeping(&db, three(), &file), "b").await.unwrap();
        assert_eq!(
            shelf.names(),
            ["one.backup"],
            "the backup has no log beside it"
        );
        db.execute("INSERT INTO t_a VALUES (2)").await;

        let count = || -> i64 {
            reader
                .query_row("SELECT count(*) FROM t_a", (), |row| row.get(0))
                .unwrap()
        };
        reader.execute_batch("BEGIN").unwrap();
        assert_eq!(count(), 2);
        engine(&db, three()).restore(&file).await.unwrap();
        assert_eq!(count(), 2, "as when it began");
        reader.execute_batch("COMMIT").unwrap();
        assert_eq!(count(), 1);
        let mode: String = reader
            .query_row("PRAGMA journal_mode", (), |row| row.get(0))
            .unwrap();
        assert_eq!(mode, "wal");
        let sound: String = reader
            .query_row("PRAGMA integrity_check", (), |row| row.get(0))
            .unwrap();
        assert_eq!(sound, "ok");
        assert_eq!(tables(&db).await, ["t_a"]);
    });
}

#[test]
fn pages_of_another_size_fit_as_well() {
    for mode in ["wal", "delete"] {
        run(Backend::Sqlite, |db: Database| async move {
            let shelf = Shelf::new();
            let file = shelf.file("small.backup");
            db.execute("PRAGMA page_size = 1024; CREATE TABLE t_old (n integer)")
                .await;
            db.execute("INSERT INTO t_old VALUES (1), (2)").await;
            up(&keeping(&db, three(), &file), "head").await.unwrap();
            let resize = format!(
                "PRAGMA journal_mode = delete; PRAGMA page_size = 8192; VACUUM; PRAGMA journal_mode = {mode}"
            );
            db.execute(&resize).await;
            engine(&db, three()).restore(&file).await.unwrap();
            assert_eq!(tables(&db).await, ["t_old"]);
            assert_eq!(db.column("SELECT n FROM t_old").await, ["1", "2"]);
            assert_eq!(db.value("PRAGMA integrity_check").await, "ok");
            assert_eq!(db.value("PRAGMA journal_mode").await, mode);
        });
    }
}

#[test]
fn a_reader_that_keeps_sqlite_from_being_replaced_leaves_it_as_it_was() {
    run(Backend::Sqlite, |db: Database| async move {
        let shelf = Shelf::new();
        let file = shelf.file("one.backup");
        up(&keeping(&db, three(), &file), "head").await.unwrap();
        let reader = Arc::new(Reader(Mutex::new(db.connect_sqlite())));
        let mut engine = engine(&db, three());
        engine.observer = Arc::clone(&reader) as _;
        // The lock is given back when the reader has gone.
        let (failure, ()) = tokio::join!(engine.restore(&file), async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            reader.0.lock().unwrap().execute_batch("ROLLBACK").unwrap();
        });
        let cause = restore_cause(failure.unwrap_err());
        let Cause::Restore { source, .. } = cause else {
            panic!("{cause:?}");
        };
        let BackupError::Database(error) = *source else {
            panic!("{source:?}");
        };
        assert!(error.is_transient(), "{error:?}");
        assert_eq!(versions(&db).await, ["c"]);
        assert_eq!(tables(&db).await, ["t_a", "t_b", "t_c"]);
        let folder = db.url().trim_start_matches("sqlite:").to_owned();
        let folder = Utf8Path::new(&folder).parent().unwrap().to_owned();
        let left: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .filter(|name| name.to_string_lossy().contains("restoring"))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    });
}

#[test]
fn a_backup_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    run(Backend::Sqlite, |db: Database| async move {
        let shelf = Shelf::new();
        let file = shelf.file("one.backup");
        up(&keeping(&db, three(), &file), "a").await.unwrap();
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    });
}
