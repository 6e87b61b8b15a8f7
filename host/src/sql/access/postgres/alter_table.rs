//! ALTER TABLE, each of its commands.

use pg_query::NodeEnum;
use pg_query::protobuf::{
    AlterTableCmd, AlterTableStmt, AlterTableType, ColumnDef, Node, ObjectType, PartitionCmd,
};

use super::names::{Target, given};
use super::{Refusal, Walked, Walker, inner, misplaced, unexpected};
use crate::capability::{Action, Code, Columns, Kind};
use crate::sql::access::{Change, Definitions, Made};

impl Walker<'_> {
    pub(super) fn alter_table(&mut self, alter: &AlterTableStmt) -> Walked {
        let AlterTableStmt {
            relation,
            cmds,
            objtype: _,
            missing_ok: _,
        } = alter;
        let written = match alter.objtype() {
            ObjectType::ObjectIndex => Kind::Index,
            ObjectType::ObjectSequence => Kind::Sequence,
            ObjectType::ObjectType => Kind::Type,
            ObjectType::ObjectTable | ObjectType::ObjectView | ObjectType::ObjectMatview => {
                Kind::Table
            }
            ObjectType::ObjectForeignTable => {
                return Err(Refusal::new(
                    "ALTER FOREIGN TABLE",
                    "it reaches beyond the database",
                ));
            }
            _ => return Err(unexpected("ALTER of such an object")),
        };
        let target = self.target_to_change(given(relation.as_ref())?)?;
        let action = match alter.objtype() {
            ObjectType::ObjectView | ObjectType::ObjectMatview => Action::Code(Code::View),
            _ => target.altering(written),
        };
        self.ask(action, &target, Columns::All);
        self.changes(Definitions::Relations);
        self.each(cmds, |walker, node| match inner(node)? {
            NodeEnum::AlterTableCmd(command) => walker.reading(&target, |walker| {
                walker.alter_table_command(command, &target)
            }),
            other => Err(misplaced(other)),
        })
    }

    fn alter_table_command(&mut self, command: &AlterTableCmd, target: &Target) -> Walked {
        use AlterTableType as To;
        let AlterTableCmd {
            subtype: _,
            name,
            num: _,
            newowner: _,
            def,
            behavior: _,
            missing_ok: _,
            recurse: _,
        } = command;
        if command.behavior() == pg_query::protobuf::DropBehavior::DropCascade {
            return Err(super::drops::cascade());
        }
        let table = &target.name;
        match command.subtype() {
            To::AtAddColumn | To::AtAddColumnToView => {
                self.column_definition(column(def.as_deref())?, table)
            }
            To::AtColumnDefault => match def {
                Some(default) => self.kept(default, table),
                None => Ok(()),
            },
            To::AtSetExpression => self.kept(given(def.as_deref())?, table),
            To::AtAlterColumnType => {
                let column = column(def.as_deref())?;
                let using = column.raw_default.as_deref();
                self.cast_to(given(column.type_name.as_ref())?)?;
                if let Some(collate) = &column.coll_clause {
                    self.collation(&collate.collname)?;
                }
                match using {
                    Some(using) => self.using(using, target, name),
                    None => Ok(()),
                }
            }
            To::AtAddConstraint => match inner(given(def.as_deref())?)? {
                NodeEnum::Constraint(constraint) => {
                    self.unread(|walker| walker.constraint(constraint, table))
                }
                other => Err(misplaced(other)),
            },
            // What these are given are names of this table's own parts, and constants.
            To::AtDropNotNull
            | To::AtSetNotNull
            | To::AtDropExpression
            | To::AtSetStatistics
            | To::AtSetStorage
            | To::AtSetCompression
            | To::AtDropColumn
            | To::AtAlterConstraint
            | To::AtValidateConstraint
            | To::AtDropConstraint
            | To::AtClusterOn
            | To::AtDropCluster
            | To::AtSetLogged
            | To::AtSetUnLogged
            | To::AtDropOids
            | To::AtSetAccessMethod
            | To::AtDropInherit
            | To::AtDropOf
            | To::AtReplicaIdentity
            | To::AtDropIdentity => Ok(()),
            To::AtSetOptions
            | To::AtResetOptions
            | To::AtSetRelOptions
            | To::AtResetRelOptions
            | To::AtReplaceRelOptions => self.options_in(def.as_deref()),
            To::AtAddIdentity => match inner(given(def.as_deref())?)? {
                NodeEnum::Constraint(constraint) => self.constraint(constraint, table),
                other => Err(misplaced(other)),
            },
            To::AtSetIdentity => match def.as_deref().map(inner).transpose()? {
                Some(NodeEnum::List(list)) => self.sequence_options(&list.items),
                Some(other) => Err(misplaced(other)),
                None => Ok(()),
            },
            To::AtAddOf => match inner(given(def.as_deref())?)? {
                NodeEnum::TypeName(name) => self.type_name(Some(name)),
                other => Err(misplaced(other)),
            },
            To::AtEnableTrig
            | To::AtEnableAlwaysTrig
            | To::AtEnableReplicaTrig
            | To::AtDisableTrig
            | To::AtEnableTrigAll
            | To::AtDisableTrigAll
            | To::AtEnableTrigUser
            | To::AtDisableTrigUser => {
                self.code_on(Code::Trigger, target);
                Ok(())
            }
            To::AtEnableRule
            | To::AtEnableAlwaysRule
            | To::AtEnableReplicaRule
            | To::AtDisableRule => {
                self.code_on(Code::Rule, target);
                Ok(())
            }
            To::AtEnableRowSecurity
            | To::AtDisableRowSecurity
            | To::AtForceRowSecurity
            | To::AtNoForceRowSecurity => {
                self.code_on(Code::Policy, target);
                Ok(())
            }
            To::AtChangeOwner => {
                self.ask(Action::Grant, target, Columns::All);
                Ok(())
            }
            To::AtAddInherit => match inner(given(def.as_deref())?)? {
                NodeEnum::RangeVar(parent) => {
                    let parent = self.target_to_change(parent)?;
                    self.ask_to_alter(&parent, Kind::Table);
                    self.share_rows(target, &parent);
                    Ok(())
                }
                other => Err(misplaced(other)),
            },
            To::AtAttachPartition => {
                let partition = partition(def.as_deref())?;
                if let Some(bound) = &partition.bound {
                    self.bound(bound)?;
                }
                let other = given(partition.name.as_ref())?;
                if target.altering(Kind::Table) == Action::Alter(Kind::Index) {
                    let index = self.target_to_change(other)?;
                    self.ask_to_alter(&index, Kind::Index);
                    return Ok(());
                }
                let child = self.target_to_change(other)?;
                self.ask_to_alter(&child, Kind::Table);
                self.share_rows(&child, target);
                Ok(())
            }
            To::AtDetachPartition | To::AtDetachPartitionFinalize => {
                let partition = partition(def.as_deref())?;
                let child = self.target_to_change(given(partition.name.as_ref())?)?;
                self.ask_to_alter(&child, Kind::Table);
                Ok(())
            }
            To::AtSetTableSpace => self.tablespace(name),
            To::AtAlterColumnGenericOptions | To::AtGenericOptions => {
                Err(Refusal::new("OPTIONS", "it reaches beyond the database"))
            }
            // The server makes these out of others; no text has them.
            To::Undefined
            | To::AtCookedColumnDefault
            | To::AtAddIndex
            | To::AtReAddIndex
            | To::AtReAddConstraint
            | To::AtReAddDomainConstraint
            | To::AtAddIndexConstraint
            | To::AtReAddComment
            | To::AtReAddStatistics => Err(unexpected("such a command of ALTER TABLE")),
        }
    }

    pub(super) fn code_on(&mut self, code: Code, target: &Target) {
        self.add(Action::Code(code), target.name.clone(), target.at);
    }

    /// A new value of a column out of others reads those.
    fn using(&mut self, using: &Node, target: &Target, column: &str) -> Walked {
        self.expression(using)?;
        if let Some(table) = self.uses.last_mut()
            && table.real == target.real
            && let Columns::Some(columns) = &mut table.columns
        {
            columns.remove(self.context.changes.original_column(&target.real, column));
            table.read = !columns.is_empty();
        }
        Ok(())
    }

    /// Walks what names columns of the table without telling what is in them.
    fn unread(&mut self, walk: impl FnOnce(&mut Self) -> Walked) -> Walked {
        let (at, used) = match self.uses.len().checked_sub(1) {
            Some(at) => (
                at,
                self.uses
                    .get(at)
                    .map(|table| (table.read, table.columns.clone())),
            ),
            None => (0, None),
        };
        walk(self)?;
        if let (Some(table), Some((read, columns))) = (self.uses.get_mut(at), used) {
            table.read = read;
            table.columns = columns;
        }
        Ok(())
    }

    /// The rows of a table become rows of another one as well: whoever may use the other may use them.
    fn share_rows(&mut self, child: &Target, parent: &Target) {
        if !parent.is_free() {
            self.ask(Action::Insert, parent, Columns::All);
            if child.is_free() {
                // What is put into it from now on is in the other as well.
                self.change(Change::Removed(Made::Relation, child.real.clone()));
            }
        }
        for action in [
            Action::Select,
            Action::Insert,
            Action::Update,
            Action::Delete,
        ] {
            self.ask(action, child, Columns::All);
        }
    }

    fn options_in(&mut self, def: Option<&Node>) -> Walked {
        match def.map(inner).transpose()? {
            Some(NodeEnum::List(list)) => self.plain_options(&list.items),
            Some(other) => Err(misplaced(other)),
            None => Ok(()),
        }
    }
}

fn column(def: Option<&Node>) -> Result<&ColumnDef, Refusal> {
    match inner(given(def)?)? {
        NodeEnum::ColumnDef(column) => Ok(column),
        other => Err(misplaced(other)),
    }
}

fn partition(def: Option<&Node>) -> Result<&PartitionCmd, Refusal> {
    match inner(given(def)?)? {
        NodeEnum::PartitionCmd(partition) => Ok(partition),
        other => Err(misplaced(other)),
    }
}
