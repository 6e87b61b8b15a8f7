//! Attacks on the grant of a migration on SQLite: each is stopped by the check of statements alone, or by the audit alone
//! where it writes.

use std::sync::Arc;
use std::time::Duration;

use camino::Utf8Path;
use tempfile::TempDir;
use whimbrel::capability::{Grant, Layer, Layers};
use whimbrel::driver::{self, Authority, DriverError, ResultLimit, RunLockKind, Session, Settings};

/// What an attack is meant to run into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stopped {
    /// The check of statements and the audit each stop it alone.
    ByEither,
    /// It only reads or calls, or its traces are gone: the check of statements stops it.
    ByStatements,
    /// SQLite refuses it, or the session does whatever is granted.
    Always,
}
use Stopped::{Always, ByEither, ByStatements};

const SCHEMA: &[&str] = &[
    "CREATE TABLE mine (id INTEGER PRIMARY KEY, name TEXT, code TEXT UNIQUE)",
    "INSERT INTO mine VALUES (1, 'a', 'x'), (2, 'b', 'y')",
    "CREATE TABLE secret (id INTEGER PRIMARY KEY AUTOINCREMENT, word TEXT)",
    "INSERT INTO secret (word) VALUES ('hush'), ('whisper')",
    "CREATE INDEX secret_word ON secret (word)",
    "CREATE TABLE child (id INTEGER PRIMARY KEY, parent REFERENCES secret (id) ON DELETE CASCADE)",
    "CREATE VIEW window AS SELECT word FROM secret",
    "CREATE TABLE bait (id INTEGER PRIMARY KEY)",
    "CREATE TRIGGER trap AFTER INSERT ON bait BEGIN DELETE FROM secret; END",
    "CREATE TABLE swap (id INTEGER PRIMARY KEY)",
    "CREATE TRIGGER swapping AFTER INSERT ON swap BEGIN INSERT OR REPLACE INTO secret VALUES (1, 'new'); END",
    "CREATE VIEW door AS SELECT id FROM mine",
    "CREATE TRIGGER through INSTEAD OF INSERT ON door BEGIN UPDATE secret SET word = new.id; END",
    "CREATE VIRTUAL TABLE notes USING fts5(body)",
    "INSERT INTO notes VALUES ('a private note')",
    "CREATE TABLE \"Odd Name\" (\"A B\")",
    "CREATE TABLE whimbrel_ledger (id INTEGER)",
    "CREATE TABLE alembic_version (version_num TEXT)",
    "CREATE TABLE strict_key (a TEXT PRIMARY KEY, b TEXT) WITHOUT ROWID",
    "INSERT INTO strict_key VALUES ('k', 'v')",
    "CREATE VIEW whimbrel_note_view AS SELECT word FROM secret",
    // What a backfill that goes on has made.
    "CREATE TABLE noted (id INTEGER PRIMARY KEY, word TEXT)",
    "INSERT INTO noted VALUES (1, 'hush')",
    "CREATE TABLE whimbrel_notes_5eed (id integer PRIMARY KEY AUTOINCREMENT, k1 INTEGER)",
    "CREATE TRIGGER main.\"whimbrel_note_5eed\" AFTER INSERT ON noted BEGIN INSERT INTO \"whimbrel_notes_5eed\" (k1) VALUES (NEW.\"id\"); END",
    "CREATE TRIGGER main.\"whimbrel_note_5eed_update\" AFTER UPDATE ON noted BEGIN INSERT INTO \"whimbrel_notes_5eed\" (k1) VALUES (NEW.\"id\"); END",
    "ANALYZE",
];

/// What the attacker has.
const GRANTED: &str = "select mine(id, name); insert mine(name); insert bait; insert swap; insert door; select door; \
     update mine(name); create table own_*; alter table mine; create index on mine; select window; insert noted";

#[rustfmt::skip]
const ATTACKS: &[(&[&str], Stopped)] = &[
    // Reading.
    (&["SELECT word FROM secret"], ByStatements),
    (&["SELECT word FROM main.secret"], ByStatements),
    (&["SELECT word FROM \"SECRET\""], ByStatements),
    (&["SELECT [word] FROM [Secret] AS mine"], ByStatements),
    (&["SELECT count(*) FROM secret"], ByStatements),
    (&["SELECT 1 WHERE EXISTS (SELECT 1 FROM secret)"], ByStatements),
    (&["SELECT code FROM mine"], ByStatements),
    (&["SELECT * FROM mine"], ByStatements),
    (&["SELECT id FROM mine WHERE code = 'x'"], ByStatements),
    (&["SELECT id FROM mine ORDER BY code"], ByStatements),
    (&["SELECT id FROM mine GROUP BY code"], ByStatements),
    (&["SELECT id FROM mine JOIN secret USING (id)"], ByStatements),
    (&["SELECT word FROM window"], ByStatements),
    (&["SELECT count(*) FROM window"], ByStatements),
    (&["WITH mine AS (SELECT word FROM secret) SELECT * FROM mine"], ByStatements),
    (&["WITH s AS (SELECT count(*) AS n FROM secret) SELECT n FROM s"], ByStatements),
    (&["SELECT (SELECT word FROM secret LIMIT 1)"], ByStatements),
    (&["SELECT id FROM mine UNION SELECT word FROM secret"], ByStatements),
    (&["SELECT id IN secret FROM mine"], ByStatements),
    (&["SELECT sum(id) OVER (ORDER BY (SELECT word FROM secret)) FROM mine"], ByStatements),
    (&["SELECT * FROM json_each((SELECT json_group_array(word) FROM secret))"], ByStatements),
    (&["EXPLAIN SELECT word FROM secret"], ByStatements),
    (&["UPDATE mine SET name = (SELECT word FROM secret)"], ByStatements),
    (&["UPDATE mine SET name = word FROM secret"], ByStatements),
    (&["UPDATE mine SET name = code"], ByStatements),
    (&["UPDATE mine SET name = 'z' WHERE code = 'x'"], ByStatements),
    (&["UPDATE mine SET name = 'z' RETURNING code"], ByStatements),
    (&["INSERT INTO mine (name) VALUES ('z') RETURNING (SELECT word FROM secret)"], ByStatements),
    (&["INSERT INTO mine (name) SELECT word FROM secret"], ByStatements),
    (&["CREATE TABLE own_copy AS SELECT * FROM secret"], ByStatements),
    (&["CREATE TEMP TABLE secret AS SELECT * FROM main.secret"], ByStatements),
    (&["CREATE TEMP TABLE secret (word)", "SELECT word FROM main.secret"], ByStatements),
    (&["CREATE TEMP TABLE secret (word)", "SELECT count(*) FROM secret", "DROP TABLE temp.secret", "SELECT count(*) FROM secret"], ByStatements),
    (&["CREATE TEMP VIEW mine AS SELECT word FROM main.secret", "SELECT * FROM mine"], ByStatements),
    (&["CREATE TABLE own_t (a)", "CREATE TEMP VIEW own_t AS SELECT word FROM secret", "SELECT * FROM own_t"], ByStatements),
    (&["CREATE TABLE own_t (a)", "DROP TABLE own_t", "SELECT count(*) FROM secret"], ByStatements),
    (&["CREATE TABLE IF NOT EXISTS own_t AS SELECT id AS a FROM mine", "CREATE INDEX own_i ON own_t ((SELECT word FROM secret))"], Always),
    (&["SELECT * FROM notes_content"], ByStatements),
    (&["SELECT c0 FROM main.NOTES_CONTENT"], ByStatements),
    (&["SELECT body FROM notes"], ByStatements),
    (&["SELECT body FROM notes WHERE notes MATCH 'private'"], ByStatements),
    (&["CREATE VIRTUAL TABLE own_v USING fts5vocab(notes, row)", "SELECT term FROM own_v"], ByStatements),
    (&["CREATE VIRTUAL TABLE temp.own_v USING fts5vocab(main, notes, row)", "SELECT term FROM own_v"], ByStatements),
    (&["CREATE VIRTUAL TABLE own_f USING fts5(word, content='secret', content_rowid='id')", "SELECT word FROM own_f"], ByStatements),
    (&["CREATE VIRTUAL TABLE own_f USING fts5(word, content='secret', content_rowid='id')", "INSERT INTO own_f(own_f) VALUES ('rebuild')"], ByStatements),
    (&["CREATE VIRTUAL TABLE own_f USING fts4(word, content='secret')", "SELECT word FROM own_f"], ByStatements),
    (&["SELECT sample FROM sqlite_stat4"], ByStatements),
    (&["SELECT * FROM sqlite_stat1"], ByStatements),
    (&["SELECT seq FROM sqlite_sequence"], ByStatements),
    (&["CREATE TABLE own_copy AS SELECT * FROM sqlite_stat4"], ByStatements),
    (&["SELECT * FROM dbstat"], ByStatements),
    (&["SELECT count(*) FROM dbstat"], ByStatements),
    (&["SELECT * FROM alembic_version"], ByStatements),
    (&["SELECT count(*) FROM whimbrel_ledger"], ByStatements),
    (&["SELECT rtreecheck('secret')"], ByStatements),
    // Under the name of a trigger of Whimbrel's.
    (&["WITH whimbrel_note_ AS (SELECT word FROM secret) SELECT * FROM whimbrel_note_"], ByStatements),
    (&["WITH 'whimbrel_note_x' AS (SELECT word FROM secret) SELECT * FROM whimbrel_note_x"], ByStatements),
    (&["WITH 'whimbrel_note_x' AS (SELECT word FROM secret) SELECT * FROM 'whimbrel_note_x'"], ByStatements),
    (&["WITH [Whimbrel_Note_x] AS (SELECT count(*) FROM secret) SELECT * FROM [Whimbrel_Note_x]"], ByStatements),
    (&["WITH whimbrel_note_x AS MATERIALIZED (SELECT * FROM whimbrel_ledger) SELECT * FROM whimbrel_note_x"], ByStatements),
    (&["WITH whimbrel_note_5eed AS (SELECT word FROM secret) SELECT * FROM whimbrel_note_5eed"], ByStatements),
    (&["WITH \"whimbrel_note_5eed\" AS (SELECT id FROM noted) SELECT * FROM \"whimbrel_note_5eed\""], ByStatements),
    (&["WITH whimbrel_note_5eed_update AS (SELECT id, word FROM noted) SELECT * FROM whimbrel_note_5eed_update"], ByStatements),
    (&["INSERT INTO mine (name) WITH whimbrel_note_5eed AS (SELECT id FROM noted) SELECT id FROM whimbrel_note_5eed"], ByStatements),
    (&["SELECT * FROM (SELECT word FROM secret) AS whimbrel_note_5eed"], ByStatements),
    (&["SELECT word FROM secret AS whimbrel_note_5eed"], ByStatements),
    (&["SELECT * FROM whimbrel_note_view"], ByStatements),
    (&["CREATE VIEW whimbrel_note_5eed AS SELECT word FROM secret"], ByStatements),
    (&["CREATE TEMP TABLE t (a)", "CREATE TEMP TRIGGER whimbrel_note_5eed AFTER INSERT ON t BEGIN INSERT INTO t SELECT id FROM noted; END", "INSERT INTO t VALUES (1)"], ByStatements),
    (&["SELECT k1 FROM whimbrel_notes_5eed"], ByStatements),
    (&["CREATE TABLE own_c (x REFERENCES secret (id))"], ByStatements),
    (&["ALTER TABLE mine ADD COLUMN x REFERENCES secret (id)"], ByStatements),
    // Writing.
    (&["INSERT INTO secret (word) VALUES ('x')"], ByEither),
    (&["INSERT INTO main.\"Secret\" (word) VALUES ('x')"], ByEither),
    (&["INSERT INTO mine (code) VALUES ('z')"], ByStatements),
    (&["INSERT INTO mine VALUES (9, 'z', 'z')"], ByStatements),
    (&["INSERT INTO mine (name) VALUES ('z') ON CONFLICT DO UPDATE SET code = 'q'"], ByStatements),
    (&["REPLACE INTO mine (name) SELECT name FROM mine"], ByStatements),
    (&["UPDATE OR REPLACE mine SET name = 'z'"], ByStatements),
    (&["UPDATE secret SET word = 'x'"], ByEither),
    (&["UPDATE secret SET word = 'x' FROM mine"], ByEither),
    (&["UPDATE mine SET code = 'q' || name"], ByStatements),
    (&["UPDATE mine SET rowid = id + 100"], ByStatements),
    (&["DELETE FROM secret"], ByEither),
    (&["DELETE FROM secret WHERE id = 1"], ByEither),
    (&["DELETE FROM mine"], ByEither),
    (&["DELETE FROM strict_key"], ByEither),
    (&["REPLACE INTO strict_key VALUES ('k', 'w')"], ByEither),
    (&["WITH x AS (SELECT 1) DELETE FROM secret WHERE id IN x"], ByEither),
    (&["WITH x(w) AS (SELECT 'a') INSERT INTO secret (word) SELECT w FROM x"], ByEither),
    (&["INSERT INTO bait VALUES (1)"], ByEither),
    (&["INSERT INTO swap VALUES (1)"], ByEither),
    (&["INSERT INTO door VALUES (1)"], ByEither),
    (&["CREATE TEMP TABLE t (a)", "CREATE TEMP TRIGGER x AFTER INSERT ON t BEGIN DELETE FROM main.secret; END", "INSERT INTO t VALUES (1)"], ByEither),
    (&["CREATE TEMP TRIGGER x AFTER INSERT ON mine BEGIN DELETE FROM secret; END", "INSERT INTO mine (name) VALUES ('z')"], ByEither),
    (&["CREATE TEMP TRIGGER x AFTER INSERT ON mine BEGIN SELECT 1; END"], ByStatements),
    (&["CREATE TABLE own_t (a)", "CREATE TRIGGER own_x AFTER INSERT ON own_t BEGIN DELETE FROM secret; END"], ByEither),
    (&["CREATE TRIGGER x AFTER INSERT ON secret BEGIN SELECT 1; END"], ByEither),
    (&["CREATE TRIGGER x AFTER INSERT ON mine BEGIN SELECT 1; END"], ByEither),
    (&["CREATE TRIGGER x INSTEAD OF INSERT ON window BEGIN SELECT 1; END"], ByEither),
    (&["DROP TRIGGER trap"], ByEither),
    (&["CREATE VIEW own_v AS SELECT 1"], ByEither),
    (&["DROP VIEW window"], ByEither),
    (&["DROP VIEW window", "CREATE VIEW window AS SELECT word FROM secret"], ByEither),
    (&["DELETE FROM notes"], ByEither),
    (&["INSERT INTO notes(notes) VALUES ('rebuild')"], ByEither),
    (&["INSERT INTO notes(notes, rank) VALUES ('rank', 'bm25(10.0)')"], ByEither),
    (&["INSERT INTO notes VALUES ('x')"], ByEither),
    (&["UPDATE notes_content SET c0 = 'x'"], Always),
    (&["DROP TABLE notes_data"], Always),
    (&["DELETE FROM sqlite_sequence"], ByEither),
    (&["UPDATE sqlite_sequence SET seq = 0"], ByEither),
    (&["DELETE FROM sqlite_stat1"], ByEither),
    (&["INSERT INTO sqlite_stat1 VALUES ('mine', NULL, '9999999 1')"], ByEither),
    (&["UPDATE sqlite_schema SET sql = 'x'"], Always),
    (&["INSERT INTO sqlite_master VALUES ('table', 'x', 'x', 0, 'CREATE TABLE x (a)')"], Always),
    (&["DELETE FROM sqlite_temp_master"], Always),
    (&["INSERT INTO whimbrel_ledger VALUES (1)"], ByEither),
    (&["UPDATE alembic_version SET version_num = 'x'"], ByStatements),
    (&["DELETE FROM \"Alembic_Version\""], ByStatements),
    (&["CREATE TRIGGER x AFTER INSERT ON mine BEGIN DELETE FROM alembic_version; END"], ByEither),
    (&["ALTER TABLE mine RENAME TO whimbrel_mine"], ByEither),
    (&["DROP TABLE whimbrel_ledger"], ByEither),
    (&["CREATE TABLE whimbrel_lock (a)"], ByEither),
    (&["INSERT INTO whimbrel_notes_5eed (k1) VALUES (1)"], ByEither),
    (&["INSERT INTO noted (word) VALUES ('x')", "INSERT INTO whimbrel_notes_5eed (k1) VALUES (1)"], ByEither),
    (&["CREATE TEMP TABLE t (a)", "CREATE TEMP TRIGGER x AFTER INSERT ON t BEGIN INSERT INTO whimbrel_notes_5eed (k1) VALUES (1); END", "INSERT INTO t VALUES (1)"], ByEither),
    (&["DELETE FROM whimbrel_notes_5eed"], ByStatements),
    (&["INSERT INTO noted (word) VALUES ('x')", "DELETE FROM whimbrel_notes_5eed"], ByEither),
    (&["DROP TRIGGER whimbrel_note_5eed"], ByEither),
    // Definitions.
    (&["CREATE TABLE mine_too (a)"], ByEither),
    (&["CREATE TABLE \"OTHER\" (a)"], ByEither),
    (&["CREATE VIRTUAL TABLE other USING fts5(a)"], ByEither),
    (&["DROP TABLE secret"], ByEither),
    (&["DROP TABLE main.[SECRET]"], ByEither),
    (&["DROP TABLE mine"], ByEither),
    (&["DROP TABLE strict_key", "CREATE TABLE strict_key (a TEXT PRIMARY KEY, b TEXT) WITHOUT ROWID"], ByEither),
    (&["DROP TABLE notes"], ByEither),
    (&["ALTER TABLE secret ADD COLUMN x"], ByEither),
    (&["ALTER TABLE secret RENAME TO own_secret"], ByEither),
    (&["ALTER TABLE secret RENAME COLUMN word TO other"], ByEither),
    (&["ALTER TABLE strict_key DROP COLUMN b"], ByEither),
    (&["ALTER TABLE notes RENAME TO own_notes"], ByEither),
    (&["ALTER TABLE mine RENAME TO victim"], ByEither),
    (&["ALTER TABLE mine RENAME TO 'victim'"], ByEither),
    (&["ALTER TABLE mine RENAME TO own_t", "SELECT code FROM own_t"], ByStatements),
    (&["CREATE TABLE own_t (a)", "ALTER TABLE own_t RENAME TO secret2"], ByEither),
    (&["CREATE TABLE own_a (a)", "CREATE TABLE own_t (a)", "ALTER TABLE own_t RENAME TO own_b", "DROP TABLE own_b", "DELETE FROM secret"], ByEither),
    (&["CREATE INDEX own_i ON secret (word)"], ByEither),
    (&["CREATE UNIQUE INDEX secret_2 ON \"secret\" (id)"], ByEither),
    (&["DROP INDEX secret_word"], ByEither),
    (&["REINDEX secret_word"], ByStatements),
    (&["ANALYZE secret"], ByStatements),
    (&["CREATE TABLE own_t (a DEFAULT (send_mail('x')))"], ByStatements),
    (&["CREATE TABLE own_t (a DEFAULT (\"send_mail\" ('x')))"], ByStatements),
    (&["ALTER TABLE mine ADD COLUMN x DEFAULT (1 + evil())"], ByStatements),
    (&["CREATE TABLE own_t (a CHECK (rtreecheck(a)))"], ByStatements),
    (&["CREATE TABLE own_t (a)", "CREATE INDEX own_i ON own_t (rtreecheck(a))"], Always),
    // What is nobody's to do.
    (&["COMMIT"], Always),
    (&["END"], Always),
    (&["ROLLBACK"], Always),
    (&["BEGIN"], Always),
    (&["SAVEPOINT x"], Always),
    (&["RELEASE x"], Always),
    (&["ATTACH 'other.db' AS other"], Always),
    (&["ATTACH ':memory:' AS other"], Always),
    (&["DETACH main"], Always),
    (&["VACUUM"], Always),
    (&["VACUUM INTO 'copy.db'"], Always),
    (&["SELECT load_extension('x')"], Always),
    (&["SELECT fts3_tokenizer('simple')"], Always),
    (&["SELECT readfile('/etc/passwd')"], Always),
    (&["SELECT writefile('x', 'y')"], Always),
    (&["PRAGMA writable_schema = ON"], Always),
    (&["PRAGMA trusted_schema = ON"], Always),
    (&["PRAGMA journal_mode = OFF"], Always),
    (&["PRAGMA temp_store_directory = '/'"], Always),
    (&["PRAGMA hard_heap_limit = 1"], Always),
    (&["PRAGMA schema_version = 1"], Always),
    (&["SELECT * FROM pragma_writable_schema(1)"], Always),
    (&["SELECT * FROM pragma_database_list"], Always),
    (&["SELECT 1; DELETE FROM secret"], Always),
    (&["CREATE VIRTUAL TABLE own_v USING dbstat"], Always),
    (&["SELECT zeroblob(2000000000)"], Always),
    (&["SELECT printf('%2000000000d', 1)"], Always),
    (&["SELECT randomblob(2000000000)"], Always),
    (&["SELECT replace(printf('%200000000d', 1), ' ', 'xxxx')"], Always),
];

struct Fixture {
    _folder: TempDir,
    session: Box<dyn Session>,
}

impl Fixture {
    async fn new(schema: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            lock_timeout: Duration::from_millis(200),
            version_table: "alembic_version".to_owned(),
            run_lock: RunLockKind::Auto,
            isolation: whimbrel::driver::Isolation::None,
        };
        let path = Utf8Path::from_path(folder.path()).unwrap();
        let driver = driver::open("sqlite:app.db", path, &settings).unwrap();
        let mut session = driver.connect().await.unwrap();
        session.begin().await.unwrap();
        for sql in schema {
            session.run(sql).await.unwrap();
        }
        session.commit(&[], driver::Durability::Now).await.unwrap();
        session.begin().await.unwrap();
        Self {
            _folder: folder,
            session,
        }
    }

    /// Begins anew as a guest with a grant.
    async fn guest(&mut self, grant: &Grant) {
        self.session.assume(Authority::Host).await.unwrap();
        self.session.rollback().await.unwrap();
        self.session.begin().await.unwrap();
        let authority = Authority::Guest(Arc::new(grant.clone()));
        self.session.assume(authority).await.unwrap();
    }

    /// What the audit says.
    async fn audit(&mut self, grant: &Grant) -> Result<(), DriverError> {
        self.session.assume(Authority::Host).await.unwrap();
        let touched = self.session.touched().await?;
        for access in &touched.accesses {
            grant.in_lower_case().check(access, "main")?;
        }
        Ok(())
    }
}

fn grant(text: &str, layers: Layers) -> Grant {
    Grant {
        layers,
        ..Grant::only(text.parse().unwrap())
    }
}

const STATEMENTS: Layers = Layers {
    statements: Layer::On,
    ..Layers::NONE
};
const AUDIT: Layers = Layers {
    audit: Layer::On,
    ..Layers::NONE
};

async fn run(session: &mut dyn Session, sql: &str) -> Result<(), DriverError> {
    let rows = session.query(sql, &[], ResultLimit::NONE).await;
    rows.map(|_| ())
}

#[tokio::test]
async fn no_attack_gets_around_the_check_of_statements() {
    let mut fixture = Fixture::new(SCHEMA).await;
    let grant = grant(GRANTED, STATEMENTS);
    let mut through = Vec::new();
    for (attack, stopped) in ATTACKS {
        fixture.guest(&grant).await;
        let mut outcome = Ok(());
        let mut last = "";
        for sql in *attack {
            last = sql;
            outcome = run(&mut *fixture.session, sql).await;
            if outcome.is_err() {
                break;
            }
        }
        // What only prepares an attack is allowed.
        let harmless = [
            "CREATE TABLE own_",
            "CREATE TEMP TABLE",
            "CREATE TEMP VIEW",
            "ALTER TABLE own_",
            "ALTER TABLE mine RENAME TO own_",
            "DROP TABLE own_",
            "DROP TABLE temp.",
        ];
        let attacked =
            attack.last() == Some(&last) || !harmless.iter().any(|start| last.starts_with(start));
        let refused = attacked
            && match &outcome {
                Err(DriverError::NotGranted(_) | DriverError::Denied { .. }) => true,
                Err(_) => *stopped == Always,
                Ok(()) => false,
            };
        if !refused {
            through.push(format!("{attack:?}: {outcome:?}"));
        }
    }
    assert!(through.is_empty(), "{}", through.join("\n"));
}

#[tokio::test]
async fn no_write_gets_around_the_audit() {
    let mut fixture = Fixture::new(SCHEMA).await;
    let grant = grant(GRANTED, AUDIT);
    let mut through = Vec::new();
    let writes = ATTACKS.iter().filter(|(_, stopped)| *stopped == ByEither);
    for (attack, _) in writes {
        fixture.guest(&grant).await;
        for sql in *attack {
            if let Err(error) = run(&mut *fixture.session, sql).await {
                through.push(format!("{sql} does not run at all: {error}"));
            }
        }
        if fixture.audit(&grant).await.is_ok() {
            through.push(format!("{attack:?}"));
        }
        // The same, undone by the migration itself.
        fixture.guest(&grant).await;
        fixture.session.savepoint("s").await.unwrap();
        for sql in *attack {
            let _ = run(&mut *fixture.session, sql).await;
        }
        let undone = fixture.session.rollback_to_savepoint("s").await;
        if undone.is_ok() && fixture.audit(&grant).await.is_ok() {
            through.push(format!("{attack:?} in a savepoint"));
        }
    }
    assert!(through.is_empty(), "{}", through.join("\n"));
}

/// What is allowed with just these grants, and stays allowed when the audit looks at it.
#[rustfmt::skip]
const ALLOWED: &[(&str, &[&str])] = &[
    ("select mine(id)", &["SELECT id FROM mine", "SELECT count(*) FROM mine", "SELECT rowid FROM mine", "SELECT m.id FROM main.MINE AS m WHERE m.id > 0"]),
    ("select mine(id); select mine(name)", &["SELECT id, name FROM mine", "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9) SELECT count(*) FROM n", "SELECT id FROM mine WHERE name LIKE 'a%'"]),
    ("select mine", &["SELECT * FROM mine ORDER BY code", "SELECT lower(name), hex(randomblob(4)), row_number() OVER (ORDER BY id) FROM mine", "EXPLAIN QUERY PLAN SELECT * FROM mine"]),
    ("select \"MINE\"(\"ID\")", &["SELECT ID FROM Mine"]),
    ("select \"Odd Name\"", &["SELECT \"a b\" FROM \"ODD NAME\""]),
    ("select main.*; insert own", &["SELECT * FROM secret, mine"]),
    ("insert mine", &["INSERT INTO mine VALUES (7, 'g', 'g')", "INSERT INTO mine (name) VALUES ('h')", "INSERT OR IGNORE INTO mine (id) VALUES (7)"]),
    ("insert mine(name)", &["INSERT INTO mine (name) VALUES ('h')", "INSERT INTO \"main\".\"mine\" (\"Name\") VALUES ('i'), ('j')"]),
    ("insert secret(word)", &["INSERT INTO secret (word) VALUES ('autoincrement')"]),
    ("update mine(name); select mine(id)", &["UPDATE mine SET name = 'x' WHERE id = 1", "UPDATE mine SET name = upper('x')"]),
    ("insert mine; update mine(name); select mine(name, id)", &["INSERT INTO mine (id, name) VALUES (1, 'q') ON CONFLICT (id) DO UPDATE SET name = excluded.name RETURNING id"]),
    ("delete mine; select mine(id)", &["DELETE FROM mine WHERE id = 1", "DELETE FROM mine"]),
    ("delete mine; insert mine", &["REPLACE INTO mine VALUES (1, 'r', 'x')"]),
    ("select mine; update mine", &["UPDATE mine SET name = (SELECT max(m.name) FROM mine AS m) FROM (SELECT 1 AS one) AS o WHERE o.one = 1"]),
    ("", &["CREATE TEMP TABLE t (a)", "INSERT INTO t VALUES (1)", "SELECT count(*) FROM t", "CREATE TEMP VIEW v AS SELECT a FROM t", "SELECT a FROM v", "CREATE INDEX temp.i ON t (a)", "ALTER TABLE t ADD COLUMN b", "UPDATE temp.t SET b = 1", "CREATE TEMP TRIGGER x AFTER INSERT ON t BEGIN DELETE FROM t; END", "INSERT INTO t VALUES (2, 2)", "DROP TABLE t"]),
    ("", &["SELECT name FROM sqlite_schema", "PRAGMA table_info(mine)", "SELECT name FROM pragma_table_info('mine')", "SELECT value FROM json_each('[1]')", "SELECT count(*) FROM json_each('[1]')", "SELECT sqlite_version()"]),
    ("create table own_*", &["CREATE TABLE own_t (id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT UNIQUE DEFAULT (lower('X')) CHECK (length(a) < 9), b GENERATED ALWAYS AS (id * 2) STORED)", "INSERT INTO own_t (a) VALUES ('y') RETURNING id, b", "SELECT * FROM own_t", "SELECT count(*) FROM own_t", "CREATE INDEX own_i ON own_t (lower(a)) WHERE a > 'b'", "REINDEX own_i", "UPDATE own_t SET a = 'z' WHERE id = 1", "ALTER TABLE own_t ADD COLUMN c DEFAULT 1", "ALTER TABLE own_t RENAME COLUMN c TO d", "ALTER TABLE own_t DROP COLUMN d", "ALTER TABLE own_t RENAME TO own_u", "INSERT INTO own_u (a) VALUES ('w')", "DROP INDEX own_i", "DELETE FROM own_u", "DROP TABLE own_u"]),
    ("create table own_*; select mine", &["CREATE TABLE own_t AS SELECT * FROM mine", "DELETE FROM own_t"]),
    ("create table own_*; select secret(id)", &["CREATE TABLE own_t (s INTEGER REFERENCES secret (id))", "INSERT INTO own_t VALUES (1)"]),
    ("create table own_*", &["CREATE VIRTUAL TABLE own_f USING fts5(body)", "INSERT INTO own_f VALUES ('some text')", "SELECT body, highlight(own_f, 0, '<', '>') FROM own_f WHERE own_f MATCH 'text' ORDER BY rank", "INSERT INTO own_f(own_f) VALUES ('optimize')", "UPDATE own_f SET body = 'more'", "SELECT count(*) FROM own_f", "SELECT * FROM own_f_config", "DELETE FROM own_f", "ALTER TABLE own_f RENAME TO own_g", "INSERT INTO own_g VALUES ('x')", "DROP TABLE own_g"]),
    ("create table own_*", &["CREATE VIRTUAL TABLE own_r USING rtree(id, a, b)", "INSERT INTO own_r VALUES (1, 2, 3)", "SELECT id FROM own_r WHERE a < 3", "DROP TABLE own_r"]),
    ("insert notes", &["INSERT INTO notes VALUES ('another note')"]),
    // What is noted for a backfill that goes on needs no grant.
    ("insert noted", &["INSERT INTO noted (word) VALUES ('x'), ('y')"]),
    ("insert noted; update noted; select noted(id)", &["INSERT INTO noted (word) VALUES ('x')", "UPDATE noted SET word = 'y' WHERE id = 1", "INSERT INTO noted VALUES (1, 'z') ON CONFLICT (id) DO UPDATE SET word = 'z'", "UPDATE noted SET id = id + 100"]),
    ("insert noted; delete noted", &["REPLACE INTO noted VALUES (1, 'x')"]),
    ("insert noted; alter table noted; create table noted_2; insert noted_2", &["INSERT INTO noted (word) VALUES ('x')", "ALTER TABLE noted RENAME TO noted_2", "INSERT INTO noted_2 (word) VALUES ('x'), ('y')"]),
    ("insert noted; alter table noted", &["ALTER TABLE noted RENAME COLUMN id TO number", "INSERT INTO noted (word) VALUES ('x')"]),
    ("select notes", &["SELECT body FROM notes WHERE notes MATCH 'note'", "SELECT snippet(notes, 0, '', '', '', 5) FROM notes('private')"]),
    ("select notes(body, notes); update notes; delete notes", &["UPDATE notes SET body = 'b' WHERE notes MATCH 'private'", "DELETE FROM notes WHERE body = 'b'"]),
    ("drop table notes", &["DROP TABLE notes"]),
    ("create index on mine", &["CREATE INDEX any ON mine (name)", "CREATE UNIQUE INDEX some ON mine (lower(code)) WHERE code IS NOT NULL"]),
    ("drop index secret_word", &["DROP INDEX secret_word", "DROP INDEX IF EXISTS secret_word"]),
    ("alter table mine", &["ALTER TABLE mine ADD COLUMN extra TEXT NOT NULL DEFAULT 'e'", "ALTER TABLE mine ADD COLUMN checked INTEGER CHECK (checked > 0)", "ALTER TABLE mine RENAME COLUMN extra TO extras", "ALTER TABLE mine DROP COLUMN extras", "ANALYZE mine"]),
    ("alter table mine; create table yours", &["ALTER TABLE mine RENAME TO yours"]),
    ("alter table secret", &["ALTER TABLE secret RENAME COLUMN word TO term"]),
    ("drop table bait", &["DROP TABLE bait", "DROP TABLE IF EXISTS bait"]),
    ("drop table secret", &["DROP TABLE secret"]),
    ("code trigger on mine; delete mine; insert mine", &["CREATE TRIGGER t AFTER INSERT ON mine BEGIN DELETE FROM mine; END", "INSERT INTO mine (name) VALUES ('x')", "DROP TRIGGER t"]),
    ("code view *; select *", &["CREATE VIEW v AS SELECT id FROM mine", "SELECT id FROM v", "DROP VIEW v", "DROP VIEW window", "CREATE VIEW window AS SELECT word || 'x' AS word FROM secret"]),
    ("select window; select secret(word)", &["SELECT word FROM window"]),
    ("insert bait; delete secret", &["INSERT INTO bait VALUES (5)"]),
    ("insert swap; insert secret; delete secret", &["INSERT INTO swap VALUES (5)"]),
    ("select sqlite_sequence; update sqlite_sequence", &["UPDATE sqlite_sequence SET seq = 100 WHERE name = 'secret'"]),
    ("code default on own_t; create table own_t", &["CREATE TABLE own_t (a DEFAULT (app_made(1)))"]),
    // A table is rebuilt as SQLite advises.
    ("select mine; create table mine_new; create table mine; drop table mine; code trigger on mine; create index on mine; code view door; select door", &[
        "CREATE TABLE mine_new (id INTEGER PRIMARY KEY, name TEXT NOT NULL, code TEXT UNIQUE)",
        "INSERT INTO mine_new SELECT id, coalesce(name, ''), code FROM mine",
        "DROP VIEW door", "DROP TABLE mine", "ALTER TABLE mine_new RENAME TO mine",
        "CREATE INDEX by_name ON mine (name)",
        "CREATE VIEW door AS SELECT id FROM mine", "CREATE TRIGGER after AFTER INSERT ON mine BEGIN SELECT 1; END",
        "INSERT INTO mine (name) VALUES ('free')", "SELECT id FROM door",
    ]),
];

#[tokio::test]
async fn nothing_is_refused_that_is_granted() {
    let mut fixture = Fixture::new(SCHEMA).await;
    let mut refused = Vec::new();
    for (granted, statements) in ALLOWED {
        let grant = grant(granted, Layers::ALL);
        // Twice: the second time they come from the cache, where they may.
        for passes in [1, 2] {
            fixture.guest(&grant).await;
            for sql in *statements {
                for _ in 0..passes {
                    let repeats = passes == 1 || sql.starts_with("SELECT");
                    if let Err(error) = run(&mut *fixture.session, sql).await
                        && repeats
                        && !matches!(error, DriverError::Database(_) if passes == 2)
                    {
                        refused.push(format!("{granted}: {sql}: {error}"));
                    }
                }
            }
            if passes == 1
                && let Err(error) = fixture.audit(&grant).await
            {
                refused.push(format!("{granted}: the audit: {error}"));
            }
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

#[tokio::test]
async fn what_was_made_is_not_free_any_more_once_it_is_undone() {
    let mut fixture = Fixture::new(SCHEMA).await;
    let grant = grant("create table own_*", Layers::ALL);
    fixture.guest(&grant).await;
    let session = &mut *fixture.session;
    session.savepoint("a").await.unwrap();
    run(session, "CREATE TEMP TABLE secret (word)")
        .await
        .unwrap();
    run(session, "SELECT count(*) FROM secret").await.unwrap();
    session.rollback_to_savepoint("a").await.unwrap();
    let refused = run(session, "SELECT count(*) FROM secret").await;
    assert!(
        matches!(refused, Err(DriverError::NotGranted(_))),
        "{refused:?}"
    );
    session.savepoint("b").await.unwrap();
    run(session, "CREATE TABLE own_t (a)").await.unwrap();
    session.release_savepoint("b").await.unwrap();
    run(session, "INSERT INTO own_t VALUES (1)").await.unwrap();
    fixture.audit(&grant).await.unwrap();
}

#[tokio::test]
async fn more_rows_than_granted_end_the_call() {
    let mut fixture = Fixture::new(SCHEMA).await;
    let mut granted = grant(
        "insert mine; insert bait; delete secret; insert noted",
        Layers::ALL,
    );
    granted.limits.rows_written = 1_000;
    let many = "INSERT INTO mine (name) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
    for (sql, fits) in [
        (many, false),
        ("INSERT INTO bait VALUES (1)", true),
        ("INSERT INTO noted (word) VALUES ('one')", true),
        ("INSERT INTO mine (name) VALUES ('one')", true),
    ] {
        fixture.guest(&granted).await;
        let result = run(&mut *fixture.session, sql).await;
        if fits {
            result.unwrap();
            fixture.session.assume(Authority::Host).await.unwrap();
            let touched = fixture.session.touched().await.unwrap();
            // The rows of triggers count, but for those that are noted.
            let rows = if sql.contains("bait") { 3 } else { 1 };
            assert_eq!(touched.rows_written, rows, "{sql}");
            continue;
        }
        let is_limit = |result: &Result<(), DriverError>| {
            matches!(
                result,
                Err(DriverError::Limit {
                    unit: "rows written",
                    limit: 1_000
                })
            )
        };
        assert!(is_limit(&result), "{result:?}");
        let after = run(
            &mut *fixture.session,
            "INSERT INTO mine (name) VALUES ('one')",
        )
        .await;
        assert!(is_limit(&after), "{after:?}");
        fixture.session.assume(Authority::Host).await.unwrap();
        assert!(is_limit(&fixture.session.touched().await.map(|_| ())));
        let committed = fixture.session.commit(&[], driver::Durability::Now).await;
        assert!(committed.is_err());
    }
}

/// Statements that take too long wherever they are, the time for their preparation included.
#[tokio::test]
async fn every_bomb_is_defused() {
    let mut views: Vec<String> = vec!["a0 AS (SELECT 1 AS x)".to_owned()];
    for n in 1..40 {
        let before = n - 1;
        views.push(format!(
            "a{n} AS (SELECT p.x FROM a{before} AS p, a{before} AS q WHERE p.x IN (SELECT x FROM a{before}))"
        ));
    }
    let nested = format!("WITH {} SELECT x FROM a39", views.join(", "));
    let deep = format!("SELECT {}1{}", "(1 + ".repeat(100_000), ")".repeat(100_000));
    let wide = format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(100_000));
    let hungry = format!(
        "SELECT length(max({}))",
        ["randomblob(60000000)"; 90].join(", ")
    );
    let long = format!("SELECT {}", ["length(randomblob(60000000))"; 12].join(", "));
    let pattern = format!(
        "SELECT '{}' LIKE '{}b'",
        "a".repeat(100_000),
        "%a".repeat(2_000)
    );
    for sql in [
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
        nested.as_str(),
        deep.as_str(),
        wide.as_str(),
        hungry.as_str(),
        long.as_str(),
        pattern.as_str(),
    ] {
        let mut fixture = Fixture::new(SCHEMA).await;
        fixture.guest(&grant("", Layers::ALL)).await;
        let canceller = fixture.session.canceller();
        let started = std::time::Instant::now();
        let watch = async {
            for _ in 0..6 {
                tokio::time::sleep(Duration::from_millis(500)).await;
                canceller.cancel().await;
            }
        };
        let result = tokio::select! {
            result = run(&mut *fixture.session, sql) => Some(result),
            () = watch => None,
        };
        drop(fixture);
        let start: String = sql.chars().take(60).collect();
        assert!(!matches!(result, Some(Ok(()))), "{start}");
        // Three seconds of asking, five of waiting, and some for a machine that is busy.
        let took = started.elapsed();
        assert!(took < Duration::from_secs(15), "{start}: {took:?}");
    }
}
