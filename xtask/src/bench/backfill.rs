//! A backfill of two columns of a large table, beside a native loop with the same batches and one UPDATE.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::measure::{medians, time};
use super::peer::Peer;
use super::report::Report;
use super::{Bed, components};

pub(super) const TEMPLATE: &str = "names";
pub(super) const DATABASE: &str = "backfill";
/// The same in SQL.
const EXPRESSION: &str =
    "slug = lower(given || '.' || family), initials = upper(left(given, 1) || left(family, 1))";

enum Way {
    /// Code, by so many workers.
    Code(u32),
    /// An UPDATE that is declared to be a backfill.
    Declared,
    /// A native loop, by so many threads.
    Native(u32),
    /// One statement.
    Update,
}

/// Each way in turn, each on a fresh copy of the table; all must leave the same rows.
pub(super) fn compare(bed: &Bed, report: &mut Report) -> Result<()> {
    let coded = coded(bed)?;
    let declared = declared(bed)?;
    prepare_table(bed, bed.rows)?;

    let ways = [
        Way::Code(1),
        Way::Code(2),
        Way::Declared,
        Way::Native(1),
        Way::Native(2),
        Way::Update,
    ];
    let mut checksums = Vec::new();
    let taken = medians(&ways, bed.rounds, |way| {
        let (taken, checksum) = fill(bed, way, &coded, &declared)?;
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
        ("one worker", 0, "one UPDATE", 5, 1.0),
        ("two workers", 1, "two native loops", 4, 1.0),
        ("declared", 2, "one UPDATE", 5, 1.0),
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
    Ok(())
}

/// Time for as many rows of a large table as of a small one.
pub(super) fn scale(bed: &Bed, report: &mut Report) -> Result<()> {
    const SMALL: u32 = 100_000;
    const TIMES: u32 = 100;
    let (coded, declared) = (coded(bed)?, declared(bed)?);
    let mut taken = Vec::new();
    for (rows, rounds) in [(SMALL, bed.rounds), (SMALL * TIMES, bed.rounds.min(3))] {
        prepare_table(bed, rows as usize)?;
        taken.extend(medians(&[Way::Code(1)], rounds, |way| {
            Ok(fill(bed, way, &coded, &declared)?.0)
        })?);
    }
    report.ratio(
        &format!("backfill, each {SMALL} rows of {}", SMALL * TIMES),
        taken[1] / TIMES,
        &format!("of {SMALL}"),
        taken[0],
        1.0 / 0.9,
    );
    Ok(())
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

/// Goes one way; how long it took, and what it left in the table.
fn fill(bed: &Bed, way: &Way, coded: &Path, declared: &Path) -> Result<(Duration, i64)> {
    bed.server.create(DATABASE, Some(TEMPLATE))?;
    let url = bed.server.url(DATABASE);
    let whimbrel = Peer::whimbrel(bed);
    let taken = match way {
        Way::Code(workers) => {
            let mut upgrade = whimbrel.upgrade(coded, &url);
            upgrade.arg(format!("--workers={workers}"));
            time(upgrade)?
        }
        Way::Declared => time(whimbrel.upgrade(declared, &url))?,
        Way::Native(workers) => {
            let mut native = Command::new(&bed.native_fill);
            native.args([url.as_str(), &workers.to_string()]);
            time(native)?
        }
        Way::Update => {
            let started = Instant::now();
            bed.server
                .execute(DATABASE, &format!("UPDATE people SET {EXPRESSION}"))?;
            started.elapsed()
        }
    };
    Ok((taken, checksum(bed)?))
}

/// What a way left in the table.
pub(super) fn checksum(bed: &Bed) -> Result<i64> {
    bed.server.value(
        DATABASE,
        "SELECT sum(hashtext(id || slug || initials)::bigint)::bigint FROM people",
    )
}
