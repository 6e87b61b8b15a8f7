//! What one call has made and renamed, which decides what it may do next.

use std::collections::{BTreeMap, BTreeSet};

use crate::capability::Name;

/// What a statement has made, removed or renamed, once it has run. All names are whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It has made something that the call may use freely.
    Made(Made, Name),
    /// It has removed something.
    Removed(Made, Name),
    /// It has given something another name or schema.
    Renamed(Made, Name, Name),
    /// It has given a column of a table another name.
    RenamedColumn(Name, String, String),
}

/// What names stand for: each of them has names of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Made {
    /// A table, view, sequence or index.
    Relation,
    /// A schema.
    Schema,
    /// A type.
    Type,
    /// A function, procedure or aggregate.
    Function,
    /// Extended statistics, a collation, text search.
    Other,
}

/// What one call has made and renamed so far.
///
/// What it has made it may use freely. What it has renamed goes on under the name that the grant knows: a grant on
/// `orders` is none on the table that was `salaries` before the call renamed both.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    made: BTreeSet<(Made, Name)>,
    /// For each new name the one that it had before the call.
    renamed: BTreeMap<(Made, Name), Name>,
    columns: BTreeMap<(Name, String), String>,
}

impl Changes {
    /// Takes note of what a statement has done.
    pub fn apply(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Made(made, name) => {
                    self.made.insert((*made, name.clone()));
                    self.renamed.remove(&(*made, name.clone()));
                }
                Change::Removed(made, name) => {
                    self.made.remove(&(*made, name.clone()));
                    self.renamed.remove(&(*made, name.clone()));
                    self.columns.retain(|(table, _), _| table != name);
                }
                Change::Renamed(Made::Schema, from, to) => self.rename_schema(from, to),
                Change::Renamed(made, from, to) => self.rename(*made, from, to),
                Change::RenamedColumn(table, from, to) => {
                    let original = self.original_column(table, from).to_owned();
                    self.columns.remove(&(table.clone(), from.clone()));
                    self.columns.insert((table.clone(), to.clone()), original);
                }
            }
        }
    }

    fn rename(&mut self, made: Made, from: &Name, to: &Name) {
        if self.made.remove(&(made, from.clone())) {
            self.made.insert((made, to.clone()));
        } else {
            let original = self.original(made, from).clone();
            self.renamed.remove(&(made, from.clone()));
            self.renamed.insert((made, to.clone()), original);
        }
        let columns: Vec<_> = self
            .columns
            .iter()
            .filter(|((table, _), _)| table == from)
            .map(|((_, column), original)| (column.clone(), original.clone()))
            .collect();
        self.columns.retain(|(table, _), _| table != from);
        for (column, original) in columns {
            self.columns.insert((to.clone(), column), original);
        }
    }

    /// Everything in the schema moves with it; all that is known by name is told by its old schema from now on.
    fn rename_schema(&mut self, from: &Name, to: &Name) {
        let moved = |name: &Name| match &name.schema {
            Some(schema) if *schema == from.name => Name::new(to.name.clone(), name.name.clone()),
            _ => name.clone(),
        };
        self.made = self
            .made
            .iter()
            .map(|(made, name)| (*made, moved(name)))
            .collect();
        self.renamed = self
            .renamed
            .iter()
            .map(|((made, name), original)| ((*made, moved(name)), original.clone()))
            .collect();
        self.columns = self
            .columns
            .iter()
            .map(|((table, column), original)| ((moved(table), column.clone()), original.clone()))
            .collect();
        self.rename(Made::Schema, from, to);
    }

    /// Whether this call has made it.
    pub fn has_made(&self, made: Made, name: &Name) -> bool {
        self.made.contains(&(made, name.clone()))
    }

    /// The name that something had before this call.
    pub fn original<'a>(&'a self, made: Made, name: &'a Name) -> &'a Name {
        self.renamed.get(&(made, name.clone())).unwrap_or(name)
    }

    /// The name that something had before this call, where its schema has another one now.
    pub fn original_in_schema(&self, made: Made, name: &Name) -> Name {
        if let Some(original) = self.renamed.get(&(made, name.clone())) {
            return original.clone();
        }
        match &name.schema {
            Some(schema) => {
                let schema = Name::bare(schema.clone());
                let original = self.original(Made::Schema, &schema);
                Name::new(original.name.clone(), name.name.clone())
            }
            None => name.clone(),
        }
    }

    /// The name that a column had before this call.
    pub fn original_column<'a>(&'a self, table: &Name, column: &'a str) -> &'a str {
        self.columns
            .get(&(table.clone(), column.to_owned()))
            .map_or(column, String::as_str)
    }
}
