//! Statements, each kind of them: what is done here, elsewhere, or never.

use pg_query::NodeEnum;
use pg_query::protobuf::{
    ClusterStmt, ConstraintsSetStmt, CreateTableAsStmt, ExplainStmt, IntoClause, LockStmt,
    ObjectType, RefreshMatViewStmt, ReindexObjectType, ReindexStmt, TransactionStmtKind,
    TruncateStmt, VacuumRelation, VacuumStmt, VariableSetKind, VariableSetStmt,
};

use super::names::{given, is_temporary_schema, range_var, written};
use super::{Refusal, Walked, Walker, inner, kind, misplaced};
use crate::capability::{Action, Code, Columns, Kind, Name};
use crate::sql::access::{Change, Definitions, Literals, Made, Subject, known};

const TRANSACTION: &str = "the transaction belongs to Whimbrel";
const SESSION: &str = "the session belongs to Whimbrel";
const SETTINGS: &str = "a component may not change the session's settings";
const CODE: &str = "a component may not run code inside the server";
const SERVER: &str = "a component may only change its own database";
const FILES: &str = "a component may not reach files and programs of the server";
const CURSORS: &str = "a component opens cursors through its interface";
const OUTSIDE: &str = "it reaches beyond the database";
const NOTIFIES: &str = "a component may not talk to other sessions";

impl Walker<'_> {
    /// Walks a statement. Each kind that can be one is named.
    pub(super) fn statement(&mut self, node: &NodeEnum) -> Walked {
        match node {
            NodeEnum::SelectStmt(select) => self.select(select).map(drop),
            NodeEnum::InsertStmt(_)
            | NodeEnum::UpdateStmt(_)
            | NodeEnum::DeleteStmt(_)
            | NodeEnum::MergeStmt(_) => self.writing(node).map(drop),
            NodeEnum::ExplainStmt(explain) => {
                let ExplainStmt { query, options: _ } = &**explain;
                self.statement(inner(given(query.as_deref())?)?)
            }
            NodeEnum::VariableShowStmt(show) => self.show(&show.name),
            NodeEnum::VariableSetStmt(set) => self.set(set),
            NodeEnum::ConstraintsSetStmt(set) => {
                let ConstraintsSetStmt {
                    constraints: _,
                    deferred: _,
                } = set;
                Ok(())
            }

            NodeEnum::CreateStmt(create) => self.create_table(create).map(drop),
            NodeEnum::CreateTableAsStmt(create) => self.create_table_as(create),
            NodeEnum::AlterTableStmt(alter) => self.alter_table(alter),
            NodeEnum::TruncateStmt(truncate) => self.truncate(truncate),
            NodeEnum::LockStmt(lock) => self.lock(lock),
            NodeEnum::VacuumStmt(vacuum) => self.vacuum(vacuum),
            NodeEnum::ClusterStmt(cluster) => self.cluster(cluster),
            NodeEnum::ReindexStmt(reindex) => self.reindex(reindex),
            NodeEnum::RefreshMatViewStmt(refresh) => {
                let RefreshMatViewStmt {
                    concurrent: _,
                    skip_data: _,
                    relation,
                } = refresh;
                let target = self.target_to_change(given(relation.as_ref())?)?;
                self.ask(Action::Code(Code::View), &target, Columns::All);
                Ok(())
            }

            NodeEnum::IndexStmt(index) => self.create_index(index),
            NodeEnum::CreateSeqStmt(create) => self.create_sequence(create),
            NodeEnum::AlterSeqStmt(alter) => self.alter_sequence(alter),
            NodeEnum::CreateSchemaStmt(create) => self.create_schema(create),
            NodeEnum::CompositeTypeStmt(create) => self.create_composite(create),
            NodeEnum::CreateEnumStmt(create) => self.create_enum(create),
            NodeEnum::AlterEnumStmt(alter) => self.alter_enum(alter),
            NodeEnum::CreateRangeStmt(create) => self.create_range(create),
            NodeEnum::CreateDomainStmt(create) => self.create_domain(create),
            NodeEnum::AlterDomainStmt(alter) => self.alter_domain(alter),
            NodeEnum::CreateStatsStmt(create) => self.create_statistics(create),
            NodeEnum::AlterStatsStmt(alter) => self.alter_other(Kind::Statistics, &alter.defnames),
            NodeEnum::AlterCollationStmt(alter) => {
                self.alter_other(Kind::Collation, &alter.collname)
            }
            NodeEnum::AlterTsdictionaryStmt(alter) => {
                self.alter_other(Kind::TextSearch, &alter.dictname)
            }
            NodeEnum::AlterTsconfigurationStmt(alter) => {
                self.alter_other(Kind::TextSearch, &alter.cfgname)
            }
            NodeEnum::DefineStmt(define) => self.define(define),

            NodeEnum::DropStmt(drop) => self.drop(drop),
            NodeEnum::RenameStmt(rename) => self.rename(rename),
            NodeEnum::AlterObjectSchemaStmt(alter) => self.set_schema(alter),
            NodeEnum::AlterOwnerStmt(alter) => self.change_owner(alter),
            NodeEnum::AlterObjectDependsStmt(alter) => self.depend_on_extension(alter),
            NodeEnum::CommentStmt(comment) => self.comment(comment),

            NodeEnum::CreateFunctionStmt(create) => self.create_function(create),
            NodeEnum::AlterFunctionStmt(alter) => self.alter_function(alter),
            NodeEnum::CreateTrigStmt(create) => self.create_trigger(create),
            NodeEnum::RuleStmt(rule) => self.create_rule(rule),
            NodeEnum::CreatePolicyStmt(create) => self.create_policy(create),
            NodeEnum::AlterPolicyStmt(alter) => self.alter_policy(alter),
            NodeEnum::ViewStmt(view) => self.create_view(view),
            NodeEnum::CreateCastStmt(create) => self.create_cast(create),
            NodeEnum::CreateOpClassStmt(create) => {
                self.code_operator(&create.opclassname)?;
                self.each(&create.items, Self::class_item)
            }
            NodeEnum::CreateOpFamilyStmt(create) => self.code_operator(&create.opfamilyname),
            NodeEnum::AlterOpFamilyStmt(alter) => {
                self.code_operator(&alter.opfamilyname)?;
                self.each(&alter.items, Self::class_item)
            }
            NodeEnum::AlterOperatorStmt(alter) => {
                self.code_operator(&given(alter.opername.as_ref())?.objname)?;
                self.each(&alter.options, Self::operator_option)
            }
            NodeEnum::AlterTypeStmt(alter) => self.alter_other(Kind::Type, &alter.type_name),

            NodeEnum::GrantStmt(grant) => self.grant(grant),
            NodeEnum::CreateExtensionStmt(create) => self.create_extension(create),
            NodeEnum::AlterExtensionStmt(alter) => {
                self.add(Action::Extension, Name::bare(alter.extname.clone()), -1);
                self.changes(Definitions::Anything);
                Ok(())
            }

            other => Err(never(other)),
        }
    }

    fn show(&mut self, name: &str) -> Walked {
        if known::is_open_setting(name) || name == "transaction_isolation" {
            return Ok(());
        }
        Err(Refusal::new("SHOW", "the setting tells of the server").of(name))
    }

    /// SET is for files alone, and only of what is known to change neither in whose name they run, nor how the server reads
    /// them, nor what it checks.
    fn set(&mut self, set: &VariableSetStmt) -> Walked {
        let reason = match self.context.subject {
            Subject::Component => Some(SETTINGS),
            Subject::File if set.kind() == VariableSetKind::VarResetAll => Some(SESSION),
            Subject::File if !known::is_settable(&set.name) => Some(known::NOT_SETTABLE),
            Subject::File => None,
        };
        if let Some(reason) = reason {
            return Err(Refusal::new("SET", reason).of(set.name.clone()));
        }
        self.literals = Literals::Telling;
        self.changes(Definitions::Anything);
        Ok(())
    }

    fn truncate(&mut self, truncate: &TruncateStmt) -> Walked {
        let TruncateStmt {
            relations,
            restart_seqs: _,
            behavior: _,
        } = truncate;
        if truncate.behavior() == pg_query::protobuf::DropBehavior::DropCascade {
            return Err(super::drops::cascade());
        }
        self.each(relations, |walker, node| {
            let target = walker.target_to_change(range_var(node)?)?;
            walker.ask(Action::Truncate, &target, Columns::All);
            Ok(())
        })
    }

    /// The server wants the right to change the table, or to read it where readers would not notice.
    fn lock(&mut self, lock: &LockStmt) -> Walked {
        const ACCESS_SHARE: i32 = 1;
        let LockStmt {
            relations,
            mode,
            nowait: _,
        } = lock;
        let action = match *mode {
            ACCESS_SHARE => Action::Select,
            _ => Action::Update,
        };
        self.each(relations, |walker, node| {
            let target = walker.target_to_change(range_var(node)?)?;
            walker.ask(action, &target, Self::no_columns());
            Ok(())
        })
    }

    fn vacuum(&mut self, vacuum: &VacuumStmt) -> Walked {
        let VacuumStmt {
            options: _,
            rels,
            is_vacuumcmd,
        } = vacuum;
        if *is_vacuumcmd {
            return Err(Refusal::new("VACUUM", SERVER));
        }
        if rels.is_empty() {
            return Err(Refusal::new("ANALYZE", "name the tables"));
        }
        self.each(rels, |walker, node| match inner(node)? {
            NodeEnum::VacuumRelation(VacuumRelation {
                relation,
                oid: _,
                va_cols: _,
            }) => {
                let target = walker.target_to_change(given(relation.as_ref())?)?;
                walker.ask_to_alter(&target, Kind::Table);
                Ok(())
            }
            other => Err(misplaced(other)),
        })
    }

    fn cluster(&mut self, cluster: &ClusterStmt) -> Walked {
        let ClusterStmt {
            relation,
            indexname: _,
            params: _,
        } = cluster;
        let Some(relation) = relation else {
            return Err(Refusal::new("CLUSTER", "name the table"));
        };
        let target = self.target_to_change(relation)?;
        self.ask_to_alter(&target, Kind::Table);
        Ok(())
    }

    fn reindex(&mut self, reindex: &ReindexStmt) -> Walked {
        let ReindexStmt {
            kind: _,
            relation,
            name: _,
            params: _,
        } = reindex;
        let written = match reindex.kind() {
            ReindexObjectType::ReindexObjectTable => Kind::Table,
            ReindexObjectType::ReindexObjectIndex => Kind::Index,
            ReindexObjectType::ReindexObjectSchema
            | ReindexObjectType::ReindexObjectSystem
            | ReindexObjectType::ReindexObjectDatabase
            | ReindexObjectType::Undefined => {
                return Err(Refusal::new("REINDEX", "name the table or the index"));
            }
        };
        let target = self.target_to_change(given(relation.as_ref())?)?;
        self.ask_to_alter(&target, written);
        Ok(())
    }

    fn create_table_as(&mut self, create: &CreateTableAsStmt) -> Walked {
        let CreateTableAsStmt {
            query,
            into,
            objtype: _,
            is_select_into: _,
            if_not_exists: _,
        } = create;
        match inner(given(query.as_deref())?)? {
            NodeEnum::SelectStmt(select) => self.select(select).map(drop)?,
            NodeEnum::ExecuteStmt(_) => return Err(Refusal::new("EXECUTE", SESSION)),
            other => return Err(misplaced(other)),
        }
        let into = given(into.as_deref())?;
        if create.objtype() == ObjectType::ObjectMatview {
            let range = given(into.rel.as_ref())?;
            let name = self.new_name(&written(range), range.location)?;
            self.add(Action::Code(Code::View), name.clone(), range.location);
            self.made(Made::Relation, name, create.if_not_exists);
            return Ok(());
        }
        self.make_into(into, create.if_not_exists)
    }

    /// SELECT … INTO.
    pub(super) fn into(&mut self, into: &IntoClause) -> Walked {
        self.make_into(into, false)
    }

    fn make_into(&mut self, into: &IntoClause, if_not_exists: bool) -> Walked {
        let IntoClause {
            rel,
            col_names: _,
            access_method: _,
            options: _,
            on_commit: _,
            table_space_name,
            view_query: _,
            skip_data: _,
        } = into;
        self.tablespace(table_space_name)?;
        self.new_table(given(rel.as_ref())?, if_not_exists)
            .map(drop)
    }

    /// Notes that something is made, unless `IF NOT EXISTS` finds it there.
    pub(super) fn made(&mut self, made: Made, name: Name, if_not_exists: bool) {
        let is_there = if_not_exists && self.is_there(made, &name);
        self.changes(match made {
            Made::Relation | Made::Type | Made::Other => Definitions::Relations,
            Made::Schema | Made::Function => Definitions::Anything,
        });
        if !is_there {
            self.change(Change::Made(made, name));
        }
    }

    fn is_there(&mut self, made: Made, name: &Name) -> bool {
        let catalog = self.context.catalog;
        match made {
            Made::Relation => match catalog.relation(name) {
                Some(found) => found.is_some(),
                None => {
                    self.wanted.relations.insert(name.clone());
                    true
                }
            },
            Made::Type => match catalog.r#type(name) {
                Some(found) => found.is_some(),
                None => {
                    self.wanted.types.insert(name.clone());
                    true
                }
            },
            // Whether these are there is not asked for: they are not free then.
            Made::Schema | Made::Function | Made::Other => true,
        }
    }

    /// Where files lie is not a migration's business.
    pub(super) fn tablespace(&self, name: &str) -> Walked {
        if name.is_empty() {
            return Ok(());
        }
        Err(Refusal::new("TABLESPACE", FILES).of(name))
    }

    /// Whether a new relation is gone with the session.
    pub(super) fn is_temporary(range: &pg_query::protobuf::RangeVar) -> bool {
        range.relpersistence == "t" || is_temporary_schema(&range.schemaname)
    }
}

/// Why a statement of a kind never runs. What is no statement at all is refused by its kind.
fn never(node: &NodeEnum) -> Refusal {
    let (operation, reason) = match node {
        NodeEnum::TransactionStmt(statement) => (transaction(statement.kind()), TRANSACTION),
        NodeEnum::PrepareStmt(_) => ("PREPARE", SESSION),
        NodeEnum::ExecuteStmt(_) => ("EXECUTE", SESSION),
        NodeEnum::DeallocateStmt(_) => ("DEALLOCATE", SESSION),
        NodeEnum::DiscardStmt(_) => ("DISCARD", SESSION),
        NodeEnum::ListenStmt(_) => ("LISTEN", NOTIFIES),
        NodeEnum::UnlistenStmt(_) => ("UNLISTEN", NOTIFIES),
        NodeEnum::NotifyStmt(_) => ("NOTIFY", NOTIFIES),
        NodeEnum::DoStmt(_) => ("DO", CODE),
        NodeEnum::CallStmt(_) => ("CALL", CODE),
        NodeEnum::LoadStmt(_) => ("LOAD", CODE),
        NodeEnum::CreatePlangStmt(_) => ("CREATE LANGUAGE", CODE),
        NodeEnum::CreateTransformStmt(_) => ("CREATE TRANSFORM", CODE),
        NodeEnum::CreateConversionStmt(_) => ("CREATE CONVERSION", CODE),
        NodeEnum::CreateAmStmt(_) => ("CREATE ACCESS METHOD", CODE),
        NodeEnum::CreateEventTrigStmt(_) => ("CREATE EVENT TRIGGER", SERVER),
        NodeEnum::AlterEventTrigStmt(_) => ("ALTER EVENT TRIGGER", SERVER),
        NodeEnum::DeclareCursorStmt(_) => ("DECLARE", CURSORS),
        NodeEnum::FetchStmt(_) => ("FETCH", CURSORS),
        NodeEnum::ClosePortalStmt(_) => ("CLOSE", CURSORS),
        NodeEnum::CopyStmt(_) => ("COPY", FILES),
        NodeEnum::CheckPointStmt(_) => ("CHECKPOINT", SERVER),
        NodeEnum::CreatedbStmt(_) => ("CREATE DATABASE", SERVER),
        NodeEnum::DropdbStmt(_) => ("DROP DATABASE", SERVER),
        NodeEnum::AlterDatabaseStmt(_)
        | NodeEnum::AlterDatabaseSetStmt(_)
        | NodeEnum::AlterDatabaseRefreshCollStmt(_) => ("ALTER DATABASE", SERVER),
        NodeEnum::AlterSystemStmt(_) => ("ALTER SYSTEM", SERVER),
        NodeEnum::CreateRoleStmt(_) => ("CREATE ROLE", SERVER),
        NodeEnum::AlterRoleStmt(_) | NodeEnum::AlterRoleSetStmt(_) => ("ALTER ROLE", SERVER),
        NodeEnum::DropRoleStmt(_) => ("DROP ROLE", SERVER),
        NodeEnum::GrantRoleStmt(_) => ("GRANT of a role", SERVER),
        NodeEnum::AlterDefaultPrivilegesStmt(_) => ("ALTER DEFAULT PRIVILEGES", SERVER),
        NodeEnum::ReassignOwnedStmt(_) => ("REASSIGN OWNED", SERVER),
        NodeEnum::DropOwnedStmt(_) => ("DROP OWNED", SERVER),
        NodeEnum::SecLabelStmt(_) => ("SECURITY LABEL", SERVER),
        NodeEnum::CreateTableSpaceStmt(_) => ("CREATE TABLESPACE", SERVER),
        NodeEnum::DropTableSpaceStmt(_) => ("DROP TABLESPACE", SERVER),
        NodeEnum::AlterTableSpaceOptionsStmt(_) => ("ALTER TABLESPACE", SERVER),
        NodeEnum::AlterTableMoveAllStmt(_) => ("ALTER … ALL IN TABLESPACE", SERVER),
        NodeEnum::AlterExtensionContentsStmt(_) => ("ALTER EXTENSION … ADD or DROP", SERVER),
        NodeEnum::CreateFdwStmt(_) | NodeEnum::AlterFdwStmt(_) => ("FOREIGN DATA WRAPPER", OUTSIDE),
        NodeEnum::CreateForeignServerStmt(_) | NodeEnum::AlterForeignServerStmt(_) => {
            ("SERVER", OUTSIDE)
        }
        NodeEnum::CreateForeignTableStmt(_) => ("CREATE FOREIGN TABLE", OUTSIDE),
        NodeEnum::ImportForeignSchemaStmt(_) => ("IMPORT FOREIGN SCHEMA", OUTSIDE),
        NodeEnum::CreateUserMappingStmt(_)
        | NodeEnum::AlterUserMappingStmt(_)
        | NodeEnum::DropUserMappingStmt(_) => ("USER MAPPING", OUTSIDE),
        NodeEnum::CreatePublicationStmt(_) | NodeEnum::AlterPublicationStmt(_) => {
            ("PUBLICATION", OUTSIDE)
        }
        NodeEnum::CreateSubscriptionStmt(_)
        | NodeEnum::AlterSubscriptionStmt(_)
        | NodeEnum::DropSubscriptionStmt(_) => ("SUBSCRIPTION", OUTSIDE),
        other => {
            return super::unexpected(kind(other));
        }
    };
    Refusal::new(operation, reason)
}

fn transaction(kind: TransactionStmtKind) -> &'static str {
    match kind {
        TransactionStmtKind::Undefined => "transaction control",
        TransactionStmtKind::TransStmtBegin => "BEGIN",
        TransactionStmtKind::TransStmtStart => "START TRANSACTION",
        TransactionStmtKind::TransStmtCommit => "COMMIT",
        TransactionStmtKind::TransStmtRollback | TransactionStmtKind::TransStmtRollbackTo => {
            "ROLLBACK"
        }
        TransactionStmtKind::TransStmtSavepoint => "SAVEPOINT",
        TransactionStmtKind::TransStmtRelease => "RELEASE",
        TransactionStmtKind::TransStmtPrepare => "PREPARE TRANSACTION",
        TransactionStmtKind::TransStmtCommitPrepared => "COMMIT PREPARED",
        TransactionStmtKind::TransStmtRollbackPrepared => "ROLLBACK PREPARED",
    }
}
