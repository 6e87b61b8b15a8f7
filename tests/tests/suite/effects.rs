//! What is said of a statement is what servers do: each statement runs on PostgreSQL 13, 15 and 18, and the locks that it
//! takes and the files that it writes anew are compared.

mod cases;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio_postgres::Client;
use whimbrel::driver::Dialect;
use whimbrel::sql::effects::{
    ColumnType, Effects, ForeignKeys, InTransaction, LockMode, Part, Toll,
};
use whimbrel_tests::{Backend, Database, on_every_postgres};

use cases::{ALONE, CASES, Case, RETYPES, SETUP};

/// The strongest lock of each relation, by its name.
type Locks = BTreeMap<String, LockMode>;

const MODES: [(&str, LockMode); 8] = [
    ("AccessShareLock", LockMode::AccessShare),
    ("RowShareLock", LockMode::RowShare),
    ("RowExclusiveLock", LockMode::RowExclusive),
    ("ShareUpdateExclusiveLock", LockMode::ShareUpdateExclusive),
    ("ShareLock", LockMode::Share),
    ("ShareRowExclusiveLock", LockMode::ShareRowExclusive),
    ("ExclusiveLock", LockMode::Exclusive),
    ("AccessExclusiveLock", LockMode::AccessExclusive),
];

fn major(db: &Database) -> u32 {
    match db.backend() {
        Backend::Postgres(major) => major,
        Backend::Sqlite => panic!("SQLite locks no tables"),
    }
}

async fn rows(client: &Client, sql: &str) -> Vec<(String, String)> {
    let rows = client
        .query(sql, &[])
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// The relations of the schema by their oid, since a name may go: the name, and whether it is a table or view rather than
/// what belongs to one.
type Known = BTreeMap<String, (String, bool)>;

async fn relations(client: &Client) -> Known {
    let sql = "SELECT oid::text || ' ' || relname, (relkind IN ('r', 'p', 'v', 'm'))::int::text FROM pg_class
               WHERE relnamespace = 'public'::regnamespace";
    let split = |(name, kind): (String, String)| {
        let (oid, name) = name.split_once(' ').unwrap();
        (oid.to_owned(), (name.to_owned(), kind == "1"))
    };
    rows(client, sql).await.into_iter().map(split).collect()
}

async fn files(client: &Client) -> BTreeMap<String, String> {
    let sql = "SELECT relname::text, pg_relation_filenode(oid)::text FROM pg_class
               WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'm')";
    rows(client, sql).await.into_iter().collect()
}

/// What the text of a statement promises, with what only the catalog knows filled in.
async fn promised(client: &Client, effects: &Effects) -> Locks {
    let mut locks = Locks::new();
    let mut add = |name: String, mode: LockMode| {
        let there = locks.entry(name).or_insert(mode);
        *there = (*there).max(mode);
    };
    for lock in &effects.locks {
        let name = lock.relation.name.clone();
        match lock.part {
            Part::Itself => add(name.clone(), lock.mode),
            Part::TableOfIndex => {
                let sql = format!(
                    "SELECT t.relname::text, '' FROM pg_index JOIN pg_class t ON t.oid = indrelid
                     WHERE indexrelid = '{name}'::regclass"
                );
                for (table, _) in rows(client, &sql).await {
                    add(table, lock.mode);
                }
            }
        }
        for keys in &lock.foreign_keys {
            let which = match keys {
                ForeignKeys::All => format!("'{name}'::regclass IN (conrelid, confrelid)"),
                ForeignKeys::Named(key) => {
                    format!("conrelid = '{name}'::regclass AND conname = '{key}'")
                }
                ForeignKeys::OfColumn(column) => format!(
                    "conrelid = '{name}'::regclass AND (SELECT attnum FROM pg_attribute
                     WHERE attrelid = conrelid AND attname = '{column}') = ANY (conkey)"
                ),
            };
            let sql = format!(
                "SELECT o.relname::text, '' FROM pg_constraint JOIN pg_class o
                   ON o.oid = CASE conrelid WHEN '{name}'::regclass THEN confrelid ELSE conrelid END
                 WHERE contype = 'f' AND {which}"
            );
            for (table, _) in rows(client, &sql).await {
                add(table, lock.mode);
            }
        }
    }
    locks
}

/// Runs one statement in a transaction that is rolled back, and says what differs from what was promised.
async fn differs(client: &Client, case: &Case, known: &Known) -> Option<String> {
    let effects = Effects::of(case.sql, Dialect::Postgresql)
        .unwrap_or_else(|error| panic!("{}: {error}", case.sql));
    let mut expected = promised(client, &effects).await;
    for (name, mode) in case.also {
        expected.insert((*name).to_owned(), *mode);
    }
    let before = files(client).await;
    client.batch_execute("BEGIN").await.unwrap();
    if let Err(error) = client.batch_execute(case.sql).await {
        client.batch_execute("ROLLBACK").await.unwrap();
        return Some(format!("{}\n    fails: {error:?}", case.sql));
    }
    let observed = held(client, known).await;
    let after = files(client).await;
    client.batch_execute("ROLLBACK").await.unwrap();

    let is_table = |name: &String| known.values().any(|(there, table)| there == name && *table);
    let observed: Locks = observed
        .into_iter()
        .filter(|(name, _)| is_table(name) || expected.contains_key(name))
        .collect();
    let mut wrong = String::new();
    if observed != expected {
        wrong.push_str(&format!(
            "\n    locks: said {expected:?}\n           does {observed:?}"
        ));
    }
    let rewritten: BTreeSet<&String> = before
        .iter()
        .filter(|(name, file)| after.get(*name).is_some_and(|now| now != *file))
        .map(|(name, _)| name)
        .collect();
    let named = |toll: Toll| {
        effects
            .locks
            .iter()
            .filter(move |lock| lock.toll == toll)
            .map(|lock| lock.relation.to_string())
    };
    let said: BTreeSet<String> = named(Toll::Rewrite).collect();
    let is_emptied = case.sql.starts_with("TRUNCATE");
    if !is_emptied && !case.may_be_cheaper && said.iter().collect::<BTreeSet<_>>() != rewritten {
        wrong.push_str(&format!(
            "\n    rewrites: said {said:?}, does {rewritten:?}"
        ));
    }
    (!wrong.is_empty()).then(|| format!("{}{wrong}", case.sql))
}

/// What the session holds.
async fn held(client: &Client, known: &Known) -> Locks {
    let sql = "SELECT relation::text, mode FROM pg_locks
               WHERE pid = pg_backend_pid() AND locktype = 'relation'";
    let mut locks = Locks::new();
    for (oid, mode) in rows(client, sql).await {
        if let Some((name, _)) = known.get(&oid) {
            let mode = mode_of(&mode);
            let there = locks.entry(name.clone()).or_insert(mode);
            *there = (*there).max(mode);
        }
    }
    locks
}

fn mode_of(name: &str) -> LockMode {
    let found = MODES.iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("a lock mode {name}")).1
}

on_every_postgres! {
    async fn locks_and_rewrites_are_as_they_are_said(db: Database) {
        db.execute(SETUP).await;
        let client = db.connect_postgres().await;
        let known = relations(&client).await;
        let mut wrong = Vec::new();
        let mut run = 0;
        for case in CASES.iter().filter(|case| case.runs_on(major(&db))) {
            wrong.extend(differs(&client, case, &known).await);
            run += 1;
        }
        assert!(run >= 50, "{run} statements");
        assert!(wrong.is_empty(), "{} of {run}:\n{}", wrong.len(), wrong.join("\n"));
    }

    async fn a_type_of_the_same_form_rewrites_nothing(db: Database) {
        let client = db.connect_postgres().await;
        for (from, to) in RETYPES {
            client.batch_execute(&format!(
                "DROP TABLE IF EXISTS r; CREATE TABLE r (v {from}); INSERT INTO r VALUES (NULL)"
            )).await.unwrap();
            let sql = format!("ALTER TABLE r ALTER COLUMN v TYPE {to}");
            let mut effects = Effects::of(&sql, Dialect::Postgresql).unwrap();
            let types = "SELECT typname::text, atttypmod::text FROM pg_attribute JOIN pg_type ON pg_type.oid = atttypid
                         WHERE attrelid = 'r'::regclass AND attnum = 1";
            let (of_type, modifier) = rows(&client, types).await.remove(0);
            let modifier = modifier.parse().unwrap();
            let column = ColumnType { column: "v".to_owned(), of_type, modifier, is_checked: false };
            effects.settle(|_| Some(column.clone()));
            let before = files(&client).await;
            client.batch_execute(&sql).await.unwrap();
            let rewritten = files(&client).await != before;
            assert_eq!(effects.toll() == Toll::Rewrite, rewritten, "{from} to {to}");
            assert_eq!(effects.losses.is_empty(), !rewritten, "{from} to {to}");
        }
    }

    async fn what_runs_alone_waits_for_the_lock_that_is_said(db: Database) {
        db.execute(SETUP).await;
        for (sql, table, since) in ALONE {
            if major(&db) < *since {
                continue;
            }
            let effects = Effects::of(sql, Dialect::Postgresql).unwrap();
            assert_eq!(effects.transaction, InTransaction::Refused, "{sql}");
            let watcher = db.connect_postgres().await;
            let said = promised(&watcher, &effects).await;
            let inside = watcher.batch_execute(&format!("BEGIN; {sql}")).await.unwrap_err();
            let code = inside.code().map(|code| code.code().to_owned());
            assert_eq!(code.as_deref(), Some("25001"), "{sql}");
            watcher.batch_execute("ROLLBACK").await.unwrap();

            let blocker = db.connect_postgres().await;
            blocker
                .batch_execute(&format!("BEGIN; LOCK TABLE {table} IN SHARE UPDATE EXCLUSIVE MODE"))
                .await
                .unwrap();
            let worker = db.connect_postgres().await;
            let work = tokio::spawn(async move { worker.batch_execute(sql).await });
            let waits = waiting(&watcher).await;
            assert_eq!(said.get(*table), Some(&waits), "{sql}");
            let before = files(&watcher).await;
            blocker.batch_execute("ROLLBACK").await.unwrap();
            work.await.unwrap().unwrap_or_else(|error| panic!("{sql}: {error:?}"));
            let after = files(&watcher).await;
            let rewritten = before.get(*table) != after.get(*table);
            let says = effects.locks.iter().any(|lock| lock.toll == Toll::Rewrite);
            assert_eq!(rewritten, says, "{sql}");
        }
    }
}

/// The mode that somebody waits for on a table of the database.
async fn waiting(client: &Client) -> LockMode {
    let sql = "SELECT relname::text, mode FROM pg_locks JOIN pg_class ON pg_class.oid = relation
               WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    for _ in 0..400 {
        if let Some((_, mode)) = rows(client, sql).await.first() {
            return mode_of(mode);
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("nobody waits");
}
