//! Where the files of a project come from.

use std::io::{self, Read};

use camino::{Utf8Path, Utf8PathBuf};
use cap_std::fs::FileType;

use crate::config::Root;

/// A tree of files that can be read. Paths are relative to its root and never leave it.
pub trait Files: Send + Sync {
    /// What is in a folder, in any order.
    ///
    /// # Errors
    /// When it does not exist, cannot be read, or lies outside.
    fn list(&self, folder: &Utf8Path) -> io::Result<Vec<Entry>>;

    /// The content of a file.
    ///
    /// # Errors
    /// When it does not exist, cannot be read, or lies outside.
    fn read(&self, path: &Utf8Path) -> io::Result<Vec<u8>>;

    /// Whether there is a file or folder.
    fn exists(&self, path: &Utf8Path) -> bool;
}

/// One entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the folder.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
}

/// What an entry of a folder is, symbolic links followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// Anything else, also a link that leads nowhere or outside.
    Other,
}

impl From<FileType> for EntryKind {
    fn from(kind: FileType) -> Self {
        if kind.is_file() {
            Self::File
        } else if kind.is_dir() {
            Self::Folder
        } else {
            Self::Other
        }
    }
}

impl Files for Root {
    fn list(&self, folder: &Utf8Path) -> io::Result<Vec<Entry>> {
        self.dir()
            .read_dir(folder)?
            .map(|entry| {
                let entry = entry?;
                let name = entry.file_name()?;
                let kind = entry.file_type()?;
                let kind = if kind.is_symlink() {
                    self.dir()
                        .metadata(folder.join(&name))
                        .map_or(EntryKind::Other, |metadata| metadata.file_type().into())
                } else {
                    kind.into()
                };
                Ok(Entry { name, kind })
            })
            .collect()
    }

    fn read(&self, path: &Utf8Path) -> io::Result<Vec<u8>> {
        read_file(&mut self.dir().open(path)?)
    }

    fn exists(&self, path: &Utf8Path) -> bool {
        self.dir().exists(path)
    }
}

/// Reads a file to its end. Most are small, and are then read without asking for their size first.
fn read_file(file: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut chunk = [0; 4096];
    let mut content = Vec::new();
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok(content),
            Ok(read) => content.extend_from_slice(&chunk[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if content.len() >= chunk.len() {
            file.read_to_end(&mut content)?;
            return Ok(content);
        }
    }
}

/// Files inside the binary, as `include_dir!` puts them there.
impl Files for include_dir::Dir<'static> {
    fn list(&self, folder: &Utf8Path) -> io::Result<Vec<Entry>> {
        let folder = match folder.as_str() {
            "" | "." => self,
            other => self.get_dir(other).ok_or(io::ErrorKind::NotFound)?,
        };
        folder
            .entries()
            .iter()
            .map(|entry| {
                let name = entry.path().file_name().and_then(|name| name.to_str());
                Ok(Entry {
                    name: name.ok_or(io::ErrorKind::InvalidData)?.to_owned(),
                    kind: match entry {
                        include_dir::DirEntry::Dir(_) => EntryKind::Folder,
                        include_dir::DirEntry::File(_) => EntryKind::File,
                    },
                })
            })
            .collect()
    }

    fn read(&self, path: &Utf8Path) -> io::Result<Vec<u8>> {
        let file = self.get_file(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(file.contents().to_vec())
    }

    fn exists(&self, path: &Utf8Path) -> bool {
        self.contains(path)
    }
}

/// The path of an entry, without a `./` in front.
pub(super) fn join(folder: &Utf8Path, name: &str) -> Utf8PathBuf {
    if folder == "." {
        name.into()
    } else {
        folder.join(name)
    }
}
