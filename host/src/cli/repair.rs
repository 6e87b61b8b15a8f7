//! `whimbrel repair`

use serde::Serialize;
use whimbrel::engine::{Engine, Inconsistency, Problem, Remedy, Repaired};
use whimbrel::project::RunOptions;
use whimbrel::revision::RevisionId;

use super::context::{Context, block_on};
use super::failure::Failure;
use super::progress::count;
use super::report::{Format, Report, Verdict};

/// Show what is wrong with the version table and the ledger, and settle it
///
/// It never touches the schema. On a terminal it asks; elsewhere it lists the commands, and exits with 3 if anything is
/// wrong.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The revision that it is about, or the start of its id [default: everything]
    revision: Option<String>,
    #[command(flatten)]
    said: SaidArgs,
}

#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct SaidArgs {
    /// All of an unfinished migration is in effect: count it as applied
    #[arg(long, requires = "revision")]
    applied: bool,
    /// Nothing of an unfinished migration is in effect: count it as not applied
    #[arg(long, requires = "revision")]
    not_applied: bool,
    /// An applied migration may stay as it has become
    #[arg(long, requires = "revision")]
    accept: bool,
    /// Take a row of the version table away that another one implies, or that no migration has; the rows that were there
    /// before it come back where the ledger proves which they were
    #[arg(long, requires = "revision")]
    forget: bool,
    /// The rows of the version table are right, although something else than Whimbrel has changed them
    #[arg(long, conflicts_with = "revision")]
    rows: bool,
}

impl SaidArgs {
    fn remedy(&self) -> Option<Remedy> {
        let flags = [
            (self.applied, Remedy::Applied),
            (self.not_applied, Remedy::NotApplied),
            (self.accept, Remedy::Accept),
            (self.forget, Remedy::Forget),
            (self.rows, Remedy::Rows),
        ];
        flags
            .into_iter()
            .find_map(|(is_given, remedy)| is_given.then_some(remedy))
    }
}

/// A problem as `--json` prints it.
#[derive(Serialize)]
struct ProblemView<'a> {
    problem: &'static str,
    revision: Option<&'a str>,
    detail: String,
    commands: Vec<String>,
}

/// One way out of a problem.
struct Way {
    /// The case in which it is the right one.
    when: String,
    /// What to run.
    command: String,
    /// The remedy that the command asks for, where it is one of `repair`.
    remedy: Option<Remedy>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Verdict, Failure> {
    let config = context.config()?;
    block_on(async {
        let connected = context.connect(&config, RunOptions::default()).await?;
        let engine = &connected.engine;
        if let Some(remedy) = args.said.remedy() {
            let revision = match &args.revision {
                Some(name) => Some(full_id(engine, name).await?),
                None => None,
            };
            let repaired = engine.repair(revision.as_deref(), remedy).await?;
            tell(context.report, &repaired, remedy);
            return Ok(Verdict::Done);
        }
        let problems = problems(engine, args.revision.as_deref()).await?;
        if context.report.can_ask() {
            return ask(context, engine, args.revision.as_deref(), problems).await;
        }
        list(context, &problems);
        Ok(verdict(&problems))
    })
}

/// What is wrong, or what is wrong with one revision.
async fn problems(engine: &Engine, revision: Option<&str>) -> Result<Vec<Problem>, Failure> {
    let mut problems = engine.problems().await?;
    if let Some(revision) = revision {
        problems.retain(|problem| {
            let is_meant = |id: &str| id.starts_with(revision);
            problem.revision().is_some_and(is_meant)
        });
    }
    Ok(problems)
}

/// The id of the one revision that is meant. What is applied and has no file is not in the graph.
async fn full_id(engine: &Engine, name: &str) -> Result<String, Failure> {
    let problems = problems(engine, Some(name)).await?;
    let mut ids: Vec<&str> = problems.iter().filter_map(Problem::revision).collect();
    ids.dedup();
    match ids.as_slice() {
        _ if ids.contains(&name) => Ok(name.to_owned()),
        [id] => Ok((*id).to_owned()),
        [] => Ok(name.to_owned()),
        ids => Err(Failure::Usage(format!(
            "`{name}` is the start of several ids: {}",
            ids.join(", ")
        ))),
    }
}

fn verdict(problems: &[Problem]) -> Verdict {
    match problems {
        [] => Verdict::Done,
        _ => Verdict::Found,
    }
}

fn list(context: &Context, problems: &[Problem]) {
    let report = context.report;
    if report.format() == Format::Json {
        let views: Vec<ProblemView<'_>> = problems
            .iter()
            .map(|problem| ProblemView {
                problem: kind(problem),
                revision: problem.revision(),
                detail: problem.to_string(),
                commands: ways(context, problem)
                    .into_iter()
                    .map(|way| way.command)
                    .collect(),
            })
            .collect();
        return report.json(&views);
    }
    if problems.is_empty() {
        return report.message("Nothing is wrong.");
    }
    for problem in problems {
        report.line(problem);
        for way in ways(context, problem) {
            report.line(format_args!("    {}: {}", way.when, way.command));
        }
    }
}

/// Asks about one problem after another, each on what the database says after the last answer.
async fn ask(
    context: &Context,
    engine: &Engine,
    revision: Option<&str>,
    mut found: Vec<Problem>,
) -> Result<Verdict, Failure> {
    let report = context.report;
    if found.is_empty() {
        report.message("Nothing is wrong.");
        return Ok(Verdict::Done);
    }
    let mut left: Vec<Problem> = Vec::new();
    while let Some(problem) = found.iter().find(|problem| !left.contains(problem)) {
        report.message(problem);
        let ways = ways(context, problem);
        for (at, way) in ways.iter().enumerate() {
            match way.remedy {
                Some(_) => report.message(format_args!("  {}  {}", at + 1, way.when)),
                None => report.message(format_args!("     {}: {}", way.when, way.command)),
            }
        }
        let answer = match ways.iter().any(|way| way.remedy.is_some()) {
            true => report.ask("Which is so? Enter leaves it as it is: "),
            false => None,
        };
        let chosen = answer
            .and_then(|answer| answer.parse::<usize>().ok())
            .and_then(|number| ways.get(number.checked_sub(1)?)?.remedy);
        let Some(remedy) = chosen else {
            left.push(problem.clone());
            continue;
        };
        let repaired = engine.repair(problem.revision(), remedy).await?;
        tell(report, &repaired, remedy);
        found = problems(engine, revision).await?;
    }
    report.message(match left.len() {
        0 => "Nothing is wrong any more.".to_owned(),
        still => format!("{} left.", count(still as u64, "problem")),
    });
    Ok(verdict(&left))
}

fn tell(report: Report, repaired: &Repaired, remedy: Remedy) {
    if report.format() == Format::Json {
        return report.json(&repaired.rows);
    }
    let name = repaired.problem.revision().unwrap_or_default();
    let what = match remedy {
        Remedy::Applied => format!("{name} counts as applied."),
        Remedy::NotApplied => format!("{name} counts as not applied."),
        Remedy::Accept => format!("{name} is accepted as it is now."),
        Remedy::Forget => format!("The row {name} is gone."),
        Remedy::Rows => "The version table counts as right.".to_owned(),
    };
    let at = match repaired.rows.as_slice() {
        [] => "base".to_owned(),
        rows => rows.join(", "),
    };
    report.message(format_args!("{what} The database is at {at}."));
}

fn kind(problem: &Problem) -> &'static str {
    match problem {
        Problem::Inconsistent(Inconsistency::Changed { .. }) => "changed",
        Problem::Inconsistent(Inconsistency::Unfinished { .. }) => "unfinished",
        Problem::Missing { .. } => "missing",
        Problem::Implied { .. } => "implied",
        Problem::Moved { .. } => "moved",
        Problem::InvalidIndex { .. } => "invalid-index",
    }
}

fn ways(context: &Context, problem: &Problem) -> Vec<Way> {
    let whimbrel = context.program();
    let id = problem.revision().unwrap_or_default();
    let mut ways: Vec<Way> = problem
        .remedies()
        .iter()
        .map(|&remedy| Way {
            when: case(problem, remedy),
            command: match remedy {
                Remedy::Rows => format!("{whimbrel} repair --rows"),
                remedy => format!("{whimbrel} repair {id} {}", flag(remedy)),
            },
            remedy: Some(remedy),
        })
        .collect();
    let mut other = |when: &str, command: String| {
        ways.push(Way {
            when: when.to_owned(),
            command,
            remedy: None,
        });
    };
    match problem {
        Problem::Missing { before: None, .. } => other(
            "its migration cannot be had, and you know what is applied",
            format!("{whimbrel} stamp --purge REVISION"),
        ),
        Problem::Moved { lost, .. } if !lost.is_empty() => {
            let lost: Vec<&str> = lost.iter().map(RevisionId::as_str).collect();
            other(
                "the ledger is right",
                format!("{whimbrel} stamp {}", lost.join(" ")),
            );
        }
        Problem::InvalidIndex { index, .. } => {
            other(
                "it is to be built again by its migration",
                format!("DROP INDEX CONCURRENTLY {index};"),
            );
            other(
                "it is to be built now",
                format!("REINDEX INDEX CONCURRENTLY {index};"),
            );
        }
        _ => {}
    }
    ways
}

fn flag(remedy: Remedy) -> &'static str {
    match remedy {
        Remedy::Applied => "--applied",
        Remedy::NotApplied => "--not-applied",
        Remedy::Accept => "--accept",
        Remedy::Forget => "--forget",
        Remedy::Rows => "--rows",
    }
}

/// When a remedy is the right one.
fn case(problem: &Problem, remedy: Remedy) -> String {
    match (problem, remedy) {
        (_, Remedy::Applied) => "all of it is in effect".to_owned(),
        (_, Remedy::NotApplied) => "nothing of it is in effect".to_owned(),
        (_, Remedy::Accept) => "the database has the change".to_owned(),
        (Problem::Missing { .. }, _) => "nothing of what has no migration is in effect".to_owned(),
        (Problem::Moved { .. }, _) => "the version table is right".to_owned(),
        _ => "always".to_owned(),
    }
}
