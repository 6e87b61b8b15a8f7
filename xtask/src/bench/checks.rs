//! What the checks of grants cost: many small statements with them and without them.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::report::Report;
use super::{Bed, components};
use crate::process::{cargo, output};

/// How many statements each migration runs.
const STATEMENTS: usize = 10_000;
const DATABASE: &str = "checks";

pub(super) fn compare(bed: &Bed, report: &mut Report) -> Result<()> {
    let component = components::build(bed, "000000000003_many")?;
    let folder = bed.folder.join("checks");
    write_project(&folder.join("migrations"), &component)?;
    bed.server.create(DATABASE, None)?;
    let mut bench = cargo();
    bench.args([
        "bench",
        "--quiet",
        "--package=whimbrel",
        "--bench=checks",
        "--",
    ]);
    bench.arg(bed.server.url(DATABASE));
    bench.arg(&folder);
    bench.arg(bed.rounds.to_string());
    let printed = output(&mut bench)?;
    for (revision, what) in [
        ("000000000002", "one text, with parameters"),
        ("000000000003", "a text each"),
        ("000000000004", "a text each, in a SQL file"),
    ] {
        let line = printed
            .lines()
            .find_map(|line| line.strip_prefix("checked ")?.strip_prefix(revision))
            .context("the bench printed too little")?;
        let mut times = line
            .split_whitespace()
            .filter_map(|word| Some(Duration::from_secs_f64(word.parse::<f64>().ok()? / 1e3)));
        let on = times.next().context("a time")?;
        let off = times.next().context("a time")?;
        report.ratio(
            &format!("checks: {STATEMENTS} statements, {what}"),
            on,
            "unchecked",
            off,
            1.15,
        );
    }
    Ok(())
}

fn write_project(migrations: &Path, component: &Path) -> Result<()> {
    fs::create_dir_all(migrations)?;
    let sql = |id: usize, text: &str| {
        let revises = match id {
            1 => String::new(),
            _ => format!("-- revises: {:012}\n", id - 1),
        };
        let text = format!(
            "-- whimbrel:migration\n-- id: {id:012}\n{revises}-- message: bench\n-- whimbrel:upgrade\n{text}"
        );
        fs::write(migrations.join(format!("{id:012}_bench.sql")), text)
    };
    sql(
        1,
        "CREATE TABLE people (id bigint PRIMARY KEY, note text);\n\
         INSERT INTO people SELECT n FROM generate_series(0, 999) AS n;\n",
    )?;
    for (id, literals) in [(2, false), (3, true)] {
        let folder = migrations.join(format!("{id:012}_bench"));
        fs::create_dir_all(&folder)?;
        fs::copy(component, folder.join("migration.wasm"))?;
        let manifest = format!(
            "id = \"{id:012}\"\nrevises = \"{:012}\"\nmessage = \"bench\"\ncomponent = \"migration.wasm\"\n\n\
             [capabilities]\nselect = [\"people(id)\"]\nupdate = [\"people(note)\"]\n\n\
             [params]\nstatements = {STATEMENTS}\nliterals = {literals}\n",
            id - 1
        );
        fs::write(folder.join("migration.toml"), manifest)?;
    }
    let mut statements = String::new();
    for number in 0..STATEMENTS {
        writeln!(
            statements,
            "UPDATE people SET note = 'file {number}' WHERE id = {};",
            number % 1_000
        )?;
    }
    Ok(sql(4, &statements)?)
}
