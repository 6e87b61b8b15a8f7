//! Compiled components on disk.
//!
//! Compiled code is trusted as the host itself is. So it is read only from a directory that belongs to this user and
//! that nobody else can write to, and it gets there only by this process compiling it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use etcetera::BaseStrategy;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::digest::Digest;

/// The variable that names the cache's directory.
const VARIABLE: &str = "WHIMBREL_CACHE_DIR";

/// A private directory of compiled components, for one configuration of one version of the engine.
pub(super) struct Cache {
    dir: PathBuf,
}

impl Cache {
    /// Opens the cache in `root`, or else in `$WHIMBREL_CACHE_DIR` or `$XDG_CACHE_HOME/whimbrel`.
    ///
    /// # Errors
    /// A sentence that says why there can be none.
    pub(super) fn open(root: Option<PathBuf>, engine: &Engine) -> Result<Self, String> {
        let root = root.map_or_else(default_root, Ok)?;
        // The compatibility hash covers the version of wasmtime, the target and every setting of the engine.
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let dir = root
            .join("components")
            .join(format!("{:016x}", hasher.finish()));
        let fail = |error: io::Error| format!("{}: {error}", dir.display());
        make_private(&dir).map_err(fail)?;
        for dir in [&root, &root.join("components"), &dir] {
            check_private(dir)?;
        }
        Ok(Self { dir })
    }

    /// Whether a component is there.
    pub(super) fn contains(&self, digest: &Digest) -> bool {
        self.path(digest).is_file()
    }

    /// Loads a component; `None` when it is not there or cannot be used.
    pub(super) fn load(&self, engine: &Engine, digest: &Digest) -> Option<Component> {
        let path = self.path(digest);
        #[expect(unsafe_code, reason = "the one call that takes compiled code on trust")]
        // SAFETY: the file was written by `store` of this user: `open` has checked that the directory belongs to
        // this user and that nobody else can write to it or to those above it in the cache, and a file appears under
        // its name only by a rename of what was written and synced whole. It was compiled by an engine of the same
        // version and settings, since their hash is part of the path; wasmtime checks that once more.
        let loaded = unsafe { Component::deserialize_file(engine, &path) };
        loaded.ok()
    }

    /// Keeps compiled code.
    pub(super) fn store(&self, digest: &Digest, compiled: &[u8]) -> io::Result<()> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        let temporary = self.dir.join(format!("{}.{count}.tmp", std::process::id()));
        let written = write_new(&temporary, compiled)
            .and_then(|()| fs::rename(&temporary, self.path(digest)));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.dir.join(format!("{digest}.cwasm"))
    }
}

fn default_root() -> Result<PathBuf, String> {
    if let Some(dir) = std::env::var_os(VARIABLE).filter(|dir| !dir.is_empty()) {
        return Ok(dir.into());
    }
    let base = etcetera::choose_base_strategy().map_err(|error| error.to_string())?;
    Ok(base.cache_dir().join("whimbrel"))
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file: File = options.open(path)?;
    file.write_all(bytes)?;
    // Without this, a crash could leave a file of the right name and length with the wrong content.
    file.sync_data()
}

fn make_private(dir: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

#[cfg(unix)]
fn check_private(dir: &Path) -> Result<(), String> {
    use std::os::unix::fs::MetadataExt;
    let metadata =
        fs::symlink_metadata(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let user = rustix::process::geteuid().as_raw();
    let wrong = if !metadata.is_dir() {
        "is not a directory"
    } else if metadata.uid() != user {
        "belongs to another user"
    } else if metadata.mode() & 0o022 != 0 {
        "can be written by others (`chmod go-w` helps)"
    } else {
        return Ok(());
    };
    Err(format!("{} {wrong}", dir.display()))
}

#[cfg(not(unix))]
fn check_private(_: &Path) -> Result<(), String> {
    // The user's own cache folder is private by its inherited access list.
    Ok(())
}
