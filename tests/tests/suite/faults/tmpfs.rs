//! A small file system in memory, to fill or to make read-only.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// A mounted file system, which every user may write; unmounted on drop.
pub(super) struct Tmpfs {
    folder: TempDir,
}

impl Tmpfs {
    /// One that holds so many bytes. Panics where this process may not mount.
    pub(super) fn of_size(bytes: u64) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("whimbrel-tmpfs-")
            .tempdir()
            .unwrap();
        let options = format!("size={bytes},mode=0777");
        run(
            "mount",
            &["-t", "tmpfs", "-o", &options, "tmpfs"],
            folder.path(),
        );
        Self { folder }
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn make_read_only(&self) {
        run("mount", &["-o", "remount,ro"], self.path());
    }

    pub(super) fn make_writable(&self) {
        run("mount", &["-o", "remount,rw"], self.path());
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazily, since a server may still have a file open there.
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(self.path())
            .status();
    }
}

fn run(program: &str, arguments: &[&str], folder: &Path) {
    let output = Command::new(program).args(arguments).arg(folder).output();
    let said = match &output {
        Ok(output) if output.status.success() => return,
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    panic!(
        "this test needs a file system of its own, and `{program} {}` failed: {said}\n  hint: run the tests as \
         root, in a container with `--cap-add SYS_ADMIN`, or in `unshare --map-root-user --mount`",
        arguments.join(" ")
    );
}
