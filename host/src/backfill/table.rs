//! What the database says of the table that a backfill works on.

use super::error::BackfillError;
use super::spec::Spec;
use crate::driver::{Dialect, DriverError, ResultLimit, Session, Value, path};

/// A table with a key to go by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    /// With its schema, in quotes.
    pub(super) name: String,
    /// Alone, in quotes.
    pub(super) bare: String,
    pub(super) columns: Vec<TableColumn>,
    /// The names of the key's columns, in quotes.
    pub(super) key: Vec<String>,
    /// About how many rows there are.
    pub(super) rows: u64,
    /// Whether triggers change rows before they are written, also columns that an UPDATE does not name.
    pub(super) has_before_triggers: bool,
}

/// A column of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TableColumn {
    /// In quotes.
    pub(super) name: String,
    is_required: bool,
    is_generated: bool,
}

/// A unique index, as the names of its columns.
struct Unique {
    is_primary: bool,
    columns: Vec<String>,
}

/// A table that has fewer rows by the statistics, which may be old or missing, is counted.
const KNOWN: u64 = 200_000;
/// How far a table is counted.
const COUNTED: u64 = 2_000_000;

impl Table {
    /// Looks the table of a backfill up.
    ///
    /// # Errors
    /// [`BackfillError::Unfit`] where there is no such table, or no such key.
    pub(super) async fn look(
        session: &mut dyn Session,
        spec: &Spec,
    ) -> Result<Self, BackfillError> {
        let dialect = session.dialect();
        let parts = path(&spec.table, dialect)
            .filter(|parts| parts.len() <= 2)
            .ok_or_else(|| unfit(format!("`{}` is not the name of a table", spec.table)))?;
        let (mut table, uniques) = match dialect {
            Dialect::Postgresql => postgres(session, &parts.join(".")).await?,
            Dialect::Sqlite => sqlite(session, &parts).await?,
        };
        table.key = table.key(spec, uniques, dialect)?;
        table.check_keys(session).await?;
        Ok(table)
    }

    /// Whether the database makes the values of a column, which is named in quotes.
    pub(super) fn is_generated(&self, name: &String) -> bool {
        let mut columns = self.columns.iter();
        columns.any(|column| column.name == *name && column.is_generated)
    }

    /// Its name alone, without quotes.
    pub(super) fn unquoted(&self) -> String {
        self.bare[1..self.bare.len() - 1].replace("\"\"", "\"")
    }

    /// Its name as people write it: in quotes only where that is needed.
    pub(super) fn shown(&self) -> String {
        let is_plain = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
                && part
                    .chars()
                    .all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_'))
        };
        let inner = self.name.trim_matches('"');
        match inner.split_once("\".\"") {
            Some(("main", table)) if is_plain(table) => table.to_owned(),
            Some((schema, table)) if is_plain(schema) && is_plain(table) => {
                format!("{schema}.{table}")
            }
            _ => self.name.clone(),
        }
    }

    /// Makes sure that no row is without a key, which SQLite lets even primary keys be.
    ///
    /// # Errors
    /// [`BackfillError::Unfit`] where one is.
    pub(super) async fn check_keys(&self, session: &mut dyn Session) -> Result<(), BackfillError> {
        let nullable = |name: &&String| {
            let mut columns = self.columns.iter();
            columns.any(|column| column.name == **name && !column.is_required)
        };
        for name in self.key.iter().filter(nullable) {
            let sql = format!("SELECT 1 FROM {} WHERE {name} IS NULL LIMIT 1", self.name);
            if !rows(session, &sql, &[]).await?.is_empty() {
                return Err(unfit(format!(
                    "a row of {} has no {name}, which is a part of the key that rows are taken in the order of: give it one, or take another key",
                    self.shown()
                )));
            }
        }
        Ok(())
    }

    /// A column by its name as SQL spells it.
    pub(super) fn column(&self, name: &str, dialect: Dialect) -> Option<&TableColumn> {
        let mut parts = path(name, dialect)?;
        let name = parts.pop().filter(|_| parts.is_empty())?;
        self.columns.iter().find(|column| match dialect {
            Dialect::Postgresql => column.name == name,
            Dialect::Sqlite => column.name.eq_ignore_ascii_case(&name),
        })
    }

    /// A column that there must be.
    pub(super) fn known(
        &self,
        name: &str,
        dialect: Dialect,
    ) -> Result<&TableColumn, BackfillError> {
        self.column(name, dialect)
            .ok_or_else(|| unfit(format!("{} has no column `{name}`", self.shown())))
    }

    /// A column that can be written.
    pub(super) fn writable(
        &self,
        name: &str,
        dialect: Dialect,
    ) -> Result<&TableColumn, BackfillError> {
        let column = self.known(name, dialect)?;
        if self.key.contains(&column.name) {
            return Err(unfit(format!(
                "`{name}` is a column of the key that rows are taken in the order of, and cannot be changed by a backfill; name another key, or migrate it otherwise"
            )));
        }
        match column.is_generated {
            true => Err(unfit(format!("`{name}` is generated by the database"))),
            false => Ok(column),
        }
    }

    fn key(
        &self,
        spec: &Spec,
        uniques: Vec<Unique>,
        dialect: Dialect,
    ) -> Result<Vec<String>, BackfillError> {
        if spec.key.is_empty() {
            return match uniques.into_iter().find(|unique| unique.is_primary) {
                Some(primary) => Ok(primary.columns),
                None => Err(unfit(format!(
                    "{} has no primary key that rows could be taken in the order of: name the columns of a unique index as the key",
                    self.shown()
                ))),
            };
        }
        let columns = spec
            .key
            .iter()
            .map(|name| self.known(name, dialect))
            .collect::<Result<Vec<_>, _>>()?;
        let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
        let is_unique = uniques.iter().any(|unique| {
            unique.columns.len() == names.len()
                && unique.columns.iter().all(|name| names.contains(name))
        });
        if !is_unique {
            return Err(unfit(format!(
                "{} is no key of {}: no unique index (without a condition, and checked at once) has just these columns",
                spec.key.join(", "),
                self.shown()
            )));
        }
        let nullable = |column: &&&TableColumn| !column.is_required && dialect != Dialect::Sqlite;
        match columns.iter().find(nullable) {
            Some(column) => Err(unfit(format!(
                "{} of {} may be null, so that a row could be without a key: make it NOT NULL, or take another key",
                column.name,
                self.shown()
            ))),
            None => Ok(names),
        }
    }
}

fn unfit(message: String) -> BackfillError {
    BackfillError::Unfit(message)
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn text(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        _ => String::new(),
    }
}

fn number(value: Option<&Value>) -> i64 {
    match value {
        Some(Value::Int64(number)) => *number,
        _ => 0,
    }
}

async fn rows(
    session: &mut dyn Session,
    sql: &str,
    params: &[Value],
) -> Result<Vec<Vec<Value>>, DriverError> {
    Ok(session
        .query(sql, params, ResultLimit::NONE)
        .await?
        .into_rows())
}

async fn postgres(
    session: &mut dyn Session,
    name: &str,
) -> Result<(Table, Vec<Unique>), BackfillError> {
    // 19: a trigger for each row, before it, of UPDATE.
    const TABLE: &str = "SELECT n.nspname::text, c.relname::text, c.relkind::text, greatest(c.reltuples, 0)::bigint, \
            (c.relkind = 'r' AND EXISTS (SELECT 1 FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid))::int::bigint, \
            (c.relpersistence = 't')::int::bigint, c.oid::bigint, \
            coalesce((SELECT sum(greatest(l.reltuples, 0)) FROM pg_catalog.pg_partition_tree(c.oid) p \
                JOIN pg_catalog.pg_class l ON l.oid = p.relid WHERE p.isleaf AND c.relkind = 'p'), 0)::bigint, \
            (EXISTS (SELECT 1 FROM pg_catalog.pg_trigger t WHERE NOT t.tgisinternal AND t.tgtype & 19 = 19 \
                AND (t.tgrelid = c.oid OR t.tgrelid IN (SELECT p.relid FROM pg_catalog.pg_partition_tree(c.oid) p))))::int::bigint \
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
        WHERE c.oid = pg_catalog.to_regclass($1::text)::oid";
    const COLUMNS: &str = "SELECT a.attname::text, a.attnotnull::int::bigint, \
            (a.attgenerated <> '' OR a.attidentity = 'a')::int::bigint \
        FROM pg_catalog.pg_attribute a WHERE a.attrelid::bigint = $1 AND a.attnum > 0 AND NOT a.attisdropped \
        ORDER BY a.attnum";
    const UNIQUES: &str = "SELECT i.indexrelid::bigint, i.indisprimary::int::bigint, a.attname::text \
        FROM pg_catalog.pg_index i \
        CROSS JOIN LATERAL pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY AS k (number, place) \
        LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number \
        WHERE i.indrelid::bigint = $1 AND i.indisunique AND i.indimmediate AND i.indisvalid \
            AND i.indpred IS NULL AND i.indexprs IS NULL AND k.place <= i.indnkeyatts \
        ORDER BY i.indisprimary DESC, i.indexrelid, k.place";
    let found = rows(session, TABLE, &[Value::from(name)]).await?;
    let Some(found) = found.first() else {
        return Err(unfit(format!("there is no table {name}")));
    };
    let (schema, bare, kind) = (text(&found[0]), text(&found[1]), text(&found[2]));
    let is_system = matches!(
        schema.as_str(),
        "pg_catalog" | "information_schema" | "pg_toast"
    );
    if is_system || !matches!(kind.as_str(), "r" | "p") {
        return Err(unfit(format!("{name} is no table")));
    }
    if number(found.get(4)) == 1 {
        return Err(unfit(format!(
            "other tables inherit from {name}; work on each of them alone"
        )));
    }
    if number(found.get(5)) == 1 {
        return Err(unfit(format!("{name} is a temporary table")));
    }
    let oid = found[6].clone();
    let columns = rows(session, COLUMNS, std::slice::from_ref(&oid)).await?;
    let columns = columns.iter().map(|row| TableColumn {
        name: quoted(&text(&row[0])),
        is_required: number(row.get(1)) == 1,
        is_generated: number(row.get(2)) == 1,
    });
    let mut uniques: Vec<(i64, Unique)> = Vec::new();
    for row in rows(session, UNIQUES, &[oid]).await? {
        let index = number(row.first());
        let column = quoted(&text(&row[2]));
        match uniques.last_mut() {
            Some((known, unique)) if *known == index => unique.columns.push(column),
            _ => uniques.push((
                index,
                Unique {
                    is_primary: number(row.get(1)) == 1,
                    columns: vec![column],
                },
            )),
        }
    }
    let mut table = Table {
        name: format!("{}.{}", quoted(&schema), quoted(&bare)),
        bare: quoted(&bare),
        columns: columns.collect(),
        key: Vec::new(),
        rows: u64::try_from(number(found.get(3)).max(number(found.get(7)))).unwrap_or_default(),
        has_before_triggers: number(found.get(8)) == 1,
    };
    if table.rows < KNOWN {
        table.rows = count(session, &table.name).await?;
    }
    Ok((
        table,
        uniques.into_iter().map(|(_, unique)| unique).collect(),
    ))
}

/// Counts the rows of a table.
async fn count(session: &mut dyn Session, table: &str) -> Result<u64, DriverError> {
    let sql = format!("SELECT count(*) FROM (SELECT 1 FROM {table} LIMIT {COUNTED}) AS counted");
    let found = rows(session, &sql, &[]).await?;
    let count = found.first().map_or(0, |row| number(row.first()));
    Ok(u64::try_from(count).unwrap_or_default())
}

async fn sqlite(
    session: &mut dyn Session,
    parts: &[String],
) -> Result<(Table, Vec<Unique>), BackfillError> {
    let unquoted = |name: &str| name[1..name.len() - 1].replace("\"\"", "\"");
    let (schema, bare) = match parts {
        [schema, bare] => (unquoted(schema), unquoted(bare)),
        [bare] => ("main".to_owned(), unquoted(bare)),
        _ => return Err(unfit("the table has no name".to_owned())),
    };
    if !schema.eq_ignore_ascii_case("main") {
        return Err(unfit(format!(
            "{schema}.{bare} is not in the database file"
        )));
    }
    let known = rows(
        session,
        "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND lower(name) = lower($1) AND sql NOT LIKE 'CREATE VIRTUAL%'",
        &[Value::from(bare.as_str())],
    )
    .await?;
    let Some(bare) = known.first().map(|row| text(&row[0])) else {
        return Err(unfit(format!("there is no table {bare}")));
    };
    let found = rows(
        session,
        "SELECT name, type, \"notnull\", pk, hidden FROM pragma_table_xinfo($1)",
        &[Value::from(bare.as_str())],
    )
    .await?;
    let mut columns = Vec::new();
    let mut primary: Vec<(i64, String)> = Vec::new();
    let count_of_keys = found.iter().filter(|row| number(row.get(3)) > 0).count();
    for row in &found {
        let (name, type_name, place) = (quoted(&text(&row[0])), text(&row[1]), number(row.get(3)));
        // The rowid by another name is never null.
        let is_rowid =
            place == 1 && count_of_keys == 1 && type_name.eq_ignore_ascii_case("integer");
        if place > 0 {
            primary.push((place, name.clone()));
        }
        columns.push(TableColumn {
            name,
            is_required: number(row.get(2)) == 1 || is_rowid,
            is_generated: matches!(number(row.get(4)), 2 | 3),
        });
    }
    primary.sort();
    let mut uniques = Vec::new();
    if !primary.is_empty() {
        uniques.push(Unique {
            is_primary: true,
            columns: primary.into_iter().map(|(_, name)| name).collect(),
        });
    }
    let indexes = rows(
        session,
        "SELECT l.name, i.name FROM pragma_index_list($1) AS l, pragma_index_info(l.name) AS i \
         WHERE l.\"unique\" = 1 AND l.partial = 0 ORDER BY l.seq, i.seqno",
        &[Value::from(bare.as_str())],
    )
    .await?;
    let mut last = String::new();
    for row in indexes {
        let index = text(&row[0]);
        let column = quoted(&text(&row[1]));
        match uniques.last_mut() {
            Some(unique) if index == last => unique.columns.push(column),
            _ => uniques.push(Unique {
                is_primary: false,
                columns: vec![column],
            }),
        }
        last = index;
    }
    let mut table = Table {
        name: format!("\"main\".{}", quoted(&bare)),
        bare: quoted(&bare),
        columns,
        key: Vec::new(),
        rows: 0,
        has_before_triggers: false,
    };
    table.rows = count(session, &table.name).await?;
    Ok((table, uniques))
}

#[cfg(test)]
impl Table {
    /// A table of these columns, in quotes.
    pub(super) fn of_columns(bare: &str, names: &[&str]) -> Self {
        Self {
            name: bare.to_owned(),
            bare: bare.to_owned(),
            columns: names
                .iter()
                .map(|name| TableColumn {
                    name: (*name).to_owned(),
                    is_required: true,
                    is_generated: false,
                })
                .collect(),
            key: Vec::new(),
            rows: 0,
            has_before_triggers: false,
        }
    }
}
