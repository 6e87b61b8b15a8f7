//! Names of types, and casts.

use pg_query::NodeEnum;
use pg_query::protobuf::{Node, TypeName};

use super::names::{dotted, given};
use super::{Walked, Walker, inner, misplaced};
use crate::capability::{Columns, Name};
use crate::sql::access::{Made, Occasion, Subject};
use std::collections::BTreeSet;

/// Types of the server's that are written without `pg_catalog`: it comes first for a component, so that no other can have
/// their name.
const COMMON: [&str; 23] = [
    "bool",
    "bytea",
    "cidr",
    "date",
    "float4",
    "float8",
    "inet",
    "int2",
    "int4",
    "int8",
    "json",
    "jsonb",
    "jsonpath",
    "macaddr",
    "name",
    "numeric",
    "oid",
    "point",
    "regclass",
    "text",
    "timestamptz",
    "tsvector",
    "uuid",
];

impl Walker<'_> {
    /// Walks the name of a type, where one is given.
    pub(super) fn type_name(&mut self, name: Option<&TypeName>) -> Walked {
        match name {
            Some(name) => self.type_used(name).map(drop),
            None => Ok(()),
        }
    }

    /// Walks the name of a type; tells the name where it is one of a type (`x.y%TYPE` is not).
    fn type_used(&mut self, name: &TypeName) -> Result<Option<Name>, super::Refusal> {
        let TypeName {
            names,
            type_oid: _,
            setof: _,
            pct_type,
            typmods,
            typemod: _,
            array_bounds: _,
            location,
        } = name;
        self.each(typmods, Self::type_modifier)?;
        if *pct_type {
            let (column, table) = names
                .split_last()
                .ok_or_else(|| super::unexpected("a type without a name"))?;
            super::text(column)?;
            let table = dotted(table)?;
            self.target(&table, *location)?;
            return Ok(None);
        }
        let written = dotted(names)?;
        self.own(&written.name, *location)?;
        self.named_types.insert(written.clone());
        Ok(Some(written))
    }

    /// Constants, and words such as the subtype of a geometry.
    fn type_modifier(&mut self, node: &Node) -> Walked {
        match inner(node)? {
            NodeEnum::AConst(_) => Ok(()),
            NodeEnum::ColumnRef(word) => {
                self.each(&word.fields, |_, field| super::text(field).map(drop))
            }
            other => Err(misplaced(other)),
        }
    }

    /// An explicit cast: functions of others may make it.
    pub(super) fn cast_to(&mut self, name: &TypeName) -> Walked {
        if let Some(written) = self.type_used(name)? {
            self.cast_to_named(&written);
        }
        Ok(())
    }

    /// An explicit cast to a type as it is written. What is no type's name is left to the server.
    pub(super) fn cast_to_named(&mut self, written: &Name) {
        let made = self.made_of(written);
        let casts = self.context.catalog.casts();
        for cast in casts.iter().filter(|cast| made.contains(&cast.target)) {
            self.cast_by(&cast.function);
        }
    }

    /// The type of a name, and what it is made of: a cast to it may be one to that. Nothing where it is no type's.
    fn made_of(&mut self, written: &Name) -> BTreeSet<Name> {
        let is_common = written.schema.is_none()
            && self.context.subject == Subject::Component
            && COMMON.contains(&written.name.as_str());
        if is_common {
            return BTreeSet::from([Name::new("pg_catalog", written.name.clone())]);
        }
        if written.schema.as_deref() == Some("pg_catalog") && !written.name.starts_with('_') {
            return BTreeSet::from([written.clone()]);
        }
        match self.context.catalog.r#type(written) {
            Some(Some(found)) => {
                let mut all = found.parts.clone();
                all.insert(found.name.clone());
                all
            }
            Some(None) => BTreeSet::new(),
            None => {
                self.wanted.types.insert(written.clone());
                BTreeSet::new()
            }
        }
    }

    fn cast_by(&mut self, function: &Name) {
        match self.context.changes.has_made(Made::Function, function) {
            true => self.calls += 1,
            false => self.call_of(function.clone(), -1),
        }
    }

    /// Casts that nothing in a statement asks for: the server makes them where a value must fit. Which value has which type
    /// is not known, so that any may be made whose two types can be met with in the statement.
    pub(super) fn fitting_casts(&mut self) {
        let casts = self.context.catalog.casts();
        let mut fitting = casts
            .iter()
            .filter(|cast| cast.occasion == Occasion::Fitting)
            .peekable();
        if fitting.peek().is_none() {
            return;
        }
        for written in std::mem::take(&mut self.named_types) {
            let made = self.made_of(&written);
            self.types.extend(made);
        }
        for cast in fitting {
            let is_met = |name: &Name| {
                name.schema.as_deref() == Some("pg_catalog") || self.types.contains(name)
            };
            if is_met(&cast.source) && is_met(&cast.target) {
                self.cast_by(&cast.function);
            }
        }
    }

    /// The name of a collation runs nothing.
    pub(super) fn collation(&mut self, name: &[Node]) -> Walked {
        dotted(name).map(drop)
    }

    /// A column that an older server would read where the parser sees a word.
    pub(super) fn old_column(&mut self, name: &str) -> Walked {
        let items: Vec<_> = self
            .levels
            .iter()
            .flat_map(|level| level.items.clone())
            .collect();
        for item in items {
            if item.has(name) != super::scope::Has::No {
                self.read_column(&item, name);
            }
        }
        Ok(())
    }

    /// The name of a type that a definition uses: whoever uses a table's row type depends on the table, and reads nothing.
    pub(super) fn type_given(&mut self, name: Option<&TypeName>) -> Walked {
        self.type_name(Some(given(name)?))
    }

    /// No columns in particular.
    pub(super) fn no_columns() -> Columns {
        Columns::Some(BTreeSet::new())
    }
}
