//! A database as text, for the question whether anything changed.

use std::fmt::Write;

use crate::{Backend, Database};

/// What to leave out.
#[derive(Debug)]
pub(crate) struct Dump<'a> {
    excluded: &'a [&'a str],
}

impl<'a> Dump<'a> {
    pub(crate) fn without(excluded: &'a [&'a str]) -> Self {
        Self { excluded }
    }

    /// Every object's definition, then every table's rows in the order of their text.
    pub(crate) async fn of(&self, db: &Database) -> String {
        let (objects, tables) = match db.backend() {
            Backend::Postgres(_) => (POSTGRES_OBJECTS, POSTGRES_TABLES),
            Backend::Sqlite => (SQLITE_OBJECTS, SQLITE_TABLES),
        };
        let mut text = String::new();
        for row in db.query(objects).await {
            let [table, definition] = two(row);
            if !self.excludes(&table) {
                writeln!(text, "{definition}").expect("a string takes any text");
            }
        }
        for row in db.query(tables).await {
            let [table, name] = two(row);
            if !self.excludes(&table) {
                self.write_rows(&mut text, db, &name).await;
            }
        }
        text
    }

    async fn write_rows(&self, text: &mut String, db: &Database, table: &str) {
        let mut rows: Vec<String> = db
            .query(&format!("SELECT * FROM {table}"))
            .await
            .into_iter()
            .map(|row| {
                let values: Vec<String> = row
                    .into_iter()
                    .map(|value| {
                        value.map_or_else(|| "NULL".to_owned(), |text| format!("{text:?}"))
                    })
                    .collect();
                values.join(", ")
            })
            .collect();
        rows.sort_unstable();
        for row in rows {
            writeln!(text, "{table}: {row}").expect("a string takes any text");
        }
    }

    fn excludes(&self, table: &str) -> bool {
        self.excluded.contains(&table)
    }
}

fn two(row: Vec<Option<String>>) -> [String; 2] {
    let texts: Vec<String> = row.into_iter().map(Option::unwrap_or_default).collect();
    texts.try_into().expect("the query has two columns")
}

/// The table that an object belongs to, and the object's definition.
const POSTGRES_OBJECTS: &str = "
WITH spaces AS (
  SELECT oid, nspname FROM pg_namespace
  WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'
), objects AS (
  SELECT '' AS owner, 'schema ' || nspname AS definition FROM spaces WHERE nspname <> 'public'
  UNION ALL
  SELECT c.relname::text,
         format('%s %s.%s', CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'f' THEN 'foreign table' END,
                s.nspname, c.relname)
  FROM pg_class c JOIN spaces s ON s.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'f')
  UNION ALL
  SELECT c.relname::text,
         format('column %s.%s %s: %s %s%s default %s', s.nspname, c.relname, a.attnum, a.attname,
                format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN ' not null' ELSE '' END,
                coalesce(pg_get_expr(d.adbin, d.adrelid), '-') || ' ' || a.attidentity::text || a.attgenerated::text)
  FROM pg_attribute a
  JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p', 'f')
  JOIN spaces s ON s.oid = c.relnamespace
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  WHERE a.attnum > 0 AND NOT a.attisdropped
  UNION ALL
  SELECT c.relname::text, format('constraint %s.%s %s: %s', s.nspname, c.relname, k.conname, pg_get_constraintdef(k.oid))
  FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN spaces s ON s.oid = c.relnamespace
  UNION ALL
  SELECT c.relname::text, format('index %s valid: %s', pg_get_indexdef(i.indexrelid), i.indisvalid)
  FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN spaces s ON s.oid = c.relnamespace
  UNION ALL
  SELECT c.relname::text, format('trigger %s', pg_get_triggerdef(t.oid))
  FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN spaces s ON s.oid = c.relnamespace
  WHERE NOT t.tgisinternal
  UNION ALL
  SELECT c.relname::text, format('view %s.%s: %s', s.nspname, c.relname, pg_get_viewdef(c.oid))
  FROM pg_class c JOIN spaces s ON s.oid = c.relnamespace WHERE c.relkind IN ('v', 'm')
  UNION ALL
  SELECT coalesce(o.relname, c.relname)::text, format('sequence %s.%s', s.nspname, c.relname)
  FROM pg_class c JOIN spaces s ON s.oid = c.relnamespace
  LEFT JOIN pg_depend d ON d.objid = c.oid AND d.deptype IN ('a', 'i') AND d.refclassid = 'pg_class'::regclass
    AND d.classid = 'pg_class'::regclass
  LEFT JOIN pg_class o ON o.oid = d.refobjid
  WHERE c.relkind = 'S'
  UNION ALL
  SELECT '', format('type %s.%s %s: %s', s.nspname, t.typname, t.typtype,
                    coalesce((SELECT string_agg(e.enumlabel, ', ' ORDER BY e.enumsortorder)
                              FROM pg_enum e WHERE e.enumtypid = t.oid), format_type(t.typbasetype, t.typtypmod)))
  FROM pg_type t JOIN spaces s ON s.oid = t.typnamespace WHERE t.typtype IN ('e', 'd')
  UNION ALL
  SELECT '', format('function %s', pg_get_functiondef(p.oid))
  FROM pg_proc p JOIN spaces s ON s.oid = p.pronamespace WHERE p.prokind IN ('f', 'p')
)
SELECT owner, definition FROM objects ORDER BY definition COLLATE \"C\"";

/// Each table's name, plain and quoted with its schema.
const POSTGRES_TABLES: &str = "
SELECT c.relname, format('%I.%I', s.nspname, c.relname)
FROM pg_class c JOIN pg_namespace s ON s.oid = c.relnamespace
WHERE c.relkind = 'r' AND s.nspname NOT LIKE 'pg\\_%' AND s.nspname <> 'information_schema'
ORDER BY s.nspname, c.relname";

const SQLITE_OBJECTS: &str = "
SELECT tbl_name, type || ' ' || name || ': ' || coalesce(sql, 'automatic') FROM sqlite_schema ORDER BY type, name";

const SQLITE_TABLES: &str = "
SELECT name, '\"' || replace(name, '\"', '\"\"') || '\"' FROM sqlite_schema WHERE type = 'table' ORDER BY name";
