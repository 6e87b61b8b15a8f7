//! The same connection for the programs that come with PostgreSQL, which read their environment.

use super::parameters::KNOWN;
use super::{ConnectSettings, Host};
use crate::driver::postgres::tls::{SslMode, TrustAnchors};

/// What the programs go by in `pg_stat_activity`.
const APPLICATION_NAME: &str = "whimbrel backup";

/// Variables that would change the connection and that no parameter stands for.
const FOREIGN: [&str; 6] = [
    "PGSERVICE",
    "PGSERVICEFILE",
    "PGREQUIRESSL",
    "PGREQUIREAUTH",
    "PGREQUIREPEER",
    "PGGSSLIB",
];

impl ConnectSettings {
    /// Has a program connect as we do. Nothing stands on its command line, which others can read.
    pub(in crate::driver::postgres) fn pass_on(&self, program: &mut tokio::process::Command) {
        for (_, variable) in KNOWN {
            if let Some(variable) = variable {
                program.env_remove(variable);
            }
        }
        for variable in FOREIGN {
            program.env_remove(variable);
        }
        for (name, value) in self.variables() {
            program.env(name, value);
        }
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        let list = |each: &dyn Fn(&super::Target) -> String| -> String {
            let all: Vec<String> = self.targets.iter().map(each).collect();
            all.join(",")
        };
        let mut variables = vec![
            (
                "PGHOST",
                list(&|target| match &target.host {
                    Host::Tcp { name, .. } => name.clone(),
                    Host::Unix(folder) => folder.display().to_string(),
                }),
            ),
            ("PGPORT", list(&|target| target.port.to_string())),
            ("PGUSER", self.user.clone()),
            ("PGDATABASE", self.database.clone()),
            ("PGAPPNAME", APPLICATION_NAME.to_owned()),
            ("PGSSLMODE", ssl_mode(self.tls.mode).to_owned()),
        ];
        let addresses = list(&|target| match &target.host {
            Host::Tcp {
                address: Some(address),
                ..
            } => address.to_string(),
            _ => String::new(),
        });
        if addresses.contains(|c| c != ',') {
            variables.push(("PGHOSTADDR", addresses));
        }
        let path = |path: &std::path::Path| path.display().to_string();
        let anchors = self.tls.anchors.as_ref().map(|anchors| match anchors {
            TrustAnchors::File(file) => path(file),
            TrustAnchors::System => "system".to_owned(),
        });
        let (certificate, key) = match &self.tls.certificate {
            Some((certificate, key)) => (Some(path(certificate)), Some(path(key))),
            None => (None, None),
        };
        let password = self.password.as_ref();
        let timeout = self.connect_timeout.map(|timeout| timeout.as_secs());
        let optional = [
            ("PGPASSWORD", password.map(|p| p.reveal().to_owned())),
            ("PGPASSFILE", self.passfile.as_deref().map(path)),
            ("PGOPTIONS", self.options.clone()),
            ("PGSSLROOTCERT", anchors),
            ("PGSSLCERT", certificate),
            ("PGSSLKEY", key),
            ("PGCONNECT_TIMEOUT", timeout.map(|s| s.to_string())),
            ("PGTARGETSESSIONATTRS", self.session_attributes()),
            ("PGCHANNELBINDING", self.binding()),
            ("PGSSLNEGOTIATION", self.negotiation()),
        ];
        variables.extend(
            optional
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        variables
    }

    fn session_attributes(&self) -> Option<String> {
        use tokio_postgres::config::TargetSessionAttrs as Attributes;
        match self.target_session_attrs {
            Attributes::ReadWrite => Some("read-write".to_owned()),
            Attributes::ReadOnly => Some("read-only".to_owned()),
            _ => None,
        }
    }

    fn binding(&self) -> Option<String> {
        use tokio_postgres::config::ChannelBinding as Binding;
        match self.channel_binding {
            Binding::Disable => Some("disable".to_owned()),
            Binding::Require => Some("require".to_owned()),
            _ => None,
        }
    }

    fn negotiation(&self) -> Option<String> {
        use tokio_postgres::config::SslNegotiation as Negotiation;
        match self.tls.negotiation {
            Negotiation::Direct => Some("direct".to_owned()),
            _ => None,
        }
    }
}

fn ssl_mode(mode: SslMode) -> &'static str {
    match mode {
        SslMode::Disable => "disable",
        SslMode::Allow => "allow",
        SslMode::Prefer => "prefer",
        SslMode::Require => "require",
        SslMode::VerifyCa => "verify-ca",
        SslMode::VerifyFull => "verify-full",
    }
}

#[cfg(test)]
mod tests {
    use super::super::Environment;
    use super::*;

    #[test]
    fn a_program_gets_all_by_its_environment() -> Result<(), crate::driver::DriverError> {
        let url = "postgres://me:se%20cret@one:5433,two/app?sslmode=require&options=-c%20a%3Db";
        let settings = ConnectSettings::parse(url, &Environment::of(&[("PGPORT", "1")]))?;
        let variables = settings.variables();
        for (name, value) in [
            ("PGHOST", "one,two"),
            ("PGUSER", "me"),
            ("PGDATABASE", "app"),
            ("PGPASSWORD", "se cret"),
            ("PGSSLMODE", "require"),
            ("PGOPTIONS", "-c a=b"),
        ] {
            assert!(variables.contains(&(name, value.to_owned())), "{name}");
        }
        let mut program = tokio::process::Command::new("pg_dump");
        program.env("PGSERVICE", "elsewhere");
        settings.pass_on(&mut program);
        let program = program.as_std();
        assert_eq!(program.get_args().count(), 0);
        let mut environment = program.get_envs();
        assert!(environment.any(|(name, value)| name == "PGSERVICE" && value.is_none()));
        Ok(())
    }
}
