//! INSERT, UPDATE, DELETE and MERGE.

use pg_query::NodeEnum;
use pg_query::protobuf::{
    CmdType, DeleteStmt, InferClause, InsertStmt, MergeStmt, MergeWhenClause, Node,
    OnConflictClause, RangeVar, ResTarget, ReturningClause, ReturningOption, UpdateStmt,
};

use super::names::{Target, given};
use super::scope::{Item, Level};
use super::{Refusal, Walked, Walker, columns, inner, misplaced, unexpected};
use crate::capability::{Action, Columns};
use crate::sql::access::RelationKind;

/// The table that a statement changes.
struct Changed {
    target: Target,
    item: Item,
}

impl Walker<'_> {
    /// Walks a statement that changes rows, in a level of its own; tells the columns that it returns.
    pub(super) fn writing(&mut self, node: &NodeEnum) -> Result<Option<Vec<String>>, Refusal> {
        self.levels.push(Level::default());
        let columns = match node {
            NodeEnum::InsertStmt(insert) => self.insert(insert),
            NodeEnum::UpdateStmt(update) => self.update(update),
            NodeEnum::DeleteStmt(delete) => self.delete(delete),
            NodeEnum::MergeStmt(merge) => self.merge(merge),
            other => Err(misplaced(other)),
        };
        self.levels.pop();
        columns
    }

    /// The table that is changed. A common table expression of its name does not hide it.
    fn changed(&mut self, range: Option<&RangeVar>) -> Result<Changed, Refusal> {
        let range = given(range)?;
        let target = self.target_to_change(range)?;
        if target.is_free()
            && matches!(
                target.kind,
                Some(RelationKind::View | RelationKind::TemporaryView)
            )
        {
            return Err(Refusal::new(
                "writing through a view of this migration",
                "write to its tables",
            )
            .of(target.real.to_string())
            .at(range.location));
        }
        let item = self.table_item(range)?;
        Ok(Changed { target, item })
    }

    fn insert(&mut self, insert: &InsertStmt) -> Result<Option<Vec<String>>, Refusal> {
        let InsertStmt {
            relation,
            cols,
            select_stmt,
            on_conflict_clause,
            returning_clause,
            with_clause,
            r#override: _,
        } = insert;
        self.with(with_clause.as_ref())?;
        let Changed { target, item } = self.changed(relation.as_ref())?;
        let mut given_columns = match select_stmt.as_deref() {
            // DEFAULT VALUES
            None => Some(0),
            Some(query) => {
                let (columns, _) = self.subquery(query)?;
                width(query).or(columns.map(|columns| columns.len()))
            }
        };
        let columns = if cols.is_empty() {
            match (&target.columns, given_columns.take()) {
                (Some(all), Some(width)) => Columns::some(all.iter().take(width).cloned()),
                (_, Some(0)) => Self::no_columns(),
                _ => Columns::All,
            }
        } else {
            // Subscripts see nothing of the table.
            self.assigned(cols)?
        };
        self.ask(Action::Insert, &target, columns);
        self.level().items.push(item.clone());
        if let Some(clause) = on_conflict_clause {
            self.on_conflict(clause, &target, &item)?;
        }
        self.returning(returning_clause.as_ref(), &item)
    }

    fn on_conflict(&mut self, clause: &OnConflictClause, target: &Target, item: &Item) -> Walked {
        let OnConflictClause {
            action: _,
            infer,
            target_list,
            where_clause,
            location: _,
        } = clause;
        if let Some(infer) = infer {
            let InferClause {
                index_elems,
                where_clause,
                conname: _,
                location: _,
            } = &**infer;
            self.index_elements(index_elems, item)?;
            self.maybe(where_clause.as_deref())?;
        }
        if target_list.is_empty() {
            return Ok(());
        }
        let here = self.uses.len();
        let excluded = Self::made_item(Some("excluded".to_owned()), item.columns(), here..here);
        // What `excluded` has is what was to be inserted: nothing of the table.
        self.level().items.insert(0, excluded);
        let columns = self.assigned(target_list)?;
        self.ask(Action::Update, target, columns);
        self.maybe(where_clause.as_deref())?;
        self.level().items.remove(0);
        Ok(())
    }

    fn update(&mut self, update: &UpdateStmt) -> Result<Option<Vec<String>>, Refusal> {
        let UpdateStmt {
            relation,
            target_list,
            where_clause,
            from_clause,
            returning_clause,
            with_clause,
        } = update;
        self.with(with_clause.as_ref())?;
        let Changed { target, item } = self.changed(relation.as_ref())?;
        self.from(from_clause)?;
        self.level().items.push(item.clone());
        let columns = self.assigned(target_list)?;
        self.ask(Action::Update, &target, columns);
        self.maybe(where_clause.as_deref())?;
        self.returning(returning_clause.as_ref(), &item)
    }

    fn delete(&mut self, delete: &DeleteStmt) -> Result<Option<Vec<String>>, Refusal> {
        let DeleteStmt {
            relation,
            using_clause,
            where_clause,
            returning_clause,
            with_clause,
        } = delete;
        self.with(with_clause.as_ref())?;
        let Changed { target, item } = self.changed(relation.as_ref())?;
        self.ask(Action::Delete, &target, Columns::All);
        self.from(using_clause)?;
        self.level().items.push(item.clone());
        self.maybe(where_clause.as_deref())?;
        self.returning(returning_clause.as_ref(), &item)
    }

    fn merge(&mut self, merge: &MergeStmt) -> Result<Option<Vec<String>>, Refusal> {
        let MergeStmt {
            relation,
            source_relation,
            join_condition,
            merge_when_clauses,
            returning_clause,
            with_clause,
        } = merge;
        self.with(with_clause.as_ref())?;
        let Changed { target, item } = self.changed(relation.as_ref())?;
        let sources = self.range_item(given(source_relation.as_deref())?)?;
        self.level().items.extend(sources);
        self.level().items.push(item.clone());
        self.maybe(join_condition.as_deref())?;
        self.each(merge_when_clauses, |walker, node| match inner(node)? {
            NodeEnum::MergeWhenClause(when) => walker.merge_when(when, &target),
            other => Err(misplaced(other)),
        })?;
        self.returning(returning_clause.as_ref(), &item)
    }

    fn merge_when(&mut self, when: &MergeWhenClause, target: &Target) -> Walked {
        let MergeWhenClause {
            match_kind: _,
            command_type: _,
            r#override: _,
            condition,
            target_list,
            values,
        } = when;
        self.maybe(condition.as_deref())?;
        match when.command_type() {
            CmdType::CmdInsert => {
                self.each(values, Self::expression)?;
                let columns = if target_list.is_empty() {
                    match &target.columns {
                        Some(all) => Columns::some(all.iter().take(values.len()).cloned()),
                        None => Columns::All,
                    }
                } else {
                    self.assigned(target_list)?
                };
                self.ask(Action::Insert, target, columns);
            }
            CmdType::CmdUpdate => {
                let columns = self.assigned(target_list)?;
                self.ask(Action::Update, target, columns);
            }
            CmdType::CmdDelete => self.ask(Action::Delete, target, Columns::All),
            CmdType::CmdNothing => {}
            CmdType::Undefined
            | CmdType::CmdUnknown
            | CmdType::CmdSelect
            | CmdType::CmdMerge
            | CmdType::CmdUtility => return Err(unexpected("another command in MERGE")),
        }
        Ok(())
    }

    /// Walks what is assigned; tells to which columns.
    fn assigned(&mut self, targets: &[Node]) -> Result<Columns, Refusal> {
        let mut names = Vec::new();
        for node in targets {
            match inner(node)? {
                NodeEnum::ResTarget(target) => {
                    let ResTarget {
                        name,
                        indirection,
                        val,
                        location: _,
                    } = &**target;
                    names.push(name.clone());
                    self.subscripts(indirection)?;
                    self.maybe(val.as_deref())?;
                }
                other => return Err(misplaced(other)),
            }
        }
        Ok(Columns::some(names))
    }

    /// What stands behind the name of a column that is assigned to: fields of it, which call nothing.
    fn subscripts(&mut self, parts: &[Node]) -> Walked {
        self.each(parts, |walker, part| match inner(part)? {
            NodeEnum::String(_) => Ok(()),
            NodeEnum::AIndices(_) => walker.indirection(std::slice::from_ref(part)),
            other => Err(misplaced(other)),
        })
    }

    fn returning(
        &mut self,
        clause: Option<&ReturningClause>,
        item: &Item,
    ) -> Result<Option<Vec<String>>, Refusal> {
        let Some(ReturningClause { options, exprs }) = clause else {
            return Ok(Some(Vec::new()));
        };
        let mut row_names = vec!["old".to_owned(), "new".to_owned()];
        for node in options {
            match inner(node)? {
                NodeEnum::ReturningOption(ReturningOption {
                    option: _,
                    value,
                    location: _,
                }) => {
                    row_names.push(value.clone());
                }
                other => return Err(misplaced(other)),
            }
        }
        // Both are rows of the table. Bare names are those of the table itself.
        let all = self.level().items.clone();
        for name in row_names {
            if !all.iter().any(|item| item.alias.as_ref() == Some(&name)) {
                self.level().items.push(item.aliased(&name));
            }
        }
        self.each(exprs, Self::output)?;
        Ok(columns::outputs(exprs, &all))
    }
}

/// How many columns the rows of VALUES have.
fn width(query: &Node) -> Option<usize> {
    let NodeEnum::SelectStmt(select) = query.node.as_ref()? else {
        return None;
    };
    match select.values_lists.first()?.node.as_ref()? {
        NodeEnum::List(list) => Some(list.items.len()),
        _ => None,
    }
}
