//! Why files cannot be made.

use std::io;

use camino::Utf8PathBuf;
use thiserror::Error;

use crate::config::leads_outside;

/// Why a project or a migration cannot be made.
#[derive(Debug, Error)]
pub enum ScaffoldError {
    /// The file or folder is there already; it was left as it is.
    #[error("{path} exists already")]
    Exists {
        /// Which.
        path: Utf8PathBuf,
    },
    /// The path leads out of the project's folder.
    #[error("{path} leads out of the project's folder")]
    Outside {
        /// Which.
        path: Utf8PathBuf,
    },
    /// The file system refuses.
    #[error("cannot write {path}")]
    Io {
        /// Which.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl ScaffoldError {
    pub(super) fn io(path: impl Into<Utf8PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        if source.kind() == io::ErrorKind::AlreadyExists {
            Self::Exists { path }
        } else if leads_outside(&source) {
            Self::Outside { path }
        } else {
            Self::Io { path, source }
        }
    }
}
