//! The SDK that comes inside the binary: a migration compiles against the version that fits the host.

use std::io;

use camino::Utf8Path;
use cap_std::fs_utf8::Dir;
use include_dir::{DirEntry, include_dir};

use super::ScaffoldError;
use crate::config::Root;
use crate::digest::Digest;

/// Where it goes, with its digest in the file of this name.
const STAMP: &str = ".whimbrel/sdk.sha256";

/// The folders, and where each goes: the crates find `wit/` two folders up, as in the repository.
static FOLDERS: [(&str, include_dir::Dir<'static>); 2] = [
    (
        ".whimbrel/sdk/rust",
        include_dir!("$CARGO_MANIFEST_DIR/../guest-sdk/rust"),
    ),
    (".whimbrel/wit", include_dir!("$CARGO_MANIFEST_DIR/../wit")),
];

/// Writes the Rust SDK into `.whimbrel/` of a project. Does nothing when it is there in this version.
///
/// # Errors
/// [`ScaffoldError::Io`].
pub fn unpack_sdk(root: &Root) -> Result<(), ScaffoldError> {
    let dir = root.dir();
    let stamp = digest().to_string();
    if dir
        .read_to_string(STAMP)
        .is_ok_and(|current| current == stamp)
    {
        return Ok(());
    }
    for (target, folder) in &FOLDERS {
        let target = Utf8Path::new(target);
        match dir.remove_dir_all(target) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(ScaffoldError::io(target, error));
            }
            _ => write_folder(dir, target, folder)?,
        }
    }
    // Last, so that an unpacking that was cut short is done again.
    dir.write(STAMP, stamp)
        .map_err(|error| ScaffoldError::io(STAMP, error))
}

fn write_folder(
    dir: &Dir,
    target: &Utf8Path,
    folder: &include_dir::Dir<'static>,
) -> Result<(), ScaffoldError> {
    dir.create_dir_all(target)
        .map_err(|error| ScaffoldError::io(target, error))?;
    for entry in folder.entries() {
        let Some(name) = entry.path().file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        let path = target.join(name);
        match entry {
            DirEntry::Dir(inner) => write_folder(dir, &path, inner)?,
            DirEntry::File(file) => dir
                .write(&path, file.contents())
                .map_err(|error| ScaffoldError::io(path, error))?,
        }
    }
    Ok(())
}

/// The digest of everything that is unpacked.
fn digest() -> Digest {
    let mut parts = Vec::new();
    for (_, folder) in &FOLDERS {
        collect(folder, &mut parts);
    }
    Digest::of_parts(parts)
}

fn collect<'a>(folder: &'a include_dir::Dir<'static>, parts: &mut Vec<&'a [u8]>) {
    for entry in folder.entries() {
        match entry {
            DirEntry::Dir(inner) => collect(inner, parts),
            DirEntry::File(file) => {
                parts.push(file.path().as_os_str().as_encoded_bytes());
                parts.push(file.contents());
            }
        }
    }
}
