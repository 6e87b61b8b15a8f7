//! Statements and what they do: `tests/*.txt` have a statement a line, and below it what it needs, or why it is refused.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::fmt::Write;

use super::Parsed;
use crate::capability::Name;
use crate::sql::access::{
    Catalog, Changes, Context, Occasion, Origin, Outcome, Reading, Refusal, Relation, RelationKind,
    Routine, Subject, Type, UserCast, Wanted,
};
use crate::sql::guard::Protected;

/// What the database of the tests has: `public` is the schema of new things.
const RELATIONS: [(&str, &str, RelationKind, &[&str]); 17] = [
    ("public", "fleet", RelationKind::Table, &["id", "flag"]),
    (
        "public",
        "users",
        RelationKind::Table,
        &["id", "email", "name", "ssn"],
    ),
    (
        "public",
        "orders",
        RelationKind::Table,
        &["id", "user_id", "total", "note"],
    ),
    (
        "public",
        "events",
        RelationKind::Table,
        &["at", "kind", "body"],
    ),
    (
        "public",
        "Weird Table",
        RelationKind::Table,
        &["Weird Column", "b"],
    ),
    ("public", "u_id_idx", RelationKind::Index, &[]),
    (
        "public",
        "orders_id_seq",
        RelationKind::Sequence,
        &["last_value", "log_cnt", "is_called"],
    ),
    ("public", "active", RelationKind::View, &["id", "email"]),
    (
        "public",
        "totals",
        RelationKind::MaterializedView,
        &["user_id", "total"],
    ),
    (
        "public",
        "address",
        RelationKind::Composite,
        &["street", "city"],
    ),
    ("public", "scratch", RelationKind::Temporary, &["a", "b"]),
    ("app", "users", RelationKind::Table, &["id", "login"]),
    (
        "pg_catalog",
        "pg_class",
        RelationKind::Table,
        &["oid", "relname"],
    ),
    (
        "pg_catalog",
        "pg_authid",
        RelationKind::Table,
        &["oid", "rolname", "rolpassword"],
    ),
    (
        "pg_catalog",
        "pg_stats",
        RelationKind::View,
        &["tablename", "most_common_vals"],
    ),
    (
        "information_schema",
        "columns",
        RelationKind::View,
        &["table_name", "column_name"],
    ),
    ("public", "tree", RelationKind::Table, &["id", "parent"]),
];

const FUNCTIONS: [(&str, &str, Origin); 10] = [
    ("public", "launch", Origin::Other),
    ("public", "slug", Origin::Other),
    ("public", "upper", Origin::Other),
    ("public", "similarity", Origin::Harmless),
    ("public", "touch", Origin::Other),
    ("app", "slug", Origin::Other),
    ("public", "json_scalar", Origin::Other),
    ("public", "login", Origin::Other),
    ("pg_catalog", "pg_stat_get_live_tuples", Origin::Server),
    ("pg_catalog", "nextval", Origin::Server),
];

const OPERATORS: [(&str, &str, Origin); 3] = [
    ("public", "@@@", Origin::Other),
    ("public", "=", Origin::Harmless),
    ("app", "+", Origin::Other),
];

const TYPES: [(&str, &str); 8] = [
    ("public", "vessel"),
    ("public", "convoy"),
    ("public", "depth"),
    ("information_schema", "cardinal_number"),
    ("public", "mood"),
    ("public", "address"),
    ("public", "citext"),
    ("public", "weight"),
];

fn on_path(schema: &str) -> bool {
    ["public", "pg_catalog"].contains(&schema)
}

fn stands_for(written: &Name, schema: &str, name: &str) -> bool {
    written.name == name
        && match &written.schema {
            Some(written) => written == schema,
            None => on_path(schema),
        }
}

/// A cast of the tests' database.
fn weighing() -> UserCast {
    UserCast {
        source: Name::new("pg_catalog", "text"),
        target: Name::new("public", "weight"),
        function: Name::new("public", "weigh"),
        occasion: Occasion::Written,
    }
}

/// Answers as a server would whose users have made these casts.
fn answer(catalog: &mut Catalog, wanted: &Wanted, casts: &[UserCast]) {
    catalog.expect(wanted);
    catalog.default_schema = "public".to_owned();
    for cast in casts {
        catalog.add_cast(cast.clone());
    }
    for written in &wanted.relations {
        for (schema, name, kind, columns) in RELATIONS {
            if stands_for(written, schema, name) {
                let relation = Relation {
                    name: Name::new(schema, name),
                    kind,
                    columns: columns.iter().map(|&column| column.to_owned()).collect(),
                    types: types_in(name),
                };
                catalog.add_relation(written.clone(), relation, 1);
            }
        }
    }
    let routine = |schema: &str, name: &str, origin| Routine {
        name: Name::new(schema, name),
        origin,
        types: types_in(name),
    };
    for written in &wanted.functions {
        for (schema, name, origin) in FUNCTIONS {
            if stands_for(written, schema, name) {
                catalog.add_function(written.clone(), routine(schema, name, origin));
            }
        }
        if written.schema.is_none() && super::super::known::is_safe_function(&written.name) {
            catalog.add_function(
                written.clone(),
                routine("pg_catalog", &written.name, Origin::Server),
            );
        }
    }
    for written in &wanted.operators {
        for (schema, name, origin) in OPERATORS {
            if stands_for(written, schema, name) {
                catalog.add_operator(written.clone(), routine(schema, name, origin));
            }
        }
    }
    for written in &wanted.types {
        for (schema, name) in TYPES {
            if stands_for(written, schema, name) {
                let parts = parts_of(name);
                let name = Name::new(schema, name);
                catalog.add_type(written.clone(), Type { name, parts }, 1);
            }
        }
    }
    for relation in &wanted.carried {
        for (table, schema, function, origin) in CARRIED {
            if relation.name == table {
                catalog.add_carried(relation.clone(), routine(schema, function, origin));
            }
        }
    }
}

/// What the defaults and constraints of tables call.
const CARRIED: [(&str, &str, &str, Origin); 5] = [
    ("users", "pg_catalog", "now", Origin::Server),
    ("users", "public", "similarity", Origin::Harmless),
    ("orders", "pg_catalog", "nextval", Origin::Server),
    ("events", "public", "slug", Origin::Other),
    ("tree", "pg_catalog", "pg_read_file", Origin::Server),
];

/// The types of a table's columns, or of what a function returns.
fn types_in(name: &str) -> BTreeSet<Name> {
    match name {
        "fleet" | "launch" => BTreeSet::from([Name::new("public", "vessel")]),
        _ => BTreeSet::new(),
    }
}

fn parts_of(name: &str) -> BTreeSet<Name> {
    match name {
        "depth" | "cardinal_number" | "vessel" => BTreeSet::from([Name::new("pg_catalog", "int4")]),
        "convoy" => BTreeSet::from([
            Name::new("public", "vessel"),
            Name::new("pg_catalog", "int4"),
        ]),
        _ => BTreeSet::new(),
    }
}

fn read_after(sql: &str, changes: &Changes, subject: Subject) -> Result<Reading, Refusal> {
    read_with(sql, changes, subject, &[weighing()])
}

fn read_with(
    sql: &str,
    changes: &Changes,
    subject: Subject,
    casts: &[UserCast],
) -> Result<Reading, Refusal> {
    let parsed = Parsed::new(sql)?.unwrap();
    let mut catalog = Catalog::default();
    let protected = Protected::new("app.versions");
    for _ in 0..8 {
        let context = Context {
            catalog: &catalog,
            changes,
            protected: &protected,
            subject,
        };
        match parsed.read(&context)? {
            Outcome::Read(reading) => return Ok(reading),
            Outcome::Ask(wanted) => answer(&mut catalog, &wanted, casts),
        }
    }
    panic!("{sql} asks for ever more");
}

fn read(sql: &str) -> Result<Reading, Refusal> {
    read_after(sql, &Changes::default(), Subject::Component)
}

/// A verdict as the files have it.
fn verdict(read: Result<Reading, Refusal>) -> String {
    match read {
        Ok(reading) => {
            let mut all: Vec<String> = reading
                .accesses
                .iter()
                .map(|found| found.access.to_string())
                .collect();
            all.sort();
            if all.is_empty() {
                "nothing".to_owned()
            } else {
                all.join("; ")
            }
        }
        Err(refusal) => {
            let of = match refusal.object.as_str() {
                "" => String::new(),
                object => format!(" {object}"),
            };
            format!("! {}{of}: {}", refusal.operation, refusal.reason)
        }
    }
}

/// Compares a file of cases with what is read; `WHIMBREL_CASES=write` writes it anew, to be looked at.
fn check(file: &str, text: &str) {
    let mut wrong = Vec::new();
    let mut fresh = String::new();
    let mut sql: Option<&str> = None;
    let mut count = 0;
    for line in text.lines() {
        if line.is_empty() || line.starts_with('#') {
            writeln!(fresh, "{line}").unwrap();
        } else if let Some(expected) = line.strip_prefix("    ") {
            let sql = sql
                .take()
                .unwrap_or_else(|| panic!("{file}: nothing stands before {line}"));
            let found = verdict(read(sql));
            if found != expected {
                wrong.push(format!("{sql}\n    {expected}\n  but it is\n    {found}"));
            }
            count += 1;
        } else {
            sql = Some(line);
            writeln!(fresh, "{line}\n    {}", verdict(read(line))).unwrap();
        }
    }
    if std::env::var("WHIMBREL_CASES").is_ok_and(|way| way == "write") {
        let path = format!(
            "{}/src/sql/access/postgres/tests/{file}",
            env!("CARGO_MANIFEST_DIR")
        );
        std::fs::write(path, fresh).unwrap();
        return;
    }
    assert!(wrong.is_empty(), "{file}:\n{}", wrong.join("\n"));
    assert!(count > 20, "{file} has {count} cases");
}

macro_rules! files {
    ($($name:ident)+) => {$(
        #[test]
        fn $name() {
            check(concat!(stringify!($name), ".txt"), include_str!(concat!("tests/", stringify!($name), ".txt")));
        }
    )+};
}

mod bombs;
mod calls;
mod casts;
mod settings;

files! { queries rows definitions code forbidden functions }
