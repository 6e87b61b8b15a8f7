//! `whimbrel replay`

use std::sync::Arc;

use camino::Utf8PathBuf;
use owo_colors::OwoColorize;
use serde::Serialize;
use whimbrel::journal::{self, Recorded, Replayed, Verdict as Comparison};
use whimbrel::project::Project;

use super::context::{Context, block_on};
use super::failure::Failure;
use super::progress::count;
use super::report::{Format, Verdict};

/// Run components again over a journal, without a database
///
/// Says of each call whether the component does exactly the same, or where it first does something else.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What `--journal` of an upgrade or downgrade has written
    #[arg(value_name = "FILE")]
    journal: Utf8PathBuf,
    /// Only this revision, by its whole id
    #[arg(value_name = "REV")]
    revision: Option<String>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Verdict, Failure> {
    let config = context.config()?;
    let project = Arc::new(Project::open(&config)?);
    let mut calls = journal::load(&context.path(&args.journal))?;
    if let Some(revision) = &args.revision {
        calls.retain(|call| call.told.revision == *revision);
    }
    if calls.is_empty() {
        let of = args.revision.as_deref().unwrap_or("a component");
        return Err(Failure::Usage(format!(
            "{} has no call of {of}",
            args.journal
        )));
    }
    let mut verdict = Verdict::Done;
    for call in &calls {
        let replayed = block_on(async {
            let failed = |source| Failure::Replay {
                revision: call.told.revision.clone(),
                source: Box::new(source),
            };
            project.replay(call).await.map_err(failed)
        })?;
        print(context, call, &replayed);
        if matches!(replayed.verdict, Comparison::Differs(_)) {
            verdict = Verdict::Found;
        }
    }
    Ok(verdict)
}

/// What came of one call, for programs.
#[derive(Serialize)]
struct Line<'a> {
    revision: &'a str,
    direction: whimbrel::revision::Direction,
    verdict: &'static str,
    component: &'static str,
    answers: usize,
    fuel: u64,
    error: Option<&'a str>,
    difference: Option<String>,
}

fn print(context: &Context, call: &Recorded, replayed: &Replayed) {
    let (told, report) = (&call.told, &context.report);
    let ending = &replayed.ending;
    let difference = match &replayed.verdict {
        Comparison::Differs(difference) => Some(difference),
        Comparison::Same | Comparison::SameSoFar => None,
    };
    if report.format() == Format::Json {
        return report.json(&Line {
            revision: &told.revision,
            direction: told.direction,
            verdict: match &replayed.verdict {
                Comparison::Same => "same",
                Comparison::SameSoFar => "same-so-far",
                Comparison::Differs(_) => "differs",
            },
            component: match replayed.is_same_component {
                true => "same",
                false => "changed",
            },
            answers: replayed.exchanges,
            fuel: ending.fuel,
            error: ending.error.as_deref(),
            difference: difference.map(ToString::to_string),
        });
    }
    let answers = count(replayed.exchanges as u64, "answer");
    report.line(format_args!(
        "{} {}  {}",
        told.direction.green(),
        told.revision.yellow(),
        match &replayed.verdict {
            Comparison::Same => format!("the same: {answers}, {} units of fuel", ending.fuel),
            Comparison::SameSoFar => format!(
                "the same: {answers}, until {}",
                match &call.ending {
                    Some(_) => "it was stopped from outside",
                    None => "the journal ends",
                }
            ),
            Comparison::Differs(_) => "differs".to_owned(),
        }
    ));
    if !replayed.is_same_component {
        report.line(format_args!("  its component is another one now"));
    }
    if let Some(difference) = difference {
        report.line(format_args!("  {difference}"));
    }
    if let (None, Some(error)) = (difference, &ending.error) {
        report.line(format_args!("  it fails: {error}"));
    }
}
