//! A component migration: its manifest, its component, and what it is built from.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use serde_json::{Map, Value};

use super::error::{Problem, SourceError};
use super::files::{EntryKind, Files, join};
use super::manifest::{MANIFEST_FILE, Manifest};
use super::parameters;
use super::seal::Seal;
use crate::digest::Digest;
use crate::signature::{self, Signature, Signers};

/// The languages that `whimbrel build` compiles.
const COMPILED: [&str; 1] = ["rust"];

/// Folders of a migration for what building leaves behind.
pub(crate) const BUILD_FOLDERS: [&str; 3] = ["target", "node_modules", "__pycache__"];

/// The body of a component migration. The component is read only when it is needed.
pub struct Component {
    folder: Utf8PathBuf,
    manifest: Manifest,
    files: Arc<dyn Files>,
    facts: OnceLock<Facts>,
    signature: OnceLock<(Signers, Signature)>,
}

/// What is known of the component's file once it was read.
struct Facts {
    digest: Digest,
    seal: Result<Option<Seal>, String>,
}

impl Facts {
    fn of(bytes: &[u8]) -> Self {
        Self {
            digest: Digest::of(bytes),
            seal: Seal::of(bytes),
        }
    }
}

impl Component {
    pub(super) fn new(folder: Utf8PathBuf, manifest: Manifest, files: Arc<dyn Files>) -> Self {
        Self {
            folder,
            manifest,
            files,
            facts: OnceLock::new(),
            signature: OnceLock::new(),
        }
    }

    /// The migration's folder, relative to the project.
    pub fn folder(&self) -> &Utf8Path {
        &self.folder
    }

    /// What `migration.toml` says.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The component, relative to the project.
    pub fn path(&self) -> Utf8PathBuf {
        normal(&self.folder.join(&self.manifest.component))
    }

    /// Whether the component is built from the folder's own source, so that it can be out of date. One that is there, in a
    /// language that `whimbrel build` does not compile, was built by that language's own tools.
    pub fn is_built_here(&self) -> bool {
        match self.manifest.language.as_deref() {
            None => false,
            Some(language) => COMPILED.contains(&language) || !self.files.exists(&self.path()),
        }
    }

    /// Reads the component.
    ///
    /// # Errors
    /// When it is not built or cannot be read, and when it is no longer the one that [`digest`](Self::digest) told.
    pub fn bytes(&self) -> Result<Vec<u8>, SourceError> {
        let bytes = self.read()?;
        match self.facts.get() {
            None => {
                self.facts.get_or_init(|| Facts::of(&bytes));
            }
            Some(facts) if facts.digest == Digest::of(&bytes) => {}
            Some(_) => return Err(SourceError::new(self.path(), Problem::Changed)),
        }
        Ok(bytes)
    }

    /// The digest of the component. Computed when first asked for.
    ///
    /// # Errors
    /// When it is not built or cannot be read.
    pub fn digest(&self) -> Result<Digest, SourceError> {
        Ok(self.facts()?.digest)
    }

    fn facts(&self) -> Result<&Facts, SourceError> {
        match self.facts.get() {
            Some(facts) => Ok(facts),
            None => {
                let facts = Facts::of(&self.read()?);
                Ok(self.facts.get_or_init(|| facts))
            }
        }
    }

    /// Where its signature is, if it has one, relative to the project.
    pub fn signature_path(&self) -> Utf8PathBuf {
        Utf8PathBuf::from(format!("{}.{}", self.path(), signature::EXTENSION))
    }

    /// Who signed the component: the content that [`digest`](Self::digest) tells, and no other one later. Held against it when
    /// first asked for; without a signature the component is not read.
    ///
    /// # Errors
    /// When there is a signature, and it or the component cannot be read. What is there and cannot be read is never taken for
    /// absent, or a rule that denies something to a signer would be lost.
    pub fn signature(&self, signers: &Signers) -> Result<Signature, SourceError> {
        if let Some((known, signature)) = self.signature.get()
            && known == signers
        {
            return Ok(signature.clone());
        }
        let signature = match self.signature_text()? {
            None => Signature::Absent,
            Some(text) => signers.judge(&text, &self.bytes()?),
        };
        let (known, first) = self
            .signature
            .get_or_init(|| (signers.clone(), signature.clone()));
        // Another thread may have been first, and what was said once stays.
        Ok(if known == signers {
            first.clone()
        } else {
            signature
        })
    }

    fn signature_text(&self) -> Result<Option<String>, SourceError> {
        let path = self.signature_path();
        let bytes = match self.files.read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.lists(&path) => {
                return Ok(None);
            }
            Err(error) => return Err(SourceError::io(path, error)),
        };
        if bytes.len() > signature::MAX_BYTES {
            let problem = Problem::Oversized(signature::MAX_BYTES);
            return Err(SourceError::new(path, problem));
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(SourceError::new(path, Problem::NotUtf8)),
        }
    }

    /// Whether a file is in its folder after all, as a link that leads nowhere is.
    fn lists(&self, path: &Utf8Path) -> bool {
        let folder = match path.parent() {
            None => return false,
            Some(folder) if folder.as_str().is_empty() => Utf8Path::new("."),
            Some(folder) => folder,
        };
        let entries = self.files.list(folder).unwrap_or_default();
        entries
            .iter()
            .any(|entry| Some(entry.name.as_str()) == path.file_name())
    }

    /// What the component itself says that it asks for; `None` where it does not say.
    ///
    /// # Errors
    /// When it is not built or cannot be read, and when it says it in a way that makes no sense.
    pub fn seal(&self) -> Result<Option<&Seal>, SourceError> {
        match &self.facts()?.seal {
            Ok(seal) => Ok(seal.as_ref()),
            Err(why) => Err(SourceError::new(self.path(), Problem::Seal(why.clone()))),
        }
    }

    /// How what the component says that it asks for differs from its manifest, in a sentence each. A component that does not
    /// say differs in nothing.
    ///
    /// # Errors
    /// As [`Component::seal`].
    pub fn disagreements(&self) -> Result<Vec<String>, SourceError> {
        let seal = self.seal()?;
        Ok(seal.map_or_else(Vec::new, |seal| seal.differences(&self.manifest.seal())))
    }

    fn read(&self) -> Result<Vec<u8>, SourceError> {
        let path = self.path();
        self.files.read(&path).map_err(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                SourceError::io(path, error)
            } else if self.is_built_here() {
                SourceError::new(path, Problem::NotBuilt)
            } else {
                SourceError::new(path, Problem::NoComponent)
            }
        })
    }

    /// The digest of what the component is built from: every file of the folder but the manifest, Wasm modules, their
    /// signatures, hidden files and build folders (`target`, `node_modules`, `__pycache__`). `None` when nothing is built
    /// here.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn source_digest(&self) -> Result<Option<Digest>, SourceError> {
        if !self.is_built_here() {
            return Ok(None);
        }
        let mut sources = BTreeMap::new();
        self.collect_sources(&self.folder, &mut sources)?;
        let parts = sources
            .iter()
            .flat_map(|(path, content)| [path.as_str().as_bytes(), content.as_slice()]);
        Ok(Some(Digest::of_parts(parts)))
    }

    fn collect_sources(
        &self,
        folder: &Utf8Path,
        sources: &mut BTreeMap<Utf8PathBuf, Vec<u8>>,
    ) -> Result<(), SourceError> {
        let entries = self
            .files
            .list(folder)
            .map_err(|error| SourceError::io(folder, error))?;
        for entry in entries {
            let path = join(folder, &entry.name);
            let is_source = !entry.name.starts_with('.')
                && !entry.name.ends_with(".wasm")
                && !entry.name.ends_with(".wasm.minisig")
                && entry.name != MANIFEST_FILE;
            match entry.kind {
                EntryKind::Folder if BUILD_FOLDERS.contains(&entry.name.as_str()) => {}
                EntryKind::Folder if is_source => self.collect_sources(&path, sources)?,
                EntryKind::File if is_source => {
                    let content = self
                        .files
                        .read(&path)
                        .map_err(|error| SourceError::io(&path, error))?;
                    // Relative to the migration, so that a renamed project stays what it is.
                    let inner = path.strip_prefix(&self.folder).unwrap_or(&path);
                    sources.insert(inner.to_owned(), content);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The migration's parameters with those of the run (`-x`) over them.
    ///
    /// A parameter that `[params]` gives a default takes the type of it. Any other is JSON where it reads as JSON, and
    /// text otherwise.
    ///
    /// # Errors
    /// When a parameter of the run does not read as the type of its default.
    pub fn parameters(
        &self,
        run: &BTreeMap<String, String>,
    ) -> Result<Map<String, Value>, SourceError> {
        parameters::resolve(&self.manifest.params, run)
            .map_err(|problem| SourceError::new(self.folder.join(MANIFEST_FILE), problem))
    }

    /// The digest of the parameters in `[params]`; `None` when there are none.
    pub fn parameters_digest(&self) -> Option<Digest> {
        let params = &self.manifest.params;
        (!params.is_empty()).then(|| parameters::digest(params))
    }
}

/// The path without `.` and, as far as it goes, without `..`: what is left of those leads out of the project.
fn normal(path: &Utf8Path) -> Utf8PathBuf {
    let mut normal = Utf8PathBuf::new();
    for component in path.components() {
        match component {
            Utf8Component::CurDir => {}
            Utf8Component::ParentDir if normal.file_name().is_some() => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Component")
            .field("folder", &self.folder)
            .field("manifest", &self.manifest)
            .finish_non_exhaustive()
    }
}
