//! What two looks at a database say about what was done between them.

use std::collections::BTreeSet;

use super::{Before, Counts, Object, Relation, State, Written};
use crate::capability::{Access, Action, Code, Columns, Kind, Name};
use crate::driver::{DriverError, Touched};
use crate::sql::guard::{NOTES_PREFIX, Protected, starts_with};

struct Judge<'a> {
    before: &'a Before,
    after: &'a State,
    protected: &'a Protected,
    touched: Touched,
}

/// What was done.
///
/// # Errors
/// [`DriverError::Denied`] for what no grant allows.
pub(super) fn judge(
    before: &Before,
    after: &State,
    protected: &Protected,
) -> Result<Touched, DriverError> {
    let mut judge = Judge {
        before,
        after,
        protected,
        touched: Touched::default(),
    };
    judge.never()?;
    judge.rows();
    judge.locks();
    judge.definitions();
    judge.catalog();
    judge.drops();
    judge.system_catalogs();
    judge.reindexed();
    judge.exclusive_locks();
    judge.touched.accesses.sort();
    judge.touched.accesses.dedup();
    Ok(judge.touched)
}

fn denied(operation: &str, object: &str, reason: &str) -> DriverError {
    DriverError::Denied {
        operation: operation.to_owned(),
        object: object.to_owned(),
        reason: reason.to_owned(),
    }
}

fn minus(after: Counts, before: Counts) -> Counts {
    Counts {
        scans: after.scans - before.scans,
        inserted: after.inserted - before.inserted,
        updated: after.updated - before.updated,
        deleted: after.deleted - before.deleted,
    }
}

/// The number of the catalog of extensions, which never changes.
const PG_EXTENSION: u32 = 3079;

/// Catalogs on which statements that change definitions keep a lock.
const LOCKED_BY_DEFINITIONS: [&str; 2] = ["pg_depend", "pg_description"];

const NO_COLUMN: Columns = Columns::Some(BTreeSet::new());

impl Judge<'_> {
    /// What is done to Whimbrel's own tables, to locks that are not of tables, and to what is counted.
    fn never(&self) -> Result<(), DriverError> {
        if !self.after.counting {
            return Err(denied(
                "track_counts = off",
                "",
                "without it nobody knows what was written",
            ));
        }
        if self.after.advisory > self.before.state.advisory {
            return Err(denied(
                "an advisory lock",
                "",
                "it outlives or blocks what Whimbrel does",
            ));
        }
        for (&id, relation) in &self.before.state.relations {
            if !self.protected.covers(&relation.name) || self.is_note(id) {
                continue;
            }
            // What is counted of a table that was not locked before may be the session's own doing.
            let was_locked = self.before.state.locks.iter().any(|(held, _)| *held == id);
            if self.new_locks().any(|(locked, _)| locked == id)
                || was_locked && self.counted(id) != Counts::default()
            {
                let message = format!("access to {}.{}", relation.schema, relation.name);
                return Err(denied(&message, &relation.name, "it belongs to Whimbrel"));
            }
        }
        const ALWAYS: [&str; 15] = [
            "pg_event_trigger",
            "pg_default_acl",
            "pg_db_role_setting",
            "pg_auth_members",
            "pg_language",
            "pg_foreign_data_wrapper",
            "pg_foreign_server",
            "pg_publication",
            "pg_subscription",
            "pg_largeobject_metadata",
            "pg_conversion",
            "pg_transform",
            "pg_am",
            "pg_ts_parser",
            "pg_ts_template",
        ];
        match self
            .news()
            .find(|row| ALWAYS.contains(&row.catalog.as_str()))
        {
            Some(row) => Err(denied(
                &format!("a change of {}", row.catalog),
                "",
                "it reaches further than a migration may",
            )),
            None => Ok(()),
        }
    }

    fn new_locks(&self) -> impl Iterator<Item = (u32, &str)> {
        self.after
            .locks
            .difference(&self.before.state.locks)
            .map(|(id, mode)| (*id, mode.as_str()))
    }

    fn counted(&self, id: u32) -> Counts {
        let of = |state: &State| state.counts.get(&id).copied().unwrap_or_default();
        minus(of(self.after), of(&self.before.state))
    }

    fn news(&self) -> impl Iterator<Item = &Written> {
        self.after.written.difference(&self.before.state.written)
    }

    /// A relation that was there before; an index stands for its table.
    fn existing(&self, id: u32) -> Option<(u32, &Relation)> {
        let relation = self.before.state.relations.get(&id)?;
        match relation.kind.as_str() {
            "i" | "I" => self.existing(relation.parent),
            _ => Some((id, relation)),
        }
    }

    fn name(&self, schema: &str, name: &str) -> Name {
        match schema {
            "" => Name::bare(name),
            schema if schema == self.before.default_schema => Name::bare(name),
            schema => Name::new(schema, name),
        }
    }

    fn add(&mut self, action: Action, schema: &str, name: &str) {
        let mut access = Access::new(action, self.name(schema, name));
        if action.has_columns() {
            access.columns = NO_COLUMN;
        }
        self.touched.accesses.push(access);
    }

    fn on(&mut self, action: Action, relation: &Relation) {
        let (schema, name) = (relation.schema.clone(), relation.name.clone());
        self.add(action, &schema, &name);
    }

    fn allows(&self, action: Action, relation: &Relation) -> bool {
        let name = self.name(&relation.schema, &relation.name);
        let access = Access::new(action, name).with_columns(NO_COLUMN);
        self.before
            .grant
            .allows(&access, &self.before.default_schema)
    }

    /// Whether a parent of a partition, an inheritance child or an owned sequence, or a view over it, is granted and was
    /// used.
    fn is_reached_through(&self, id: u32, action: Action, relation: &Relation) -> bool {
        let uses = |other: u32| self.new_locks().any(|(locked, _)| locked == other);
        let mut parent = relation.parent;
        for _ in 0..64 {
            let Some(above) = self.before.state.relations.get(&parent) else {
                break;
            };
            let allowed = match relation.kind.as_str() {
                "S" => self.allows(Action::Insert, above) || self.allows(Action::Update, above),
                _ => self.allows(action, above),
            };
            if allowed && uses(parent) {
                return true;
            }
            parent = above.parent;
        }
        let mut wanted = vec![id];
        let mut seen = BTreeSet::new();
        while let Some(base) = wanted.pop() {
            for &(view, _) in self
                .before
                .state
                .reads
                .iter()
                .filter(|(_, read)| *read == base)
            {
                if let Some(above) = self.before.state.relations.get(&view)
                    && uses(view)
                    && seen.insert(view)
                {
                    if self.allows(action, above) {
                        return true;
                    }
                    wanted.push(view);
                }
            }
        }
        false
    }

    /// Whether a table of Whimbrel's got no more than what the trigger of a backfill that goes on notes in it: at most a row for
    /// each one that was added or changed where the trigger is.
    fn is_note(&self, id: u32) -> bool {
        let known = self.before.state.relations.get(&id);
        let counts = self.counted(id);
        let noting = self.before.state.noting.iter();
        let notable: i64 = noting
            .filter(|(notes, _)| *notes == id)
            .map(|(_, table)| self.counted(*table))
            .map(|counts| counts.inserted + counts.updated)
            .sum();
        known.is_some_and(|relation| starts_with(&relation.name, NOTES_PREFIX))
            && (counts.updated, counts.deleted) == (0, 0)
            && counts.inserted <= notable
            && self
                .new_locks()
                .all(|(locked, mode)| locked != id || mode == "RowExclusiveLock")
    }

    /// Whether only the check of a foreign key may have locked it: the table at its other end was written.
    fn is_checked(&self, id: u32) -> bool {
        let written = |other: u32| {
            let counts = self.counted(other);
            counts.inserted + counts.updated + counts.deleted > 0
        };
        self.after
            .foreign_keys
            .iter()
            .chain(&self.before.state.foreign_keys)
            .any(|&(from, to)| (to == id && written(from)) || (from == id && written(to)))
    }

    fn rows(&mut self) {
        let ids: BTreeSet<u32> = self.after.counts.keys().copied().collect();
        for id in ids {
            // The session writes its own tables, and a migration that does was denied.
            let table = self.existing(id).map(|(_, table)| table);
            if table.is_some_and(|table| self.protected.covers(&table.name)) {
                continue;
            }
            let counts = self.counted(id);
            let written = [counts.inserted, counts.updated, counts.deleted];
            let total: i64 = written.iter().filter(|count| **count > 0).sum();
            self.touched.rows_written += u64::try_from(total).unwrap_or_default();
            let Some((table, relation)) = self.existing(id).map(|(id, found)| (id, found.clone()))
            else {
                continue;
            };
            let verbs = [Action::Insert, Action::Update, Action::Delete];
            for (action, count) in verbs.into_iter().zip(written) {
                if count > 0 && !self.is_reached_through(table, action, &relation) {
                    self.on(action, &relation);
                }
            }
            // What was rolled back has left its counts, but no lock.
            let is_locked = self.new_locks().any(|(locked, _)| locked == table);
            if counts.scans > 0
                && total == 0
                && !is_locked
                && !self.is_checked(table)
                && !self.is_reached_through(table, Action::Select, &relation)
            {
                self.on(Action::Select, &relation);
            }
        }
    }

    fn locks(&mut self) {
        let locks: Vec<(u32, String)> = self
            .new_locks()
            .map(|(id, mode)| (id, mode.to_owned()))
            .collect();
        for (id, mode) in &locks {
            let secret = match id {
                1260 => "pg_authid",
                2613 => "pg_largeobject",
                1418 => "pg_user_mapping",
                _ => "",
            };
            if !secret.is_empty() {
                self.add(Action::Select, "pg_catalog", secret);
                continue;
            }
            let Some(relation) = self.before.state.relations.get(id).cloned() else {
                continue;
            };
            if self.is_note(*id) {
                continue;
            }
            if matches!(relation.kind.as_str(), "i" | "I") {
                continue;
            }
            let action = match mode.as_str() {
                "AccessShareLock" => Action::Select,
                "RowShareLock" if !self.is_checked(*id) => Action::Update,
                "RowExclusiveLock" if relation.kind == "S" => Action::Update,
                "RowExclusiveLock" => {
                    let counts = self.counted(*id);
                    let told = counts.inserted + counts.updated + counts.deleted > 0;
                    match told {
                        true => continue,
                        false => Action::Write,
                    }
                }
                _ => continue,
            };
            // Whoever changes a definition or its indexes reads the rows as well.
            let is_changed = locks.iter().any(|(other, mode)| {
                other == id
                    && matches!(
                        mode.as_str(),
                        "ShareLock" | "ShareRowExclusiveLock" | "AccessExclusiveLock"
                    )
            });
            // PostgreSQL 18 locks what rights are given on.
            let is_given = self
                .after
                .relations
                .get(id)
                .is_some_and(|after| after.rights != relation.rights);
            // A partition's bounds are read under a lock on its parent.
            let has_rows_written = relation.kind == "p"
                && mode == "AccessShareLock"
                && locks
                    .iter()
                    .any(|(other, mode)| other == id && mode == "RowExclusiveLock");
            if (is_changed || is_given) && !self.after.counts.contains_key(id) || has_rows_written {
                continue;
            }
            if !self.is_reached_through(*id, action, &relation) {
                self.on(action, &relation);
            }
        }
    }

    /// Relations whose own row of the catalog is another one.
    fn definitions(&mut self) {
        let rows: Vec<Written> = self.news().cloned().collect();
        let before = self.before;
        for (id, old) in &before.state.relations {
            let Some(new) = self.after.relations.get(id) else {
                continue;
            };
            let is_ours = self
                .after
                .locks
                .contains(&(*id, "AccessExclusiveLock".to_owned()))
                || self
                    .after
                    .locks
                    .contains(&(*id, "ShareUpdateExclusiveLock".to_owned()))
                || old.rights != new.rights;
            if !is_ours || matches!(old.kind.as_str(), "i" | "I") {
                continue;
            }
            if old.rights != new.rights {
                self.on(Action::Grant, old);
            }
            let changes = |catalog: &str| {
                rows.iter()
                    .any(|row| row.catalog == catalog && row.relation == *id)
            };
            if old.definition != new.definition {
                self.on(altered(&old.kind), old);
            } else if old.file != new.file
                && old.kind != "S"
                && !changes("pg_attribute")
                && !changes("pg_constraint")
            {
                self.on(Action::Truncate, old);
            }
        }
    }

    fn catalog(&mut self) {
        let rows: Vec<Written> = self.news().cloned().collect();
        for row in &rows {
            let table = self
                .existing(row.relation)
                .map(|(_, relation)| relation.clone());
            let made = self.after.relations.get(&row.relation).cloned();
            let code = match row.catalog.as_str() {
                "pg_trigger" => Some(Code::Trigger),
                "pg_policy" => Some(Code::Policy),
                "pg_rewrite" if matches!(row.kind.as_str(), "v" | "m") => Some(Code::View),
                "pg_rewrite" => Some(Code::Rule),
                "pg_attrdef" | "pg_constraint" if row.kind != "f" && row.other == 1 => {
                    Some(Code::Default)
                }
                _ => None,
            };
            if let (Some(code), Some(relation)) = (code, table.as_ref().or(made.as_ref())) {
                self.on(Action::Code(code), relation);
            }
            let is_new = |catalog: &str| {
                !self
                    .before
                    .state
                    .objects
                    .contains_key(&(catalog.to_owned(), row.id))
            };
            let action = match row.catalog.as_str() {
                "pg_proc" => Action::Code(Code::Function),
                "pg_cast" => Action::Code(Code::Cast),
                "pg_operator" | "pg_opclass" => Action::Code(Code::Operator),
                "pg_extension" => Action::Extension,
                "pg_statistic_ext" => match is_new("pg_statistic_ext") {
                    true => Action::Create(Kind::Statistics),
                    false => Action::Alter(Kind::Statistics),
                },
                "pg_collation" => match is_new("pg_collation") {
                    true => Action::Create(Kind::Collation),
                    false => Action::Alter(Kind::Collation),
                },
                "pg_ts_config" | "pg_ts_dict" => match is_new(&row.catalog) {
                    true => Action::Create(Kind::TextSearch),
                    false => Action::Alter(Kind::TextSearch),
                },
                "pg_namespace" if is_new("pg_namespace") => Action::Create(Kind::Schema),
                "pg_namespace" => Action::Alter(Kind::Schema),
                "pg_type" if is_new("pg_type") => Action::Create(Kind::Type),
                "pg_type" => Action::Alter(Kind::Type),
                "pg_index" => {
                    let is_old = self.before.state.relations.contains_key(&row.id);
                    if let Some(relation) = &table {
                        let action = if is_old {
                            Action::Alter(Kind::Table)
                        } else {
                            Action::Create(Kind::Index)
                        };
                        // The index of a constraint comes with the constraint.
                        let comes_along = rows.iter().any(|other| {
                            other.catalog == "pg_constraint"
                                && other.relation == row.relation
                                && matches!(other.kind.as_str(), "p" | "u" | "x")
                        });
                        if !comes_along {
                            self.on(action, relation);
                        }
                    }
                    continue;
                }
                "pg_attribute" | "pg_sequence" | "pg_constraint" | "pg_attrdef" | "pg_inherits"
                | "pg_description" => {
                    if let Some(relation) = &table
                        && self
                            .before
                            .state
                            .relations
                            .get(&row.relation)
                            .is_some_and(|own| !matches!(own.kind.as_str(), "i" | "I"))
                    {
                        self.on(altered(&relation.kind), relation);
                    }
                    if row.kind == "f"
                        && let Some(referred) = u32::try_from(row.other)
                            .ok()
                            .and_then(|id| self.before.state.relations.get(&id).cloned())
                    {
                        self.on(Action::Select, &referred);
                    }
                    continue;
                }
                "pg_enum" => {
                    if let Some(Object { schema, name, .. }) = self
                        .before
                        .state
                        .objects
                        .get(&("pg_type".to_owned(), row.id))
                        .cloned()
                    {
                        self.add(Action::Alter(Kind::Type), &schema, &name);
                    }
                    continue;
                }
                _ => continue,
            };
            self.add(action, &row.schema, &row.name);
        }
        self.creations();
    }

    fn creations(&mut self) {
        let after = self.after;
        for (id, made) in &after.relations {
            if self.before.state.relations.contains_key(id) || !self.is_locked_for_change(*id) {
                continue;
            }
            let kind = match made.kind.as_str() {
                "r" | "p" | "f" => Kind::Table,
                "S" if made.parent == 0 => Kind::Sequence,
                _ => continue,
            };
            self.on(Action::Create(kind), made);
        }
    }

    fn is_locked_for_change(&self, id: u32) -> bool {
        self.after
            .locks
            .contains(&(id, "AccessExclusiveLock".to_owned()))
    }

    /// Locks that keep everyone out and that nothing else explains: a bare LOCK TABLE, or the drop of a trigger, rule or
    /// policy, whose row is not there to be seen.
    fn exclusive_locks(&mut self) {
        let before = self.before;
        let is_dropped = |id: &u32| !self.after.relations.contains_key(id);
        let mut locked = Vec::new();
        for (id, mode) in self.new_locks() {
            let Some(relation) = before.state.relations.get(&id) else {
                continue;
            };
            let is_index = matches!(relation.kind.as_str(), "i" | "I");
            if !matches!(mode, "ExclusiveLock" | "AccessExclusiveLock")
                || is_index
                || is_dropped(&id)
            {
                continue;
            }
            let name = self.name(&relation.schema, &relation.name);
            let is_told = self
                .touched
                .accesses
                .iter()
                .any(|access| access.object == name);
            let goes_along = before
                .state
                .relations
                .iter()
                .any(|(other, gone)| is_dropped(other) && gone.parent == id)
                || before
                    .state
                    .foreign_keys
                    .iter()
                    .any(|(from, to)| *to == id && is_dropped(from));
            let may_change = [Code::Trigger, Code::Rule, Code::Policy]
                .into_iter()
                .any(|code| self.allows(Action::Code(code), relation));
            let parent_is_locked =
                relation.parent != 0 && self.new_locks().any(|(other, _)| other == relation.parent);
            if !is_told && !goes_along && !may_change && !parent_is_locked {
                locked.push(relation.clone());
            }
        }
        for relation in &locked {
            self.on(altered(&relation.kind), relation);
        }
    }

    fn drops(&mut self) {
        let before = self.before;
        for (id, old) in &before.state.relations {
            if self.after.relations.contains_key(id) || !self.is_locked_for_change(*id) {
                continue;
            }
            // What belongs to something goes with it.
            let goes_along = old.parent != 0
                && matches!(old.kind.as_str(), "S" | "i" | "I" | "r" | "p")
                && !self.after.relations.contains_key(&old.parent);
            let action = match old.kind.as_str() {
                _ if goes_along => continue,
                "v" | "m" => Action::Code(Code::View),
                "S" => Action::Drop(Kind::Sequence),
                "i" | "I" => Action::Drop(Kind::Index),
                _ => Action::Drop(Kind::Table),
            };
            self.on(action, old);
        }
        for ((catalog, id), object) in &before.state.objects {
            let key = (catalog.clone(), *id);
            let is_there = self.after.objects.contains_key(&key);
            if is_there || !self.after.is_gone(*id) || self.goes_along(object) {
                continue;
            }
            let action = match catalog.as_str() {
                "pg_proc" => Action::Code(Code::Function),
                "pg_cast" => Action::Code(Code::Cast),
                "pg_operator" | "pg_opclass" | "pg_opfamily" => Action::Code(Code::Operator),
                "pg_type" => Action::Drop(Kind::Type),
                "pg_collation" => Action::Drop(Kind::Collation),
                "pg_ts_config" | "pg_ts_dict" => Action::Drop(Kind::TextSearch),
                "pg_statistic_ext" => Action::Drop(Kind::Statistics),
                "pg_extension" => Action::Extension,
                _ => Action::Drop(Kind::Schema),
            };
            self.add(action, &object.schema, &object.name);
        }
    }

    /// A member goes with its extension, and statistics with their table.
    fn goes_along(&self, object: &Object) -> bool {
        let owner = object.owner;
        let extension = ("pg_extension".to_owned(), owner);
        let had = &self.before.state;
        owner != 0
            && (had.objects.contains_key(&extension)
                && !self.after.objects.contains_key(&extension)
                || had.relations.contains_key(&owner) && !self.after.relations.contains_key(&owner))
    }

    /// Statements that write the rows of the system catalogs themselves: what changes definitions keeps no lock on most of
    /// them.
    fn system_catalogs(&mut self) {
        let after = self.after;
        let before = self.before;
        for (catalog, mode) in after.catalog_locks.difference(&before.state.catalog_locks) {
            if LOCKED_BY_DEFINITIONS.contains(&catalog.as_str()) {
                continue;
            }
            let action = match mode.as_str() {
                "RowShareLock" => Action::Update,
                // A new collation needs it.
                "ShareRowExclusiveLock" => continue,
                _ => Action::Write,
            };
            self.add(action, "pg_catalog", catalog);
        }
        // Whoever takes members in or out locks the extension.
        for lock in after.object_locks.difference(&before.state.object_locks) {
            let extension = ("pg_extension".to_owned(), lock.id);
            if lock.class == PG_EXTENSION
                && let Some(object) = before.state.objects.get(&extension)
            {
                self.add(Action::Extension, "", &object.name);
            }
        }
    }

    /// Indexes that were built anew where nothing was done to their table that builds them.
    fn reindexed(&mut self) {
        let before = self.before;
        for (id, old) in &before.state.relations {
            let is_rebuilt = matches!(old.kind.as_str(), "i")
                && self
                    .after
                    .relations
                    .get(id)
                    .is_some_and(|new| new.file != old.file);
            let Some(table) = before.state.relations.get(&old.parent) else {
                continue;
            };
            let is_as_it_was = self
                .after
                .relations
                .get(&old.parent)
                .is_some_and(|new| new.file == table.file);
            let is_changed = self.news().any(|row| {
                row.relation == old.parent
                    && matches!(row.catalog.as_str(), "pg_attribute" | "pg_constraint")
            });
            let may = self.allows(Action::Alter(Kind::Index), old);
            if is_rebuilt && is_as_it_was && !is_changed && !may {
                self.on(Action::Alter(Kind::Table), table);
            }
        }
    }
}

fn altered(kind: &str) -> Action {
    match kind {
        "v" | "m" => Action::Code(Code::View),
        "S" => Action::Alter(Kind::Sequence),
        _ => Action::Alter(Kind::Table),
    }
}
