//! What those who write into a table notice of a backfill of it.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use postgres::{Client, NoTls};

use super::Bed;
use super::backfill::{self, DATABASE, TEMPLATE};
use super::measure::{median, medians};
use super::peer::Peer;
use super::report::Report;

/// How long writers are watched.
const WATCHED: Duration = Duration::from_secs(10);
/// When one of them writes next.
const PAUSE: Duration = Duration::from_millis(5);
const WRITERS: u64 = 2;
/// Rows a second that the backfill may work on, and how long its batches may take: writers notice long ones, and those that come
/// so often that their commits meet.
const RATE: u32 = 5_000;
const BATCH: &str = "2ms";

/// Rows of a backfill that comes to its end while they are watched.
const FEW_ROWS: usize = 25_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum With {
    Nothing,
    /// One that goes on longer than they are watched.
    Backfill,
    /// One that ends before that, with all that an end takes.
    End,
}

/// How long transactions took.
#[derive(Debug, Clone, Copy)]
struct Took {
    p99: Duration,
    longest: Duration,
}

/// The 99th percentile of what a transaction takes, with a throttled backfill and without one.
pub(super) fn compare(bed: &Bed, report: &mut Report) -> Result<()> {
    let project = backfill::declared(bed)?;
    fs::write(
        project.join("whimbrel.toml"),
        format!("[backfill]\nrate = {RATE}\nbatch = \"{BATCH}\"\n"),
    )?;
    let lines = [
        (bed.rows, With::Backfill, "throttled backfill"),
        (FEW_ROWS, With::End, "end of a backfill"),
    ];
    for (rows, with, what) in lines {
        backfill::prepare_table(bed, rows)?;
        let (mut beside, mut alone) = (Vec::new(), Vec::new());
        let p99 = medians(&[with, With::Nothing], bed.rounds, |with| {
            let took = watch(bed, *with, &project, rows as u64)?;
            match with {
                With::Nothing => alone.push(took.longest),
                _ => beside.push(took.longest),
            }
            Ok(took.p99)
        })?;
        report.ratio(
            &format!("writers' p99, {what}"),
            p99[0],
            "no backfill",
            p99[1],
            1.5,
        );
        report.note(&format!("  longest, {what}"), median(beside));
        report.note("  longest, no backfill", median(alone));
    }
    Ok(())
}

fn watch(bed: &Bed, with: With, project: &Path, rows: u64) -> Result<Took> {
    bed.server.create(DATABASE, Some(TEMPLATE))?;
    let url = bed.server.url(DATABASE);
    let backfill = match with {
        With::Nothing => None,
        With::Backfill | With::End => {
            let mut upgrade = Peer::whimbrel(bed).upgrade(project, &url);
            upgrade.stdout(Stdio::null()).stderr(Stdio::null());
            Some(upgrade.spawn()?)
        }
    };
    thread::sleep(Duration::from_secs(1));
    let took = Mutex::new(Vec::new());
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
    let mut ended = None;
    if let Some(mut backfill) = backfill {
        ended = backfill.try_wait()?;
        if with == With::Backfill {
            check_rate(bed)?;
        }
        backfill.kill()?;
        backfill.wait()?;
    }
    written?;
    ensure!(
        with != With::End || ended.is_some_and(|status| status.success()),
        "the backfill did not come to its end while writers were watched: {ended:?}"
    );
    let mut took = took.into_inner().unwrap_or_default();
    took.sort_unstable();
    let longest = took.last().copied().context("nothing was written")?;
    Ok(Took {
        p99: took.get(took.len() * 99 / 100).copied().unwrap_or(longest),
        longest,
    })
}

/// A backfill that does not come to its rate would be noticed less.
fn check_rate(bed: &Bed) -> Result<()> {
    let done = "SELECT (sum(r.rows_read) / extract(epoch FROM now() - to_timestamp(min(b.started))))::bigint \
        FROM whimbrel_backfill b JOIN whimbrel_backfill_range r USING (revision)";
    let rate = bed.server.value(DATABASE, done)?;
    ensure!(
        rate * 10 >= i64::from(RATE) * 9,
        "the backfill worked on {rate} rows a second while writers were watched, and not on {RATE}"
    );
    Ok(())
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
