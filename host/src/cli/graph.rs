//! `whimbrel graph`

use std::fs;
use std::sync::Arc;

use camino::Utf8PathBuf;
use clap::ValueEnum;
use whimbrel::picture::Picture;
use whimbrel::plan::Applied;
use whimbrel::project::Project;

use super::context::Context;
use super::failure::Failure;
use super::report::{Format, Verdict};

/// Draw all revisions with their parents and dependencies
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to draw in: text for Mermaid or Graphviz, a picture, or a page to look through
    #[arg(short, long, value_enum)]
    format: Medium,
    /// Write to this file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<Utf8PathBuf>,
    /// Ask the database, and tell apart what is applied, pending and current
    #[arg(long)]
    applied: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Medium {
    Mermaid,
    Dot,
    Svg,
    Html,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Verdict, Failure> {
    if context.report.format() == Format::Json {
        return Err(Failure::Usage(
            "a picture is not JSON; `history --json` lists parents and dependencies".to_owned(),
        ));
    }
    let (project, applied) = read(args, context)?;
    let picture = match &applied {
        Some(applied) => Picture::with_states(project.graph(), applied),
        None => Picture::new(project.graph()),
    };
    let text = match args.format {
        Medium::Mermaid => picture.mermaid(),
        Medium::Dot => picture.dot(),
        Medium::Svg => picture.svg(),
        Medium::Html => picture.html(),
    };
    match &args.output {
        None => context.report.raw(&text),
        Some(file) => {
            let path = context.directory().join(file);
            fs::write(&path, text).map_err(|source| Failure::Write {
                path: file.clone(),
                source,
            })?;
        }
    }
    Ok(Verdict::Done)
}

/// The migrations, and where the database was asked, what is applied.
fn read(args: &Args, context: &Context) -> Result<(Arc<Project>, Option<Applied>), Failure> {
    if !args.applied {
        return Ok((context.project()?.1, None));
    }
    let (project, rows) = context.project_and_rows()?;
    let applied = Applied::from_rows(project.graph(), &rows)?;
    Ok((project, Some(applied)))
}
