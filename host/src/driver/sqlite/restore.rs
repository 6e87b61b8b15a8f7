//! The way back: a copy of the backup is checked and prepared beside the database, and then takes its place page by
//! page, in one transaction of SQLite's.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use async_trait::async_trait;
use camino::{Utf8Path, Utf8PathBuf};
use rusqlite::{Connection, OpenFlags};

use super::backup::{self, apart, refused};
use super::guard::Guard;
use super::place::{Opened, Place, Purpose};
use super::session::SqliteSession;
use super::{error, lock};
use crate::driver::backup::{BackupError, Restoration};
use crate::driver::{CommitError, DriverError, Durability, Session, Statement};

/// A checked copy of a backup.
pub(super) struct SqliteRestoration {
    // Dropped before the file that it is connected to.
    session: SqliteSession,
    copy: Copy,
    database: Place,
    /// How long readers and writers are waited for.
    patience: Duration,
}

/// A file that goes with this value, and whatever SQLite puts beside it.
struct Copy(Utf8PathBuf);

impl Drop for Copy {
    fn drop(&mut self) {
        for suffix in ["", "-journal", "-wal", "-shm"] {
            // It may never have been there.
            std::fs::remove_file(format!("{}{suffix}", self.0)).ok();
        }
    }
}

impl SqliteRestoration {
    /// Copies a backup to where it can be changed, and checks it.
    pub(super) async fn open(
        database: Place,
        from: Utf8PathBuf,
        guard: Arc<Guard>,
        patience: Duration,
    ) -> Result<Self, BackupError> {
        let place = database.clone();
        let copy = apart(move |stop| prepare(&place, &from, patience, stop)).await?;
        let place = Place::of_file(copy.0.clone());
        let session = SqliteSession::open(place, guard, patience).await?;
        Ok(Self {
            copy,
            database,
            session,
            patience,
        })
    }
}

#[async_trait]
impl Restoration for SqliteRestoration {
    fn session(&mut self) -> &mut dyn Session {
        &mut self.session
    }

    /// The copy holds it all already, but for the run lock, which is not a part of the past.
    async fn load(&mut self) -> Result<(), BackupError> {
        let database = self.database.clone();
        let thread = self.session.for_writing().await?;
        thread
            .call(move |worker| {
                let (Opened::Database(now) | Opened::Missing(now)) =
                    database.open(Purpose::Read)?;
                lock::carry_over(&now, worker.connection())
                    .map_err(|problem| error::convert(problem, ""))
            })
            .await?;
        Ok(())
    }

    async fn finish(self: Box<Self>, records: &[Statement]) -> Result<(), CommitError> {
        let Self {
            copy,
            database,
            mut session,
            patience,
        } = *self;
        session.commit(records, Durability::Now).await?;
        drop(session);
        let replaced = apart(move |stop| replace(&copy, &database, patience, stop)).await;
        replaced.map_err(|problem| {
            CommitError::Commit(match problem {
                BackupError::Database(problem) => problem,
                problem => DriverError::Closed {
                    source: Some(Arc::new(problem)),
                },
            })
        })
    }
}

fn prepare(
    database: &Place,
    from: &Utf8Path,
    patience: Duration,
    stop: &AtomicBool,
) -> Result<Copy, BackupError> {
    let original = backup::open_backup(from)?;
    let (Opened::Database(now) | Opened::Missing(now)) = database.open(Purpose::Read)?;
    let (theirs, ours) = (application(&original)?, application(&now)?);
    if ours != 0 && theirs != ours {
        return Err(backup::not_a_backup(
            from,
            &format!("its application_id is {theirs}, and that of the database is {ours}"),
        ));
    }
    let copy = Copy(backup::beside(database.file().unwrap_or(from)));
    let mut file = backup::open_file(
        &copy.0,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
    )?;
    backup::copy_pages(&original, &mut file, patience, stop)?;
    backup::settle(&file).map_err(|problem| backup::not_a_backup(from, &problem.to_string()))?;
    backup::check(&file, from)?;
    fit_pages(&file, &now).map_err(refused)?;
    Ok(copy)
}

/// A database in WAL mode keeps the size of its pages; any other takes that of the copy.
fn fit_pages(copy: &Connection, now: &Connection) -> rusqlite::Result<()> {
    let mode: String = now.query_row("PRAGMA journal_mode", (), |row| row.get(0))?;
    if mode != "wal" {
        return Ok(());
    }
    let size = |connection: &Connection| -> rusqlite::Result<i64> {
        connection.query_row("PRAGMA page_size", (), |row| row.get(0))
    };
    let wanted = size(now)?;
    if size(copy)? != wanted {
        copy.pragma_update(None, "page_size", wanted)?;
        copy.execute_batch("VACUUM")?;
    }
    Ok(())
}

fn application(connection: &Connection) -> Result<i64, BackupError> {
    connection
        .query_row("PRAGMA application_id", (), |row| row.get(0))
        .map_err(refused)
}

/// Writes the copy over the database. SQLite takes everything back when this does not come to its end.
fn replace(
    copy: &Copy,
    database: &Place,
    patience: Duration,
    stop: &AtomicBool,
) -> Result<(), BackupError> {
    let from = backup::open_file(&copy.0, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let Opened::Database(mut to) = database.open(Purpose::Write)? else {
        return Err(DriverError::Closed { source: None }.into());
    };
    backup::copy_pages(&from, &mut to, patience, stop)
}
