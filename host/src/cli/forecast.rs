//! What a plan would do, in text: a line for each step, and below it what there is to know.

use owo_colors::OwoColorize;
use whimbrel::backfill::{Drops, Keep, Spec};
use whimbrel::driver::Dialect;
use whimbrel::engine::inspect::{HeldLock, Inspection, Place, Status, StepInspection, Table};
use whimbrel::revision::{Kind, RevisionId, TransactionMode};
use whimbrel::sql::effects::{Harm, LockMode, Toll};

use super::lines::wrap;
use super::progress::count;
use super::report::Report;

const INDENT: &str = "    ";

pub(crate) fn print(report: &Report, inspection: &Inspection) {
    if inspection.steps.is_empty() {
        return report.line("Nothing to do.");
    }
    for step in &inspection.steps {
        print_step(report, step, inspection.dialect);
    }
    report.line("");
    summarize(report, inspection);
}

fn print_step(report: &Report, step: &StepInspection, dialect: Dialect) {
    report.line(format_args!(
        "{} {}  {}",
        step.step.direction,
        step.step.revision.yellow(),
        step.message
    ));
    if step.kind == Kind::Component {
        let language = step.language.as_deref();
        let language = language.map_or(String::new(), |name| format!(" in {name}"));
        let imports: Vec<&str> = step.imports.iter().map(|name| short(name)).collect();
        let imports = match imports.as_slice() {
            [] => String::new(),
            imports => format!(", imports {}", imports.join(", ")),
        };
        note(
            report,
            &format!("component{language}{imports}"),
            Tone::Plain,
        );
    }
    if let Some(request) = step
        .request
        .as_deref()
        .filter(|request| !request.is_empty())
    {
        let request = format!("asks for {}", request.join("; "));
        note(report, &request, Tone::Plain);
    }
    for obstacle in &step.obstacles {
        note(report, &format!("may not run: {obstacle}"), Tone::Loud);
    }
    if !step.transactional {
        note(
            report,
            "no transaction: what it has done stays when it fails",
            Tone::Plain,
        );
    }
    if let Some(spec) = &step.backfill {
        for line in backfill(spec, dialect) {
            note(report, &line, Tone::Plain);
        }
    }
    for loss in &step.destructive {
        let tone = match loss.harm {
            Harm::Data => Tone::Loud,
            Harm::Definition => Tone::Plain,
        };
        note(report, &format!("{}  {}", loss.what, at(&loss.place)), tone);
    }
    for lock in step.locks.iter().filter(|lock| matters(lock, step, report)) {
        let tone = match lock.is_heavy() {
            true => Tone::Loud,
            false => Tone::Plain,
        };
        note(report, &sentence(lock, step.transactional), tone);
        if let Some(advice) = lock
            .advice
            .filter(|_| lock.is_heavy() || report.is_verbose())
        {
            note(report, &format!("gentler: {advice}"), Tone::Plain);
        }
    }
    for said in &step.notes {
        let place = said.place.as_ref().map(|place| format!("{}: ", at(place)));
        note(
            report,
            &format!("{}{}", place.unwrap_or_default(), said.text),
            Tone::Plain,
        );
    }
}

/// What a backfill says of itself.
fn backfill(spec: &Spec, dialect: Dialect) -> Vec<String> {
    let key = match spec.key.as_slice() {
        [] => "its primary key".to_owned(),
        key => key.join(", "),
    };
    let reads = match spec.reads.as_slice() {
        [] => String::new(),
        reads => format!(" from {}", reads.join(", ")),
    };
    let condition = spec.condition.as_ref().map(|condition| {
        let words: Vec<&str> = condition.split_whitespace().collect();
        format!(" where {}", words.join(" "))
    });
    let mut lines = vec![format!(
        "backfill of {}: makes {}{reads}{}, in batches along {key}",
        spec.table,
        spec.writes.join(", "),
        condition.unwrap_or_default()
    )];
    if spec.keep == Keep::OldValues {
        lines.push("old values are kept for the way back".to_owned());
    }
    if spec.drops == Drops::Rows {
        lines.push("it may delete rows".to_owned());
    }
    let others = match dialect {
        Dialect::Postgresql => {
            "writers wait for the rows of one batch, and for the table for a moment at the start and at the end, where readers wait for it as well"
        }
        Dialect::Sqlite => "others write between two of them",
    };
    lines.push(format!("each batch is a transaction; {others}"));
    lines
}

/// Whether a lock is worth a line. Readers are in nobody's way, and what is locked more strongly is locked.
fn matters(lock: &HeldLock, step: &StepInspection, report: &Report) -> bool {
    let is_covered = step.transactional
        && lock.mode > LockMode::RowExclusive
        && step
            .locks
            .iter()
            .any(|other| other.table == lock.table && other.mode > lock.mode);
    report.is_verbose() || (lock.mode >= LockMode::RowExclusive && !is_covered)
}

fn sentence(lock: &HeldLock, transactional: bool) -> String {
    let size = size(lock);
    let children = match lock.children {
        0 => String::new(),
        1 => " and its child".to_owned(),
        more => format!(" and its {more} children"),
    };
    let table = format!("{}{size}{children}", lock.table);
    if lock.mode == LockMode::RowExclusive {
        return format!("writes rows of {table}");
    }
    let then = match lock.held > lock.work && transactional {
        true => format!(", and on {}", clause(lock.held)),
        false => String::new(),
    };
    format!(
        "locks {table}: {} blocks {} {}{then}",
        lock.mode, lock.blocks, lock.work
    )
}

/// What later statements do while a lock is still held.
fn clause(toll: Toll) -> &'static str {
    match toll {
        Toll::Instant => "for an instant",
        Toll::Rows => "while later statements write rows",
        Toll::Scan => "while later statements scan a table",
        Toll::Rewrite => "while later statements rewrite a table",
    }
}

fn size(lock: &HeldLock) -> String {
    let parts: Vec<String> = [
        lock.bytes.map(bytes),
        lock.rows
            .map(|rows| format!("about {}", count(rows, "row"))),
    ]
    .into_iter()
    .flatten()
    .collect();
    match parts.as_slice() {
        [] => String::new(),
        parts => format!(" ({})", parts.join(", ")),
    }
}

/// A size in the units that databases count in.
fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = number as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    match value < 10.0 && unit > 0 {
        true => format!("{value:.1} {}", UNITS[unit]),
        false => format!("{value:.0} {}", UNITS[unit]),
    }
}

fn at(place: &Place) -> String {
    match (&place.path, place.line) {
        (Some(path), Some(line)) => format!("{path}:{line}"),
        _ => format!("statement {}", place.statement),
    }
}

/// An interface of Whimbrel's by its name alone.
fn short(import: &str) -> &str {
    let own = import.strip_prefix("whimbrel:migrate/");
    own.map_or(import, |name| name.split('@').next().unwrap_or(name))
}

fn summarize(report: &Report, inspection: &Inspection) {
    let steps = &inspection.steps;
    let statements = steps.iter().map(|step| step.statements).sum::<usize>();
    let destructive = steps
        .iter()
        .map(|step| step.destructive.len())
        .sum::<usize>();
    let destructive = match destructive {
        0 => "none destructive".to_owned(),
        some => format!("{some} destructive"),
    };
    report.line(format_args!(
        "{} from {} to {}: {}, {destructive}.",
        count(steps.len() as u64, &inspection.direction.to_string()),
        heads(&inspection.from),
        heads(&inspection.to),
        count(statements as u64, "statement"),
    ));
    let rows = |table: &Table| {
        let rows = table.rows?;
        Some(format!("{} has {}", table.name, count(rows, "row")))
    };
    let rows: Vec<String> = inspection.tables.iter().filter_map(rows).collect();
    let is_locking = |step: &&StepInspection| {
        step.locks
            .iter()
            .any(|lock| lock.mode > LockMode::RowExclusive)
            && step.transactional
    };
    match inspection.dialect {
        Dialect::Sqlite => {
            let rows = match rows.as_slice() {
                [] => String::new(),
                rows => format!(" {}.", rows.join(", ")),
            };
            let text = format!("SQLite lets nobody else write while a migration runs.{rows}");
            wrap(&text, "")
                .into_iter()
                .for_each(|line| report.line(line));
        }
        Dialect::Postgresql if steps.iter().any(|step| is_locking(&step)) => {
            report.line(match inspection.transaction {
                TransactionMode::Migration => "A lock is held until its migration commits.",
                TransactionMode::Run => "A lock is held until the whole run commits.",
            });
        }
        Dialect::Postgresql => {}
    }
    let mut fine = Vec::new();
    for check in &inspection.checks {
        match check.status {
            Status::Ok => fine.push(check.check),
            Status::Warning => {
                let text = format!("warning: {}: {}", check.check, check.detail);
                for (index, line) in wrap(&text, "  ").into_iter().enumerate() {
                    match line.strip_prefix("warning:").filter(|_| index == 0) {
                        Some(rest) => {
                            report.line(format_args!("{}{rest}", "warning:".yellow().bold()))
                        }
                        None => report.line(line),
                    }
                }
            }
        }
    }
    if !fine.is_empty() {
        for line in wrap(&format!("ok: {}", fine.join(", ")), "  ") {
            report.line(line.dimmed());
        }
    }
}

fn heads(rows: &[RevisionId]) -> String {
    match rows {
        [] => "base".to_owned(),
        rows => rows
            .iter()
            .map(RevisionId::as_str)
            .collect::<Vec<_>>()
            .join(", "),
    }
}

/// How a note is shown where there are colours.
#[derive(Debug, Clone, Copy)]
enum Tone {
    Plain,
    Loud,
}

fn note(report: &Report, text: &str, tone: Tone) {
    for line in wrap(&format!("{INDENT}{text}"), "      ") {
        match tone {
            Tone::Plain => report.line(line),
            Tone::Loud => report.line(line.red()),
        }
    }
}
