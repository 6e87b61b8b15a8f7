//! `whimbrel plan --learn`: what migrations turn out to ask for.

use std::sync::Arc;

use camino::Utf8PathBuf;
use owo_colors::OwoColorize;
use serde::Serialize;
use whimbrel::capability::{Capabilities, Capability, Reach};
use whimbrel::config::Config;
use whimbrel::driver::{self, Driver};
use whimbrel::engine::{Learned, RunFailure, Seen};
use whimbrel::migration::Cancel;
use whimbrel::project::{Pinning, Project, RunOptions};
use whimbrel::revision::RevisionId;
use whimbrel::target::Target;

use super::context::{Context, block_on};
use super::failure::Failure;
use super::report::{Format, Report};
use super::run::stop_on_signal;

/// What one migration asks for now, and what it turned out to need.
#[derive(Serialize)]
struct Lesson {
    revision: RevisionId,
    /// The smallest request that covers what it did.
    request: Capabilities,
    /// What it did without asking for it.
    missing: Capabilities,
    /// What it asks for without having needed it.
    unused: Capabilities,
    downgrade: Seen,
    /// The file that asks for it now, where one was written.
    written: Option<Utf8PathBuf>,
    /// What the policy has against what it asks for now.
    refused: Vec<String>,
}

/// Runs what an upgrade to `target` would run on a scratch database, and writes what it asks for.
pub(crate) fn run(
    context: &Context,
    config: &Config,
    target: &Target,
    scratch: Option<&str>,
) -> Result<(), Failure> {
    let report = context.report;
    let cancel = Cancel::default();
    stop_on_signal(report, cancel.clone())?;
    let options = RunOptions {
        transaction: config.transaction,
        pinning: Pinning::Learn(Arc::clone(&config.root)),
        cancel,
        ..RunOptions::default()
    };
    let (project, learned) = block_on(async {
        let connected = context.connect(config, options).await?;
        let engine = &connected.engine;
        let learned = match scratch {
            Some(url) => {
                let there = driver::open(url, context.directory(), &config.driver_settings()?)?;
                engine.learn(target, there).await.map_err(elsewhere)?
            }
            None => {
                let made = engine.driver.scratch().await?;
                let there: Arc<dyn Driver> = made.driver();
                let learned = engine.learn(target, there).await;
                let discarded = made.discard().await;
                let learned = learned.map_err(elsewhere)?;
                discarded?;
                learned
            }
        };
        Ok((Arc::clone(&connected.project), learned))
    })?;
    let mut lessons = learned
        .into_iter()
        .map(|learned| settle(&project, config, learned))
        .collect::<Result<Vec<_>, _>>()?;
    if project.policy().is_some() {
        let written = Project::open(config)?;
        for lesson in &mut lessons {
            lesson.refused = written.decision(&lesson.revision)?.reasons();
        }
    }
    match report.format() {
        Format::Json => report.json(&lessons),
        Format::Text => print(report, &lessons),
    }
    Ok(())
}

/// A failure of a step happened on the scratch database; what comes before is the project's own.
fn elsewhere(failure: RunFailure) -> Failure {
    match failure.planned {
        0 => failure.into(),
        _ => Failure::Learning(failure),
    }
}

/// Compares what was learned with what is asked for, and writes it where that matters.
fn settle(project: &Project, config: &Config, learned: Learned) -> Result<Lesson, Failure> {
    let Learned {
        revision,
        request,
        downgrade,
    } = learned;
    let asked = project.requested(&revision)?;
    let decision = project.decision(&revision)?;
    let may = |one: &Capability| match &decision.grant.reach {
        Reach::Only(capabilities) => capabilities.cover(one),
        Reach::Everything | Reach::Learning(_) => true,
    };
    let missing: Capabilities = request.iter().filter(|one| !may(one)).cloned().collect();
    let unused = asked.iter().filter(|one| !request.cover(one));
    let unused = unused.cloned().collect();
    let written = match missing.is_empty() {
        true => None,
        false => {
            // What was not needed here may be needed where there are rows.
            let mut wanted = asked;
            wanted.extend(match wanted.is_empty() {
                // A file that did not say was given something all the same, which it now has to ask for.
                true => request.clone(),
                false => missing.clone(),
            });
            Some(project.write_request(&config.root, &revision, &wanted)?)
        }
    };
    Ok(Lesson {
        revision,
        request,
        missing,
        unused,
        downgrade,
        written,
        refused: Vec::new(),
    })
}

fn print(report: Report, lessons: &[Lesson]) {
    if lessons.is_empty() {
        return report.line("Nothing to learn: no revision is pending.");
    }
    for lesson in lessons {
        report.line(format_args!("{}", lesson.revision.yellow()));
        if lesson.request.is_empty() {
            report.line("    asks for nothing");
        }
        for one in lesson.request.iter() {
            match lesson.missing.iter().any(|missing| missing == one) {
                true => report.line(format_args!("  {} {one}", "+".green())),
                false => report.line(format_args!("    {one}")),
            }
        }
        for one in lesson.unused.iter() {
            report.line(format_args!("  {} {one}  (not needed here)", "?".yellow()));
        }
        if let Seen::Missed(why) = &lesson.downgrade {
            report.line(format_args!("    its downgrade was not seen: {why}"));
        }
        if let Some(path) = &lesson.written {
            report.line(format_args!("    written to {path}"));
        }
        for reason in &lesson.refused {
            report.line(format_args!("  {} it {reason}", "!".red()));
        }
    }
}
