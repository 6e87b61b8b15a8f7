//! A backfill of two columns of a large table, beside a native loop with the same batches and one UPDATE.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::measure::{self, medians, time};
use super::peer::Peer;
use super::report::Report;
use super::{Bed, components};
use crate::install;

pub(super) const TEMPLATE: &str = "names";
pub(super) const DATABASE: &str = "backfill";
/// The same in SQL.
const EXPRESSION: &str =
    "slug = lower(given || '.' || family), initials = upper(left(given, 1) || left(family, 1))";

/// The most that one worker's process may hold.
const MEMORY_MIB: f64 = 64.0;

/// What pgroll has published of its backfills, which ran on another machine: rows, and rows a second.
const PGROLL: [(usize, usize); 3] = [(10_000, 53_000), (100_000, 21_000), (300_000, 9_400)];

enum Way {
    /// Code, by so many workers.
    Code(u32),
    /// An UPDATE that is declared to be a backfill.
    Declared,
    /// A native loop, by so many threads, each of whose batches is on the disk when it is committed.
    Durable(u32),
    /// The same, of which only the end has to be, as of ours.
    Deferred(u32),
    /// One statement.
    Update,
}

/// Each way in turn, each on a fresh copy of the table; all must leave the same rows.
pub(super) fn compare(bed: &Bed, report: &mut Report) -> Result<()> {
    let projects = Projects::make(bed)?;
    prepare_table(bed, bed.rows)?;
    let batch = projects.learn_batch(bed)?;

    let ways = [
        Way::Code(1),
        Way::Code(2),
        Way::Declared,
        Way::Durable(1),
        Way::Durable(2),
        Way::Deferred(1),
        Way::Deferred(2),
        Way::Update,
    ];
    let mut checksums = Vec::new();
    let taken = medians(&ways, bed.rounds, |way| {
        let (taken, checksum) = projects.fill(bed, way, batch)?;
        checksums.push(checksum);
        Ok(taken)
    })?;
    ensure!(
        checksums.iter().all(|checksum| *checksum == checksums[0]),
        "the ways left different rows"
    );
    let rows = bed.rows;
    let lines = [
        ("one worker", 0, "native loop", 3, 0.9),
        ("one worker", 0, "native loop, deferred commits", 5, 1.0),
        ("one worker", 0, "one UPDATE", 7, 1.0),
        ("two workers", 1, "two native loops", 4, 1.0),
        ("two workers", 1, "two, deferred commits", 6, 1.0),
        ("declared", 2, "one UPDATE", 7, 1.0),
    ];
    for (what, ours, peer, theirs, limit) in lines {
        report.ratio(
            &format!("backfill {rows} rows, {what}"),
            taken[ours],
            peer,
            taken[theirs],
            limit,
        );
    }
    let mut peak = 0;
    for _ in 0..bed.rounds {
        peak = peak.max(projects.peak_memory(bed)?);
    }
    report.memory(&format!("backfill {rows} rows, peak"), peak, MEMORY_MIB);
    Ok(())
}

/// How many rows a second, of tables of several sizes, and how much memory the largest of them takes.
pub(super) fn scale(bed: &Bed, report: &mut Report) -> Result<()> {
    const SMALL: usize = 100_000;
    const LARGE: usize = 10_000_000;
    let projects = Projects::make(bed)?;
    let mut each_small = Vec::new();
    for rows in [10_000, SMALL, 300_000, 1_000_000, LARGE] {
        prepare_table(bed, rows)?;
        // The first run compiles the component, or finds it compiled.
        projects.learn_batch(bed)?;
        let mut peak = 0;
        let taken = medians(&[Way::Code(1)], bed.rounds, |way| match rows {
            LARGE => {
                let started = Instant::now();
                peak = peak.max(projects.peak_memory(bed)?);
                Ok(started.elapsed())
            }
            _ => Ok(projects.fill(bed, way, 0)?.0),
        })?;
        let published = PGROLL.iter().find(|(theirs, _)| *theirs == rows);
        let published =
            published.map(|(_, rate)| format!("pgroll {rate} rows/s, on another machine"));
        report.rate(
            &format!("backfill {rows} rows"),
            rows,
            taken[0],
            published.as_deref(),
        );
        if matches!(rows, SMALL | LARGE) {
            each_small.push(taken[0] / u32::try_from(rows / SMALL)?);
        }
        if rows == LARGE {
            report.memory(&format!("backfill {rows} rows, peak"), peak, MEMORY_MIB);
        }
    }
    report.ratio(
        &format!("backfill, each {SMALL} rows of {LARGE}"),
        each_small[1],
        &format!("of {SMALL}"),
        each_small[0],
        1.0 / 0.9,
    );
    Ok(())
}

/// The projects whose upgrades are measured.
struct Projects {
    coded: PathBuf,
    declared: PathBuf,
    /// What tells how much memory a process takes.
    python: PathBuf,
}

impl Projects {
    fn make(bed: &Bed) -> Result<Self> {
        Ok(Self {
            coded: coded(bed)?,
            declared: declared(bed)?,
            python: install::python_packages(&[])?.join("python3"),
        })
    }

    fn by_code(&self, bed: &Bed, workers: u32) -> Command {
        let mut upgrade = Peer::whimbrel(bed).upgrade(&self.coded, &bed.server.url(DATABASE));
        upgrade.arg(format!("--workers={workers}"));
        upgrade
    }

    /// How many rows the batches of one worker come to have, which the loops then have as well.
    fn learn_batch(&self, bed: &Bed) -> Result<i64> {
        bed.server.create(DATABASE, Some(TEMPLATE))?;
        time(self.by_code(bed, 1))?;
        bed.server.value(
            DATABASE,
            "SELECT greatest(sum(rows_read) / sum(batches), 1)::bigint FROM whimbrel_backfill_range",
        )
    }

    /// The most that the process of one worker holds, in bytes.
    fn peak_memory(&self, bed: &Bed) -> Result<u64> {
        bed.server.create(DATABASE, Some(TEMPLATE))?;
        measure::peak_memory(&self.python, &self.by_code(bed, 1))
    }

    /// Goes one way; how long it took, and what it left in the table. The batches of a loop have so many rows.
    fn fill(&self, bed: &Bed, way: &Way, batch: i64) -> Result<(Duration, i64)> {
        bed.server.create(DATABASE, Some(TEMPLATE))?;
        let url = bed.server.url(DATABASE);
        let native = |workers: &u32, commits: &str| {
            let mut native = Command::new(&bed.native_fill);
            native.args([&url, &workers.to_string(), &batch.to_string(), commits]);
            time(native)
        };
        let taken = match way {
            Way::Code(workers) => time(self.by_code(bed, *workers))?,
            Way::Declared => time(Peer::whimbrel(bed).upgrade(&self.declared, &url))?,
            Way::Durable(workers) => native(workers, "durable")?,
            Way::Deferred(workers) => native(workers, "deferred")?,
            Way::Update => {
                let started = Instant::now();
                bed.server
                    .execute(DATABASE, &format!("UPDATE people SET {EXPRESSION}"))?;
                started.elapsed()
            }
        };
        Ok((taken, checksum(bed)?))
    }
}

/// A project with a component that is a backfill.
fn coded(bed: &Bed) -> Result<PathBuf> {
    let component = components::build(bed, "000000000004_backfill")?;
    let coded = bed.folder.join("backfill");
    let migration = coded.join("migrations/000000000004_backfill");
    fs::create_dir_all(&migration)?;
    fs::write(coded.join("whimbrel.toml"), "")?;
    fs::copy(component, migration.join("migration.wasm"))?;
    fs::write(
        migration.join("migration.toml"),
        "id = \"000000000004\"\nmessage = \"backfill\"\ncreated = \"2026-11-23T16:00:00Z\"\ncomponent = \"migration.wasm\"\n\
         transaction = \"batches\"\n\n[capabilities]\nselect = [\"people(family, given, id)\"]\nupdate = [\"people(initials, slug)\"]\n",
    )?;
    Ok(coded)
}

/// A project with an UPDATE as a backfill.
pub(super) fn declared(bed: &Bed) -> Result<PathBuf> {
    let declared = bed.folder.join("declared");
    fs::create_dir_all(declared.join("migrations"))?;
    fs::write(declared.join("whimbrel.toml"), "")?;
    fs::write(
        declared.join("migrations/000000000005_declared.sql"),
        format!(
            "-- whimbrel:migration\n-- id: 000000000005\n-- message: declared\n\n-- whimbrel:backfill\nUPDATE people SET {EXPRESSION}\n"
        ),
    )?;
    Ok(declared)
}

/// The table that every run starts from.
pub(super) fn prepare_table(bed: &Bed, rows: usize) -> Result<()> {
    bed.server.create(TEMPLATE, None)?;
    bed.server.execute(
        TEMPLATE,
        &format!(
            "CREATE TABLE people (id bigint PRIMARY KEY, given text NOT NULL, family text NOT NULL, slug text, initials text);
             INSERT INTO people
             SELECT n, 'Given' || n % 1000, 'Family' || n % 7919 FROM generate_series(1, {rows}) AS n;
             ANALYZE people"
        ),
    )?;
    bed.server.execute(TEMPLATE, "VACUUM people")
}

/// What a way left in the table.
pub(super) fn checksum(bed: &Bed) -> Result<i64> {
    bed.server.value(
        DATABASE,
        "SELECT sum(hashtext(id || slug || initials)::bigint)::bigint FROM people",
    )
}
