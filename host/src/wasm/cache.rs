//! Compiled components on disk.
//!
//! Compiled code is trusted as the host itself is. So it is kept in a [`CacheFolder`], and it gets there only by this
//! user's processes compiling it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::cache::CacheFolder;
use crate::digest::Digest;

/// A private directory of compiled components, for one configuration of one version of the engine.
pub(super) struct Cache(CacheFolder);

impl Cache {
    /// Opens the cache in `root`, or else in the user's.
    ///
    /// # Errors
    /// A sentence that says why there can be none.
    pub(super) fn open(root: Option<PathBuf>, engine: &Engine) -> Result<Self, String> {
        // The compatibility hash covers the version of wasmtime, the target and every setting of the engine.
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let configuration = format!("{:016x}", hasher.finish());
        CacheFolder::open(root, Path::new("components").join(configuration)).map(Self)
    }

    /// Whether a component is there.
    pub(super) fn contains(&self, digest: &Digest) -> bool {
        self.0.file(&name(digest)).is_file()
    }

    /// Loads a component; `None` when it is not there or cannot be used.
    pub(super) fn load(&self, engine: &Engine, digest: &Digest) -> Option<Component> {
        let path = self.0.file(&name(digest));
        #[expect(unsafe_code, reason = "the one call that takes compiled code on trust")]
        // SAFETY: the file was written by `store` of this user: `CacheFolder::open` has checked that the directory
        // belongs to this user and that nobody else can write to it or to those above it in the cache, and a file
        // appears under its name only by a rename of what was written and synced whole. It was compiled by an engine
        // of the same version and settings, since their hash is part of the path; wasmtime checks that once more.
        let loaded = unsafe { Component::deserialize_file(engine, &path) };
        loaded.ok()
    }

    /// Keeps compiled code.
    pub(super) fn store(&self, digest: &Digest, compiled: &[u8]) -> io::Result<()> {
        self.0.store(&name(digest), |file| {
            file.write_all(compiled)?;
            // Without this, a crash could leave a file of the right name and length with the wrong content.
            file.sync_data()
        })
    }
}

fn name(digest: &Digest) -> String {
    format!("{digest}.cwasm")
}
