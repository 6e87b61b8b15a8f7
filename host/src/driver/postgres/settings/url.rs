//! The parts of a connection URL.

use super::settings_error;
use crate::driver::DriverError;

/// Takes a URL apart into libpq's parameters, in their order.
///
/// # Errors
/// [`DriverError::Settings`] says what is wrong, without repeating the URL: it may hold a password.
pub(super) fn parse(text: &str) -> Result<Vec<(String, String)>, DriverError> {
    let rest = ["postgres://", "postgresql://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme))
        .ok_or_else(|| {
            settings_error("a PostgreSQL URL starts with `postgres://` or `postgresql://`")
        })?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = login.split_once(':').unwrap_or((login, ""));

    let (mut names, mut ports) = (Vec::new(), Vec::new());
    for host in hosts.split(',') {
        let (name, port) = host_and_port(host)?;
        names.push(decode(name, "the host")?);
        ports.push(port);
    }
    let mut parameters = vec![
        ("user", decode(user, "the user")?),
        ("password", decode(password, "the password")?),
        ("host", names.join(",")),
        ("dbname", decode(database, "the database")?),
    ];
    if ports.iter().any(|port| !port.is_empty()) {
        parameters.push(("port", ports.join(",")));
    }
    let mut parameters: Vec<_> = parameters
        .into_iter()
        .filter(|(_, value)| value.chars().any(|c| c != ','))
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or_else(|| {
            settings_error("a parameter in the database URL has no value; write `name=value`")
        })?;
        let name = decode(name, "a parameter's name")?;
        let value = decode(value, &format!("`{name}`"))?;
        if name == "ssl" && value == "true" {
            parameters.push(("sslmode".to_owned(), "require".to_owned()));
        } else {
            parameters.push((name, value));
        }
    }
    Ok(parameters)
}

fn host_and_port(text: &str) -> Result<(&str, &str), DriverError> {
    if let Some(rest) = text.strip_prefix('[') {
        return rest
            .split_once(']')
            .and_then(|(address, port)| match port {
                "" => Some((address, "")),
                port => Some((address, port.strip_prefix(':')?)),
            })
            .ok_or_else(|| {
                settings_error("an IPv6 address in the database URL is written `[address]:port`")
            });
    }
    Ok(text.split_once(':').unwrap_or((text, "")))
}

/// Resolves `%41`; unlike in forms, `+` is itself.
fn decode(text: &str, part: &str) -> Result<String, DriverError> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            decoded.push(*first);
            continue;
        }
        let byte = rest
            .split_at_checked(2)
            .and_then(|(digits, tail)| {
                rest = tail;
                std::str::from_utf8(digits).ok()
            })
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .filter(|&byte| byte != 0)
            .ok_or_else(|| {
                settings_error(format!(
                    "{part} in the database URL has a `%` that two hexadecimal digits must follow; write `%25` for `%`"
                ))
            })?;
        decoded.push(byte);
    }
    String::from_utf8(decoded)
        .map_err(|_| settings_error(format!("{part} in the database URL is not UTF-8")))
}
