//! What those who write into a table notice of a backfill of it.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use postgres::{Client, NoTls};

use super::Bed;
use super::backfill::{self, DATABASE, TEMPLATE};
use super::measure::medians;
use super::peer::Peer;
use super::report::Report;

/// How long writers are watched.
const WATCHED: Duration = Duration::from_secs(10);
/// When one of them writes next.
const PAUSE: Duration = Duration::from_millis(5);
const WRITERS: u64 = 2;
/// Rows a second that the backfill may work on.
const RATE: u32 = 5_000;

enum With {
    Nothing,
    Backfill,
}

/// The 99th percentile of what a transaction takes, with a throttled backfill and without one.
pub(super) fn compare(bed: &Bed, report: &mut Report) -> Result<()> {
    let project = backfill::declared(bed)?;
    fs::write(
        project.join("whimbrel.toml"),
        format!("[backfill]\nrate = {RATE}\nbatch = \"5ms\"\n"),
    )?;
    backfill::prepare_table(bed, bed.rows)?;
    let subjects = [With::Nothing, With::Backfill];
    let p99 = medians(&subjects, bed.rounds, |with| watch(bed, with, &project))?;
    report.ratio(
        &format!("writers' p99, backfill at {RATE} rows/s"),
        p99[1],
        "no backfill",
        p99[0],
        1.5,
    );
    Ok(())
}

fn watch(bed: &Bed, with: &With, project: &Path) -> Result<Duration> {
    bed.server.create(DATABASE, Some(TEMPLATE))?;
    let url = bed.server.url(DATABASE);
    let backfill = match with {
        With::Nothing => None,
        With::Backfill => {
            let mut upgrade = Peer::whimbrel(bed).upgrade(project, &url);
            upgrade.stdout(Stdio::null()).stderr(Stdio::null());
            Some(upgrade.spawn()?)
        }
    };
    thread::sleep(Duration::from_secs(1));
    let took = Mutex::new(Vec::new());
    let rows = bed.rows as u64;
    let written = thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|seed| {
                let (took, url) = (&took, &url);
                scope.spawn(move || write(url, seed, rows, took))
            })
            .collect();
        writers
            .into_iter()
            .try_for_each(|writer| writer.join().ok().context("a writer panicked")?)
    });
    if let Some(mut backfill) = backfill {
        backfill.kill()?;
        backfill.wait()?;
    }
    written?;
    let mut took = took.into_inner().unwrap_or_default();
    took.sort_unstable();
    took.get(took.len() * 99 / 100)
        .copied()
        .context("nothing was written")
}

fn write(url: &str, seed: u64, rows: u64, took: &Mutex<Vec<Duration>>) -> Result<()> {
    let mut client = Client::connect(url, NoTls)?;
    let mut random = seed + 1;
    let started = Instant::now();
    while started.elapsed() < WATCHED {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let id = i64::try_from((random >> 33) % rows)? + 1;
        let sql = match random % 4 {
            0 => "DELETE FROM people WHERE id = $1",
            1 => {
                "INSERT INTO people (id, given, family) VALUES ($1, 'New', 'Row') ON CONFLICT (id) DO UPDATE SET given = 'Again'"
            }
            _ => "UPDATE people SET family = 'Changed' WHERE id = $1",
        };
        let begun = Instant::now();
        client.execute(sql, &[&id])?;
        let elapsed = begun.elapsed();
        if let Ok(mut took) = took.lock() {
            took.push(elapsed);
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}
