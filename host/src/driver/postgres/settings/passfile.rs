//! The password file, as libpq reads it.

use std::path::Path;

use super::{Host, SOCKET_DIRECTORIES, Secret, Target, settings_error};
use crate::driver::DriverError;

/// Finds the password of the first line that matches. A file that others may read is not used, and the second
/// part says so; one that does not exist holds no password.
///
/// # Errors
/// [`DriverError::Settings`] when the file is there but cannot be read.
pub(super) fn look_up(
    path: &Path,
    target: &Target,
    database: &str,
    user: &str,
) -> Result<(Option<Secret>, Option<String>), DriverError> {
    let unreadable = |error| {
        settings_error(format!(
            "cannot read the password file {}: {error}",
            path.display()
        ))
    };
    let metadata = match path.metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok((None, None)),
        Err(error) => return Err(unreadable(error)),
    };
    if !metadata.is_file() {
        let warning = format!(
            "the password file {} is not a plain file and was not used",
            path.display()
        );
        return Ok((None, Some(warning)));
    }
    #[cfg(unix)]
    if std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o077 != 0 {
        let warning = format!(
            "the password file {} can be read by others and was not used; run `chmod 0600` on it",
            path.display()
        );
        return Ok((None, Some(warning)));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    Ok((find(&text, target, database, user), None))
}

fn find(text: &str, target: &Target, database: &str, user: &str) -> Option<Secret> {
    let host = match &target.host {
        Host::Tcp { name, .. } => name.clone(),
        Host::Unix(directory)
            if SOCKET_DIRECTORIES
                .iter()
                .any(|known| directory == Path::new(known)) =>
        {
            "localhost".to_owned()
        }
        Host::Unix(directory) => directory.display().to_string(),
    };
    let wanted = [host.as_str(), &target.port.to_string(), database, user];
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .find_map(|line| {
            let fields = fields(line)?;
            let (password, keys) = fields.split_last()?;
            keys.iter()
                .zip(wanted)
                .all(|(field, wanted)| field.raw == "*" || field.text == wanted)
                .then(|| password.text.clone())
        })
        .filter(|password| !password.is_empty())
        .map(Secret)
}

struct Field<'a> {
    raw: &'a str,
    /// With `\:` and `\\` resolved.
    text: String,
}

/// The four keys and the password, which alone may hold further colons.
fn fields(line: &str) -> Option<[Field<'_>; 5]> {
    let mut rest = Some(line);
    let mut next = |last: bool| {
        let line = rest?;
        let mut text = String::new();
        let mut characters = line.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '\\' => text.extend(characters.next().map(|(_, escaped)| escaped)),
                ':' if !last => {
                    rest = Some(&line[at + 1..]);
                    return Some(Field {
                        raw: &line[..at],
                        text,
                    });
                }
                _ => text.push(character),
            }
        }
        rest = None;
        Some(Field { raw: line, text })
    };
    Some([
        next(false)?,
        next(false)?,
        next(false)?,
        next(false)?,
        next(true)?,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(file: &str, host: &str) -> Option<String> {
        let target = Target {
            host: super::super::host(Some(&host.to_owned()), None, 5432).ok()?,
            port: 5432,
        };
        find(file, &target, "db", "me").map(|secret| secret.reveal().to_owned())
    }

    #[test]
    fn the_first_line_that_matches_counts() {
        let file = "# comment\nother:*:*:*:no\nhost:5432:db:me:first\n*:*:*:*:any\n";
        assert_eq!(password(file, "host").as_deref(), Some("first"));
        assert_eq!(password(file, "elsewhere").as_deref(), Some("any"));
    }

    #[test]
    fn escapes_are_resolved_and_an_escaped_star_is_no_wildcard() {
        assert_eq!(
            password(r"*:*:*:me:a\:b\\c:d", "h").as_deref(),
            Some(r"a:b\c:d")
        );
        assert_eq!(password(r"\*:*:*:me:x", "h"), None);
        assert_eq!(password(r"a\:b:*:*:*:six", "a:b").as_deref(), Some("six"));
    }

    #[test]
    fn a_default_socket_directory_is_localhost() {
        assert_eq!(password("localhost:*:*:*:x", "/tmp").as_deref(), Some("x"));
        assert_eq!(password("localhost:*:*:*:x", "/elsewhere"), None);
        assert_eq!(
            password("/elsewhere:*:*:*:x", "/elsewhere").as_deref(),
            Some("x")
        );
    }

    #[test]
    fn short_lines_and_empty_passwords_are_passed_over() {
        assert_eq!(password("*:*:*:me\n*:*:*:*:\n", "h"), None);
    }
}
