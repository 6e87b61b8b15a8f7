//! DROP.

use pg_query::NodeEnum;
use pg_query::protobuf::{DropBehavior, DropStmt, Node, ObjectType};

use super::definitions::made_as;
use super::names::{Freedom, dotted, dotted_node, parts};
use super::{Refusal, Walked, Walker, inner, misplaced, unexpected};
use crate::capability::{Action, Code, Columns, Kind};
use crate::sql::access::{Change, Definitions, Made};

/// What CASCADE takes is not to be read from the statement.
pub(super) fn cascade() -> Refusal {
    Refusal::new(
        "CASCADE",
        "what goes with it is not to be read from the statement; name each of them",
    )
}

impl Walker<'_> {
    pub(super) fn drop(&mut self, drop: &DropStmt) -> Walked {
        let DropStmt {
            objects,
            remove_type: _,
            behavior: _,
            missing_ok: _,
            concurrent: _,
        } = drop;
        self.changes(Definitions::Relations);
        let mut freedom = Freedom::Free;
        for object in objects {
            if self.drop_one(drop.remove_type(), object)? == Freedom::Asked {
                freedom = Freedom::Asked;
            }
        }
        // What hangs on what this call has made is of this call, or was hung there by it.
        let is_known = self.wanted.is_empty();
        if drop.behavior() == DropBehavior::DropCascade && freedom == Freedom::Asked && is_known {
            return Err(cascade());
        }
        Ok(())
    }

    fn drop_one(&mut self, object_type: ObjectType, object: &Node) -> Result<Freedom, Refusal> {
        use ObjectType as Of;
        match object_type {
            Of::ObjectTable => self.drop_relation(Action::Drop(Kind::Table), object),
            Of::ObjectSequence => self.drop_relation(Action::Drop(Kind::Sequence), object),
            Of::ObjectIndex => self.drop_relation(Action::Drop(Kind::Index), object),
            Of::ObjectView | Of::ObjectMatview => {
                self.drop_relation(Action::Code(Code::View), object)
            }
            Of::ObjectSchema => self.drop_other(Kind::Schema, object),
            Of::ObjectType | Of::ObjectDomain => self.drop_other(Kind::Type, object),
            Of::ObjectStatisticExt => self.drop_other(Kind::Statistics, object),
            Of::ObjectCollation => self.drop_other(Kind::Collation, object),
            Of::ObjectTsconfiguration | Of::ObjectTsdictionary => {
                self.drop_other(Kind::TextSearch, object)
            }
            Of::ObjectFunction | Of::ObjectProcedure | Of::ObjectRoutine | Of::ObjectAggregate => {
                let name = self.ask_for_code(Code::Function, &dotted_node(object)?)?;
                let freedom = match self.context.changes.has_made(Made::Function, &name) {
                    true => Freedom::Free,
                    false => Freedom::Asked,
                };
                self.change(Change::Removed(Made::Function, name));
                Ok(freedom)
            }
            Of::ObjectOperator => {
                self.ask_for_code(Code::Operator, &dotted_node(object)?)?;
                Ok(Freedom::Asked)
            }
            Of::ObjectOpclass | Of::ObjectOpfamily => {
                // The access method stands before the name.
                let NodeEnum::List(list) = inner(object)? else {
                    return Err(unexpected("such a name"));
                };
                let name = list.items.get(1..).unwrap_or_default();
                self.ask_for_code(Code::Operator, &dotted(name)?)?;
                Ok(Freedom::Asked)
            }
            Of::ObjectTrigger => self.drop_part(Code::Trigger, object),
            Of::ObjectRule => self.drop_part(Code::Rule, object),
            Of::ObjectPolicy => self.drop_part(Code::Policy, object),
            Of::ObjectCast => {
                let source = match inner(object)? {
                    NodeEnum::List(list) => list.items.first().map(dotted_node).transpose()?,
                    other => return Err(misplaced(other)),
                };
                let source = source.ok_or_else(|| unexpected("a cast of nothing"))?;
                self.add(Action::Code(Code::Cast), self.whole(&source), -1);
                self.changes(Definitions::Anything);
                Ok(Freedom::Asked)
            }
            Of::ObjectExtension => {
                self.changes(Definitions::Anything);
                self.add(Action::Extension, dotted_node(object)?, -1);
                Ok(Freedom::Asked)
            }
            _ => Err(Refusal::new(
                "DROP",
                "a component may only drop what it could make",
            )),
        }
    }

    fn drop_relation(&mut self, action: Action, object: &Node) -> Result<Freedom, Refusal> {
        let target = self.target(&dotted_node(object)?, -1)?;
        target.refuse_system()?;
        self.ask(action, &target, Columns::All);
        self.change(Change::Removed(Made::Relation, target.real));
        Ok(target.freedom)
    }

    fn drop_other(&mut self, kind: Kind, object: &Node) -> Result<Freedom, Refusal> {
        let asked = self.found.len();
        let name = self.ask_for_other(Action::Drop(kind), kind, &dotted_node(object)?, -1)?;
        let freedom = match self.found.len() == asked {
            true => Freedom::Free,
            false => Freedom::Asked,
        };
        self.change(Change::Removed(made_as(kind), name));
        Ok(freedom)
    }

    /// A trigger, rule or policy, whose name stands behind that of its table.
    fn drop_part(&mut self, code: Code, object: &Node) -> Result<Freedom, Refusal> {
        let NodeEnum::List(list) = inner(object)? else {
            return Err(unexpected("such a name"));
        };
        let (own, table) = list
            .items
            .split_last()
            .ok_or_else(|| unexpected("no name"))?;
        super::text(own)?;
        parts(table)?;
        let target = self.target(&dotted(table)?, -1)?;
        target.refuse_system()?;
        self.code_on(code, &target);
        Ok(Freedom::Asked)
    }
}
