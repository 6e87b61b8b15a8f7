//! The version table and the ledger, through the driver.
//!
//! The version table has one row for each applied head: the shape of `alembic_version`. The ledger is append-only:
//! one row for each step that was tried, whatever became of it, and one for each backup that was made or restored.

mod log;
mod record;
mod safekeeping;
mod schema;
mod tally;

use std::collections::BTreeMap;

use jiff::Timestamp;

pub use log::Entry;
pub use record::{Attempt, Outcome};
pub use safekeeping::{Kept, Note, Safekeeping};
pub use tally::Tally;

use crate::backfill::Store;
use crate::config::VersionTable;
use crate::driver::{Dialect, DriverError, Durability, ResultLimit, Session, Statement, Value};
use crate::plan::Step;
use crate::revision::RevisionId;
use crate::sql::guard::Protected;

/// The names of Whimbrel's own tables in one database.
#[derive(Debug, Clone)]
pub struct History {
    dialect: Dialect,
    versions: String,
    ledger: String,
    /// The schema of both in quotes, with a dot; empty where they have none.
    schema: String,
}

/// What the database says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// The version table's rows.
    pub rows: Vec<String>,
    /// For each revision that was ever run here, the last thing that the ledger says of it, failures left out.
    pub last: BTreeMap<String, LastEntry>,
}

/// What the database says about itself at a glance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Glance {
    /// The version table's rows.
    pub rows: Vec<String>,
    /// The [`Tally`] of the ledger's last row as text; empty where that row has none.
    pub tally: String,
}

/// The last ledger row of a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastEntry {
    /// What became of it.
    pub outcome: Outcome,
    /// What was done: `upgrade`, `downgrade`, `stamp` or `repair`.
    pub action: String,
    /// The SHA-256 of what ran.
    pub digest: String,
    /// When it started, if it did not come to its end.
    pub started: Option<Timestamp>,
}

impl LastEntry {
    /// Whether it says that the revision is applied.
    pub fn is_applied(&self) -> bool {
        self.outcome == Outcome::Done && self.action != "downgrade"
    }
}

impl State {
    /// The digests that the ledger has of what is applied, by revision. `applied` tells what is.
    pub fn recorded<'a>(
        &'a self,
        applied: impl IntoIterator<Item = &'a RevisionId>,
    ) -> BTreeMap<&'a str, &'a str> {
        let recorded = applied.into_iter().filter_map(|revision| {
            let last = self.last.get(revision.as_str())?;
            last.is_applied()
                .then_some((revision.as_str(), last.digest.as_str()))
        });
        recorded.collect()
    }
}

impl History {
    /// The tables that belong to a version table: the ledger lives beside it, in the same schema.
    pub fn new(table: &VersionTable, dialect: Dialect) -> Self {
        let qualify = |name: &str| match table.schema() {
            Some(schema) => format!("\"{schema}\".\"{name}\""),
            None => format!("\"{name}\""),
        };
        Self {
            dialect,
            schema: table
                .schema()
                .map_or_else(String::new, |schema| format!("\"{schema}\".")),
            versions: qualify(table.name()),
            ledger: qualify(LEDGER),
        }
    }

    /// The tables of backfills beside them.
    pub(crate) fn backfills(&self) -> Store {
        Store::new(
            self.dialect,
            self.schema.clone(),
            Protected::new(&self.versions),
        )
    }

    /// Reads what is applied and the tally of it. A database without the tables is one where nothing is.
    ///
    /// # Errors
    /// A database error.
    pub async fn glance(&self, session: &mut dyn Session) -> Result<Glance, DriverError> {
        match session
            .query(&self.glance_query(), &[], ResultLimit::NONE)
            .await
        {
            Ok(rows) => Ok(glance(rows.into_rows())),
            Err(error) if error.is_undefined_table() => Ok(Glance {
                rows: self.read_versions(session).await?.rows,
                tally: String::new(),
            }),
            Err(error) => Err(error),
        }
    }

    /// Reads all that is known of what is applied, in one statement. A database without the tables is one where nothing is.
    ///
    /// # Errors
    /// A database error.
    pub async fn read(&self, session: &mut dyn Session) -> Result<State, DriverError> {
        match session
            .query(&self.state_query(), &[], ResultLimit::NONE)
            .await
        {
            Ok(rows) => Ok(state(rows.into_rows())),
            Err(error) if error.is_undefined_table() => self.read_versions(session).await,
            Err(error) => Err(error),
        }
    }

    /// The version table alone; without a ledger it is another tool's, which is being taken over.
    async fn read_versions(&self, session: &mut dyn Session) -> Result<State, DriverError> {
        let sql = format!("SELECT version_num FROM {}", self.versions);
        match session.query(&sql, &[], ResultLimit::NONE).await {
            Ok(rows) => Ok(State {
                rows: rows
                    .into_rows()
                    .into_iter()
                    .map(|mut row| text(row.pop()))
                    .collect(),
                last: BTreeMap::new(),
            }),
            Err(error) if error.is_undefined_table() => Ok(State::default()),
            Err(error) => Err(error),
        }
    }

    /// Begins a transaction that is going to change the version table.
    ///
    /// # Errors
    /// A database error.
    pub async fn begin(&self, session: &mut dyn Session) -> Result<(), DriverError> {
        session.begin().await?;
        session.will_write(&self.versions);
        Ok(())
    }

    /// Begins a transaction that has the tables, without making them where they are missing when it is rolled back.
    ///
    /// # Errors
    /// A database error.
    pub async fn begin_with_tables(&self, session: &mut dyn Session) -> Result<(), DriverError> {
        session.begin().await?;
        for sql in self.definitions() {
            session.run(&sql).await?;
        }
        Ok(())
    }

    /// The version table's rows, read when no transaction that has changed them is open any more, and durable when
    /// this returns.
    ///
    /// # Errors
    /// A database error; a lock timeout, where such a transaction does not come to its end.
    pub async fn read_settled(
        &self,
        session: &mut dyn Session,
    ) -> Result<Vec<String>, DriverError> {
        session.begin().await?;
        if self.dialect == Dialect::Postgresql {
            // Writers hold a lock that this one waits for. SQLite has one writer, and that is us by now.
            let lock = format!("LOCK TABLE {} IN SHARE MODE", self.versions);
            session.run(&lock).await?;
        }
        let state = self.read_versions(session).await?;
        self.flush_and_commit(session).await?;
        Ok(state.rows)
    }

    /// Waits until all that was committed is durable.
    ///
    /// # Errors
    /// A database error.
    pub async fn flush(&self, session: &mut dyn Session) -> Result<(), DriverError> {
        session.begin().await?;
        self.flush_and_commit(session).await
    }

    /// A commit makes all durable that was committed before it, if it has something of its own to write.
    async fn flush_and_commit(&self, session: &mut dyn Session) -> Result<(), DriverError> {
        let touch = format!(
            "UPDATE {ledger} SET outcome = outcome WHERE id = (SELECT max(id) FROM {ledger})",
            ledger = self.ledger
        );
        if let Err(error) = session.run(&touch).await {
            // The first error is the one to report; the transaction ends with the session at the latest.
            let _ = session.rollback().await;
            return Err(error);
        }
        Ok(session.commit(&[], Durability::Now).await?)
    }

    /// Makes the tables where they are missing, in a transaction of its own.
    ///
    /// # Errors
    /// A database error; nothing is changed then.
    pub async fn ensure(&self, session: &mut dyn Session) -> Result<(), DriverError> {
        if let Err(error) = self.begin_with_tables(session).await {
            // The first error is the one to report; the transaction ends with the session at the latest.
            let _ = session.rollback().await;
            return Err(error);
        }
        Ok(session.commit(&[], Durability::Now).await?)
    }

    /// The changes of the version table that a step makes. Each statement must touch exactly one row.
    pub fn move_versions(&self, step: &Step) -> Vec<Statement> {
        let replaced = step.removes.iter().zip(&step.adds);
        let mut statements: Vec<Statement> = replaced
            .clone()
            .map(|(old, new)| self.replace(old, new))
            .collect();
        let pairs = replaced.count();
        statements.extend(step.removes[pairs..].iter().map(|old| self.delete(old)));
        statements.extend(step.adds[pairs..].iter().map(|new| self.insert(new)));
        statements
    }

    /// The changes of the version table that lead from some rows to others.
    pub fn replace_versions(&self, from: &[String], to: &[RevisionId]) -> Vec<Statement> {
        let gone = from
            .iter()
            .filter(|old| !to.iter().any(|new| new.as_str() == old.as_str()));
        let new = to
            .iter()
            .filter(|new| !from.iter().any(|old| old == new.as_str()));
        gone.map(|old| self.delete(old))
            .chain(new.map(|new| self.insert(new)))
            .collect()
    }

    fn insert(&self, new: &RevisionId) -> Statement {
        Statement::new(
            format!("INSERT INTO {} (version_num) VALUES ($1)", self.versions),
            [Value::from(new.as_str())],
        )
    }

    fn delete(&self, old: &(impl AsRef<str> + ?Sized)) -> Statement {
        Statement::new(
            format!("DELETE FROM {} WHERE version_num = $1", self.versions),
            [Value::from(old.as_ref())],
        )
    }

    fn replace(&self, old: &RevisionId, new: &RevisionId) -> Statement {
        Statement::new(
            format!(
                "UPDATE {} SET version_num = $1 WHERE version_num = $2",
                self.versions
            ),
            [Value::from(new.as_str()), Value::from(old.as_str())],
        )
    }
}

/// The name of the ledger, in the schema of the version table.
pub const LEDGER: &str = "whimbrel_ledger";

fn glance(rows: Vec<Vec<Value>>) -> Glance {
    let mut glance = Glance::default();
    for row in rows {
        let mut values = row.into_iter();
        let (kind, value) = (text(values.next()), text(values.next()));
        match kind.as_str() {
            "tally" => glance.tally = value,
            _ => glance.rows.push(value),
        }
    }
    glance
}

fn state(rows: Vec<Vec<Value>>) -> State {
    let mut applied = Vec::new();
    let mut last: BTreeMap<String, (i64, LastEntry)> = BTreeMap::new();
    for row in rows {
        let mut values = row.into_iter();
        let id = match values.next() {
            Some(Value::Int64(id)) => id,
            _ => 0,
        };
        let mut next = || text(values.next());
        let (outcome, revision, action, digest, started) = (next(), next(), next(), next(), next());
        if outcome.is_empty() {
            applied.push(revision);
            continue;
        }
        // A later version of Whimbrel may write what this one does not know.
        let Ok(outcome) = outcome.parse() else {
            continue;
        };
        if last.get(&revision).is_some_and(|(later, _)| *later > id) {
            continue;
        }
        let entry = LastEntry {
            outcome,
            action,
            digest,
            started: started.parse().ok(),
        };
        last.insert(revision, (id, entry));
    }
    State {
        rows: applied,
        last: last
            .into_iter()
            .map(|(revision, (_, entry))| (revision, entry))
            .collect(),
    }
}

fn text(value: Option<Value>) -> String {
    match value {
        Some(Value::Text(text)) => text,
        _ => String::new(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
