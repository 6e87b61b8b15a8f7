//! A run as it goes on: a line that moves, a line for each step, or events.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use owo_colors::OwoColorize;
use whimbrel::event::{Event, Observer, StepReport};
use whimbrel::migration::Level;
use whimbrel::revision::RevisionId;

use super::lines::shorten;
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
    /// The current step, as the moving line names it.
    step: String,
    /// What the moving line says.
    doing: String,
    bar: Option<ProgressBar>,
    /// Whether the moving line says how far the step is.
    length: Length,
    last_progress: Option<Instant>,
    /// Who has the lock, while that is what was told last.
    waiting: Option<String>,
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
            state.length = Length::Unknown;
            state.doing.clone_from(&what);
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
                state.step.clone_from(&what);
                self.activity(state, what);
            }
            Event::BackfillState { revision, doing } => {
                let what = format!("{revision} {doing} …");
                match (*doing, self.showing) {
                    ("works", Showing::Live) if !state.step.is_empty() => {
                        self.activity(state, state.step.clone());
                    }
                    ("works", Showing::Lines | Showing::Events) => {}
                    (doing, _) if doing.starts_with("works") => self.activity(state, what),
                    _ => self.pause(state, what),
                }
            }
            Event::Log {
                revision,
                level,
                message,
            } => self.log(state, revision, *level, message),
            Event::Progress { done, total, .. } => state.progress(*done, *total),
            Event::Retrying {
                revision,
                attempt,
                delay,
                reason,
            } => {
                let line = format!(
                    "  {} attempt {attempt} failed: {reason}; again in {}",
                    format_args!("{revision}:").dimmed(),
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
        if state.is_known_wait(event) {
            return;
        }
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
    /// Whether it was told last that this run waits for that lock: one that tries again and again tells it once.
    fn is_known_wait(&mut self, event: &Event<'_>) -> bool {
        match (event, &self.waiting) {
            (Event::Preparing { .. }, Some(_)) => true,
            (Event::WaitingForLock { holder: None }, Some(_)) => true,
            (Event::WaitingForLock { holder }, known) => {
                let holder = holder.map_or_else(String::new, ToString::to_string);
                let is_known = known.as_ref() == Some(&holder);
                self.waiting = Some(holder);
                is_known
            }
            _ => {
                self.waiting = None;
                false
            }
        }
    }

    /// Moves the line on.
    fn progress(&mut self, done: u64, total: Option<u64>) {
        let Some(bar) = &self.bar else { return };
        let length = match total {
            Some(_) => Length::Known,
            None => Length::Unknown,
        };
        let is_first = self.length != length;
        if is_first {
            self.length = length;
            bar.set_style(style(length));
            bar.set_message(match length {
                Length::Known => shorten(&self.doing, ROOM),
                Length::Unknown => self.doing.clone(),
            });
        }
        if let Some(total) = total {
            bar.set_length(total);
        }
        bar.set_position(done);
        if is_first {
            // What was done before says nothing of the speed now.
            bar.reset_eta();
        }
    }

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Length {
    Known,
    #[default]
    Unknown,
}

/// How much room beside the numbers is for what goes on, on a terminal of 80 columns.
const ROOM: usize = 28;

fn spinner(message: String) -> ProgressBar {
    let bar = ProgressBar::new_spinner()
        .with_style(style(Length::Unknown))
        .with_message(message);
    bar.enable_steady_tick(TICK);
    bar
}

fn style(length: Length) -> ProgressStyle {
    let template = match length {
        Length::Known => "{spinner} {msg} {wide_bar} {human_pos}/{human_len}{rate}{left}",
        Length::Unknown => "{spinner} {msg} {elapsed}",
    };
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .with_key("rate", rate)
        .with_key("left", left)
}

/// How fast it is, once it is.
fn rate(state: &ProgressState, to: &mut dyn fmt::Write) {
    let rate = state.per_sec();
    if rate >= 1.0 {
        // The line is drawn without what cannot be written.
        let _ = write!(to, " {}/s", thousands(rate as u64));
    }
}

/// How long it will take, roughly.
fn left(state: &ProgressState, to: &mut dyn fmt::Write) {
    if state.per_sec() >= 1.0 {
        let _ = write!(to, " {}", rough(state.eta()));
    }
}

/// A duration as short as it can be told.
fn rough(duration: Duration) -> String {
    let seconds = duration.as_secs_f64().round() as u64;
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", (seconds + 30) / 60),
        7_200..172_800 => format!("{}h", (seconds + 1_800) / 3_600),
        _ => format!("{}d", (seconds + 43_200) / 86_400),
    }
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
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {what}{plural}", thousands(number))
}

/// A number with its thousands apart.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
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
    fn what_is_left_is_told_roughly() {
        let seconds = [0, 119, 120, 7_199, 7_200, 172_799, 172_800];
        let told = seconds.map(|seconds| rough(Duration::from_secs(seconds)));
        assert_eq!(told, ["0s", "119s", "2m", "120m", "2h", "48h", "2d"]);
    }

    #[test]
    fn durations_have_the_unit_that_fits() {
        assert_eq!(human(Duration::from_micros(12)), "12 µs");
        assert_eq!(human(Duration::from_micros(12_400)), "12 ms");
        assert_eq!(human(Duration::from_millis(1_234)), "1.2 s");
        assert_eq!(human(Duration::from_secs(125)), "2 min 5 s");
    }
}
