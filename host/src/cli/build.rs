//! `whimbrel build`

use std::time::Instant;

use whimbrel::project::{Project, Rebuild};
use whimbrel::revision::RevisionId;

use super::context::{Context, resolve};
use super::failure::Failure;
use super::progress::{self, Progress};
use super::report::{Format, Verdict};

/// Build components that are out of date, and pin everything in whimbrel.lock
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these revisions [default: all]
    #[arg(value_name = "REVISION")]
    revisions: Vec<String>,
    /// Build what is up to date, too
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Verdict, Failure> {
    let started = Instant::now();
    let (config, project) = context.project()?;
    let revisions = revisions(args, &project)?;
    let rebuild = if args.force {
        Rebuild::All
    } else {
        Rebuild::Stale
    };
    let progress = Progress::new(context.report);
    let built = project.build(
        &config.root,
        &revisions.iter().collect::<Vec<_>>(),
        rebuild,
        &progress,
    )?;
    progress.clear();

    let report = context.report;
    if report.format() == Format::Json {
        report.json(&built);
    }
    report.message(match built.len() {
        0 => "Everything is up to date.".to_owned(),
        count => format!(
            "Built {} in {}.",
            progress::count(count as u64, "component"),
            progress::human(started.elapsed())
        ),
    });
    Ok(Verdict::Done)
}

fn revisions(args: &Args, project: &Project) -> Result<Vec<RevisionId>, Failure> {
    let graph = project.graph();
    if args.revisions.is_empty() {
        return Ok(graph
            .revisions()
            .map(|revision| revision.id.clone())
            .collect());
    }
    let mut ids = Vec::new();
    for target in &args.revisions {
        let found = resolve(graph, target)?;
        ids.extend(found.into_iter().map(|at| graph.revision(at).id.clone()));
    }
    Ok(ids)
}
