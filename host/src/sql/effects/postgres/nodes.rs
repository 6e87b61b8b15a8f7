//! Small readers of the parser's nodes.

use pg_query::NodeEnum;
use pg_query::protobuf::{DefElem, Node, ObjectType, RangeVar, TypeName};

use crate::sql::effects::Relation;

/// The relation that a range variable names.
pub(super) fn relation(range: &RangeVar) -> Relation {
    Relation {
        schema: (!range.schemaname.is_empty()).then(|| range.schemaname.clone()),
        name: range.relname.clone(),
    }
}

pub(super) fn range_var(node: &Node) -> Option<&RangeVar> {
    match &node.node {
        Some(NodeEnum::RangeVar(range)) => Some(range),
        _ => None,
    }
}

pub(super) fn object_type(number: i32) -> ObjectType {
    ObjectType::try_from(number).unwrap_or(ObjectType::Undefined)
}

/// The parts of a dotted name, or the one part of a plain one.
pub(super) fn strings(node: Option<&Node>) -> Vec<String> {
    match node.and_then(|node| node.node.as_ref()) {
        Some(NodeEnum::String(text)) => vec![text.sval.clone()],
        Some(NodeEnum::List(list)) => list
            .items
            .iter()
            .flat_map(|item| strings(Some(item)))
            .collect(),
        Some(NodeEnum::TypeName(name)) => parts_of(name),
        Some(NodeEnum::ObjectWithArgs(object)) => object
            .objname
            .iter()
            .flat_map(|item| strings(Some(item)))
            .collect(),
        _ => Vec::new(),
    }
}

pub(super) fn parts_of(name: &TypeName) -> Vec<String> {
    name.names
        .iter()
        .flat_map(|part| strings(Some(part)))
        .collect()
}

/// The last part of a type's name: `int4` for `integer`.
pub(super) fn base_type(name: &TypeName) -> Option<String> {
    parts_of(name).pop()
}

pub(super) fn but_last(parts: &[String]) -> &[String] {
    parts.split_last().map_or(&[], |(_, front)| front)
}

/// The relation of a dotted name.
pub(super) fn relation_of(parts: &[String]) -> Option<Relation> {
    let (name, front) = parts.split_last()?;
    Some(Relation {
        schema: front.last().cloned(),
        name: name.clone(),
    })
}

/// Whether an option is given and not switched off.
pub(super) fn is_on(options: &[Node], name: &str) -> bool {
    options.iter().any(|option| match &option.node {
        Some(NodeEnum::DefElem(option)) => {
            option.defname.eq_ignore_ascii_case(name) && !is_off(option)
        }
        _ => false,
    })
}

fn is_off(option: &DefElem) -> bool {
    match option
        .arg
        .as_deref()
        .and_then(|argument| argument.node.as_ref())
    {
        Some(NodeEnum::String(text)) => ["false", "off"]
            .iter()
            .any(|off| text.sval.eq_ignore_ascii_case(off)),
        Some(NodeEnum::Integer(number)) => number.ival == 0,
        Some(NodeEnum::Boolean(truth)) => !truth.boolval,
        _ => false,
    }
}

/// The names of the options in a list.
pub(super) fn option_names(list: Option<&Node>) -> Vec<&str> {
    match list.and_then(|node| node.node.as_ref()) {
        Some(NodeEnum::List(list)) => list
            .items
            .iter()
            .filter_map(|item| match &item.node {
                Some(NodeEnum::DefElem(option)) => Some(option.defname.as_str()),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    }
}
