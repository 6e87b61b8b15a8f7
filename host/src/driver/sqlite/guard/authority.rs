//! What nobody but the host may do, whatever is granted.

use rusqlite::hooks::{AuthAction, TransactionOperation};

use super::{Guard, Phase, functions};
use crate::capability::Layer;
use crate::driver::{Authority, DriverError};

/// PRAGMAs that only read, and one that only changes how ALTER TABLE works until the transaction ends.
const PRAGMAS: [&str; 19] = [
    "application_id",
    "compile_options",
    "data_version",
    "encoding",
    "foreign_key_check",
    "foreign_key_list",
    "freelist_count",
    "index_info",
    "index_list",
    "index_xinfo",
    "integrity_check",
    "legacy_alter_table",
    "page_count",
    "page_size",
    "quick_check",
    "schema_version",
    "table_info",
    "table_list",
    "table_xinfo",
];

/// Those among them that take an argument; the others are for reading only.
const PRAGMAS_WITH_ARGUMENT: [&str; 11] = [
    "foreign_key_check",
    "foreign_key_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "integrity_check",
    "legacy_alter_table",
    "quick_check",
    "table_info",
    "table_list",
    "table_xinfo",
];

/// What a SQL migration may set beyond them: versions that live in the file, and upkeep.
const FILE_PRAGMAS: [&str; 7] = [
    "analysis_limit",
    "application_id",
    "defer_foreign_keys",
    "foreign_keys",
    "incremental_vacuum",
    "optimize",
    "user_version",
];

/// Virtual tables that keep all of their data in the database itself.
const MODULES: [&str; 8] = [
    "fts3",
    "fts4",
    "fts4aux",
    "fts5",
    "fts5vocab",
    "rtree",
    "rtree_i32",
    "geopoly",
];

impl Guard {
    /// Judges an action by the authority alone. `statements` says whether Whimbrel's own objects are looked for.
    pub(super) fn judge(
        &self,
        action: AuthAction<'_>,
        authority: &Authority,
        phase: Phase,
        statements: Layer,
    ) -> Result<(), DriverError> {
        use AuthAction as A;
        let own = |operation: &str, objects: &[&str]| match objects
            .iter()
            .find(|name| statements == Layer::On && self.protects(name))
        {
            Some(object) => Err(denied_own(operation, object)),
            None => Ok(()),
        };
        match action {
            A::Transaction { operation } => Err(denied(
                match operation {
                    TransactionOperation::Begin => "BEGIN",
                    TransactionOperation::Rollback => "ROLLBACK",
                    _ => "COMMIT",
                },
                "",
                TRANSACTION,
            )),
            A::Savepoint {
                operation,
                savepoint_name,
            } => Err(denied(
                match operation {
                    TransactionOperation::Begin => "SAVEPOINT",
                    TransactionOperation::Rollback => "ROLLBACK TO",
                    _ => "RELEASE",
                },
                savepoint_name,
                "savepoints are set through the host, which tracks them",
            )),
            A::Attach { .. } => Err(denied("ATTACH", "", ONE_DATABASE)),
            A::Detach { database_name } => Err(denied("DETACH", database_name, ONE_DATABASE)),
            A::Pragma {
                pragma_name,
                pragma_value,
            } => self.judge_pragma(pragma_name, pragma_value, authority, phase),
            A::Function { function_name } if functions::is_forbidden(function_name) => Err(denied(
                &function_name.to_ascii_lowercase(),
                "",
                "no migration loads native code or reaches beyond the database",
            )),
            A::CreateVtable {
                table_name,
                module_name,
            }
            | A::DropVtable {
                table_name,
                module_name,
            } => {
                if !MODULES
                    .iter()
                    .any(|module| module.eq_ignore_ascii_case(module_name))
                {
                    return Err(denied(
                        "CREATE VIRTUAL TABLE",
                        module_name,
                        "only full-text and R-tree tables keep all of their data in the database",
                    ));
                }
                own("CREATE VIRTUAL TABLE", &[table_name])
            }
            A::Read { table_name, .. } => own("SELECT", &[table_name]),
            A::Insert { table_name } => own("INSERT", &[table_name]),
            A::Update { table_name, .. } => own("UPDATE", &[table_name]),
            A::Delete { table_name } => own("DELETE", &[table_name]),
            A::AlterTable { table_name, .. } => own("ALTER TABLE", &[table_name]),
            A::CreateTable { table_name } | A::CreateTempTable { table_name } => {
                own("CREATE TABLE", &[table_name])
            }
            A::DropTable { table_name } | A::DropTempTable { table_name } => {
                own("DROP TABLE", &[table_name])
            }
            A::CreateView { view_name } | A::CreateTempView { view_name } => {
                own("CREATE VIEW", &[view_name])
            }
            A::DropView { view_name } | A::DropTempView { view_name } => {
                own("DROP VIEW", &[view_name])
            }
            A::CreateIndex {
                index_name,
                table_name,
            }
            | A::CreateTempIndex {
                index_name,
                table_name,
            } => own("CREATE INDEX", &[index_name, table_name]),
            A::DropIndex {
                index_name,
                table_name,
            }
            | A::DropTempIndex {
                index_name,
                table_name,
            } => own("DROP INDEX", &[index_name, table_name]),
            A::CreateTrigger {
                trigger_name,
                table_name,
            }
            | A::CreateTempTrigger {
                trigger_name,
                table_name,
            } => own("CREATE TRIGGER", &[trigger_name, table_name]),
            A::DropTrigger {
                trigger_name,
                table_name,
            }
            | A::DropTempTrigger {
                trigger_name,
                table_name,
            } => own("DROP TRIGGER", &[trigger_name, table_name]),
            A::Select
            | A::Recursive
            | A::Function { .. }
            | A::Analyze { .. }
            | A::Reindex { .. } => Ok(()),
            _ => Err(denied(
                "the statement",
                "",
                "it does something that Whimbrel does not know",
            )),
        }
    }

    fn judge_pragma(
        &self,
        name: &str,
        value: Option<&str>,
        authority: &Authority,
        phase: Phase,
    ) -> Result<(), DriverError> {
        let operation = format!("PRAGMA {name}");
        let is = |list: &[&str]| list.iter().any(|known| known.eq_ignore_ascii_case(name));
        if name.eq_ignore_ascii_case("foreign_keys")
            && value.is_some()
            && phase == Phase::Transaction
        {
            return Err(denied(
                &operation,
                "",
                "it does nothing inside a transaction; foreign keys are checked before the commit",
            ));
        }
        if let Some(table) = value.filter(|value| self.protects(value)) {
            return Err(denied_own(&operation, table));
        }
        let allowed = if value.is_some() {
            is(&PRAGMAS_WITH_ARGUMENT)
        } else {
            is(&PRAGMAS) || is(&["foreign_keys", "user_version"])
        };
        if allowed || (matches!(authority, Authority::File(_)) && is(&FILE_PRAGMAS)) {
            Ok(())
        } else {
            Err(denied(
                &operation,
                "",
                "it is not among the PRAGMAs that are known to be harmless",
            ))
        }
    }
}

const TRANSACTION: &str = "the host begins and ends the transaction";
const ONE_DATABASE: &str = "a migration works on the one database that it was given";

pub(super) fn denied(operation: &str, object: &str, reason: &str) -> DriverError {
    DriverError::Denied {
        operation: operation.to_owned(),
        object: object.to_owned(),
        reason: reason.to_owned(),
    }
}

pub(in crate::driver::sqlite) fn denied_own(operation: &str, object: &str) -> DriverError {
    denied(operation, object, &format!("`{object}` is Whimbrel's own"))
}
