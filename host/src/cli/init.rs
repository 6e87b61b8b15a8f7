//! `whimbrel init`

use camino::Utf8PathBuf;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use whimbrel::scaffold::{self, ProjectTemplate};

use super::context::Context;
use super::failure::Failure;
use super::report::{Format, Verdict};

/// Make a project: settings and a folder for migrations
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder [default: the current one]
    folder: Option<Utf8PathBuf>,
    /// What it starts with; `list-templates` says more
    #[arg(short, long, value_name = "NAME", value_parser = template(), default_value = "generic")]
    template: ProjectTemplate,
}

fn template() -> impl TypedValueParser<Value = ProjectTemplate> {
    let names = ProjectTemplate::ALL
        .map(|template| PossibleValue::new(template.name()).help(template.synopsis()));
    PossibleValuesParser::new(names).map(|name| {
        let mut all = ProjectTemplate::ALL.into_iter();
        all.find(|template| template.name() == name)
            .unwrap_or_default()
    })
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Verdict, Failure> {
    let folder = match &args.folder {
        Some(folder) => context.directory().join(folder),
        None => context.directory().to_owned(),
    };
    let created = scaffold::init(&folder, args.template)?;
    let report = context.report;
    let paths: Vec<String> = created.iter().map(ToString::to_string).collect();
    match report.format() {
        Format::Json => report.json(&paths),
        Format::Text => paths.iter().for_each(|path| report.line(path)),
    }
    report.message(match args.template {
        ProjectTemplate::Generic => {
            "Next: `whimbrel revision -m \"create users\"`, then `whimbrel upgrade head`."
        }
        ProjectTemplate::Multidb => {
            "Next: `whimbrel revision -m \"create users\"`, then `whimbrel --database first upgrade head`."
        }
        ProjectTemplate::Rust => {
            "Next: look at the migration, then `whimbrel upgrade head`, which compiles and runs it."
        }
    });
    Ok(Verdict::Done)
}
