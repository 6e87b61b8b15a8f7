//! What the database knows of the tables that statements name: asked once for all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;

use super::Read;
use crate::driver::{Dialect, DriverError, ResultLimit, Session, Value};
use crate::sql::effects::{ColumnType, Relation, Retype};

/// What is known, by the names that statements use.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    entries: BTreeMap<String, Entry>,
    /// Why nothing is known, where the database did not tell.
    pub(super) failure: Option<String>,
}

/// A relation that is there; of an index, its table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) table: String,
    pub(super) bytes: Option<u64>,
    pub(super) rows: Option<u64>,
    pub(super) children: u64,
    pub(super) foreign_keys: Vec<ForeignKey>,
    /// The columns that get another type.
    pub(super) columns: Vec<ColumnType>,
}

/// A foreign key from or to a table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct ForeignKey {
    pub(super) name: String,
    /// Whether it is the table's own.
    pub(super) own: bool,
    pub(super) columns: Vec<String>,
    /// The table at the other end.
    pub(super) other: String,
}

impl Catalog {
    pub(super) fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// The type that a column has which gets another one.
    pub(super) fn column(&self, retype: &Retype) -> Option<ColumnType> {
        let entry = self.entries.get(&retype.table.to_string())?;
        let found = entry
            .columns
            .iter()
            .find(|known| known.column == retype.column);
        found.cloned()
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }
}

/// One row for each name that leads to a relation.
const POSTGRES: &str = "
SELECT asked.name,
       shown.name,
       CASE c.relkind WHEN 'p' THEN parts.bytes ELSE pg_catalog.pg_total_relation_size(c.oid) END::int8,
       CASE c.relkind WHEN 'p' THEN parts.rows ELSE c.reltuples END::float8,
       (WITH RECURSIVE heirs (oid) AS (
            SELECT inhrelid FROM pg_catalog.pg_inherits WHERE inhparent = c.oid
            UNION SELECT inhrelid FROM pg_catalog.pg_inherits JOIN heirs ON inhparent = heirs.oid)
        SELECT count(*) FROM heirs)::int8,
       coalesce((SELECT json_agg(json_build_object(
                'name', k.conname,
                'own', k.conrelid = c.oid,
                'columns', (SELECT coalesce(json_agg(a.attname), '[]') FROM pg_catalog.pg_attribute a
                            WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)),
                'other', (CASE k.conrelid WHEN c.oid THEN k.confrelid ELSE k.conrelid END)::pg_catalog.regclass::text))
            FROM pg_catalog.pg_constraint k
            WHERE k.contype = 'f' AND c.oid IN (k.conrelid, k.confrelid)), '[]')::text,
       coalesce((SELECT json_agg(json_build_object(
                'column', a.attname,
                'of_type', y.typname,
                'modifier', a.atttypmod,
                'is_checked', EXISTS (SELECT FROM pg_catalog.pg_constraint k
                    WHERE k.conrelid = c.oid AND k.contype = 'c' AND a.attnum = ANY (k.conkey))))
            FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type y ON y.oid = a.atttypid
            WHERE a.attrelid = c.oid AND a.attnum > 0
              AND a.attname IN (SELECT json_array_elements_text($2::text::json))), '[]')::text
FROM json_array_elements_text($1::text::json) AS asked (name)
JOIN pg_catalog.pg_class named ON named.oid = pg_catalog.to_regclass(asked.name)
LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = named.oid
JOIN pg_catalog.pg_class c ON c.oid = coalesce(i.indrelid, named.oid)
CROSS JOIN LATERAL (SELECT c.oid::pg_catalog.regclass::text) AS shown (name)
LEFT JOIN LATERAL (
    SELECT sum(pg_catalog.pg_total_relation_size(relid)), sum(greatest(p.reltuples, 0)) FILTER (WHERE isleaf)
    FROM pg_catalog.pg_partition_tree(c.oid) JOIN pg_catalog.pg_class p ON p.oid = relid
) AS parts (bytes, rows) ON c.relkind = 'p'
WHERE c.relkind IN ('r', 'p', 'm', 'v', 'f', 'S')";

/// The largest SQLite database whose rows are counted, in bytes: a count reads the whole table.
const COUNTED: i64 = 256 << 20;

/// The names of everything that statements lock or make.
pub(super) fn names(steps: &[Vec<Read>]) -> BTreeSet<String> {
    steps
        .iter()
        .flatten()
        .filter_map(|read| read.effects.as_ref().ok())
        .flat_map(|effects| {
            let locked = effects.locks.iter().map(|lock| &lock.relation);
            locked.chain(&effects.creates).map(ToString::to_string)
        })
        .collect()
}

/// The names of the columns that get another type.
pub(super) fn columns(steps: &[Vec<Read>]) -> BTreeSet<String> {
    steps
        .iter()
        .flatten()
        .filter_map(|read| read.effects.as_ref().ok())
        .flat_map(|effects| &effects.retypes)
        .map(|retype| retype.column.clone())
        .collect()
}

/// Asks the database. What it does not answer is told as a failure, and the plan goes without.
pub(super) async fn look_up(
    session: &mut dyn Session,
    names: &BTreeSet<String>,
    columns: &BTreeSet<String>,
) -> Catalog {
    if names.is_empty() {
        return Catalog::default();
    }
    let found = match session.dialect() {
        Dialect::Postgresql => ask_postgres(session, names, columns).await,
        Dialect::Sqlite => ask_sqlite(session, names).await,
    };
    match found {
        Ok(entries) => Catalog {
            entries,
            failure: None,
        },
        Err(error) => Catalog {
            entries: BTreeMap::new(),
            failure: Some(match error {
                DriverError::Cancelled => {
                    let seconds = PATIENCE.as_secs();
                    format!(
                        "no answer for {seconds} s; another session may have locked one of them"
                    )
                }
                error => error.to_string(),
            }),
        },
    }
}

/// How long the database may take: the size of a table that somebody has locked is not to be had.
const PATIENCE: Duration = Duration::from_secs(3);

type Entries = BTreeMap<String, Entry>;

async fn ask_postgres(
    session: &mut dyn Session,
    names: &BTreeSet<String>,
    columns: &BTreeSet<String>,
) -> Result<Entries, DriverError> {
    let asked = serde_json::json!(names).to_string();
    let columns = serde_json::json!(columns).to_string();
    let canceller = session.canceller();
    let asked = [Value::Text(asked), Value::Text(columns)];
    let mut answer = session.query(POSTGRES, &asked, ResultLimit::NONE);
    let rows = tokio::select! {
        rows = &mut answer => rows?,
        () = tokio::time::sleep(PATIENCE) => {
            canceller.cancel().await;
            answer.await?
        }
    };
    Ok(rows.into_rows().into_iter().filter_map(entry).collect())
}

fn entry(row: Vec<Value>) -> Option<(String, Entry)> {
    let [
        Value::Text(asked),
        Value::Text(table),
        bytes,
        rows,
        children,
        Value::Text(keys),
        Value::Text(columns),
    ] = <[Value; 7]>::try_from(row).ok()?
    else {
        return None;
    };
    let entry = Entry {
        table,
        bytes: whole(&bytes),
        rows: match rows {
            // A table that was never analysed has -1, and before PostgreSQL 14 a zero.
            Value::Float64(rows) if rows > 0.0 => Some(rows as u64),
            _ => None,
        },
        children: whole(&children).unwrap_or_default(),
        foreign_keys: serde_json::from_str(&keys).unwrap_or_default(),
        columns: serde_json::from_str(&columns).unwrap_or_default(),
    };
    Some((asked, entry))
}

fn whole(value: &Value) -> Option<u64> {
    match value {
        Value::Int64(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

async fn ask_sqlite(
    session: &mut dyn Session,
    names: &BTreeSet<String>,
) -> Result<Entries, DriverError> {
    let size = "SELECT p.page_count * s.page_size FROM pragma_page_count p, pragma_page_size s";
    let size = session
        .query(size, &[], ResultLimit::NONE)
        .await?
        .into_rows();
    let is_small =
        matches!(size.first().map(Vec::as_slice), Some([Value::Int64(bytes)]) if *bytes <= COUNTED);
    let tables = "SELECT lower(name), name FROM sqlite_schema WHERE type = 'table'";
    let tables = session.query(tables, &[], ResultLimit::NONE).await?;
    let mut entries = Entries::new();
    for row in tables.into_rows() {
        let [Value::Text(folded), Value::Text(name)] = row.as_slice() else {
            continue;
        };
        let shown = Relation::named(folded.as_str()).to_string();
        if !names.contains(&shown) {
            continue;
        }
        let mut rows = None;
        if is_small {
            let count = format!("SELECT count(*) FROM \"{}\"", name.replace('"', "\"\""));
            let counted = session
                .query(&count, &[], ResultLimit::NONE)
                .await?
                .into_rows();
            rows = counted.first().and_then(|row| row.first()).and_then(whole);
        }
        let entry = Entry {
            table: shown.clone(),
            bytes: None,
            rows,
            children: 0,
            foreign_keys: Vec::new(),
            columns: Vec::new(),
        };
        entries.insert(shown, entry);
    }
    Ok(entries)
}
