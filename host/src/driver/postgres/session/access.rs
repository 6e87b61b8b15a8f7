//! The check of a migration's statements against its grant: what each does to which objects is read from its parse tree,
//! with names as the server resolves them.
//!
//! A verdict is kept by the statement's text, and by its shape where its literals do not matter. All verdicts and what is
//! known of the catalog go with the next statement that changes definitions, and with a way back to a savepoint.

mod lookup;
mod verdicts;

use std::sync::Arc;

use futures_util::future::{join, join_all};

use super::PostgresSession;
use super::audit::may_undo;
use crate::capability::{Access, Action, Grant, Layer};
use crate::driver::postgres::pooler;
use crate::driver::{Authority, CopyTarget, DatabaseError, DriverError};
use crate::sql::access::{
    Catalog, Change, Changes, Context, Definitions, Fault, Literals, Outcome, Parsed, Reading,
    Refusal, Subject, Wanted, shape,
};
use crate::sql::guard::{self, Protected};
use verdicts::{Verdict, Verdicts};

/// Names are asked for again as often as this: each answer can lead to more of them.
const ROUNDS: usize = 8;

/// What is known in one call of a migration.
#[derive(Default)]
pub(super) struct StatementCheck {
    catalog: Arc<Catalog>,
    /// The schema that names in the grant have which have none: that of the call's beginning.
    home: Option<String>,
    changes: Arc<Changes>,
    /// What the statement under way changes when it succeeds.
    pending: Vec<Change>,
    /// What the statement under way does to the names that are known.
    definitions: Definitions,
    pin: Pin,
    verdicts: Verdicts,
    savepoints: Vec<(String, Arc<Changes>)>,
}

/// Whether the search path is the one that names are resolved on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Pin {
    #[default]
    Loose,
    Set,
}

impl StatementCheck {
    /// Takes note that the statement under way has failed.
    pub(super) fn failed(&mut self) {
        self.pending.clear();
    }

    /// Takes note of what the last statement has done.
    fn settle(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        if !pending.is_empty() {
            Arc::make_mut(&mut self.changes).apply(&pending);
        }
        match std::mem::take(&mut self.definitions) {
            Definitions::Kept => {}
            Definitions::Relations => {
                Arc::make_mut(&mut self.catalog).forget_relations();
                self.verdicts.clear();
            }
            Definitions::Anything => self.forget(),
        }
    }

    fn forget(&mut self) {
        self.catalog = Arc::default();
        self.verdicts.clear();
        self.pin = Pin::Loose;
    }

    pub(super) fn savepoint(&mut self, name: &str) {
        self.settle();
        self.savepoints
            .push((name.to_owned(), self.changes.clone()));
    }

    pub(super) fn release_savepoint(&mut self, name: &str) {
        self.settle();
        if let Some(at) = self.savepoints.iter().rposition(|(set, _)| set == name) {
            self.savepoints.truncate(at);
        }
    }

    pub(super) fn rollback_to_savepoint(&mut self, name: &str) {
        self.pending.clear();
        self.definitions = Definitions::Kept;
        if let Some(at) = self.savepoints.iter().rposition(|(set, _)| set == name) {
            if let Some((_, changes)) = self.savepoints.get(at) {
                self.changes = changes.clone();
            }
            self.savepoints.truncate(at);
        }
        self.forget();
    }

    /// Whether the statement that was just admitted may be kept as a prepared one, which is not looked at again.
    pub(super) fn may_keep(&self) -> bool {
        self.definitions == Definitions::Kept
    }
}

/// Whose statements are read; `None` where only the words of a statement are looked at.
fn subject(authority: &Authority) -> Option<(Subject, &Arc<Grant>)> {
    match authority {
        Authority::Guest(grant) if grant.layers.statements == Layer::On => {
            Some((Subject::Component, grant))
        }
        Authority::File(grant)
            if grant.layers.statements == Layer::On && !grant.is_unrestricted() =>
        {
            Some((Subject::File, grant))
        }
        Authority::Host | Authority::File(_) | Authority::Guest(_) => None,
    }
}

impl PostgresSession {
    /// Checks a statement of the session's authority before it is sent.
    pub(in crate::driver::postgres) async fn check(
        &mut self,
        sql: &str,
    ) -> Result<(), DriverError> {
        if sql.contains('\0') {
            return Err(DriverError::Conversion(
                "the statement contains a NUL character".to_owned(),
            ));
        }
        if self.is_adrift() {
            pooler::check_alone(sql)?;
        }
        self.has_undone |= may_undo(sql);
        let Some((subject, grant)) = subject(&self.authority) else {
            let is_off = |grant: &Arc<Grant>| grant.layers.statements == Layer::Off;
            if self.authority.grant().is_some_and(is_off) {
                return Ok(());
            }
            return guard::check(
                sql,
                crate::driver::Dialect::Postgresql,
                &self.authority,
                &self.protected,
            );
        };
        if self.is_adrift() {
            return Err(pooler::refusal(
                "a statement that is held to a grant, outside of a transaction",
            ));
        }
        let grant = grant.clone();
        self.access.settle();
        let verdict = match self.access.verdicts.of_text(sql) {
            Some(verdict) => verdict,
            None => self.judge(sql, subject, &grant).await?,
        };
        self.access.pending.clone_from(&verdict.changes);
        self.access.definitions = verdict.definitions;
        Ok(())
    }

    /// Checks a COPY into a table: what an INSERT into it needs, and `copy` for it.
    pub(super) async fn check_copy(&mut self, to: &CopyTarget) -> Result<(), DriverError> {
        let insert = to.insert();
        self.check(&insert).await?;
        let Some((subject, grant)) = subject(&self.authority) else {
            return Ok(());
        };
        let grant = grant.clone();
        let reading = self.read(&insert, subject).await?;
        let home = self.access.home.clone().unwrap_or_default();
        for found in reading.accesses {
            if found.access.action == Action::Insert {
                grant.check(&Access::new(Action::Copy, found.access.object), &home)?;
            }
        }
        Ok(())
    }

    async fn judge(
        &mut self,
        sql: &str,
        subject: Subject,
        grant: &Grant,
    ) -> Result<Verdict, DriverError> {
        let shape = shape(sql);
        if let Some(shape) = &shape
            && let Some(verdict) = self.access.verdicts.of_shape(shape)
        {
            return Ok(verdict);
        }
        let reading = self.read(sql, subject).await?;
        let home = self.access.home.clone().unwrap_or_default();
        for found in &reading.accesses {
            grant.check(&found.access, &home)?;
        }
        let Reading {
            accesses: _,
            changes,
            literals,
            definitions,
        } = reading;
        let verdict = Verdict {
            changes,
            definitions,
        };
        let shape = shape.filter(|_| literals == Literals::Immaterial);
        self.access.verdicts.keep(sql, shape, &verdict);
        Ok(verdict)
    }

    /// Reads a statement; asks the server for the names in it.
    async fn read(&mut self, sql: &str, subject: Subject) -> Result<Reading, DriverError> {
        let text = sql.to_owned();
        let protected = self.protected.clone();
        let parsed = on_a_thread(move || {
            guard::protected_name(&text, crate::driver::Dialect::Postgresql, &protected)
                .map_or(Ok(()), |name| {
                    Err(Refusal::new("access", "the name belongs to Whimbrel").of(name))
                })?;
            Parsed::new(&text)
        })
        .await?
        .map_err(|refusal| denial(refusal, sql))?;
        let Some(parsed) = parsed else {
            return Ok(Reading {
                accesses: Vec::new(),
                changes: Vec::new(),
                literals: Literals::Telling,
                definitions: Definitions::Kept,
            });
        };
        let parsed = Arc::new(parsed);
        for _ in 0..ROUNDS {
            let outcome = self.walk(&parsed, subject).await?;
            match outcome.map_err(|refusal| denial(refusal, sql))? {
                Outcome::Read(reading) => return Ok(reading),
                Outcome::Ask(wanted) => self.look_up(&wanted).await?,
            }
        }
        Err(denial(
            Refusal::new(
                "a statement that cannot be checked",
                "its names lead to ever more names",
            ),
            sql,
        ))
    }

    async fn walk(
        &self,
        parsed: &Arc<Parsed>,
        subject: Subject,
    ) -> Result<Result<Outcome, Refusal>, DriverError> {
        let parsed = parsed.clone();
        let catalog = self.access.catalog.clone();
        let changes = self.access.changes.clone();
        let protected: Protected = self.protected.clone();
        on_a_thread(move || {
            parsed.read(&Context {
                catalog: &catalog,
                changes: &changes,
                protected: &protected,
                subject,
            })
        })
        .await
    }

    /// Asks the server for names, on a search path that stays as it is.
    async fn look_up(&mut self, wanted: &Wanted) -> Result<(), DriverError> {
        let parts = lookup::parts(wanted, &self.access.catalog);
        self.prepare_own(parts.iter().map(|part| part.sql.as_str()))
            .await?;
        let prepared: Vec<_> = parts
            .iter()
            .map(|part| self.own_statements.get(&part.sql))
            .collect();
        let client = self.link.client.clone();
        let pin_text = self.pin_text();
        let pins = self.access.pin == Pin::Loose;
        self.unsettled = true;
        let pin = async {
            match pins {
                true => client.batch_execute(pin_text).await,
                false => Ok(()),
            }
        };
        let asked = parts
            .iter()
            .zip(&prepared)
            .map(|(part, prepared)| part.ask(&client, prepared.as_ref()));
        let answers = self
            .send(async {
                // Each is sent when it is first polled, in order.
                let (pinned, answers) = join(pin, join_all(asked)).await;
                pinned?;
                answers.into_iter().collect::<Result<Vec<_>, _>>()
            })
            .await?;
        self.access.pin = Pin::Set;
        let catalog = Arc::make_mut(&mut self.access.catalog);
        catalog.expect(wanted);
        for row in answers.iter().flatten() {
            lookup::note(catalog, row)?;
        }
        if self.access.home.is_none() {
            self.access.home = Some(self.access.catalog.default_schema.clone());
        }
        Ok(())
    }

    /// A file may set its own path, which is then the one that its names are resolved on.
    fn pin_text(&self) -> &'static str {
        match self.authority.is_guest() {
            true => lookup::PIN,
            false => lookup::PIN_TEXTS,
        }
    }
}

/// Runs work on a thread whose stack the parser may use: guests run on stacks of their own.
async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, DriverError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        denial(
            Refusal::new("a statement that cannot be checked", error.to_string()),
            "",
        )
    })
}

fn denial(refusal: Refusal, sql: &str) -> DriverError {
    let position = refusal
        .at
        .and_then(|at| sql.get(..at))
        .map(|before| before.chars().count() + 1);
    match refusal.fault {
        Fault::Syntax => Box::new(DatabaseError {
            sqlstate: Some("42601".to_owned()),
            message: refusal.reason,
            position: position.and_then(|at| u32::try_from(at).ok()),
            ..DatabaseError::default()
        })
        .into(),
        Fault::Forbidden => DriverError::Denied {
            operation: refusal.operation,
            object: refusal.object,
            reason: match position {
                Some(at) => format!("{} (at character {at} of the statement)", refusal.reason),
                None => refusal.reason,
            },
        },
    }
}
