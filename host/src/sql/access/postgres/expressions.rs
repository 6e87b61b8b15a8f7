//! Expressions: columns, operators, and all that may stand in them.

use pg_query::NodeEnum;
use pg_query::protobuf::{
    AArrayExpr, AExpr, AExprKind, AIndices, AIndirection, BoolExpr, BooleanTest, CaseExpr,
    CaseWhen, CoalesceExpr, CollateClause, ColumnRef, GroupingFunc, GroupingSet, MinMaxExpr,
    MultiAssignRef, NamedArgExpr, Node, NullTest, RowExpr, SubLink, TypeCast, XmlExpr,
    XmlSerialize,
};

use super::names::given;
use super::scope::{Has, Item};
use super::{Refusal, Walked, Walker, inner, misplaced, text, unexpected};
use crate::capability::Name;

impl Walker<'_> {
    /// Walks an expression. Fields that only the server's own analysis sets are empty in a tree of the parser's.
    pub(super) fn expression(&mut self, node: &Node) -> Walked {
        match inner(node)? {
            NodeEnum::AConst(_)
            | NodeEnum::ParamRef(_)
            | NodeEnum::SetToDefault(_)
            | NodeEnum::SqlvalueFunction(_) => Ok(()),
            NodeEnum::ColumnRef(column) => self.column(column),
            NodeEnum::FuncCall(call) => self.function_call(call),
            NodeEnum::AExpr(expression) => self.operation(expression),
            NodeEnum::BoolExpr(expression) => {
                let BoolExpr {
                    xpr: _,
                    boolop: _,
                    args,
                    location: _,
                } = &**expression;
                self.each(args, Self::expression)
            }
            NodeEnum::SubLink(link) => self.sublink(link),
            NodeEnum::TypeCast(cast) => {
                let TypeCast {
                    arg,
                    type_name,
                    location: _,
                } = &**cast;
                self.maybe(arg.as_deref())?;
                self.cast_to(given(type_name.as_ref())?)
            }
            NodeEnum::CollateClause(collate) => {
                let CollateClause {
                    arg,
                    collname,
                    location: _,
                } = &**collate;
                self.collation(collname)?;
                self.maybe(arg.as_deref())
            }
            NodeEnum::NullTest(test) => {
                let NullTest {
                    xpr: _,
                    arg,
                    nulltesttype: _,
                    argisrow: _,
                    location: _,
                } = &**test;
                self.maybe(arg.as_deref())
            }
            NodeEnum::BooleanTest(test) => {
                let BooleanTest {
                    xpr: _,
                    arg,
                    booltesttype: _,
                    location: _,
                } = &**test;
                self.maybe(arg.as_deref())
            }
            NodeEnum::CaseExpr(case) => self.case(case),
            NodeEnum::CoalesceExpr(coalesce) => {
                let CoalesceExpr {
                    xpr: _,
                    coalescetype: _,
                    coalescecollid: _,
                    args,
                    location: _,
                } = &**coalesce;
                self.each(args, Self::expression)
            }
            NodeEnum::MinMaxExpr(expression) => {
                let MinMaxExpr {
                    xpr: _,
                    minmaxtype: _,
                    minmaxcollid: _,
                    inputcollid: _,
                    op: _,
                    args,
                    location: _,
                } = &**expression;
                self.each(args, Self::expression)
            }
            NodeEnum::RowExpr(row) => {
                let RowExpr {
                    xpr: _,
                    args,
                    row_typeid: _,
                    row_format: _,
                    colnames: _,
                    location: _,
                } = &**row;
                self.each(args, Self::expression)
            }
            NodeEnum::AArrayExpr(array) => {
                let AArrayExpr {
                    elements,
                    list_start: _,
                    list_end: _,
                    location: _,
                } = array;
                self.each(elements, Self::expression)
            }
            NodeEnum::AIndirection(access) => {
                let AIndirection { arg, indirection } = &**access;
                self.maybe(arg.as_deref())?;
                self.indirection(indirection)
            }
            NodeEnum::NamedArgExpr(argument) => {
                let NamedArgExpr {
                    xpr: _,
                    arg,
                    name: _,
                    argnumber: _,
                    location: _,
                } = &**argument;
                self.maybe(arg.as_deref())
            }
            NodeEnum::MultiAssignRef(reference) => {
                let MultiAssignRef {
                    source,
                    colno: _,
                    ncolumns: _,
                } = &**reference;
                self.maybe(source.as_deref())
            }
            NodeEnum::GroupingFunc(grouping) => {
                let GroupingFunc {
                    xpr: _,
                    args,
                    refs: _,
                    agglevelsup: _,
                    location: _,
                } = &**grouping;
                self.each(args, Self::expression)
            }
            NodeEnum::GroupingSet(set) => {
                let GroupingSet {
                    kind: _,
                    content,
                    location: _,
                } = set;
                self.each(content, Self::expression)
            }
            // Rows of VALUES, the right side of IN, and the sets of columns in GROUP BY.
            NodeEnum::List(list) => self.each(&list.items, Self::expression),
            NodeEnum::XmlExpr(xml) => {
                let XmlExpr {
                    xpr: _,
                    op: _,
                    name: _,
                    named_args,
                    arg_names: _,
                    args,
                    xmloption: _,
                    indent: _,
                    r#type: _,
                    typmod: _,
                    location: _,
                } = &**xml;
                self.each(named_args, Self::output)?;
                self.each(args, Self::expression)
            }
            NodeEnum::XmlSerialize(xml) => {
                let XmlSerialize {
                    xmloption: _,
                    expr,
                    type_name,
                    indent: _,
                    location: _,
                } = &**xml;
                self.maybe(expr.as_deref())?;
                self.type_name(type_name.as_ref())
            }
            NodeEnum::CurrentOfExpr(_) => Err(Refusal::new(
                "WHERE CURRENT OF",
                "a component opens cursors through its interface",
            )),
            NodeEnum::MergeSupportFunc(_) => self.keyword_function("merge_action"),
            node @ (NodeEnum::JsonFuncExpr(_)
            | NodeEnum::JsonValueExpr(_)
            | NodeEnum::JsonIsPredicate(_)
            | NodeEnum::JsonParseExpr(_)
            | NodeEnum::JsonScalarExpr(_)
            | NodeEnum::JsonSerializeExpr(_)
            | NodeEnum::JsonObjectConstructor(_)
            | NodeEnum::JsonArrayConstructor(_)
            | NodeEnum::JsonArrayQueryConstructor(_)
            | NodeEnum::JsonObjectAgg(_)
            | NodeEnum::JsonArrayAgg(_)) => self.json(node),
            other => Err(misplaced(other)),
        }
    }

    fn case(&mut self, case: &CaseExpr) -> Walked {
        let CaseExpr {
            xpr: _,
            casetype: _,
            casecollid: _,
            arg,
            args,
            defresult,
            location: _,
        } = case;
        if arg.is_some() {
            self.operator_named("=", case.location);
        }
        self.maybe(arg.as_deref())?;
        self.each(args, |walker, node| match inner(node)? {
            NodeEnum::CaseWhen(when) => {
                let CaseWhen {
                    xpr: _,
                    expr,
                    result,
                    location: _,
                } = &**when;
                walker.maybe(expr.as_deref())?;
                walker.maybe(result.as_deref())
            }
            other => Err(misplaced(other)),
        })?;
        self.maybe(defresult.as_deref())
    }

    fn operation(&mut self, expression: &AExpr) -> Walked {
        let AExpr {
            kind: _,
            name,
            lexpr,
            rexpr,
            rexpr_list_start: _,
            rexpr_list_end: _,
            location,
        } = expression;
        match expression.kind() {
            AExprKind::AexprBetween
            | AExprKind::AexprNotBetween
            | AExprKind::AexprBetweenSym
            | AExprKind::AexprNotBetweenSym => {
                for operator in ["<", ">", "<=", ">="] {
                    self.operator_named(operator, *location);
                }
            }
            AExprKind::AexprOp
            | AExprKind::AexprOpAny
            | AExprKind::AexprOpAll
            | AExprKind::AexprDistinct
            | AExprKind::AexprNotDistinct
            | AExprKind::AexprNullif
            | AExprKind::AexprIn
            | AExprKind::AexprLike
            | AExprKind::AexprIlike
            | AExprKind::AexprSimilar => self.operator(name, *location)?,
            AExprKind::Undefined => return Err(unexpected("an operation without a kind")),
        }
        self.maybe(lexpr.as_deref())?;
        self.maybe(rexpr.as_deref())
    }

    fn sublink(&mut self, link: &SubLink) -> Walked {
        let SubLink {
            xpr: _,
            sub_link_type: _,
            sub_link_id: _,
            testexpr,
            oper_name,
            subselect,
            location,
        } = link;
        self.maybe(testexpr.as_deref())?;
        if testexpr.is_some() && oper_name.is_empty() {
            self.operator_named("=", *location);
        }
        self.operator(oper_name, *location)?;
        self.subquery(given(subselect.as_deref())?).map(drop)
    }

    /// Walks what stands behind a value: fields, subscripts, `.*`.
    pub(super) fn indirection(&mut self, parts: &[Node]) -> Walked {
        self.each(parts, |walker, part| match inner(part)? {
            NodeEnum::AIndices(indices) => {
                let AIndices {
                    is_slice: _,
                    lidx,
                    uidx,
                } = &**indices;
                walker.maybe(lidx.as_deref())?;
                walker.maybe(uidx.as_deref())
            }
            // `(row).f` may be a call of `f`.
            NodeEnum::String(field) => walker.notation(&field.sval, -1),
            NodeEnum::AStar(_) => Ok(()),
            other => Err(misplaced(other)),
        })
    }

    /// Finds out whose column a name is, as the server does.
    fn column(&mut self, column: &ColumnRef) -> Walked {
        let ColumnRef { fields, location } = column;
        // A table's columns are looked through as well.
        let items: usize = self.levels.iter().map(|level| level.items.len()).sum();
        self.spend(items.saturating_mul(1 + self.widest / 16))?;
        let (last, front) = fields
            .split_last()
            .ok_or_else(|| unexpected("a name of no parts"))?;
        let front: Vec<&str> = front.iter().map(text).collect::<Result<_, _>>()?;
        let name = match inner(last)? {
            NodeEnum::String(name) => name.sval.as_str(),
            NodeEnum::AStar(_) => {
                self.star(&front);
                return Ok(());
            }
            other => return Err(misplaced(other)),
        };
        match front.as_slice() {
            [] => {
                self.bare_column(name);
                Ok(())
            }
            [.., table] => {
                let schema = front
                    .len()
                    .checked_sub(2)
                    .and_then(|at| front.get(at))
                    .copied();
                self.qualified_column(schema, table, name, *location)
            }
        }
    }

    fn star(&mut self, front: &[&str]) {
        match front {
            [] => {
                for item in self.level().items.clone() {
                    self.read_all(&item);
                }
            }
            [.., table] => {
                let schema = front
                    .len()
                    .checked_sub(2)
                    .and_then(|at| front.get(at))
                    .copied();
                for item in self.items_named(schema, table) {
                    self.read_all(&item);
                }
                // `a.b.*` may be the fields of a column of `a`.
                if let Some(schema) = schema {
                    for item in self.items_named(None, schema) {
                        self.read_column(&item, table);
                    }
                }
            }
        }
    }

    fn bare_column(&mut self, name: &str) {
        for at in (0..self.levels.len()).rev() {
            let visible = self.visible(at);
            let certain: Vec<&Item> = visible
                .iter()
                .filter(|item| item.has(name) == Has::Yes)
                .collect();
            for item in &certain {
                self.read_column(item, name);
            }
            if !certain.is_empty() {
                return;
            }
            // It may be one of these, or else one further out.
            for item in visible.iter().filter(|item| item.has(name) == Has::Maybe) {
                self.read_column(item, name);
            }
        }
        // No column has the name, so a table may: its whole row.
        for item in self.items_named(None, name) {
            self.read_all(&item);
        }
    }

    fn qualified_column(
        &mut self,
        schema: Option<&str>,
        table: &str,
        name: &str,
        at: i32,
    ) -> Walked {
        let items = self.items_named(schema, table);
        for item in &items {
            match item.has(name) {
                Has::Yes => self.read_column(item, name),
                // `t.f` is a call of `f` where `t` has no such column.
                Has::No => {
                    self.read_all(item);
                    self.notation(name, at)?;
                }
                Has::Maybe => {
                    self.read_column(item, name);
                    self.notation(name, at)?;
                }
            }
        }
        if !items.is_empty() {
            return Ok(());
        }
        // `a.b.c` is a field of a column, or what the field is called with.
        if let Some(front) = schema {
            for item in self.items_named(None, front) {
                self.read_column(&item, table);
            }
        } else {
            self.bare_column(table);
        }
        self.notation(name, at)
    }

    /// What is visible of a level.
    fn visible(&self, at: usize) -> Vec<Item> {
        self.levels.get(at).map_or(Vec::new(), |level| {
            let sees = |item: &&Item| !item.lateral_only || level.lateral;
            level.items.iter().filter(sees).cloned().collect()
        })
    }

    /// What a table's name stands for: that of the innermost level that has it.
    fn items_named(&self, schema: Option<&str>, name: &str) -> Vec<Item> {
        for at in (0..self.levels.len()).rev() {
            let found: Vec<Item> = self
                .visible(at)
                .into_iter()
                .filter(|item| {
                    item.alias.as_deref() == Some(name)
                        && match (schema, &item.schema) {
                            (None, _) => true,
                            (Some(wanted), Some(given)) => wanted == given,
                            // The table is written without its schema.
                            (Some(wanted), None) => self.is_in_schema(item, wanted),
                        }
                })
                .collect();
            if !found.is_empty() {
                return found;
            }
        }
        Vec::new()
    }

    fn is_in_schema(&self, item: &Item, schema: &str) -> bool {
        match &item.source {
            super::scope::Source::Table { used, .. } => self
                .uses
                .get(*used)
                .is_some_and(|table| table.real.schema.as_deref() == Some(schema)),
            _ => false,
        }
    }

    /// A name behind a dot that may call a function of it with what stands before the dot.
    fn notation(&mut self, name: &str, at: i32) -> Walked {
        let written = Name::bare(name);
        match self.context.catalog.functions(&written) {
            Some([]) => Ok(()),
            Some(_) => self.call(&written, at),
            None => {
                self.wanted.functions.insert(written);
                Ok(())
            }
        }
    }
}
