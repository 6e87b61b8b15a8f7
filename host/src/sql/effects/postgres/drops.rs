//! `DROP …`

use pg_query::protobuf::{DropBehavior, DropStmt, ObjectType};

use super::nodes::{but_last, relation_of, strings};
use crate::sql::effects::{Effects, ForeignKeys, Harm, InTransaction, Lock, LockMode, Sight, Toll};

/// What is said of each kind of object, and how much its loss hurts when nothing else goes with it.
const KINDS: [(ObjectType, &str, Harm); 22] = [
    (ObjectType::ObjectTable, "table", Harm::Data),
    (
        ObjectType::ObjectForeignTable,
        "foreign table",
        Harm::Definition,
    ),
    (ObjectType::ObjectView, "view", Harm::Definition),
    (
        ObjectType::ObjectMatview,
        "materialized view",
        Harm::Definition,
    ),
    (ObjectType::ObjectIndex, "index", Harm::Definition),
    (ObjectType::ObjectSequence, "sequence", Harm::Data),
    (ObjectType::ObjectSchema, "schema", Harm::Definition),
    (ObjectType::ObjectType, "type", Harm::Definition),
    (ObjectType::ObjectDomain, "domain", Harm::Definition),
    (ObjectType::ObjectFunction, "function", Harm::Definition),
    (ObjectType::ObjectProcedure, "procedure", Harm::Definition),
    (ObjectType::ObjectRoutine, "routine", Harm::Definition),
    (ObjectType::ObjectAggregate, "aggregate", Harm::Definition),
    (ObjectType::ObjectOperator, "operator", Harm::Definition),
    (ObjectType::ObjectTrigger, "trigger", Harm::Definition),
    (ObjectType::ObjectPolicy, "policy", Harm::Definition),
    (ObjectType::ObjectRule, "rule", Harm::Definition),
    (ObjectType::ObjectExtension, "extension", Harm::Definition),
    (
        ObjectType::ObjectStatisticExt,
        "statistics",
        Harm::Definition,
    ),
    (
        ObjectType::ObjectPublication,
        "publication",
        Harm::Definition,
    ),
    (ObjectType::ObjectForeignServer, "server", Harm::Definition),
    (ObjectType::ObjectCollation, "collation", Harm::Definition),
];

impl Effects {
    pub(super) fn drop(&mut self, statement: &DropStmt) {
        let cascades = statement.behavior() == DropBehavior::DropCascade;
        if statement.concurrent {
            self.transaction = InTransaction::Refused;
        }
        if cascades {
            self.sight = Sight::Hidden;
        }
        let (kind, harm) = KINDS
            .iter()
            .find(|(kind, ..)| *kind == statement.remove_type())
            .map_or(("object", Harm::Definition), |(_, name, harm)| {
                (*name, *harm)
            });
        for object in &statement.objects {
            let parts = strings(Some(object));
            self.lock_dropped(statement, &parts);
            let on_table = matches!(
                statement.remove_type(),
                ObjectType::ObjectTrigger | ObjectType::ObjectPolicy | ObjectType::ObjectRule
            );
            let name = match (on_table, parts.split_last()) {
                (true, Some((name, table))) => format!("{name} of {}", table.join(".")),
                _ => parts.join("."),
            };
            let (and_more, harm) = match (cascades, statement.remove_type()) {
                (true, ObjectType::ObjectSchema) => (" and all in it", Harm::Data),
                // Columns of a type, and keys and views of a table, go with it.
                (true, _) => (" and all that depends on it", Harm::Data),
                (false, _) => ("", harm),
            };
            self.lose(harm, format!("drops {kind} {name}{and_more}"));
        }
    }

    fn lock_dropped(&mut self, statement: &DropStmt, parts: &[String]) {
        use LockMode::{AccessExclusive, ShareUpdateExclusive};
        let named = relation_of(parts);
        match statement.remove_type() {
            ObjectType::ObjectTable => {
                if let Some(table) = named {
                    self.lock(
                        Lock::new(table, AccessExclusive, Toll::Instant).with(ForeignKeys::All),
                    );
                }
            }
            ObjectType::ObjectIndex => {
                let mode = match statement.concurrent {
                    true => ShareUpdateExclusive,
                    false => AccessExclusive,
                };
                if let Some(index) = named {
                    self.lock(Lock::of_index_table(index, mode, Toll::Instant));
                }
            }
            ObjectType::ObjectView
            | ObjectType::ObjectMatview
            | ObjectType::ObjectSequence
            | ObjectType::ObjectForeignTable => {
                if let Some(relation) = named {
                    self.lock_briefly(&relation, AccessExclusive);
                }
            }
            ObjectType::ObjectTrigger | ObjectType::ObjectPolicy | ObjectType::ObjectRule => {
                if let Some(table) = relation_of(but_last(parts)) {
                    self.lock_briefly(&table, AccessExclusive);
                }
            }
            _ => {}
        }
    }
}
