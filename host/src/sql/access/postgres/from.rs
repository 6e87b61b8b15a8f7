//! FROM, and what may stand in it.

use pg_query::NodeEnum;
use pg_query::protobuf::{
    Alias, JoinExpr, Node, RangeFunction, RangeSubselect, RangeTableFunc, RangeTableFuncCol,
    RangeTableSample, RangeVar,
};

use super::names::{dotted, given, written};
use super::queries::{aliases, rename};
use super::scope::{Has, Item, Source, TableUse};
use super::{Refusal, Walked, Walker, inner, misplaced};
use crate::capability::Columns;

impl Walker<'_> {
    /// Walks a FROM; what is in it is visible from then on.
    pub(super) fn from(&mut self, nodes: &[Node]) -> Walked {
        for node in nodes {
            let items = self.range_item(node)?;
            self.level().items.extend(items.into_iter().map(|mut item| {
                item.lateral_only = true;
                item
            }));
        }
        for item in &mut self.level().items {
            item.lateral_only = false;
        }
        Ok(())
    }

    /// Walks one part of a FROM; tells what it makes visible.
    pub(super) fn range_item(&mut self, node: &Node) -> Result<Vec<Item>, Refusal> {
        match inner(node)? {
            NodeEnum::RangeVar(range) => Ok(vec![self.range_table(range)?]),
            NodeEnum::RangeSubselect(subselect) => Ok(vec![self.range_subselect(subselect)?]),
            NodeEnum::RangeFunction(function) => Ok(vec![self.range_function(function)?]),
            NodeEnum::RangeTableFunc(table) => Ok(vec![self.range_xml(table)?]),
            NodeEnum::JsonTable(table) => {
                let start = self.uses.len();
                self.laterally(true, |walker| walker.json_table(table))?;
                let alias = table.alias.as_ref().map(|alias| alias.aliasname.clone());
                Ok(vec![Self::made_item(alias, None, start..self.uses.len())])
            }
            NodeEnum::RangeTableSample(sample) => {
                let RangeTableSample {
                    relation,
                    method,
                    args,
                    repeatable,
                    location,
                } = &**sample;
                let items = self.range_item(given(relation.as_deref())?)?;
                self.call(&dotted(method)?, *location)?;
                self.each(args, Self::expression)?;
                self.maybe(repeatable.as_deref())?;
                Ok(items)
            }
            NodeEnum::JoinExpr(join) => self.join(join),
            other => Err(misplaced(other)),
        }
    }

    /// Walks something that sees its neighbours to the left, or does not.
    fn laterally<T>(
        &mut self,
        lateral: bool,
        walk: impl FnOnce(&mut Self) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let before = std::mem::replace(&mut self.level().lateral, lateral);
        let walked = walk(self);
        self.level().lateral = before;
        walked
    }

    fn range_table(&mut self, range: &RangeVar) -> Result<Item, Refusal> {
        let alias = range.alias.as_ref();
        if range.schemaname.is_empty()
            && let Some(table) = self.common_table(&range.relname)
        {
            let columns = table.columns.clone();
            let here = self.uses.len();
            let name = alias
                .map_or(&range.relname, |alias| &alias.aliasname)
                .clone();
            let columns = rename(columns, &renamed(alias)?);
            return Ok(Self::made_item(Some(name), columns, here..here));
        }
        let mut item = self.table_item(range)?;
        if let Source::Table { used, .. } = &item.source
            && let Some(table) = self.uses.get_mut(*used)
        {
            table.read = true;
        }
        item.lateral_only = false;
        Ok(item)
    }

    /// A table that a statement names, of which nothing has been read yet.
    pub(super) fn table_item(&mut self, range: &RangeVar) -> Result<Item, Refusal> {
        let mut target = self.target_of(range)?;
        self.read_system(&mut target)?;
        let alias = range.alias.as_ref();
        let columns = match &target.columns {
            Some(columns) => {
                let names = rename(Some(columns.clone()), &renamed(alias)?).unwrap_or_default();
                Some(names.into_iter().zip(columns.iter().cloned()).collect())
            }
            None => None,
        };
        let width = target.columns.as_ref().map_or(0, Vec::len);
        self.widest = self.widest.max(width);
        self.spend(width)?;
        self.uses.push(TableUse {
            name: target.name.clone(),
            real: target.real.clone(),
            at: usize::try_from(range.location).ok().filter(|at| *at > 0),
            read: false,
            freedom: target.freedom,
            columns: Columns::Some(std::collections::BTreeSet::new()),
        });
        Ok(Item {
            alias: Some(
                alias
                    .map_or(&range.relname, |alias| &alias.aliasname)
                    .clone(),
            ),
            schema: alias.is_none().then(|| written(range).schema).flatten(),
            source: Source::Table {
                used: self.uses.len() - 1,
                columns,
            },
            lateral_only: false,
        })
    }

    fn range_subselect(&mut self, subselect: &RangeSubselect) -> Result<Item, Refusal> {
        let RangeSubselect {
            lateral,
            subquery,
            alias,
        } = subselect;
        let query = given(subquery.as_deref())?;
        let (columns, below) = self.laterally(*lateral, |walker| walker.subquery(query))?;
        let columns = rename(columns, &renamed(alias.as_ref())?);
        let alias = alias.as_ref().map(|alias| alias.aliasname.clone());
        Ok(Self::made_item(alias, columns, below))
    }

    fn range_function(&mut self, function: &RangeFunction) -> Result<Item, Refusal> {
        let RangeFunction {
            lateral: _,
            ordinality: _,
            is_rowsfrom: _,
            functions,
            alias,
            coldeflist,
        } = function;
        let start = self.uses.len();
        self.laterally(true, |walker| {
            // Each is a list of the call and the columns that it is said to have.
            walker.each(functions, |walker, node| match inner(node)? {
                NodeEnum::List(list) => {
                    let (call, columns) = match list.items.as_slice() {
                        [call] => (call, None),
                        [call, columns] => (call, Some(columns)),
                        _ => return Err(super::unexpected("a list of so many parts")),
                    };
                    walker.expression(call)?;
                    match columns.and_then(|columns| columns.node.as_ref()) {
                        Some(NodeEnum::List(columns)) => walker.described_columns(&columns.items),
                        Some(other) => Err(misplaced(other)),
                        None => Ok(()),
                    }
                }
                other => Err(misplaced(other)),
            })?;
            walker.described_columns(coldeflist)
        })?;
        let alias = alias.as_ref().map(|alias| alias.aliasname.clone());
        let name = alias.or_else(|| functions.first().and_then(called));
        Ok(Self::made_item(name, None, start..self.uses.len()))
    }

    fn described_columns(&mut self, columns: &[Node]) -> Walked {
        self.each(columns, |walker, node| match inner(node)? {
            NodeEnum::ColumnDef(column) => {
                walker.type_name(column.type_name.as_ref())?;
                match &column.coll_clause {
                    Some(collate) => walker.collation(&collate.collname),
                    None => Ok(()),
                }
            }
            other => Err(misplaced(other)),
        })
    }

    fn range_xml(&mut self, table: &RangeTableFunc) -> Result<Item, Refusal> {
        let RangeTableFunc {
            lateral: _,
            docexpr,
            rowexpr,
            namespaces,
            columns,
            alias,
            location: _,
        } = table;
        let start = self.uses.len();
        self.laterally(true, |walker| {
            walker.maybe(docexpr.as_deref())?;
            walker.maybe(rowexpr.as_deref())?;
            walker.each(namespaces, Self::output)?;
            walker.each(columns, |walker, node| match inner(node)? {
                NodeEnum::RangeTableFuncCol(column) => {
                    let RangeTableFuncCol {
                        colname: _,
                        type_name,
                        for_ordinality: _,
                        is_not_null: _,
                        colexpr,
                        coldefexpr,
                        location: _,
                    } = &**column;
                    walker.type_name(type_name.as_ref())?;
                    walker.maybe(colexpr.as_deref())?;
                    walker.maybe(coldefexpr.as_deref())
                }
                other => Err(misplaced(other)),
            })
        })?;
        let alias = alias.as_ref().map(|alias| alias.aliasname.clone());
        Ok(Self::made_item(alias, None, start..self.uses.len()))
    }

    fn join(&mut self, join: &JoinExpr) -> Result<Vec<Item>, Refusal> {
        let JoinExpr {
            jointype: _,
            is_natural,
            larg,
            rarg,
            using_clause,
            join_using_alias,
            quals,
            alias,
            rtindex: _,
        } = join;
        let left = self.range_item(given(larg.as_deref())?)?;
        let visible = self.level().items.len();
        self.level()
            .items
            .extend(left.iter().cloned().map(|mut item| {
                item.lateral_only = true;
                item
            }));
        let right = self.range_item(given(rarg.as_deref())?)?;
        self.level().items.truncate(visible);

        let shared = match is_natural {
            true => shared_columns(&left, &right),
            false => Some(aliases(using_clause)?),
        };
        match &shared {
            Some(shared) => {
                if !shared.is_empty() {
                    self.operator_named("=", -1);
                }
                for column in shared {
                    for item in left.iter().chain(&right) {
                        if item.has(column) != Has::No {
                            self.read_column(item, column);
                        }
                    }
                }
            }
            None => {
                self.operator_named("=", -1);
                for item in left.iter().chain(&right) {
                    self.read_all(item);
                }
            }
        }
        let mut members = left;
        members.extend(right);
        if let Some(quals) = quals {
            // ON sees the two sides of its join, and nothing else of the level.
            let outside = std::mem::replace(&mut self.level().items, members.clone());
            let walked = self.expression(quals);
            self.level().items = outside;
            walked?;
        }
        if let Some(using) = join_using_alias {
            let here = self.uses.len();
            let name = Some(using.aliasname.clone());
            members.push(Item {
                // Its columns are those of the sides, and read already.
                ..Self::made_item(name, Some(Vec::new()), here..here)
            });
        }
        match alias {
            Some(alias) => Ok(vec![Item {
                alias: Some(alias.aliasname.clone()),
                schema: None,
                source: Source::Join {
                    members,
                    renamed: !alias.colnames.is_empty(),
                },
                lateral_only: false,
            }]),
            None => Ok(members),
        }
    }
}

fn renamed(alias: Option<&Alias>) -> Result<Vec<String>, Refusal> {
    alias.map_or(Ok(Vec::new()), |alias| aliases(&alias.colnames))
}

/// The name of a function in FROM that has no alias.
fn called(node: &Node) -> Option<String> {
    let NodeEnum::List(list) = node.node.as_ref()? else {
        return None;
    };
    let NodeEnum::FuncCall(call) = list.items.first()?.node.as_ref()? else {
        return None;
    };
    match call.funcname.last()?.node.as_ref()? {
        NodeEnum::String(name) => Some(name.sval.clone()),
        _ => None,
    }
}

/// The columns that both sides of a natural join have, where all are known.
fn shared_columns(left: &[Item], right: &[Item]) -> Option<Vec<String>> {
    let all = |items: &[Item]| -> Option<Vec<String>> {
        let mut columns = Vec::new();
        for item in items {
            columns.extend(item.columns()?);
        }
        Some(columns)
    };
    let (left, right) = (all(left)?, all(right)?);
    Some(
        left.into_iter()
            .filter(|column| right.contains(column))
            .collect(),
    )
}
