//! What a statement locks was read from it: statements of all kinds run in a transaction that is
//! rolled back, each lock on a relation needs an access that explains its mode.
//!
//! A lock may be on a relation that the statement does not name where the server gets there from one that it does, and
//! that is the business of the look at the transaction before it commits: see [`TIES`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use tokio_postgres::Client;
use whimbrel::capability::{Access, Action, Name};
use whimbrel::sql::access::{
    Catalog, Changes, Context, Origin, Outcome, Parsed, Relation, RelationKind, Routine, Subject,
    Type, Wanted,
};
use whimbrel::sql::guard::Protected;
use whimbrel_tests::{Database, on_every_postgres};

use super::{definitions, setting};

const SETUP: &str = r#"
CREATE SCHEMA app; CREATE SCHEMA spare; CREATE SCHEMA "Odd Schema";
CREATE TABLE isle (id int PRIMARY KEY, n int, s text);
CREATE INDEX isle_by_n ON isle (n);
CREATE TABLE reef (id int PRIMARY KEY, n int, s text);
CREATE TABLE app.isle (id int PRIMARY KEY, n int, s text);
CREATE TABLE app.cove (id int PRIMARY KEY, n int, s text);
CREATE TABLE "Odd Schema"."Weird ""Table" (id int PRIMARY KEY, n int, s text);
CREATE TABLE "select" (id int PRIMARY KEY, n int, s text);
CREATE TABLE owner (id int PRIMARY KEY, n int, s text);
CREATE TABLE item (id int PRIMARY KEY, n int REFERENCES owner ON DELETE CASCADE, s text);
CREATE TABLE ranges (id int, n int, s text) PARTITION BY RANGE (id);
CREATE TABLE ranges_low PARTITION OF ranges FOR VALUES FROM (0) TO (100) PARTITION BY RANGE (id);
CREATE TABLE ranges_low_a PARTITION OF ranges_low FOR VALUES FROM (0) TO (50);
CREATE TABLE ranges_high PARTITION OF ranges FOR VALUES FROM (100) TO (5000);
CREATE TABLE base (id int, n int, s text);
CREATE TABLE derived (more int) INHERITS (base);
CREATE TABLE audit_log (id int); CREATE TABLE rule_log (id int);
CREATE TABLE audited (id int, n int, s text);
CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS
  $$BEGIN IF TG_TABLE_NAME = 'audited' THEN INSERT INTO audit_log VALUES (1); END IF; RETURN new; END$$;
CREATE TRIGGER noted BEFORE INSERT ON audited FOR EACH ROW EXECUTE FUNCTION noted();
CREATE TABLE ruled (id int, n int, s text);
CREATE RULE copied AS ON INSERT TO ruled DO ALSO INSERT INTO rule_log VALUES (new.id);
CREATE SEQUENCE numbers; CREATE SEQUENCE app.steps;
CREATE TABLE numbered (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int, s text, more serial);
CREATE VIEW isle_view AS SELECT id, n, s FROM isle;
CREATE VIEW deep_view AS SELECT v.id, r.n, v.s FROM isle_view v JOIN reef r USING (id);
CREATE MATERIALIZED VIEW stored AS SELECT id, n, s FROM app.cove;
CREATE TYPE threes AS (id int, n int, s text);
CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql AS 'SELECT $1 * 2';
INSERT INTO isle VALUES (1, 1, 'a'), (2, 1, 'b'); INSERT INTO reef TABLE isle; INSERT INTO app.isle TABLE isle;
INSERT INTO owner TABLE isle; INSERT INTO item TABLE isle; INSERT INTO ranges TABLE isle; INSERT INTO ranges VALUES (200, 2, 'c');
INSERT INTO derived VALUES (1, 1, 'a', 1); INSERT INTO audited TABLE isle; INSERT INTO numbered (n, s) SELECT n, s FROM isle;
"#;

/// How much a lock or an access is: what explains the greater explains the less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    Reads,
    Writes,
    Defines,
}

/// Where the server gets to from a relation by itself: from, to, and the least weight that leads there.
const TIES: &str = "
    -- From a table to its partitions and children, and from these to what they are part of.
    SELECT inhparent, inhrelid, 0 FROM pg_inherits UNION SELECT inhrelid, inhparent, 0 FROM pg_inherits
    -- From a table to its indexes, and back.
    UNION SELECT indrelid, indexrelid, 0 FROM pg_index UNION SELECT indexrelid, indrelid, 0 FROM pg_index
    -- From a view to what is behind it, and from a table to what its rules write.
    UNION SELECT ev_class, refobjid, 0 FROM pg_depend JOIN pg_rewrite r ON r.oid = objid AND classid = 'pg_rewrite'::regclass
      WHERE refclassid = 'pg_class'::regclass AND ev_class <> refobjid
    -- Between the tables of a foreign key, when either is written.
    UNION SELECT conrelid, confrelid, 1 FROM pg_constraint WHERE contype = 'f'
    UNION SELECT confrelid, conrelid, 1 FROM pg_constraint WHERE contype = 'f'
    -- From a table to the sequences of its columns.
    UNION SELECT d.refobjid, d.objid, 1 FROM pg_depend d JOIN pg_class c ON c.oid = objid AND relkind = 'S'
      WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
    -- From a sequence that is defined anew to the table that it belongs to.
    UNION SELECT d.objid, d.refobjid, 2 FROM pg_depend d JOIN pg_class c ON c.oid = objid AND relkind = 'S'
      WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
    -- From a table to what its triggers write.
    UNION SELECT 'audited'::regclass, 'audit_log'::regclass, 1";

struct Known {
    name: Name,
    relation: Relation,
}

struct World {
    by_oid: BTreeMap<u32, Known>,
    by_name: HashMap<Name, u32>,
    ties: Vec<(u32, u32, Weight)>,
    functions: HashMap<String, Vec<String>>,
    types: HashMap<String, Vec<String>>,
}

/// The schemas of names that are written without one, in their order.
const PATH: [&str; 2] = ["pg_catalog", "public"];

impl World {
    async fn read(client: &Client) -> Self {
        let mut by_oid = BTreeMap::new();
        let sql = "SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text,
                          array(SELECT attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND attnum > 0
                                AND NOT attisdropped ORDER BY attnum)
                   FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname <> 'pg_toast'";
        for row in client.query(sql, &[]).await.unwrap() {
            let name = Name::new(row.get::<_, String>(1), row.get::<_, String>(2));
            let kind = match row.get::<_, &str>(3) {
                "r" | "p" => RelationKind::Table,
                "v" => RelationKind::View,
                "m" => RelationKind::MaterializedView,
                "S" => RelationKind::Sequence,
                "i" | "I" => RelationKind::Index,
                "c" => RelationKind::Composite,
                _ => RelationKind::Other,
            };
            let relation = Relation {
                name: name.clone(),
                kind,
                columns: row.get(4),
                types: BTreeSet::new(),
            };
            by_oid.insert(row.get(0), Known { name, relation });
        }
        let by_name = by_oid
            .iter()
            .map(|(oid, known)| (known.name.clone(), *oid))
            .collect();
        let ties = client.query(TIES, &[]).await.unwrap();
        let ties = ties
            .iter()
            .map(|row| {
                let weight = match row.get::<_, i32>(2) {
                    0 => Weight::Reads,
                    1 => Weight::Writes,
                    _ => Weight::Defines,
                };
                (row.get(0), row.get(1), weight)
            })
            .collect();
        let names = |rows: Vec<tokio_postgres::Row>| {
            let mut all: HashMap<String, Vec<String>> = HashMap::new();
            for row in rows {
                all.entry(row.get(0)).or_default().push(row.get(1));
            }
            all
        };
        let from = "JOIN pg_namespace n ON n.oid =";
        let functions = format!(
            "SELECT DISTINCT proname::text, nspname::text FROM pg_proc {from} pronamespace"
        );
        let types = format!("SELECT typname::text, nspname::text FROM pg_type {from} typnamespace");
        Self {
            by_oid,
            by_name,
            ties,
            functions: names(client.query(&functions, &[]).await.unwrap()),
            types: names(client.query(&types, &[]).await.unwrap()),
        }
    }

    fn answer(&self, catalog: &mut Catalog, wanted: &Wanted) {
        catalog.expect(wanted);
        catalog.default_schema = "public".to_owned();
        let places = |written: &Name| -> Vec<(i32, String)> {
            let named = written.schema.iter().cloned();
            match written.schema {
                Some(_) => (0..).zip(named).collect(),
                None => (0..).zip(PATH.map(str::to_owned)).collect(),
            }
        };
        for written in &wanted.relations {
            for (rank, schema) in places(written) {
                let oid = self.by_name.get(&Name::new(schema, written.name.clone()));
                if let Some(known) = oid.and_then(|oid| self.by_oid.get(oid)) {
                    catalog.add_relation(written.clone(), known.relation.clone(), rank);
                }
            }
        }
        for written in &wanted.functions {
            for (_, schema) in places(written) {
                if self
                    .functions
                    .get(&written.name)
                    .is_some_and(|schemas| schemas.contains(&schema))
                {
                    let origin = if schema == "pg_catalog" {
                        Origin::Server
                    } else {
                        Origin::Other
                    };
                    let name = Name::new(schema, written.name.clone());
                    let routine = Routine {
                        name,
                        origin,
                        types: BTreeSet::new(),
                    };
                    catalog.add_function(written.clone(), routine);
                }
            }
        }
        for written in &wanted.types {
            for (rank, schema) in places(written) {
                if self
                    .types
                    .get(&written.name)
                    .is_some_and(|schemas| schemas.contains(&schema))
                {
                    let name = Name::new(schema, written.name.clone());
                    let parts = BTreeSet::new();
                    catalog.add_type(written.clone(), Type { name, parts }, rank);
                }
            }
        }
    }

    fn accesses(&self, sql: &str) -> Result<Vec<Access>, String> {
        let refused = |refusal: whimbrel::sql::access::Refusal| refusal.to_string();
        let parsed = Parsed::new(sql)
            .map_err(refused)?
            .ok_or("nothing to read")?;
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

    /// The weight of what may happen to each relation: what was read from the statement, and what follows from it.
    fn explained(&self, accesses: &[Access]) -> BTreeMap<u32, Weight> {
        let mut all = BTreeMap::new();
        for access in accesses {
            let schema = access.object.schema.as_deref().unwrap_or("public");
            if let Some(oid) = self
                .by_name
                .get(&Name::new(schema, access.object.name.clone()))
            {
                let weight = weight(access.action).max(*all.get(oid).unwrap_or(&Weight::Reads));
                all.insert(*oid, weight);
            }
        }
        loop {
            let mut news = Vec::new();
            for (from, to, least) in &self.ties {
                if let Some(weight) = all.get(from)
                    && weight >= least
                    && all.get(to).is_none_or(|there| there < weight)
                {
                    news.push((*to, *weight));
                }
            }
            if news.is_empty() {
                return all;
            }
            all.extend(news);
        }
    }

    /// What of the locks no access explains.
    fn unexplained(&self, accesses: &[Access], locks: &[(u32, String)], sql: &str) -> Vec<String> {
        let explained = self.explained(accesses);
        let mut wrong = Vec::new();
        for (oid, mode) in locks {
            // What has just been made is not known from before, and the server's own relations are no business of a grant.
            let Some(known) = self.by_oid.get(oid) else {
                continue;
            };
            if is_idle(known, mode, sql) {
                continue;
            }
            let needed = needed(mode, known.relation.kind, sql);
            match explained.get(oid) {
                Some(weight) if *weight >= needed => {}
                weight => wrong.push(format!(
                    "{} is locked in {mode}, and read is {weight:?}",
                    known.name
                )),
            }
        }
        wrong
    }
}

fn weight(action: Action) -> Weight {
    match action {
        Action::Select => Weight::Reads,
        Action::Insert
        | Action::Update
        | Action::Delete
        | Action::Write
        | Action::Copy
        | Action::Call => Weight::Writes,
        Action::Truncate
        | Action::Create(_)
        | Action::Alter(_)
        | Action::Drop(_)
        | Action::Code(_)
        | Action::Grant
        | Action::Extension => Weight::Defines,
    }
}

/// The least that must have been read from a statement that locks a relation.
fn needed(mode: &str, kind: RelationKind, sql: &str) -> Weight {
    match mode {
        "AccessShareLock" => Weight::Reads,
        // The server locks a sequence so whenever it looks at it.
        "RowExclusiveLock" if kind == RelationKind::Sequence && sql.contains("currval") => {
            Weight::Reads
        }
        // It locks so before it knows that nothing is to be done.
        "RowExclusiveLock" if sql.starts_with("MERGE") && sql.ends_with("THEN DO NOTHING") => {
            Weight::Reads
        }
        "RowShareLock" | "RowExclusiveLock" => Weight::Writes,
        // LOCK TABLE changes nothing.
        _ if sql.starts_with("LOCK") => Weight::Writes,
        // A table that a new foreign key leads to is read.
        "ShareRowExclusiveLock" if sql.contains("REFERENCES") => Weight::Reads,
        _ => Weight::Defines,
    }
}

/// Whether a lock tells of no rows and no definition of a table.
fn is_idle(known: &Known, mode: &str, sql: &str) -> bool {
    let is_server = known
        .name
        .schema
        .as_deref()
        .is_some_and(|schema| ["pg_catalog", "information_schema"].contains(&schema));
    // A composite type has no rows, and the text of a view is open to everyone.
    let is_looked_at = mode == "AccessShareLock"
        && (known.relation.kind == RelationKind::Composite || sql.contains("pg_get_viewdef"));
    is_server || is_looked_at
}

const LOCKS: &str = "SELECT relation, mode FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation'
     AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND relation >= 16384";

/// What came of some statements, by what it was.
#[derive(Default)]
struct Tally {
    explained: u64,
    invalid: u64,
    refused: BTreeMap<String, (u64, String)>,
    wrong: Vec<String>,
}

async fn try_one(client: &Client, world: &World, seed: u64, tally: &mut Tally) {
    let sql = definitions::statement(seed);
    let read = world.accesses(&sql);
    let (before, ran, locks, after) = tokio::join!(
        biased;
        client.batch_execute("BEGIN; SET LOCAL statement_timeout = '5s'"),
        client.batch_execute(&sql),
        client.query(LOCKS, &[]),
        client.batch_execute("ROLLBACK"),
    );
    before.unwrap();
    after.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    if ran.is_err() {
        tally.invalid += 1;
        return;
    }
    let locks = locks.unwrap();
    let locks: Vec<(u32, String)> = locks.iter().map(|row| (row.get(0), row.get(1))).collect();
    match read {
        Err(why) => {
            let kind = why
                .split(" is not allowed here")
                .next()
                .unwrap_or_default()
                .to_owned();
            tally.refused.entry(kind).or_insert((0, sql)).0 += 1;
        }
        Ok(accesses) => {
            let wrong = world.unexplained(&accesses, &locks, &sql);
            if wrong.is_empty() {
                tally.explained += 1;
            } else {
                let accesses: Vec<String> = accesses.iter().map(ToString::to_string).collect();
                tally.wrong.push(format!(
                    "seed {seed}: {sql}\n  read: {}\n  {}",
                    accesses.join("; "),
                    wrong.join("\n  ")
                ));
            }
        }
    }
}

/// What a component may not do though the server would, by the operation that the refusal names.
const NEVER: [&str; 9] = [
    "COPY",
    "DO",
    "PREPARE",
    "DECLARE",
    "query_to_xml()",
    "table_to_xml()",
    // What goes along, or is made inside, is to be named by a statement of its own.
    "CASCADE",
    "CREATE SCHEMA with what is in it",
    "a statement that cannot be checked",
];

on_every_postgres! {
    async fn what_a_statement_locks_was_read_from_it(db: Database) {
        db.execute(SETUP).await;
        let client = db.connect_postgres().await;
        let world = World::read(&client).await;
        let (count, first) = (setting("WHIMBREL_TEST_ORACLE", 1500), setting("WHIMBREL_TEST_ORACLE_SEED", 1));
        let mut tally = Tally::default();
        let started = Instant::now();
        for seed in first..first + count {
            try_one(&client, &world, seed, &mut tally).await;
            let enough = count <= 1500 && started.elapsed() > Duration::from_secs(60);
            if tally.wrong.len() >= 40 || enough {
                break;
            }
        }
        let summary = format!("{} explained, {} invalid, refused: {:#?}", tally.explained, tally.invalid, tally.refused);
        if std::env::var_os("WHIMBREL_TEST_ORACLE").is_some() {
            std::fs::write(std::env::temp_dir().join(format!("whimbrel-oracle-{:?}.txt", db.backend())), &summary).unwrap();
        }
        assert!(tally.wrong.is_empty(), "{}\n{summary}", tally.wrong.join("\n\n"));
        assert!(tally.explained > tally.invalid, "{summary}");
        let others: Vec<_> = tally.refused.iter().filter(|(kind, _)| !NEVER.contains(&kind.as_str())).collect();
        assert!(others.is_empty(), "{others:#?}");
    }
}
