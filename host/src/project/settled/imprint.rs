//! Whether a folder has changed, without reading its files.

use std::time::SystemTime;

use camino::Utf8Path;

use crate::config::Root;
use crate::digest::Digest;
use crate::source::{BUILD_FOLDERS, MANIFEST_FILE};

/// What the file system says of a migrations folder and of all that can be a part of a migration in it: not of hidden
/// files, build folders, and what is inside of folders without a manifest.
///
/// A file cannot change without getting another time of change, which no program can set; a folder neither. Only
/// within a tick of the file system's clock they can change and bear the same time.
pub(super) struct Imprint {
    pub(super) digest: Digest,
    /// When the last change was.
    pub(super) newest: SystemTime,
}

impl Imprint {
    /// Looks at a folder. `None` where it is not to be told whether it has changed: where there are links, which can
    /// come to lead elsewhere, and where the file system counts in whole seconds.
    #[cfg(unix)]
    pub(super) fn take(root: &Root, folder: &Utf8Path) -> Option<Self> {
        let mut walk = unix::Walk::default();
        let dir = root.dir().open_dir(folder).ok()?;
        walk.enter("", &dir, unix::Level::Migrations)?;
        walk.finish()
    }

    #[cfg(not(unix))]
    pub(super) fn take(_: &Root, _: &Utf8Path) -> Option<Self> {
        None
    }

    /// Whether a file of a migration's folder is among what is looked at.
    pub(super) fn covers(folder: &Utf8Path, file: &Utf8Path) -> bool {
        let inner = file.strip_prefix(folder);
        inner.is_ok_and(|inner| {
            let mut names = inner.components();
            names.all(|name| !is_hidden(name.as_str()) && !BUILD_FOLDERS.contains(&name.as_str()))
        })
    }
}

fn is_hidden(name: &str) -> bool {
    name.starts_with('.')
}

#[cfg(unix)]
mod unix {
    use std::time::{Duration, UNIX_EPOCH};

    use cap_std::fs::MetadataExt;
    use cap_std::fs_utf8::{Dir, DirEntry, Metadata};

    use super::{BUILD_FOLDERS, Digest, Imprint, MANIFEST_FILE, is_hidden};

    /// What was seen so far.
    #[derive(Default)]
    pub(super) struct Walk {
        seen: Vec<u8>,
        newest: (i64, i64),
    }

    /// What a folder is.
    #[derive(Clone, Copy)]
    pub(super) enum Level {
        /// That of the migrations.
        Migrations,
        /// That of one of them, or one in it.
        Migration,
    }

    impl Walk {
        pub(super) fn enter(&mut self, name: &str, dir: &Dir, level: Level) -> Option<()> {
            self.see(name, &dir.dir_metadata().ok()?)?;
            let mut entries: Vec<(String, DirEntry)> = Vec::new();
            for entry in dir.entries().ok()? {
                let entry = entry.ok()?;
                let name = entry.file_name().ok()?;
                if !is_hidden(&name) {
                    entries.push((name, entry));
                }
            }
            entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
            for (name, entry) in entries {
                let metadata = entry.metadata().ok()?;
                if metadata.is_file() {
                    self.see(&name, &metadata)?;
                } else if metadata.is_dir() {
                    self.see_folder(&name, &entry, &metadata, level)?;
                } else {
                    return None;
                }
            }
            // No entry has an empty name: the folder ends here.
            self.seen.extend(0_u64.to_le_bytes());
            Some(())
        }

        fn see_folder(
            &mut self,
            name: &str,
            entry: &DirEntry,
            metadata: &Metadata,
            level: Level,
        ) -> Option<()> {
            match level {
                Level::Migration if BUILD_FOLDERS.contains(&name) => Some(()),
                Level::Migration => self.enter(name, &entry.open_dir().ok()?, level),
                Level::Migrations => {
                    let dir = entry.open_dir().ok()?;
                    if dir.symlink_metadata(MANIFEST_FILE).is_ok() {
                        self.enter(name, &dir, Level::Migration)
                    } else {
                        self.see(name, metadata)
                    }
                }
            }
        }

        fn see(&mut self, name: &str, metadata: &Metadata) -> Option<()> {
            let modified = (metadata.mtime(), metadata.mtime_nsec());
            let changed = (metadata.ctime(), metadata.ctime_nsec());
            if changed.1 == 0 {
                return None;
            }
            self.newest = self.newest.max(modified).max(changed);
            self.seen.extend((name.len() as u64).to_le_bytes());
            self.seen.extend(name.as_bytes());
            let identity = [metadata.dev(), metadata.ino(), u64::from(metadata.mode())];
            let times = [modified.0, modified.1, changed.0, changed.1];
            let size = metadata.size();
            let numbers = identity.into_iter().chain([size]);
            for number in numbers.chain(times.map(i64::cast_unsigned)) {
                self.seen.extend(number.to_le_bytes());
            }
            Some(())
        }

        pub(super) fn finish(self) -> Option<Imprint> {
            let seconds = Duration::from_secs(self.newest.0.try_into().ok()?);
            let nanoseconds = Duration::from_nanos(self.newest.1.try_into().ok()?);
            Some(Imprint {
                digest: Digest::of(&self.seen),
                newest: UNIX_EPOCH.checked_add(seconds)?.checked_add(nanoseconds)?,
            })
        }
    }
}
