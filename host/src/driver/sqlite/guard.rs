//! What a statement may do: SQLite's authorizer, and a look at the text for what the authorizer is not told.
//!
//! It judges by the authority of the session first, and then by what is granted. Writes to `sqlite_schema` look like any
//! CREATE to the authorizer; SQLite's defensive mode, which is always on, refuses them, as it does those to the tables in
//! which virtual ones keep their data.

mod authority;
mod functions;
mod grants;
mod made;
mod noting;
mod statement;
mod text;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::hooks::{Action, AuthAction, AuthContext, Authorization};

use self::authority::denied;
pub(super) use self::authority::denied_own;
pub(super) use self::made::Made;
pub(super) use self::noting::Noting;
pub(super) use self::statement::{Effect, Origin, Statement};
use super::audit::{Audit, Budget, By};
use super::objects::Objects;
use crate::capability::{Grant, Layer, Layers};
use crate::driver::{Authority, Dialect, DriverError, Touched};
use crate::sql::{Lexer, TokenKind, leading_keywords, names};

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

/// Judges statements; shared by the session and the connection's hooks.
#[derive(Debug)]
pub(super) struct Guard {
    version_table: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    authority: Authority,
    /// What is granted, its names in lower case; none where there is nothing to ask.
    grant: Option<Arc<Grant>>,
    layers: Layers,
    phase: Phase,
    denial: Option<DriverError>,
    written: Written,
    /// What the database holds, where that matters.
    objects: Arc<Objects>,
    made: Made,
    /// The triggers of backfills that go on.
    noting: Noting,
    /// What was made when each open savepoint was set.
    savepoints: Vec<(String, Made)>,
    statement: Statement,
    audit: Audit,
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
                grant: None,
                layers: Layers::ALL,
                phase: Phase::Autocommit,
                denial: None,
                written: Written::default(),
                objects: Arc::default(),
                made: Made::default(),
                noting: Noting::default(),
                savepoints: Vec::new(),
                statement: Statement::default(),
                audit: Audit::default(),
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

    /// Holds what follows to a grant, in a database that has these objects.
    pub(super) fn hold(&self, grant: &Grant, objects: Option<Arc<Objects>>) {
        let mut state = self.state();
        let asks = grant.layers.statements == Layer::On && !grant.is_unrestricted();
        state.grant = asks.then(|| Arc::new(grant.in_lower_case()));
        state.layers = grant.layers;
        state.made = Made::default();
        state.savepoints.clear();
        state.statement = Statement::default();
        state.audit = Audit::new(grant, objects.clone());
        state.objects = objects.unwrap_or_default();
    }

    pub(super) fn phase(&self) -> Phase {
        self.state().phase
    }

    /// Notes the beginning or the end of a transaction; forgets what was written before.
    pub(super) fn enter(&self, phase: Phase) {
        let mut state = self.state();
        state.phase = phase;
        state.written = Written::default();
        state.savepoints.clear();
    }

    /// Forgets what was done: it is not in effect, and so the database may hold something else now.
    pub(super) fn undo(&self) {
        let mut state = self.state();
        state.audit = Audit::default();
        state.objects = Arc::default();
        state.made = Made::default();
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

    /// Judges the text of a statement before SQLite sees it, and prepares for what the authorizer is going to be told of it.
    ///
    /// # Errors
    /// [`DriverError::Denied`].
    pub(super) fn check_text(&self, sql: &str, origin: Origin) -> Result<(), DriverError> {
        let mut state = self.state();
        if leading_keywords(sql, Dialect::Sqlite, 1) == ["ALTER"]
            && names(sql, Dialect::Sqlite)
                .filter_map(Result::ok)
                .any(|name| name.text == "rename")
        {
            state.written.renamed = true;
        }
        if state.authority == Authority::Host {
            return Ok(());
        }
        state.denial = None;
        state.statement = match state.audit.baseline() {
            Some(_) => Statement::of(sql),
            None => Statement::default(),
        };
        state.statement.origin = origin;
        // The authorizer hears of it only when it runs.
        if leading_keywords(sql, Dialect::Sqlite, 1) == ["VACUUM"] {
            return Err(denied(
                "VACUUM",
                "",
                match state.authority {
                    Authority::Guest(_) => "it rewrites the whole database",
                    _ => "only a plain VACUUM writes no other file",
                },
            ));
        }
        if state.layers.statements == Layer::Off {
            return Ok(());
        }
        if let Some(name) = noting::named_in(sql) {
            return Err(denied_own("access", &name));
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

    /// SQLite's callback, at the preparation of a statement, and of those that SQLite makes for itself while one runs.
    pub(super) fn authorize(&self, context: &AuthContext<'_>) -> Authorization {
        let mut state = self.state();
        note_written(&mut state.written, context.action);
        if state.authority == Authority::Host {
            return Authorization::Allow;
        }
        if state.noting.allows(context) {
            return Authorization::Allow;
        }
        let state = &mut *state;
        if state.audit.baseline().is_some() {
            state.statement.note(context, &state.objects, &state.made);
        }
        let verdict = self
            .judge(
                context.action,
                &state.authority,
                state.phase,
                state.layers.statements,
            )
            .and_then(|()| state.ask(context));
        match verdict {
            Ok(()) => Authorization::Allow,
            Err(denial) => {
                state.denial.get_or_insert(denial);
                Authorization::Deny
            }
        }
    }

    /// Says that the statement is prepared and begins to run.
    pub(super) fn prepared(&self) {
        self.state().statement.run();
    }

    /// Says that the statement has run to its end; tells what that means.
    pub(super) fn executed(&self) -> Effect {
        let state = self.state();
        if state.authority == Authority::Host {
            return Effect::Rows;
        }
        state.statement.effect()
    }

    /// Takes note of what the last statement has made of the schema.
    pub(super) fn adopt(&self, objects: Arc<Objects>) {
        let mut state = self.state();
        let state = &mut *state;
        state.made.take(&state.statement, &state.objects, &objects);
        state.audit.settle();
        state.objects = objects;
    }

    /// Takes note of the triggers of backfills that go on.
    pub(super) fn know(&self, noting: Noting) {
        self.state().noting = noting;
    }

    /// SQLite's callback before a row is added, changed or removed.
    pub(super) fn note_row(&self, action: Action, by: By, database: &str, table: &str) -> Budget {
        let mut state = self.state();
        if state.authority == Authority::Host {
            return Budget::Left;
        }
        let State {
            audit,
            objects,
            made,
            noting,
            statement,
            ..
        } = &mut *state;
        if database == "main" && audit.is_note(action, by, table, noting) {
            return Budget::Left;
        }
        audit.note_row(action, database, table, |table| {
            if self.protects(table) {
                return super::audit::Whose::Ours;
            }
            made.whose(table, objects, statement)
        })
    }

    /// What was done since [`Guard::hold`], in a database that has these objects now.
    ///
    /// # Errors
    /// [`DriverError::Denied`] for what is Whimbrel's own, [`DriverError::Limit`].
    pub(super) fn touched(&self, now: Option<&Objects>) -> Result<Touched, DriverError> {
        let mut state = self.state();
        let State { audit, made, .. } = &mut *state;
        if let Some(now) = now {
            audit.compare(made, now);
        }
        audit.touched(|name| self.protects(name))
    }

    /// Whether what was done is to be compared with what the database held before.
    pub(super) fn compares(&self) -> bool {
        self.state().audit.baseline().is_some()
    }

    /// What the database held when it was last looked at.
    pub(super) fn objects(&self) -> Arc<Objects> {
        Arc::clone(&self.state().objects)
    }

    /// The error of a session whose migration has written more rows than it may.
    pub(super) fn overdrawn(&self) -> Option<DriverError> {
        self.state().audit.overdrawn()
    }

    /// Remembers what is made already, for a return to a savepoint.
    pub(super) fn mark(&self, savepoint: &str) {
        let mut state = self.state();
        let made = state.made.clone();
        state.savepoints.push((savepoint.to_owned(), made));
    }

    /// Forgets a savepoint and all that were set after it.
    pub(super) fn forget(&self, savepoint: &str) {
        let mut state = self.state();
        if let Some(at) = state
            .savepoints
            .iter()
            .rposition(|(name, _)| name == savepoint)
        {
            state.savepoints.truncate(at);
        }
    }

    /// Goes back to a savepoint, which ends.
    pub(super) fn go_back(&self, savepoint: &str, objects: Option<Arc<Objects>>) {
        let mut state = self.state();
        let at = state
            .savepoints
            .iter()
            .rposition(|(name, _)| name == savepoint);
        let ended = at
            .map(|at| state.savepoints.split_off(at))
            .unwrap_or_default();
        if let Some((_, made)) = ended.into_iter().next() {
            state.made = made;
        }
        state.audit.settle();
        if let Some(objects) = objects {
            state.objects = objects;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
