//! `whimbrel history`

use camino::Utf8Path;
use owo_colors::OwoColorize;
use whimbrel::graph::Position;
use whimbrel::history::{Note, Outcome, Safekeeping};
use whimbrel::printable;
use whimbrel::project::RunOptions;
use whimbrel::target::Range;

use super::context::{Context, block_on};
use super::drawing;
use super::failure::Failure;
use super::progress::{count, human, size};
use super::report::{Format, Verdict};
use super::view::{self, Detail};

/// List the revisions, the newest first
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these: `FROM:TO`, `FROM:` or `:TO`, both included; `-3:current` are the last ones that are applied
    #[arg(short = 'r', long, value_name = "FROM:TO", allow_hyphen_values = true)]
    rev_range: Option<String>,
    /// Show the ledger instead: what was run, when, by whom, for how long, and what became of it
    #[arg(long, conflicts_with_all = ["rev_range", "indicate_current", "graph"])]
    log: bool,
    /// Mark the revisions that the database is at
    #[arg(short, long)]
    indicate_current: bool,
    /// Draw how the revisions hang together: parents by whole lines, dependencies by broken ones
    #[arg(long)]
    graph: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Verdict, Failure> {
    if args.log {
        return log(context);
    }
    if args.graph && context.report.format() == Format::Json {
        return Err(Failure::Usage(
            "`--graph` draws text; `--json` alone lists parents and dependencies".to_owned(),
        ));
    }
    let range: Option<Range> = match &args.rev_range {
        Some(text) => Some(text.parse()?),
        None => None,
    };
    let asks = args.indicate_current || range.as_ref().is_some_and(Range::names_current);
    let (project, rows) = if asks {
        let (project, rows) = context.project_and_rows()?;
        (project, Some(rows))
    } else {
        (context.project()?.1, None)
    };
    let graph = project.graph();
    let oldest_first: Vec<Position> = match range {
        Some(range) => {
            let rows = rows.iter().flatten();
            let current: Vec<Position> = rows.filter_map(|row| graph.position(row)).collect();
            range.resolve(graph, &current)?
        }
        None => graph.positions().collect(),
    };
    let shown = rows.filter(|_| args.indicate_current);
    let newest_first = oldest_first.into_iter().rev();
    if args.graph {
        let newest_first: Vec<Position> = newest_first.collect();
        drawing::print(&context.report, graph, &newest_first, shown.as_deref());
    } else {
        view::print(
            &context.report,
            graph,
            newest_first,
            shown.as_deref(),
            Detail::Step,
        );
    }
    Ok(Verdict::Done)
}

fn log(context: &Context) -> Result<Verdict, Failure> {
    let config = context.config()?;
    let entries = block_on(async {
        let connected = context.connect(&config, RunOptions::default()).await?;
        Ok(connected.engine.log().await?)
    })?;
    let report = context.report;
    if report.format() == Format::Json {
        report.json(&entries);
        return Ok(Verdict::Done);
    }
    for entry in &entries {
        let started = entry
            .started
            .map_or_else(String::new, |time| format!("{time:.0}"));
        let outcome = match entry.outcome {
            Some(Outcome::Done) => "done".green().to_string(),
            Some(outcome) => outcome.as_str().red().to_string(),
            None => "?".to_owned(),
        };
        if let Some(backup) = &entry.backup {
            report.line(format_args!(
                "{started} {} {outcome}  ({}, {}) by {}",
                entry.action,
                human(entry.duration()),
                size(backup.bytes),
                printable::line(&entry.performed_by),
            ));
            for line in about(backup, &entry.action, context) {
                report.line(format_args!("    {}", printable::line(&line)));
            }
            continue;
        }
        report.line(format_args!(
            "{started} {} {} {outcome}  ({}, {}, {}) by {}",
            entry.action,
            entry.revision.yellow(),
            human(entry.duration()),
            count(entry.statements, "statement"),
            count(entry.rows, "row"),
            printable::line(&entry.performed_by),
        ));
        if let Some(error) = &entry.error {
            // A guest may have written it.
            report.line(format_args!("    {}", printable::line(error)));
        }
    }
    Ok(Verdict::Done)
}

/// How to go back to a backup, or what going back has done.
fn about(backup: &Note, action: &str, context: &Context) -> Vec<String> {
    if action == Safekeeping::Backup.as_str() {
        return vec![context.way_back(Utf8Path::new(&backup.file))];
    }
    let mut lines = vec![format!("from {}", backup.file)];
    for (what, revisions) in [
        ("undone", &backup.undone),
        ("applied again", &backup.redone),
    ] {
        if !revisions.is_empty() {
            lines.push(format!("{what}: {}", revisions.join(", ")));
        }
    }
    lines
}
