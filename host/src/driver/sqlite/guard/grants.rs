//! What is granted, asked of each thing that the authorizer reports.
//!
//! What a trigger or a view does inside counts as well, whoever made it. A column that is read anywhere needs `select`: in
//! WHERE, in RETURNING, on the right of SET. The schema can be read by anyone.

use std::collections::BTreeSet;

use rusqlite::hooks::{AuthAction, AuthContext};

use super::functions;
use super::statement::Origin;
use super::text::{Leading, replaces};
use super::{DriverError, State};
use crate::capability::{Access, Action, Code, Columns, Kind, Name};
use crate::driver::sqlite::objects::Sort;

/// The tables that describe a database; SQLite itself lets nobody write them.
const SCHEMA_TABLES: [&str; 4] = [
    "sqlite_master",
    "sqlite_schema",
    "sqlite_temp_master",
    "sqlite_temp_schema",
];

/// The schema of names that have none.
pub(in crate::driver::sqlite) const MAIN: &str = "main";

/// What one report of the authorizer asks for; a statement with a foreign key asks for several things.
type Asked = Vec<Access>;

impl State {
    /// Asks the grant.
    ///
    /// # Errors
    /// [`DriverError::NotGranted`].
    pub(super) fn ask(&self, context: &AuthContext<'_>) -> Result<(), DriverError> {
        let Some(grant) = &self.grant else {
            return Ok(());
        };
        for access in self.asked(context) {
            grant.check(&access, MAIN)?;
        }
        Ok(())
    }

    fn asked(&self, context: &AuthContext<'_>) -> Asked {
        use AuthAction as A;
        let is_temporary = context.database_name == Some("temp");
        match context.action {
            A::Function { function_name } => return self.call(function_name),
            A::AlterTable {
                database_name,
                table_name,
            } if !database_name.eq_ignore_ascii_case("temp") => return self.alter(table_name),
            A::CreateTempTrigger { table_name, .. } => {
                let table = table_name.to_ascii_lowercase();
                let of_own =
                    self.objects.temporary.contains(&table) && !self.objects.has_relation(&table);
                return match of_own {
                    true => Asked::new(),
                    false => one(Action::Code(Code::Trigger), &table),
                };
            }
            _ if is_temporary => return Asked::new(),
            _ => {}
        }
        match context.action {
            A::Read {
                table_name,
                column_name,
            } => self.read(context, table_name, column_name),
            A::Insert { table_name } => {
                let columns = self.insert_columns(context, table_name);
                self.write(context, Action::Insert, table_name, columns)
            }
            A::Update {
                table_name,
                column_name,
            } => {
                let columns = Columns::some([column_name.to_ascii_lowercase()]);
                self.write(context, Action::Update, table_name, columns)
            }
            A::Delete { table_name } => {
                self.write(context, Action::Delete, table_name, Columns::All)
            }
            A::CreateTable { table_name } => self.create(table_name),
            A::CreateVtable { table_name, .. } => self.create(table_name),
            A::DropTable { table_name } | A::DropVtable { table_name, .. } => {
                self.define(Action::Drop(Kind::Table), table_name)
            }
            A::CreateIndex { table_name, .. } => {
                // SQLite makes indexes for the keys of a table.
                match self
                    .statement
                    .created
                    .contains(&table_name.to_ascii_lowercase())
                {
                    true => Asked::new(),
                    false => self.define(Action::Create(Kind::Index), table_name),
                }
            }
            A::DropIndex {
                index_name,
                table_name,
            } => match self.made.has(&table_name.to_ascii_lowercase()) {
                true => Asked::new(),
                false => self.define(Action::Drop(Kind::Index), index_name),
            },
            A::CreateTrigger { table_name, .. } => one(
                Action::Code(Code::Trigger),
                &table_name.to_ascii_lowercase(),
            ),
            A::DropTrigger { table_name, .. } => {
                // It goes with its table.
                let table = table_name.to_ascii_lowercase();
                match self.statement.targets.contains(&table) {
                    true => Asked::new(),
                    false => one(Action::Code(Code::Trigger), &table),
                }
            }
            A::CreateView { view_name } | A::DropView { view_name } => {
                one(Action::Code(Code::View), &view_name.to_ascii_lowercase())
            }
            A::Reindex { index_name } => self.reindex(index_name),
            A::Analyze { table_name } => self.define(Action::Alter(Kind::Table), table_name),
            _ => Asked::new(),
        }
    }

    fn read(&self, context: &AuthContext<'_>, table: &str, column: &str) -> Asked {
        let table = table.to_ascii_lowercase();
        if self.is_bookkeeping(&table) || self.is_free(&table) {
            return Asked::new();
        }
        let is_there = self.objects.has_relation(&table);
        if !is_there && is_harmless_module(&table) {
            return Asked::new();
        }
        // Only its rows are counted, and it has no schema: it may be a query that WITH names.
        if context.database_name.is_none() {
            let of_own = self.objects.temporary.contains(&table);
            if of_own || !(is_there || table == "dbstat") {
                return Asked::new();
            }
        }
        if let Some(owner) = self.objects.owner_of(&table) {
            return one(Action::Select, owner);
        }
        let columns = match column {
            "" => Columns::Some(BTreeSet::new()),
            column => Columns::some([column.to_ascii_lowercase()]),
        };
        vec![Access::new(Action::Select, Name::bare(table)).with_columns(columns)]
    }

    fn write(
        &self,
        context: &AuthContext<'_>,
        action: Action,
        table: &str,
        columns: Columns,
    ) -> Asked {
        let table = table.to_ascii_lowercase();
        if self.is_bookkeeping(&table) || self.is_free(&table) {
            return Asked::new();
        }
        if let Some(owner) = self.objects.owner_of(&table) {
            return one(action, owner);
        }
        let mut asked = vec![Access::new(action, Name::bare(&table)).with_columns(columns)];
        let copies = self.statement.origin == Origin::Copy && context.accessor.is_none();
        if copies && action == Action::Insert {
            asked.push(Access::new(Action::Copy, Name::bare(&table)));
        }
        if action != Action::Delete && self.replaces(context) {
            asked.push(Access::new(Action::Delete, Name::bare(table)));
        }
        asked
    }

    /// Whether a table needs no grant: the migration has made it, the statement is about it, or a virtual table that
    /// it uses is at work in it.
    fn is_free(&self, table: &str) -> bool {
        self.made.has(table)
            || self.statement.targets.contains(table)
            || self.statement.is_at_work_in(table)
    }

    /// Whether SQLite keeps a table itself, and lets a statement in on its own behalf only, or anyone look.
    fn is_bookkeeping(&self, table: &str) -> bool {
        SCHEMA_TABLES.contains(&table)
            || (table.starts_with("sqlite_") && self.statement.keeps_books())
            // R-tree tables ask how large they are.
            || (table == "sqlite_stat1" && self.statement.is_virtual_at_work())
    }

    fn replaces(&self, context: &AuthContext<'_>) -> bool {
        match context.accessor {
            None => self.statement.reading.replaces,
            Some(accessor) => {
                let trigger = self
                    .objects
                    .get(Sort::Trigger, &accessor.to_ascii_lowercase());
                self.statement.reading.replaces
                    || trigger
                        .and_then(|trigger| trigger.sql.as_deref())
                        .is_none_or(replaces)
            }
        }
    }

    fn insert_columns(&self, context: &AuthContext<'_>, table: &str) -> Columns {
        match &self.statement.reading.inserts {
            Some((into, columns))
                if context.accessor.is_none() && into.eq_ignore_ascii_case(table) =>
            {
                columns.clone()
            }
            _ => Columns::All,
        }
    }

    /// A change of what is not the migration's own.
    fn define(&self, action: Action, name: &str) -> Asked {
        let name = name.to_ascii_lowercase();
        if self.made.has(&name) || self.statement.is_at_work_in(&name) {
            return Asked::new();
        }
        match self.objects.owner_of(&name) {
            Some(owner) => one(action, owner),
            None => one(action, &name),
        }
    }

    fn create(&self, table: &str) -> Asked {
        let table = table.to_ascii_lowercase();
        if table.starts_with("sqlite_") || self.statement.is_at_work_in(&table) {
            return Asked::new();
        }
        let mut asked = one(Action::Create(Kind::Table), &table);
        asked.extend(self.definition(&table));
        asked
    }

    fn alter(&self, table: &str) -> Asked {
        let table = table.to_ascii_lowercase();
        if self.statement.is_at_work_in(&table) {
            return Asked::new();
        }
        let mut asked = self.define(Action::Alter(Kind::Table), &table);
        if let Some(to) = &self.statement.reading.renames_to {
            asked.extend(one(Action::Create(Kind::Table), to));
        }
        asked.extend(self.definition(&table));
        asked
    }

    /// What the text of a definition asks for beside.
    fn definition(&self, table: &str) -> Asked {
        let reading = &self.statement.reading;
        let mut asked = Asked::new();
        if reading.default_calls.is_some() {
            asked.extend(one(Action::Code(Code::Default), table));
        }
        for parent in &reading.refers_to {
            if parent != table && !self.made.has(parent) {
                // Whether a row is there can be told by a key that refers to it.
                let columns = Columns::Some(BTreeSet::new());
                asked.push(Access::new(Action::Select, Name::bare(parent)).with_columns(columns));
            }
        }
        asked
    }

    fn reindex(&self, index: &str) -> Asked {
        let index = index.to_ascii_lowercase();
        let table = self
            .objects
            .get(Sort::Index, &index)
            .map(|index| index.table.as_str());
        // An index is filled when it is made.
        let made = self.statement.created.contains(&index)
            || table.is_some_and(|table| self.made.has(table) || self.is_free(table));
        match made {
            true => Asked::new(),
            false => self.define(Action::Alter(Kind::Index), &index),
        }
    }

    fn call(&self, function: &str) -> Asked {
        let function = function.to_ascii_lowercase();
        let reading = &self.statement.reading;
        // ALTER TABLE has functions that nobody else can call.
        let internal = reading.leading == Leading::Change && function.starts_with("sqlite_");
        if functions::is_harmless(&function) || internal {
            return Asked::new();
        }
        match self.statement.targets.first() {
            Some(table) if reading.leading != Leading::Other => {
                one(Action::Code(Code::Default), table)
            }
            _ => one(Action::Call, &function),
        }
    }
}

fn one(action: Action, name: &str) -> Asked {
    vec![Access::new(action, Name::bare(name))]
}

/// Tables without a CREATE that read nothing but their arguments and the schema.
fn is_harmless_module(name: &str) -> bool {
    name.starts_with("pragma_")
        || matches!(
            name,
            "json_each" | "json_tree" | "jsonb_each" | "jsonb_tree"
        )
}
