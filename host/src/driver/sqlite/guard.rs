//! What a statement may do under the session's authority: SQLite's authorizer, and a look at the text for what the
//! authorizer is not told.
//!
//! Writes to `sqlite_schema` look like any CREATE to the authorizer; SQLite's defensive mode, which is always on,
//! refuses them.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::hooks::{AuthAction, AuthContext, Authorization, TransactionOperation};

use crate::driver::{Authority, Dialect, DriverError};
use crate::sql::{Lexer, TokenKind, leading_keywords, names};

/// PRAGMAs that only read, and one that only changes how ALTER TABLE works until the transaction ends.
const PRAGMAS: [&str; 18] = [
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

/// Whether a transaction of the host is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Statements commit by themselves.
    Autocommit,
    /// The host has begun and will end a transaction.
    Transaction,
}

/// Tables that statements may have changed, for the check of foreign keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Written {
    /// Their names in lower case.
    pub(super) tables: BTreeSet<String>,
    /// A table has got another name, so that the names above do not tell everything.
    pub(super) renamed: bool,
}

/// Judges statements; shared by the session and the connection's authorizer.
#[derive(Debug)]
pub(super) struct Guard {
    version_table: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    authority: Authority,
    phase: Phase,
    denial: Option<DriverError>,
    written: Written,
}

impl Guard {
    pub(super) fn new(version_table: &str) -> Self {
        Self {
            version_table: version_table
                .strip_prefix("main.")
                .unwrap_or(version_table)
                .to_owned(),
            state: Mutex::new(State {
                authority: Authority::Host,
                phase: Phase::Autocommit,
                denial: None,
                written: Written::default(),
            }),
        }
    }

    pub(super) fn authority(&self) -> Authority {
        self.state().authority.clone()
    }

    /// Sets in whose name statements run; returns in whose they ran.
    pub(super) fn assume(&self, authority: Authority) -> Authority {
        std::mem::replace(&mut self.state().authority, authority)
    }

    pub(super) fn phase(&self) -> Phase {
        self.state().phase
    }

    /// Notes the beginning or the end of a transaction; forgets what was written before.
    pub(super) fn enter(&self, phase: Phase) {
        let mut state = self.state();
        state.phase = phase;
        state.written = Written::default();
    }

    /// What statements have written since the transaction began.
    pub(super) fn written(&self) -> Written {
        let mut written = self.state().written.clone();
        written.tables.retain(|table| !self.protects(table));
        written
    }

    /// Why the last statement was denied, if it was.
    pub(super) fn take_denial(&self) -> Option<DriverError> {
        self.state().denial.take()
    }

    /// Whether a table, view or index is Whimbrel's own.
    pub(super) fn protects(&self, name: &str) -> bool {
        const PREFIX: &str = "whimbrel_";
        name.eq_ignore_ascii_case(&self.version_table)
            || name
                .get(..PREFIX.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
    }

    /// Judges the text of a statement before SQLite sees it.
    ///
    /// # Errors
    /// [`DriverError::Denied`].
    pub(super) fn check_text(&self, sql: &str) -> Result<(), DriverError> {
        if leading_keywords(sql, Dialect::Sqlite, 1) == ["ALTER"]
            && names(sql, Dialect::Sqlite)
                .filter_map(Result::ok)
                .any(|name| name.text == "rename")
        {
            self.state().written.renamed = true;
        }
        let authority = self.authority();
        if authority == Authority::Host {
            return Ok(());
        }
        // The authorizer hears of it only when it runs.
        if leading_keywords(sql, Dialect::Sqlite, 1) == ["VACUUM"] {
            return Err(denied(
                "VACUUM",
                "",
                match authority {
                    Authority::Guest(_) => "it rewrites the whole database",
                    _ => "only a plain VACUUM writes no other file",
                },
            ));
        }
        match self.mentions_protected(sql) {
            Some((operation, object)) => Err(denied_own(operation, &object)),
            None => Ok(()),
        }
    }

    /// Finds Whimbrel's own names where the authorizer is not told of them: in the bodies of triggers and views, which
    /// would run later in another name, as the new name of a table, and as the target of a foreign key.
    fn mentions_protected(&self, sql: &str) -> Option<(&'static str, String)> {
        let keywords = leading_keywords(sql, Dialect::Sqlite, 3);
        let object = keywords
            .iter()
            .skip(1)
            .find(|word| !matches!(word.as_str(), "TEMP" | "TEMPORARY"))
            .map(String::as_str);
        let (operation, everywhere) = match (keywords.first().map(String::as_str), object) {
            (Some("CREATE"), Some("TRIGGER")) => ("CREATE TRIGGER", true),
            (Some("CREATE"), Some("VIEW")) => ("CREATE VIEW", true),
            (Some("CREATE"), _) => ("REFERENCES", false),
            (Some("ALTER"), _) => ("ALTER TABLE", false),
            _ => return None,
        };
        let mut before = "";
        for token in Lexer::new(sql, Dialect::Sqlite).map_while(Result::ok) {
            let name = match token.kind {
                TokenKind::Comment => continue,
                // SQLite takes a literal for a name where it expects one.
                TokenKind::Word | TokenKind::QuotedName | TokenKind::Literal => {
                    token.text.trim_matches(['"', '`', '[', ']', '\''])
                }
                _ => "",
            };
            let names_it = everywhere
                || before.eq_ignore_ascii_case("references")
                || before.eq_ignore_ascii_case("to");
            if names_it && self.protects(name) {
                return Some((operation, name.to_owned()));
            }
            before = token.text;
        }
        None
    }

    /// SQLite's callback, at the preparation of a statement.
    pub(super) fn authorize(&self, context: &AuthContext<'_>) -> Authorization {
        let mut state = self.state();
        note_written(&mut state.written, context.action);
        if state.authority == Authority::Host {
            return Authorization::Allow;
        }
        match self.judge(context.action, &state.authority, state.phase) {
            Ok(()) => Authorization::Allow,
            Err(denial) => {
                state.denial.get_or_insert(denial);
                Authorization::Deny
            }
        }
    }

    fn judge(
        &self,
        action: AuthAction<'_>,
        authority: &Authority,
        phase: Phase,
    ) -> Result<(), DriverError> {
        use AuthAction as A;
        let own = |operation: &str, objects: &[&str]| match objects
            .iter()
            .find(|name| self.protects(name))
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
            A::Function { function_name }
                if function_name.eq_ignore_ascii_case("load_extension") =>
            {
                Err(denied(
                    "load_extension",
                    "",
                    "native code cannot be loaded into the host",
                ))
            }
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

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const TRANSACTION: &str = "the host begins and ends the transaction";
const ONE_DATABASE: &str = "a migration works on the one database that it was given";

fn denied(operation: &str, object: &str, reason: &str) -> DriverError {
    DriverError::Denied {
        operation: operation.to_owned(),
        object: object.to_owned(),
        reason: reason.to_owned(),
    }
}

fn denied_own(operation: &str, object: &str) -> DriverError {
    denied(operation, object, &format!("`{object}` is Whimbrel's own"))
}

fn note_written(written: &mut Written, action: AuthAction<'_>) {
    let (AuthAction::Insert { table_name }
    | AuthAction::Update { table_name, .. }
    | AuthAction::Delete { table_name }
    | AuthAction::DropTable { table_name }
    | AuthAction::CreateTable { table_name }
    | AuthAction::AlterTable { table_name, .. }) = action
    else {
        return;
    };
    if !table_name.starts_with("sqlite_") && !written.tables.contains(table_name) {
        written.tables.insert(table_name.to_ascii_lowercase());
    }
}
