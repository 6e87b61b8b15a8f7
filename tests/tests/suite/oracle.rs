//! What is read from a statement is what servers see in it: random statements run as a role that has exactly the rights
//! that were read, and the tables that are locked are compared with those that were named.
//!
//! `WHIMBREL_TEST_ORACLE` is the number of statements for each server, `WHIMBREL_TEST_ORACLE_SEED` where the generator starts.
//!
//! A lock may be on a relation that was not named where the server gets there from one that was: from a view to what is
//! below it, from a table to its partitions and children, its indexes and its sequences.

mod definitions;
mod generator;
mod locks;

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use whimbrel::capability::{Access, Action, Columns, Name};
use whimbrel::sql::access::{
    Catalog, Changes, Context, Origin, Outcome, Parsed, Relation, RelationKind, Routine, Subject,
    Wanted,
};
use whimbrel::sql::guard::Protected;
use whimbrel_tests::{Database, on_every_postgres};

use generator::Generator;

const SETUP: &str = r#"
CREATE SCHEMA app;
CREATE TABLE users (id text PRIMARY KEY, email text, name text, ssn text);
CREATE TABLE orders (id text PRIMARY KEY, user_id text REFERENCES users, total text, note text);
CREATE TABLE "Odd Name" (id text, "A b" text, "select" text);
CREATE TABLE app.users (id text, login text);
CREATE TABLE parts (id text, kind text, body text) PARTITION BY LIST (kind);
CREATE TABLE parts_a PARTITION OF parts FOR VALUES IN ('a');
CREATE TABLE parts_rest PARTITION OF parts DEFAULT;
CREATE TABLE animals (id text, name text);
CREATE TABLE birds (wings text) INHERITS (animals);
CREATE VIEW people AS SELECT id, email FROM users;
CREATE VIEW bills AS SELECT o.id, o.total, u.name FROM orders o JOIN users u ON u.id = o.user_id;
CREATE MATERIALIZED VIEW totals AS SELECT user_id AS id, max(total) AS total FROM orders GROUP BY user_id;
INSERT INTO users VALUES ('1', 'a@b', 'a', 's'), ('2', 'b@b', 'b', 't');
INSERT INTO orders VALUES ('1', '1', '5', 'n');
INSERT INTO parts VALUES ('1', 'a', 'x'), ('2', 'b', 'y');
INSERT INTO birds VALUES ('1', 'wren', '2');
"#;

/// The relations of the test, by their names.
struct Schema {
    relations: BTreeMap<Name, Relation>,
    /// For each relation what the server may get to from it.
    below: BTreeMap<String, BTreeSet<String>>,
}

async fn pairs(client: &Client, sql: &str) -> Vec<(String, String)> {
    let rows = client.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

impl Schema {
    async fn read(client: &Client) -> Self {
        let mut relations = BTreeMap::new();
        let sql = "SELECT n.nspname::text, c.relname::text, c.relkind::text,
                          array(SELECT attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND attnum > 0
                                AND NOT attisdropped ORDER BY attnum)
                   FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
                   WHERE n.nspname IN ('public', 'app') AND relkind IN ('r', 'p', 'v', 'm')";
        for row in client.query(sql, &[]).await.unwrap() {
            let name = Name::new(row.get::<_, String>(0), row.get::<_, String>(1));
            let kind = match row.get::<_, &str>(2) {
                "v" => RelationKind::View,
                "m" => RelationKind::MaterializedView,
                _ => RelationKind::Table,
            };
            let columns = row.get(3);
            relations.insert(
                name.clone(),
                Relation {
                    name,
                    kind,
                    columns,
                    types: BTreeSet::new(),
                },
            );
        }
        let direct = pairs(
            client,
            "SELECT inhparent::regclass::text, inhrelid::regclass::text FROM pg_inherits
             UNION SELECT indrelid::regclass::text, indexrelid::regclass::text FROM pg_index
             UNION SELECT ev_class::regclass::text, refobjid::regclass::text FROM pg_depend
               JOIN pg_rewrite r ON r.oid = objid AND classid = 'pg_rewrite'::regclass
               WHERE refclassid = 'pg_class'::regclass AND ev_class <> refobjid
             UNION SELECT conrelid::regclass::text, confrelid::regclass::text FROM pg_constraint WHERE contype = 'f'
             UNION SELECT confrelid::regclass::text, conrelid::regclass::text FROM pg_constraint WHERE contype = 'f'",
        )
        .await;
        let mut below: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (from, to) in direct {
            below.entry(from).or_default().insert(to);
        }
        Self { relations, below }
    }

    /// What the server may get to from these.
    fn reach(&self, mut names: BTreeSet<String>) -> BTreeSet<String> {
        loop {
            let more: BTreeSet<String> = names
                .iter()
                .filter_map(|name| self.below.get(name))
                .flatten()
                .filter(|name| !names.contains(*name))
                .cloned()
                .collect();
            if more.is_empty() {
                return names;
            }
            names.extend(more);
        }
    }

    fn answer(&self, catalog: &mut Catalog, wanted: &Wanted) {
        catalog.expect(wanted);
        catalog.default_schema = "public".to_owned();
        for written in &wanted.relations {
            let schema = written.schema.as_deref().unwrap_or("public");
            if let Some(found) = self.relations.get(&Name::new(schema, written.name.clone())) {
                catalog.add_relation(written.clone(), found.clone(), 1);
            }
        }
        for written in &wanted.functions {
            if generator::FUNCTIONS.contains(&written.name.as_str()) {
                let name = Name::new("pg_catalog", written.name.clone());
                let origin = Origin::Server;
                let routine = Routine {
                    name,
                    origin,
                    types: BTreeSet::new(),
                };
                catalog.add_function(written.clone(), routine);
            }
        }
    }

    /// What is read from a statement.
    fn accesses(&self, sql: &str) -> Result<Vec<Access>, String> {
        let refused = |refusal: whimbrel::sql::access::Refusal| refusal.to_string();
        let parsed = Parsed::new(sql).map_err(refused)?.unwrap();
        let mut catalog = Catalog::default();
        let (changes, protected) = (Changes::default(), Protected::new("whimbrel_version"));
        for _ in 0..8 {
            let context = Context {
                catalog: &catalog,
                changes: &changes,
                protected: &protected,
                subject: Subject::Component,
            };
            match parsed.read(&context).map_err(refused)? {
                Outcome::Read(reading) => {
                    return Ok(reading
                        .accesses
                        .into_iter()
                        .map(|found| found.access)
                        .collect());
                }
                Outcome::Ask(wanted) => self.answer(&mut catalog, &wanted),
            }
        }
        Err("it asks for ever more names".to_owned())
    }

    /// The right that the server calls an access by.
    fn right(&self, access: &Access) -> String {
        let verb = match access.action {
            Action::Select => "SELECT",
            Action::Insert => "INSERT",
            Action::Update => "UPDATE",
            Action::Delete => "DELETE",
            Action::Truncate => "TRUNCATE",
            other => panic!("no statement of the generator's needs `{other}`"),
        };
        let columns = match &access.columns {
            Columns::All => String::new(),
            Columns::Some(names) => {
                // The number of rows is told by any column.
                let any = self
                    .relations
                    .get(&access.object)
                    .and_then(|table| table.columns.first());
                let names: Vec<String> = match names.is_empty() {
                    true => any.into_iter().map(|name| quoted(name)).collect(),
                    false => names.iter().map(|name| quoted(name)).collect(),
                };
                format!(" ({})", names.join(", "))
            }
        };
        format!("{verb}{columns} ON {}", full(&access.object))
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn full(name: &Name) -> String {
    format!(
        "{}.{}",
        quoted(name.schema.as_deref().unwrap_or("public")),
        quoted(&name.name)
    )
}

/// What came of a statement.
enum Verdict {
    /// It ran, and did what was read from it.
    Ran,
    /// The server does not take it, for other reasons than rights.
    Invalid,
    Wrong(String),
}

async fn try_one(client: &Client, schema: &Schema, role: &str, sql: &str) -> Verdict {
    let accesses = match schema.accesses(sql) {
        Ok(accesses) => accesses,
        Err(why) => return Verdict::Wrong(format!("refused: {why}")),
    };
    let mut setup = format!("BEGIN; CREATE ROLE {role}; GRANT USAGE ON SCHEMA app TO {role};");
    for access in &accesses {
        setup.push_str(&format!("GRANT {} TO {role};", schema.right(access)));
    }
    setup.push_str(&format!("SET LOCAL ROLE {role}"));
    if let Err(error) = client.batch_execute(&setup).await {
        client.batch_execute("ROLLBACK").await.unwrap();
        return Verdict::Wrong(format!(
            "what was read cannot be granted: {accesses:?}: {error:?}"
        ));
    }
    let ran = client.batch_execute(sql).await;
    let verdict = match ran {
        Ok(()) => {
            let held: BTreeSet<String> = pairs(
                client,
                "SELECT relation::regclass::text, '' FROM pg_locks l JOIN pg_class c ON c.oid = relation
                 JOIN pg_namespace n ON n.oid = relnamespace
                 WHERE pid = pg_backend_pid() AND locktype = 'relation' AND nspname IN ('public', 'app')",
            )
            .await
            .into_iter()
            .map(|(name, _)| name)
            .collect();
            let named = accesses.iter().map(|access| {
                let name = access.object.to_string();
                name.strip_prefix("public.").unwrap_or(&name).to_owned()
            });
            let reached = schema.reach(
                named
                    .map(|name| name.replace("\"select\"", "select"))
                    .collect(),
            );
            let unnamed: Vec<_> = held.difference(&reached).collect();
            match unnamed.is_empty() {
                true => Verdict::Ran,
                false => Verdict::Wrong(format!("locks {unnamed:?} besides {reached:?}")),
            }
        }
        Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            let granted: Vec<String> = accesses.iter().map(ToString::to_string).collect();
            Verdict::Wrong(format!("{error:?}\n    read: {}", granted.join("; ")))
        }
        Err(_) => Verdict::Invalid,
    };
    client.batch_execute("ROLLBACK").await.unwrap();
    verdict
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

on_every_postgres! {
    async fn servers_see_in_a_statement_what_is_read_from_it(db: Database) {
        db.execute(SETUP).await;
        let client = db.connect_postgres().await;
        let schema = Schema::read(&client).await;
        let role = format!("probe_{}", db.value("SELECT oid FROM pg_database WHERE datname = current_database()").await);
        let (count, seed) = (setting("WHIMBREL_TEST_ORACLE", 300), setting("WHIMBREL_TEST_ORACLE_SEED", 1));
        let mut generator = Generator::new(seed);
        let (mut ran, mut wrong) = (0_u64, Vec::new());
        for _ in 0..count {
            let sql = generator.statement();
            match try_one(&client, &schema, &role, &sql).await {
                Verdict::Ran => ran += 1,
                Verdict::Invalid => {}
                Verdict::Wrong(why) => wrong.push(format!("{sql}\n  {why}")),
            }
            if wrong.len() >= 5 {
                break;
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
        assert!(ran * 3 > count, "only {ran} of {count} statements ran");
    }
}
