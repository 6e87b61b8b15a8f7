//! The folder of a project, which nothing that the project names may leave.

use std::fmt;
use std::io::{self, Read, Write};

use camino::{Utf8Path, Utf8PathBuf};
use cap_std::ambient_authority;
use cap_std::fs_utf8::Dir;

use super::ConfigError;

/// The name of the configuration file.
pub const CONFIG_FILE: &str = "whimbrel.toml";

/// An open project folder. Every path is relative to it; one that leads out of it (absolute, by `..`, or by a
/// symbolic link) is refused by the operating system's own path lookup.
pub struct Root {
    dir: Dir,
    path: Utf8PathBuf,
    file: Utf8PathBuf,
    file_name: String,
}

impl Root {
    /// Finds the project: the folder of `config` where it is given, else the nearest folder from `start` upwards
    /// that has a [`CONFIG_FILE`].
    ///
    /// # Errors
    /// [`ConfigError::NotFound`] or [`ConfigError::Read`].
    pub fn find(start: &Utf8Path, config: Option<&Utf8Path>) -> Result<Self, ConfigError> {
        if let Some(config) = config {
            let file = start.join(config);
            let name = file.file_name().unwrap_or(CONFIG_FILE).to_owned();
            let folder = file.parent().unwrap_or(start).to_owned();
            return Self::open_with(&folder, name);
        }
        let absolute = camino::absolute_utf8(start).map_err(|source| ConfigError::Read {
            path: start.to_owned(),
            source,
        })?;
        absolute
            .ancestors()
            .find(|folder| folder.join(CONFIG_FILE).is_file())
            .map_or_else(
                || {
                    Err(ConfigError::NotFound {
                        start: absolute.clone(),
                    })
                },
                Self::open,
            )
    }

    /// Opens a folder as a project, whether it has a configuration file yet or not.
    ///
    /// # Errors
    /// [`ConfigError::Read`].
    pub fn open(folder: &Utf8Path) -> Result<Self, ConfigError> {
        Self::open_with(folder, CONFIG_FILE.to_owned())
    }

    /// A folder that is open already, as a project.
    pub(crate) fn of(dir: Dir, folder: &Utf8Path) -> Self {
        Self {
            dir,
            path: folder.to_owned(),
            file: folder.join(CONFIG_FILE),
            file_name: CONFIG_FILE.to_owned(),
        }
    }

    fn open_with(folder: &Utf8Path, file_name: String) -> Result<Self, ConfigError> {
        let folder = if folder.as_str().is_empty() {
            Utf8Path::new(".")
        } else {
            folder
        };
        let dir = Dir::open_ambient_dir(folder, ambient_authority()).map_err(|source| {
            ConfigError::Read {
                path: folder.to_owned(),
                source,
            }
        })?;
        Ok(Self {
            dir,
            path: folder.to_owned(),
            file: folder.join(&file_name),
            file_name,
        })
    }

    /// The folder.
    pub fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// The configuration file, for messages.
    pub fn file(&self) -> &Utf8Path {
        &self.file
    }

    /// The folder as a capability: paths are relative to it and cannot leave it.
    pub fn dir(&self) -> &Dir {
        &self.dir
    }

    pub(super) fn read_config(&self) -> Result<String, ConfigError> {
        let read = || {
            let mut text = String::new();
            self.dir.open(&self.file_name)?.read_to_string(&mut text)?;
            Ok(text)
        };
        read().map_err(|source| ConfigError::Read {
            path: self.file.clone(),
            source,
        })
    }

    /// Writes a whole file at once: who reads it meanwhile sees the old content or the new one, never a part.
    ///
    /// # Errors
    /// What the file system says; the old file is then as it was.
    pub fn replace(&self, path: &Utf8Path, content: &[u8]) -> io::Result<()> {
        let temporary = Utf8PathBuf::from(format!("{path}.{}.tmp", std::process::id()));
        let write = || {
            let mut file = self.dir.create(&temporary)?;
            file.write_all(content)?;
            file.sync_all()?;
            self.dir.rename(&temporary, &self.dir, path)
        };
        write().inspect_err(|_| {
            // The failure that matters is the one being returned.
            self.dir.remove_file(&temporary).ok();
        })
    }
}

/// Whether an operation was refused because its path leads out of the [`Root`].
pub(crate) fn leads_outside(error: &io::Error) -> bool {
    // The refusal is made by cap-std and not by the system, so that it has no number of the system's.
    error.kind() == io::ErrorKind::PermissionDenied && error.raw_os_error().is_none()
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Root").field(&self.path).finish()
    }
}
