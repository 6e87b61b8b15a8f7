//! How a backfill that was tried looks: some rows before and after, what went wrong, and what all rows would take.

use owo_colors::OwoColorize;
use whimbrel::backfill::{Cell, Example, Trial};

use super::lines::{WIDTH, fit, shorten};
use super::progress::{count, human, size, thousands};
use super::report::Report;

/// How many kinds of errors are shown.
const KINDS: usize = 10;

pub(super) fn print(report: Report, trial: &Trial) {
    let counts = &trial.counts;
    let mut done = format!("{} written", thousands(counts.written));
    for (number, what) in [
        (counts.kept, "left as they are"),
        (counts.dropped, "deleted"),
        (counts.bad, "refused"),
    ] {
        if number > 0 {
            done.push_str(&format!(", {} {what}", thousands(number)));
        }
    }
    let say = |text: String| {
        let lines = fit(&text, "    ", WIDTH);
        lines.iter().for_each(|line| report.line(line));
    };
    say(format!(
        "  {} of about {} of {}: {done}",
        thousands(trial.tried),
        count(trial.rows, "row"),
        trial.table
    ));
    for example in &trial.examples {
        show(report, example);
    }
    for kind in trial.errors.iter().take(KINDS) {
        say(format!(
            "  {}, the first with the key {}:",
            count(kind.rows, "refused row"),
            kind.key
        ));
        say(format!("    {}", kind.error));
    }
    if let Some(more) = trial
        .errors
        .len()
        .checked_sub(KINDS)
        .filter(|more| *more > 0)
    {
        report.line(format_args!("  and {}", count(more as u64, "other kind")));
    }
    let log = trial.forecast.wal_bytes.map_or(String::new(), |bytes| {
        format!(", {} of write-ahead log", size(bytes))
    });
    say(format!(
        "  All of them: about {} with one worker{log}",
        human(trial.forecast.duration)
    ));
}

/// A row in a few lines, the old value beside the new one.
fn show(report: Report, example: &Example) {
    report.line(format_args!("  {}", example.key.yellow()));
    let columns = example.reads.iter().chain(&example.before);
    let widest = columns
        .clone()
        .map(|cell| cell.column.chars().count())
        .max()
        .unwrap_or(0)
        .min(24);
    let name = |cell: &Cell| format!("{:<widest$}", shorten(&cell.column, widest));
    let written = |column: &str| example.before.iter().any(|cell| cell.column == column);
    for cell in example.reads.iter().filter(|cell| !written(&cell.column)) {
        report.line(format_args!(
            "    {}  {}",
            name(cell),
            shorten(&cell.value, 50)
        ));
    }
    let Some(after) = &example.after else {
        return report.line(format_args!("    {}", "deleted".red()));
    };
    for (before, after) in example.before.iter().zip(after) {
        let (old, new) = (shorten(&before.value, 22), shorten(&after.value, 22));
        match before.value == after.value {
            true => report.line(format_args!(
                "    {}  {old:<22}    {}",
                name(before),
                "the same".dimmed()
            )),
            false => report.line(format_args!(
                "    {}  {old:<22} →  {}",
                name(before),
                new.green()
            )),
        }
    }
}
