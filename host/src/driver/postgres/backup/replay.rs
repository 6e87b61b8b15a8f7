//! Running the SQL that `pg_restore` makes of a backup, over a session of our own.
//!
//! This keeps the whole way back in one transaction, and what the file says away from psql: no line of it is a command
//! of a shell here.

use std::path::Path;
use std::process::Stdio;

use bytes::{Bytes, BytesMut};
use camino::Utf8Path;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Command;

use super::super::session::PostgresSession;
use super::{finish, readable, spawn};
use crate::driver::Dialect;
use crate::driver::backup::{BackupError, Said};
use crate::sql::{SplitError, leading_keywords, split};

/// How much SQL is gathered before it is sent, in bytes.
const ENOUGH_SQL: usize = 1 << 20;
/// How much of a table's data goes in one message, in bytes.
const ENOUGH_DATA: usize = 1 << 16;
/// The first version that knows `transaction_timeout`, which newer programs set on older servers as well.
const KNOWS_TRANSACTION_TIMEOUT: u32 = 17;

/// Checks that `pg_restore` can read a file.
///
/// # Errors
/// [`BackupError::NotABackup`].
pub(super) async fn check(program: &Path, from: &Utf8Path) -> Result<(), BackupError> {
    std::fs::File::open(from).map_err(|error| BackupError::reading(from, error))?;
    let mut command = Command::new(program);
    command
        .args(["--list", from.as_str()])
        .stdout(Stdio::null());
    let child = spawn("pg_restore", &mut command)?;
    match finish("pg_restore", child).await {
        Err(BackupError::Program { said, .. }) => Err(BackupError::NotABackup {
            file: from.to_owned(),
            reason: said.0,
        }),
        listed => listed,
    }
}

/// Runs everything that a backup holds, in the session's transaction.
///
/// # Errors
/// A [`BackupError`]; the transaction is of no use then.
pub(super) async fn replay(
    program: &Path,
    from: &Utf8Path,
    major: u32,
    session: &mut PostgresSession,
) -> Result<(), BackupError> {
    let mut command = Command::new(program);
    command
        .args(["--no-subscriptions", "--file=-", from.as_str()])
        .stdout(Stdio::piped());
    let mut child = spawn("pg_restore", &mut command)?;
    let (Some(stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(ended("its output cannot be read", &[]));
    };
    let complaints = tokio::spawn(async move {
        let mut said = Vec::new();
        // What cannot be read of it is only missing in a message.
        stderr.read_to_end(&mut said).await.ok();
        said
    });
    let mut script = Script {
        lines: BufReader::with_capacity(ENOUGH_DATA, stdout),
        preamble: Preamble { major, token: None },
        text: Vec::new(),
    };
    script.run(session).await?;
    let status = child.wait().await;
    let said = complaints.await.unwrap_or_default();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(ended(&status.to_string(), &said)),
        Err(error) => Err(ended(&error.to_string(), &said)),
    }
}

fn ended(status: &str, said: &[u8]) -> BackupError {
    BackupError::Program {
        program: "pg_restore",
        status: status.to_owned(),
        said: Said(readable(said)),
    }
}

/// A script as `pg_dump` and `pg_restore` write it: statements, and rows after each `COPY … FROM stdin;`.
struct Script<R> {
    lines: R,
    preamble: Preamble,
    /// Statements that were read and not sent yet.
    text: Vec<u8>,
}

impl<R: AsyncBufRead + Unpin> Script<R> {
    async fn run(&mut self, session: &mut PostgresSession) -> Result<(), BackupError> {
        let mut line = Vec::new();
        while self.next(&mut line).await? {
            if self.preamble.drops(&line) {
                continue;
            }
            self.text.extend_from_slice(&line);
            if (line == b"BEGIN;\n" || line == b"COMMIT;\n")
                && let Some(start) = transaction_at_end(self.sql()?)
            {
                self.text.truncate(start);
            } else if line.ends_with(b" FROM stdin;\n")
                && let Some(start) = copy_at_end(self.sql()?)
            {
                let copy = self.text.split_off(start);
                self.send(session).await?;
                self.copy(session, &copy).await?;
            } else if self.text.len() >= ENOUGH_SQL
                && line.ends_with(b";\n")
                && is_complete(self.sql()?)
            {
                self.send(session).await?;
            }
        }
        self.send(session).await
    }

    /// Reads a line with its end; none at the end of the script.
    async fn next(&mut self, line: &mut Vec<u8>) -> Result<bool, BackupError> {
        line.clear();
        match self.lines.read_until(b'\n', line).await {
            Ok(read) => Ok(read > 0),
            Err(error) => Err(ended(&error.to_string(), &[])),
        }
    }

    fn sql(&self) -> Result<&str, BackupError> {
        std::str::from_utf8(&self.text).map_err(|_| ended("it writes SQL that is not UTF-8", &[]))
    }

    async fn send(&mut self, session: &mut PostgresSession) -> Result<(), BackupError> {
        if self.text.is_empty() {
            return Ok(());
        }
        let sql = self.sql()?;
        if let Some(word) = ends_transaction(sql) {
            return Err(ended(&format!("it writes a {word} of its own"), &[]));
        }
        session.batch(sql).await?;
        self.text.clear();
        Ok(())
    }

    /// Sends the rows of a table, up to the line that ends them.
    async fn copy(
        &mut self,
        session: &mut PostgresSession,
        statement: &[u8],
    ) -> Result<(), BackupError> {
        let statement = String::from_utf8_lossy(statement);
        let mut sink = session.begin_copy(&statement).await?;
        let mut rows = BytesMut::with_capacity(2 * ENOUGH_DATA);
        let mut line = Vec::new();
        loop {
            if !self.next(&mut line).await? {
                return Err(ended("it stopped in the middle of a table", &[]));
            }
            if line == b"\\.\n" {
                break;
            }
            rows.extend_from_slice(&line);
            if rows.len() >= ENOUGH_DATA {
                session.copy(&mut sink, rows.split().freeze()).await?;
            }
        }
        if !rows.is_empty() {
            session.copy(&mut sink, Bytes::from(rows)).await?;
        }
        Ok(session.end_copy(sink).await?)
    }
}

/// Where the `COPY … FROM stdin` begins that a text ends with; none where the words stand inside of something else.
fn copy_at_end(text: &str) -> Option<usize> {
    let Err(SplitError::CopyFromStdin { line }) = split(text, Dialect::Postgresql) else {
        return None;
    };
    let lines = usize::try_from(line).ok()?.checked_sub(1)?;
    Some(text.split_inclusive('\n').take(lines).map(str::len).sum())
}

/// Where the `BEGIN` or `COMMIT` stands that a text ends with, as `pg_restore` writes them around large objects; none where
/// the word stands inside of something else. The transaction here is the engine's.
fn transaction_at_end(text: &str) -> Option<usize> {
    let pieces = split(text, Dialect::Postgresql).ok()?;
    let last = pieces.last()?;
    matches!(last.text, "BEGIN" | "COMMIT").then_some(last.offset)
}

/// The word that would end the engine's transaction, if there is one.
fn ends_transaction(text: &str) -> Option<String> {
    let pieces = split(text, Dialect::Postgresql).ok()?;
    let mut words = pieces
        .iter()
        .filter_map(|piece| leading_keywords(piece.text, Dialect::Postgresql, 1).pop());
    words.find(|word| {
        matches!(
            word.as_str(),
            "COMMIT" | "END" | "ROLLBACK" | "ABORT" | "PREPARE"
        )
    })
}

/// Whether a text ends where a statement ends.
fn is_complete(text: &str) -> bool {
    let text = text.trim_end();
    split(text, Dialect::Postgresql).is_ok_and(|pieces| {
        let end = pieces
            .last()
            .map_or(0, |piece| piece.offset + piece.text.len());
        text.len() > end
    })
}

/// What stands before the first statement that matters.
struct Preamble {
    major: u32,
    /// The word between which psql would take no commands, once it was read.
    token: Option<Vec<u8>>,
}

impl Preamble {
    /// Whether a line is for psql alone, or sets what this server does not know.
    fn drops(&mut self, line: &[u8]) -> bool {
        if let Some(token) = &self.token {
            if line.strip_prefix(b"\\unrestrict ") == Some(token) {
                return true;
            }
        } else if let Some(token) = line.strip_prefix(b"\\restrict ") {
            self.token = Some(token.to_owned());
            return true;
        }
        self.major < KNOWS_TRANSACTION_TIMEOUT && line == b"SET transaction_timeout = 0;\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_follow_a_statement_and_nothing_that_looks_like_one() {
        let real = "SET a = 1;\n\n-- Data\nCOPY public.\"a;b\" (n) FROM stdin;\n";
        assert_eq!(copy_at_end(real), Some(20));
        for quoted in [
            "CREATE FUNCTION f() RETURNS void AS $$\nCOPY t (n) FROM stdin;\n",
            "COMMENT ON TABLE t IS 'as in\nCOPY t (n) FROM stdin;\n",
            "CREATE VIEW \"a\nCOPY t FROM stdin;\n",
        ] {
            assert_eq!(copy_at_end(quoted), None, "{quoted}");
        }
    }

    #[test]
    fn statements_are_sent_whole() {
        assert!(is_complete("SELECT 1;\nSELECT 'a;\n';\n"));
        assert!(!is_complete("CREATE FUNCTION f() AS $$\nBEGIN;\n"));
        let atomic = "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC\n SELECT 1;\n";
        assert!(!is_complete(atomic));
        assert!(is_complete(&format!("{atomic}END;\n")));
    }

    #[test]
    fn the_transaction_stays_the_engines() {
        let objects = "SELECT 1;\n\n-- BLOBS\nBEGIN;\n";
        assert_eq!(transaction_at_end(objects), objects.find("BEGIN"));
        let body = "CREATE PROCEDURE p() LANGUAGE plpgsql AS $$\nBEGIN\nCOMMIT;\n";
        assert_eq!(transaction_at_end(body), None);
        let whole = format!("{body}END $$;\n");
        assert_eq!(ends_transaction(&whole), None);
        let hidden = format!("{whole}SELECT 1; commit;\n");
        assert_eq!(ends_transaction(&hidden).as_deref(), Some("COMMIT"));
    }

    #[test]
    fn what_is_meant_for_psql_is_left_out() {
        let mut preamble = Preamble {
            major: 15,
            token: None,
        };
        assert!(preamble.drops(b"\\restrict abc\n"));
        assert!(preamble.drops(b"SET transaction_timeout = 0;\n"));
        assert!(!preamble.drops(b"\\unrestrict other\n"));
        assert!(preamble.drops(b"\\unrestrict abc\n"));
        assert!(!preamble.drops(b"SET lock_timeout = 0;\n"));
    }
}
