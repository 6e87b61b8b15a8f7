//! Ways out that a hostile migration tries.

use super::*;
use whimbrel_tests::on_every_postgres;

/// What there is to be attacked.
const SETTING: &str = "
    CREATE TABLE users (id serial PRIMARY KEY, name text, secret text);
    INSERT INTO users (name, secret) VALUES ('a', 'x');
    CREATE TABLE orders (id int PRIMARY KEY, user_id int REFERENCES users, note text);
    CREATE TABLE private (n int); ALTER TABLE private ENABLE ROW LEVEL SECURITY; INSERT INTO private VALUES (1);
    CREATE VIEW order_notes AS SELECT note FROM orders;
    CREATE FUNCTION slug(text) RETURNS text LANGUAGE sql AS 'SELECT $1';
    REVOKE EXECUTE ON FUNCTION slug FROM PUBLIC;
    CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'";

/// Everything that an attack could have changed, besides the rows and definitions that a dump has.
const RIGHTS: &str = "
    SELECT 'relation ' || relname || ' ' || relowner::regrole || ' '
        || coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::\"char\", relowner))::text || relrowsecurity FROM pg_class
    WHERE relnamespace = 'public'::regnamespace
    UNION ALL SELECT 'function ' || oid::regprocedure || proowner::regrole || coalesce(proacl, acldefault('f', proowner))::text || md5(prosrc) FROM pg_proc WHERE oid >= 16384
    UNION ALL SELECT 'default ' || defaclrole::regrole || defaclacl::text FROM pg_default_acl
    UNION ALL SELECT 'large object ' || oid FROM pg_largeobject_metadata
    UNION ALL SELECT 'rule ' || rulename || ev_class::regclass FROM pg_rewrite WHERE oid >= 16384
    UNION ALL SELECT 'policy ' || polname FROM pg_policy
    UNION ALL SELECT 'setting ' || setrole::regrole || setconfig::text FROM pg_db_role_setting
        WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
    UNION ALL SELECT 'pending ' || transaction FROM whimbrel_pending
    UNION ALL SELECT 'schema ' || nspname || coalesce(nspacl, acldefault('n', nspowner))::text FROM pg_namespace WHERE nspname !~ '^pg_'
    ORDER BY 1";

async fn state(db: &Database) -> String {
    let tables = ["whimbrel_nonce", "whimbrel_pending"];
    let rights = db.column(RIGHTS).await.join("\n");
    format!("{}\n{rights}", db.dump_without(&tables).await)
}

/// Runs an attack; returns what stopped each of its statements, and what stopped the conclusion.
async fn attack(
    driver: &dyn Driver,
    capabilities: &str,
    attack: &[&str],
) -> (Vec<String>, Option<String>) {
    let mut session = guest(driver, capabilities).await;
    let mut stopped = Vec::new();
    for sql in attack {
        if let Err(error) = session.run(sql).await {
            stopped.push(format!("{} {error}", sqlstate(&error)));
        }
    }
    let concluded = conclude(session).await.map_err(DriverError::from);
    (
        stopped,
        concluded
            .err()
            .map(|error| format!("{} {error}", sqlstate(&error))),
    )
}

/// What a statement of its own is refused.
const REFUSED: &[(&str, &[&str])] = &[
    ("select private", &["SELECT * FROM private"]),
    ("select users(id)", &["SELECT secret FROM users"]),
    ("select users(id)", &["SELECT * FROM users"]),
    ("select users", &["SELECT * FROM orders"]),
    ("select users", &["SELECT * FROM order_notes"]),
    (
        "update users(name); select users",
        &["UPDATE users SET secret = 'y'"],
    ),
    ("select users", &["DELETE FROM users"]),
    ("select users", &["TRUNCATE orders"]),
    ("select users", &["DROP TABLE users CASCADE"]),
    ("select users", &["ALTER TABLE users ADD COLUMN more int"]),
    ("select users", &["CREATE INDEX i ON users (id)"]),
    ("select users", &["CREATE TABLE more (n int)"]),
    ("select users", &["CREATE SCHEMA more"]),
    (
        "select users",
        &["CREATE FUNCTION more() RETURNS int LANGUAGE sql AS 'SELECT 1'"],
    ),
    ("select users", &["SELECT slug('x')"]),
    ("select users", &["SET ROLE postgres"]),
    ("select users", &["SET SESSION AUTHORIZATION postgres"]),
    ("select users", &["RESET ROLE", "SELECT * FROM orders"]),
    (
        "select users",
        &["RESET SESSION AUTHORIZATION", "SELECT * FROM orders"],
    ),
    (
        "select users",
        &["DO $$ BEGIN EXECUTE 'UPDATE orders SET note = NULL'; END $$"],
    ),
    (
        "select users",
        &["DO $$ BEGIN EXECUTE 'SET ROLE postgres'; END $$"],
    ),
    ("select users", &["SELECT * FROM whimbrel_nonce"]),
    ("select *; delete *", &["DELETE FROM whimbrel_pending"]),
    ("select *", &["SELECT * FROM whimbrel_version"]),
    (
        "update *.*; select *.*",
        &["UPDATE whimbrel_ledger SET revision = 'b'"],
    ),
    ("drop table *", &["DROP TABLE whimbrel_version"]),
    (
        "code function *",
        &["DROP FUNCTION whimbrel_as_host(bytea, text[])"],
    ),
    (
        "code function *",
        &[
            "CREATE OR REPLACE FUNCTION whimbrel_as_host(nonce bytea, commands text[]) RETURNS bigint LANGUAGE sql AS 'SELECT 1'",
        ],
    ),
    (
        "select users",
        &["SELECT whimbrel_as_host('\\x00', ARRAY['DROP TABLE users CASCADE'])"],
    ),
    (
        "select users",
        &["SELECT whimbrel_as_host(NULL, ARRAY['DROP TABLE users CASCADE'])"],
    ),
    ("select users", &["SET CONSTRAINTS ALL IMMEDIATE"]),
    ("select users", &["COMMIT"]),
    ("select users", &["COMMIT AND CHAIN"]),
    ("select users", &["PREPARE TRANSACTION 'later'"]),
    ("select users", &["COPY users TO '/tmp/whimbrel_stolen'"]),
    ("select users", &["COPY users TO PROGRAM 'true'"]),
    (
        "select users; insert users",
        &["COPY users FROM '/etc/passwd'"],
    ),
    ("select users", &["SELECT pg_read_file('/etc/passwd')"]),
    ("select users", &["SELECT pg_ls_dir('.')"]),
    ("select users", &["SELECT lo_import('/etc/passwd')"]),
    (
        "select users",
        &["SELECT set_config('session_replication_role', 'replica', true)"],
    ),
    ("select users", &["ALTER SYSTEM SET work_mem = '1MB'"]),
    ("select users", &["CREATE EXTENSION dblink"]),
    ("select users", &["CREATE ROLE more"]),
    ("select users", &["GRANT postgres TO CURRENT_USER"]),
    (
        "select users",
        &[
            "GRANT SELECT ON orders TO CURRENT_USER",
            "SELECT * FROM orders",
        ],
    ),
    (
        "select users",
        &[
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'postgres' AND datname = current_database()",
        ],
    ),
    (
        "select users",
        &["SELECT query_to_xml('SELECT * FROM orders', true, true, '')"],
    ),
    (
        "select users",
        &["CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION noted()"],
    ),
    (
        "select users",
        &["CREATE TRIGGER t BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION noted()"],
    ),
];

/// What is let through, and refused when the migration is concluded.
const TAKEN_BACK: &[(&str, &[&str])] = &[
    (
        "code view order_notes",
        &["CREATE OR REPLACE VIEW order_notes AS SELECT secret AS note FROM users"],
    ),
    (
        "alter table orders",
        &["ALTER TABLE orders RENAME TO whimbrel_lock"],
    ),
    ("select users", &["ROLLBACK", "SELECT 1"]),
    ("select users", &["ROLLBACK AND CHAIN", "SELECT 1"]),
    ("select users", &["ROLLBACK", "BEGIN", "SELECT 1"]),
    (
        "select users",
        &[
            "ROLLBACK",
            "BEGIN",
            "CREATE TEMPORARY TABLE whimbrel_pending (transaction text)",
            "INSERT INTO whimbrel_pending VALUES (pg_current_xact_id()::text)",
        ],
    ),
    ("create table tag_*", &["CREATE TABLE other (n int)"]),
    (
        "create table tag_*",
        &["CREATE VIEW other AS SELECT 1 AS n"],
    ),
    ("create table tag_*", &["CREATE SEQUENCE other"]),
    ("create table tag_*", &["CREATE TYPE other AS ENUM ('a')"]),
    (
        "create table *",
        &["CREATE TABLE whimbrel_versions (n int)"],
    ),
    (
        "create table tag_*",
        &["CREATE FUNCTION tag_f() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'"],
    ),
    (
        "create table tag_*",
        &["CREATE FUNCTION tag_f() RETURNS int LANGUAGE sql AS 'SELECT 1'"],
    ),
    (
        "create table tag_*",
        &[
            "CREATE TABLE tag_a (n int)",
            "CREATE TRIGGER t BEFORE INSERT ON tag_a FOR EACH ROW EXECUTE FUNCTION noted()",
        ],
    ),
    (
        "create table tag_*",
        &[
            "CREATE TABLE tag_a (n int)",
            "CREATE RULE r AS ON INSERT TO tag_a DO ALSO NOTIFY x",
        ],
    ),
    (
        "create table tag_*",
        &["CREATE TABLE tag_a (n int)", "GRANT ALL ON tag_a TO PUBLIC"],
    ),
    (
        "create table tag_*",
        &["CREATE TABLE tag_a (n xml DEFAULT query_to_xml('SELECT 1', true, true, ''))"],
    ),
    (
        "create table tag_*",
        &["CREATE TABLE tag_a (n int DEFAULT pg_sleep(1)::text::int)"],
    ),
    (
        "create table tag_*; select users(id)",
        &["CREATE OPERATOR == (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq)"],
    ),
    (
        "create type mood",
        &[
            "CREATE TYPE mood AS (n int)",
            "CREATE CAST (mood AS text) WITH INOUT AS IMPLICIT",
        ],
    ),
    (
        "code view v_*; select users(id)",
        &["CREATE VIEW v_x AS SELECT secret FROM users"],
    ),
    (
        "code view v_*",
        &["CREATE VIEW v_x AS SELECT * FROM whimbrel_ledger"],
    ),
    ("alter table orders", &["GRANT SELECT ON orders TO PUBLIC"]),
    (
        "alter table orders",
        &["GRANT SELECT (note) ON orders TO PUBLIC"],
    ),
    (
        "alter table orders",
        &[
            "REVOKE ALL ON orders FROM postgres",
            "GRANT SELECT ON orders TO pg_monitor",
        ],
    ),
    (
        "alter table orders",
        &["CREATE TRIGGER t BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION noted()"],
    ),
    (
        "alter table orders",
        &["CREATE RULE r AS ON DELETE TO orders DO INSTEAD NOTHING"],
    ),
    (
        "alter table orders",
        &["CREATE POLICY p ON orders USING (false)"],
    ),
    (
        "alter table orders",
        &["ALTER TABLE orders ENABLE ROW LEVEL SECURITY"],
    ),
    (
        "alter table orders",
        &[
            "ALTER TABLE orders ALTER COLUMN note SET DEFAULT query_to_xml('SELECT 1', true, true, '')::text",
        ],
    ),
    (
        "alter table orders",
        &["ALTER TABLE orders ADD CHECK (pg_sleep(1) IS NOT NULL)"],
    ),
    ("alter table users", &["DROP TABLE users CASCADE"]),
    ("drop table users", &["DROP TABLE users CASCADE"]),
    ("drop table orders", &["DROP TABLE orders CASCADE"]),
    (
        "alter table orders; code trigger on orders",
        &["DROP TABLE orders CASCADE"],
    ),
    (
        "alter table users",
        &["ALTER TABLE users DROP CONSTRAINT users_pkey CASCADE"],
    ),
    (
        "alter table orders",
        &["ALTER TABLE orders DROP COLUMN note CASCADE"],
    ),
    (
        "create table tag_*",
        &["ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC"],
    ),
    (
        "select users",
        &["ALTER ROLE CURRENT_USER SET search_path = evil"],
    ),
    ("select users", &["ALTER ROLE CURRENT_USER PASSWORD 'mine'"]),
    ("select users", &["SELECT lo_create(0)"]),
    ("create schema app_*", &["CREATE SCHEMA other"]),
    (
        "create schema app_*",
        &[
            "CREATE SCHEMA app_a",
            "CREATE TABLE app_a.t (n int)",
            "CREATE PUBLICATION p FOR TABLE app_a.t",
        ],
    ),
];

/// What changes nothing: the migration is done, and its record is where it belongs.
const HARMLESS: &[(&str, &[&str])] = &[
    ("code view order_notes; alter table orders", &["SELECT 1"]),
    (
        "select users",
        &[
            "CREATE TEMPORARY TABLE whimbrel_version (version_num text)",
            "CREATE TEMPORARY TABLE whimbrel_pending (transaction text)",
            "CREATE TEMPORARY TABLE whimbrel_nonce (digest bytea)",
            "SET search_path = pg_temp, public",
            "SELECT set_config('search_path', 'pg_temp', false)",
        ],
    ),
    (
        "select users",
        &[
            "CREATE FUNCTION pg_temp.sha256(bytea) RETURNS bytea LANGUAGE sql AS 'SELECT $1'",
            "CREATE FUNCTION pg_temp.pg_current_xact_id() RETURNS xid8 LANGUAGE sql AS $$SELECT '1'::xid8$$",
            "SET search_path = pg_temp",
        ],
    ),
    (
        "select users",
        &[
            "SET standard_conforming_strings = off",
            "SET transform_null_equals = on",
            "SET row_security = off",
            "SET quote_all_identifiers = on",
            "SET backslash_quote = on",
            "SET array_nulls = off",
            "SET DateStyle = 'German'",
        ],
    ),
    (
        "select users",
        &[
            "PREPARE p AS SELECT 1",
            "LISTEN x",
            "SELECT pg_advisory_lock(7)",
            "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
        ],
    ),
    (
        "select users",
        &[
            "SAVEPOINT s",
            "CREATE TEMPORARY TABLE x ()",
            "ROLLBACK TO s",
            "RELEASE s",
        ],
    ),
    ("select users", &["SET CONSTRAINTS ALL DEFERRED"]),
    (
        "create table tag_*; drop table tag_*",
        &["CREATE TABLE tag_a (n int)", "DROP TABLE tag_a"],
    ),
    (
        "create table tag_*",
        &[
            "SAVEPOINT s",
            "ALTER ROLE CURRENT_USER SET search_path = evil",
            "ROLLBACK TO s",
        ],
    ),
];

on_every_postgres! {
    async fn what_is_not_granted_is_refused_by_the_database(db: Database) {
        let driver = prepare(&db).await;
        db.execute(SETTING).await;
        let before = state(&db).await;
        for (capabilities, statements) in REFUSED {
            let (stopped, concluded) = attack(&*driver, capabilities, statements).await;
            assert!(!stopped.is_empty(), "{statements:?} was let through");
            assert!(concluded.is_some(), "{statements:?} was concluded");
            assert_eq!(state(&db).await, before, "{statements:?}");
            assert_eq!(leftovers(&db).await, "nothing", "{statements:?}");
        }
    }

    async fn what_no_right_forbids_is_refused_at_the_end(db: Database) {
        let driver = prepare(&db).await;
        db.execute(SETTING).await;
        let before = state(&db).await;
        for (capabilities, statements) in TAKEN_BACK {
            let (stopped, concluded) = attack(&*driver, capabilities, statements).await;
            assert!(stopped.is_empty(), "{statements:?} shows nothing: {stopped:?}");
            assert!(concluded.is_some(), "{statements:?} was concluded");
            assert_eq!(state(&db).await, before, "{statements:?}: {concluded:?}");
            assert_eq!(leftovers(&db).await, "nothing", "{statements:?}");
        }
    }

    async fn what_a_migration_leaves_in_its_session_changes_nothing(db: Database) {
        let driver = prepare(&db).await;
        db.execute(SETTING).await;
        let before = state(&db).await;
        for (capabilities, statements) in HARMLESS {
            let (stopped, concluded) = attack(&*driver, capabilities, statements).await;
            assert_eq!((stopped, concluded), (vec![], None), "{statements:?}");
            assert_eq!(db.column("SELECT version_num FROM whimbrel_version").await, ["a"], "{statements:?}");
            db.execute("DELETE FROM whimbrel_version").await;
            assert_eq!(state(&db).await, before, "{statements:?}");
            assert_eq!(leftovers(&db).await, "nothing", "{statements:?}");
        }
    }

    async fn a_trigger_that_was_put_off_runs_as_the_guest(db: Database) {
        let driver = prepare(&db).await;
        db.execute(SETTING).await;
        let planted = |body: &str| [
            "CREATE TABLE tag_a (n text)".to_owned(),
            format!("CREATE FUNCTION f_t() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}; RETURN NULL; END $$"),
            "CREATE CONSTRAINT TRIGGER t AFTER INSERT ON tag_a DEFERRABLE INITIALLY DEFERRED FOR EACH ROW \
             WHEN (NEW.n = 'fire') EXECUTE FUNCTION f_t()".to_owned(),
            "INSERT INTO tag_a VALUES ('fire')".to_owned(),
        ];
        let capabilities = "create table tag_*; code function f_*; code trigger on tag_*";
        for body in ["UPDATE orders SET note = 'x'", "INSERT INTO whimbrel_version VALUES ('b')", "PERFORM secret FROM users"] {
            let statements = planted(body);
            let statements: Vec<_> = statements.iter().map(String::as_str).collect();
            let (stopped, concluded) = attack(&*driver, capabilities, &statements).await;
            assert!(stopped.is_empty(), "{stopped:?}");
            assert!(concluded.as_deref().unwrap_or_default().starts_with("42501"), "{body}: {concluded:?}");
        }
        let statements = planted("INSERT INTO tag_a VALUES (current_user)");
        let statements: Vec<_> = statements.iter().map(String::as_str).collect();
        assert_eq!(attack(&*driver, capabilities, &statements).await, (vec![], None));
        let role = role(&db);
        assert_eq!(db.column("SELECT n FROM tag_a ORDER BY n = 'fire'").await, [role.name(), "fire"]);
    }

    async fn a_nonce_is_good_for_one_call(db: Database) {
        prepare(&db).await;
        let url = db.url().replace("postgres@", &format!("{}@", role(&db).name()));
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        db.execute("INSERT INTO whimbrel_nonce (digest) VALUES (sha256('one'))").await;
        let call = "SELECT whimbrel_as_host('one', ARRAY['CREATE TABLE public.made ()'])";
        client.batch_execute(call).await.unwrap();
        for again in [call, "SELECT whimbrel_as_host(sha256('one'), ARRAY['CREATE TABLE public.again ()'])"] {
            let error = client.batch_execute(again).await.unwrap_err();
            assert_eq!(error.code(), Some(&tokio_postgres::error::SqlState::INSUFFICIENT_PRIVILEGE));
        }
    }

    async fn a_session_that_ends_in_the_middle_leaves_nothing(db: Database) {
        let driver = prepare(&db).await;
        db.execute(SETTING).await;
        let before = state(&db).await;
        let mut session = guest(&*driver, "select users; alter table orders; create table tag_*").await;
        session.run("CREATE TABLE tag_a (n int)").await.unwrap();
        session.run("ALTER TABLE orders ADD COLUMN more int").await.unwrap();
        db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
                    AND application_name = 'whimbrel guest'").await;
        assert!(conclude(session).await.is_err());
        while db.value("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'whimbrel guest' AND datname = current_database()").await != "0" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(state(&db).await, before);
        assert_eq!(leftovers(&db).await, "nothing");
    }
}
