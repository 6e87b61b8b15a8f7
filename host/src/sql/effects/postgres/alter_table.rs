//! `ALTER TABLE`, whose lock is the strongest that one of its parts needs.

use pg_query::NodeEnum;
use pg_query::protobuf::{
    AConst, AlterTableCmd, AlterTableStmt, AlterTableType as At, ConstrType, Constraint,
    DropBehavior, Node, ObjectType, PartitionCmd, a_const,
};

use super::nodes::{base_type, object_type, option_names, relation};
use crate::sql::effects::{
    Advice, Effects, ForeignKeys, Harm, InTransaction, Lock, LockMode, Relation, Retype, Sight,
    Toll,
};

/// Storage parameters that no reader has to notice at once; `AlterTableGetRelOptionsLockLevel` takes the stronger lock
/// for any other.
const GENTLE_OPTIONS: [&str; 9] = [
    "autosummarize",
    "deduplicate_items",
    "fillfactor",
    "n_distinct",
    "n_distinct_inherited",
    "parallel_workers",
    "toast_tuple_target",
    "vacuum_index_cleanup",
    "vacuum_truncate",
];

/// The change of a column's type, where that is all, and no expression computes the values.
fn retype(table: &Relation, command: &Node) -> Option<Retype> {
    let Some(NodeEnum::AlterTableCmd(command)) = &command.node else {
        return None;
    };
    let Some(NodeEnum::ColumnDef(column)) = &command.def.as_deref()?.node else {
        return None;
    };
    let to = column.type_name.as_ref()?;
    let is_plain = command.subtype() == At::AtAlterColumnType
        && column.raw_default.is_none()
        && column.coll_clause.is_none()
        && to.array_bounds.is_empty();
    let modifier = |node: &Node| match &node.node {
        Some(NodeEnum::AConst(AConst {
            val: Some(a_const::Val::Ival(number)),
            ..
        })) => Some(number.ival),
        _ => None,
    };
    is_plain.then_some(Retype {
        table: table.clone(),
        column: command.name.clone(),
        to: base_type(to)?,
        modifiers: to.typmods.iter().map(modifier).collect::<Option<_>>()?,
    })
}

/// What one part of the statement needs of the table.
struct Need {
    mode: LockMode,
    toll: Toll,
    advice: Option<Advice>,
    foreign_keys: Option<ForeignKeys>,
}

impl Need {
    fn instant(mode: LockMode) -> Self {
        Self::new(mode, Toll::Instant, None)
    }

    fn new(mode: LockMode, toll: Toll, advice: Option<Advice>) -> Self {
        Self {
            mode,
            toll,
            advice,
            foreign_keys: None,
        }
    }

    fn with(mut self, keys: ForeignKeys) -> Self {
        self.foreign_keys = Some(keys);
        self
    }
}

impl Effects {
    pub(super) fn alter_table(&mut self, statement: &AlterTableStmt) {
        let Some(table) = statement.relation.as_ref().map(relation) else {
            return;
        };
        let kind = object_type(statement.objtype);
        let retypes: Option<Vec<Retype>> = statement
            .cmds
            .iter()
            .map(|command| retype(&table, command))
            .collect();
        self.retypes = retypes.unwrap_or_default();
        for command in &statement.cmds {
            if let Some(NodeEnum::AlterTableCmd(command)) = &command.node {
                // ALTER TYPE changes a composite type, and every table of it.
                if kind == ObjectType::ObjectType {
                    self.sight = Sight::Hidden;
                    continue;
                }
                let need = self.alter_part(&table, command);
                let mut lock = Lock::new(table.clone(), need.mode, need.toll);
                lock.advice = need.advice;
                lock.foreign_keys.extend(need.foreign_keys);
                self.lock(lock);
            }
        }
    }

    fn alter_part(&mut self, table: &Relation, command: &AlterTableCmd) -> Need {
        use LockMode::{AccessExclusive, ShareRowExclusive, ShareUpdateExclusive};
        let definition = command.def.as_deref().and_then(|node| node.node.as_ref());
        let cascades = command.behavior() == DropBehavior::DropCascade;
        match (command.subtype(), definition) {
            (At::AtAddColumn, Some(NodeEnum::ColumnDef(column))) => {
                let (toll, advice) = self.new_column(column);
                Need::new(AccessExclusive, toll, advice)
            }
            (At::AtDropColumn, _) => {
                let more = if cascades {
                    " and all that depends on it"
                } else {
                    ""
                };
                self.lose(
                    Harm::Data,
                    format!("drops column {} of {table}{more}", command.name),
                );
                self.hide_if(cascades);
                Need::instant(AccessExclusive).with(ForeignKeys::OfColumn(command.name.clone()))
            }
            (At::AtAlterColumnType, _) => {
                self.lose(
                    Harm::Data,
                    format!("changes the type of column {} of {table}", command.name),
                );
                Need::new(AccessExclusive, Toll::Rewrite, Some(Advice::NewColumn))
            }
            (At::AtSetNotNull, _) => {
                Need::new(AccessExclusive, Toll::Scan, Some(Advice::ProveNotNull))
            }
            (
                At::AtSetExpression
                | At::AtSetLogged
                | At::AtSetUnLogged
                | At::AtSetAccessMethod
                | At::AtSetTableSpace,
                _,
            ) => Need::new(AccessExclusive, Toll::Rewrite, None),
            (At::AtAddConstraint, Some(NodeEnum::Constraint(constraint))) => {
                self.add_constraint(constraint)
            }
            (At::AtDropConstraint, _) => {
                let more = if cascades {
                    " and all that depends on it"
                } else {
                    ""
                };
                self.lose(
                    Harm::Definition,
                    format!("drops constraint {} of {table}{more}", command.name),
                );
                self.hide_if(cascades);
                Need::instant(AccessExclusive).with(ForeignKeys::Named(command.name.clone()))
            }
            (At::AtDropExpression, _) => {
                self.lose(
                    Harm::Definition,
                    format!("drops the expression of column {} of {table}", command.name),
                );
                Need::instant(AccessExclusive)
            }
            (At::AtValidateConstraint, _) => Need::new(ShareUpdateExclusive, Toll::Scan, None),
            (
                At::AtSetStatistics
                | At::AtSetOptions
                | At::AtResetOptions
                | At::AtClusterOn
                | At::AtDropCluster,
                _,
            ) => Need::instant(ShareUpdateExclusive),
            (At::AtSetRelOptions | At::AtResetRelOptions, _) => {
                let is_gentle = |name: &&str| {
                    let name = name.strip_prefix("toast.").unwrap_or(name);
                    GENTLE_OPTIONS.contains(&name)
                        || name.starts_with("autovacuum_")
                        || name == "log_autovacuum_min_duration"
                };
                let options = option_names(command.def.as_deref());
                Need::instant(match options.iter().all(is_gentle) {
                    true => ShareUpdateExclusive,
                    false => AccessExclusive,
                })
            }
            (
                At::AtEnableTrig
                | At::AtEnableAlwaysTrig
                | At::AtEnableReplicaTrig
                | At::AtEnableTrigAll
                | At::AtEnableTrigUser
                | At::AtDisableTrig
                | At::AtDisableTrigAll
                | At::AtDisableTrigUser,
                _,
            ) => Need::instant(ShareRowExclusive),
            (At::AtAttachPartition, Some(NodeEnum::PartitionCmd(partition))) => {
                // An index is attached to an index, and nobody has to wait for a scan.
                self.other(partition, AccessExclusive, Toll::Scan);
                Need::instant(ShareUpdateExclusive)
            }
            (At::AtDetachPartition, Some(NodeEnum::PartitionCmd(partition))) => {
                self.other(partition, AccessExclusive, Toll::Instant);
                if partition.concurrent {
                    self.transaction = InTransaction::Refused;
                    return Need::instant(ShareUpdateExclusive);
                }
                Need::instant(AccessExclusive)
            }
            (At::AtDetachPartitionFinalize, Some(NodeEnum::PartitionCmd(partition))) => {
                self.other(partition, AccessExclusive, Toll::Instant);
                Need::instant(ShareUpdateExclusive)
            }
            (At::AtDropInherit, Some(NodeEnum::RangeVar(parent))) => {
                self.lock_briefly(&relation(parent), LockMode::AccessShare);
                Need::instant(AccessExclusive)
            }
            (At::AtAddInherit, Some(NodeEnum::RangeVar(parent))) => {
                self.lock_briefly(&relation(parent), ShareUpdateExclusive);
                Need::instant(AccessExclusive)
            }
            _ => Need::instant(AccessExclusive),
        }
    }

    fn hide_if(&mut self, cascades: bool) {
        if cascades {
            self.sight = Sight::Hidden;
        }
    }

    fn other(&mut self, partition: &PartitionCmd, mode: LockMode, toll: Toll) {
        if let Some(table) = &partition.name {
            self.lock(Lock::new(relation(table), mode, toll));
        }
    }

    fn add_constraint(&mut self, constraint: &Constraint) -> Need {
        use LockMode::{AccessExclusive, ShareRowExclusive};
        let unchecked = constraint.skip_validation;
        match constraint.contype() {
            ConstrType::ConstrForeign => {
                self.briefly(constraint.pktable.as_ref(), ShareRowExclusive);
                match unchecked {
                    true => Need::instant(ShareRowExclusive),
                    false => Need::new(ShareRowExclusive, Toll::Scan, Some(Advice::NotValid)),
                }
            }
            ConstrType::ConstrCheck | ConstrType::ConstrNotnull if unchecked => {
                Need::instant(AccessExclusive)
            }
            ConstrType::ConstrCheck => {
                Need::new(AccessExclusive, Toll::Scan, Some(Advice::NotValid))
            }
            ConstrType::ConstrNotnull => {
                Need::new(AccessExclusive, Toll::Scan, Some(Advice::ProveNotNull))
            }
            ConstrType::ConstrPrimary | ConstrType::ConstrUnique
                if !constraint.indexname.is_empty() =>
            {
                Need::instant(AccessExclusive)
            }
            ConstrType::ConstrPrimary | ConstrType::ConstrUnique => {
                Need::new(AccessExclusive, Toll::Scan, Some(Advice::UsingIndex))
            }
            ConstrType::ConstrExclusion => Need::new(AccessExclusive, Toll::Scan, None),
            _ => Need::instant(AccessExclusive),
        }
    }
}
