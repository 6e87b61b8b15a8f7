//! A guest that fills a column of a large table by its own loop, beside the same loop in native code.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::measure::{medians, time};
use super::peer::Peer;
use super::report::Report;
use super::{Bed, components};

const TEMPLATE: &str = "people";
const DATABASE: &str = "fill";

enum Loop {
    Guest,
    Native,
}

/// The two loops in turn, each on a fresh copy of the table; both must leave the same rows.
pub(super) fn compare(bed: &Bed, report: &mut Report) -> Result<()> {
    let component = components::build(bed, "000000000002_fill")?;
    let project = bed.folder.join("fill");
    let migration = project.join("migrations/000000000002_fill");
    fs::create_dir_all(&migration)?;
    fs::write(project.join("whimbrel.toml"), "")?;
    fs::copy(component, migration.join("migration.wasm"))?;
    fs::write(
        migration.join("migration.toml"),
        "id = \"000000000002\"\nmessage = \"fill\"\ncreated = \"2026-11-22T10:00:00Z\"\ncomponent = \"migration.wasm\"\n\n\
         [capabilities]\nselect = [\"people(family, given, id)\"]\nupdate = [\"people(slug)\"]\n",
    )?;
    prepare_table(bed)?;

    let mut checksums = Vec::new();
    let taken = medians(&[Loop::Guest, Loop::Native], bed.rounds, |subject| {
        let (taken, checksum) = fill(bed, subject, &project)?;
        checksums.push(checksum);
        Ok(taken)
    })?;
    ensure!(
        checksums.iter().all(|checksum| *checksum == checksums[0]),
        "the loops left different rows"
    );
    report.ratio(
        &format!("fill a column of {} rows", bed.rows),
        taken[0],
        "native loop",
        taken[1],
        1.1,
    );
    Ok(())
}

/// The table that every run starts from.
fn prepare_table(bed: &Bed) -> Result<()> {
    bed.server.create(TEMPLATE, None)?;
    bed.server.execute(
        TEMPLATE,
        &format!(
            "CREATE TABLE people (id bigint PRIMARY KEY, given text NOT NULL, family text NOT NULL, slug text);
             INSERT INTO people
             SELECT n, 'Given' || n % 1000, 'Family' || n % 7919 FROM generate_series(1, {}) AS n;
             ANALYZE people",
            bed.rows
        ),
    )?;
    bed.server.execute(TEMPLATE, "VACUUM people")
}

/// Runs one loop; how long it took, and what it left in the table.
fn fill(bed: &Bed, subject: &Loop, project: &std::path::Path) -> Result<(Duration, i64)> {
    bed.server.create(DATABASE, Some(TEMPLATE))?;
    let url = bed.server.url(DATABASE);
    let taken = match subject {
        Loop::Guest => time(Peer::whimbrel(bed).upgrade(project, &url))?,
        Loop::Native => {
            let mut native = Command::new(&bed.native_fill);
            native.arg(&url);
            time(native)?
        }
    };
    let checksum = bed.server.value(
        DATABASE,
        "SELECT sum(hashtext(id || slug)::bigint)::bigint FROM people",
    )?;
    Ok((taken, checksum))
}
