//! What names stand for at one place of a statement: tables, aliases and common table expressions.

use std::collections::BTreeSet;

use super::Walker;
use super::names::Freedom;
use crate::capability::{Columns, Name};

/// A table each time that it is named, and which of its columns are read.
#[derive(Debug)]
pub(super) struct TableUse {
    pub(super) name: Name,
    /// Its name as the database has it now.
    pub(super) real: Name,
    pub(super) at: Option<usize>,
    /// Whether rows of it are read, or their number.
    pub(super) read: bool,
    pub(super) freedom: Freedom,
    /// The columns that are read.
    pub(super) columns: Columns,
}

/// One level of a query: what stands in its FROM and its WITH.
#[derive(Debug, Default)]
pub(super) struct Level {
    pub(super) items: Vec<Item>,
    pub(super) tables: Vec<CommonTable>,
    /// Whether what is walked now may see its neighbours to the left.
    pub(super) lateral: bool,
}

/// A common table expression.
#[derive(Debug, Clone)]
pub(super) struct CommonTable {
    pub(super) name: String,
    pub(super) columns: Option<Vec<String>>,
}

/// One thing in FROM.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// The name before the dot; none for a join without an alias or a subquery that has none.
    pub(super) alias: Option<String>,
    /// The schema that may stand before that, for a table without an alias.
    pub(super) schema: Option<String>,
    pub(super) source: Source,
    /// Whether only what is lateral may see it yet.
    pub(super) lateral_only: bool,
}

/// Where the columns of an item come from.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// A table: its place among the uses, and its columns by their visible and their own names, where they are known.
    Table {
        used: usize,
        columns: Option<Vec<(String, String)>>,
    },
    /// Something that is made: its columns, where they are known. Its own reads are accounted for.
    Made {
        columns: Option<Vec<String>>,
        /// The uses below it, which a lock of its rows locks as well.
        below: std::ops::Range<usize>,
    },
    /// A join with an alias of its own, that may rename columns.
    Join { members: Vec<Item>, renamed: bool },
}

/// The columns that every table has.
const SYSTEM_COLUMNS: [&str; 7] = ["tableoid", "xmin", "cmin", "xmax", "cmax", "ctid", "oid"];

/// Whether an item has a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Has {
    Yes,
    No,
    Maybe,
}

impl Item {
    /// The same under another name.
    pub(super) fn aliased(&self, alias: &str) -> Self {
        Self {
            alias: Some(alias.to_owned()),
            schema: None,
            ..self.clone()
        }
    }

    pub(super) fn has(&self, column: &str) -> Has {
        match &self.source {
            Source::Table { columns, .. } => match columns {
                Some(columns) if columns.iter().any(|(visible, _)| visible == column) => Has::Yes,
                _ if SYSTEM_COLUMNS.contains(&column) => Has::Yes,
                Some(_) => Has::No,
                None => Has::Maybe,
            },
            Source::Made { columns, .. } => match columns {
                Some(columns) if columns.iter().any(|one| one == column) => Has::Yes,
                Some(_) => Has::No,
                None => Has::Maybe,
            },
            Source::Join { renamed: true, .. } => Has::Maybe,
            Source::Join { members, .. } => {
                let all: Vec<Has> = members.iter().map(|member| member.has(column)).collect();
                if all.contains(&Has::Yes) {
                    Has::Yes
                } else if all.contains(&Has::Maybe) {
                    Has::Maybe
                } else {
                    Has::No
                }
            }
        }
    }

    /// Its columns in their order, where all are known.
    pub(super) fn columns(&self) -> Option<Vec<String>> {
        match &self.source {
            Source::Table { columns, .. } => {
                let columns = columns.as_ref()?;
                Some(columns.iter().map(|(visible, _)| visible.clone()).collect())
            }
            Source::Made { columns, .. } => columns.clone(),
            Source::Join { renamed: true, .. } => None,
            Source::Join { members, .. } => {
                let mut all = Vec::new();
                for member in members {
                    all.extend(member.columns()?);
                }
                Some(all)
            }
        }
    }
}

impl Walker<'_> {
    /// The innermost level.
    pub(super) fn level(&mut self) -> &mut Level {
        if self.levels.is_empty() {
            self.levels.push(Level::default());
        }
        let last = self.levels.len() - 1;
        &mut self.levels[last]
    }

    /// The common table expression of a name, the innermost one.
    pub(super) fn common_table(&self, name: &str) -> Option<&CommonTable> {
        self.levels
            .iter()
            .rev()
            .find_map(|level| level.tables.iter().rev().find(|table| table.name == name))
    }

    /// Notes that an item's column is read.
    pub(super) fn read_column(&mut self, item: &Item, column: &str) {
        match &item.source {
            Source::Table { used, columns } => {
                let own = columns.as_ref().and_then(|columns| {
                    columns
                        .iter()
                        .find(|(visible, _)| visible == column)
                        .map(|(_, own)| own.clone())
                });
                let is_of_system = own.is_none() && SYSTEM_COLUMNS.contains(&column);
                let Some(table) = self.uses.get_mut(*used) else {
                    return;
                };
                table.read = true;
                if !is_of_system {
                    let own = own.unwrap_or_else(|| column.to_owned());
                    let original = self.context.changes.original_column(&table.real, &own);
                    table.columns.join(&Columns::some([original]));
                }
            }
            Source::Made { .. } => {}
            Source::Join {
                members,
                renamed: true,
            } => {
                for member in members {
                    self.read_all(member);
                }
            }
            Source::Join { members, .. } => {
                for member in members {
                    if member.has(column) != Has::No {
                        self.read_column(member, column);
                    }
                }
            }
        }
    }

    /// Notes that all columns of an item are read.
    pub(super) fn read_all(&mut self, item: &Item) {
        match &item.source {
            Source::Table { used, columns } => {
                let Some(table) = self.uses.get_mut(*used) else {
                    return;
                };
                table.read = true;
                match columns {
                    Some(columns) => {
                        let changes = self.context.changes;
                        let names: BTreeSet<String> = columns
                            .iter()
                            .map(|(_, own)| changes.original_column(&table.real, own).to_owned())
                            .collect();
                        table.columns.join(&Columns::Some(names));
                    }
                    None => table.columns = Columns::All,
                }
            }
            Source::Made { .. } => {}
            Source::Join { members, .. } => {
                for member in members {
                    self.read_all(member);
                }
            }
        }
    }

    /// The places of the tables that an item's rows come from.
    pub(super) fn tables_below(item: &Item) -> Vec<usize> {
        match &item.source {
            Source::Table { used, .. } => vec![*used],
            Source::Made { below, .. } => below.clone().collect(),
            Source::Join { members, .. } => members.iter().flat_map(Self::tables_below).collect(),
        }
    }
}
