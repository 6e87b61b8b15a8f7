//! SQLite, over rusqlite.
//!
//! A session is a connection on a thread of its own. Reading never makes a file: a database that is not there is
//! empty until the first write.

mod audit;
mod backup;
mod cursor;
mod decimal;
mod error;
mod foreign_keys;
mod guard;
mod lock;
mod objects;
mod place;
mod restore;
mod scratch;
mod session;
mod thread;
mod time;
mod values;
mod worker;

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use camino::Utf8Path;
use rusqlite::Connection;
use rusqlite::types::{ToSqlOutput, ValueRef};

use self::guard::Guard;
use self::lock::SqliteLock;
use self::place::{Opened, Place, Purpose};
use self::restore::SqliteRestoration;
use self::session::SqliteSession;
use super::backup::{BackupError, Restoration};
use super::{Dialect, Driver, DriverError, RunLock, Scratch, Session, Settings, Value};

/// A SQLite database: a file, or one in memory that lives as long as this value.
#[derive(Debug)]
pub struct Sqlite {
    place: Place,
    settings: Settings,
    /// Keeps a database in memory alive between sessions.
    anchor: Mutex<Option<Connection>>,
}

impl Sqlite {
    /// Takes the URL apart; does not connect. `sqlite:app.db` is relative to `base`, `sqlite:///var/app.db` is
    /// absolute, `sqlite::memory:` is a database of its own; `?mode=ro`, `rw` or `rwc` (the default) says whether it
    /// may be written and made.
    ///
    /// # Errors
    /// [`DriverError::Settings`] when a part of the URL makes no sense.
    pub fn new(url: &str, base: &Utf8Path, settings: &Settings) -> Result<Self, DriverError> {
        Ok(Self {
            place: Place::parse(url, base)?,
            settings: settings.clone(),
            anchor: Mutex::new(None),
        })
    }

    fn keep_alive(&self) -> Result<(), DriverError> {
        if self.place.is_in_memory() {
            let mut anchor = self.anchor.lock().unwrap_or_else(PoisonError::into_inner);
            if anchor.is_none()
                && let Opened::Database(connection) = self.place.open(Purpose::Write)?
            {
                *anchor = Some(connection);
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Driver for Sqlite {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn location(&self) -> String {
        self.place.location().to_owned()
    }

    async fn connect(&self) -> Result<Box<dyn Session>, DriverError> {
        self.keep_alive()?;
        let guard = Arc::new(Guard::new(&self.settings.version_table));
        let session =
            SqliteSession::open(self.place.clone(), guard, self.settings.lock_timeout).await?;
        Ok(Box::new(session))
    }

    async fn open_lock(&self, _version_table: &str) -> Result<Box<dyn RunLock>, DriverError> {
        self.keep_alive()?;
        Ok(Box::new(SqliteLock::new(self.place.clone())))
    }

    async fn back_up(&self, to: &Utf8Path) -> Result<(), BackupError> {
        let (place, to, patience) = (
            self.place.clone(),
            to.to_owned(),
            self.settings.lock_timeout,
        );
        backup::apart(move |stop| backup::back_up(&place, &to, patience, stop)).await
    }

    async fn open_backup(&self, from: &Utf8Path) -> Result<Box<dyn Restoration>, BackupError> {
        self.keep_alive()?;
        let guard = Arc::new(Guard::new(&self.settings.version_table));
        let restoration = SqliteRestoration::open(
            self.place.clone(),
            from.to_owned(),
            guard,
            self.settings.lock_timeout,
        );
        Ok(Box::new(restoration.await?))
    }

    async fn scratch(&self) -> Result<Box<dyn Scratch>, DriverError> {
        scratch::make(&self.settings)
    }
}

/// A value as a literal of the form in which SQLite keeps it.
///
/// # Errors
/// [`DriverError::Conversion`] where SQLite would change the value.
pub fn literal(value: &Value, number: usize) -> Result<String, DriverError> {
    let bound = values::bind(value, number)?;
    let kept = match &bound {
        ToSqlOutput::Borrowed(kept) => *kept,
        ToSqlOutput::Owned(kept) => ValueRef::from(kept),
        _ => ValueRef::Null,
    };
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
    Ok(match kept {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(i64::MIN) => "(-9223372036854775807 - 1)".to_owned(),
        ValueRef::Integer(integer) => integer.to_string(),
        ValueRef::Real(real) if real.is_infinite() => match real.is_sign_positive() {
            true => "9e999".to_owned(),
            false => "-9e999".to_owned(),
        },
        ValueRef::Real(real) => format!("{real:e}"),
        ValueRef::Blob(bytes) => format!("X'{}'", hex(bytes)),
        ValueRef::Text(text) => match std::str::from_utf8(text) {
            Ok(text) if !text.contains('\0') => format!("'{}'", text.replace('\'', "''")),
            _ => format!("CAST(X'{}' AS TEXT)", hex(text)),
        },
    })
}
