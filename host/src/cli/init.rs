//! `whimbrel init`

use camino::Utf8PathBuf;
use whimbrel::scaffold;

use super::context::Context;
use super::failure::Failure;
use super::report::{Format, Verdict};

/// Make a project: settings and a folder for migrations
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder [default: the current one]
    folder: Option<Utf8PathBuf>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Verdict, Failure> {
    let folder = match &args.folder {
        Some(folder) => context.directory().join(folder),
        None => context.directory().to_owned(),
    };
    let created = scaffold::init(&folder)?;
    let report = context.report;
    let paths: Vec<String> = created.iter().map(ToString::to_string).collect();
    match report.format() {
        Format::Json => report.json(&paths),
        Format::Text => paths.iter().for_each(|path| report.line(path)),
    }
    report.message("Next: `whimbrel revision -m \"create users\"`, then `whimbrel upgrade head`.");
    Ok(Verdict::Done)
}
