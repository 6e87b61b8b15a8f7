//! Named parameters of a connection, from the URL or else the environment.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::settings_error;
use crate::driver::DriverError;

/// The parameters that are understood, with the environment variable that stands in for each.
pub(super) const KNOWN: &[(&str, Option<&str>)] = &[
    ("application_name", Some("PGAPPNAME")),
    ("channel_binding", Some("PGCHANNELBINDING")),
    ("client_encoding", Some("PGCLIENTENCODING")),
    ("connect_timeout", Some("PGCONNECT_TIMEOUT")),
    ("dbname", Some("PGDATABASE")),
    ("fallback_application_name", None),
    ("gssencmode", Some("PGGSSENCMODE")),
    ("host", Some("PGHOST")),
    ("hostaddr", Some("PGHOSTADDR")),
    ("keepalives", None),
    ("keepalives_count", None),
    ("keepalives_idle", None),
    ("keepalives_interval", None),
    ("load_balance_hosts", Some("PGLOADBALANCEHOSTS")),
    ("options", Some("PGOPTIONS")),
    ("passfile", Some("PGPASSFILE")),
    ("password", Some("PGPASSWORD")),
    ("port", Some("PGPORT")),
    ("sslcert", Some("PGSSLCERT")),
    ("sslkey", Some("PGSSLKEY")),
    ("sslmode", Some("PGSSLMODE")),
    ("sslnegotiation", Some("PGSSLNEGOTIATION")),
    ("sslrootcert", Some("PGSSLROOTCERT")),
    ("target_session_attrs", Some("PGTARGETSESSIONATTRS")),
    ("tcp_user_timeout", None),
    ("user", Some("PGUSER")),
];

/// What the process knows beyond the URL.
pub(in crate::driver::postgres) struct Environment {
    variables: BTreeMap<&'static str, String>,
    home: Option<PathBuf>,
    /// Asks the system, which takes a while.
    user: Box<dyn Fn() -> Option<String>>,
}

impl Environment {
    /// That of this process.
    pub(in crate::driver::postgres) fn of_process() -> Self {
        Self {
            variables: variables(|name| std::env::var(name).ok()),
            home: std::env::home_dir(),
            user: Box::new(|| whoami::username().ok()),
        }
    }

    /// One made of these variables; `HOME` is the home directory and `USER` the user of the system.
    #[cfg(test)]
    pub(super) fn of(given: &[(&str, &str)]) -> Self {
        let given = |name: &str| {
            let (_, value) = given.iter().find(|(given, _)| *given == name)?;
            Some((*value).to_owned())
        };
        let user = given("USER");
        Self {
            variables: variables(given),
            home: given("HOME").map(PathBuf::from),
            user: Box::new(move || user.clone()),
        }
    }

    pub(super) fn home(&self) -> Option<&PathBuf> {
        self.home.as_ref()
    }

    pub(super) fn user(&self) -> Option<String> {
        (self.user)()
    }
}

/// The variables that stand in for parameters, as far as they are set.
fn variables(value: impl Fn(&str) -> Option<String>) -> BTreeMap<&'static str, String> {
    KNOWN
        .iter()
        .filter_map(|&(_, variable)| Some((variable?, value(variable?)?)))
        .collect()
}

struct Parameter {
    value: String,
    /// Where it was set, for messages.
    origin: String,
}

/// The parameters that are set and have not been taken yet.
pub(super) struct Parameters(BTreeMap<&'static str, Parameter>);

impl Parameters {
    /// Those of a URL, completed by the environment. An empty value counts as not set.
    ///
    /// # Errors
    /// [`DriverError::Settings`] names a parameter that is not known.
    pub(super) fn new(
        given: Vec<(String, String)>,
        environment: &Environment,
    ) -> Result<Self, DriverError> {
        let mut parameters = BTreeMap::new();
        for &(name, variable) in KNOWN {
            if let Some(variable) = variable
                && let Some(value) = environment.variables.get(variable)
            {
                let origin = variable.to_owned();
                let value = value.clone();
                parameters.insert(name, Parameter { value, origin });
            }
        }
        for (name, value) in given {
            let Some((known, _)) = KNOWN.iter().find(|(known, _)| *known == name) else {
                return Err(unknown(&name));
            };
            let origin = "the database URL".to_owned();
            parameters.insert(known, Parameter { value, origin });
        }
        parameters.retain(|_, parameter| !parameter.value.is_empty());
        Ok(Self(parameters))
    }

    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name).map(|parameter| parameter.value)
    }

    pub(super) fn take_choice<T: Clone>(
        &mut self,
        name: &str,
        choices: &[(&str, T)],
    ) -> Result<Option<T>, DriverError> {
        let Some(Parameter { value, origin }) = self.0.remove(name) else {
            return Ok(None);
        };
        match choices.iter().find(|(word, _)| *word == value) {
            Some((_, choice)) => Ok(Some(choice.clone())),
            None => {
                let words: Vec<_> = choices
                    .iter()
                    .map(|(word, _)| format!("`{word}`"))
                    .collect();
                Err(settings_error(format!(
                    "`{name}` in {origin} is `{value}`; use one of {}",
                    words.join(", ")
                )))
            }
        }
    }

    pub(super) fn take_number<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, DriverError> {
        let Some(Parameter { value, origin }) = self.0.remove(name) else {
            return Ok(None);
        };
        value.parse().map(Some).map_err(|_| {
            settings_error(format!(
                "`{name}` in {origin} is `{value}`; use a whole number"
            ))
        })
    }

    /// A number of seconds; 0 and less mean that none is set.
    pub(super) fn take_seconds(&mut self, name: &str) -> Result<Option<Duration>, DriverError> {
        Ok(self
            .take_number::<i32>(name)?
            .and_then(|seconds| u64::try_from(seconds).ok())
            .filter(|&seconds| seconds > 0)
            .map(Duration::from_secs))
    }
}

fn unknown(name: &str) -> DriverError {
    let names = KNOWN.iter().map(|(known, _)| *known);
    let nearest = names
        .map(|known| (strsim::damerau_levenshtein(known, name), known))
        .min()
        .filter(|(distance, _)| *distance <= 3);
    settings_error(match nearest {
        Some((_, nearest)) => format!(
            "the parameter `{name}` in the database URL is not known; did you mean `{nearest}`?"
        ),
        None => format!("the parameter `{name}` in the database URL is not known to Whimbrel"),
    })
}
