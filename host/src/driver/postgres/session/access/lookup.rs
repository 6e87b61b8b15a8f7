//! The queries that tell what names stand for, sent together.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::LazyLock;

use futures_util::TryStreamExt;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row, Statement};

use crate::capability::Name;
use crate::driver::DriverError;
use crate::sql::access::{
    Catalog, HARMLESS_EXTENSIONS, Occasion, Origin, Relation, RelationKind, Routine, Type as Found,
    UserCast, Wanted,
};

/// Leaves the search path as it is, but that `pg_catalog` comes first and the session's own temporary things last, so that
/// none of these can take the name of something else; and has the server read literals as the parser does.
pub(super) const PIN: &str = "\
SELECT pg_catalog.set_config('search_path', pg_catalog.concat_ws(', ',
         CASE WHEN path OPERATOR(pg_catalog.~*) 'pg_temp|pg_catalog'
              THEN (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(s::text), ', ')
                    FROM pg_catalog.unnest(pg_catalog.current_schemas(false)) AS s
                    WHERE s::text OPERATOR(pg_catalog.!~) '^pg_(temp|catalog)')
              ELSE NULLIF(path, '') END, 'pg_temp'), false),
       pg_catalog.set_config('standard_conforming_strings', 'on', false)
FROM (SELECT pg_catalog.current_setting('search_path') AS path) AS p";

/// Has the server read literals as the parser does, and leaves the path to the file that may set it.
pub(super) const PIN_TEXTS: &str =
    "SELECT pg_catalog.set_config('standard_conforming_strings', 'on', false)";

/// Whether a function or operator belongs to an extension that is known to be harmless.
const ORIGIN: &str = "\
CASE WHEN n.nspname = 'pg_catalog' THEN 'server'
     WHEN EXISTS (
       SELECT FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
       WHERE d.classid = CLASS AND d.objid = o.oid AND d.deptype = 'e'
         AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND e.extname::text = ANY (HARMLESS))
     THEN 'harmless' ELSE 'other' END";

/// That an object is in the schema that is written before it, or on the path.
const PLACE: &str = "\
CASE w.schema WHEN '' THEN n.nspname = ANY (pg_catalog.current_schemas(true))
              WHEN 'pg_temp' THEN n.oid = pg_catalog.pg_my_temp_schema() ELSE n.nspname = w.schema END";

/// Where its schema stands on the path.
const RANK: &str = "pg_catalog.array_position(pg_catalog.current_schemas(true), n.nspname)";

const WRITTEN: &str =
    "ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) AS w (schema, name)";

/// The types that START tells, and all that they are made of; those of them for which IF is true.
const TYPES_OF: &str = "\
(WITH RECURSIVE part (id) AS (
   START
   UNION SELECT p.id FROM part w JOIN pg_catalog.pg_type y ON y.oid = w.id
     CROSS JOIN LATERAL (SELECT y.typbasetype UNION ALL SELECT y.typelem
       UNION ALL SELECT a.atttypid FROM pg_catalog.pg_attribute a
       WHERE a.attrelid = y.typrelid AND a.attnum > 0 AND NOT a.attisdropped) AS p (id))
 SELECT pg_catalog.json_agg(pg_catalog.json_build_array(s.nspname::text, y.typname::text))
 FROM part JOIN pg_catalog.pg_type y ON y.oid = part.id JOIN pg_catalog.pg_namespace s ON s.oid = y.typnamespace WHERE IF)";

/// The types of those that START tells that are not the server's: its own may be met with anywhere.
const OTHERS: &str = "s.nspname <> 'pg_catalog'";

fn types_of(start: &str, condition: &str) -> String {
    TYPES_OF.replace("START", start).replace("IF", condition)
}

/// Makes one query out of its parts. The columns are: what, the schema and name as written, those of what it is, its rank
/// on the path, what it is like, and more about it in JSON: the columns and types of a relation, the types of the others.
fn query(text: &str) -> String {
    let harmless: Vec<String> = HARMLESS_EXTENSIONS
        .iter()
        .map(|name| format!("'{name}'"))
        .collect();
    text.replace("ORIGIN", ORIGIN)
        .replace("PLACE", PLACE)
        .replace("RANK", RANK)
        .replace("WRITTEN", WRITTEN)
        .replace(
            "COLUMN_TYPES",
            &types_of(
                "SELECT a.atttypid FROM pg_catalog.pg_attribute a \
                 WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypid >= 16384",
                OTHERS,
            ),
        )
        .replace(
            "RESULT_TYPES",
            &types_of(
                "SELECT o.prorettype UNION SELECT pg_catalog.unnest(o.proallargtypes)",
                OTHERS,
            ),
        )
        .replace("OPERATOR_TYPES", &types_of("SELECT o.oprresult", OTHERS))
        .replace("TYPE_PARTS", &types_of("SELECT t.oid", "true"))
        .replace("HARMLESS", &format!("ARRAY[{}]", harmless.join(", ")))
}

const RELATIONS: &str = "\
SELECT 'relation', w.schema, w.name, n.nspname::text, w.name, RANK, c.relkind::text || c.relpersistence::text,
       pg_catalog.json_build_array(
         (SELECT pg_catalog.json_agg(a.attname::text ORDER BY a.attnum) FROM pg_catalog.pg_attribute a
          WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
         COLUMN_TYPES)::text
FROM WRITTEN
JOIN pg_catalog.pg_class c ON c.relname = w.name::name JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE PLACE";

const FUNCTIONS: &str = "\
SELECT DISTINCT 'function', w.schema, w.name, n.nspname::text, w.name, NULL::int, ORIGIN, RESULT_TYPES::text
FROM WRITTEN
JOIN pg_catalog.pg_proc o ON o.proname = w.name::name JOIN pg_catalog.pg_namespace n ON n.oid = o.pronamespace
WHERE PLACE";

const OPERATORS: &str = "\
SELECT DISTINCT 'operator', w.schema, w.name, n.nspname::text, w.name, NULL::int, ORIGIN, OPERATOR_TYPES::text
FROM WRITTEN
JOIN pg_catalog.pg_operator o ON o.oprname = w.name::name JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
WHERE PLACE";

const TYPES: &str = "\
SELECT 'type', w.schema, w.name, n.nspname::text, w.name, RANK, '', TYPE_PARTS::text
FROM WRITTEN
JOIN pg_catalog.pg_type t ON t.typname = w.name::name JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
WHERE PLACE";

/// What the expressions and operator classes of a relation call, apart from the server's own casts and operators.
const CARRIED: &str = "\
SELECT DISTINCT 'carried', w.schema, w.name, n.nspname::text, o.proname::text, NULL::int, ORIGIN, NULL
FROM WRITTEN
JOIN pg_catalog.pg_namespace s ON s.nspname = w.schema
JOIN pg_catalog.pg_class c ON c.relname = w.name::name AND c.relnamespace = s.oid
CROSS JOIN LATERAL (
  SELECT m[1]::oid FROM (
    SELECT d.adbin::text FROM pg_catalog.pg_attrdef d WHERE d.adrelid = c.oid
    UNION ALL SELECT k.conbin::text FROM pg_catalog.pg_constraint k WHERE k.conrelid = c.oid
    UNION ALL SELECT pg_catalog.concat(i.indexprs, i.indpred) FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid
    UNION ALL SELECT pg_catalog.to_jsonb(x) ->> 'stxexprs' FROM pg_catalog.pg_statistic_ext x WHERE x.stxrelid = c.oid
  ) AS e (tree), LATERAL (
    SELECT pg_catalog.regexp_matches(e.tree, ':funcid ([0-9]+)', 'g')
    UNION SELECT ARRAY[p.oprcode::oid::text]
      FROM pg_catalog.regexp_matches(e.tree, ':opnos? (?:\\(o )?([0-9 ]+)', 'g') AS v (list),
           pg_catalog.regexp_split_to_table(pg_catalog.btrim(v.list[1]), ' +') AS one
      JOIN pg_catalog.pg_operator p ON p.oid = one::oid
      WHERE p.oprnamespace <> 'pg_catalog'::pg_catalog.regnamespace
  ) AS f (m)
  UNION SELECT p.amproc::oid FROM pg_catalog.pg_index i, pg_catalog.unnest(i.indclass::oid[]) AS k (id)
    JOIN pg_catalog.pg_opclass q ON q.oid = k.id JOIN pg_catalog.pg_amproc p ON p.amprocfamily = q.opcfamily
    WHERE i.indrelid = c.oid AND q.opcnamespace <> 'pg_catalog'::pg_catalog.regnamespace
) AS called (id)
JOIN pg_catalog.pg_proc o ON o.oid = called.id JOIN pg_catalog.pg_namespace n ON n.oid = o.pronamespace
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_cast t WHERE t.castfunc = o.oid AND t.oid < 16384)";

/// The schema of new things, and the casts of others: those of the server have small numbers.
const ONCE: &str = "\
SELECT 'home', '', '', COALESCE(pg_catalog.current_schema()::text, 'public'), '', NULL::int, '', NULL
WHERE $1::text[] IS NOT NULL AND $2::text[] IS NOT NULL
UNION ALL
SELECT 'cast', n.nspname::text, o.proname::text, s.nspname::text, t.typname::text, NULL, ORIGIN,
       pg_catalog.json_build_array(sn.nspname::text, st.typname::text, c.castcontext::text)::text
FROM pg_catalog.pg_cast c
JOIN pg_catalog.pg_proc o ON o.oid = c.castfunc JOIN pg_catalog.pg_namespace n ON n.oid = o.pronamespace
JOIN pg_catalog.pg_type t ON t.oid = c.casttarget JOIN pg_catalog.pg_namespace s ON s.oid = t.typnamespace
JOIN pg_catalog.pg_type st ON st.oid = c.castsource JOIN pg_catalog.pg_namespace sn ON sn.oid = st.typnamespace
WHERE c.oid >= 16384 AND n.nspname <> 'pg_catalog'";

static QUERIES: LazyLock<[String; 6]> = LazyLock::new(|| {
    [
        query(ONCE).replace("CLASS", "1255"),
        query(RELATIONS),
        query(FUNCTIONS).replace("CLASS", "1255"),
        query(OPERATORS).replace("CLASS", "2617"),
        query(TYPES),
        query(CARRIED).replace("CLASS", "1255"),
    ]
});

/// One of the queries, with the names that it asks for.
pub(super) struct Part {
    pub(super) sql: String,
    schemas: Vec<String>,
    names: Vec<String>,
}

/// The queries that names need.
pub(super) fn parts(wanted: &Wanted, catalog: &Catalog) -> Vec<Part> {
    let [once, relations, functions, operators, types, carried] = &*QUERIES;
    let mut parts = Vec::new();
    if !catalog.is_known() {
        parts.push(Part {
            sql: once.clone(),
            schemas: Vec::new(),
            names: Vec::new(),
        });
    }
    for (sql, names) in [
        (relations, &wanted.relations),
        (functions, &wanted.functions),
        (operators, &wanted.operators),
        (types, &wanted.types),
        (carried, &wanted.carried),
    ] {
        if !names.is_empty() {
            let (schemas, names) = names
                .iter()
                .map(|name| (name.schema.clone().unwrap_or_default(), name.name.clone()))
                .unzip();
            parts.push(Part {
                sql: sql.clone(),
                schemas,
                names,
            });
        }
    }
    parts
}

impl Part {
    /// Asks, with the prepared form of the query where there is one.
    pub(super) async fn ask(
        &self,
        client: &Client,
        prepared: Option<&Statement>,
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        let lists: [&(dyn ToSql + Sync); 2] = [&self.schemas, &self.names];
        match prepared {
            Some(statement) => {
                let rows = client.query_raw(statement, lists).await?;
                pin!(rows).try_collect().await
            }
            None => {
                let lists = lists.map(|list| (list, Type::TEXT_ARRAY));
                let rows = client.query_typed_raw(&self.sql, lists).await?;
                pin!(rows).try_collect().await
            }
        }
    }
}

/// Writes one row of an answer down.
pub(super) fn note(catalog: &mut Catalog, row: &Row) -> Result<(), DriverError> {
    let text = |at: usize| -> Result<&str, DriverError> {
        row.try_get::<_, &str>(at)
            .map_err(|error| unreadable(&error))
    };
    let rank: Option<i32> = row.try_get(5).map_err(|error| unreadable(&error))?;
    let rank = rank.unwrap_or(i32::MAX);
    let written = match text(1)? {
        "" => Name::bare(text(2)?),
        schema => Name::new(schema, text(2)?),
    };
    let name = Name::new(text(3)?, text(4)?);
    match text(0)? {
        "home" => catalog.default_schema = text(3)?.to_owned(),
        "relation" => {
            let (columns, types): (Option<Vec<String>>, Option<Vec<Pair>>) =
                more(row)?.unwrap_or_default();
            let kind = relation_kind(text(6)?);
            catalog.add_relation(
                written,
                Relation {
                    name,
                    kind,
                    columns: columns.unwrap_or_default(),
                    types: names(types),
                },
                rank,
            );
        }
        "function" => {
            let routine = routine(name, text(6)?, row)?;
            catalog.add_function(written, routine);
        }
        "operator" => {
            let routine = routine(name, text(6)?, row)?;
            catalog.add_operator(written, routine);
        }
        "type" => {
            let parts = names(more(row)?);
            catalog.add_type(written, Found { name, parts }, rank);
        }
        "carried" => {
            let routine = routine(name, text(6)?, row)?;
            catalog.add_carried(written, routine);
        }
        "cast" if origin(text(6)?) == Origin::Other => {
            let (schema, source, context): (String, String, String) =
                more(row)?.ok_or_else(|| unreadable(&"a cast has no source"))?;
            catalog.add_cast(UserCast {
                source: Name::new(schema, source),
                target: name,
                function: written,
                occasion: match context.as_str() {
                    "e" => Occasion::Written,
                    _ => Occasion::Fitting,
                },
            });
        }
        "cast" => {}
        other => {
            return Err(DriverError::Conversion(format!(
                "`{other}` is no answer about names"
            )));
        }
    }
    Ok(())
}

/// A schema and a name in it.
type Pair = (String, String);

/// What the last column says.
fn more<T: serde::de::DeserializeOwned>(row: &Row) -> Result<Option<T>, DriverError> {
    let json: Option<&str> = row.try_get(7).map_err(|error| unreadable(&error))?;
    json.map(serde_json::from_str)
        .transpose()
        .map_err(|error| unreadable(&error))
}

fn names(pairs: Option<Vec<Pair>>) -> BTreeSet<Name> {
    let pairs = pairs.unwrap_or_default().into_iter();
    pairs
        .map(|(schema, name)| Name::new(schema, name))
        .collect()
}

fn routine(name: Name, letters: &str, row: &Row) -> Result<Routine, DriverError> {
    Ok(Routine {
        name,
        origin: origin(letters),
        types: names(more(row)?),
    })
}

fn unreadable(why: &dyn std::fmt::Display) -> DriverError {
    DriverError::Conversion(format!("what names stand for cannot be read: {why}"))
}

/// By the letters of `relkind` and `relpersistence`.
fn relation_kind(letters: &str) -> RelationKind {
    match letters.as_bytes() {
        [b'v', b't'] => RelationKind::TemporaryView,
        [_, b't'] => RelationKind::Temporary,
        [b'r' | b'p' | b'f', ..] => RelationKind::Table,
        [b'v', ..] => RelationKind::View,
        [b'm', ..] => RelationKind::MaterializedView,
        [b'S', ..] => RelationKind::Sequence,
        [b'i' | b'I', ..] => RelationKind::Index,
        [b'c', ..] => RelationKind::Composite,
        _ => RelationKind::Other,
    }
}

fn origin(text: &str) -> Origin {
    match text {
        "server" => Origin::Server,
        "harmless" => Origin::Harmless,
        _ => Origin::Other,
    }
}
