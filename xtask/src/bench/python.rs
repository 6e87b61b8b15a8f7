//! A backfill whose values are made in Python, beside the loops that are usually written with psycopg2.

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
use crate::guests::COMPONENTIZE_PY;
use crate::install;
use crate::process::{output, root};

enum Way {
    Backfill,
    /// One of the loops of `loop.py`.
    Loop(&'static str),
}

/// Each way in turn, each on a fresh copy of the table; all must leave the same rows.
pub(super) fn compare(bed: &Bed, report: &mut Report) -> Result<()> {
    let programs = install::python_packages(&["psycopg2-binary", COMPONENTIZE_PY])?;
    let project = project(bed, &programs)?;
    backfill::prepare_table(bed)?;
    let ways = [Way::Backfill, Way::Loop("values"), Way::Loop("range")];
    let mut checksums = Vec::new();
    let taken = medians(&ways, bed.rounds, |way| {
        let taken = fill(bed, way, &project, &programs.join("python3"))?;
        checksums.push(backfill::checksum(bed)?);
        Ok(taken)
    })?;
    ensure!(
        checksums.iter().all(|checksum| *checksum == checksums[0]),
        "the ways left different rows"
    );
    let what = format!("backfill {} rows, Python", bed.rows);
    report.ratio(&what, taken[0], "psycopg2 execute_values", taken[1], 0.7);
    report.ratio(&what, taken[0], "psycopg2 ranges, arrays", taken[2], 1.0);
    Ok(())
}

/// A project with the component, which is compiled before it is measured.
fn project(bed: &Bed, programs: &Path) -> Result<PathBuf> {
    let project = bed.folder.join("python");
    let migration = project.join("migrations/000000000006_python");
    fs::create_dir_all(&migration)?;
    fs::write(project.join("whimbrel.toml"), "")?;
    fs::write(
        migration.join("migration.toml"),
        "id = \"000000000006\"\nmessage = \"python\"\ncreated = \"2026-11-23T19:00:00Z\"\ncomponent = \"migration.wasm\"\n\
         language = \"python\"\ntransaction = \"batches\"\n\n[limits]\nmemory = \"512 MiB\"\n\n\
         [capabilities]\nselect = [\"people(family, given, id)\"]\nupdate = [\"people(initials, slug)\"]\n",
    )?;
    output(
        Command::new(programs.join("componentize-py"))
            .arg("-d")
            .arg(root().join("wit"))
            .args(["-w", "backfill", "componentize", "backfill", "-p"])
            .arg(root().join("xtask/bench/python"))
            .arg("-o")
            .arg(migration.join("migration.wasm")),
    )?;
    Ok(project)
}

fn fill(bed: &Bed, way: &Way, project: &Path, python: &Path) -> Result<Duration> {
    bed.server.create(DATABASE, Some(TEMPLATE))?;
    let url = bed.server.url(DATABASE);
    match way {
        Way::Backfill => time(Peer::whimbrel(bed).upgrade(project, &url)),
        Way::Loop(name) => {
            let mut peer = Command::new(python);
            peer.arg(root().join("xtask/bench/python/loop.py"))
                .args([name, url.as_str()]);
            time(peer)
        }
    }
}
