//! What is known of the statement that runs.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::hooks::{AuthAction, AuthContext};

use super::made::Made;
use super::text::{Leading, Reading};
use crate::capability::Code;
use crate::driver::sqlite::objects::{Objects, Sort, is_shadow};

/// What a statement has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::driver::sqlite) enum Effect {
    /// At most it has changed rows.
    Rows,
    /// It has used a virtual table, which prepares statements of its own as it runs.
    Virtual,
    /// It may have changed the schema.
    Schema,
}

/// Whether the authorizer speaks of the statement itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Stage {
    /// It is prepared: all that is reported is of the statement itself.
    #[default]
    Preparing,
    /// It runs: what is reported is of statements that a virtual table makes.
    Running,
}

/// Whose INSERT it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::driver::sqlite) enum Origin {
    /// The migration's.
    #[default]
    Migration,
    /// The host's, which copies rows for the migration.
    Copy,
}

/// What a statement is, and what SQLite has said of it so far.
#[derive(Debug, Clone, Default)]
pub(in crate::driver::sqlite) struct Statement {
    pub(super) reading: Reading,
    pub(super) origin: Origin,
    stage: Stage,
    effect: Option<Effect>,
    /// The virtual tables that it uses, with their modules.
    pub(super) virtuals: BTreeMap<String, String>,
    /// Tables that it makes, changes or indexes: it may look at them.
    pub(super) targets: BTreeSet<String>,
    pub(super) created: BTreeSet<String>,
    pub(super) dropped: BTreeSet<String>,
    pub(super) altered: BTreeSet<String>,
    pub(super) coded: BTreeSet<(Code, String)>,
}

impl Statement {
    pub(super) fn of(sql: &str) -> Self {
        Self {
            reading: Reading::of(sql),
            ..Self::default()
        }
    }

    pub(super) fn run(&mut self) {
        self.stage = Stage::Running;
    }

    pub(super) fn effect(&self) -> Effect {
        match self.effect {
            Some(effect) => effect,
            None if !self.virtuals.is_empty() => Effect::Virtual,
            None => Effect::Rows,
        }
    }

    /// Whether it changes the schema or takes statistics, and so reads and writes SQLite's own tables.
    pub(super) fn keeps_books(&self) -> bool {
        self.reading.leading == Leading::Change
    }

    /// Whether a virtual table that it uses keeps data in a table, at which that is looking as the statement runs.
    pub(super) fn is_at_work_in(&self, table: &str) -> bool {
        self.stage == Stage::Running && self.has_shadow(table)
    }

    /// Whether a virtual table that it uses is at work.
    pub(super) fn is_virtual_at_work(&self) -> bool {
        self.stage == Stage::Running && !self.virtuals.is_empty()
    }

    fn has_shadow(&self, table: &str) -> bool {
        self.virtuals
            .iter()
            .any(|(owner, module)| is_shadow(owner, module, table))
    }

    /// Whether it makes a table, or a virtual one that keeps data in that.
    pub(super) fn makes(&self, table: &str) -> bool {
        self.created.contains(table)
            || self.virtuals.iter().any(|(owner, module)| {
                self.created.contains(owner) && is_shadow(owner, module, table)
            })
    }

    /// Takes note of what SQLite reports.
    pub(super) fn note(&mut self, context: &AuthContext<'_>, objects: &Objects, made: &Made) {
        use AuthAction as A;
        let lower = str::to_ascii_lowercase;
        if is_definition(context.action) {
            self.effect = Some(Effect::Schema);
        }
        if context.database_name == Some("temp") {
            return;
        }
        match context.action {
            A::CreateTable { table_name } => {
                self.created.insert(lower(table_name));
                self.targets.insert(lower(table_name));
            }
            A::CreateVtable {
                table_name,
                module_name,
            } => {
                self.created.insert(lower(table_name));
                self.targets.insert(lower(table_name));
                self.virtuals.insert(lower(table_name), lower(module_name));
            }
            A::DropVtable {
                table_name,
                module_name,
            } => {
                self.virtuals.insert(lower(table_name), lower(module_name));
                self.drop_table(lower(table_name), made);
            }
            A::DropTable { table_name } => self.drop_table(lower(table_name), made),
            A::CreateIndex {
                index_name,
                table_name,
            } => {
                self.created.insert(lower(index_name));
                self.targets.insert(lower(table_name));
            }
            A::AlterTable {
                database_name,
                table_name,
            } if !database_name.eq_ignore_ascii_case("temp") => {
                let table = lower(table_name);
                if let Some(module) = objects
                    .get(Sort::Table, &table)
                    .and_then(|o| o.module.clone())
                {
                    self.virtuals.insert(table.clone(), module);
                }
                self.altered.insert(table.clone());
                self.targets.insert(table);
            }
            A::CreateView { view_name } => {
                self.created.insert(lower(view_name));
                self.coded.insert((Code::View, lower(view_name)));
            }
            A::DropView { view_name } => {
                self.targets.insert(lower(view_name));
                self.coded.insert((Code::View, lower(view_name)));
            }
            A::CreateTrigger { table_name, .. } => {
                self.coded.insert((Code::Trigger, lower(table_name)));
            }
            A::DropTrigger { table_name, .. } if !self.targets.contains(&lower(table_name)) => {
                self.coded.insert((Code::Trigger, lower(table_name)));
            }
            A::Read { table_name, .. }
            | A::Insert { table_name }
            | A::Update { table_name, .. }
            | A::Delete { table_name } => {
                let table = lower(table_name);
                if let Some(module) = objects
                    .get(Sort::Table, &table)
                    .and_then(|o| o.module.clone())
                {
                    self.virtuals.insert(table, module);
                }
            }
            _ => {}
        }
    }

    fn drop_table(&mut self, table: String, made: &Made) {
        if !made.has(&table) {
            self.dropped.insert(table.clone());
        }
        self.targets.insert(table);
    }
}

fn is_definition(action: AuthAction<'_>) -> bool {
    use AuthAction as A;
    !matches!(
        action,
        A::Read { .. }
            | A::Insert { .. }
            | A::Update { .. }
            | A::Delete { .. }
            | A::Select
            | A::Recursive
            | A::Function { .. }
            | A::Pragma { .. }
    )
}
