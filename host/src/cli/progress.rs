//! A run as it goes on: a line that moves, a line for each step, or events.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use owo_colors::OwoColorize;
use whimbrel::event::{Event, Observer, StepReport};
use whimbrel::migration::Level;
use whimbrel::printable;
use whimbrel::revision::RevisionId;

use super::report::{Report, Showing};

/// Shows the events of a run.
pub(crate) struct Progress {
    report: Report,
    /// Where there is one object to print at the end, nothing else may be printed before it.
    showing: Showing,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What the current step does.
    message: String,
    bar: Option<ProgressBar>,
    last_progress: Option<Instant>,
    /// Whether the run has begun with a backup.
    has_backup: bool,
}

/// Progress is told at most this often where every telling is a line.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);
/// How often the spinner turns.
const TICK: Duration = Duration::from_millis(100);

impl Progress {
    pub(crate) fn new(report: Report) -> Self {
        Self {
            report,
            showing: report.showing(),
            state: Mutex::default(),
        }
    }

    /// Shows a run that is only tried, of which the end alone is told as JSON.
    pub(crate) fn of_dry_run(report: Report) -> Self {
        Self {
            showing: match report.showing() {
                Showing::Events => Showing::Lines,
                other => other,
            },
            ..Self::new(report)
        }
    }

    /// Takes the moving line away.
    pub(crate) fn clear(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = state.bar.take() {
            bar.finish_and_clear();
        }
    }

    /// Whether the run has begun with a backup.
    pub(crate) fn has_backup(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.has_backup
    }

    /// Prints a line, above the moving one if there is one.
    fn line(&self, state: &State, line: &str) {
        match &state.bar {
            Some(bar) => bar.suspend(|| self.report.message(line)),
            None => self.report.message(line),
        }
    }

    /// Says what is going on, in the moving line or in one of its own.
    fn activity(&self, state: &mut State, what: String) {
        if self.showing == Showing::Live {
            match &state.bar {
                Some(bar) => {
                    bar.set_style(style(Length::Unknown));
                    bar.reset_elapsed();
                    bar.set_message(what);
                }
                None => state.bar = Some(spinner(what)),
            }
        } else if self.report.is_verbose() {
            self.report.message(what);
        }
    }

    /// Says what the run waits for: even plain lines tell that before it is over.
    fn pause(&self, state: &mut State, what: String) {
        match self.showing {
            Showing::Live => self.activity(state, what),
            _ => self.line(state, &what),
        }
    }

    fn finished(&self, state: &State, step: &StepReport) {
        let attempts = match step.attempts {
            1 => String::new(),
            attempts => format!(", {attempts} attempts"),
        };
        let line = format!(
            "{} {} {}  {}",
            step.direction.green(),
            step.revision.yellow(),
            state.message,
            format_args!("({}{attempts})", human(step.duration)).dimmed(),
        );
        self.line(state, &line);
    }

    fn log(&self, state: &State, revision: &RevisionId, level: Level, message: &str) {
        let line = match level {
            Level::Debug if !self.report.is_verbose() => return,
            Level::Debug => format!("{} {}", "debug:".dimmed(), message.dimmed()),
            Level::Info => message.to_owned(),
            Level::Warn => format!("{} {message}", "warning:".yellow()),
            Level::Error => format!("{} {message}", "error:".red()),
        };
        self.line(
            state,
            &format!("  {} {line}", format_args!("{revision}:").dimmed()),
        );
    }

    fn text(&self, state: &mut State, event: &Event<'_>) {
        match event {
            Event::Planned { plan } => {
                if let Some(assumed) = &plan.assumed {
                    let from: Vec<&str> = plan.from.iter().map(RevisionId::as_str).collect();
                    let line = format!(
                        "{} the database is at {}; counting from {assumed}. Name the branch: `{assumed}@-1`",
                        "warning:".yellow(),
                        from.join(", "),
                    );
                    self.line(state, &line);
                }
            }
            Event::Preparing { .. } => {}
            Event::BackingUp { file } => self.activity(state, format!("backing up to {file} …")),
            Event::BackedUp { backup } => {
                let about = format!("({}, {})", size(backup.bytes), human(backup.duration));
                let line = format!("{} {}  {}", "backup".green(), backup.file, about.dimmed());
                self.line(state, &line);
            }
            Event::Restoring { file } => self.activity(state, format!("restoring {file} …")),
            Event::WaitingForLock { holder } => {
                let by = holder.map_or_else(String::new, |holder| format!(" ({holder})"));
                self.pause(state, format!("waiting for another run to finish{by} …"));
            }
            Event::Building { revision } => {
                self.pause(state, format!("building {revision} …"));
            }
            Event::Compiler { line, .. } => {
                if self.report.is_verbose() {
                    self.line(state, &format!("  {}", line.dimmed()));
                }
            }
            Event::Built {
                revision,
                bytes,
                imports,
            } => {
                let size = format!("({})", size(*bytes as u64));
                let line = format!(
                    "{} {}  {}",
                    "built".green(),
                    revision.yellow(),
                    size.dimmed()
                );
                self.line(state, &line);
                self.line(
                    state,
                    &format!("  imports {}", imports.join(", "))
                        .dimmed()
                        .to_string(),
                );
            }
            Event::StepStarted {
                number,
                total,
                step,
                message,
            } => {
                (*message).clone_into(&mut state.message);
                let what = format!(
                    "[{number}/{total}] {} {} {message}",
                    step.direction, step.revision
                );
                self.activity(state, what);
            }
            Event::BackfillState { revision, doing } => {
                if !matches!(*doing, "works") {
                    self.pause(state, format!("{revision} {doing} …"));
                }
            }
            Event::Log {
                revision,
                level,
                message,
            } => self.log(state, revision, *level, message),
            Event::Progress { done, total, .. } => {
                if let Some(bar) = &state.bar {
                    bar.set_style(style(match total {
                        Some(total) => {
                            bar.set_length(*total);
                            Length::Known
                        }
                        None => Length::Unknown,
                    }));
                    bar.set_position(*done);
                }
            }
            Event::Retrying {
                revision,
                attempt,
                delay,
                reason,
            } => {
                let line = format!(
                    "  {} attempt {attempt} failed: {}; again in {}",
                    format_args!("{revision}:").dimmed(),
                    printable::line(reason),
                    human(*delay)
                );
                self.line(state, &line);
            }
            Event::StepFinished { report } => {
                self.finished(state, report);
            }
        }
    }
}

impl Observer for Progress {
    fn event(&self, event: &Event<'_>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.has_backup |= matches!(event, Event::BackedUp { .. });
        if self.showing == Showing::Events {
            if !matches!(event, Event::Progress { .. }) || state.is_progress_due() {
                self.report.json(event);
            }
            return;
        }
        self.text(&mut state, event);
    }
}

impl State {
    fn is_progress_due(&mut self) -> bool {
        let is_due = self
            .last_progress
            .is_none_or(|last| last.elapsed() >= PROGRESS_INTERVAL);
        if is_due {
            self.last_progress = Some(Instant::now());
        }
        is_due
    }
}

/// Whether it is known how much there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Known,
    Unknown,
}

fn spinner(message: String) -> ProgressBar {
    let bar = ProgressBar::new_spinner()
        .with_style(style(Length::Unknown))
        .with_message(message);
    bar.enable_steady_tick(TICK);
    bar
}

fn style(length: Length) -> ProgressStyle {
    let template = match length {
        Length::Known => "{spinner} {msg} {wide_bar} {human_pos}/{human_len} {elapsed}",
        Length::Unknown => "{spinner} {msg} {elapsed}",
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// A size in the unit that fits; components are told in kilobytes.
pub(crate) fn size(bytes: u64) -> String {
    let bytes = bytes as f64;
    if bytes < 1e6 {
        format!("{:.1} KB", bytes / 1e3)
    } else if bytes < 1e9 {
        format!("{:.1} MB", bytes / 1e6)
    } else {
        format!("{:.1} GB", bytes / 1e9)
    }
}

/// A duration with as many digits as anyone reads.
pub(crate) fn human(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 0.001 {
        format!("{} µs", duration.as_micros())
    } else if seconds < 1.0 {
        format!("{:.0} ms", seconds * 1000.0)
    } else if seconds < 60.0 {
        format!("{seconds:.1} s")
    } else {
        format!(
            "{} min {} s",
            duration.as_secs() / 60,
            duration.as_secs() % 60
        )
    }
}

/// `1 row`, `2 rows`, `1,000 rows`.
pub(crate) fn count(number: u64, what: &str) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let plural = if number == 1 { "" } else { "s" };
    format!("{grouped} {what}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_counted() {
        assert_eq!(count(1, "row"), "1 row");
        assert_eq!(count(0, "row"), "0 rows");
        assert_eq!(count(1_234_567, "row"), "1,234,567 rows");
        assert_eq!(count(999, "row"), "999 rows");
    }

    #[test]
    fn durations_have_the_unit_that_fits() {
        assert_eq!(human(Duration::from_micros(12)), "12 µs");
        assert_eq!(human(Duration::from_micros(12_400)), "12 ms");
        assert_eq!(human(Duration::from_millis(1_234)), "1.2 s");
        assert_eq!(human(Duration::from_secs(125)), "2 min 5 s");
    }
}
