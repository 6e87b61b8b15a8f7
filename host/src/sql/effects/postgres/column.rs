//! What a new column costs a table that has rows.

use pg_query::NodeEnum;
use pg_query::protobuf::{ColumnDef, ConstrType, FuncCall, Node};

use super::nodes::{base_type, strings};
use crate::sql::effects::{Advice, Effects, LockMode, Toll};

/// Functions whose value is the same for all rows of a statement, so that a default of it is stored once.
const STABLE: [&str; 24] = [
    "now",
    "transaction_timestamp",
    "statement_timestamp",
    "current_setting",
    "current_database",
    "current_schema",
    "current_user",
    "session_user",
    "version",
    "make_date",
    "make_interval",
    "make_time",
    "make_timestamp",
    "make_timestamptz",
    "to_timestamp",
    "to_date",
    "jsonb_build_object",
    "jsonb_build_array",
    "json_build_object",
    "json_build_array",
    "lower",
    "upper",
    "date_trunc",
    "timezone",
];

/// Types that are sequences in disguise.
const SERIAL: [&str; 6] = [
    "serial",
    "serial2",
    "serial4",
    "serial8",
    "bigserial",
    "smallserial",
];

impl Effects {
    /// What adding the column takes, and why if that is more than an instant.
    pub(super) fn new_column(&mut self, column: &ColumnDef) -> (Toll, Option<Advice>) {
        let mut toll = Toll::Instant;
        let mut advice = None;
        let mut weigh = |weight: Toll, gentler: Option<Advice>| {
            if weight > toll {
                (toll, advice) = (weight, gentler);
            }
        };
        let of_type = column
            .type_name
            .as_ref()
            .and_then(base_type)
            .unwrap_or_default();
        if SERIAL.contains(&of_type.as_str()) {
            weigh(Toll::Rewrite, Some(Advice::FillAfterwards));
        }
        let constraints = || {
            column
                .constraints
                .iter()
                .filter_map(|node| match &node.node {
                    Some(NodeEnum::Constraint(constraint)) => Some(constraint),
                    _ => None,
                })
        };
        let default = constraints()
            .filter(|constraint| constraint.contype() == ConstrType::ConstrDefault)
            .find_map(|constraint| constraint.raw_expr.as_deref());
        for constraint in constraints() {
            match constraint.contype() {
                ConstrType::ConstrDefault
                    if constraint.raw_expr.as_deref().is_some_and(is_volatile) =>
                {
                    weigh(Toll::Rewrite, Some(Advice::FillAfterwards));
                }
                ConstrType::ConstrIdentity => weigh(Toll::Rewrite, Some(Advice::FillAfterwards)),
                ConstrType::ConstrGenerated if constraint.generated_kind == "v" => {}
                ConstrType::ConstrGenerated => weigh(Toll::Rewrite, None),
                ConstrType::ConstrCheck if !constraint.skip_validation => {
                    weigh(Toll::Scan, Some(Advice::NotValid));
                }
                ConstrType::ConstrNotnull if default.is_none() => weigh(Toll::Scan, None),
                ConstrType::ConstrPrimary
                | ConstrType::ConstrUnique
                | ConstrType::ConstrExclusion => {
                    weigh(Toll::Scan, Some(Advice::UsingIndex));
                }
                ConstrType::ConstrForeign => {
                    if let Some(table) = &constraint.pktable {
                        self.briefly(Some(table), LockMode::ShareRowExclusive);
                    }
                    if default.is_some() {
                        weigh(Toll::Scan, Some(Advice::NotValid));
                    }
                }
                _ => {}
            }
        }
        (toll, advice)
    }
}

/// Whether an expression may give another value for each row: it calls what is not known to be stable.
fn is_volatile(expression: &Node) -> bool {
    let volatile = |nodes: &[Node]| nodes.iter().any(is_volatile);
    let maybe = |node: &Option<Box<Node>>| node.as_deref().is_some_and(is_volatile);
    match &expression.node {
        None
        | Some(
            NodeEnum::AConst(_)
            | NodeEnum::SqlvalueFunction(_)
            | NodeEnum::String(_)
            | NodeEnum::Integer(_),
        ) => false,
        Some(NodeEnum::TypeCast(cast)) => maybe(&cast.arg),
        Some(NodeEnum::AExpr(operation)) => maybe(&operation.lexpr) || maybe(&operation.rexpr),
        Some(NodeEnum::BoolExpr(operation)) => volatile(&operation.args),
        Some(NodeEnum::CoalesceExpr(choice)) => volatile(&choice.args),
        Some(NodeEnum::AArrayExpr(array)) => volatile(&array.elements),
        Some(NodeEnum::RowExpr(row)) => volatile(&row.args),
        Some(NodeEnum::NullTest(test)) => maybe(&test.arg),
        Some(NodeEnum::CollateClause(collate)) => maybe(&collate.arg),
        Some(NodeEnum::FuncCall(call)) => !is_stable(call) || volatile(&call.args),
        Some(_) => true,
    }
}

fn is_stable(call: &FuncCall) -> bool {
    let parts: Vec<String> = call
        .funcname
        .iter()
        .flat_map(|part| strings(Some(part)))
        .collect();
    let (schema, name) = match parts.as_slice() {
        [name] => ("pg_catalog", name),
        [schema, name] => (schema.as_str(), name),
        _ => return false,
    };
    schema == "pg_catalog" && STABLE.contains(&name.as_str())
}
