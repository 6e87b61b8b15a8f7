//! A project of many small SQL migrations: applying all of them, and finding that none is left to apply.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::layout::Shape;
use super::measure::{medians, peak_memory, time};
use super::peer::{Peer, Tool};
use super::report::Report;
use super::{Bed, layout};
use crate::install;

const MEBIBYTE: f64 = (1 << 20) as f64;
/// How often a quick measurement is taken for each round of the long ones.
const QUICK: usize = 10;

/// The program alone: its size, its start, its memory when there is nothing to do.
pub(super) fn program(bed: &Bed, report: &mut Report) -> Result<()> {
    let size = bed.whimbrel.metadata()?.len();
    report.figure("release binary", size as f64 / MEBIBYTE, "MiB", 40.0);

    let version = |program: &PathBuf| {
        let mut command = Command::new(program);
        command.arg("--version");
        time(command)
    };
    let start = medians(
        std::slice::from_ref(&bed.whimbrel),
        bed.rounds * QUICK,
        version,
    )?;
    report.figure("`--version`", start[0].as_secs_f64() * 1e3, "ms", 5.0);

    let ours = Project::write(bed, Peer::whimbrel(bed))?;
    ours.apply(bed)?;
    let python = install::python_packages(&[])?.join("python3");
    let peak = peak_memory(&python, &ours.upgrade(bed))?;
    report.figure(
        "peak memory of a no-op",
        peak as f64 / MEBIBYTE,
        "MiB",
        30.0,
    );
    Ok(())
}

/// Whimbrel beside its peers.
pub(super) fn compare(bed: &Bed, peers: Vec<Peer>, report: &mut Report) -> Result<()> {
    let projects = std::iter::once(Peer::whimbrel(bed))
        .chain(peers)
        .map(|peer| Project::write(bed, peer))
        .collect::<Result<Vec<_>>>()?;

    let what = format!("apply {} SQL migrations", bed.migrations);
    let applying = medians(&projects, bed.rounds, |project| project.apply(bed))?;
    let (peer, theirs) = fastest(&projects, &applying)?;
    report.ratio(&what, applying[0], peer, theirs, 0.8);
    all(report, &what, &projects, &applying);

    let what = format!("no-op, {} migrations applied", bed.migrations);
    let (slow, quick): (Vec<_>, Vec<_>) = projects
        .iter()
        .partition(|project| project.peer.tool == Tool::Alembic);
    let idling = medians(&quick, bed.rounds * QUICK, |project| {
        time(project.upgrade(bed))
    })?;
    let (peer, theirs) = fastest(&quick, &idling)?;
    report.ratio(&what, idling[0], peer, theirs, 0.6);
    all(report, &what, &quick, &idling);
    let alembic = medians(&slow, bed.rounds, |project| time(project.upgrade(bed)))?;
    report.ratio(&what, idling[0], "alembic", alembic[0], 1.0 / 40.0);
    Ok(())
}

/// The fastest of the peers; the first project is Whimbrel's.
fn fastest<P: AsRef<Project>>(
    projects: &[P],
    taken: &[Duration],
) -> Result<(&'static str, Duration)> {
    let peers = projects.iter().map(AsRef::as_ref).zip(taken).skip(1);
    let (project, duration) = peers
        .min_by_key(|(_, duration)| **duration)
        .context("there is a peer")?;
    Ok((project.peer.tool.name(), *duration))
}

fn all<P: AsRef<Project>>(report: &mut Report, what: &str, projects: &[P], taken: &[Duration]) {
    for (project, duration) in projects.iter().map(AsRef::as_ref).zip(taken).skip(1) {
        report.note(
            &format!("  {}: {what}", project.peer.tool.name()),
            *duration,
        );
    }
}

/// A tool's project on disk; its database has the tool's name.
struct Project {
    peer: Peer,
    folder: PathBuf,
}

impl AsRef<Self> for Project {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl Project {
    fn write(bed: &Bed, peer: Peer) -> Result<Self> {
        let folder = bed.folder.join(peer.tool.name());
        layout::write(peer.tool, &folder, bed.migrations, Shape::Line)?;
        Ok(Self { peer, folder })
    }

    fn upgrade(&self, bed: &Bed) -> Command {
        self.peer
            .upgrade(&self.folder, &bed.server.url(self.peer.tool.name()))
    }

    /// Applies all migrations to an empty database, and makes sure that it did.
    fn apply(&self, bed: &Bed) -> Result<Duration> {
        let database = self.peer.tool.name();
        bed.server.create(database, None)?;
        let taken = time(self.upgrade(bed))?;
        let tables = bed.server.value(
            database,
            r"SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename LIKE 't\_%'",
        )?;
        ensure!(
            tables == bed.migrations as i64,
            "{database} made {tables} tables"
        );
        Ok(taken)
    }
}
