//! SQL/JSON. Older servers read most of its words as names of functions, so these are looked for as well.

use pg_query::NodeEnum;
use pg_query::protobuf::{
    JsonAggConstructor, JsonArgument, JsonArrayAgg, JsonArrayConstructor,
    JsonArrayQueryConstructor, JsonBehavior, JsonFuncExpr, JsonIsPredicate, JsonKeyValue,
    JsonObjectAgg, JsonObjectConstructor, JsonOutput, JsonParseExpr, JsonScalarExpr,
    JsonSerializeExpr, JsonTable, JsonTableColumn, JsonTablePathSpec, JsonValueExpr, Node,
};

use super::names::given;
use super::{Walked, Walker, inner, misplaced};

impl Walker<'_> {
    pub(super) fn json(&mut self, node: &NodeEnum) -> Walked {
        match node {
            NodeEnum::JsonFuncExpr(function) => self.json_function(function),
            NodeEnum::JsonValueExpr(value) => self.json_value(value),
            NodeEnum::JsonIsPredicate(test) => {
                let JsonIsPredicate {
                    expr,
                    format: _,
                    item_type: _,
                    unique_keys: _,
                    location: _,
                } = &**test;
                self.maybe(expr.as_deref())
            }
            NodeEnum::JsonParseExpr(parse) => {
                let JsonParseExpr {
                    expr,
                    output,
                    unique_keys: _,
                    location: _,
                } = &**parse;
                self.keyword_function("json")?;
                self.json_values(expr.as_deref())?;
                self.json_output(output.as_ref())
            }
            NodeEnum::JsonScalarExpr(scalar) => {
                let JsonScalarExpr {
                    expr,
                    output,
                    location: _,
                } = &**scalar;
                self.keyword_function("json_scalar")?;
                self.maybe(expr.as_deref())?;
                self.json_output(output.as_ref())
            }
            NodeEnum::JsonSerializeExpr(serialize) => {
                let JsonSerializeExpr {
                    expr,
                    output,
                    location: _,
                } = &**serialize;
                self.keyword_function("json_serialize")?;
                self.json_values(expr.as_deref())?;
                self.json_output(output.as_ref())
            }
            NodeEnum::JsonObjectConstructor(object) => {
                let JsonObjectConstructor {
                    exprs,
                    output,
                    absent_on_null: _,
                    unique: _,
                    location: _,
                } = object;
                self.keyword_function("json_object")?;
                self.each(exprs, |walker, node| match inner(node)? {
                    NodeEnum::JsonKeyValue(pair) => walker.json_pair(pair),
                    other => Err(misplaced(other)),
                })?;
                self.json_output(output.as_ref())
            }
            NodeEnum::JsonArrayConstructor(array) => {
                let JsonArrayConstructor {
                    exprs,
                    output,
                    absent_on_null: _,
                    location: _,
                } = array;
                self.keyword_function("json_array")?;
                self.each(exprs, Self::expression)?;
                self.json_output(output.as_ref())
            }
            NodeEnum::JsonArrayQueryConstructor(array) => {
                let JsonArrayQueryConstructor {
                    query,
                    output,
                    format: _,
                    absent_on_null: _,
                    location: _,
                } = &**array;
                self.keyword_function("json_array")?;
                self.subquery(given(query.as_deref())?)?;
                self.json_output(output.as_ref())
            }
            NodeEnum::JsonObjectAgg(aggregate) => {
                let JsonObjectAgg {
                    constructor,
                    arg,
                    absent_on_null: _,
                    unique: _,
                } = &**aggregate;
                self.keyword_function("json_objectagg")?;
                self.json_aggregate(constructor.as_deref())?;
                self.json_pair(given(arg.as_deref())?)
            }
            NodeEnum::JsonArrayAgg(aggregate) => {
                let JsonArrayAgg {
                    constructor,
                    arg,
                    absent_on_null: _,
                } = &**aggregate;
                self.keyword_function("json_arrayagg")?;
                self.json_aggregate(constructor.as_deref())?;
                self.json_values(arg.as_deref())
            }
            other => Err(misplaced(other)),
        }
    }

    fn json_aggregate(&mut self, aggregate: Option<&JsonAggConstructor>) -> Walked {
        let JsonAggConstructor {
            output,
            agg_filter,
            agg_order,
            over,
            location: _,
        } = given(aggregate)?;
        self.json_output(output.as_ref())?;
        self.maybe(agg_filter.as_deref())?;
        self.sorted(agg_order)?;
        match over {
            Some(window) => self.window(window),
            None => Ok(()),
        }
    }

    fn json_pair(&mut self, pair: &JsonKeyValue) -> Walked {
        let JsonKeyValue { key, value } = pair;
        self.maybe(key.as_deref())?;
        self.json_values(value.as_deref())
    }

    fn json_values(&mut self, value: Option<&JsonValueExpr>) -> Walked {
        match value {
            Some(value) => self.json_value(value),
            None => Ok(()),
        }
    }

    fn json_value(&mut self, value: &JsonValueExpr) -> Walked {
        let JsonValueExpr {
            raw_expr,
            formatted_expr,
            format: _,
        } = value;
        self.maybe(raw_expr.as_deref())?;
        self.maybe(formatted_expr.as_deref())
    }

    fn json_output(&mut self, output: Option<&JsonOutput>) -> Walked {
        let Some(output) = output else {
            return Ok(());
        };
        let JsonOutput {
            type_name,
            returning: _,
        } = output;
        match type_name {
            Some(name) => self.cast_to(name),
            None => Ok(()),
        }
    }

    fn json_behavior(&mut self, behavior: Option<&JsonBehavior>) -> Walked {
        match behavior {
            Some(JsonBehavior {
                btype: _,
                expr,
                coerce: _,
                location: _,
            }) => self.maybe(expr.as_deref()),
            None => Ok(()),
        }
    }

    fn json_passing(&mut self, passing: &[Node]) -> Walked {
        self.each(passing, |walker, node| match inner(node)? {
            NodeEnum::JsonArgument(argument) => {
                let JsonArgument { val, name: _ } = &**argument;
                walker.json_values(val.as_deref())
            }
            other => Err(misplaced(other)),
        })
    }

    fn json_function(&mut self, function: &JsonFuncExpr) -> Walked {
        let JsonFuncExpr {
            op: _,
            column_name: _,
            context_item,
            pathspec,
            passing,
            output,
            on_empty,
            on_error,
            wrapper: _,
            quotes: _,
            location: _,
        } = function;
        for name in ["json_exists", "json_query", "json_value"] {
            self.keyword_function(name)?;
        }
        self.json_values(context_item.as_deref())?;
        self.maybe(pathspec.as_deref())?;
        self.json_passing(passing)?;
        self.json_output(output.as_ref())?;
        self.json_behavior(on_empty.as_deref())?;
        self.json_behavior(on_error.as_deref())
    }

    pub(super) fn json_table(&mut self, table: &JsonTable) -> Walked {
        let JsonTable {
            context_item,
            pathspec,
            passing,
            columns,
            on_error,
            alias: _,
            lateral: _,
            location: _,
        } = table;
        self.keyword_function("json_table")?;
        self.json_values(context_item.as_deref())?;
        self.json_path(pathspec.as_deref())?;
        self.json_passing(passing)?;
        self.json_columns(columns)?;
        self.json_behavior(on_error.as_deref())
    }

    fn json_path(&mut self, path: Option<&JsonTablePathSpec>) -> Walked {
        match path {
            Some(JsonTablePathSpec {
                string,
                name: _,
                name_location: _,
                location: _,
            }) => self.maybe(string.as_deref()),
            None => Ok(()),
        }
    }

    fn json_columns(&mut self, columns: &[Node]) -> Walked {
        self.each(columns, |walker, node| match inner(node)? {
            NodeEnum::JsonTableColumn(column) => {
                let JsonTableColumn {
                    coltype: _,
                    name: _,
                    type_name,
                    pathspec,
                    format: _,
                    wrapper: _,
                    quotes: _,
                    columns,
                    on_empty,
                    on_error,
                    location: _,
                } = &**column;
                if let Some(name) = type_name {
                    walker.cast_to(name)?;
                }
                walker.json_path(pathspec.as_deref())?;
                walker.json_columns(columns)?;
                walker.json_behavior(on_empty.as_deref())?;
                walker.json_behavior(on_error.as_deref())
            }
            other => Err(misplaced(other)),
        })
    }
}
