//! PostgreSQL, over tokio-postgres.

mod backup;
mod cancel;
mod error;
mod isolation;
mod lease;
mod link;
mod lock;
mod pooler;
mod scratch;
mod session;
mod settings;
mod statements;
mod tls;
mod values;

use std::time::Duration;

use async_trait::async_trait;
use camino::Utf8Path;

use super::backup::{BackupError, Restoration};
use super::{
    Authority, Dialect, Driver, DriverError, GuestRole, Isolation, RunLock, RunLockKind, Scratch,
    Session, Settings, Value,
};
use crate::sql::guard::Protected;
use isolation::IsolatedSession;
use link::Link;
use lock::PostgresLock;
use session::PostgresSession;
use settings::{ConnectSettings, Environment};

/// A Postgres database.
#[derive(Debug, Clone)]
pub struct Postgres {
    connection: ConnectSettings,
    /// None where the user's own `options` set it.
    lock_timeout: Option<Duration>,
    run_lock: RunLockKind,
    protected: Protected,
    version_table: String,
    isolation: Isolation,
}

impl Postgres {
    /// Takes the URL apart and fills in what it leaves out from the environment, as psql does; does not connect.
    ///
    /// # Errors
    /// [`DriverError::Settings`] when a part of the URL makes no sense.
    pub fn new(url: &str, settings: &Settings) -> Result<Self, DriverError> {
        let connection = ConnectSettings::parse(url, &Environment::of_process())?;
        let lock_timeout =
            (!connection.options_set("lock_timeout")).then_some(settings.lock_timeout);
        Ok(Self {
            connection,
            lock_timeout,
            run_lock: settings.run_lock,
            protected: Protected::new(&settings.version_table),
            version_table: settings.version_table.clone(),
            isolation: settings.isolation.clone(),
        })
    }

    fn session(&self, link: Link) -> PostgresSession {
        PostgresSession::new(
            link,
            self.connection.clone(),
            self.lock_timeout,
            self.protected.clone(),
        )
    }
}

#[async_trait]
impl Driver for Postgres {
    fn dialect(&self) -> Dialect {
        Dialect::Postgresql
    }

    fn location(&self) -> String {
        self.connection.location()
    }

    async fn connect(&self) -> Result<Box<dyn Session>, DriverError> {
        let link = Link::open(&self.connection, |_| {}).await?;
        let session = self.session(link);
        Ok(match &self.isolation {
            Isolation::None => Box::new(session),
            Isolation::Role(guest) => {
                Box::new(IsolatedSession::new(session, self.clone(), guest.clone()))
            }
        })
    }

    async fn ensure_guest(&self, guest: &GuestRole) -> Result<Vec<String>, DriverError> {
        let link = Link::open(&self.connection, |_| {}).await?;
        let mut session = self.session(link);
        session.assume(Authority::Host).await?;
        session.begin().await?;
        let notes = self.set_up_guest(&mut session, guest).await;
        match notes {
            Ok(notes) => {
                session.commit(&[], super::Durability::Now).await?;
                Ok(notes)
            }
            Err(error) => {
                // The first error is the one to report; the transaction ends with the session at the latest.
                let _ = session.rollback().await;
                Err(error)
            }
        }
    }

    async fn open_lock(&self, version_table: &str) -> Result<Box<dyn RunLock>, DriverError> {
        let link = Link::open(&self.connection, |config| {
            config.application_name("whimbrel lock");
        })
        .await?;
        let connection = self.connection.clone();
        Ok(Box::new(PostgresLock::new(
            link,
            connection,
            version_table,
            self.run_lock,
        )))
    }

    async fn back_up(&self, to: &Utf8Path) -> Result<(), BackupError> {
        self.dump(to).await
    }

    async fn open_backup(&self, from: &Utf8Path) -> Result<Box<dyn Restoration>, BackupError> {
        self.open_dump(from).await
    }

    async fn scratch(&self) -> Result<Box<dyn Scratch>, DriverError> {
        self.make_scratch().await
    }
}

/// A name in quotes.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as a literal, whatever `standard_conforming_strings` says.
fn text_literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// A value as a literal. In quotes it has no type of its own, as a parameter has none: its place says what it is.
///
/// # Errors
/// [`DriverError::Conversion`] for a text with a NUL character, which no literal can have.
pub fn literal(value: &Value, number: usize) -> Result<String, DriverError> {
    let Some(text) = values::text_form(value) else {
        return Ok("NULL".to_owned());
    };
    if text.contains('\0') {
        return Err(DriverError::Conversion(format!(
            "parameter ${number} ({}) contains a NUL character",
            value.case()
        )));
    }
    let quoted = text.replace('\'', "''");
    Ok(match quoted.contains('\\') {
        true => format!("E'{}'", quoted.replace('\\', "\\\\")),
        false => format!("'{quoted}'"),
    })
}
