//! Statements that read and write rows, and every table that is named anywhere in them.

use std::collections::BTreeSet;

use pg_query::NodeEnum;
use serde_json::Value;

use crate::sql::effects::{Effects, Harm, Lock, LockMode, Relation, Toll};

impl Effects {
    /// Reads a tree in its generic form, where nothing that names a table can be overlooked.
    pub(super) fn rows(&mut self, node: &NodeEnum) {
        // A tree of plain data can always be written as JSON.
        let Ok(tree) = serde_json::to_value(node) else {
            return;
        };
        let mut named = BTreeSet::new();
        collect(&tree, "ctename", &mut |name, _| {
            named.insert(name.to_owned());
        });
        let mut walk = Walk {
            effects: self,
            named,
        };
        walk.visit(&tree);
    }
}

struct Walk<'a> {
    effects: &'a mut Effects,
    /// Names that stand for queries of the statement itself.
    named: BTreeSet<String>,
}

impl Walk<'_> {
    fn visit(&mut self, tree: &Value) {
        match tree {
            Value::Array(items) => items.iter().for_each(|item| self.visit(item)),
            Value::Object(fields) => {
                for (name, value) in fields {
                    self.statement(name, value);
                }
                if let Some(table) = self.table(tree) {
                    // A table that is written is named as one that is read, too.
                    let is_known = |lock: &Lock| lock.relation == table;
                    if !self.effects.locks.iter().any(is_known) {
                        let lock = Lock::new(table, LockMode::AccessShare, Toll::Scan);
                        self.effects.lock(lock);
                    }
                }
                fields.values().for_each(|value| self.visit(value));
            }
            _ => {}
        }
    }

    fn statement(&mut self, name: &str, tree: &Value) {
        let target = tree.get("relation").and_then(table);
        let is_bare = tree.get("where_clause").is_some_and(Value::is_null);
        match (name, target) {
            ("InsertStmt" | "MergeStmt", Some(table)) => self.write(table),
            ("UpdateStmt", Some(table)) => {
                if is_bare && is_alone(tree, "from_clause") {
                    self.effects
                        .lose(Harm::Data, format!("overwrites all rows of {table}"));
                }
                self.write(table);
            }
            ("DeleteStmt", Some(table)) => {
                if is_bare && is_alone(tree, "using_clause") {
                    self.effects
                        .lose(Harm::Data, format!("deletes all rows of {table}"));
                }
                self.write(table);
            }
            ("SelectStmt", _) => {
                self.locking(tree);
                let into = tree.pointer("/into_clause/rel").and_then(table);
                self.effects.creates.extend(into);
            }
            _ => {}
        }
    }

    fn write(&mut self, table: Relation) {
        self.effects
            .lock(Lock::new(table, LockMode::RowExclusive, Toll::Rows));
    }

    /// `SELECT … FOR UPDATE`, of some of its tables or of all.
    fn locking(&mut self, select: &Value) {
        let clauses = select.get("locking_clause").and_then(Value::as_array);
        for clause in clauses.into_iter().flatten() {
            let mut only = BTreeSet::new();
            if let Some(tables) = clause.pointer("/node/LockingClause/locked_rels") {
                collect(tables, "relname", &mut |name, _| {
                    only.insert(name.to_owned());
                });
            }
            let mut locked = Vec::new();
            if let Some(from) = select.get("from_clause") {
                collect(from, "relname", &mut |name, range| {
                    let alias = range.pointer("/alias/aliasname").and_then(Value::as_str);
                    if only.is_empty() || only.contains(alias.unwrap_or(name)) {
                        locked.extend(table(range));
                    }
                });
            }
            for table in locked {
                if !self.is_query(&table) {
                    let lock = Lock::new(table, LockMode::RowShare, Toll::Rows);
                    self.effects.lock(lock);
                }
            }
        }
    }

    fn table(&self, tree: &Value) -> Option<Relation> {
        table(tree).filter(|table| !self.is_query(table))
    }

    fn is_query(&self, table: &Relation) -> bool {
        table.schema.is_none() && self.named.contains(&table.name)
    }
}

/// The relation that an object names, if it is a range variable.
fn table(tree: &Value) -> Option<Relation> {
    let name = tree.get("relname")?.as_str()?;
    let schema = tree.get("schemaname")?.as_str()?;
    Some(Relation {
        schema: (!schema.is_empty()).then(|| schema.to_owned()),
        name: name.to_owned(),
    })
}

/// Whether no other table narrows down which rows are meant.
fn is_alone(tree: &Value, clause: &str) -> bool {
    let others = tree.get(clause).and_then(Value::as_array);
    others.is_none_or(Vec::is_empty)
}

/// Calls `found` with the text of every field of a name, and the object that it is a field of.
fn collect(tree: &Value, field: &str, found: &mut impl FnMut(&str, &Value)) {
    match tree {
        Value::Array(items) => items.iter().for_each(|item| collect(item, field, found)),
        Value::Object(fields) => {
            if let Some(text) = fields.get(field).and_then(Value::as_str) {
                found(text, tree);
            }
            fields
                .values()
                .for_each(|value| collect(value, field, found));
        }
        _ => {}
    }
}
