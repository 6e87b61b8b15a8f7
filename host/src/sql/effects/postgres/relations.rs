//! New tables and views.

use pg_query::NodeEnum;
use pg_query::protobuf::{ConstrType, CreateStmt, RefreshMatViewStmt, ViewStmt};

use super::nodes::{range_var, relation};
use crate::sql::effects::{Advice, Effects, Lock, LockMode, Toll};

impl Effects {
    pub(super) fn create_table(&mut self, statement: &CreateStmt) {
        let parent_mode = match statement.partbound {
            Some(_) => LockMode::AccessExclusive,
            None => LockMode::ShareUpdateExclusive,
        };
        for parent in statement.inh_relations.iter().filter_map(range_var) {
            self.lock_briefly(&relation(parent), parent_mode);
        }
        for element in statement.table_elts.iter().chain(&statement.constraints) {
            let constraints = match &element.node {
                Some(NodeEnum::TableLikeClause(like)) => {
                    self.briefly(like.relation.as_ref(), LockMode::AccessShare);
                    continue;
                }
                Some(NodeEnum::ColumnDef(column)) => column.constraints.as_slice(),
                _ => std::slice::from_ref(element),
            };
            for constraint in constraints {
                if let Some(NodeEnum::Constraint(constraint)) = &constraint.node
                    && constraint.contype() == ConstrType::ConstrForeign
                {
                    self.briefly(constraint.pktable.as_ref(), LockMode::ShareRowExclusive);
                }
            }
        }
        self.creates
            .extend(statement.relation.as_ref().map(relation));
    }

    pub(super) fn create_view(&mut self, node: &NodeEnum, statement: &ViewStmt) {
        self.rows(node);
        for lock in &mut self.locks {
            lock.toll = Toll::Instant;
        }
        let Some(view) = statement.view.as_ref().map(relation) else {
            return;
        };
        self.locks.retain(|lock| lock.relation != view);
        if statement.replace {
            self.lock_briefly(&view, LockMode::AccessExclusive);
        } else {
            self.creates.push(view);
        }
    }

    pub(super) fn refresh(&mut self, statement: &RefreshMatViewStmt) {
        let Some(view) = statement.relation.as_ref().map(relation) else {
            return;
        };
        if statement.concurrent {
            self.lock(Lock::new(view, LockMode::Exclusive, Toll::Scan));
        } else {
            let lock = Lock::new(view, LockMode::AccessExclusive, Toll::Rewrite);
            self.lock(lock.advised(Advice::RefreshConcurrently));
        }
    }
}
