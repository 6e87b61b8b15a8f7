//! Indexes, and what tidies tables up.

use pg_query::NodeEnum;
use pg_query::protobuf::{IndexStmt, ReindexObjectType, ReindexStmt, VacuumStmt};

use super::nodes::{is_on, relation};
use crate::sql::effects::{Advice, Effects, InTransaction, Lock, LockMode, Sight, Toll};

impl Effects {
    pub(super) fn create_index(&mut self, statement: &IndexStmt) {
        let Some(table) = statement.relation.as_ref().map(relation) else {
            return;
        };
        if statement.concurrent {
            self.transaction = InTransaction::Refused;
            self.lock(Lock::new(table, LockMode::ShareUpdateExclusive, Toll::Scan));
        } else {
            self.lock(
                Lock::new(table, LockMode::Share, Toll::Scan).advised(Advice::IndexConcurrently),
            );
        }
    }

    pub(super) fn reindex(&mut self, statement: &ReindexStmt) {
        let concurrently = is_on(&statement.params, "concurrently");
        let target = statement.relation.as_ref().map(relation);
        let mode = match concurrently {
            true => LockMode::ShareUpdateExclusive,
            false => LockMode::Share,
        };
        if concurrently {
            self.transaction = InTransaction::Refused;
        }
        let lock = match (statement.kind(), target) {
            (ReindexObjectType::ReindexObjectIndex, Some(index)) => {
                if !concurrently {
                    self.lock_briefly(&index, LockMode::AccessExclusive);
                }
                Lock::of_index_table(index, mode, Toll::Scan)
            }
            (ReindexObjectType::ReindexObjectTable, Some(table)) => {
                Lock::new(table, mode, Toll::Scan)
            }
            _ => {
                self.transaction = InTransaction::Refused;
                self.sight = Sight::Hidden;
                return;
            }
        };
        self.lock(match concurrently {
            true => lock,
            false => lock.advised(Advice::ReindexConcurrently),
        });
    }

    /// `VACUUM`, and `ANALYZE`, which the parser has the same node for.
    pub(super) fn vacuum(&mut self, statement: &VacuumStmt) {
        let (mode, toll) = match statement.is_vacuumcmd && is_on(&statement.options, "full") {
            true => (LockMode::AccessExclusive, Toll::Rewrite),
            false => (LockMode::ShareUpdateExclusive, Toll::Scan),
        };
        if statement.is_vacuumcmd {
            self.transaction = InTransaction::Refused;
        }
        if statement.rels.is_empty() {
            self.sight = Sight::Hidden;
        }
        for table in &statement.rels {
            if let Some(NodeEnum::VacuumRelation(table)) = &table.node
                && let Some(table) = &table.relation
            {
                self.lock(Lock::new(relation(table), mode, toll));
            }
        }
    }
}
