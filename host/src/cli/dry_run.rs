//! `--dry-run`: what a run would do.

use camino::Utf8Path;
use owo_colors::OwoColorize;
use whimbrel::config::Config;
use whimbrel::driver::tape::Tape;
use whimbrel::engine;
use whimbrel::project::RunOptions;
use whimbrel::revision::{Direction, RevisionId};
use whimbrel::target::Target;

use super::context::{Connected, Context, block_on};
use super::failure::Failure;
use super::lines::wrap;
use super::progress::{Progress, count, human};
use super::report::{Format, Report, Verdict};
use super::trial_view;

/// What is to be tried.
pub(super) struct DryRun<'a> {
    pub(super) target: &'a Target,
    pub(super) direction: Direction,
    /// The new file for what components read.
    pub(super) record: Option<&'a Utf8Path>,
}

impl DryRun<'_> {
    /// Tries it, and shows what it did.
    pub(super) fn show(
        &self,
        context: &Context,
        config: &Config,
        options: RunOptions,
        progress: &Progress,
    ) -> Result<Verdict, Failure> {
        if let Some(path) = self.record.filter(|path| path.exists()) {
            return Err(Failure::Usage(format!(
                "{path} is there already; give --record the name of a new file"
            )));
        }
        let tried = block_on(async {
            let Connected { engine, .. } = context.connect(config, options).await?;
            let tape = self.record.map(|_| Tape::new(engine.driver.dialect()));
            let tried = engine
                .dry_run(self.target, self.direction, tape.as_ref())
                .await?;
            if let Some((path, tape)) = self.record.zip(tape) {
                tape.save(path)?;
            }
            Ok((tried, engine.driver.location()))
        });
        progress.clear();
        let (tried, location) = tried?;
        print(context.report, &tried, &location);
        Ok(Verdict::Done)
    }
}

/// Prints what was tried, and that nothing of it is left.
fn print(report: Report, tried: &engine::DryRun, location: &str) {
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
        if let Some(trial) = &step.backfill {
            trial_view::print(report, trial);
        }
    }
    if !tried.left_out.is_empty() {
        let left_out = format!(
            "Left out, since not all rows are there that they depend on: {}",
            at(&tried.left_out)
        );
        wrap(&left_out, "  ")
            .iter()
            .for_each(|line| report.line(line));
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
