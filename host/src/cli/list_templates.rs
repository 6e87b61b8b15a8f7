//! `whimbrel list-templates`

use serde::Serialize;
use whimbrel::scaffold::ProjectTemplate;

use super::context::Context;
use super::report::{Format, Verdict};

/// Show what a new project can start with
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

#[derive(Serialize)]
struct TemplateView {
    name: &'static str,
    synopsis: &'static str,
}

pub(crate) fn run(context: &Context) -> Verdict {
    let report = context.report;
    let views = ProjectTemplate::ALL.map(|template| TemplateView {
        name: template.name(),
        synopsis: template.synopsis(),
    });
    match report.format() {
        Format::Json => report.json(&views),
        Format::Text => {
            for TemplateView { name, synopsis } in views {
                report.line(format_args!("{name:<8} {synopsis}"));
            }
        }
    }
    report.message("To start with one: `whimbrel init -t NAME FOLDER`.");
    Verdict::Done
}
