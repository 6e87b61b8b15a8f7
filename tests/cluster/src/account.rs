//! In whose name a server runs: PostgreSQL refuses to run as root.

use std::ffi::OsStr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The account of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Account {
    /// Whoever runs the tests.
    Ourselves,
    /// `nobody`, since we are root.
    Nobody { uid: u32, gid: u32 },
}

impl Account {
    /// The account that fits this process.
    pub(crate) fn choose() -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Ourselves);
        }
        Ok(Self::Nobody {
            uid: id_of_nobody("-u")?,
            gid: id_of_nobody("-g")?,
        })
    }

    /// A command under this account that the kernel interrupts (a fast shutdown, for a server) when the thread
    /// that spawned it ends.
    pub(crate) fn command(self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("setpriv");
        if let Self::Nobody { uid, gid } = self {
            command
                .arg(format!("--reuid={uid}"))
                .arg(format!("--regid={gid}"))
                .arg("--clear-groups");
        }
        command.args(["--pdeathsig", "INT", "--"]).arg(program);
        command
    }

    /// Gives a file or folder to this account.
    pub(crate) fn own(self, path: &Path) -> Result<()> {
        if let Self::Nobody { uid, gid } = self {
            chown(path, Some(uid), Some(gid))
                .with_context(|| format!("cannot give {} to nobody", path.display()))?;
        }
        Ok(())
    }

    /// Whether this account can reach what lies under `folder`.
    pub(crate) fn can_reach(self, folder: &Path) -> bool {
        const SEARCH_BY_OTHERS: u32 = 0o001;
        match self {
            Self::Ourselves => true,
            Self::Nobody { .. } => folder
                .ancestors()
                .filter_map(|ancestor| ancestor.metadata().ok())
                .all(|metadata| metadata.permissions().mode() & SEARCH_BY_OTHERS != 0),
        }
    }
}

fn id_of_nobody(flag: &str) -> Result<u32> {
    let output = Command::new("id")
        .args([flag, "nobody"])
        .output()
        .context("cannot run `id`")?;
    ensure!(
        output.status.success(),
        "PostgreSQL refuses to run as root, and there is no user `nobody` to run it as"
    );
    let text = String::from_utf8(output.stdout)?;
    text.trim()
        .parse()
        .with_context(|| format!("`id {flag} nobody` printed {text:?}"))
}
