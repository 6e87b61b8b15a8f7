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
        walk.enter(c"", &dir, unix::Level::Migrations)?;
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
    use std::ffi::CStr;
    use std::time::{Duration, UNIX_EPOCH};

    use rustix::fd::AsFd;
    use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, fstat, openat, statat};

    use super::{BUILD_FOLDERS, Digest, Imprint, MANIFEST_FILE, is_hidden};

    /// What was seen so far, in the order in which the file system tells it: that of a folder stays while the folder does.
    #[derive(Default)]
    pub(super) struct Walk {
        seen: Vec<u8>,
        newest: (i128, i128),
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
        pub(super) fn enter(&mut self, name: &CStr, dir: impl AsFd, level: Level) -> Option<()> {
            let dir = dir.as_fd();
            self.see(name, &fstat(dir).ok()?)?;
            // What was given may be a handle that can only be looked up in.
            let listed = openat(
                dir,
                c".",
                OFlags::DIRECTORY | OFlags::CLOEXEC,
                Mode::empty(),
            );
            for entry in Dir::new(listed.ok()?).ok()? {
                let entry = entry.ok()?;
                let name = entry.file_name();
                if is_hidden(name.to_str().ok()?) {
                    continue;
                }
                let metadata = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
                match FileType::from_raw_mode(metadata.st_mode) {
                    FileType::RegularFile => self.see(name, &metadata)?,
                    FileType::Directory => self.see_folder(name, dir, &metadata, level)?,
                    _ => return None,
                }
            }
            // No entry has an empty name: the folder ends here.
            self.seen.extend(0_u64.to_le_bytes());
            Some(())
        }

        fn see_folder(
            &mut self,
            name: &CStr,
            parent: impl AsFd,
            metadata: &Stat,
            level: Level,
        ) -> Option<()> {
            let open = || {
                let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                openat(parent, name, flags, Mode::empty()).ok()
            };
            match level {
                Level::Migration if BUILD_FOLDERS.contains(&name.to_str().ok()?) => Some(()),
                Level::Migration => self.enter(name, open()?, level),
                Level::Migrations => {
                    let dir = open()?;
                    match statat(&dir, MANIFEST_FILE, AtFlags::SYMLINK_NOFOLLOW) {
                        Ok(_) => self.enter(name, dir, Level::Migration),
                        Err(_) => self.see(name, metadata),
                    }
                }
            }
        }

        fn see(&mut self, name: &CStr, metadata: &Stat) -> Option<()> {
            let modified = (metadata.st_mtime.into(), metadata.st_mtime_nsec.into());
            let changed = (metadata.st_ctime.into(), metadata.st_ctime_nsec.into());
            if changed.1 == 0 {
                return None;
            }
            self.newest = self.newest.max(modified).max(changed);
            let name = name.to_bytes();
            self.seen.extend((name.len() as u64).to_le_bytes());
            self.seen.extend(name);
            let numbers: [i128; 8] = [
                metadata.st_dev.into(),
                metadata.st_ino.into(),
                metadata.st_mode.into(),
                metadata.st_size.into(),
                modified.0,
                modified.1,
                changed.0,
                changed.1,
            ];
            for number in numbers {
                // None has more than 64 bits, whatever type the system gives it.
                self.seen.extend(&number.to_le_bytes()[..8]);
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
