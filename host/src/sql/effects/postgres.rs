//! PostgreSQL's statements, as its own parser reads them.

mod alter_table;
mod column;
mod drops;
mod index;
mod nodes;
mod relations;
mod rows;

use pg_query::NodeEnum;
use pg_query::protobuf::{self, ObjectType};

use super::{
    Advice, Effects, ForeignKeys, Harm, InTransaction, Lock, LockMode, Part, Relation, Sight, Toll,
    Unread,
};
use nodes::{object_type, range_var, relation, strings};

/// What a statement does, or what the parser says against it.
pub(super) fn effects(sql: &str) -> Result<Effects, Unread> {
    // The crate takes some shapes of the tree for granted.
    let parsed = std::panic::catch_unwind(|| pg_query::parse(sql, 0))
        .map_err(|_| Unread::Syntax("the parser gave up on it".to_owned()))?;
    let parsed = parsed.map_err(|error| {
        Unread::Syntax(match error {
            pg_query::Error::Parse(message) => message,
            pg_query::Error::Decode(_) => "it is nested too deeply to be read".to_owned(),
            other => other.to_string(),
        })
    })?;
    let mut found = Effects::default();
    for statement in parsed.protobuf.stmts {
        if let Some(node) = statement.stmt.and_then(|node| node.node) {
            found.read(&node);
        }
    }
    // What a statement makes itself is in nobody's way.
    let Effects { locks, creates, .. } = &mut found;
    locks.retain(|lock| !creates.contains(&lock.relation));
    Ok(found)
}

impl Lock {
    fn of_index_table(index: Relation, mode: LockMode, toll: Toll) -> Self {
        Self {
            part: Part::TableOfIndex,
            ..Self::new(index, mode, toll)
        }
    }

    fn advised(mut self, advice: Advice) -> Self {
        self.advice = Some(advice);
        self
    }

    fn with(mut self, keys: ForeignKeys) -> Self {
        self.foreign_keys.push(keys);
        self
    }
}

impl Effects {
    /// Adds a lock that is taken and kept for nothing long.
    fn lock_briefly(&mut self, relation: &Relation, mode: LockMode) {
        self.lock(Lock::new(relation.clone(), mode, Toll::Instant));
    }

    fn read(&mut self, node: &NodeEnum) {
        use LockMode::{AccessExclusive, ShareRowExclusive, ShareUpdateExclusive};
        match node {
            NodeEnum::AlterTableStmt(statement) => self.alter_table(statement),
            NodeEnum::RenameStmt(statement) => self.rename(statement),
            NodeEnum::AlterObjectSchemaStmt(statement) => {
                self.briefly(statement.relation.as_ref(), AccessExclusive);
            }
            NodeEnum::AlterSeqStmt(statement) => {
                self.briefly(statement.sequence.as_ref(), ShareRowExclusive);
            }
            NodeEnum::DropStmt(statement) => self.drop(statement),
            NodeEnum::TruncateStmt(statement) => self.truncate(statement),
            NodeEnum::IndexStmt(statement) => self.create_index(statement),
            NodeEnum::ReindexStmt(statement) => self.reindex(statement),
            NodeEnum::ClusterStmt(statement) => match &statement.relation {
                Some(table) => self.lock(Lock::new(relation(table), AccessExclusive, Toll::Rewrite)),
                None => {
                    self.transaction = InTransaction::Refused;
                    self.sight = Sight::Hidden;
                }
            },
            NodeEnum::VacuumStmt(statement) => self.vacuum(statement),
            NodeEnum::CreateStmt(statement) => self.create_table(statement),
            NodeEnum::CreateForeignTableStmt(statement) => {
                if let Some(base) = &statement.base_stmt {
                    self.create_table(base);
                }
            }
            NodeEnum::CreateTableAsStmt(statement) => {
                self.rows(node);
                self.creates.extend(
                    statement.into.iter().filter_map(|into| into.rel.as_ref()).map(relation),
                );
            }
            NodeEnum::ViewStmt(statement) => self.create_view(node, statement),
            NodeEnum::RefreshMatViewStmt(statement) => self.refresh(statement),
            NodeEnum::CreateSeqStmt(statement) => {
                self.creates.extend(statement.sequence.as_ref().map(relation));
            }
            NodeEnum::CreateTrigStmt(statement) => {
                self.briefly(statement.relation.as_ref(), ShareRowExclusive);
                self.briefly(statement.constrrel.as_ref(), ShareRowExclusive);
            }
            NodeEnum::RuleStmt(statement) => self.briefly(statement.relation.as_ref(), AccessExclusive),
            NodeEnum::CreatePolicyStmt(statement) => {
                self.briefly(statement.table.as_ref(), AccessExclusive);
            }
            NodeEnum::AlterPolicyStmt(statement) => {
                self.briefly(statement.table.as_ref(), AccessExclusive);
            }
            NodeEnum::CreateStatsStmt(statement) => {
                for table in statement.relations.iter().filter_map(range_var) {
                    self.lock_briefly(&relation(table), ShareUpdateExclusive);
                }
            }
            NodeEnum::CommentStmt(statement) => self.comment(statement),
            NodeEnum::CreatePublicationStmt(statement) => self.publish(&statement.pubobjects),
            NodeEnum::AlterPublicationStmt(statement) => self.publish(&statement.pubobjects),
            NodeEnum::LockStmt(statement) => {
                let mode = lock_mode(statement.mode);
                for table in statement.relations.iter().filter_map(range_var) {
                    self.lock_briefly(&relation(table), mode);
                }
            }
            NodeEnum::CopyStmt(statement) => match (&statement.relation, statement.is_from) {
                (Some(table), true) => {
                    self.lock(Lock::new(relation(table), LockMode::RowExclusive, Toll::Rows));
                }
                _ => self.rows(node),
            },
            NodeEnum::SelectStmt(_)
            | NodeEnum::InsertStmt(_)
            | NodeEnum::UpdateStmt(_)
            | NodeEnum::DeleteStmt(_)
            | NodeEnum::MergeStmt(_) => self.rows(node),
            NodeEnum::DropOwnedStmt(_) => {
                self.lose(Harm::Data, "drops all that a role owns");
                self.sight = Sight::Hidden;
            }
            NodeEnum::DropdbStmt(statement) => {
                self.transaction = InTransaction::Refused;
                self.lose(Harm::Data, format!("drops database {}", statement.dbname));
            }
            NodeEnum::CreatedbStmt(_)
            | NodeEnum::AlterSystemStmt(_)
            | NodeEnum::CreateTableSpaceStmt(_)
            | NodeEnum::DropTableSpaceStmt(_) => self.transaction = InTransaction::Refused,
            NodeEnum::DoStmt(_)
            | NodeEnum::CallStmt(_)
            | NodeEnum::ExecuteStmt(_)
            | NodeEnum::ExplainStmt(_)
            | NodeEnum::ReassignOwnedStmt(_)
            | NodeEnum::AlterTableMoveAllStmt(_)
            | NodeEnum::CreateExtensionStmt(_)
            | NodeEnum::AlterExtensionStmt(_)
            | NodeEnum::ImportForeignSchemaStmt(_)
            // A new constraint of a domain is checked in every table that uses it.
            | NodeEnum::AlterDomainStmt(_) => self.sight = Sight::Hidden,
            NodeEnum::CreateSchemaStmt(statement) => {
                for element in statement.schema_elts.iter().filter_map(|node| node.node.as_ref()) {
                    self.read(element);
                }
            }
            NodeEnum::AlterOwnerStmt(statement) => {
                self.briefly(statement.relation.as_ref(), AccessExclusive);
            }
            _ => {}
        }
    }

    fn briefly(&mut self, table: Option<&protobuf::RangeVar>, mode: LockMode) {
        if let Some(table) = table {
            self.lock_briefly(&relation(table), mode);
        }
    }

    fn rename(&mut self, statement: &protobuf::RenameStmt) {
        let mode = match object_type(statement.rename_type) {
            ObjectType::ObjectIndex => LockMode::ShareUpdateExclusive,
            _ => LockMode::AccessExclusive,
        };
        self.briefly(statement.relation.as_ref(), mode);
    }

    fn truncate(&mut self, statement: &protobuf::TruncateStmt) {
        let cascades = statement.behavior() == protobuf::DropBehavior::DropCascade;
        for table in statement.relations.iter().filter_map(range_var) {
            let table = relation(table);
            let and_more = if cascades {
                ", and of all that refers to it"
            } else {
                ""
            };
            self.lose(Harm::Data, format!("deletes all rows of {table}{and_more}"));
            self.lock_briefly(&table, LockMode::AccessExclusive);
        }
        if cascades {
            self.sight = Sight::Hidden;
        }
    }

    fn comment(&mut self, statement: &protobuf::CommentStmt) {
        let parts = strings(statement.object.as_deref());
        let (name, mode) = match statement.objtype() {
            ObjectType::ObjectTable
            | ObjectType::ObjectView
            | ObjectType::ObjectMatview
            | ObjectType::ObjectIndex
            | ObjectType::ObjectSequence
            | ObjectType::ObjectForeignTable => (parts.as_slice(), LockMode::ShareUpdateExclusive),
            ObjectType::ObjectColumn => (nodes::but_last(&parts), LockMode::ShareUpdateExclusive),
            ObjectType::ObjectTabconstraint
            | ObjectType::ObjectTrigger
            | ObjectType::ObjectPolicy
            | ObjectType::ObjectRule => (nodes::but_last(&parts), LockMode::AccessShare),
            _ => return,
        };
        if let Some(relation) = nodes::relation_of(name) {
            self.lock_briefly(&relation, mode);
        }
    }

    fn publish(&mut self, objects: &[protobuf::Node]) {
        for object in objects {
            if let Some(NodeEnum::PublicationObjSpec(object)) = &object.node
                && let Some(table) = &object.pubtable
            {
                self.briefly(table.relation.as_ref(), LockMode::ShareUpdateExclusive);
            }
        }
    }
}

/// The mode by its number in `storage/lockdefs.h`.
fn lock_mode(number: i32) -> LockMode {
    match number {
        1 => LockMode::AccessShare,
        2 => LockMode::RowShare,
        3 => LockMode::RowExclusive,
        4 => LockMode::ShareUpdateExclusive,
        5 => LockMode::Share,
        6 => LockMode::ShareRowExclusive,
        7 => LockMode::Exclusive,
        _ => LockMode::AccessExclusive,
    }
}
