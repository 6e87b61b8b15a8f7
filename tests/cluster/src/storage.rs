//! Where the data of clusters lies.

use std::env;
use std::path::{Path, PathBuf};

use rustix::fs::{statfs, statvfs};

/// The kernel's file system in memory.
const SHARED_MEMORY: &str = "/dev/shm";
const TMPFS: i64 = 0x0102_1994;
/// How much room there has to be in it, in bytes: the whole suite takes less.
const ENOUGH: u64 = 8 << 30;

/// What holds the data of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Storage {
    /// Memory, where there is enough of it, or else the disk: a database is some hundreds of files, and each test has its own.
    Memory,
    Disk,
}

impl Storage {
    /// All folders that clusters may have been left in.
    pub(crate) fn folders() -> [PathBuf; 2] {
        [SHARED_MEMORY.into(), env::temp_dir()]
    }

    /// The folder that clusters have theirs in.
    pub(crate) fn folder(self) -> PathBuf {
        let memory = Path::new(SHARED_MEMORY);
        match self {
            Self::Memory if is_roomy(memory) => memory.to_owned(),
            Self::Memory | Self::Disk => env::temp_dir(),
        }
    }
}

fn is_roomy(folder: &Path) -> bool {
    let is_memory = statfs(folder).is_ok_and(|system| system.f_type == TMPFS);
    is_memory && statvfs(folder).is_ok_and(|space| space.f_bavail * space.f_frsize >= ENOUGH)
}
