//! SELECT, and what may stand before it and in it.

use std::ops::Range;

use pg_query::NodeEnum;
use pg_query::protobuf::{
    CommonTableExpr, CteCycleClause, CteSearchClause, LockingClause, Node, ResTarget, SelectStmt,
    SetOperation, SortBy, WindowDef, WithClause,
};

use super::columns::outputs;
use super::names::Freedom;
use super::scope::{CommonTable, Item, Level, Source};
use super::{Refusal, Walked, Walker, inner, misplaced, text};
use crate::capability::{Access, Action, Columns};

impl Walker<'_> {
    /// Walks a query in a level of its own; tells its columns where they are known, and which uses are below it.
    pub(super) fn subquery(
        &mut self,
        query: &Node,
    ) -> Result<(Option<Vec<String>>, Range<usize>), Refusal> {
        let start = self.uses.len();
        let columns = match inner(query)? {
            NodeEnum::SelectStmt(select) => self.select(select)?,
            other => return Err(misplaced(other)),
        };
        Ok((columns, start..self.uses.len()))
    }

    /// Walks a SELECT, VALUES or set operation in a level of its own; tells its columns where they are known.
    pub(super) fn select(&mut self, select: &SelectStmt) -> Result<Option<Vec<String>>, Refusal> {
        self.levels.push(Level::default());
        let columns = self.select_here(select);
        self.levels.pop();
        columns
    }

    fn select_here(&mut self, select: &SelectStmt) -> Result<Option<Vec<String>>, Refusal> {
        let SelectStmt {
            distinct_clause,
            into_clause,
            target_list,
            from_clause,
            where_clause,
            group_clause,
            group_distinct: _,
            having_clause,
            window_clause,
            values_lists,
            sort_clause,
            limit_offset,
            limit_count,
            limit_option: _,
            locking_clause,
            with_clause,
            op: _,
            all: _,
            larg,
            rarg,
        } = select;
        self.with(with_clause.as_ref())?;
        let columns = if select.op() == SetOperation::SetopNone {
            self.from(from_clause)?;
            self.each(target_list, Self::output)?;
            self.each(values_lists, Self::expression)?;
            match values_lists.first() {
                Some(row) => values_columns(row),
                None => outputs(target_list, &self.level().items),
            }
        } else {
            let columns = match larg {
                Some(left) => self.select(left)?,
                None => None,
            };
            if let Some(right) = rarg {
                self.select(right)?;
            }
            columns
        };
        self.maybe(where_clause.as_deref())?;
        self.each(group_clause, Self::expression)?;
        self.maybe(having_clause.as_deref())?;
        self.each(window_clause, |walker, node| match inner(node)? {
            NodeEnum::WindowDef(window) => walker.window(window),
            other => Err(misplaced(other)),
        })?;
        // An empty node stands for DISTINCT without ON.
        let distinct_on = distinct_clause.iter().filter(|node| node.node.is_some());
        self.each(distinct_on, |walker, node| {
            walker.sort_key(node, columns.as_deref())
        })?;
        self.each(sort_clause, |walker, node| match inner(node)? {
            NodeEnum::SortBy(sort) => walker.sort(sort, columns.as_deref()),
            other => Err(misplaced(other)),
        })?;
        self.maybe(limit_offset.as_deref())?;
        self.maybe(limit_count.as_deref())?;
        self.each(locking_clause, |walker, node| match inner(node)? {
            NodeEnum::LockingClause(lock) => walker.lock_rows(lock),
            other => Err(misplaced(other)),
        })?;
        if let Some(into) = into_clause {
            self.into(into)?;
        }
        Ok(columns)
    }

    /// Walks one of the columns that a query gives or a statement returns.
    pub(super) fn output(&mut self, node: &Node) -> Walked {
        match inner(node)? {
            NodeEnum::ResTarget(target) => {
                let ResTarget {
                    name: _,
                    indirection,
                    val,
                    location: _,
                } = &**target;
                self.indirection(indirection)?;
                self.maybe(val.as_deref())
            }
            other => Err(misplaced(other)),
        }
    }

    /// Walks a WITH, whose names hold for the rest of the level.
    pub(super) fn with(&mut self, clause: Option<&WithClause>) -> Walked {
        let Some(WithClause {
            ctes,
            recursive,
            location: _,
        }) = clause
        else {
            return Ok(());
        };
        let mut tables = Vec::with_capacity(ctes.len());
        for node in ctes {
            match inner(node)? {
                NodeEnum::CommonTableExpr(table) => tables.push(&**table),
                other => return Err(misplaced(other)),
            }
        }
        if *recursive {
            // What columns they have is known only after they are walked.
            for table in &tables {
                let name = table.ctename.clone();
                self.level().tables.push(CommonTable {
                    name,
                    columns: None,
                });
            }
        }
        for table in tables {
            let columns = self.common_table_query(table)?;
            let table = CommonTable {
                name: table.ctename.clone(),
                columns,
            };
            self.level().tables.push(table);
        }
        Ok(())
    }

    fn common_table_query(
        &mut self,
        table: &CommonTableExpr,
    ) -> Result<Option<Vec<String>>, Refusal> {
        let CommonTableExpr {
            ctename: _,
            aliascolnames,
            ctematerialized: _,
            ctequery,
            search_clause,
            cycle_clause,
            location: _,
            cterecursive: _,
            cterefcount: _,
            ctecolnames: _,
            ctecoltypes: _,
            ctecoltypmods: _,
            ctecolcollations: _,
        } = table;
        let query = super::names::given(ctequery.as_deref())?;
        let columns = match inner(query)? {
            NodeEnum::SelectStmt(select) => self.select(select)?,
            writing => self.writing(writing)?,
        };
        if let Some(clause) = search_clause {
            let CteSearchClause {
                search_col_list: _,
                search_breadth_first: _,
                search_seq_column: _,
                location: _,
            } = clause;
        }
        if let Some(clause) = cycle_clause {
            let CteCycleClause {
                cycle_col_list: _,
                cycle_mark_column: _,
                cycle_mark_value,
                cycle_mark_default,
                cycle_path_column: _,
                location: _,
                cycle_mark_type: _,
                cycle_mark_typmod: _,
                cycle_mark_collation: _,
                cycle_mark_neop: _,
            } = &**clause;
            self.maybe(cycle_mark_value.as_deref())?;
            self.maybe(cycle_mark_default.as_deref())?;
        }
        if search_clause.is_some() || cycle_clause.is_some() {
            return Ok(None);
        }
        Ok(rename(columns, &aliases(aliascolnames)?))
    }

    /// Walks ORDER BY.
    pub(super) fn sort(&mut self, sort: &SortBy, outputs: Option<&[String]>) -> Walked {
        let SortBy {
            node,
            sortby_dir: _,
            sortby_nulls: _,
            use_op,
            location,
        } = sort;
        self.operator(use_op, *location)?;
        match node {
            Some(node) => self.sort_key(node, outputs),
            None => Ok(()),
        }
    }

    /// A bare name in ORDER BY is one of the columns that the query gives, before it is one of a table.
    fn sort_key(&mut self, node: &Node, outputs: Option<&[String]>) -> Walked {
        if let (NodeEnum::ColumnRef(column), Some(outputs)) = (inner(node)?, outputs)
            && let [only] = column.fields.as_slice()
            && let Ok(name) = text(only)
            && outputs.iter().any(|output| output == name)
        {
            return Ok(());
        }
        self.expression(node)
    }

    /// Walks a window's definition.
    pub(super) fn window(&mut self, window: &WindowDef) -> Walked {
        let WindowDef {
            name: _,
            refname: _,
            partition_clause,
            order_clause,
            frame_options: _,
            start_offset,
            end_offset,
            location: _,
        } = window;
        self.each(partition_clause, Self::expression)?;
        self.sorted(order_clause)?;
        self.maybe(start_offset.as_deref())?;
        self.maybe(end_offset.as_deref())
    }

    /// Walks an ORDER BY whose names are not those of columns that a query gives.
    pub(super) fn sorted(&mut self, order: &[Node]) -> Walked {
        self.each(order, |walker, node| match inner(node)? {
            NodeEnum::SortBy(sort) => walker.sort(sort, None),
            other => Err(misplaced(other)),
        })
    }

    /// FOR UPDATE and its like need the right to update, as in the server.
    fn lock_rows(&mut self, lock: &LockingClause) -> Walked {
        let LockingClause {
            locked_rels,
            strength: _,
            wait_policy: _,
        } = lock;
        let items = self.level().items.clone();
        let mut locked: Vec<&Item> = Vec::new();
        for node in locked_rels {
            let range = super::names::range_var(node)?;
            let before = locked.len();
            locked.extend(
                items
                    .iter()
                    .filter(|item| item.alias.as_deref() == Some(&*range.relname)),
            );
            if locked.len() == before {
                return Err(Refusal::new("FOR UPDATE", "it names what is not in FROM")
                    .of(range.relname.clone())
                    .at(range.location));
            }
        }
        if locked_rels.is_empty() {
            locked.extend(&items);
        }
        for used in locked.into_iter().flat_map(Self::tables_below) {
            if let Some(table) = self.uses.get(used) {
                let access = Access::new(Action::Update, table.name.clone())
                    .with_columns(Columns::Some(std::collections::BTreeSet::new()));
                if table.freedom == Freedom::Asked {
                    let at = table.at;
                    self.found.push(super::Found { access, at });
                }
            }
        }
        Ok(())
    }

    /// Walks an expression that may be missing.
    pub(super) fn maybe(&mut self, node: Option<&Node>) -> Walked {
        match node {
            Some(node) => self.expression(node),
            None => Ok(()),
        }
    }

    /// An item that is made by the statement itself.
    pub(super) fn made_item(
        alias: Option<String>,
        columns: Option<Vec<String>>,
        below: Range<usize>,
    ) -> Item {
        Item {
            alias,
            schema: None,
            source: Source::Made { columns, below },
            lateral_only: false,
        }
    }
}

/// The names in a list.
pub(super) fn aliases(nodes: &[Node]) -> Result<Vec<String>, Refusal> {
    nodes
        .iter()
        .map(|node| text(node).map(str::to_owned))
        .collect()
}

/// Columns of which the first have other names.
pub(super) fn rename(columns: Option<Vec<String>>, names: &[String]) -> Option<Vec<String>> {
    let mut columns = columns?;
    for (at, name) in names.iter().enumerate() {
        match columns.get_mut(at) {
            Some(column) => column.clone_from(name),
            None => columns.push(name.clone()),
        }
    }
    Some(columns)
}

fn values_columns(row: &Node) -> Option<Vec<String>> {
    match row.node.as_ref()? {
        NodeEnum::List(list) => Some(
            (1..=list.items.len())
                .map(|n| format!("column{n}"))
                .collect(),
        ),
        _ => None,
    }
}
