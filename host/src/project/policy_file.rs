//! The file with the operator's policy.

use std::io::{Error, ErrorKind};

use camino::{Utf8Path, Utf8PathBuf};

use super::ProjectError;
use crate::config::{Config, Root, leads_outside};
use crate::policy::{POLICY_FILE, Policy, PolicyError};
use crate::source::Files;

/// The policy of a project on disk: the file that its settings name, which must be there, or else [`POLICY_FILE`] where
/// there is one. What stands there and cannot be read is never taken for none.
pub(super) fn read(config: &Config) -> Result<Option<Policy>, ProjectError> {
    let path = match config.policy() {
        Some(path) => path.to_owned(),
        None if is_absent(&config.root, POLICY_FILE.into()) => return Ok(None),
        None => Utf8PathBuf::from(POLICY_FILE),
    };
    read_at(&config.root, &path)
        .map(Some)
        .map_err(|PolicyError { line, message }| ProjectError::Policy {
            path,
            line,
            message,
        })
}

fn is_absent(root: &Root, path: &Utf8Path) -> bool {
    // A link that leads nowhere is there.
    root.dir()
        .symlink_metadata(path)
        .is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

fn read_at(root: &Root, path: &Utf8Path) -> Result<Policy, PolicyError> {
    let failed = |message: String| PolicyError {
        line: None,
        message,
    };
    let text = root
        .read(path)
        .map_err(|error| failed(unreadable(root, path, &error)))?;
    let text = String::from_utf8(text).map_err(|_| failed("is not valid UTF-8".to_owned()))?;
    Policy::parse(&text)
}

/// Why it cannot be read, and what to do.
fn unreadable(root: &Root, path: &Utf8Path, error: &Error) -> String {
    if leads_outside(error) {
        return "leads out of the project's folder; the policy is a file in it".to_owned();
    }
    match error.kind() {
        ErrorKind::NotFound if is_absent(root, path) => {
            "does not exist; write the policy there, or correct `policy` in whimbrel.toml".to_owned()
        }
        ErrorKind::NotFound => {
            "is a symbolic link that leads nowhere; make it lead to the policy, or remove it to have none".to_owned()
        }
        ErrorKind::IsADirectory => "is a folder, and should be a file with the policy".to_owned(),
        _ => format!("cannot be read: {error}"),
    }
}
