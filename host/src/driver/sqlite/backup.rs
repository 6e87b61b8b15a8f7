//! Backups by SQLite's online backup: a copy page by page, as the database is at one moment, while others read it.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, ffi};

use super::error;
use super::lock;
use super::place::{Opened, Place, Purpose};
use crate::driver::DriverError;
use crate::driver::backup::BackupError;

/// What every SQLite database starts with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// How many pages lie between two looks at whether to stop.
const PAGES_AT_ONCE: i32 = 1_000;
/// How long to wait between two tries at a database that someone writes.
const PAUSE: Duration = Duration::from_millis(10);

/// Runs blocking work on a thread of its own, and tells it to stop when the future is dropped.
pub(super) async fn apart<T: Send + 'static>(
    work: impl FnOnce(&AtomicBool) -> Result<T, BackupError> + Send + 'static,
) -> Result<T, BackupError> {
    let stop = StopOnDrop(Arc::new(AtomicBool::new(false)));
    let told = Arc::clone(&stop.0);
    match tokio::task::spawn_blocking(move || work(&told)).await {
        Ok(result) => result,
        Err(_) => Err(DriverError::Closed { source: None }.into()),
    }
}

struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Copies the database into a file that stands for itself: without a log beside it, and without the run's lock.
pub(super) fn back_up(
    place: &Place,
    to: &Utf8Path,
    patience: Duration,
    stop: &AtomicBool,
) -> Result<(), BackupError> {
    let (Opened::Database(from) | Opened::Missing(from)) = place.open(Purpose::Read)?;
    let mut copy = open_file(to, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    copy_pages(&from, &mut copy, patience, stop)?;
    settle(&copy)
        .and_then(|()| lock::forget(&copy))
        .map_err(refused)?;
    copy.close().map_err(|(_, problem)| refused(problem))
}

/// Opens a backup for reading.
pub(super) fn open_backup(from: &Utf8Path) -> Result<Connection, BackupError> {
    let mut start = Vec::new();
    File::open(from)
        .and_then(|file| file.take(MAGIC.len() as u64).read_to_end(&mut start))
        .map_err(|problem| BackupError::reading(from, problem))?;
    if start != MAGIC {
        return Err(not_a_backup(from, "it is no SQLite database"));
    }
    let connection = open_file(from, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection
        .query_row("PRAGMA schema_version", (), |_| Ok(()))
        .map_err(|problem| not_a_backup(from, &problem.to_string()))?;
    Ok(connection)
}

/// Says that a backup is damaged, where it is.
pub(super) fn check(copy: &Connection, from: &Utf8Path) -> Result<(), BackupError> {
    const CHECK: &str = "PRAGMA integrity_check(3)";
    let found = || -> rusqlite::Result<Vec<String>> {
        let mut statement = copy.prepare(CHECK)?;
        let rows = statement.query_map((), |row| row.get(0))?;
        rows.collect()
    };
    let found = found().map_err(|problem| not_a_backup(from, &problem.to_string()))?;
    match found.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["ok"] => Ok(()),
        ref damage => Err(not_a_backup(
            from,
            &format!("it is damaged: {}", damage.join("; ")),
        )),
    }
}

pub(super) fn not_a_backup(file: &Utf8Path, reason: &str) -> BackupError {
    BackupError::NotABackup {
        file: file.to_owned(),
        reason: reason.to_owned(),
    }
}

/// Opens a file so that no schema in it reaches beyond it.
pub(super) fn open_file(path: &Utf8Path, access: OpenFlags) -> Result<Connection, BackupError> {
    let open = || {
        // The bundled SQLite reads any name that starts with `file:` as a URI.
        let path = match path.is_relative() {
            true => Path::new(".").join(path),
            false => path.as_std_path().to_owned(),
        };
        let connection =
            Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        connection.pragma_update(None, "cell_size_check", true)?;
        Ok(connection)
    };
    open().map_err(refused)
}

/// Copies all pages as they are at one moment. Whoever reads the other database goes on with what was there when they
/// began; after an error it is as it was.
pub(super) fn copy_pages(
    from: &Connection,
    to: &mut Connection,
    patience: Duration,
    stop: &AtomicBool,
) -> Result<(), BackupError> {
    let began = Instant::now();
    // What is waited for is waited for here, where it can be stopped.
    from.busy_timeout(Duration::ZERO).map_err(refused)?;
    to.busy_timeout(Duration::ZERO).map_err(refused)?;
    // A reader's view of the source lasts from here to the end, so that a writer makes no copy begin again.
    loop {
        match from
            .execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema")
            .map_err(|problem| error::convert(problem, ""))
        {
            Ok(()) => break,
            Err(problem) => {
                if !from.is_autocommit() {
                    from.execute_batch("ROLLBACK").map_err(refused)?;
                }
                wait(&began, patience, stop, problem)?;
            }
        }
    }
    let copied = copy_all(from, to, patience, stop);
    let ended = from.execute_batch("ROLLBACK").map_err(refused);
    copied.and(ended)
}

fn copy_all(
    from: &Connection,
    to: &mut Connection,
    patience: Duration,
    stop: &AtomicBool,
) -> Result<(), BackupError> {
    let mut began = Instant::now();
    let backup = Backup::new(from, to).map_err(refused)?;
    loop {
        match backup.step(PAGES_AT_ONCE).map_err(refused)? {
            StepResult::Done => return Ok(()),
            StepResult::Busy | StepResult::Locked => {
                let busy = error::database(
                    ffi::SQLITE_BUSY,
                    "database is locked: another program reads or writes it".to_owned(),
                    None,
                );
                wait(&began, patience, stop, busy)?;
            }
            _ if stop.load(Ordering::SeqCst) => return Err(DriverError::Cancelled.into()),
            _ => began = Instant::now(),
        }
    }
}

/// Waits a little for others to finish, unless that has taken too long.
fn wait(
    began: &Instant,
    patience: Duration,
    stop: &AtomicBool,
    problem: DriverError,
) -> Result<(), BackupError> {
    if stop.load(Ordering::SeqCst) {
        return Err(DriverError::Cancelled.into());
    }
    if !problem.is_transient() || began.elapsed() >= patience {
        return Err(problem.into());
    }
    std::thread::sleep(PAUSE);
    Ok(())
}

/// Makes a copy a database of one file, whatever the original was.
pub(super) fn settle(copy: &Connection) -> rusqlite::Result<()> {
    copy.query_row("PRAGMA journal_mode = DELETE", (), |_| Ok(()))
}

pub(super) fn refused(problem: rusqlite::Error) -> BackupError {
    error::convert(problem, "").into()
}

/// A path in the same folder that nothing has: for what exists only while it is worked on.
pub(super) fn beside(path: &Utf8Path) -> Utf8PathBuf {
    let name = path.file_name().unwrap_or("database");
    path.with_file_name(format!(
        ".{name}.{}.restoring",
        uuid::Uuid::new_v4().simple()
    ))
}
