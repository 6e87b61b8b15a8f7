//! What a migration has really done, as SQLite tells it while it happens and as the schema shows it afterwards.
//!
//! Rows are counted by the preupdate hook, which hears of triggers, cascades and rows that are replaced as well. Made, changed
//! and removed objects come from the difference between two readings of the schema; that something was removed and made
//! again alike shows in what the statements did. What was read is not seen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rusqlite::hooks::Action as Change;

use super::guard::{Made, Noting, denied_own};
use super::objects::{Object, Objects, Sort};
use crate::capability::{Access, Action, Code, Columns, Grant, Kind, Layer, Name};
use crate::driver::{DriverError, Touched};

/// Whose a table is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Whose {
    /// The migration has made it in this call, or SQLite keeps it.
    Own,
    /// A virtual table of this name keeps its data in it.
    Virtual(String),
    /// It is Whimbrel's.
    Ours,
    /// It is a table like others.
    Other,
}

/// What changes a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// The statement itself.
    Statement,
    /// A trigger.
    Trigger,
}

/// Whether more rows may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Budget {
    /// They may.
    Left,
    /// More were written than are granted.
    Spent,
}

/// Rows of one table that are changed in one way.
#[derive(Debug)]
struct Rows {
    table: String,
    change: Change,
    access: Option<Access>,
}

/// What is known of one call.
#[derive(Debug)]
pub(super) struct Audit {
    layer: Layer,
    /// What the database held before; none where nothing needs to be compared.
    baseline: Option<Arc<Objects>>,
    /// What has come up since the schema was last changed.
    rows: Vec<Rows>,
    accesses: BTreeSet<Access>,
    /// How many more rows the triggers of backfills may note in each table of notes.
    notable: BTreeMap<String, u64>,
    written: u64,
    limit: u64,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            layer: Layer::Off,
            baseline: None,
            rows: Vec::new(),
            accesses: BTreeSet::new(),
            notable: BTreeMap::new(),
            written: 0,
            limit: u64::MAX,
        }
    }
}

impl Audit {
    pub(super) fn new(grant: &Grant, baseline: Option<Arc<Objects>>) -> Self {
        Self {
            layer: grant.layers.audit,
            baseline,
            limit: grant.limits.rows_written,
            ..Self::default()
        }
    }

    pub(super) fn baseline(&self) -> Option<&Objects> {
        self.baseline.as_deref()
    }

    /// Whether a row is the note that the trigger of a backfill makes of one that was added or changed before.
    pub(super) fn is_note(&mut self, change: Change, by: By, table: &str, noting: &Noting) -> bool {
        if noting.is_empty() || change == Change::SQLITE_DELETE {
            return false;
        }
        let table = table.to_ascii_lowercase();
        for notes in noting.of(&table) {
            *self.notable.entry(notes.to_owned()).or_default() += 1;
        }
        let left = match (change, by) {
            (Change::SQLITE_INSERT, By::Trigger) => self.notable.get_mut(&table),
            _ => None,
        };
        match left {
            Some(left) if *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }

    /// Notes a row before it is added, changed or removed.
    pub(super) fn note_row(
        &mut self,
        change: Change,
        database: &str,
        table: &str,
        whose: impl FnOnce(&str) -> Whose,
    ) -> Budget {
        self.written += 1;
        if self.layer == Layer::On && database == "main" && !self.knows(change, table) {
            let name = table.to_ascii_lowercase();
            let access = match whose(&name) {
                Whose::Own => None,
                Whose::Virtual(owner) => Some(with_columns(access(Action::Write, &owner))),
                Whose::Ours => Some(access(action(change), &name)),
                Whose::Other => Some(with_columns(access(action(change), &name))),
            };
            self.rows.push(Rows {
                table: table.to_owned(),
                change,
                access,
            });
        }
        match self.written > self.limit {
            true => Budget::Spent,
            false => Budget::Left,
        }
    }

    fn knows(&self, change: Change, table: &str) -> bool {
        self.rows
            .iter()
            .any(|rows| rows.change == change && rows.table == table)
    }

    /// Keeps what was noted, and asks anew whose a table is from here on.
    pub(super) fn settle(&mut self) {
        let rows = self.rows.drain(..);
        self.accesses.extend(rows.filter_map(|rows| rows.access));
    }

    /// Notes what the schema shows.
    pub(super) fn compare(&mut self, made: &Made, now: &Objects) {
        if let (Layer::On, Some(before)) = (self.layer, &self.baseline) {
            self.accesses.extend(changes(before, now, made));
        }
    }

    /// What was done to what is not the migration's own.
    pub(super) fn touched(
        &mut self,
        protects: impl Fn(&str) -> bool,
    ) -> Result<Touched, DriverError> {
        self.settle();
        let ours = self
            .accesses
            .iter()
            .find(|access| protects(&access.object.name));
        if let Some(access) = ours {
            let operation = access.action.words().to_ascii_uppercase();
            return Err(denied_own(&operation, &access.object.name));
        }
        if let Some(overdrawn) = self.overdrawn() {
            return Err(overdrawn);
        }
        Ok(Touched {
            accesses: self.accesses.iter().cloned().collect(),
            rows_written: self.written,
        })
    }

    pub(super) fn overdrawn(&self) -> Option<DriverError> {
        (self.written > self.limit).then_some(DriverError::Limit {
            unit: "rows written",
            limit: self.limit,
        })
    }
}

fn action(change: Change) -> Action {
    match change {
        Change::SQLITE_INSERT => Action::Insert,
        Change::SQLITE_UPDATE => Action::Update,
        Change::SQLITE_DELETE => Action::Delete,
        _ => Action::Write,
    }
}

/// The hook does not say which columns were written, so that it can only be told whether any of them may be.
fn with_columns(access: Access) -> Access {
    match access.action.has_columns() {
        true => access.with_columns(Columns::Some(BTreeSet::new())),
        false => access,
    }
}

/// What makes one schema of another.
fn changes(before: &Objects, now: &Objects, made: &Made) -> BTreeSet<Access> {
    let mut accesses: BTreeSet<Access> = made
        .coded
        .iter()
        .map(|(code, name)| access(Action::Code(*code), name))
        .collect();
    for (key, object) in &before.main {
        let (sort, name) = key;
        let after = now.main.get(key);
        // The data of a virtual table is changed with it, and what SQLite keeps is kept by the way.
        let shadow = *sort == Sort::Table && before.owner_of(name).is_some();
        if shadow || name.starts_with("sqlite_") {
            continue;
        }
        accesses.extend(change(*sort, name, object, after, made));
        if *sort == Sort::Table && after.is_some() && made.dropped.contains(name) {
            accesses.insert(access(Action::Drop(Kind::Table), name));
            accesses.insert(access(Action::Create(Kind::Table), name));
        }
    }
    for (key, object) in &now.main {
        let (sort, name) = key;
        // A virtual table that was there has its data there already.
        let shadow = *sort == Sort::Table
            && now
                .owner_of(name)
                .is_some_and(|owner| before.get(Sort::Table, owner).is_none() || made.has(owner));
        if before.main.contains_key(key) || shadow || name.starts_with("sqlite_") {
            continue;
        }
        let new_table = !before.has_relation(&object.table) || made.has(&object.table);
        match sort {
            Sort::Table => accesses.insert(access(Action::Create(Kind::Table), name)),
            Sort::View => accesses.insert(access(Action::Code(Code::View), name)),
            Sort::Trigger => accesses.insert(access(Action::Code(Code::Trigger), &object.table)),
            Sort::Index if new_table => false,
            Sort::Index => accesses.insert(access(Action::Create(Kind::Index), &object.table)),
        };
    }
    accesses
}

/// What has become of an object that was there.
fn change(
    sort: Sort,
    name: &str,
    before: &Object,
    after: Option<&Object>,
    made: &Made,
) -> Option<Access> {
    let table_gone = made.dropped.contains(&before.table)
        || made.coded.contains(&(Code::View, before.table.clone()));
    let altered = !made.altered.is_empty();
    let same = after.is_some_and(|after| after.sql == before.sql && after.table == before.table);
    match (sort, after) {
        (Sort::Table, None) if made.altered.contains(name) && !made.dropped.contains(name) => {
            Some(access(Action::Alter(Kind::Table), name))
        }
        (Sort::Table, None) => Some(access(Action::Drop(Kind::Table), name)),
        (Sort::Table, Some(_)) if made.dropped.contains(name) => None,
        // Another table that it refers to has got another name.
        (Sort::Table, Some(_)) if !same && altered && !made.altered.contains(name) => None,
        (Sort::Table, Some(_)) => {
            (!same || made.altered.contains(name)).then(|| access(Action::Alter(Kind::Table), name))
        }
        _ if same || table_gone || (after.is_some() && altered) => None,
        (Sort::Index, _) => Some(access(Action::Drop(Kind::Index), name)),
        (Sort::View, _) => Some(access(Action::Code(Code::View), name)),
        (Sort::Trigger, _) => Some(access(Action::Code(Code::Trigger), &before.table)),
    }
}

fn access(action: Action, name: &str) -> Access {
    Access::new(action, Name::bare(name))
}
