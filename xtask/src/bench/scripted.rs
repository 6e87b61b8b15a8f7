//! Backfills whose values are made in an interpreted language, beside the loops that are usually written in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::Bed;
use super::backfill::{self, DATABASE, TEMPLATE};
use super::measure::{medians, time};
use super::peer::Peer;
use super::report::Report;
use crate::guests::{COMPONENTIZE_JS, COMPONENTIZE_PY};
use crate::install;
use crate::process::{output, root};

const NODE_POSTGRES: &str = "pg@8";

/// A loop in the language, which takes the URL of the database as its last argument.
struct Loop {
    told: &'static str,
    command: fn(&Path) -> Command,
    /// How much of its time a backfill may take.
    limit: f64,
}

enum Way<'a> {
    /// By so many workers.
    Backfill(u32),
    Loop(&'a Loop),
}

/// In Python, with psycopg2.
pub(super) fn python(bed: &Bed, report: &mut Report) -> Result<()> {
    let programs = install::python_packages(&["psycopg2-binary", COMPONENTIZE_PY])?;
    let project = project(bed, "python", |component| {
        let mut build = Command::new(programs.join("componentize-py"));
        build
            .arg("-d")
            .arg(root().join("wit"))
            .args(["-w", "backfill", "componentize", "backfill", "-p"])
            .arg(source("python"))
            .arg("-o")
            .arg(component);
        build
    })?;
    let loops = [
        Loop {
            told: "psycopg2 execute_values",
            command: |programs| python_loop(programs, "values"),
            limit: 0.7,
        },
        Loop {
            told: "psycopg2 ranges, arrays",
            command: |programs| python_loop(programs, "range"),
            limit: 1.0,
        },
    ];
    compare(bed, report, "Python", &project, &programs, &loops)
}

fn python_loop(programs: &Path, name: &str) -> Command {
    let mut python = Command::new(programs.join("python3"));
    python.arg(source("python").join("loop.py")).arg(name);
    python
}

/// In JavaScript, with `pg`.
pub(super) fn javascript(bed: &Bed, report: &mut Report) -> Result<()> {
    let modules = install::node_packages(&[NODE_POSTGRES, COMPONENTIZE_JS])?;
    let project = project(bed, "javascript", |component| {
        let mut build = Command::new(modules.join(".bin/componentize-qjs"));
        build
            .args(["--sync", "--world", "backfill", "--wit"])
            .arg(root().join("wit"))
            .arg("--js")
            .arg(source("javascript").join("backfill.js"))
            .arg("--output")
            .arg(component);
        build
    })?;
    let loops = [Loop {
        told: "node, pg",
        command: |modules| {
            let mut node = Command::new("node");
            node.arg(source("javascript").join("loop.cjs"))
                .env("NODE_PATH", modules);
            node
        },
        limit: 1.0,
    }];
    compare(bed, report, "JavaScript", &project, &modules, &loops)
}

fn source(language: &str) -> PathBuf {
    root().join("xtask/bench").join(language)
}

/// A project with a component, which is made before it is measured.
fn project(bed: &Bed, language: &str, build: impl FnOnce(&Path) -> Command) -> Result<PathBuf> {
    let project = bed.folder.join(language);
    let migration = project.join(format!("migrations/000000000006_{language}"));
    fs::create_dir_all(&migration)?;
    fs::write(project.join("whimbrel.toml"), "")?;
    fs::write(
        migration.join("migration.toml"),
        format!(
            "id = \"000000000006\"\nmessage = \"{language}\"\ncreated = \"2026-11-23T19:00:00Z\"\ncomponent = \"migration.wasm\"\n\
             language = \"{language}\"\ntransaction = \"batches\"\n\n[limits]\nmemory = \"512 MiB\"\n\n\
             [capabilities]\nselect = [\"people(family, given, id)\"]\nupdate = [\"people(initials, slug)\"]\n"
        ),
    )?;
    output(&mut build(&migration.join("migration.wasm")))?;
    Ok(project)
}

/// The backfill and the loops in turn, each on a fresh copy of the table; all must leave the same rows.
fn compare(
    bed: &Bed,
    report: &mut Report,
    language: &str,
    project: &Path,
    programs: &Path,
    loops: &[Loop],
) -> Result<()> {
    backfill::prepare_table(bed, bed.rows)?;
    let backfills = [("1 worker", 1), ("2 workers", 2)];
    let ways: Vec<Way<'_>> = (backfills.iter().map(|&(_, workers)| Way::Backfill(workers)))
        .chain(loops.iter().map(Way::Loop))
        .collect();
    let mut checksums = Vec::new();
    let taken = medians(&ways, bed.rounds, |way| {
        let taken = fill(bed, way, project, programs)?;
        checksums.push(backfill::checksum(bed)?);
        Ok(taken)
    })?;
    ensure!(
        checksums.iter().all(|checksum| *checksum == checksums[0]),
        "the ways left different rows"
    );
    let (ours, theirs) = taken.split_at(backfills.len());
    for ((workers, _), ours) in backfills.iter().zip(ours) {
        let what = format!("backfill {} rows, {language}, {workers}", bed.rows);
        for (peer, theirs) in loops.iter().zip(theirs) {
            report.ratio(&what, *ours, peer.told, *theirs, peer.limit);
        }
    }
    Ok(())
}

fn fill(bed: &Bed, way: &Way<'_>, project: &Path, programs: &Path) -> Result<Duration> {
    bed.server.create(DATABASE, Some(TEMPLATE))?;
    let url = bed.server.url(DATABASE);
    match way {
        Way::Backfill(workers) => {
            let mut upgrade = Peer::whimbrel(bed).upgrade(project, &url);
            upgrade.arg(format!("--workers={workers}"));
            time(upgrade)
        }
        Way::Loop(peer) => {
            let mut command = (peer.command)(programs);
            command.arg(&url);
            time(command)
        }
    }
}
