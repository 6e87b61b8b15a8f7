//! One connection: how it is made, driven and cancelled.

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::config::SslMode as Encryption;
use tokio_postgres::error::SqlState;
use tokio_postgres::{AsyncMessage, Client, Config, Connection, NoTls, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::cancel::PostgresCanceller;
use super::error::{self, chain, database_error};
use super::settings::{ConnectSettings, Host, Target};
use super::tls::SslMode;
use crate::driver::DriverError;

/// How many notices are kept for a caller that does not ask for them.
const MAX_NOTICES: usize = 1_000;

/// A live connection, driven by a task of its own.
pub(super) struct Link {
    pub(super) client: Arc<Client>,
    asides: Arc<Asides>,
    target: Target,
    encryption: Option<MakeRustlsConnect>,
}

/// What the server says without having been asked.
#[derive(Default)]
struct Asides {
    notices: Mutex<Vec<Notice>>,
    /// Why the connection ended.
    end: OnceLock<DriverError>,
}

struct Notice {
    sqlstate: SqlState,
    text: String,
}

/// Every server that was tried, and why it did not do.
#[derive(Debug)]
struct Failures(Vec<(Target, String)>);

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (target, why)) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { "; " };
            write!(f, "{separator}{target}: {why}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failures {}

impl Link {
    /// Connects to the first server that lets us in. `adjust` may change what is sent at the start.
    ///
    /// # Errors
    /// [`DriverError::Connect`] with every server's refusal; [`DriverError::Settings`].
    pub(super) async fn open(
        settings: &ConnectSettings,
        adjust: impl Fn(&mut Config),
    ) -> Result<Self, DriverError> {
        let mut failures = Vec::new();
        for target in settings.targets_in_order() {
            let (password, warning) = settings.password_for(target)?;
            let mut config = settings.config(target, password.as_ref());
            adjust(&mut config);
            let attempt = connect_to(settings, target, config);
            let connected = match settings.connect_timeout {
                Some(limit) => tokio::time::timeout(limit, attempt)
                    .await
                    .unwrap_or_else(|_| Err(Refusal::Text(format!("no answer within {limit:?}")))),
                None => attempt.await,
            };
            let why = match connected {
                Ok(link) => {
                    link.asides.say(SqlState::WARNING, warning);
                    return Ok(link);
                }
                Err(Refusal::Settings(error)) => return Err(error),
                Err(refusal) if settings.targets.len() == 1 && warning.is_none() => {
                    return Err(DriverError::Connect {
                        location: settings.location(),
                        source: refusal.into_source(),
                    });
                }
                Err(refusal) => refusal.to_string(),
            };
            let why = warning.map_or(why.clone(), |warning| format!("{why} ({warning})"));
            failures.push((target.clone(), why));
        }
        Err(DriverError::Connect {
            location: settings.location(),
            source: Arc::new(Failures(failures)),
        })
    }

    /// Translates an error of this connection, adding why the connection ended where that is known.
    pub(super) fn translate(&self, error: tokio_postgres::Error) -> DriverError {
        match error::translate(error) {
            closed @ DriverError::Closed { .. } => self.asides.end.get().cloned().unwrap_or(closed),
            other => other,
        }
    }

    /// The notices since the last call, as text.
    pub(super) fn take_notices(&self) -> Vec<String> {
        std::mem::take(&mut *self.asides.notices())
            .into_iter()
            .map(|notice| notice.text)
            .collect()
    }

    /// Whether a notice with this code waits to be taken.
    pub(super) fn was_noticed(&self, sqlstate: &SqlState) -> bool {
        self.asides
            .notices()
            .iter()
            .any(|notice| notice.sqlstate == *sqlstate)
    }

    pub(super) fn canceller(&self) -> PostgresCanceller {
        PostgresCanceller {
            token: self.client.cancel_token(),
            target: self.target.clone(),
            encryption: self.encryption.clone(),
        }
    }
}

impl Asides {
    fn notices(&self) -> std::sync::MutexGuard<'_, Vec<Notice>> {
        self.notices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, sqlstate: SqlState, text: impl IntoIterator<Item = String>) {
        let mut notices = self.notices();
        for text in text {
            if notices.len() < MAX_NOTICES {
                notices.push(Notice {
                    sqlstate: sqlstate.clone(),
                    text,
                });
            }
        }
    }
}

/// Why a server did not do.
enum Refusal {
    Postgres(tokio_postgres::Error),
    Settings(DriverError),
    Text(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postgres(error) => match error.as_db_error() {
                Some(report) => f.write_str(report.message()),
                None => f.write_str(&chain(error)),
            },
            Self::Settings(error) => error.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl Refusal {
    fn into_source(self) -> Arc<dyn std::error::Error + Send + Sync> {
        match self {
            Self::Postgres(error) => match error.as_db_error() {
                Some(report) => Arc::new(database_error(report)),
                None => Arc::new(error),
            },
            Self::Settings(error) => Arc::new(error),
            Self::Text(text) => Arc::from(Box::<dyn std::error::Error + Send + Sync>::from(text)),
        }
    }

    /// Whether the other choice of encryption may do better: the server's access rules tell encrypted connections
    /// from others, and a handshake may fail.
    fn may_depend_on_encryption(&self) -> bool {
        match self {
            Self::Postgres(error) => match error.code() {
                Some(code) => *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
                None => error
                    .to_string()
                    .starts_with("error performing TLS handshake"),
            },
            _ => false,
        }
    }
}

async fn connect_to(
    settings: &ConnectSettings,
    target: &Target,
    mut config: Config,
) -> Result<Link, Refusal> {
    let attempts: &[Encryption] = match (settings.tls.mode, &target.host) {
        (SslMode::Disable, _) | (_, Host::Unix(_)) => &[Encryption::Disable],
        (SslMode::Allow, _) => &[Encryption::Disable, Encryption::Require],
        (SslMode::Prefer, _) => &[Encryption::Prefer, Encryption::Disable],
        (SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull, _) => &[Encryption::Require],
    };
    let mut first_refusal = None;
    for &encryption in attempts {
        config.ssl_mode(encryption);
        let connected = if encryption == Encryption::Disable {
            connect(&config, target, NoTls, None).await
        } else {
            let connector = settings.tls.connector().map_err(Refusal::Settings)?;
            connect(&config, target, connector.clone(), Some(connector)).await
        };
        match connected.map_err(Refusal::Postgres) {
            Ok(link) => return Ok(link),
            Err(refusal) if refusal.may_depend_on_encryption() => {
                first_refusal.get_or_insert(refusal);
            }
            Err(refusal) => return Err(first_refusal.unwrap_or(refusal)),
        }
    }
    Err(first_refusal.unwrap_or_else(|| Refusal::Text("no way to connect was left".to_owned())))
}

async fn connect<T>(
    config: &Config,
    target: &Target,
    tls: T,
    encryption: Option<MakeRustlsConnect>,
) -> Result<Link, tokio_postgres::Error>
where
    T: tokio_postgres::tls::MakeTlsConnect<Socket>,
    T::Stream: Send + 'static,
{
    let (client, connection) = config.connect(tls).await?;
    let asides = Arc::new(Asides::default());
    tokio::spawn(drive(connection, asides.clone()));
    Ok(Link {
        client: Arc::new(client),
        asides,
        target: target.clone(),
        encryption,
    })
}

/// Moves the connection's bytes and collects its asides until it ends.
async fn drive<S>(mut connection: Connection<Socket, S>, asides: Arc<Asides>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
        match message {
            Ok(AsyncMessage::Notice(notice)) => {
                let text = format!("{}: {}", notice.severity(), notice.message());
                asides.say(notice.code().clone(), [text]);
            }
            Ok(_) => {}
            Err(error) => {
                // The first cause counts; nobody else sets it.
                let _ = asides.end.set(error::translate(error));
                return;
            }
        }
    }
}
