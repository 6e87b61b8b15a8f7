//! As many distinct components as SQL files, all of which create the same tables.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::layout::Shape;
use super::measure::{medians, time};
use super::peer::{Peer, Tool};
use super::report::Report;
use super::{Bed, layout};
use crate::process::{output, root};

/// Components from the cache beside SQL files; and how long it takes to compile them all.
pub(super) fn compare(bed: &Bed, report: &mut Report) -> Result<()> {
    let step = build(bed, "000000000001_step")?;
    let components = bed.folder.join("components");
    write_project(&components, &step, bed.migrations)?;
    let files = bed.folder.join("files");
    layout::write(Tool::Whimbrel, &files, bed.migrations, Shape::Line)?;

    let apply = |folder: &PathBuf| apply(bed, folder);
    let cold = apply(&components)?;
    report.note(
        &format!("{} components, compiled first", bed.migrations),
        cold,
    );
    let taken = medians(&[components, files], bed.rounds, apply)?;
    report.ratio(
        &format!("{} components from the cache", bed.migrations),
        taken[0],
        "SQL files",
        taken[1],
        1.2,
    );
    Ok(())
}

/// Builds one of the components of `xtask/bench`, and returns its path.
pub(super) fn build(bed: &Bed, migration: &str) -> Result<PathBuf> {
    let project = root().join("xtask/bench");
    output(
        Command::new(&bed.whimbrel)
            .arg("-C")
            .arg(&project)
            .arg("build"),
    )?;
    let component = project.join(migration).join("migration.wasm");
    ensure!(
        component.is_file(),
        "`whimbrel build` left no {}",
        component.display()
    );
    Ok(component)
}

/// A project of `count` copies of a component, each made distinct by a custom section.
fn write_project(folder: &Path, component: &Path, count: usize) -> Result<()> {
    let bytes = fs::read(component)?;
    fs::create_dir_all(folder)?;
    fs::write(folder.join("whimbrel.toml"), "")?;
    for number in 1..=count {
        let id = layout::revision(number);
        let migration = folder.join(format!("migrations/{id}_step"));
        fs::create_dir_all(&migration)?;
        fs::write(
            migration.join("migration.wasm"),
            with_custom_section(&bytes, &id)?,
        )?;
        let revises = match number {
            1 => String::new(),
            _ => format!("revises = \"{}\"\n", layout::revision(number - 1)),
        };
        let manifest = format!(
            "id = \"{id}\"\n{revises}message = \"step\"\ncreated = \"2026-11-22T10:00:00Z\"\ncomponent = \"migration.wasm\"\n\n\
             [capabilities]\nddl = [\"create table t_*\"]\n"
        );
        fs::write(migration.join("migration.toml"), manifest)?;
    }
    Ok(())
}

/// A component with one more custom section (id 0, its size, the length of its name, its name), which changes its
/// digest and nothing that runs.
fn with_custom_section(component: &[u8], name: &str) -> Result<Vec<u8>> {
    let length = u8::try_from(name.len()).context("a short name")?;
    ensure!(length < 0x7f, "the lengths fit one byte of LEB128");
    let mut bytes = component.to_vec();
    bytes.extend([0, length + 1, length]);
    bytes.extend(name.as_bytes());
    Ok(bytes)
}

fn apply(bed: &Bed, folder: &Path) -> Result<Duration> {
    const DATABASE: &str = "components";
    bed.server.create(DATABASE, None)?;
    time(Peer::whimbrel(bed).upgrade(folder, &bed.server.url(DATABASE)))
}
