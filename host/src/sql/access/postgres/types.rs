//! Names of types, and casts.

use pg_query::NodeEnum;
use pg_query::protobuf::{Node, TypeName};

use super::names::{dotted, given};
use super::{Walked, Walker, inner, misplaced};
use crate::capability::{Columns, Name};

/// Types of the server's that are written without `pg_catalog`: it comes first, so that no other can have their name.
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
        let target = match written.schema.as_deref() {
            Some("pg_catalog") => written.clone(),
            None if COMMON.contains(&written.name.as_str()) => {
                Name::new("pg_catalog", written.name.clone())
            }
            _ => match self.context.catalog.r#type(written) {
                Some(Some(found)) => found.name.clone(),
                Some(None) => return,
                None => {
                    self.wanted.types.insert(written.clone());
                    return;
                }
            },
        };
        let functions: Vec<Name> = self
            .context
            .catalog
            .casts()
            .iter()
            .filter(|cast| cast.target == target)
            .map(|cast| cast.function.clone())
            .collect();
        for function in functions {
            if self
                .context
                .changes
                .has_made(crate::sql::access::Made::Function, &function)
            {
                self.calls += 1;
            } else {
                self.call_of(function, -1);
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
        Columns::Some(std::collections::BTreeSet::new())
    }
}
