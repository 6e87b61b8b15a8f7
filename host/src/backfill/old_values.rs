//! The values that a backfill overwrites, kept in a table beside its own, and put back.

use super::job::Job;
use super::keys::Span;
use super::names::Names;
use super::spec::{Change, Changed, Keep, Spec};
use super::statements::Reading;
use super::store::Store;
use crate::driver::{Dialect, Statement, Value};
use crate::revision::RevisionId;

impl Job {
    /// Keeps the values of a span before they are overwritten, with its rows locked.
    pub(super) fn keep_span(&self, span: &Span) -> Statement {
        let (within, params) = span.condition(&self.key, 1);
        self.keep_where(&within, params)
    }

    /// The same of rows that others have changed.
    pub(super) fn keep_noted(&self, upto: i64) -> Statement {
        self.keep_where(&self.noted(), vec![Value::Int64(upto)])
    }

    pub(super) fn keep_where(&self, condition: &str, params: Vec<Value>) -> Statement {
        let mut columns = self.key.clone();
        columns.extend(self.qualified(&self.writes));
        Statement {
            sql: format!(
                "WITH found AS (SELECT {} FROM {}{} ORDER BY {}{}) INSERT INTO {} SELECT * FROM found WHERE true ON CONFLICT DO NOTHING",
                columns.join(", "),
                self.source,
                self.filter(&[condition]),
                self.key.join(", "),
                self.locking(Reading::Locked),
                self.names.kept
            ),
            params,
        }
    }

    /// That the old values of a row are kept, where they are to be: a row that came in after those of a span were kept is
    /// left to its note.
    pub(super) fn is_kept(&self) -> String {
        if self.keep != Keep::OldValues {
            return String::new();
        }
        let same: Vec<String> = (self.key.iter().zip(1..))
            .map(|(column, at)| format!("{column} = whimbrel_kept.k{at}"))
            .collect();
        format!(
            "EXISTS (SELECT 1 FROM {} AS whimbrel_kept WHERE {})",
            self.names.kept,
            same.join(" AND ")
        )
    }

    /// Keeps old values: the key's, then those that are overwritten.
    pub(super) fn keep_row(&self) -> String {
        let width = self.key.len() + self.writes.len();
        let numbers: Vec<String> = (1..=width).map(|at| format!("${at}")).collect();
        format!(
            "INSERT INTO {} ({}) VALUES ({}) ON CONFLICT DO NOTHING",
            self.names.kept,
            self.kept_columns().join(", "),
            numbers.join(", ")
        )
    }

    pub(super) fn kept_columns(&self) -> Vec<String> {
        let mut columns = self.note_columns();
        columns.extend((1..=self.writes.len()).map(|at| format!("w{at}")));
        columns
    }

    /// What puts back the values that an upgrade kept.
    pub(crate) fn restoring(
        spec: &Spec,
        revision: &RevisionId,
        (store, dialect): (&Store, Dialect),
        key: &[String],
    ) -> Spec {
        let kept = Names::new(store, revision, dialect).kept;
        let alias = "whimbrel_row".to_owned();
        let same: Vec<String> = (key.iter().zip(1..))
            .map(|(name, at)| format!("old.k{at} = {alias}.{name}"))
            .collect();
        let same = same.join(" AND ");
        let sets: Vec<String> = (spec.writes.iter().zip(1..))
            .map(|(name, at)| {
                format!("{name} = (SELECT old.w{at} FROM {kept} AS old WHERE {same})")
            })
            .collect();
        Spec {
            table: spec.table.clone(),
            alias: Some(alias),
            key: spec.key.clone(),
            writes: spec.writes.clone(),
            condition: Some(format!("EXISTS (SELECT 1 FROM {kept} AS old WHERE {same})")),
            change: Change::Expression(sets.join(", ")),
            order: spec.order,
            changed: Some(Changed::Leave),
            batch: spec.batch,
            workers: spec.workers,
            ..Spec::default()
        }
    }

    /// What takes the old values away.
    pub(super) fn forget_old_values(&self) -> String {
        format!("DROP TABLE IF EXISTS {}", self.names.kept)
    }

    /// What has to be there to keep them.
    pub(super) fn old_values_definitions(&self) -> [String; 2] {
        let columns: Vec<String> = (self.table.key.iter().zip(1..))
            .map(|(name, at)| format!("{name} AS k{at}"))
            .chain((self.writes.iter().zip(1..)).map(|(name, at)| format!("{name} AS w{at}")))
            .collect();
        let none = match self.dialect {
            Dialect::Postgresql => "WITH NO DATA",
            Dialect::Sqlite => "WHERE false",
        };
        [
            format!(
                "CREATE TABLE {} AS SELECT {} FROM {} {none}",
                self.names.kept,
                columns.join(", "),
                self.table.name
            ),
            self.index("whimbrel_old", &self.names.kept, "UNIQUE "),
        ]
    }
}
