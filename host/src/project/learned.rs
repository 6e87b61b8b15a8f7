//! Writing into migrations what they turned out to ask for.

use camino::{Utf8Path, Utf8PathBuf};
use thiserror::Error;

use super::Project;
use crate::capability::{Capabilities, Request};
use crate::config::Root;
use crate::revision::RevisionId;
use crate::source::{Body, Files as _, MANIFEST_FILE, SourceError};

/// Why a request could not be judged, read or written.
#[derive(Debug, Error)]
pub enum RequestError {
    /// No migration is called so.
    #[error("no migration is called {0}")]
    Unknown(RevisionId),
    /// A rule of the policy knows components by their digests, and this one cannot be read.
    #[error("a rule of the policy asks for the digest of each component: {0}")]
    Unreadable(SourceError),
    /// The policy has signers, and a signature, or the component that it is of, cannot be read.
    #[error("the policy asks who signed each component: {0}")]
    Signature(SourceError),
    /// The file system refuses.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The manifest cannot be read as TOML.
    #[error("cannot read {path}: {message}")]
    Manifest {
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        message: String,
    },
}

impl Project {
    /// What a revision asks for now.
    ///
    /// # Errors
    /// [`RequestError::Unknown`].
    pub fn requested(&self, revision: &RevisionId) -> Result<Capabilities, RequestError> {
        let migrations = self.migrations();
        let source = migrations
            .get(revision.as_str())
            .ok_or_else(|| RequestError::Unknown(revision.clone()))?;
        Ok(match &source.body {
            Body::Component(component) => component.manifest().capabilities.capabilities.clone(),
            Body::Sql(file) => file.request().cloned().unwrap_or_default(),
        })
    }

    /// Writes what a revision asks for into its manifest, or into the header of its SQL file, in the place of what stood
    /// there; returns the file. The rest of it stays as it is.
    ///
    /// # Errors
    /// A [`RequestError`].
    pub fn write_request(
        &self,
        root: &Root,
        revision: &RevisionId,
        request: &Capabilities,
    ) -> Result<Utf8PathBuf, RequestError> {
        let migrations = self.migrations();
        let source = migrations
            .get(revision.as_str())
            .ok_or_else(|| RequestError::Unknown(revision.clone()))?;
        let (path, write): (_, fn(&Utf8Path, &str, &Capabilities) -> _) = match &source.body {
            Body::Component(component) => (component.folder().join(MANIFEST_FILE), in_manifest),
            Body::Sql(_) => (source.revision.path.clone(), in_header),
        };
        let failed = |source| RequestError::Write {
            path: path.clone(),
            source,
        };
        let text = root.read(&path).map_err(failed)?;
        let text = String::from_utf8(text).map_err(|error| failed(std::io::Error::other(error)))?;
        let text = write(&path, &text, request)?;
        root.replace(&path, text.as_bytes()).map_err(failed)?;
        Ok(path)
    }
}

fn in_manifest(
    path: &Utf8Path,
    text: &str,
    request: &Capabilities,
) -> Result<String, RequestError> {
    let failed = |message: String| RequestError::Manifest {
        path: path.to_owned(),
        message,
    };
    let mut document: toml_edit::DocumentMut = text
        .parse()
        .map_err(|error: toml_edit::TomlError| failed(error.message().to_owned()))?;
    let asked = Request {
        capabilities: request.clone(),
    };
    let asked = toml::to_string(&asked).map_err(|error| failed(error.to_string()))?;
    let asked: toml_edit::DocumentMut = asked
        .parse()
        .map_err(|error: toml_edit::TomlError| failed(error.message().to_owned()))?;
    let mut table = asked.as_table().clone();
    if let Some(old) = document
        .get("capabilities")
        .and_then(toml_edit::Item::as_table)
    {
        *table.decor_mut() = old.decor().clone();
        table.set_position(old.position());
    }
    document["capabilities"] = toml_edit::Item::Table(table);
    Ok(document.to_string())
}

/// One line for each capability, where the old ones stood, or else before the first section.
fn in_header(_: &Utf8Path, text: &str, request: &Capabilities) -> Result<String, RequestError> {
    const KEY: &str = "capabilities";
    let mut lines = String::new();
    let asked = |lines: &mut String| {
        for one in request.iter() {
            lines.push_str(&format!("-- {KEY}: {one}\n"));
        }
    };
    let mut state = Place::Header;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let comment = line.trim().strip_prefix("--").map_or("", str::trim_start);
        let is_asked = comment
            .split_once(':')
            .is_some_and(|(key, _)| key.trim_end() == KEY);
        let is_section = number > 0 && comment.starts_with("whimbrel:");
        match state {
            Place::Header if is_asked || is_section || line.trim().is_empty() => {
                asked(&mut lines);
                state = match is_section {
                    true => Place::Sections,
                    false => Place::Written,
                };
            }
            Place::Written if is_section => state = Place::Sections,
            _ => {}
        }
        if state == Place::Sections || !is_asked {
            lines.push_str(line);
        }
    }
    Ok(lines)
}

/// Where in a SQL file a line stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Header,
    /// In the header, behind what was written.
    Written,
    Sections,
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn a_manifest_keeps_the_rest_of_itself() {
        let text = "# about\nid = \"a1\" # the id\n\n# what it needs\n[capabilities]\nselect = [\"old\"]\n\n[params]\nx = 1\n";
        let request = "select users(id); create table tag_*".parse().unwrap();
        let written = in_manifest(Utf8Path::new("x"), text, &request).unwrap();
        assert_eq!(
            written,
            "# about\nid = \"a1\" # the id\n\n# what it needs\n[capabilities]\nddl = [\"create table tag_*\"]\nselect = [\"users(id)\"]\n\n[params]\nx = 1\n"
        );
        let written = in_manifest(Utf8Path::new("x"), "id = \"a1\"\n", &request).unwrap();
        assert!(
            written.starts_with("id = \"a1\"\n\n[capabilities]\n"),
            "{written}"
        );
    }

    #[test]
    fn a_header_keeps_the_rest_of_itself() {
        let request = "select users(id); update users".parse().unwrap();
        let written = |text: &str| in_header(Utf8Path::new("x"), text, &request).unwrap();
        let header = "-- whimbrel:migration\n-- id: a1\n";
        let asked = "-- capabilities: select users(id)\n-- capabilities: update users\n";
        let rest = "-- whimbrel:upgrade\nSELECT 1;\n-- capabilities: no\n";
        assert_eq!(
            written(&format!("{header}{rest}")),
            format!("{header}{asked}{rest}")
        );
        let old = "-- capabilities: delete x; delete y\n-- capabilities: delete z\n";
        assert_eq!(
            written(&format!("{header}{old}{rest}")),
            format!("{header}{asked}{rest}")
        );
        assert_eq!(
            written(&format!("{header}\n{rest}")),
            format!("{header}{asked}\n{rest}")
        );
    }
}
