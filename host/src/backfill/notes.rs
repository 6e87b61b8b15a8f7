//! What others change while a backfill is on: noted by a trigger, read, and forgotten.

use super::batch::read;
use super::error::BackfillError;
use super::job::Job;
use super::keys::Span;
use super::names::suffix;
use super::spec::Changed;
use super::statements::Reading;
use super::watched::Watched;
use crate::driver::{Dialect, Session, Statement, Value};

/// How the names of triggers end beside the first: of SQLite's updates, and of what no UPDATE names.
pub(super) const UPDATE: &str = "_update";
pub(super) const VALUE: &str = "_value";

impl Job {
    /// Reads, and locks, rows that others have changed.
    pub(super) fn read_noted(&self, upto: i64) -> Statement {
        Statement {
            sql: format!(
                "SELECT {} FROM {}{} ORDER BY {}{}",
                self.selected(Reading::Locked),
                self.source,
                self.filter(&[&self.noted()]),
                self.key.join(", "),
                self.locking(Reading::Locked)
            ),
            params: vec![Value::Int64(upto)],
        }
    }

    pub(super) fn noted(&self) -> String {
        format!(
            "({}) IN (SELECT {} FROM {} WHERE id <= $1)",
            self.key.join(", "),
            self.note_columns().join(", "),
            self.names.notes
        )
    }

    pub(super) fn note_columns(&self) -> Vec<String> {
        (1..=self.key.len()).map(|at| format!("k{at}")).collect()
    }

    pub(super) fn index(&self, name: &str, on: &str, kind: &str) -> String {
        let name = format!("{name}_{}_key", suffix(&self.revision));
        let columns = self.note_columns().join(", ");
        match self.dialect {
            Dialect::Postgresql => format!("CREATE {kind}INDEX \"{name}\" ON {on} ({columns})"),
            // Its index is where the table is, and the table is named without a schema.
            Dialect::Sqlite => {
                let bare = on.strip_prefix(self.store.prefix()).unwrap_or(on);
                format!("CREATE {kind}INDEX main.\"{name}\" ON {bare} ({columns})")
            }
        }
    }

    pub(super) fn notes_definitions(&self, key: &str) -> Vec<String> {
        let columns = self.note_columns().join(", ");
        let new: Vec<String> = self
            .table
            .key
            .iter()
            .map(|name| format!("NEW.{name}"))
            .collect();
        let insert = format!(
            "INSERT INTO {} ({columns}) VALUES ({})",
            self.names.notes,
            new.join(", ")
        );
        let mut all = Vec::new();
        match self.dialect {
            Dialect::Postgresql => {
                all.push(format!(
                    "CREATE TABLE {} AS SELECT {key} FROM {} WITH NO DATA",
                    self.names.notes, self.table.name
                ));
                all.push(format!(
                    "ALTER TABLE {} ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
                    self.names.notes
                ));
                all.push(self.index("whimbrel_notes", &self.names.notes, ""));
                all.push(format!(
                    "CREATE FUNCTION {}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER \
                     SET search_path = pg_catalog, pg_temp AS $whimbrel$ BEGIN {insert}; RETURN NULL; END $whimbrel$",
                    self.names.noting
                ));
                // Whoever could put it on a table of their own could note any key.
                all.push(format!(
                    "REVOKE EXECUTE ON FUNCTION {}() FROM PUBLIC",
                    self.names.noting
                ));
                let function = format!("EXECUTE FUNCTION {}()", self.names.noting);
                let others = match self.is_in_place() {
                    true => vec![format!(
                        "pg_catalog.current_setting('whimbrel.backfill', true) IS DISTINCT FROM '{}'",
                        self.revision
                    )],
                    false => Vec::new(),
                };
                let when = |conditions: &[String]| match conditions.is_empty() {
                    true => String::new(),
                    false => format!(" WHEN ({})", conditions.join(" AND ")),
                };
                let watched = self.watched_columns();
                let mut triggers = vec![(
                    self.names.trigger.clone(),
                    format!("INSERT OR UPDATE OF {}", watched.join(", ")),
                    when(&others),
                )];
                if self.table.has_before_triggers {
                    // An UPDATE does not name what they change.
                    let row = |which: &str| {
                        let values = watched.iter().map(|name| format!("{which}.{name}"));
                        format!(
                            "ROW({})::pg_catalog.record",
                            values.collect::<Vec<_>>().join(", ")
                        )
                    };
                    let differs = format!("{} OPERATOR(pg_catalog.*<>) {}", row("OLD"), row("NEW"));
                    let conditions = [&others[..], &[differs]].concat();
                    let name = format!("{}{VALUE}", self.names.trigger);
                    triggers.push((name, "UPDATE".to_owned(), when(&conditions)));
                }
                for (name, event, when) in triggers {
                    let table = &self.table.name;
                    all.push(format!(
                        "CREATE TRIGGER \"{name}\" AFTER {event} ON {table} FOR EACH ROW{when} {function}"
                    ));
                    // What a subscription brings is a change as well.
                    all.push(format!(
                        "ALTER TABLE {table} ENABLE ALWAYS TRIGGER \"{name}\""
                    ));
                }
            }
            Dialect::Sqlite => {
                let insert = insert.replacen(&self.names.notes, &self.names.bare_notes, 1);
                // Without types, what is noted is what the table has.
                all.push(format!(
                    "CREATE TABLE {} (id integer PRIMARY KEY AUTOINCREMENT, {columns})",
                    self.names.notes
                ));
                all.push(self.index("whimbrel_notes", &self.names.notes, ""));
                let watched = self.watched_columns();
                // An UPDATE does not name what it generates, nor a key that it changes by the name of the rowid.
                let is_unnamed =
                    |name: &&String| self.table.key.contains(name) || self.table.is_generated(name);
                let differs: Vec<String> = (watched.iter().filter(is_unnamed))
                    .map(|name| format!("NEW.{name} IS NOT OLD.{name}"))
                    .collect();
                let (trigger, table) = (&self.names.trigger, &self.table.bare);
                for (name, event) in [
                    ("", "INSERT".to_owned()),
                    (UPDATE, format!("UPDATE OF {}", watched.join(", "))),
                ] {
                    all.push(format!(
                        "CREATE TRIGGER main.\"{trigger}{name}\" AFTER {event} ON {table} BEGIN {insert}; END"
                    ));
                }
                all.push(format!(
                    "CREATE TRIGGER main.\"{trigger}{VALUE}\" AFTER UPDATE ON {table} WHEN {} BEGIN {insert}; END",
                    differs.join(" OR ")
                ));
            }
        }
        all
    }

    /// The columns whose changes are noted.
    fn watched_columns(&self) -> Vec<String> {
        let mut columns = self.table.key.clone();
        let others: Vec<&String> = match (self.changed, &self.watched) {
            (Changed::Leave, _) => Vec::new(),
            (Changed::Again, Watched::Columns(watched)) => watched.iter().collect(),
            (Changed::Again, Watched::Row) => self.table.columns.iter().map(|c| &c.name).collect(),
        };
        let others = others
            .into_iter()
            .filter(|name| !self.table.key.contains(name));
        columns.extend(others.cloned());
        columns
    }

    /// The setting that says that the transaction's changes are the backfill's own, where PostgreSQL's trigger could take them
    /// for those of others.
    pub(super) fn sign(&self) -> Option<(&'static str, String)> {
        (self.dialect == Dialect::Postgresql && self.is_in_place())
            .then(|| ("whimbrel.backfill", self.revision.to_string()))
    }

    /// The oldest notes: number, then key.
    pub(super) fn read_notes(&self, most: usize) -> String {
        format!(
            "SELECT id, {} FROM {} ORDER BY id LIMIT {most}",
            self.note_columns().join(", "),
            self.names.notes
        )
    }

    /// Whether there are notes about a span.
    pub(super) fn find_notes(&self, span: &Span) -> Statement {
        let (within, params) = span.condition(&self.note_columns(), 1);
        let within = match within.is_empty() {
            true => String::new(),
            false => format!(" WHERE {within}"),
        };
        Statement {
            sql: format!("SELECT 1 FROM {}{within} LIMIT 1", self.names.notes),
            params,
        }
    }

    /// The number of the last note.
    pub(super) fn last_note(&self) -> String {
        format!("SELECT coalesce(max(id), 0) FROM {}", self.names.notes)
    }

    /// Deletes the notes about a key.
    pub(super) fn forget_key(&self) -> String {
        let same: Vec<String> = (self.note_columns().iter().zip(1..))
            .map(|(name, at)| format!("{name} = ${at}"))
            .collect();
        format!(
            "DELETE FROM {} WHERE {}",
            self.names.notes,
            same.join(" AND ")
        )
    }

    /// Deletes one note.
    pub(super) fn forget_note(&self) -> String {
        format!("DELETE FROM {} WHERE id = $1", self.names.notes)
    }

    /// Deletes the notes about the rows of a span. The table says which lie in it, in the order that its key has.
    pub(super) fn forget_span(&self, span: &Span) -> Statement {
        let (within, params) = span.condition(&self.key, 1);
        let mut conditions: Vec<String> = (self.key.iter().zip(self.note_columns()))
            .map(|(column, noted)| format!("{column} = {}.{noted}", self.names.bare_notes))
            .collect();
        conditions.extend(Some(within).filter(|within| !within.is_empty()));
        Statement {
            sql: format!(
                "DELETE FROM {} WHERE EXISTS (SELECT 1 FROM {} WHERE {})",
                self.names.notes,
                self.source,
                conditions.join(" AND ")
            ),
            params,
        }
    }

    /// Deletes the notes that came after one.
    pub(super) fn forget_after(&self, note: i64) -> Statement {
        Statement::new(
            format!("DELETE FROM {} WHERE id > $1", self.names.notes),
            [Value::Int64(note)],
        )
    }

    /// Makes sure that what others change is noted, as it has been since the beginning: a table that was made anew has
    /// lost its trigger, and all that is known of its rows is about others.
    ///
    /// # Errors
    /// [`BackfillError::Unfit`] where it is not.
    pub(super) async fn check_trigger(
        &self,
        session: &mut dyn Session,
    ) -> Result<(), BackfillError> {
        const POSTGRES: &str = "SELECT count(*) FROM pg_catalog.pg_trigger \
             WHERE tgrelid = pg_catalog.to_regclass($1::text)::oid AND tgname = $2::text AND tgenabled = 'A'";
        const SQLITE: &str = "SELECT count(*) FROM main.sqlite_schema WHERE type = 'trigger' \
             AND lower(tbl_name) = lower($1) AND name IN ($2, $2 || '_update')";
        let (sql, table, wanted) = match self.dialect {
            Dialect::Postgresql => (POSTGRES, self.table.name.clone(), 1),
            Dialect::Sqlite => (SQLITE, self.table.unquoted(), 2),
        };
        let trigger = self.names.trigger.as_str();
        let params = [Value::from(table), Value::from(trigger)];
        let found = read(session, &Statement::new(sql, params)).await?;
        if found.first().and_then(|row| row.first()) == Some(&Value::Int64(wanted)) {
            return Ok(());
        }
        Err(BackfillError::Unfit(format!(
            "the trigger {trigger} of {} is gone or disabled, so that nobody knows what has been changed since: the table was made anew, \
             or someone has dropped it. Give this backfill up with `whimbrel backfill stop {} --abandon`, and begin again",
            self.table.shown(),
            self.revision
        )))
    }

    /// Notes a key, so that its row is worked on once more.
    pub(super) fn note_key(&self) -> String {
        let numbers: Vec<String> = (1..=self.key.len()).map(|at| format!("${at}")).collect();
        format!(
            "INSERT INTO {} ({}) VALUES ({})",
            self.names.notes,
            self.note_columns().join(", "),
            numbers.join(", ")
        )
    }
}
