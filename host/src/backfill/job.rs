//! One backfill of one database: its table, its columns, and the statements that are made of them.

use std::time::Duration;

use super::error::BackfillError;
use super::names::Names;
use super::record::Record;
use super::spec::{Change, Changed, Drops, Keep, Order, Spec};
use super::store::Store;
use super::table::Table;
use super::watched::Watched;
use crate::driver::{Dialect, Session, Statement, Value};
use crate::revision::{Direction, RevisionId};
use crate::sql::{Lexer, TokenKind};

/// What is worked on, and with which statements.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(super) revision: RevisionId,
    pub(super) direction: Direction,
    /// The digest of the code that it began with.
    pub(super) digest: String,
    pub(super) dialect: Dialect,
    pub(super) table: Table,
    /// What it was made of.
    pub(super) spec: Spec,
    /// What stands behind FROM and UPDATE.
    pub(super) source: String,
    /// What its columns are qualified with.
    pub(super) qualifier: String,
    /// The key's columns, qualified.
    pub(super) key: Vec<String>,
    /// In quotes.
    pub(super) reads: Vec<String>,
    /// In quotes.
    pub(super) writes: Vec<String>,
    /// What tells that a row is to be worked on once more.
    pub(super) watched: Watched,
    pub(super) condition: Option<String>,
    pub(super) change: Change,
    pub(super) order: Order,
    pub(super) changed: Changed,
    pub(super) keep: Keep,
    pub(super) drops: Drops,
    pub(super) store: Store,
    pub(super) names: Names,
    /// How long one statement may take.
    pub(super) patience: Duration,
}

impl Job {
    /// Looks the table up and makes sure that all fits together.
    ///
    /// # Errors
    /// [`BackfillError::Unfit`] says what does not.
    pub(crate) async fn new(
        session: &mut dyn Session,
        revision: &RevisionId,
        direction: Direction,
        digest: &str,
        spec: &Spec,
        store: Store,
    ) -> Result<Self, BackfillError> {
        let dialect = session.dialect();
        let texts = [spec.condition.as_deref(), spec.change.expression()];
        for text in texts.into_iter().flatten() {
            check_whole(text, dialect)?;
        }
        let table = Table::look(session, spec).await?;
        if store.is_own(&table.unquoted()) {
            return Err(BackfillError::Unfit(format!(
                "{} is a table of Whimbrel's own",
                table.shown()
            )));
        }
        let known = |name: &String| match spec.change {
            Change::Transform => table.known(name, dialect).map(Some),
            Change::Expression(_) => Ok(table.column(name, dialect)),
        };
        let mut reads: Vec<String> = Vec::new();
        for name in &spec.reads {
            if let Some(column) = known(name)?
                && !reads.contains(&column.name)
            {
                reads.push(column.name.clone());
            }
        }
        let mut writes: Vec<String> = Vec::new();
        for name in &spec.writes {
            let column = table.writable(name, dialect)?;
            if writes.contains(&column.name) {
                return Err(BackfillError::Unfit(format!("`{name}` is written twice")));
            }
            writes.push(column.name.clone());
        }
        if writes.is_empty() {
            return Err(BackfillError::Unfit(
                "it writes no column: name those that get new values".to_owned(),
            ));
        }
        if reads.is_empty() && spec.change == Change::Transform {
            return Err(BackfillError::Unfit(
                "it reads no column: name those that the new values are made of".to_owned(),
            ));
        }
        if (spec.keep, spec.drops) == (Keep::OldValues, Drops::Rows) {
            return Err(BackfillError::Unfit(
                "it drops rows and keeps old values: what is kept is the columns that it writes, which cannot bring a row back".to_owned(),
            ));
        }
        let both = writes.iter().find(|name| reads.contains(name));
        let changed = match (spec.changed, both) {
            (Some(changed), _) => changed,
            (None, None) => Changed::Again,
            (None, Some(name)) => {
                return Err(BackfillError::Unfit(format!(
                    "it reads and writes {name}, so that it has to say what becomes of rows that others change when they have been worked on: `changed: again`, where they are written in the old form, or `changed: leave`, where they are written in the new one"
                )));
            }
        };
        let qualifier = spec.alias.clone().unwrap_or_else(|| table.bare.clone());
        let texts = texts.into_iter().flatten();
        let watched = Watched::new(&reads, texts, &table, &qualifier, dialect);
        let store = store.with_schema(session).await?;
        Ok(Self {
            revision: revision.clone(),
            direction,
            digest: digest.to_owned(),
            dialect,
            source: match &spec.alias {
                Some(alias) => format!("{} AS {alias}", table.name),
                None => table.name.clone(),
            },
            key: table
                .key
                .iter()
                .map(|name| format!("{qualifier}.{name}"))
                .collect(),
            qualifier,
            reads,
            writes,
            watched,
            condition: spec.condition.clone(),
            change: spec.change.clone(),
            order: spec.order,
            changed,
            keep: spec.keep,
            drops: spec.drops,
            names: Names::new(&store, revision, dialect),
            patience: Duration::MAX,
            spec: spec.clone(),
            store,
            table,
        })
    }

    /// The job of a backfill that has begun.
    ///
    /// # Errors
    /// As [`Job::new`].
    pub(crate) async fn known(
        session: &mut dyn Session,
        revision: &RevisionId,
        record: &Record,
        store: Store,
    ) -> Result<Self, BackfillError> {
        let direction = record.direction();
        Self::new(
            session,
            revision,
            direction,
            &record.digest,
            &record.spec,
            store,
        )
        .await
    }

    /// The same with an end to what one statement may take.
    pub(crate) fn within(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Which way it goes.
    pub(crate) fn direction(&self) -> Direction {
        self.direction
    }

    /// How new values are made.
    pub(crate) fn change(&self) -> &Change {
        &self.change
    }

    /// Whether rows can be read before they are locked. What is overwritten has to be read as it is when it is.
    pub(super) fn may_read_ahead(&self) -> bool {
        self.keep == Keep::Nothing
    }

    /// How many columns the key has.
    pub(super) fn key_width(&self) -> usize {
        self.key.len()
    }

    /// Whether its own writing looks to the trigger as that of others.
    pub(super) fn is_in_place(&self) -> bool {
        self.writes.iter().any(|name| self.watched.includes(name))
    }

    /// The keys of noted rows that this transaction has written.
    pub(super) fn written_noted(&self, upto: i64) -> Statement {
        Statement::new(
            format!(
                "SELECT {} FROM {} WHERE {} AND {}.xmin = pg_catalog.pg_current_xact_id()::xid",
                self.key.join(", "),
                self.source,
                self.noted(),
                self.qualifier
            ),
            [Value::Int64(upto)],
        )
    }

    /// The key's columns, in quotes.
    pub(crate) fn key_names(&self) -> &[String] {
        &self.table.key
    }

    /// What has to be there before the first row is worked on.
    pub(super) fn definitions(&self) -> Vec<String> {
        let key: Vec<String> = (self.table.key.iter().zip(1..))
            .map(|(name, at)| format!("{name} AS k{at}"))
            .collect();
        let mut all = self.notes_definitions(&key.join(", "));
        if self.keep == Keep::OldValues {
            all.extend(self.old_values_definitions());
        }
        all
    }
}

/// Makes sure that a part of a statement stays one wherever it is put: that it closes no parenthesis which it has not
/// opened, and ends nothing that it is a part of.
fn check_whole(text: &str, dialect: Dialect) -> Result<(), BackfillError> {
    let mut depth = 0_usize;
    for token in Lexer::new(text, dialect) {
        let is_whole = match token.as_ref().map(|token| token.kind) {
            Ok(TokenKind::Open) => {
                depth += 1;
                true
            }
            Ok(TokenKind::Close) if depth == 0 => false,
            Ok(TokenKind::Close) => {
                depth -= 1;
                true
            }
            Ok(TokenKind::Semicolon | TokenKind::Parameter) | Err(_) => false,
            Ok(_) => true,
        };
        if !is_whole {
            depth = usize::MAX;
            break;
        }
    }
    match depth {
        0 if !text.contains('\0') => Ok(()),
        _ => Err(BackfillError::Unfit(format!(
            "`{text}` is no expression of SQL by itself: its parentheses and quotes have to be closed, and it has neither parameters nor semicolons"
        ))),
    }
}
