//! `--dry-run`: what a run would do.

use owo_colors::OwoColorize;
use whimbrel::engine::DryRun;
use whimbrel::revision::RevisionId;

use super::progress::{count, human};
use super::report::{Format, Report};

/// Prints what was tried, and that nothing of it is left.
pub(super) fn print(report: Report, tried: &DryRun, location: &str) {
    if report.format() == Format::Json {
        return report.json(tried);
    }
    if tried.steps.is_empty() {
        return report.message(format_args!(
            "Nothing to do: {location} is at {}.",
            at(&tried.to)
        ));
    }
    for step in &tried.steps {
        report.line(format_args!(
            "{} {} {}  {}",
            step.step.direction.green(),
            step.step.revision.yellow(),
            step.message,
            format_args!(
                "({}, {}, {})",
                count(step.work.statements, "statement"),
                count(step.work.rows, "row"),
                human(step.duration)
            )
            .dimmed(),
        ));
        for lock in &step.locks {
            report.line(format_args!("  locks {} in {}", lock.relation, lock.mode));
        }
    }
    let statements = tried.steps.iter().map(|step| step.work.statements).sum();
    let rows = tried.steps.iter().map(|step| step.work.rows).sum();
    report.message(format_args!(
        "Tried on {location}, from {} to {}: {}, {}, {} in {}. All of it was rolled back.",
        at(&tried.from),
        at(&tried.to),
        count(tried.steps.len() as u64, "migration"),
        count(statements, "statement"),
        count(rows, "row"),
        human(tried.duration)
    ));
}

/// Rows of the version table, for people.
pub(super) fn at(rows: &[RevisionId]) -> String {
    match rows {
        [] => "base".to_owned(),
        rows => {
            let rows: Vec<&str> = rows.iter().map(RevisionId::as_str).collect();
            rows.join(", ")
        }
    }
}
