//! Where a SQLite database is, and how it is opened.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use thiserror::Error;

use super::error;
use super::thread::Control;
use crate::driver::{Authority, DriverError};

/// A database by its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The address as it was given.
    url: String,
    storage: Storage,
    mode: Mode,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Storage {
    File(Utf8PathBuf),
    /// In memory, shared by all connections of one driver under a name of its own.
    Memory(String),
}

/// What the address allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Reading.
    Read,
    /// Writing into a file that is there.
    Write,
    /// Making the file, too.
    Create,
}

/// What a connection is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The file is there, or stands for an empty database.
    Read,
    /// The file is made where it is missing.
    Write,
}

/// A connection, and what it is connected to.
pub(super) enum Opened {
    /// The database.
    Database(Connection),
    /// An empty one in its place: the file is missing and nothing has been written yet.
    Missing(Connection),
}

#[derive(Debug, Error)]
enum OpenError {
    #[error("there is no folder `{0}`; make it first")]
    NoFolder(Utf8PathBuf),
    #[error("there is no file `{0}`")]
    NoFile(Utf8PathBuf),
    #[error("`{0}` is a folder, not a database")]
    Folder(Utf8PathBuf),
    #[error("`{0}` is not a SQLite database")]
    NotADatabase(String),
    #[error("`{path}` cannot be read: {source}")]
    Unreadable {
        path: Utf8PathBuf,
        // Part of the message, since it says in a few words why.
        source: io::Error,
    },
    #[error("{0}")]
    Sqlite(String),
}

/// The longest text or blob that SQLite builds, in bytes.
const MAX_VALUE_BYTES: i32 = 256 << 20;
/// The same for a component: a function that builds one value cannot be stopped.
const MAX_GUEST_VALUE_BYTES: i32 = 64 << 20;
/// The longest statement, in bytes.
const MAX_STATEMENT_BYTES: i32 = 64 << 20;
/// VACUUM attaches one database for itself; nothing else may.
const MAX_ATTACHED: i32 = 1;
/// The longest pattern of LIKE and GLOB, in bytes: a long one takes long, and nothing stops it.
const MAX_PATTERN_BYTES: i32 = 1_000;
/// How deep triggers fire triggers.
const MAX_TRIGGER_DEPTH: i32 = 100;
/// The longest program that a statement may become.
const MAX_STEPS_OF_A_PROGRAM: i32 = 25_000_000;
/// What SQLite may hold in memory, in bytes, for all connections of the process together.
const MAX_HEAP_BYTES: i64 = 1 << 30;
/// How many steps of SQLite's machine lie between two looks at whether to stop.
const STEPS_BETWEEN_CHECKS: i32 = 4_000;

impl Place {
    /// Takes `sqlite:FILE`, `sqlite:///FILE` or `sqlite::memory:` apart.
    ///
    /// # Errors
    /// [`DriverError::Settings`].
    pub(super) fn parse(url: &str, base: &Utf8Path) -> Result<Self, DriverError> {
        let settings = |message: String| DriverError::Settings { message };
        let address = url.strip_prefix("sqlite:").unwrap_or(url);
        let (path, query) = address.split_once('?').unwrap_or((address, ""));
        let mut mode = Mode::Create;
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            mode = match parameter {
                "mode=ro" => Mode::Read,
                "mode=rw" => Mode::Write,
                "mode=rwc" => Mode::Create,
                _ => {
                    return Err(settings(format!(
                        "`{parameter}` in `{url}` is not a parameter of SQLite; there is `mode=ro`, `mode=rw` and `mode=rwc`"
                    )));
                }
            };
        }
        let path = path.strip_prefix("//").unwrap_or(path);
        let storage = match path {
            "" => {
                return Err(settings(format!(
                    "`{url}` names no file; write `sqlite:app.db` or `sqlite::memory:`"
                )));
            }
            ":memory:" => Storage::Memory(format!("whimbrel-{}", uuid::Uuid::new_v4().simple())),
            _ => {
                let path = decode(path)
                    .ok_or_else(|| settings(format!("the path in `{url}` is not UTF-8")))?;
                Storage::File(base.join(path))
            }
        };
        Ok(Self {
            url: url.to_owned(),
            storage,
            mode,
        })
    }

    /// A database file that is there.
    pub(super) fn of_file(path: Utf8PathBuf) -> Self {
        Self {
            url: format!("sqlite:{path}"),
            storage: Storage::File(path),
            mode: Mode::Write,
        }
    }

    /// The file, where it is one.
    pub(super) fn file(&self) -> Option<&Utf8Path> {
        match &self.storage {
            Storage::File(path) => Some(path),
            Storage::Memory(_) => None,
        }
    }

    /// The address, for people.
    pub(super) fn location(&self) -> &str {
        &self.url
    }

    /// Whether all of it ends with the last connection.
    pub(super) fn is_in_memory(&self) -> bool {
        matches!(self.storage, Storage::Memory(_))
    }

    /// Whether the database is there.
    pub(super) fn exists(&self) -> bool {
        match &self.storage {
            Storage::File(path) => path.exists(),
            Storage::Memory(_) => true,
        }
    }

    /// Opens the database and reads its first page.
    ///
    /// # Errors
    /// [`DriverError::Connect`]; a database error where it is locked.
    pub(super) fn open(&self, purpose: Purpose) -> Result<Opened, DriverError> {
        if let Storage::File(path) = &self.storage {
            self.look_at(path)?;
            if !self.exists() {
                if self.mode != Mode::Create {
                    return Err(self.unreachable(OpenError::NoFile(path.clone())));
                }
                if purpose == Purpose::Read {
                    let connection =
                        Connection::open_in_memory().map_err(|error| self.failed(error))?;
                    return Ok(Opened::Missing(connection));
                }
            }
        }
        let access = match (self.mode, purpose) {
            (Mode::Read, _) => OpenFlags::SQLITE_OPEN_READ_ONLY,
            (Mode::Create, Purpose::Write) => {
                OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE
            }
            _ => OpenFlags::SQLITE_OPEN_READ_WRITE,
        };
        let access = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = match &self.storage {
            // The bundled SQLite reads any name that starts with `file:` as a URI.
            Storage::File(path) if path.is_relative() => {
                Connection::open_with_flags(Path::new(".").join(path), access)
            }
            Storage::File(path) => Connection::open_with_flags(path, access),
            Storage::Memory(name) => Connection::open_with_flags(
                format!("file:/{name}?vfs=memdb"),
                access | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_CREATE,
            ),
        }
        .map_err(|error| self.failed(error))?;
        connection
            .query_row("PRAGMA schema_version", (), |_| Ok(()))
            .map_err(|error| self.failed(error))?;
        Ok(Opened::Database(connection))
    }

    /// Says in plain words what SQLite would only call "unable to open".
    fn look_at(&self, path: &Utf8Path) -> Result<(), DriverError> {
        let folder = match path.parent() {
            Some(folder) if folder != "" => folder,
            _ => Utf8Path::new("."),
        };
        let problem = if !folder.exists() {
            OpenError::NoFolder(folder.to_owned())
        } else if path.is_dir() {
            OpenError::Folder(path.to_owned())
        } else {
            match std::fs::File::open(path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => OpenError::Unreadable {
                    path: path.to_owned(),
                    source,
                },
                _ => return Ok(()),
            }
        };
        Err(self.unreachable(problem))
    }

    fn failed(&self, error: rusqlite::Error) -> DriverError {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => error::convert(error, ""),
            Some(ErrorCode::NotADatabase) => {
                let name = match &self.storage {
                    Storage::File(path) => path.as_str(),
                    Storage::Memory(name) => name,
                };
                self.unreachable(OpenError::NotADatabase(name.to_owned()))
            }
            _ => self.unreachable(OpenError::Sqlite(error.to_string())),
        }
    }

    fn unreachable(&self, problem: OpenError) -> DriverError {
        DriverError::Connect {
            location: self.url.clone(),
            source: Arc::new(problem),
        }
    }
}

/// Sets a connection up so that no schema and no statement reaches beyond the database, and so that it stops when
/// `control` says so, also while it waits for a lock, which it does for at most `lock_timeout`.
///
/// # Errors
/// Whatever SQLite reports.
pub(super) fn harden(
    connection: &mut Connection,
    control: &Arc<Control>,
    lock_timeout: Duration,
) -> rusqlite::Result<()> {
    for (setting, value) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, false),
        (DbConfig::SQLITE_DBCONFIG_LEGACY_ALTER_TABLE, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, true),
    ] {
        connection.set_db_config(setting, value)?;
    }
    for (limit, value) in [
        (Limit::SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, MAX_STATEMENT_BYTES),
        (Limit::SQLITE_LIMIT_ATTACHED, MAX_ATTACHED),
        (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, MAX_PATTERN_BYTES),
        (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, MAX_TRIGGER_DEPTH),
        (Limit::SQLITE_LIMIT_VDBE_OP, MAX_STEPS_OF_A_PROGRAM),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
    ] {
        connection.set_limit(limit, value)?;
    }
    let stop = Arc::clone(control);
    connection.progress_handler(STEPS_BETWEEN_CHECKS, Some(move || stop.must_stop()))?;
    let stop = Arc::clone(control);
    let mut since = Instant::now();
    connection.busy_handler(Some(move |tries: i32| {
        if tries == 0 {
            since = Instant::now();
        }
        let left = lock_timeout.saturating_sub(since.elapsed());
        if left.is_zero() || stop.must_stop() {
            return false;
        }
        let pause = Duration::from_millis(u64::from(tries.unsigned_abs()).clamp(1, 25));
        std::thread::sleep(pause.min(left));
        true
    }))
}

/// Bounds the values that statements build in somebody's name.
///
/// # Errors
/// Whatever SQLite reports.
pub(super) fn bound_values(
    connection: &Connection,
    authority: &Authority,
) -> Result<(), DriverError> {
    let most = match authority {
        Authority::Guest(_) => MAX_GUEST_VALUE_BYTES,
        Authority::Host | Authority::File(_) => MAX_VALUE_BYTES,
    };
    connection
        .set_limit(Limit::SQLITE_LIMIT_LENGTH, most)
        .map_err(|problem| error::convert(problem, ""))?;
    Ok(())
}

/// Bounds the memory of SQLite for the whole process, from the first migration on: one statement can build any number of
/// values, each of which is within its limit. A lower bound that is set already stays.
///
/// # Errors
/// Whatever SQLite reports.
pub(super) fn bound_memory(connection: &Connection) -> Result<(), DriverError> {
    connection
        .pragma_update(None, "hard_heap_limit", MAX_HEAP_BYTES)
        .map_err(|problem| error::convert(problem, ""))
}

/// Resolves `%20` and its like; a percent sign that starts no escape stands for itself.
fn decode(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escape = (first == b'%')
            .then(|| after.get(..2))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(escape.unwrap_or(first));
        rest = if escape.is_some() { &after[2..] } else { after };
    }
    String::from_utf8(bytes).ok()
}
