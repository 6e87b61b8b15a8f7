//! GRANT and REVOKE.

use pg_query::NodeEnum;
use pg_query::protobuf::{GrantStmt, GrantTargetType, Node, ObjectType};

use super::names::{dotted_node, range_var};
use super::{Refusal, Walked, Walker, inner, misplaced};
use crate::capability::{Action, Columns, Kind, Name};
use crate::sql::access::{Definitions, Made};

impl Walker<'_> {
    pub(super) fn grant(&mut self, grant: &GrantStmt) -> Walked {
        let GrantStmt {
            is_grant: _,
            targtype: _,
            objtype: _,
            objects,
            privileges: _,
            grantees: _,
            grant_option: _,
            grantor: _,
            behavior: _,
        } = grant;
        if grant.targtype() != GrantTargetType::AclTargetObject {
            return Err(Refusal::new("GRANT … ON ALL", "name each of them"));
        }
        self.changes(Definitions::Relations);
        self.each(objects, |walker, object| {
            walker.grant_on(grant.objtype(), object)
        })
    }

    fn grant_on(&mut self, of: ObjectType, object: &Node) -> Walked {
        match of {
            ObjectType::ObjectTable | ObjectType::ObjectSequence => {
                let target = self.target_to_change(range_var(object)?)?;
                self.ask(Action::Grant, &target, Columns::All);
                Ok(())
            }
            ObjectType::ObjectSchema => match inner(object)? {
                NodeEnum::String(name) => {
                    // All that is in it: no table of the schema's name is meant.
                    let schema = Name::bare(name.sval.clone());
                    self.own(&schema.name, -1)?;
                    if !self.context.changes.has_made(Made::Schema, &schema) {
                        self.add(Action::Grant, Name::new(schema.name, "*"), -1);
                    }
                    Ok(())
                }
                other => Err(misplaced(other)),
            },
            ObjectType::ObjectType | ObjectType::ObjectDomain => {
                let name = dotted_node(object)?;
                self.ask_for_other(Action::Grant, Kind::Type, &name, -1)
                    .map(drop)
            }
            ObjectType::ObjectFunction
            | ObjectType::ObjectProcedure
            | ObjectType::ObjectRoutine => {
                let written = dotted_node(object)?;
                let name = self.function_named(&written)?;
                if !self.context.changes.has_made(Made::Function, &name) {
                    self.add(Action::Grant, name, -1);
                }
                Ok(())
            }
            _ => Err(Refusal::new(
                "GRANT",
                "a component may only give rights on what is in its database",
            )),
        }
    }
}
