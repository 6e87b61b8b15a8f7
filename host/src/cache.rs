//! The user's cache: folders of what can be made again.
//!
//! What is in it is trusted as the host itself is. So a folder of it is used only if it belongs to this user and nobody
//! else can write to it or to those above it in the cache, and a file gets there only whole.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use etcetera::BaseStrategy;

/// The variable that names the cache's directory.
const VARIABLE: &str = "WHIMBREL_CACHE_DIR";

/// A private folder in the cache.
pub(crate) struct CacheFolder(PathBuf);

impl CacheFolder {
    /// Opens the folder `inner` of the cache in `root`, or else in `$WHIMBREL_CACHE_DIR` or
    /// `$XDG_CACHE_HOME/whimbrel`. Makes it where it is missing.
    ///
    /// # Errors
    /// A sentence that says why there can be none.
    pub(crate) fn open(root: Option<PathBuf>, inner: impl AsRef<Path>) -> Result<Self, String> {
        let root = root.map_or_else(default_root, Ok)?;
        let dir = root.join(&inner);
        make_private(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        let depth = inner.as_ref().components().count();
        for dir in dir.ancestors().take(depth + 1) {
            check_private(dir)?;
        }
        Ok(Self(dir))
    }

    /// The path of a file in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Puts a file there. Who reads it meanwhile sees the old one or the new one, never a part.
    ///
    /// # Errors
    /// What the file system or `write` says; an old file is then as it was.
    pub(crate) fn store(
        &self,
        name: &str,
        write: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> io::Result<()> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        let temporary = self.file(&format!("{}.{count}.tmp", std::process::id()));
        let mut file = create_private(&temporary)?;
        let written = write(&mut file).and_then(|()| fs::rename(&temporary, self.file(name)));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }
}

fn default_root() -> Result<PathBuf, String> {
    if let Some(dir) = std::env::var_os(VARIABLE).filter(|dir| !dir.is_empty()) {
        return Ok(dir.into());
    }
    let base = etcetera::choose_base_strategy().map_err(|error| error.to_string())?;
    Ok(base.cache_dir().join("whimbrel"))
}

fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
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
