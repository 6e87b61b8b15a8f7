//! What others change while a backfill is on: noted by a trigger, read, and forgotten.

use super::job::{Job, suffix};
use super::keys::Span;
use super::spec::Changed;
use super::statements::Reading;
use super::watched::Watched;
use crate::driver::{Dialect, Statement, Value};

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
            self.notes
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
                let bare = on.rsplit('.').next().unwrap_or(on);
                format!("CREATE {kind}INDEX main.\"{name}\" ON {bare} ({columns})")
            }
        }
    }

    pub(super) fn notes_definitions(&self, key: &str) -> Vec<String> {
        let update = self.watched_update();
        let columns = self.note_columns().join(", ");
        let new: Vec<String> = self
            .table
            .key
            .iter()
            .map(|name| format!("NEW.{name}"))
            .collect();
        let insert = format!(
            "INSERT INTO {} ({columns}) VALUES ({})",
            self.notes,
            new.join(", ")
        );
        let mut all = Vec::new();
        match self.dialect {
            Dialect::Postgresql => {
                all.push(format!(
                    "CREATE TABLE {} AS SELECT {key} FROM {} WITH NO DATA",
                    self.notes, self.table.name
                ));
                all.push(format!(
                    "ALTER TABLE {} ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
                    self.notes
                ));
                all.push(self.index("whimbrel_notes", &self.notes, ""));
                all.push(format!(
                    "CREATE FUNCTION {}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER \
                     SET search_path = pg_catalog, pg_temp AS $whimbrel$ BEGIN {insert}; RETURN NULL; END $whimbrel$",
                    self.noting
                ));
                // Whoever could put it on a table of their own could note any key.
                all.push(format!(
                    "REVOKE EXECUTE ON FUNCTION {}() FROM PUBLIC",
                    self.noting
                ));
                let others = match self.is_in_place() {
                    true => format!(
                        " WHEN (pg_catalog.current_setting('whimbrel.backfill', true) IS DISTINCT FROM '{}')",
                        self.revision
                    ),
                    false => String::new(),
                };
                all.push(format!(
                    "CREATE TRIGGER \"{}\" AFTER INSERT OR {update} ON {} FOR EACH ROW{others} EXECUTE FUNCTION {}()",
                    self.trigger, self.table.name, self.noting
                ));
                // What a subscription brings is a change as well.
                all.push(format!(
                    "ALTER TABLE {} ENABLE ALWAYS TRIGGER \"{}\"",
                    self.table.name, self.trigger
                ));
            }
            Dialect::Sqlite => {
                let types: Vec<String> = (self.table.key.iter().zip(1..))
                    .map(|(name, at)| {
                        let found = self
                            .table
                            .columns
                            .iter()
                            .find(|column| column.name == *name);
                        format!(
                            "k{at} {}",
                            found.map_or("", |column| column.type_name.as_str())
                        )
                    })
                    .collect();
                let bare = self.notes.rsplit('.').next().unwrap_or(&self.notes);
                let insert = insert.replacen(&self.notes, bare, 1);
                all.push(format!(
                    "CREATE TABLE {} (id integer PRIMARY KEY AUTOINCREMENT, {})",
                    self.notes,
                    types.join(", ")
                ));
                all.push(self.index("whimbrel_notes", &self.notes, ""));
                for (name, when) in [("", "INSERT".to_owned()), ("_update", update)] {
                    all.push(format!(
                        "CREATE TRIGGER main.\"{}{name}\" AFTER {when} ON {} BEGIN {insert}; END",
                        self.trigger, self.table.bare
                    ));
                }
            }
        }
        all
    }

    /// The updates that are noted, as a trigger names them.
    fn watched_update(&self) -> String {
        let mut columns = self.table.key.clone();
        match (self.changed, &self.watched) {
            (Changed::Leave, _) => {}
            (Changed::Again, Watched::Row) => return "UPDATE".to_owned(),
            (Changed::Again, Watched::Columns(watched)) => {
                let others = watched.iter().filter(|name| !self.table.key.contains(name));
                columns.extend(others.cloned());
            }
        }
        format!("UPDATE OF {}", columns.join(", "))
    }

    /// Says that the transaction's changes are the backfill's own, where the trigger could take them for those of others.
    pub(super) fn sign(&self) -> Option<String> {
        match self.dialect {
            Dialect::Postgresql if self.is_in_place() => {
                Some(format!("SET LOCAL whimbrel.backfill = '{}'", self.revision))
            }
            _ => None,
        }
    }

    /// The oldest notes: number, then key.
    pub(super) fn read_notes(&self, most: usize) -> String {
        format!(
            "SELECT id, {} FROM {} ORDER BY id LIMIT {most}",
            self.note_columns().join(", "),
            self.notes
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
            sql: format!("SELECT 1 FROM {}{within} LIMIT 1", self.notes),
            params,
        }
    }

    /// The number of the last note.
    pub(super) fn last_note(&self) -> String {
        format!("SELECT coalesce(max(id), 0) FROM {}", self.notes)
    }

    /// Deletes the notes about a key.
    pub(super) fn forget_key(&self) -> String {
        let same: Vec<String> = (self.note_columns().iter().zip(1..))
            .map(|(name, at)| format!("{name} = ${at}"))
            .collect();
        format!("DELETE FROM {} WHERE {}", self.notes, same.join(" AND "))
    }

    /// Deletes one note.
    pub(super) fn forget_note(&self) -> String {
        format!("DELETE FROM {} WHERE id = $1", self.notes)
    }

    /// Deletes the notes about a span.
    pub(super) fn forget_span(&self, span: &Span) -> Statement {
        let (within, params) = span.condition(&self.note_columns(), 1);
        let within = match within.is_empty() {
            true => String::new(),
            false => format!(" WHERE {within}"),
        };
        Statement {
            sql: format!("DELETE FROM {}{within}", self.notes),
            params,
        }
    }

    /// Deletes the notes that came after one.
    pub(super) fn forget_after(&self, note: i64) -> Statement {
        Statement::new(
            format!("DELETE FROM {} WHERE id > $1", self.notes),
            [Value::Int64(note)],
        )
    }

    /// Notes a key, so that its row is worked on once more.
    pub(super) fn note_key(&self) -> String {
        let numbers: Vec<String> = (1..=self.key.len()).map(|at| format!("${at}")).collect();
        format!(
            "INSERT INTO {} ({}) VALUES ({})",
            self.notes,
            self.note_columns().join(", "),
            numbers.join(", ")
        )
    }
}
