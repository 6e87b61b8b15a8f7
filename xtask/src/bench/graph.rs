//! Large graphs of revisions: reading, planning and listing them, beside Alembic.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Bed;
use super::layout::{self, Shape};
use super::measure::{medians, peak_memory, time};
use super::peer::{Peer, Tool};
use super::report::Report;
use crate::process::{cargo, output};

/// How many revisions are files on disk.
const FILES: usize = 10_000;
/// How many are planned in memory alone.
const PLANNED: usize = 100_000;
/// What Alembic does to plan an upgrade to head: it has no command that does only that.
const ALEMBIC_PLANS: &str = "
from alembic.config import Config
from alembic.script import ScriptDirectory
script = ScriptDirectory.from_config(Config('alembic.ini'))
assert len(script._upgrade_revs('head', ())) == len(list(script.walk_revisions()))";

/// The commands that read the whole graph, beside Alembic's.
pub(super) fn compare(bed: &Bed, report: &mut Report) -> Result<()> {
    let (ours, theirs) = (Peer::whimbrel(bed), Peer::alembic()?);
    let (own_folder, their_folder) = (bed.folder.join("graph"), bed.folder.join("graph-alembic"));
    layout::write(Tool::Whimbrel, &own_folder, FILES, Shape::Ladder)?;
    layout::write(Tool::Alembic, &their_folder, FILES, Shape::Ladder)?;
    let url = format!("sqlite:{}", own_folder.join("none.db").display());
    let python = theirs.programs().join("python3");

    for what in ["heads", "history", "plan"] {
        let taken = medians(&[Tool::Whimbrel, Tool::Alembic], bed.rounds, |tool| {
            time(match (tool, what) {
                (Tool::Whimbrel, what) => ours.command(&own_folder, &url, &[what]),
                (_, "plan") => {
                    let mut command = Command::new(&python);
                    command
                        .current_dir(&their_folder)
                        .args(["-c", ALEMBIC_PLANS]);
                    command
                }
                (_, what) => theirs.command(&their_folder, "", &[what]),
            })
        })?;
        // Heads are all that Alembic knows when it has read the files; the rest it finds out on demand.
        if what == "heads" {
            report.note(&format!("`heads`, {FILES} revisions on disk"), taken[0]);
            report.note("  alembic: `heads`", taken[1]);
            continue;
        }
        let what = format!("`{what}`, {FILES} revisions on disk");
        report.ratio(&what, taken[0], "alembic", taken[1], 1.0 / 50.0);
    }

    let memory =
        |folder: &std::path::Path| peak_memory(&python, &ours.command(folder, &url, &["history"]));
    let tenth = bed.folder.join("graph-tenth");
    layout::write(Tool::Whimbrel, &tenth, FILES / 10, Shape::Ladder)?;
    let (few, many) = (memory(&tenth)?, memory(&own_folder)?);
    report.figure(
        &format!("memory of `history` for each of {FILES} revisions more"),
        (many.saturating_sub(few)) as f64 / (FILES - FILES / 10) as f64 / 1024.0,
        "KiB",
        10.0,
    );
    Ok(fs::remove_dir_all(&their_folder)?)
}

/// Planning alone, in memory.
pub(super) fn planning(report: &mut Report) -> Result<()> {
    let mut bench = cargo();
    bench.args([
        "bench",
        "--quiet",
        "--package=whimbrel",
        "--bench=planning",
        "--",
    ]);
    let counts = [PLANNED / 10, PLANNED];
    bench.args(counts.map(|count| count.to_string()));
    let printed = output(&mut bench)?;
    let mut lines = printed.lines().filter(|line| line.starts_with("planned "));
    for count in counts {
        let line = lines.next().context("the bench printed too little")?;
        let mut numbers = line
            .split_whitespace()
            .filter_map(|word| word.parse::<f64>().ok());
        let (_, milliseconds, bytes) = (
            numbers.next().context("a count")?,
            numbers.next().context("a time")?,
            numbers.next().context("a size")?,
        );
        report.figure(
            &format!("graph and plan of {count} revisions"),
            milliseconds,
            "ms",
            1_000.0,
        );
        report.figure(
            &format!("  memory for each of {count} revisions"),
            bytes / 1024.0,
            "KiB",
            4.0,
        );
    }
    Ok(())
}

/// Writing a run as a script, beside Alembic.
pub(super) fn scripts(bed: &Bed, report: &mut Report) -> Result<()> {
    let (ours, theirs) = (Peer::whimbrel(bed), Peer::alembic()?);
    let (own_folder, their_folder) = (bed.folder.join("script"), bed.folder.join("script-alembic"));
    layout::write(Tool::Whimbrel, &own_folder, bed.migrations, Shape::Line)?;
    layout::write(Tool::Alembic, &their_folder, bed.migrations, Shape::Line)?;
    let url = bed.server.url("postgres");
    let arguments = ["upgrade", "head", "--sql"];
    let taken = medians(&[Tool::Whimbrel, Tool::Alembic], bed.rounds, |tool| {
        time(match tool {
            Tool::Whimbrel => ours.command(&own_folder, &url, &arguments),
            _ => theirs.command(&their_folder, &url, &arguments),
        })
    })?;
    let what = format!("`upgrade --sql` of {} migrations", bed.migrations);
    report.ratio(&what, taken[0], "alembic", taken[1], 1.0 / 20.0);
    Ok(())
}

/// A dry run beside the run itself, each on an empty database.
pub(super) fn dry_run(bed: &Bed, report: &mut Report) -> Result<()> {
    let ours = Peer::whimbrel(bed);
    let folder = bed.folder.join("dry-run");
    layout::write(Tool::Whimbrel, &folder, bed.migrations, Shape::Line)?;
    let url = bed.server.url("dry_run");
    let arguments: [&[&str]; 2] = [&["upgrade", "head", "--dry-run"], &["upgrade", "head"]];
    let taken = medians(&arguments, bed.rounds, |arguments| {
        bed.server.create("dry_run", None)?;
        // A file system is slow to make files for seconds after thousands of them were deleted, as a rollback does.
        std::thread::sleep(Duration::from_secs(7));
        time(ours.command(&folder, &url, arguments))
    })?;
    let what = format!("dry run of {} migrations", bed.migrations);
    report.ratio(&what, taken[0], "the run", taken[1], 1.1);
    Ok(())
}
