//! The names of the columns that a query gives, where its text tells them.

use pg_query::NodeEnum;
use pg_query::protobuf::{AExprKind, Node, SubLinkType};

use super::scope::Item;

/// The columns of a list of outputs; `None` where one of them is not known for certain.
pub(super) fn outputs(targets: &[Node], items: &[Item]) -> Option<Vec<String>> {
    let mut names = Vec::new();
    for node in targets {
        let NodeEnum::ResTarget(target) = node.node.as_ref()? else {
            return None;
        };
        if !target.name.is_empty() {
            names.push(target.name.clone());
            continue;
        }
        let value = target.val.as_ref()?.node.as_ref()?;
        match star(value) {
            Some(Star::All) => {
                for item in items {
                    names.extend(item.columns()?);
                }
            }
            Some(Star::Of(alias)) => {
                let item = items
                    .iter()
                    .find(|item| item.alias.as_deref() == Some(alias))?;
                names.extend(item.columns()?);
            }
            Some(Star::Unknown) => return None,
            None => names.push(name_of(value)?),
        }
    }
    Some(names)
}

enum Star<'a> {
    All,
    Of(&'a str),
    Unknown,
}

fn star(value: &NodeEnum) -> Option<Star<'_>> {
    match value {
        NodeEnum::ColumnRef(column) => {
            let (last, front) = column.fields.split_last()?;
            let NodeEnum::AStar(_) = last.node.as_ref()? else {
                return None;
            };
            Some(match front {
                [] => Star::All,
                [.., alias] => match alias.node.as_ref() {
                    Some(NodeEnum::String(alias)) => Star::Of(&alias.sval),
                    _ => Star::Unknown,
                },
            })
        }
        NodeEnum::AIndirection(access) => access
            .indirection
            .iter()
            .any(|part| matches!(part.node, Some(NodeEnum::AStar(_))))
            .then_some(Star::Unknown),
        _ => None,
    }
}

/// The name that the server gives to a column (`FigureColname`), for those expressions that are common. `None` where it
/// is not known for certain: a name that no column has would hide one of a table.
fn name_of(value: &NodeEnum) -> Option<String> {
    Some(match figured(value)? {
        Figured::Name(name) | Figured::Weak(name) => name,
        Figured::Nothing => UNNAMED.to_owned(),
    })
}

/// What an expression says of the name of its column; a cast overrules what is weak.
enum Figured {
    Name(String),
    Weak(String),
    Nothing,
}

fn figured(value: &NodeEnum) -> Option<Figured> {
    let name = |name: &str| Some(Figured::Name(name.to_owned()));
    match value {
        NodeEnum::ColumnRef(column) => last_string(&column.fields).map(Figured::Name),
        NodeEnum::FuncCall(call) => last_string(&call.funcname).map(Figured::Name),
        NodeEnum::TypeCast(cast) => match figured(cast.arg.as_ref()?.node.as_ref()?)? {
            named @ Figured::Name(_) => Some(named),
            Figured::Weak(_) | Figured::Nothing => {
                last_string(&cast.type_name.as_ref()?.names).map(Figured::Weak)
            }
        },
        NodeEnum::CollateClause(collate) => figured(collate.arg.as_ref()?.node.as_ref()?),
        NodeEnum::CoalesceExpr(_) => name("coalesce"),
        NodeEnum::AArrayExpr(_) => name("array"),
        NodeEnum::RowExpr(_) => name("row"),
        NodeEnum::AExpr(expression) if expression.kind() == AExprKind::AexprNullif => {
            name("nullif")
        }
        NodeEnum::AConst(_)
        | NodeEnum::AExpr(_)
        | NodeEnum::BoolExpr(_)
        | NodeEnum::NullTest(_)
        | NodeEnum::ParamRef(_) => Some(Figured::Nothing),
        NodeEnum::SubLink(link) => match link.sub_link_type() {
            SubLinkType::ExistsSublink => name("exists"),
            SubLinkType::ArraySublink => name("array"),
            _ => None,
        },
        _ => None,
    }
}

const UNNAMED: &str = "?column?";

fn last_string(nodes: &[Node]) -> Option<String> {
    match nodes.last()?.node.as_ref()? {
        NodeEnum::String(name) => Some(name.sval.clone()),
        _ => None,
    }
}
