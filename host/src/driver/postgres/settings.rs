//! How to reach a server: what a URL and the environment say, as psql understands them.

mod libpq;
mod parameters;
mod passfile;
mod url;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use tokio_postgres::config::{
    ChannelBinding, LoadBalanceHosts, SslNegotiation, TargetSessionAttrs,
};

use super::tls::{SslMode, TlsSettings, TrustAnchors};
use crate::driver::DriverError;
pub(super) use parameters::Environment;
use parameters::Parameters;

/// The name that a session goes by in `pg_stat_activity`, unless the user names it.
const APPLICATION_NAME: &str = "whimbrel";

/// Where Debian and most distributions put the server's socket, and where the server itself does by default.
const SOCKET_DIRECTORIES: [&str; 2] = ["/var/run/postgresql", "/tmp"];

const DEFAULT_PORT: u16 = 5432;

/// Text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(String);

impl Secret {
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// Where one server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    /// A name or address, and the address to use for it where that was given apart.
    Tcp {
        name: String,
        address: Option<std::net::IpAddr>,
    },
    /// A directory with the server's socket.
    Unix(PathBuf),
}

/// One server to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) host: Host,
    pub(super) port: u16,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Tcp { name, .. } if name.contains(':') => write!(f, "[{name}]:{}", self.port),
            Host::Tcp { name, .. } => write!(f, "{name}:{}", self.port),
            Host::Unix(directory) => write!(f, "{}:{}", directory.display(), self.port),
        }
    }
}

/// All that is known about a connection before it is made.
#[derive(Debug, Clone)]
pub(super) struct ConnectSettings {
    pub(super) targets: Vec<Target>,
    pub(super) user: String,
    pub(super) database: String,
    pub(super) tls: TlsSettings,
    pub(super) connect_timeout: Option<Duration>,
    password: Option<Secret>,
    passfile: Option<PathBuf>,
    options: Option<String>,
    application_name: String,
    target_session_attrs: TargetSessionAttrs,
    channel_binding: ChannelBinding,
    load_balance_hosts: LoadBalanceHosts,
    keepalives: Keepalives,
    tcp_user_timeout: Option<Duration>,
}

#[derive(Debug, Clone, Default)]
struct Keepalives {
    off: bool,
    idle: Option<Duration>,
    interval: Option<Duration>,
    count: Option<u32>,
}

impl ConnectSettings {
    /// Reads a URL, filling in what it leaves out from the environment.
    ///
    /// # Errors
    /// [`DriverError::Settings`] names the part that makes no sense, and never shows a password.
    pub(super) fn parse(text: &str, environment: &Environment) -> Result<Self, DriverError> {
        let mut parameters = Parameters::new(url::parse(text)?, environment)?;
        let user = match parameters.take("user") {
            Some(user) => user,
            None => environment.user().ok_or_else(|| {
                settings_error("the database URL names no user, and the system does not tell whose process this is")
            })?,
        };
        let database = parameters.take("dbname").unwrap_or_else(|| user.clone());
        let settings = Self {
            targets: targets(&mut parameters)?,
            database,
            user,
            tls: tls(&mut parameters, environment)?,
            connect_timeout: parameters.take_seconds("connect_timeout")?,
            password: parameters.take("password").map(Secret),
            passfile: parameters
                .take("passfile")
                .map(PathBuf::from)
                .or_else(|| Some(environment.home()?.join(".pgpass"))),
            options: parameters.take("options"),
            application_name: parameters
                .take("application_name")
                .or_else(|| parameters.take("fallback_application_name"))
                .unwrap_or_else(|| APPLICATION_NAME.to_owned()),
            target_session_attrs: parameters
                .take_choice(
                    "target_session_attrs",
                    &[
                        ("any", TargetSessionAttrs::Any),
                        ("read-write", TargetSessionAttrs::ReadWrite),
                        ("primary", TargetSessionAttrs::ReadWrite),
                        ("read-only", TargetSessionAttrs::ReadOnly),
                    ],
                )?
                .unwrap_or(TargetSessionAttrs::Any),
            channel_binding: parameters
                .take_choice(
                    "channel_binding",
                    &[
                        ("disable", ChannelBinding::Disable),
                        ("prefer", ChannelBinding::Prefer),
                        ("require", ChannelBinding::Require),
                    ],
                )?
                .unwrap_or(ChannelBinding::Prefer),
            load_balance_hosts: parameters
                .take_choice(
                    "load_balance_hosts",
                    &[
                        ("disable", LoadBalanceHosts::Disable),
                        ("random", LoadBalanceHosts::Random),
                    ],
                )?
                .unwrap_or(LoadBalanceHosts::Disable),
            keepalives: Keepalives {
                off: parameters.take_choice("keepalives", &[("0", true), ("1", false)])?
                    == Some(true),
                idle: parameters.take_seconds("keepalives_idle")?,
                interval: parameters.take_seconds("keepalives_interval")?,
                count: parameters
                    .take_number("keepalives_count")?
                    .filter(|&count| count > 0),
            },
            tcp_user_timeout: parameters
                .take_number("tcp_user_timeout")?
                .filter(|&milliseconds| milliseconds > 0)
                .map(Duration::from_millis),
        };
        parameters.take_choice(
            "client_encoding",
            &[("UTF8", ()), ("utf8", ()), ("UTF-8", ()), ("auto", ())],
        )?;
        parameters.take_choice("gssencmode", &[("disable", ()), ("prefer", ())])?;
        Ok(settings)
    }

    /// The same way for another user, who is given more parameters of the server (`-c name=value`).
    pub(super) fn for_user(&self, user: &str, password: Option<&str>, options: &str) -> Self {
        Self {
            user: user.to_owned(),
            password: password.map(|password| Secret(password.to_owned())),
            options: Some(match &self.options {
                Some(own) => format!("{own} {options}"),
                None => options.to_owned(),
            }),
            ..self.clone()
        }
    }

    /// The database for people, without a password.
    pub(super) fn location(&self) -> String {
        let targets: Vec<_> = self.targets.iter().map(ToString::to_string).collect();
        format!(
            "postgres://{}@{}/{}",
            self.user,
            targets.join(","),
            self.database
        )
    }

    /// Whether the user's `options` set this parameter of the server.
    pub(super) fn options_set(&self, parameter: &str) -> bool {
        self.options
            .as_deref()
            .is_some_and(|options| options.contains(parameter))
    }

    /// The order in which to try the servers.
    pub(super) fn targets_in_order(&self) -> Vec<&Target> {
        let mut targets: Vec<_> = self.targets.iter().collect();
        if self.load_balance_hosts == LoadBalanceHosts::Random {
            rand::seq::SliceRandom::shuffle(targets.as_mut_slice(), &mut rand::rng());
        }
        targets
    }

    /// The password for one server, from the settings or the password file, and a warning about that file.
    ///
    /// # Errors
    /// [`DriverError::Settings`] when the password file cannot be read.
    pub(super) fn password_for(
        &self,
        target: &Target,
    ) -> Result<(Option<Secret>, Option<String>), DriverError> {
        if self.password.is_some() {
            return Ok((self.password.clone(), None));
        }
        match &self.passfile {
            Some(path) => passfile::look_up(path, target, &self.database, &self.user),
            None => Ok((None, None)),
        }
    }

    /// What tokio-postgres needs to know to connect to one server.
    pub(super) fn config(
        &self,
        target: &Target,
        password: Option<&Secret>,
    ) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        match &target.host {
            Host::Tcp { name, address } => {
                config.host(name);
                if let Some(address) = address {
                    config.hostaddr(*address);
                }
            }
            Host::Unix(directory) => {
                config.host_path(directory);
            }
        }
        config
            .port(target.port)
            .user(&self.user)
            .dbname(&self.database)
            .application_name(&self.application_name)
            .ssl_negotiation(self.tls.negotiation)
            .channel_binding(self.channel_binding)
            .target_session_attrs(self.target_session_attrs)
            .keepalives(!self.keepalives.off);
        if let Some(password) = password {
            config.password(password.reveal());
        }
        if let Some(options) = &self.options {
            config.options(options);
        }
        if let Some(timeout) = self.connect_timeout {
            config.connect_timeout(timeout);
        }
        if let Some(timeout) = self.tcp_user_timeout {
            config.tcp_user_timeout(timeout);
        }
        if let Some(idle) = self.keepalives.idle {
            config.keepalives_idle(idle);
        }
        if let Some(interval) = self.keepalives.interval {
            config.keepalives_interval(interval);
        }
        if let Some(count) = self.keepalives.count {
            config.keepalives_retries(count);
        }
        config
    }
}

fn settings_error(message: impl Into<String>) -> DriverError {
    DriverError::Settings {
        message: message.into(),
    }
}

/// Pairs hosts, addresses and ports as libpq does: one port serves all hosts, else there are as many.
fn targets(parameters: &mut Parameters) -> Result<Vec<Target>, DriverError> {
    let hosts = parameters.take("host");
    let addresses = parameters.take("hostaddr");
    let ports = parameters.take("port").unwrap_or_default();
    let ports = ports.split(',').map(port).collect::<Result<Vec<_>, _>>()?;
    let split = |list: &Option<String>| -> Vec<String> {
        list.iter()
            .flat_map(|list| list.split(','))
            .map(str::to_owned)
            .collect()
    };
    let (hosts, addresses) = (split(&hosts), split(&addresses));
    let count = hosts.len().max(addresses.len()).max(1);
    if !hosts.is_empty() && !addresses.is_empty() && hosts.len() != addresses.len() {
        return Err(settings_error(format!(
            "there are {} hosts but {} host addresses",
            hosts.len(),
            addresses.len()
        )));
    }
    if ports.len() != 1 && ports.len() != count {
        return Err(settings_error(format!(
            "there are {count} hosts but {} ports; give one port, or one for each host",
            ports.len()
        )));
    }
    (0..count)
        .map(|i| {
            let port = ports.get(i).copied().unwrap_or(ports[0]);
            let host = host(hosts.get(i), addresses.get(i), port)?;
            Ok(Target { host, port })
        })
        .collect()
}

fn port(text: &str) -> Result<u16, DriverError> {
    if text.is_empty() {
        return Ok(DEFAULT_PORT);
    }
    text.parse().ok().filter(|&port| port != 0).ok_or_else(|| {
        settings_error(format!(
            "`{text}` is not a port; use a number from 1 to 65535"
        ))
    })
}

fn host(name: Option<&String>, address: Option<&String>, port: u16) -> Result<Host, DriverError> {
    let address = address
        .filter(|address| !address.is_empty())
        .map(|address| {
            std::net::IpAddr::from_str(address).map_err(|_| {
                settings_error(format!("`{address}` in `hostaddr` is not an IP address"))
            })
        })
        .transpose()?;
    Ok(match (name.filter(|name| !name.is_empty()), address) {
        (Some(name), _) if name.starts_with('/') => Host::Unix(PathBuf::from(name)),
        (Some(name), address) => Host::Tcp {
            name: name.clone(),
            address,
        },
        (None, Some(address)) => Host::Tcp {
            name: address.to_string(),
            address: Some(address),
        },
        (None, None) => default_host(port),
    })
}

/// A socket directory in which a server listens, else the first that there is, else this machine by name.
fn default_host(port: u16) -> Host {
    let directories = SOCKET_DIRECTORIES.map(Path::new);
    directories
        .iter()
        .find(|directory| directory.join(format!(".s.PGSQL.{port}")).exists())
        .or_else(|| directories.iter().find(|directory| directory.is_dir()))
        .map_or_else(
            || Host::Tcp {
                name: "localhost".to_owned(),
                address: None,
            },
            |directory| Host::Unix(directory.to_path_buf()),
        )
}

fn tls(parameters: &mut Parameters, environment: &Environment) -> Result<TlsSettings, DriverError> {
    let mode = parameters.take_choice(
        "sslmode",
        &[
            ("disable", SslMode::Disable),
            ("allow", SslMode::Allow),
            ("prefer", SslMode::Prefer),
            ("require", SslMode::Require),
            ("verify-ca", SslMode::VerifyCa),
            ("verify-full", SslMode::VerifyFull),
        ],
    )?;
    let in_home = |file: &str| Some(environment.home()?.join(".postgresql").join(file));
    let (anchors, mode) = match parameters.take("sslrootcert") {
        Some(word) if word == "system" => {
            let mode = mode.unwrap_or(SslMode::VerifyFull);
            if mode != SslMode::VerifyFull {
                return Err(settings_error(
                    "`sslrootcert=system` trusts every public authority, which is only safe with `sslmode=verify-full`",
                ));
            }
            (Some(TrustAnchors::System), mode)
        }
        Some(path) => (
            Some(TrustAnchors::File(PathBuf::from(path))),
            mode.unwrap_or(SslMode::Prefer),
        ),
        None => (
            in_home("root.crt")
                .filter(|path| path.exists())
                .map(TrustAnchors::File),
            mode.unwrap_or(SslMode::Prefer),
        ),
    };
    let negotiation = parameters
        .take_choice(
            "sslnegotiation",
            &[
                ("postgres", SslNegotiation::Postgres),
                ("direct", SslNegotiation::Direct),
            ],
        )?
        .unwrap_or(SslNegotiation::Postgres);
    let certificate = parameters
        .take("sslcert")
        .map(PathBuf::from)
        .or_else(|| in_home("postgresql.crt").filter(|path| path.exists()));
    let key = parameters
        .take("sslkey")
        .map(PathBuf::from)
        .or_else(|| in_home("postgresql.key"));
    Ok(TlsSettings {
        mode,
        negotiation,
        anchors,
        certificate: certificate.zip(key),
    })
}

#[cfg(test)]
mod tests;
