//! What a statement does to one object.

use std::collections::BTreeSet;
use std::fmt;

use super::Action;
use super::pattern::write_name;

/// The name of one object.
///
/// PostgreSQL's names are as the server has them, after folding; SQLite's are in lower case. A name without a schema is
/// one of the default schema, or of an object that has no schema (a schema, an extension).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// Its schema.
    pub schema: Option<String>,
    /// Its own name.
    pub name: String,
}

impl Name {
    /// A name in a schema.
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            schema: Some(schema.into()),
            name: name.into(),
        }
    }

    /// A name without a schema.
    pub fn bare(name: impl Into<String>) -> Self {
        Self {
            schema: None,
            name: name.into(),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write_name(f, schema, &[])?;
            f.write_str(".")?;
        }
        write_name(f, &self.name, &[])
    }
}

/// Columns of a table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Columns {
    /// All of them, or an action that knows no columns.
    #[default]
    All,
    /// These; none where only the number of rows matters.
    Some(BTreeSet<String>),
}

impl Columns {
    /// Those with these names.
    pub fn some<T: Into<String>>(names: impl IntoIterator<Item = T>) -> Self {
        Self::Some(names.into_iter().map(Into::into).collect())
    }

    /// Whether all of the others are among them.
    pub fn cover(&self, others: &Self) -> bool {
        match (self, others) {
            (Self::All, _) => true,
            (Self::Some(_), Self::All) => false,
            (Self::Some(these), Self::Some(others)) => these.is_superset(others),
        }
    }

    /// Whether some of the others are among them, or either speaks of no column.
    pub fn meet(&self, others: &Self) -> bool {
        match (self, others) {
            (Self::Some(these), Self::Some(others)) => {
                these.is_empty() || others.is_empty() || !these.is_disjoint(others)
            }
            _ => true,
        }
    }

    /// Adds others to them.
    pub fn join(&mut self, others: &Self) {
        match (&mut *self, others) {
            (Self::Some(these), Self::Some(others)) => these.extend(others.iter().cloned()),
            _ => *self = Self::All,
        }
    }
}

impl fmt::Display for Columns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Some(names) = self else {
            return Ok(());
        };
        f.write_str("(")?;
        for (at, name) in names.iter().enumerate() {
            if at > 0 {
                f.write_str(", ")?;
            }
            write_name(f, name, &[])?;
        }
        f.write_str(")")
    }
}

/// What a statement does to one object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Access {
    /// What it does.
    pub action: Action,
    /// To what.
    pub object: Name,
    /// To which columns, where the action has some.
    pub columns: Columns,
}

impl Access {
    /// An access to an object as a whole.
    pub fn new(action: Action, object: Name) -> Self {
        Self {
            action,
            object,
            columns: Columns::All,
        }
    }

    /// The same, to some columns only.
    pub fn with_columns(mut self, columns: Columns) -> Self {
        self.columns = columns;
        self
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.action, self.object, self.columns)
    }
}
