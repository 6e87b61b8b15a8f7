//! `whimbrel.lock`: what each migration was when it was last pinned.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::io;

use camino::Utf8Path;
use serde::Deserialize;
use thiserror::Error;

use super::error::SourceError;
use super::files::Files;
use super::{Migrations, SourceRevision};
use crate::capability::{Capabilities, Limits};
use crate::config::Root;
use crate::digest::Digest;
use crate::document::{self, DocumentError};
use crate::revision::RevisionId;

/// The name of the lock file, in the project's folder.
pub const LOCK_FILE: &str = "whimbrel.lock";

/// The form of the file that this version reads and writes.
const VERSION: u32 = 1;

/// What is pinned of one migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin {
    /// Of what runs.
    pub digest: Digest,
    /// Of what the component was built from; `None` where nothing is built.
    pub source: Option<Digest>,
    /// Of the parameters in `[params]`; `None` where there are none.
    pub params: Option<Digest>,
}

/// What an operator has approved of one migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// Of what runs: the approval is for this content and for no other.
    pub digest: Digest,
    /// What it may do; `None` is all that an SQL file may do that asks for nothing in particular.
    pub capabilities: Option<Capabilities>,
    /// What a call of it may use; the defaults for an SQL file.
    pub limits: Limits,
}

/// How a migration differs from what is pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drift {
    /// It is not pinned at all.
    Unpinned,
    /// What runs is not what was pinned.
    Content,
    /// The component was built from a source that has changed since.
    Source,
    /// The parameters in `[params]` have changed.
    Parameters,
}

/// Why the lock file cannot be used.
#[derive(Debug, Error)]
pub enum LockFileError {
    /// The file system refuses.
    #[error("cannot read {LOCK_FILE}")]
    Read(#[source] io::Error),
    /// The file system refuses.
    #[error("cannot write {LOCK_FILE}")]
    Write(#[source] io::Error),
    /// The file has a mistake.
    #[error(
        "{LOCK_FILE}{}: {message}; restore it from version control, or remove it and run `whimbrel build`",
        .line.map(|line| format!(":{line}")).unwrap_or_default()
    )]
    Invalid {
        /// The 1-based line, where it is known.
        line: Option<u32>,
        /// The mistake.
        message: String,
    },
}

/// The pins of a project, by revision.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lock {
    pins: BTreeMap<RevisionId, Pin>,
    approvals: BTreeMap<RevisionId, Approval>,
}

/// The file as it stands on disk.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LockDocument {
    version: u32,
    #[serde(default)]
    revisions: BTreeMap<String, PinEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PinEntry {
    digest: String,
    source: Option<String>,
    params: Option<String>,
    approved: Option<Approved>,
    approved_limits: Option<Limits>,
    approved_digest: Option<String>,
}

/// `"everything"`, or a list of capabilities.
#[derive(Deserialize)]
#[serde(untagged)]
enum Approved {
    Word(String),
    List(Capabilities),
}

/// The word for an approval that names no capabilities.
const EVERYTHING: &str = "everything";

impl Lock {
    /// Reads the lock file; a project without one has nothing pinned.
    ///
    /// # Errors
    /// [`LockFileError::Read`] or [`LockFileError::Invalid`].
    pub fn read(files: &dyn Files) -> Result<Self, LockFileError> {
        let content = match files.read(Utf8Path::new(LOCK_FILE)) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(LockFileError::Read(error)),
        };
        let text = String::from_utf8(content).map_err(|_| LockFileError::Invalid {
            line: None,
            message: "it is not valid UTF-8".to_owned(),
        })?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self, LockFileError> {
        let document: LockDocument = document::parse(text)
            .map_err(|DocumentError { line, message }| LockFileError::Invalid { line, message })?;
        if document.version != VERSION {
            return Err(LockFileError::Invalid {
                line: None,
                message: format!("it has version {}, not {VERSION}", document.version),
            });
        }
        let mut lock = Self::default();
        for (id, entry) in document.revisions {
            let invalid = |error: String| LockFileError::Invalid {
                line: None,
                message: format!("revision {id}: {error}"),
            };
            let checked = RevisionId::new(&id).map_err(|error| invalid(error.to_string()))?;
            if let Some(approval) = entry.approval().map_err(invalid)? {
                lock.approvals.insert(checked.clone(), approval);
            }
            lock.pins.insert(checked, entry.check().map_err(invalid)?);
        }
        Ok(lock)
    }

    /// What is pinned of a revision.
    pub fn get(&self, id: &str) -> Option<&Pin> {
        self.pins.get(id)
    }

    /// Pins a revision, in the place of what was pinned before.
    pub fn pin(&mut self, id: RevisionId, pin: Pin) {
        self.pins.insert(id, pin);
    }

    /// The last approval of a revision, be it for what is pinned now or for what was pinned before.
    pub fn approval(&self, id: &str) -> Option<&Approval> {
        self.approvals.get(id)
    }

    /// Approves a revision that is pinned, in the place of what was approved before.
    pub fn approve(&mut self, id: RevisionId, approval: Approval) {
        self.approvals.insert(id, approval);
    }

    /// Forgets the revisions that no migration has any more.
    pub fn retain(&mut self, migrations: &Migrations) {
        self.pins
            .retain(|id, _| migrations.get(id.as_str()).is_some());
        self.approvals
            .retain(|id, _| migrations.get(id.as_str()).is_some());
    }

    /// Compares a migration with its pin; the most serious difference, if any.
    ///
    /// # Errors
    /// When the component is not built or cannot be read.
    pub fn check(&self, migration: &SourceRevision) -> Result<Option<Drift>, SourceError> {
        let Some(pinned) = self.pins.get(&migration.revision.id) else {
            return Ok(Some(Drift::Unpinned));
        };
        let actual = migration.pin()?;
        Ok(if actual.digest != pinned.digest {
            Some(Drift::Content)
        } else if actual.source != pinned.source {
            Some(Drift::Source)
        } else if actual.params != pinned.params {
            Some(Drift::Parameters)
        } else {
            None
        })
    }

    /// Writes the lock file as a whole: it is the old one or the new one at every moment. Writes nothing when the
    /// file says the same already.
    ///
    /// # Errors
    /// [`LockFileError::Write`].
    pub fn write(&self, root: &Root) -> Result<(), LockFileError> {
        let text = self.to_text();
        let path = Utf8Path::new(LOCK_FILE);
        if Files::read(root, path).is_ok_and(|current| current == text.as_bytes()) {
            return Ok(());
        }
        root.replace(path, text.as_bytes())
            .map_err(LockFileError::Write)
    }

    /// One line a revision, in the order of the ids, so that branches merge without conflicts.
    fn to_text(&self) -> String {
        let mut text = format!(
            "# What each migration runs, as it was last built. Written by `whimbrel`; keep it in version control.\n\
             version = {VERSION}\n\n[revisions]\n"
        );
        for (id, pin) in &self.pins {
            let key = toml_edit::Key::new(id.as_str());
            // Writing to a string does not fail.
            let _ = write!(text, "{key} = {{ digest = \"{}\"", pin.digest);
            for (name, digest) in [("source", pin.source), ("params", pin.params)] {
                if let Some(digest) = digest {
                    let _ = write!(text, ", {name} = \"{digest}\"");
                }
            }
            if let Some(approval) = self.approvals.get(id) {
                let approved = match &approval.capabilities {
                    None => toml_edit::Value::from(EVERYTHING),
                    Some(capabilities) => {
                        let list: toml_edit::Array =
                            capabilities.iter().map(ToString::to_string).collect();
                        toml_edit::Value::Array(list)
                    }
                };
                if !approval.limits.set().is_empty() {
                    let limits = InlineTable(&approval.limits);
                    let _ = write!(text, ", approved_limits = {limits}");
                }
                // With its own digest: an approval for an earlier content is kept, and is not one for this content.
                let _ = write!(
                    text,
                    ", approved = {approved}, approved_digest = \"{}\"",
                    approval.digest
                );
            }
            text.push_str(" }\n");
        }
        text
    }
}

/// Limits as one line of TOML.
struct InlineTable<'a>(&'a Limits);

impl fmt::Display for InlineTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        toml::Value::try_from(self.0)
            .map_err(|_| fmt::Error)?
            .fmt(f)
    }
}

impl PinEntry {
    fn approval(&self) -> Result<Option<Approval>, String> {
        let (approved, digest) = match (&self.approved, &self.approved_digest) {
            (None, None) if self.approved_limits.is_none() => return Ok(None),
            (Some(approved), Some(digest)) => (approved, digest),
            _ => {
                return Err(
                    "`approved`, `approved_limits` and `approved_digest` go together".to_owned(),
                );
            }
        };
        let capabilities = match approved {
            Approved::List(list) => Some(list.clone()),
            Approved::Word(word) if word == EVERYTHING => None,
            Approved::Word(word) => {
                return Err(format!(
                    "approved = \"{word}\" is neither a list nor \"{EVERYTHING}\""
                ));
            }
        };
        Ok(Some(Approval {
            digest: digest
                .parse()
                .map_err(|error: crate::digest::InvalidDigest| error.to_string())?,
            capabilities,
            limits: self.approved_limits.unwrap_or_default(),
        }))
    }

    fn check(&self) -> Result<Pin, String> {
        let optional = |digest: &Option<String>| {
            digest
                .as_deref()
                .map(str::parse::<Digest>)
                .transpose()
                .map_err(|error| error.to_string())
        };
        Ok(Pin {
            digest: self
                .digest
                .parse()
                .map_err(|error: crate::digest::InvalidDigest| error.to_string())?,
            source: optional(&self.source)?,
            params: optional(&self.params)?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    fn pin(content: &str, source: Option<&str>) -> Pin {
        Pin {
            digest: Digest::of(content.as_bytes()),
            source: source.map(|source| Digest::of(source.as_bytes())),
            params: None,
        }
    }

    #[test]
    fn a_lock_reads_back_what_it_writes() {
        let mut lock = Lock::default();
        lock.pin(RevisionId::new("b.1").unwrap(), pin("b", None));
        lock.pin(RevisionId::new("0a").unwrap(), pin("a", Some("fn a() {}")));
        let text = lock.to_text();
        assert_eq!(Lock::parse(&text).unwrap(), lock);
        let lines: Vec<&str> = text.lines().skip(4).map(|line| &line[..5]).collect();
        assert_eq!(lines, ["0a = ", "\"b.1\""]);
    }

    #[test]
    fn an_approval_outlives_another_pin_but_is_not_for_it() {
        let mut lock = Lock::default();
        let id = RevisionId::new("a").unwrap();
        lock.pin(id.clone(), pin("a", None));
        let digest = pin("a", None).digest;
        let capabilities = Some("select users(id); insert \"Odd\"".parse().unwrap());
        let approval = Approval {
            digest,
            capabilities,
            limits: toml::from_str("memory = \"1GiB\"\nrows-written = 10").unwrap(),
        };
        lock.approve(id.clone(), approval.clone());
        lock.pin(id, pin("b", None));
        let read = Lock::parse(&lock.to_text()).unwrap();
        assert_eq!(read, lock);
        assert_eq!(read.approval("a"), Some(&approval));
        assert_ne!(read.get("a").unwrap().digest, digest);
        assert!(
            lock.to_text()
                .contains("approved_limits = { memory = \"1GiB\", rows-written = 10 }"),
            "{}",
            lock.to_text()
        );
        let alone = lock.to_text().replace("approved_digest", "source");
        assert!(Lock::parse(&alone).is_err());
    }

    #[test]
    fn a_damaged_lock_names_the_line() {
        let error = Lock::parse("version = 1\n<<<<<<< HEAD\n").unwrap_err();
        assert!(
            error.to_string().starts_with("whimbrel.lock:2: "),
            "{error}"
        );
    }

    #[test]
    fn a_lock_of_a_later_version_is_refused() {
        let error = Lock::parse("version = 2\n").unwrap_err();
        assert!(error.to_string().contains("version 2, not 1"), "{error}");
    }
}
