//! Runs the statements of a SQL file, one at a time.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use camino::Utf8PathBuf;
use tokio::time::Instant;

use super::sql_file::SqlFile;
use crate::driver::{Authority, Dialect, DriverError, Session};
use crate::migration::{Call, Cancel, Migration, MigrationError, StatementSource, Work};
use crate::revision::Direction;
use crate::sql::{Location, Piece, split};

/// A SQL file as a migration for one dialect. Nothing is cut into statements before it runs.
#[derive(Debug, Clone)]
pub struct SqlMigration {
    file: Arc<SqlFile>,
    path: Utf8PathBuf,
    dialect: Dialect,
}

impl SqlMigration {
    /// The migration of `file`, which stands at `path`.
    pub fn new(file: Arc<SqlFile>, path: impl Into<Utf8PathBuf>, dialect: Dialect) -> Self {
        Self {
            file,
            path: path.into(),
            dialect,
        }
    }

    /// Whether the file says how to go in this direction on this dialect.
    pub fn supports(&self, direction: Direction) -> bool {
        self.file.section(direction, self.dialect).is_some()
            || self.file.backfill(direction, self.dialect).is_some()
    }

    /// The statements of a direction, in their order; none where the file has nothing for it.
    ///
    /// # Errors
    /// [`MigrationError::Script`] when the text cannot be cut into statements.
    pub fn statements(&self, direction: Direction) -> Result<Vec<StatementSource>, MigrationError> {
        let Some(section) = self.file.section(direction, self.dialect) else {
            return Ok(Vec::new());
        };
        let above = section.first_line - 1;
        let pieces = self.split(section.text, above)?;
        Ok(pieces
            .iter()
            .map(|piece| self.source_of(piece, above))
            .collect())
    }

    fn split<'a>(&self, text: &'a str, above: u32) -> Result<Vec<Piece<'a>>, MigrationError> {
        split(text, self.dialect).map_err(|error| MigrationError::Script {
            path: self.path.clone(),
            source: error.below(above),
        })
    }

    async fn run_statements(
        &self,
        call: &Call,
        session: &mut dyn Session,
    ) -> Result<Work, MigrationError> {
        let Some(section) = self.file.section(call.direction, self.dialect) else {
            return Ok(Work::default());
        };
        let above = section.first_line - 1;
        let pieces = self.split(section.text, above)?;
        session
            .assume(Authority::File(Arc::clone(&call.grant)))
            .await
            .map_err(|source| MigrationError::Statement {
                statement: None,
                source,
            })?;

        let mut work = Work::default();
        let time = call.grant.limits.time;
        // Longer than any clock runs is no limit.
        let deadline = Instant::now().checked_add(time);
        for piece in pieces {
            if call.cancel.is_requested() {
                return Err(MigrationError::Cancelled);
            }
            let limit = call.grant.limits.statements;
            if work.statements >= limit {
                return Err(MigrationError::Limit {
                    what: "statements",
                    limit,
                    unit: "statements",
                });
            }
            match run_cancellable(session, piece.text, &call.cancel, deadline).await {
                Ok(rows) => {
                    work += Work {
                        statements: 1,
                        rows,
                    }
                }
                Err(DriverError::Cancelled) if call.cancel.is_requested() => {
                    return Err(MigrationError::Cancelled);
                }
                Err(DriverError::Cancelled) if has_passed(deadline) => {
                    return Err(MigrationError::Limit {
                        what: "time",
                        limit: u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
                        unit: "milliseconds",
                    });
                }
                Err(source) => {
                    return Err(MigrationError::Statement {
                        statement: Some(Box::new(self.source_of(&piece, above))),
                        source,
                    });
                }
            }
        }
        Ok(work)
    }

    fn source_of(&self, piece: &Piece<'_>, above: u32) -> StatementSource {
        let start = Location {
            line: piece.start.line + above,
            ..piece.start
        };
        StatementSource {
            sql: piece.text.to_owned(),
            origin: Some((self.path.clone(), start)),
        }
    }
}

/// How often the database is asked to stop a statement, since a pooler can lose the request, and how long it has for it.
const CANCEL_REQUESTS: u32 = 5;
const CANCEL_PAUSE: Duration = Duration::from_secs(2);

/// Runs a statement, and has the database stop it when the user asks for it.
async fn run_cancellable(
    session: &mut dyn Session,
    sql: &str,
    cancel: &Cancel,
    deadline: Option<Instant>,
) -> Result<u64, DriverError> {
    let late = async {
        match deadline {
            Some(deadline) => tokio::time::sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    };
    let canceller = session.canceller();
    let mut running = session.run(sql);
    tokio::select! {
        biased;
        outcome = &mut running => return outcome,
        () = cancel.requested() => {}
        () = late => {}
    }
    for _ in 0..CANCEL_REQUESTS {
        canceller.cancel().await;
        if let Ok(outcome) = tokio::time::timeout(CANCEL_PAUSE, &mut running).await {
            return outcome;
        }
    }
    // The session is of no use any more: dropping it ends its transaction.
    Err(DriverError::Cancelled)
}

fn has_passed(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| deadline <= Instant::now())
}

#[async_trait]
impl Migration for SqlMigration {
    async fn run(
        &self,
        call: &Call,
        mut session: Box<dyn Session>,
    ) -> (Box<dyn Session>, Result<Work, MigrationError>) {
        let outcome = self.run_statements(call, session.as_mut()).await;
        (session, outcome)
    }
}
