//! CREATE TABLE: columns, constraints, and the tables that a new one leans on.

use pg_query::NodeEnum;
use pg_query::protobuf::{
    ColumnDef, ConstrType, Constraint, CreateStmt, DefElem, IndexElem, Node, PartitionBoundSpec,
    PartitionElem, PartitionRangeDatum, PartitionSpec, RangeVar, TableLikeClause,
};

use super::names::{Target, dotted, given, range_var, written};
use super::queries::aliases;
use super::scope::{Item, Level, Source, TableUse};
use super::{Refusal, Walked, Walker, inner, misplaced, unexpected};
use crate::capability::{Action, Code, Columns, Kind, Name};
use crate::sql::access::{Change, Definitions, Made, Origin, Routine, known};

impl Walker<'_> {
    pub(super) fn create_table(&mut self, create: &CreateStmt) -> Walked {
        let CreateStmt {
            relation,
            table_elts,
            inh_relations,
            partbound,
            partspec,
            of_typename,
            constraints,
            nnconstraints,
            options,
            oncommit: _,
            tablespacename,
            access_method: _,
            if_not_exists,
        } = create;
        let range = given(relation.as_ref())?;
        let mut leans = Leans::OnNothing;
        for parent in inh_relations {
            let parent = self.target_to_change(range_var(parent)?)?;
            if !parent.is_free() {
                leans = Leans::OnOthers;
            }
            // What is put into the new table is in the parent as well.
            self.ask_to_alter(&parent, Kind::Table);
            self.ask(Action::Insert, &parent, Columns::All);
        }
        self.type_name(of_typename.as_ref())?;
        self.tablespace(tablespacename)?;
        self.plain_options(options)?;
        let table = match leans {
            Leans::OnNothing => self.new_table(range, *if_not_exists)?,
            Leans::OnOthers => self.new_table_on_others(range)?,
        };
        let columns = table_elts.iter().filter_map(column_name).collect();
        self.beside(&table, columns, |walker| {
            walker.each(table_elts, |walker, node| walker.element(node, &table))?;
            walker.each(constraints, |walker, node| {
                walker.constraint_node(node, &table)
            })?;
            walker.each(nnconstraints, |walker, node| {
                walker.constraint_node(node, &table)
            })?;
            if let Some(bound) = partbound {
                walker.bound(bound)?;
            }
            match partspec {
                Some(spec) => walker.partition_key(spec, &table),
                None => Ok(()),
            }
        })
    }

    /// A new table that may be used freely, once it is there.
    pub(super) fn new_table(
        &mut self,
        range: &RangeVar,
        if_not_exists: bool,
    ) -> Result<Name, Refusal> {
        let name = self.table_to_make(range)?;
        if !Self::is_temporary(range) {
            self.made(Made::Relation, name.clone(), if_not_exists);
        }
        self.changes(Definitions::Relations);
        Ok(name)
    }

    /// A new table whose rows are those of another one as well.
    fn new_table_on_others(&mut self, range: &RangeVar) -> Result<Name, Refusal> {
        let name = self.table_to_make(range)?;
        self.changes(Definitions::Relations);
        Ok(name)
    }

    fn table_to_make(&mut self, range: &RangeVar) -> Result<Name, Refusal> {
        if Self::is_temporary(range) {
            self.own(&range.relname, range.location)?;
            return Ok(Name::new("pg_temp", range.relname.clone()));
        }
        let name = self.new_name(&written(range), range.location)?;
        self.ask_to_make(Kind::Table, &name, range.location);
        Ok(name)
    }

    /// Asks for the right to make something, unless its schema is of this call.
    pub(super) fn ask_to_make(&mut self, kind: Kind, name: &Name, at: i32) {
        let schema = name.schema.clone().map(Name::bare);
        let is_ours =
            schema.is_some_and(|schema| self.context.changes.has_made(Made::Schema, &schema));
        if !is_ours {
            self.add(Action::Create(kind), name.clone(), at);
        }
    }

    /// Walks expressions that see the columns of one table, which is not read by them.
    pub(super) fn beside(
        &mut self,
        table: &Name,
        columns: Vec<String>,
        walk: impl FnOnce(&mut Self) -> Walked,
    ) -> Walked {
        let here = self.uses.len();
        let mut level = Level::default();
        level.items.push(Self::made_item(
            Some(table.name.clone()),
            Some(columns),
            here..here,
        ));
        // What is around it is not seen.
        let outside = std::mem::replace(&mut self.levels, vec![level]);
        let walked = walk(self);
        self.levels = outside;
        walked
    }

    /// Walks expressions that see the columns of one table, and read them.
    pub(super) fn reading(
        &mut self,
        target: &Target,
        walk: impl FnOnce(&mut Self) -> Walked,
    ) -> Walked {
        let columns = target.columns.as_ref().map(|columns| {
            columns
                .iter()
                .map(|name| (name.clone(), name.clone()))
                .collect()
        });
        self.uses.push(TableUse {
            name: target.name.clone(),
            real: target.real.clone(),
            at: usize::try_from(target.at).ok(),
            read: false,
            freedom: target.freedom,
            columns: Self::no_columns(),
        });
        let mut level = Level::default();
        level.items.push(Item {
            alias: Some(target.real.name.clone()),
            schema: target.real.schema.clone(),
            source: Source::Table {
                used: self.uses.len() - 1,
                columns,
            },
            lateral_only: false,
        });
        let outside = std::mem::replace(&mut self.levels, vec![level]);
        let walked = walk(self);
        self.levels = outside;
        walked
    }

    /// Walks an expression that the server keeps and evaluates later, for whoever writes to the table.
    pub(super) fn kept(&mut self, expression: &Node, table: &Name) -> Walked {
        let before = self.calls;
        self.expression(expression)?;
        if self.calls > before {
            self.add(Action::Code(Code::Default), table.clone(), -1);
        }
        Ok(())
    }

    fn element(&mut self, node: &Node, table: &Name) -> Walked {
        match inner(node)? {
            NodeEnum::ColumnDef(column) => self.column_definition(column, table),
            NodeEnum::Constraint(constraint) => self.constraint(constraint, table),
            NodeEnum::TableLikeClause(like) => {
                let TableLikeClause {
                    relation,
                    options,
                    relation_oid: _,
                } = like;
                let target = self.target_to_change(given(relation.as_ref())?)?;
                self.ask(Action::Select, &target, Self::no_columns());
                if options & INCLUDING_EXPRESSIONS != 0 {
                    self.carry_over(&target, table);
                }
                Ok(())
            }
            other => Err(misplaced(other)),
        }
    }

    /// What the new table takes over calls what it calls, for whoever writes to that.
    fn carry_over(&mut self, from: &Target, table: &Name) {
        if from.kind.is_none() {
            return;
        }
        let Some(called) = self.context.catalog.carried(&from.real) else {
            self.wanted.carried.insert(from.real.clone());
            return;
        };
        let is_harmless = |routine: &Routine| match routine.origin {
            Origin::Server => known::is_safe_function(&routine.name.name),
            Origin::Harmless => true,
            Origin::Other => false,
        };
        if !called.iter().all(is_harmless) {
            self.add(Action::Code(Code::Default), table.clone(), from.at);
        }
    }

    pub(super) fn column_definition(&mut self, column: &ColumnDef, table: &Name) -> Walked {
        let ColumnDef {
            colname: _,
            type_name,
            compression: _,
            inhcount: _,
            is_local: _,
            is_not_null: _,
            is_from_type: _,
            storage: _,
            storage_name: _,
            raw_default,
            cooked_default: _,
            identity: _,
            identity_sequence: _,
            generated: _,
            coll_clause,
            coll_oid: _,
            constraints,
            fdwoptions,
            location: _,
        } = column;
        self.type_name(type_name.as_ref())?;
        if let Some(default) = raw_default {
            self.kept(default, table)?;
        }
        if let Some(collate) = coll_clause {
            self.collation(&collate.collname)?;
        }
        if !fdwoptions.is_empty() {
            return Err(Refusal::new(
                "OPTIONS of a column",
                "it reaches beyond the database",
            ));
        }
        self.each(constraints, |walker, node| {
            walker.constraint_node(node, table)
        })
    }

    fn constraint_node(&mut self, node: &Node, table: &Name) -> Walked {
        match inner(node)? {
            NodeEnum::Constraint(constraint) => self.constraint(constraint, table),
            other => Err(misplaced(other)),
        }
    }

    pub(super) fn constraint(&mut self, constraint: &Constraint, table: &Name) -> Walked {
        let Constraint {
            contype: _,
            conname: _,
            deferrable: _,
            initdeferred: _,
            is_enforced: _,
            skip_validation: _,
            initially_valid: _,
            is_no_inherit: _,
            raw_expr,
            cooked_expr: _,
            generated_when: _,
            generated_kind: _,
            nulls_not_distinct: _,
            keys: _,
            without_overlaps: _,
            including: _,
            exclusions,
            options,
            indexname: _,
            indexspace,
            reset_default_tblspc: _,
            access_method: _,
            where_clause,
            pktable,
            fk_attrs: _,
            pk_attrs,
            fk_with_period: _,
            pk_with_period: _,
            fk_matchtype: _,
            fk_upd_action: _,
            fk_del_action: _,
            fk_del_set_cols: _,
            old_conpfeqop: _,
            old_pktable_oid: _,
            location: _,
        } = constraint;
        if let Some(expression) = raw_expr {
            self.kept(expression, table)?;
        }
        if let Some(expression) = where_clause {
            self.kept(expression, table)?;
        }
        self.tablespace(indexspace)?;
        match constraint.contype() {
            ConstrType::ConstrIdentity => self.sequence_options(options)?,
            _ => self.plain_options(options)?,
        }
        self.each(exclusions, |walker, node| match inner(node)? {
            NodeEnum::List(pair) => match pair.items.as_slice() {
                [element, operator] => {
                    walker.index_element(element, table)?;
                    match inner(operator)? {
                        NodeEnum::List(name) => walker.operator(&name.items, -1),
                        other => Err(misplaced(other)),
                    }
                }
                _ => Err(unexpected("an exclusion of so many parts")),
            },
            other => Err(misplaced(other)),
        })?;
        if let Some(other) = pktable {
            self.refer(other, pk_attrs)?;
        }
        Ok(())
    }

    /// A foreign key tells which keys are there.
    fn refer(&mut self, other: &RangeVar, keys: &[Node]) -> Walked {
        let target = self.target_to_change(other)?;
        let columns = Columns::some(aliases(keys)?);
        self.ask(Action::Select, &target, columns);
        Ok(())
    }

    fn index_element(&mut self, node: &Node, table: &Name) -> Walked {
        match inner(node)? {
            NodeEnum::IndexElem(element) => {
                let before = self.calls;
                self.index_part(element)?;
                if self.calls > before {
                    self.add(Action::Code(Code::Default), table.clone(), -1);
                }
                Ok(())
            }
            other => Err(misplaced(other)),
        }
    }

    pub(super) fn index_part(&mut self, element: &IndexElem) -> Walked {
        let IndexElem {
            name: _,
            expr,
            indexcolname: _,
            collation,
            opclass,
            opclassopts,
            ordering: _,
            nulls_ordering: _,
        } = element;
        self.maybe(expr.as_deref())?;
        if !collation.is_empty() {
            self.collation(collation)?;
        }
        if !opclass.is_empty() {
            dotted(opclass)?;
        }
        self.plain_options(opclassopts)
    }

    /// The columns that ON CONFLICT names.
    pub(super) fn index_elements(&mut self, nodes: &[Node], item: &Item) -> Walked {
        self.each(nodes, |walker, node| match inner(node)? {
            NodeEnum::IndexElem(element) => {
                if !element.name.is_empty() {
                    walker.read_column(item, &element.name);
                }
                walker.index_part(element)
            }
            other => Err(misplaced(other)),
        })
    }

    fn partition_key(&mut self, spec: &PartitionSpec, table: &Name) -> Walked {
        let PartitionSpec {
            strategy: _,
            part_params,
            location: _,
        } = spec;
        self.each(part_params, |walker, node| match inner(node)? {
            NodeEnum::PartitionElem(element) => {
                let PartitionElem {
                    name: _,
                    expr,
                    collation,
                    opclass,
                    location: _,
                } = &**element;
                if let Some(expression) = expr {
                    walker.kept(expression, table)?;
                }
                if !collation.is_empty() {
                    walker.collation(collation)?;
                }
                if !opclass.is_empty() {
                    dotted(opclass)?;
                }
                Ok(())
            }
            other => Err(misplaced(other)),
        })
    }

    /// The bound of a partition is evaluated at once.
    pub(super) fn bound(&mut self, bound: &PartitionBoundSpec) -> Walked {
        let PartitionBoundSpec {
            strategy: _,
            is_default: _,
            modulus: _,
            remainder: _,
            listdatums,
            lowerdatums,
            upperdatums,
            location: _,
        } = bound;
        self.each(listdatums, Self::expression)?;
        self.each(
            lowerdatums.iter().chain(upperdatums),
            |walker, node| match inner(node)? {
                NodeEnum::PartitionRangeDatum(datum) => {
                    let PartitionRangeDatum {
                        kind: _,
                        value,
                        location: _,
                    } = &**datum;
                    walker.maybe(value.as_deref())
                }
                // MINVALUE and MAXVALUE are read as columns.
                NodeEnum::ColumnRef(_) => Ok(()),
                _ => walker.expression(node),
            },
        )
    }

    /// Options whose values are constants and words: they run nothing and name nothing.
    pub(super) fn plain_options(&mut self, options: &[Node]) -> Walked {
        self.each(options, |_, node| match inner(node)? {
            NodeEnum::DefElem(option) => {
                let DefElem {
                    defnamespace: _,
                    defname,
                    arg,
                    defaction: _,
                    arg_location: _,
                    location,
                } = &**option;
                match arg.as_deref().map(inner).transpose()? {
                    None
                    | Some(
                        NodeEnum::String(_)
                        | NodeEnum::Integer(_)
                        | NodeEnum::Float(_)
                        | NodeEnum::Boolean(_)
                        | NodeEnum::TypeName(_),
                    ) => Ok(()),
                    Some(_) => Err(Refusal::new("an option", "its value is not a constant")
                        .of(defname.clone())
                        .at(*location)),
                }
            }
            other => Err(misplaced(other)),
        })
    }

    /// Notes that a column has another name from now on.
    pub(super) fn rename_column(&mut self, table: &Name, from: &str, to: &str) {
        self.change(Change::RenamedColumn(
            table.clone(),
            from.to_owned(),
            to.to_owned(),
        ));
    }
}

/// What LIKE takes over that calls functions: constraints, defaults, generated columns, indexes and statistics. The numbers
/// are the parser's.
const INCLUDING_EXPRESSIONS: u32 = 1 << 2 | 1 << 3 | 1 << 4 | 1 << 6 | 1 << 7;

/// Whether the rows of a new table are also those of tables that this call has not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leans {
    OnNothing,
    OnOthers,
}

fn column_name(node: &Node) -> Option<String> {
    match node.node.as_ref()? {
        NodeEnum::ColumnDef(column) => Some(column.colname.clone()),
        _ => None,
    }
}
