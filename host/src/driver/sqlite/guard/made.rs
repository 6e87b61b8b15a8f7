//! What a migration has made of the schema in this call.

use std::collections::BTreeSet;

use super::statement::Statement;
use crate::capability::Code;
use crate::driver::sqlite::audit::Whose;
use crate::driver::sqlite::objects::{Objects, Sort};

/// What a migration has made, removed and changed since it began, all names in lower case. It may use freely what it has
/// made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::driver::sqlite) struct Made {
    /// Tables, views and indexes that it has made.
    own: BTreeSet<String>,
    /// Tables of others that it has removed.
    pub(in crate::driver::sqlite) dropped: BTreeSet<String>,
    /// Tables that it has altered: others' texts may have changed with them.
    pub(in crate::driver::sqlite) altered: BTreeSet<String>,
    /// Code that it has made or removed, by the view or the table of a trigger.
    pub(in crate::driver::sqlite) coded: BTreeSet<(Code, String)>,
}

impl Made {
    /// Whether it has made a table, view or index.
    pub(in crate::driver::sqlite) fn has(&self, name: &str) -> bool {
        self.own.contains(name)
    }

    /// Takes note of what a statement has made of `before`.
    pub(super) fn take(&mut self, statement: &Statement, before: &Objects, now: &Objects) {
        let renamed = statement
            .altered
            .iter()
            .find(|table| self.has(table) && now.get(Sort::Table, table).is_none())
            .and(statement.reading.renames_to.as_deref());
        let relations = |objects: &Objects| -> BTreeSet<String> {
            objects
                .main
                .keys()
                .filter(|(sort, _)| *sort != Sort::Trigger)
                .map(|(_, name)| name.clone())
                .collect()
        };
        let (before, after) = (relations(before), relations(now));
        for gone in before.difference(&after) {
            self.own.remove(gone);
        }
        for new in after.difference(&before) {
            let follows = renamed.is_some_and(|to| {
                new == to
                    || now.owner_of(new) == Some(to)
                    || now
                        .get(Sort::Index, new)
                        .is_some_and(|index| index.table == to)
            });
            let index_of_own = now
                .get(Sort::Index, new)
                .is_some_and(|index| self.has(&index.table));
            if statement.makes(new) || follows || index_of_own {
                self.own.insert(new.clone());
            }
        }
        self.dropped.extend(statement.dropped.iter().cloned());
        self.altered.extend(statement.altered.iter().cloned());
        self.coded.extend(statement.coded.iter().cloned());
    }

    /// Whose a table is whose rows a statement changes.
    pub(super) fn whose(&self, table: &str, objects: &Objects, statement: &Statement) -> Whose {
        let bookkeeping = table.starts_with("sqlite_") && statement.keeps_books();
        if bookkeeping || self.has(table) || statement.makes(table) {
            return Whose::Own;
        }
        match objects.owner_of(table) {
            Some(owner) if self.has(owner) => Whose::Own,
            Some(owner) => Whose::Virtual(owner.to_owned()),
            None => Whose::Other,
        }
    }
}
