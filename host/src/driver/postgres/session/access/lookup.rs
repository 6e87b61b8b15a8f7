//! The one query that tells what names stand for.

use std::pin::pin;

use futures_util::TryStreamExt;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use crate::capability::Name;
use crate::driver::DriverError;
use crate::sql::access::{
    Catalog, HARMLESS_EXTENSIONS, Origin, Relation, RelationKind, Routine, Type as Found, UserCast,
    Wanted,
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

const ASK: &str = "\
WITH path AS MATERIALIZED (
  SELECT n.oid, p.at
  FROM pg_catalog.unnest(pg_catalog.current_schemas(true)) WITH ORDINALITY AS p (name, at)
  JOIN pg_catalog.pg_namespace n ON n.nspname = p.name),
spaces AS MATERIALIZED (
  SELECT n.oid, n.nspname::text AS name, p.at FROM pg_catalog.pg_namespace n LEFT JOIN path p ON p.oid = n.oid),
harmless AS MATERIALIZED (
  SELECT d.classid, d.objid FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
  WHERE d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.deptype = 'e' AND e.extname::text = ANY ($9))
SELECT 'home', '', '', COALESCE(pg_catalog.current_schema()::text, 'public'), '', '', NULL
UNION ALL
SELECT 'relation', w.schema, w.name, f.schema, w.name, f.kind, f.columns
FROM pg_catalog.unnest($1::text[], $2::text[]) AS w (schema, name)
CROSS JOIN LATERAL (
  SELECT s.name AS schema, c.relkind::text || c.relpersistence::text AS kind,
         (SELECT pg_catalog.json_agg(a.attname::text ORDER BY a.attnum)::text FROM pg_catalog.pg_attribute a
          WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns
  FROM pg_catalog.pg_class c JOIN spaces s ON s.oid = c.relnamespace
  WHERE c.relname = w.name::name
    AND CASE w.schema WHEN '' THEN s.at IS NOT NULL WHEN 'pg_temp' THEN s.oid = pg_catalog.pg_my_temp_schema()
                      ELSE s.name = w.schema END
  ORDER BY s.at LIMIT 1) AS f
UNION ALL
SELECT DISTINCT 'function', w.schema, w.name, s.name, w.name,
       CASE WHEN s.name = 'pg_catalog' THEN 'server'
            WHEN (1255::pg_catalog.oid, p.oid) IN (SELECT classid, objid FROM harmless) THEN 'harmless' ELSE 'other' END, NULL
FROM pg_catalog.unnest($3::text[], $4::text[]) AS w (schema, name)
JOIN pg_catalog.pg_proc p ON p.proname = w.name::name
JOIN spaces s ON s.oid = p.pronamespace
WHERE CASE w.schema WHEN '' THEN s.at IS NOT NULL WHEN 'pg_temp' THEN s.oid = pg_catalog.pg_my_temp_schema()
                    ELSE s.name = w.schema END
UNION ALL
SELECT DISTINCT 'operator', w.schema, w.name, s.name, w.name,
       CASE WHEN s.name = 'pg_catalog' THEN 'server'
            WHEN (2617::pg_catalog.oid, o.oid) IN (SELECT classid, objid FROM harmless) THEN 'harmless' ELSE 'other' END, NULL
FROM pg_catalog.unnest($5::text[], $6::text[]) AS w (schema, name)
JOIN pg_catalog.pg_operator o ON o.oprname = w.name::name
JOIN spaces s ON s.oid = o.oprnamespace
WHERE CASE w.schema WHEN '' THEN s.at IS NOT NULL ELSE s.name = w.schema END
UNION ALL
SELECT 'type', w.schema, w.name, f.schema, w.name, '', NULL
FROM pg_catalog.unnest($7::text[], $8::text[]) AS w (schema, name)
CROSS JOIN LATERAL (
  SELECT s.name AS schema FROM pg_catalog.pg_type t JOIN spaces s ON s.oid = t.typnamespace
  WHERE t.typname = w.name::name
    AND CASE w.schema WHEN '' THEN s.at IS NOT NULL WHEN 'pg_temp' THEN s.oid = pg_catalog.pg_my_temp_schema()
                      ELSE s.name = w.schema END
  ORDER BY s.at LIMIT 1) AS f
UNION ALL
SELECT 'cast', ps.name, p.proname::text, ts.name, t.typname::text, '', NULL
FROM pg_catalog.pg_cast c
JOIN pg_catalog.pg_proc p ON p.oid = c.castfunc JOIN spaces ps ON ps.oid = p.pronamespace
JOIN pg_catalog.pg_type t ON t.oid = c.casttarget JOIN spaces ts ON ts.oid = t.typnamespace
WHERE ps.name <> 'pg_catalog' AND (1255::pg_catalog.oid, p.oid) NOT IN (SELECT classid, objid FROM harmless)";

/// The names that are asked for, as two lists of each kind.
pub(super) struct Parameters([Vec<String>; 9]);

pub(super) fn parameters(wanted: &Wanted) -> Parameters {
    let of = |names: &std::collections::BTreeSet<Name>| -> (Vec<String>, Vec<String>) {
        names
            .iter()
            .map(|name| (name.schema.clone().unwrap_or_default(), name.name.clone()))
            .unzip()
    };
    let (relation_schemas, relations) = of(&wanted.relations);
    let (function_schemas, functions) = of(&wanted.functions);
    let (operator_schemas, operators) = of(&wanted.operators);
    let (type_schemas, types) = of(&wanted.types);
    let harmless = HARMLESS_EXTENSIONS.map(str::to_owned).to_vec();
    Parameters([
        relation_schemas,
        relations,
        function_schemas,
        functions,
        operator_schemas,
        operators,
        type_schemas,
        types,
        harmless,
    ])
}

/// Asks, in one round trip.
pub(super) async fn ask(
    client: &Client,
    parameters: &Parameters,
) -> Result<Vec<Row>, tokio_postgres::Error> {
    let parameters = parameters
        .0
        .iter()
        .map(|list| (list as &(dyn ToSql + Sync), Type::TEXT_ARRAY));
    let rows = client.query_typed_raw(ASK, parameters).await?;
    pin!(rows).try_collect().await
}

/// Writes the answer down.
pub(super) fn fill(catalog: &mut Catalog, wanted: &Wanted, rows: &[Row]) -> Result<(), DriverError> {
    catalog.expect(wanted);
    for row in rows {
        let text = |at: usize| -> Result<&str, DriverError> {
            row.try_get::<_, &str>(at)
                .map_err(|error| unreadable(&error.to_string()))
        };
        let written = match text(1)? {
            "" => Name::bare(text(2)?),
            schema => Name::new(schema, text(2)?),
        };
        let name = Name::new(text(3)?, text(4)?);
        match text(0)? {
            "home" => catalog.default_schema = text(3)?.to_owned(),
            "relation" => {
                let columns = match row.try_get::<_, Option<&str>>(6) {
                    Ok(Some(json)) => {
                        serde_json::from_str(json).map_err(|error| unreadable(&error.to_string()))?
                    }
                    Ok(None) => Vec::new(),
                    Err(error) => return Err(unreadable(&error.to_string())),
                };
                let kind = relation_kind(text(5)?);
                catalog.add_relation(written, Relation { name, kind, columns });
            }
            "function" => {
                let origin = origin(text(5)?);
                catalog.add_function(written, Routine { name, origin });
            }
            "operator" => {
                let origin = origin(text(5)?);
                catalog.add_operator(written, Routine { name, origin });
            }
            "type" => catalog.add_type(written, Found { name }),
            "cast" => catalog.add_cast(UserCast {
                target: name,
                function: written,
            }),
            other => return Err(unreadable(other)),
        }
    }
    Ok(())
}

fn unreadable(why: &str) -> DriverError {
    DriverError::Conversion(format!("what names stand for cannot be read: {why}"))
}

/// By the letters of `relkind` and `relpersistence`.
fn relation_kind(letters: &str) -> RelationKind {
    match letters.as_bytes() {
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
