//! A Rust package to a core module.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use camino::{Utf8Path, Utf8PathBuf};

use super::packages::Packages;
use super::toolchain::Toolchain;
use super::{BuildError, absolute, command};

/// Fast code, the same from everywhere, with the names of functions for backtraces. Small code would save a sixth of the
/// size, and take a tenth more time over a large table.
const PROFILE: [(&str, &str); 7] = [
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3"),
    ("CARGO_PROFILE_RELEASE_LTO", "fat"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
    ("CARGO_PROFILE_RELEASE_PANIC", "abort"),
    ("CARGO_PROFILE_RELEASE_STRIP", "debuginfo"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "false"),
    ("CARGO_PROFILE_RELEASE_INCREMENTAL", "false"),
];
/// What the caller's own build may have set, and what must not change this one.
const FOREIGN: [&str; 5] = [
    "RUSTFLAGS",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_TARGET_DIR",
    "CARGO_MAKEFLAGS",
];

/// Compiles the package in `folder`.
pub(super) fn compile(
    folder: &Utf8Path,
    target_dir: &Utf8Path,
    output: &mut dyn FnMut(&str),
) -> Result<Vec<u8>, BuildError> {
    let folder = absolute(folder)?;
    let toolchain = Toolchain::find(&folder, output)?;
    let packages = Packages::find(&toolchain, &folder, output)?;
    let own = remap(folder.as_std_path(), "/migration");
    let mut flags = remapped(toolchain.sysroot(&folder), &packages.outside);
    if packages.has_more {
        flags.push(own.clone());
    }
    let mut cargo = toolchain.cargo_rustc(&folder);
    for variable in FOREIGN {
        cargo.env_remove(variable);
    }
    cargo
        .envs(PROFILE)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join(OsStr::new("\u{1f}")))
        .arg("--target-dir")
        .arg(absolute(target_dir)?)
        .arg("--message-format=json-render-diagnostics")
        .arg("--")
        // For the package alone: with other flags cargo compiles all that it depends on once more.
        .arg(own);
    let messages = command::run(&mut cargo, output)?;
    let module = module(&messages, &folder).ok_or(BuildError::NoModule { folder })?;
    std::fs::read(&module).map_err(|source| BuildError::Io {
        path: module,
        source,
    })
}

/// Flags that keep the paths of this machine out of panic messages, so that the same source makes the same bytes. They are the
/// same for every migration with the same packages outside of its folder, so that those are compiled once.
fn remapped(sysroot: Option<PathBuf>, outside: &[(PathBuf, String)]) -> Vec<OsString> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    let registry = home.map(|home| home.join("registry/src"));
    let index = registry
        .as_deref()
        .and_then(|registry| std::fs::read_dir(registry).ok());
    let indices = index
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| remap(&entry.path(), "/crates"));
    let library = sysroot.map(|sysroot| remap(&sysroot.join("lib/rustlib/src/rust"), "/rust"));
    let outside = (outside.iter()).map(|(path, name)| remap(path, &format!("/packages/{name}")));
    library.into_iter().chain(indices).chain(outside).collect()
}

fn remap(from: &Path, to: &str) -> OsString {
    let mut flag = OsString::from("--remap-path-prefix=");
    flag.push(from);
    flag.push("=");
    flag.push(to);
    flag
}

/// The module that cargo reports for the package itself.
fn module(messages: &str, folder: &Utf8Path) -> Option<Utf8PathBuf> {
    let manifest = folder.join("Cargo.toml");
    let messages = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let own = messages.filter(|message| {
        message["reason"] == "compiler-artifact" && message["manifest_path"] == manifest.as_str()
    });
    own.filter_map(|message| {
        let files = message["filenames"]
            .as_array()?
            .iter()
            .filter_map(|name| name.as_str());
        files
            .map(Utf8PathBuf::from)
            .find(|file| file.extension() == Some("wasm"))
    })
    .next_back()
}
