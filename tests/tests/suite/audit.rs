//! The look at what a transaction has touched, with the other layers off: each attack commits nothing and is named, and what
//! is granted passes.

use whimbrel::capability::{Capabilities, Grant, Layer, Layers, Limits};
use whimbrel::engine::{Cause, Engine, RunFailure};
use whimbrel::revision::{Direction, TransactionMode};
use whimbrel_tests::{Database, on_every_postgres};

use crate::staging::{Folder, engine, granting, ledger, up, versions};

fn narrowed(db: &Database, granted: &str, rows_written: u64, sql: &str) -> Engine {
    let folder = Folder::default().with("a", "", sql, None);
    narrowed_over(db, granted, rows_written, folder)
}

fn narrowed_over(db: &Database, granted: &str, rows_written: u64, folder: Folder) -> Engine {
    let engine = engine(db, folder);
    let capabilities: Capabilities = granted.parse().unwrap();
    let grant = Grant {
        limits: Limits {
            rows_written,
            ..Limits::default()
        },
        layers: Layers {
            audit: Layer::On,
            ..Layers::NONE
        },
        ..Grant::only(capabilities)
    };
    granting(engine, grant)
}

const SCHEMA: &str = "
    CREATE SCHEMA app;
    CREATE TABLE users (id integer PRIMARY KEY, name text);
    CREATE TABLE secrets (id integer PRIMARY KEY, word text);
    CREATE TABLE orders (id serial PRIMARY KEY, buyer integer REFERENCES users (id) ON DELETE CASCADE);
    CREATE TABLE log (line text);
    CREATE VIEW shown AS SELECT id, word FROM secrets;
    CREATE VIEW names AS SELECT id, name FROM users;
    CREATE TABLE watched (id integer);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO log VALUES (''x''); RETURN NEW; END';
    CREATE TRIGGER note AFTER INSERT ON watched FOR EACH ROW EXECUTE FUNCTION note();
    CREATE TABLE ruled (id integer);
    CREATE RULE ruled AS ON INSERT TO ruled DO ALSO INSERT INTO log VALUES ('r');
    CREATE FUNCTION peek() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM secrets';
    CREATE FUNCTION spread() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN DELETE FROM secrets; RETURN NULL; END';
    CREATE TABLE delayed (id integer);
    CREATE CONSTRAINT TRIGGER spread AFTER INSERT ON delayed DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION spread();
    CREATE TABLE noted (id integer PRIMARY KEY, word text);
    CREATE TABLE whimbrel_notes_5eed (k1 integer, id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY);
    CREATE FUNCTION whimbrel_note_5eed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN INSERT INTO whimbrel_notes_5eed (k1) VALUES (NEW.id); RETURN NULL; END';
    CREATE TRIGGER whimbrel_note_5eed AFTER INSERT OR UPDATE ON noted FOR EACH ROW EXECUTE FUNCTION whimbrel_note_5eed();
    CREATE TABLE parted (id integer) PARTITION BY RANGE (id);
    CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (100);
    CREATE TABLE base (id integer);
    CREATE TABLE derived () INHERITS (base);
    CREATE TABLE spare (n integer);
    CREATE TYPE mood AS ENUM ('good');
    CREATE TYPE mark AS ENUM ('good');
    CREATE CAST (mark AS text) WITH INOUT;
    CREATE OPERATOR <+> (LEFTARG = integer, RIGHTARG = integer, FUNCTION = int4pl);
    CREATE COLLATION plain FROM \"C\";
    CREATE TEXT SEARCH CONFIGURATION search (COPY = simple);
    CREATE STATISTICS linked (dependencies) ON id, name FROM users;
    INSERT INTO users SELECT n, 'n' FROM generate_series(1, 9) n;
    INSERT INTO secrets VALUES (1, 'w');
    INSERT INTO orders (buyer) SELECT n FROM generate_series(1, 9) n";

/// What a migration tries, what it is granted, and what the failure must name.
const ATTACKS: &[(&str, &str, &str)] = &[
    (
        "CREATE TABLE heir () INHERITS (secrets)",
        "create table heir",
        "alter table secrets",
    ),
    (
        "COMMENT ON COLUMN secrets.word IS 'x'",
        "alter table users",
        "alter table secrets",
    ),
    ("SELECT lo_create(0)", "", "pg_largeobject_metadata"),
    (
        "CREATE TEMP TABLE pg_locks AS SELECT * FROM pg_catalog.pg_locks LIMIT 0; SELECT * FROM secrets",
        "",
        "secrets",
    ),
    (
        "CREATE TEMP TABLE pg_class AS SELECT * FROM pg_catalog.pg_class LIMIT 0; DELETE FROM secrets",
        "select secrets",
        "delete secrets",
    ),
    (
        "CREATE TEMP TABLE pg_proc AS SELECT * FROM pg_catalog.pg_proc LIMIT 0; CREATE FUNCTION app.f() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "",
        "code function app.f",
    ),
    ("SELECT * FROM secrets", "select users", "secrets"),
    (
        "SELECT * FROM secrets WHERE id = 1",
        "select users",
        "secrets",
    ),
    ("SELECT * FROM shown", "select users", "secrets"),
    (
        "INSERT INTO users SELECT 50, word FROM secrets",
        "insert users",
        "secrets",
    ),
    (
        "WITH x AS (DELETE FROM secrets RETURNING 1) SELECT * FROM x",
        "select secrets",
        "delete secrets",
    ),
    (
        "UPDATE users SET name = 'z'",
        "select users",
        "update users",
    ),
    (
        "UPDATE users SET name = 'z' WHERE false",
        "select users",
        "users",
    ),
    ("DELETE FROM users WHERE id = 1", "delete users", "orders"),
    (
        "TRUNCATE secrets",
        "select secrets; delete secrets",
        "truncate secrets",
    ),
    ("INSERT INTO watched VALUES (1)", "insert watched", "log"),
    ("INSERT INTO ruled VALUES (1)", "insert ruled", "log"),
    (
        "INSERT INTO delayed VALUES (1)",
        "insert delayed",
        "delete secrets",
    ),
    (
        "SET CONSTRAINTS ALL DEFERRED; INSERT INTO delayed VALUES (1)",
        "insert delayed; select secrets",
        "delete secrets",
    ),
    (
        "INSERT INTO whimbrel_notes_5eed (k1) VALUES (1)",
        "insert users",
        "whimbrel_notes_5eed",
    ),
    (
        "INSERT INTO noted VALUES (1, 'x'); INSERT INTO whimbrel_notes_5eed (k1) VALUES (2)",
        "insert noted",
        "whimbrel_notes_5eed",
    ),
    (
        "INSERT INTO noted VALUES (1, 'x'); DELETE FROM whimbrel_notes_5eed",
        "insert noted",
        "whimbrel_notes_5eed",
    ),
    ("SELECT peek()", "select users", "secrets"),
    ("DO $$ BEGIN PERFORM * FROM secrets; END $$", "", "secrets"),
    (
        "DO $$ BEGIN EXECUTE 'UPDATE sec' || 'rets SET word = 1'; END $$",
        "",
        "update secrets",
    ),
    (
        "DO $$ BEGIN BEGIN PERFORM * FROM secrets; RAISE 'no'; EXCEPTION WHEN others THEN NULL; END; END $$",
        "",
        "secrets",
    ),
    (
        "DO $$ BEGIN BEGIN PERFORM * FROM secrets WHERE id = 1; RAISE 'no'; EXCEPTION WHEN others THEN NULL; END; END $$",
        "",
        "secrets",
    ),
    (
        "DO $$ BEGIN BEGIN DELETE FROM secrets; RAISE 'no'; EXCEPTION WHEN others THEN NULL; END; END $$",
        "",
        "delete secrets",
    ),
    (
        "DO $$ BEGIN EXECUTE 'SELECT * FROM whim' || 'brel_version'; END $$",
        "",
        "whimbrel_version",
    ),
    (
        "DO $$ BEGIN EXECUTE 'DELETE FROM whim' || 'brel_version'; END $$",
        "",
        "whimbrel_version",
    ),
    (
        "DO $$ BEGIN EXECUTE 'INSERT INTO whim' || 'brel_version VALUES (1)'; END $$",
        "",
        "whimbrel_version",
    ),
    (
        "DO $$ BEGIN EXECUTE 'DELETE FROM whim' || 'brel_ledger'; END $$",
        "",
        "whimbrel_ledger",
    ),
    (
        "INSERT INTO parted VALUES (1)",
        "select parted",
        "insert parted",
    ),
    ("SELECT * FROM base", "select users", "base"),
    (
        "CREATE FUNCTION pg_temp.f() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "",
        "code function",
    ),
    (
        "CREATE FUNCTION app.f() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "",
        "code function app.f",
    ),
    (
        "CREATE OR REPLACE FUNCTION peek() RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'",
        "",
        "code function peek",
    ),
    ("DROP FUNCTION peek()", "", "code function peek"),
    (
        "CREATE TRIGGER t AFTER INSERT ON users FOR EACH ROW EXECUTE FUNCTION note()",
        "alter table users",
        "code trigger on users",
    ),
    (
        "CREATE RULE r AS ON INSERT TO users DO INSTEAD NOTHING",
        "alter table users",
        "code rule on users",
    ),
    (
        "CREATE POLICY p ON users USING (true)",
        "alter table users",
        "code policy on users",
    ),
    (
        "ALTER TABLE users ADD COLUMN n bigint DEFAULT peek()",
        "alter table users; select secrets",
        "code default on users",
    ),
    ("CREATE VIEW v AS SELECT 1 AS n", "", "code view v"),
    (
        "CREATE OR REPLACE VIEW names AS SELECT id, name FROM users",
        "select users",
        "code view names",
    ),
    (
        "CREATE CAST (mood AS integer) WITH INOUT",
        "",
        "code cast mood",
    ),
    (
        "CREATE OPERATOR === (LEFTARG = integer, RIGHTARG = integer, FUNCTION = int4eq)",
        "",
        "code operator",
    ),
    (
        "GRANT SELECT ON secrets TO PUBLIC",
        "select secrets",
        "grant on secrets",
    ),
    (
        "ALTER TABLE secrets OWNER TO pg_monitor",
        "",
        "alter table secrets",
    ),
    (
        "ALTER TABLE secrets RENAME TO open",
        "",
        "alter table secrets",
    ),
    (
        "ALTER TABLE secrets ADD COLUMN n integer",
        "",
        "alter table secrets",
    ),
    (
        "ALTER TABLE secrets DISABLE TRIGGER ALL; ALTER TABLE watched DISABLE TRIGGER note",
        "alter table secrets",
        "code trigger on watched",
    ),
    ("DROP TABLE spare", "alter table spare", "drop table spare"),
    ("DROP VIEW names", "drop table names", "code view names"),
    (
        "CREATE TABLE fresh (n integer)",
        "create table other_*",
        "create table fresh",
    ),
    (
        "CREATE INDEX ON users (name)",
        "alter table users",
        "create index on users",
    ),
    ("CREATE SCHEMA more", "", "create schema more"),
    ("ALTER TYPE mood ADD VALUE 'bad'", "", "alter type mood"),
    ("DROP TYPE mood", "", "drop type mood"),
    (
        "CREATE TABLE child (u integer REFERENCES secrets)",
        "create table child",
        "secrets",
    ),
    (
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
        "",
        "pg_default_acl",
    ),
    (
        "DO $$ BEGIN PERFORM set_config('track_counts', 'off', false); END $$; DELETE FROM secrets WHERE false",
        "delete secrets",
        "track_counts",
    ),
    ("SELECT pg_advisory_lock(1)", "", "advisory lock"),
    ("SELECT pg_advisory_xact_lock(1)", "", "advisory lock"),
    ("SELECT count(*) FROM pg_authid", "", "pg_authid"),
    (
        "SELECT * FROM users FOR UPDATE",
        "select users",
        "update users",
    ),
    ("DROP TRIGGER note ON watched", "", "watched"),
    ("LOCK TABLE secrets IN ACCESS EXCLUSIVE MODE", "", "secrets"),
    (
        "UPDATE pg_catalog.pg_class SET relname = 'x' WHERE relname = 'secrets'",
        "select users",
        "write pg_catalog.pg_class",
    ),
    (
        "DELETE FROM pg_catalog.pg_proc WHERE proname = 'peek'",
        "",
        "write pg_catalog.pg_proc",
    ),
    (
        "SELECT * FROM pg_catalog.pg_proc LIMIT 1 FOR UPDATE",
        "",
        "update pg_catalog.pg_proc",
    ),
    (
        "ALTER EXTENSION plpgsql ADD FUNCTION peek()",
        "select users",
        "extension plpgsql",
    ),
    (
        "ALTER EXTENSION plpgsql DROP FUNCTION plpgsql_call_handler()",
        "select users",
        "extension plpgsql",
    ),
    ("GRANT SELECT (word) ON secrets TO PUBLIC", "", "secrets"),
    ("REVOKE ALL ON secrets FROM PUBLIC", "", "secrets"),
    ("DROP CAST (mark AS text)", "", "code cast mark"),
    ("DROP OPERATOR <+> (integer, integer)", "", "code operator"),
    ("DROP COLLATION plain", "", "drop collation plain"),
    (
        "CREATE COLLATION other FROM \"C\"",
        "",
        "create collation other",
    ),
    (
        "DROP TEXT SEARCH CONFIGURATION search",
        "",
        "drop text search search",
    ),
    ("DROP STATISTICS linked", "", "drop statistics linked"),
    (
        "CREATE CONVERSION c FOR 'UTF8' TO 'LATIN1' FROM utf8_to_iso8859_1",
        "",
        "pg_conversion",
    ),
    (
        "REINDEX TABLE secrets",
        "select secrets",
        "alter table secrets",
    ),
    (
        "REINDEX INDEX secrets_pkey",
        "select secrets",
        "alter table secrets",
    ),
    (
        "SELECT * FROM secrets; CLOSE whimbrel_before",
        "select secrets",
        "whimbrel_before",
    ),
    (
        "SELECT * FROM secrets; CLOSE ALL",
        "select secrets",
        "whimbrel_before",
    ),
    (
        "SELECT pg_catalog.set_config('whimbrel.seen', '{}', true); FETCH ALL FROM whimbrel_before",
        "",
        "whimbrel_before",
    ),
    (
        "SELECT pg_catalog.set_config('whimbrel.seen', '{}', true); CLOSE whimbrel_before; DECLARE whimbrel_before CURSOR FOR SELECT 1",
        "",
        "whimbrel_before",
    ),
];

/// What is done, and the grant that fits.
const HONEST: &[(&str, &str)] = &[
    ("SELECT * FROM users WHERE id = 1", "select users(id)"),
    (
        "INSERT INTO users VALUES (100, 'x') ON CONFLICT (id) DO UPDATE SET name = 'y'",
        "insert users; update users; select users",
    ),
    ("INSERT INTO orders (buyer) VALUES (1)", "insert orders"),
    (
        "INSERT INTO orders (buyer) SELECT id FROM users",
        "insert orders; select users",
    ),
    (
        "DELETE FROM users WHERE id = 1",
        "delete users; delete orders",
    ),
    (
        "UPDATE users SET name = 'z' WHERE id = 2",
        "update users(name)",
    ),
    (
        "INSERT INTO delayed VALUES (1)",
        "insert delayed; delete secrets",
    ),
    (
        "INSERT INTO noted VALUES (1, 'x'), (2, 'y'); UPDATE noted SET word = 'z' WHERE id = 1",
        "insert noted; update noted; select noted",
    ),
    ("TRUNCATE log", "truncate log"),
    ("SELECT * FROM names", "select names"),
    ("INSERT INTO parted VALUES (1), (2)", "insert parted"),
    ("SELECT * FROM parted", "select parted"),
    ("SELECT * FROM base", "select base"),
    (
        "INSERT INTO watched VALUES (1)",
        "insert watched; insert log",
    ),
    (
        "CREATE TABLE fresh (id serial PRIMARY KEY, n integer CHECK (n > 0), g integer GENERATED ALWAYS AS (n + 1) STORED); INSERT INTO fresh (n) VALUES (1); CREATE INDEX ON fresh (n); UPDATE fresh SET n = 2; SELECT * FROM fresh; ALTER TABLE fresh ADD COLUMN m text; DROP TABLE fresh",
        "create table fresh",
    ),
    (
        "CREATE TABLE fresh (id integer GENERATED BY DEFAULT AS IDENTITY, u integer REFERENCES users); INSERT INTO fresh (u) VALUES (1)",
        "create table fresh; select users(id)",
    ),
    (
        "CREATE TABLE pp (id integer) PARTITION BY LIST (id); CREATE TABLE pp_1 PARTITION OF pp DEFAULT; INSERT INTO pp VALUES (1)",
        "create table pp; create table pp_*",
    ),
    (
        "CREATE TEMP TABLE scratch (n integer); INSERT INTO scratch VALUES (1); INSERT INTO log SELECT n FROM scratch",
        "insert log",
    ),
    (
        "ALTER TABLE users ADD COLUMN age integer DEFAULT 0 NOT NULL",
        "alter table users",
    ),
    (
        "ALTER TABLE spare ALTER COLUMN n TYPE bigint",
        "alter table spare",
    ),
    (
        "ALTER TABLE users ADD CONSTRAINT named CHECK (name <> '')",
        "alter table users",
    ),
    (
        "ALTER TABLE users ADD UNIQUE (name, id)",
        "alter table users",
    ),
    (
        "ALTER TABLE users RENAME COLUMN name TO called",
        "alter table users",
    ),
    (
        "ALTER TABLE log ADD COLUMN u integer REFERENCES users",
        "alter table log; select users",
    ),
    (
        "CREATE INDEX by_name ON users (name)",
        "create index on users",
    ),
    (
        "CREATE VIEW v AS SELECT id FROM users",
        "code view v; select users",
    ),
    (
        "CREATE SEQUENCE counter; SELECT nextval('counter')",
        "create sequence counter",
    ),
    (
        "CREATE SCHEMA more; CREATE TABLE more.t (n integer)",
        "create schema more; create table more.*",
    ),
    (
        "CREATE TYPE size AS ENUM ('s'); CREATE TABLE sized (s size)",
        "create type size; create table sized",
    ),
    ("ALTER TYPE mood ADD VALUE 'bad'", "alter type mood"),
    ("DROP TABLE spare", "drop table spare"),
    ("DROP TRIGGER note ON watched", "code trigger on watched"),
    ("DROP TABLE orders", "drop table orders"),
    ("DROP VIEW names", "code view names"),
    (
        "CREATE FUNCTION f() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "code function f",
    ),
    ("COMMENT ON TABLE users IS 'people'", "alter table users"),
    (
        "CREATE TRIGGER t AFTER INSERT ON log FOR EACH ROW EXECUTE FUNCTION note()",
        "code trigger on log",
    ),
    ("GRANT SELECT ON users TO pg_monitor", "grant on users"),
    ("REINDEX TABLE users", "alter table users"),
    ("REINDEX INDEX secrets_pkey", "alter index secrets_pkey"),
    ("DROP CAST (mark AS text)", "code cast mark"),
    ("DROP STATISTICS linked", "drop statistics linked"),
    (
        "DROP TABLE users CASCADE",
        "drop table users; alter table orders; code view names",
    ),
    (
        "CREATE COLLATION other FROM \"C\"",
        "create collation other",
    ),
    ("DROP COLLATION plain", "drop collation plain"),
];

/// Demands that a step failed for what it did to the table `secrets`.
fn names_secrets(failure: &RunFailure, guilty: &str) {
    let Cause::Migration { step, source, .. } = &*failure.cause else {
        panic!("{failure:?}");
    };
    assert_eq!(step.revision.as_str(), guilty);
    let told = source.to_string();
    assert!(
        told.contains("secrets") && told.contains("is not granted"),
        "{told}"
    );
}

on_every_postgres! {
    async fn an_attack_commits_nothing_and_is_named(db: Database) {
        db.execute(SCHEMA).await;
        let mut missed = Vec::new();
        for (sql, granted, named) in ATTACKS {
            let told = match up(&narrowed(&db, granted, u64::MAX, &format!("{sql};")), "head").await {
                Ok(_) => "it was committed".to_owned(),
                Err(failure) => {
                    let cause = failure.cause.to_string();
                    std::error::Error::source(&failure.cause).map_or(cause, ToString::to_string)
                }
            };
            let last = ledger(&db).await.pop().unwrap_or_default();
            if !told.contains("is not granted: ") && !told.contains("is not allowed here: ") || !told.contains(named) || last != "a upgrade failed" {
                missed.push(format!("{sql}: {told}; {last}"));
            }
            if !versions(&db).await.is_empty() {
                db.execute("DELETE FROM whimbrel_version; DELETE FROM whimbrel_ledger").await;
            }
        }
        assert!(missed.is_empty(), "{} of {} missed:\n{}", missed.len(), ATTACKS.len(), missed.join("\n"));
    }

    async fn what_is_granted_passes(db: Database) {
        let mut alarms = Vec::new();
        for (sql, granted) in HONEST {
            db.execute("DROP SCHEMA public CASCADE; DROP SCHEMA IF EXISTS app CASCADE; DROP SCHEMA IF EXISTS more CASCADE; CREATE SCHEMA public").await;
            db.execute(SCHEMA).await;
            if let Err(failure) = up(&narrowed(&db, granted, u64::MAX, &format!("{sql};")), "head").await {
                let cause = std::error::Error::source(&failure.cause).map_or(failure.cause.to_string(), |e| format!("{e:?}"));
                alarms.push(format!("{sql}: {cause}"));
            }
        }
        assert!(alarms.is_empty(), "{} of {} false alarms:\n{}", alarms.len(), HONEST.len(), alarms.join("\n"));
    }

    async fn rows_of_cascades_and_triggers_count(db: Database) {
        db.execute(SCHEMA).await;
        let granted = "delete users; delete orders; insert watched; insert log";
        for sql in ["DELETE FROM users WHERE id = 1;", "INSERT INTO watched VALUES (1);"] {
            let failure = up(&narrowed(&db, granted, 1, sql), "head").await.unwrap_err();
            let cause = std::error::Error::source(&failure.cause).unwrap().to_string();
            assert!(cause.contains("2 rows were written"), "{cause}");
            assert_eq!(ledger(&db).await.pop().unwrap(), "a upgrade failed");
        }
        up(&narrowed(&db, granted, 2, "DELETE FROM users WHERE id = 1;"), "head").await.unwrap();
    }

    async fn each_step_of_a_shared_transaction_is_looked_at(db: Database) {
        db.execute(SCHEMA).await;
        let honest = "INSERT INTO users VALUES (100, 'x');";
        let attack = "DELETE FROM secrets;";
        for (first, second, guilty) in [(honest, attack, "b"), (attack, honest, "a")] {
            let folder = Folder::default()
                .with("a", "", first, None)
                .with("b", "-- revises: a\n", second, None);
            let mut engine = narrowed_over(&db, "insert users", u64::MAX, folder);
            engine.transaction = TransactionMode::Run;
            let failure = up(&engine, "head").await.unwrap_err();
            names_secrets(&failure, guilty);
            assert!(versions(&db).await.is_empty());
            assert_eq!(db.value("SELECT count(*) FROM secrets").await, "1");
            assert_eq!(db.value("SELECT count(*) FROM users WHERE id = 100").await, "0");
        }
    }

    async fn what_is_only_tried_is_looked_at(db: Database) {
        db.execute(SCHEMA).await;
        let engine = narrowed(&db, "insert users", u64::MAX, "DELETE FROM secrets;");
        let head = "head".parse().unwrap();
        let failure = engine.dry_run(&head, Direction::Upgrade, None).await.unwrap_err();
        names_secrets(&failure, "a");
        assert_eq!(db.value("SELECT count(*) FROM secrets").await, "1");
    }

    async fn what_a_component_has_rolled_back_itself_was_done(db: Database) {
        db.execute(SCHEMA).await;
        let params = "[params]\nbehaviour = \"savepoint-saves\"\n\
            sql = \"WITH gone AS (DELETE FROM secrets RETURNING id) SELECT 1 / (id - 1) FROM gone\"\n";
        let folder = Folder::default().component("a", "", "adversary", params);
        let engine = narrowed_over(&db, "insert users", u64::MAX, folder);
        let failure = up(&engine, "head").await.unwrap_err();
        names_secrets(&failure, "a");
        assert!(versions(&db).await.is_empty());
    }
}
