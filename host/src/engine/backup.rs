//! A backup of the database before a run changes anything.

use std::fs::File;
use std::time::Instant;

use camino::{Utf8Path, Utf8PathBuf};
use jiff::Timestamp;
use tempfile::NamedTempFile;

use super::{Cause, Engine, Progress, Run};
use crate::digest::Digest;
use crate::driver::backup::BackupError;
use crate::driver::{DriverError, Durability, RunLock, Session};
use crate::event::{BackupReport, Event};
use crate::history::{Kept, Note, Safekeeping};

/// A backup that the ledger does not know of yet.
pub(super) struct Made {
    report: BackupReport,
    started: Timestamp,
}

impl Engine {
    /// Refuses to start where a file stands in the way of the backup.
    pub(super) fn check_backup_file(&self) -> Result<(), Cause> {
        match &self.backup {
            Some(file) if file.symlink_metadata().is_ok() => {
                let source = BackupError::Exists { file: file.clone() };
                Err(unmade(file, source))
            }
            _ => Ok(()),
        }
    }

    /// Makes the backup that the run is to begin with. Its file is whole or not there.
    pub(super) async fn back_up(&self) -> Result<Option<Made>, Cause> {
        let Some(file) = &self.backup else {
            return Ok(None);
        };
        self.check_backup_file()?;
        self.observer.event(&Event::BackingUp { file });
        let (started, clock) = (Timestamp::now(), Instant::now());
        let copied = async {
            let unfinished = beside(file)?;
            let path = Utf8Path::from_path(unfinished.path()).ok_or_else(|| {
                let problem = std::io::Error::other("the path of its folder is not UTF-8");
                BackupError::writing(file, problem)
            })?;
            self.driver.back_up(path).await?;
            let to = file.clone();
            apart(file, move || keep(unfinished, &to)).await
        };
        let copied = self.unless_cancelled(copied, |source| unmade(file, source));
        let (sha256, bytes) = copied.await?;
        let report = BackupReport {
            file: file.clone(),
            bytes,
            sha256: sha256.to_string(),
            duration: clock.elapsed(),
        };
        self.observer.event(&Event::BackedUp { backup: &report });
        Ok(Some(Made { report, started }))
    }

    /// Writes a backup to the ledger, in a transaction of its own.
    pub(super) async fn record_backup(
        &self,
        run: &Run,
        made: Option<Made>,
        progress: &Progress,
        session: &mut dyn Session,
        lock: &dyn RunLock,
    ) -> Result<(), Cause> {
        let Some(Made { report, started }) = made else {
            return Ok(());
        };
        let kept = Kept {
            run: run.id,
            action: Safekeeping::Backup,
            sha256: report.sha256,
            started,
            duration: report.duration,
            performed_by: run.performed_by.clone(),
            tally: Some(progress.tally),
            note: Note {
                file: absolute(&report.file),
                bytes: report.bytes,
                undone: Vec::new(),
                redone: Vec::new(),
            },
        };
        let mut records = vec![self.history.record_kept(&kept)];
        records.extend(lock.fence());
        session.begin().await?;
        session
            .commit(&records, Durability::Now)
            .await
            .map_err(DriverError::from)?;
        Ok(())
    }

    /// Does some work until the user asks to stop.
    pub(super) async fn unless_cancelled<T>(
        &self,
        work: impl Future<Output = Result<T, BackupError>>,
        failed: impl FnOnce(BackupError) -> Cause,
    ) -> Result<T, Cause> {
        let result = tokio::select! {
            result = work => result,
            () = self.cancel.requested() => return Err(Cause::Cancelled),
        };
        // Ctrl-C reaches the database's own programs as well, and may have ended them first.
        match result {
            Err(_) if self.cancel.is_requested() => Err(Cause::Cancelled),
            result => result.map_err(failed),
        }
    }
}

fn unmade(file: &Utf8Path, source: BackupError) -> Cause {
    Cause::Backup {
        file: file.to_owned(),
        source: Box::new(source),
    }
}

/// An empty file in the folder of another one. It goes unless it is kept.
fn beside(file: &Utf8Path) -> Result<NamedTempFile, BackupError> {
    tempfile::Builder::new()
        .prefix(&format!("{}.", file.file_name().unwrap_or("backup")))
        .suffix(".unfinished")
        .tempfile_in(folder(file))
        .map_err(|source| BackupError::writing(file, source))
}

fn folder(file: &Utf8Path) -> &Utf8Path {
    match file.parent() {
        Some(folder) if folder != "" => folder,
        _ => Utf8Path::new("."),
    }
}

/// Brings a file to its disk and gives it its name, unless there is one of that name by now.
fn keep(unfinished: NamedTempFile, file: &Utf8Path) -> Result<(Digest, u64), BackupError> {
    let failed = |source| BackupError::writing(file, source);
    // It may be another file than the one that was made: programs replace files.
    let copy = File::open(unfinished.path()).map_err(failed)?;
    let described = Digest::of_reader(&copy).map_err(failed)?;
    copy.sync_all().map_err(failed)?;
    unfinished.persist_noclobber(file).map_err(|refused| {
        match refused.error.kind() == std::io::ErrorKind::AlreadyExists {
            true => BackupError::Exists {
                file: file.to_owned(),
            },
            false => failed(refused.error),
        }
    })?;
    #[cfg(unix)]
    File::open(folder(file))
        .and_then(|folder| folder.sync_all())
        .map_err(failed)?;
    Ok(described)
}

/// The digest of a file, and its size.
pub(super) fn describe(file: &Utf8Path) -> Result<(Digest, u64), BackupError> {
    File::open(file)
        .and_then(Digest::of_reader)
        .map_err(|source| BackupError::reading(file, source))
}

/// Runs what takes its time with a file on a thread of its own.
pub(super) async fn apart<T: Send + 'static>(
    file: &Utf8Path,
    work: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
) -> Result<T, BackupError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(ended) => Err(BackupError::reading(file, std::io::Error::other(ended))),
    }
}

/// A path that still says where the file is when nobody knows any more in which folder the run was started.
pub(super) fn absolute(file: &Utf8Path) -> String {
    let absolute = std::path::absolute(file).ok();
    let absolute = absolute.and_then(|path| Utf8PathBuf::from_path_buf(path).ok());
    absolute.unwrap_or_else(|| file.to_owned()).into_string()
}
