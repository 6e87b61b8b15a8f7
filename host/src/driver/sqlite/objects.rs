//! The objects of a database, as `sqlite_schema` lists them.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;

use crate::driver::Dialect;
use crate::sql::{Lexer, TokenKind};

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Sort {
    Table,
    View,
    Index,
    Trigger,
}

/// One object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Object {
    /// The table of an index or a trigger, in lower case.
    pub(super) table: String,
    /// The statement that makes it; none for what SQLite makes itself.
    pub(super) sql: Option<String>,
    /// The module of a virtual table, in lower case.
    pub(super) module: Option<String>,
}

/// All objects by their names, which are in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Objects {
    pub(super) main: BTreeMap<(Sort, String), Object>,
    /// Tables and views that end with the session.
    pub(super) temporary: BTreeSet<String>,
    /// Which schema this is: each change of it makes another one. None where a rollback has come between.
    version: Option<i64>,
}

const MAIN: &str = "SELECT type, name, tbl_name, sql FROM main.sqlite_schema";
const TEMPORARY: &str = "SELECT name FROM temp.sqlite_schema WHERE type IN ('table', 'view')";

impl Objects {
    /// Reads what is there now, as far as it may differ from what was there.
    pub(super) fn read(connection: &Connection, before: &Self) -> rusqlite::Result<Self> {
        let version = connection.query_row("PRAGMA main.schema_version", (), |row| row.get(0))?;
        let mut objects = match before.version == Some(version) {
            true => Self {
                temporary: BTreeSet::new(),
                ..before.clone()
            },
            false => Self::read_main(connection)?,
        };
        objects.version = Some(version);
        let mut list = connection.prepare_cached(TEMPORARY)?;
        let mut rows = list.query(())?;
        while let Some(row) = rows.next()? {
            let name: String = row.get(0)?;
            objects.temporary.insert(name.to_ascii_lowercase());
        }
        Ok(objects)
    }

    fn read_main(connection: &Connection) -> rusqlite::Result<Self> {
        let mut objects = Self::default();
        let mut list = connection.prepare_cached(MAIN)?;
        let mut rows = list.query(())?;
        while let Some(row) = rows.next()? {
            let sort = match row.get_ref(0)?.as_str()? {
                "table" => Sort::Table,
                "view" => Sort::View,
                "index" => Sort::Index,
                _ => Sort::Trigger,
            };
            let name: String = row.get(1)?;
            let table: String = row.get(2)?;
            let sql: Option<String> = row.get(3)?;
            let object = Object {
                table: table.to_ascii_lowercase(),
                module: sql.as_deref().and_then(module_of),
                sql,
            };
            objects
                .main
                .insert((sort, name.to_ascii_lowercase()), object);
        }
        Ok(objects)
    }

    /// Connects the virtual tables, which reads the tables that hold their data: later it would look as if a statement
    /// did. One that cannot be connected says so to whoever uses it.
    pub(super) fn connect(&self, connection: &Connection) {
        for ((_, name), object) in &self.main {
            if object.module.is_some() {
                let name = name.replace('"', "\"\"");
                let _ = connection.prepare(&format!("SELECT 1 FROM main.\"{name}\""));
            }
        }
    }

    pub(super) fn get(&self, sort: Sort, name: &str) -> Option<&Object> {
        self.main.get(&(sort, name.to_owned()))
    }

    /// Whether the database has a table or view of this name.
    pub(super) fn has_relation(&self, name: &str) -> bool {
        self.get(Sort::Table, name).is_some() || self.get(Sort::View, name).is_some()
    }

    /// The virtual table that keeps its data in the table `name`.
    pub(super) fn owner_of(&self, name: &str) -> Option<&str> {
        let owner = name.rsplit_once('_')?.0;
        let (key, object) = self.main.get_key_value(&(Sort::Table, owner.to_owned()))?;
        let module = object.module.as_deref()?;
        is_shadow(owner, module, name).then_some(key.1.as_str())
    }
}

/// Whether a virtual table of a module keeps data in the table `name`.
pub(super) fn is_shadow(owner: &str, module: &str, name: &str) -> bool {
    let suffixes: &[&str] = match module {
        "fts5" => &["data", "idx", "content", "docsize", "config"],
        "fts3" | "fts4" => &["content", "segments", "segdir", "docsize", "stat"],
        "rtree" | "rtree_i32" | "geopoly" => &["node", "rowid", "parent"],
        _ => &[],
    };
    name.strip_prefix(owner)
        .and_then(|rest| rest.strip_prefix('_'))
        .is_some_and(|suffix| suffixes.contains(&suffix))
}

fn module_of(sql: &str) -> Option<String> {
    let mut words = Lexer::new(sql, Dialect::Sqlite)
        .map_while(Result::ok)
        .filter(|token| token.kind != TokenKind::Comment);
    if !(words.next()?.is_word("create") && words.next()?.is_word("virtual")) {
        return None;
    }
    words.find(|token| token.is_word("using"))?;
    let module = words.next()?.text.trim_matches(['"', '`', '[', ']', '\'']);
    Some(module.to_ascii_lowercase())
}
