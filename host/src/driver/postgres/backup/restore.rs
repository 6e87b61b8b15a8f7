//! The way back, in one transaction of one session: everything goes, the backup comes in its place.

use std::path::PathBuf;

use async_trait::async_trait;
use camino::Utf8PathBuf;

use super::super::session::PostgresSession;
use super::{emptying, replay};
use crate::driver::backup::{BackupError, Restoration};
use crate::driver::{CommitError, DriverError, Durability, ResultLimit, Session, Statement, Value};

/// How many statements go in one message while the database is emptied.
const AT_ONCE: usize = 200;

/// A transaction that is going to hold what a backup holds.
pub(super) struct PostgresRestoration {
    session: PostgresSession,
    /// `pg_restore`, which turns the backup into SQL.
    program: PathBuf,
    from: Utf8PathBuf,
    major: u32,
}

impl PostgresRestoration {
    pub(super) fn new(
        session: PostgresSession,
        program: PathBuf,
        from: Utf8PathBuf,
        major: u32,
    ) -> Self {
        Self {
            session,
            program,
            from,
            major,
        }
    }

    /// Runs the statements that a query returns.
    async fn run_all_of(&mut self, query: &str) -> Result<(), DriverError> {
        let rows = self.session.query(query, &[], ResultLimit::NONE).await?;
        let statements: Vec<String> = rows
            .into_rows()
            .into_iter()
            .filter_map(|row| match row.into_iter().next() {
                Some(Value::Text(sql)) => Some(sql),
                _ => None,
            })
            .collect();
        for chunk in statements.chunks(AT_ONCE) {
            self.session.batch(&chunk.join(";\n")).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Restoration for PostgresRestoration {
    fn session(&mut self) -> &mut dyn Session {
        &mut self.session
    }

    async fn load(&mut self) -> Result<(), BackupError> {
        self.run_all_of(emptying::DATABASE).await?;
        self.run_all_of(emptying::PUBLIC).await?;
        replay::replay(&self.program, &self.from, self.major, &mut self.session).await?;
        // The backup's script has set what suits it, an empty search path for one.
        self.session.batch("RESET ALL").await?;
        Ok(())
    }

    async fn finish(mut self: Box<Self>, records: &[Statement]) -> Result<(), CommitError> {
        self.session.commit(records, Durability::Now).await
    }
}
