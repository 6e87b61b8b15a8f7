//! Backups by `pg_dump`, in its custom format.

mod emptying;
mod programs;
mod replay;
mod restore;

use std::process::Stdio;

use camino::Utf8Path;
use tokio::process::{Child, Command};

use super::Postgres;
use super::link::Link;
use crate::driver::backup::{BackupError, Restoration, Said};
use crate::driver::{DatabaseError, DriverError};
use crate::printable;
use restore::PostgresRestoration;

/// How much of what a program says is kept, in bytes.
const MAX_SAID: usize = 4_000;

impl Postgres {
    /// Has `pg_dump` write a backup into a file.
    pub(super) async fn dump(&self, to: &Utf8Path) -> Result<(), BackupError> {
        let link = Link::open(&self.connection, |_| {}).await?;
        let major = server_major(&link).await?;
        drop(link);
        let path = programs::find("pg_dump", major)?;
        let mut command = Command::new(path);
        command
            .args(["--format=custom", "--no-password", "--encoding=UTF8"])
            .arg(format!("--file={to}"));
        if let Some(timeout) = self.lock_timeout.filter(|timeout| !timeout.is_zero()) {
            command.arg(format!("--lock-wait-timeout={}", timeout.as_millis()));
        }
        self.connection.pass_on(&mut command);
        let child = spawn("pg_dump", &mut command)?;
        finish("pg_dump", child).await
    }

    /// Checks that a file is a backup, and opens the session that is going to take it in.
    pub(super) async fn open_dump(
        &self,
        from: &Utf8Path,
    ) -> Result<Box<dyn Restoration>, BackupError> {
        let link = Link::open(&self.connection, |_| {}).await?;
        let major = server_major(&link).await?;
        let path = programs::find_newest("pg_restore", major)?;
        replay::check(&path, from).await?;
        let session = self.session(link);
        Ok(Box::new(PostgresRestoration::new(
            session,
            path,
            from.to_owned(),
            major,
        )))
    }
}

async fn server_major(link: &Link) -> Result<u32, DriverError> {
    let row = link
        .client
        .query_one(
            "SELECT pg_catalog.current_setting('server_version_num')",
            &[],
        )
        .await
        .map_err(|error| link.translate(error))?;
    let number: Option<u32> = row.try_get::<_, &str>(0).ok().and_then(|n| n.parse().ok());
    number.map(|number| number / 10_000).ok_or_else(|| {
        Box::new(DatabaseError {
            message: "the server does not tell its version".to_owned(),
            ..DatabaseError::default()
        })
        .into()
    })
}

/// Starts a program that ends when its handle is dropped.
fn spawn(program: &'static str, command: &mut Command) -> Result<Child, BackupError> {
    command
        .env("LC_MESSAGES", "C")
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command.spawn().map_err(|error| BackupError::Program {
        program,
        status: "it does not start".to_owned(),
        said: Said(error.to_string()),
    })
}

/// Waits for a program's end.
async fn finish(program: &'static str, child: Child) -> Result<(), BackupError> {
    let ended = child.wait_with_output().await;
    let (status, said) = match ended {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => (output.status.to_string(), readable(&output.stderr)),
        Err(error) => ("its end is not known".to_owned(), error.to_string()),
    };
    Err(BackupError::Program {
        program,
        status,
        said: Said(said),
    })
}

/// What a program said, fit for a terminal.
fn readable(said: &[u8]) -> String {
    let start = said.len().saturating_sub(MAX_SAID);
    let text = String::from_utf8_lossy(&said[start..]);
    printable::lines(text.trim())
}
