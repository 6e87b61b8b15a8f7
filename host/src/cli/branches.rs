//! `whimbrel branches`

use owo_colors::OwoColorize;

use super::context::Context;
use super::failure::Failure;
use super::report::{Format, Verdict};
use super::view::{self, Detail, Views};

/// Show the branch points, and where they lead
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(context: &Context) -> Result<Verdict, Failure> {
    let (_, project) = context.project()?;
    let graph = project.graph();
    let report = &context.report;
    let points = graph.positions().filter(|&at| graph.is_branch_point(at));
    if report.format() == Format::Json || report.is_verbose() {
        view::print(report, graph, points, None, Detail::Short);
        return Ok(Verdict::Done);
    }
    let views = Views::new(graph, None);
    for point in points {
        report.line(views.of(point).short());
        for &child in graph.children(point) {
            let child = views.of(child).short();
            report.line(format_args!("    {} {child}", "->".dimmed()));
        }
    }
    Ok(Verdict::Done)
}
