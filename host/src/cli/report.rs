//! The only place that prints, and that picks an exit code.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use anstream::adapter::strip_str;
use anstream::stream::{AsLockedWrite, RawStream};
use anstream::{AutoStream, ColorChoice};
use owo_colors::OwoColorize;
use serde::Serialize;
use whimbrel::config::ConfigError;
use whimbrel::driver::DriverError;
use whimbrel::driver::backup::BackupError;
use whimbrel::engine::{Cause, RunFailure};
use whimbrel::migration::{MigrationError, PrepareError};
use whimbrel::plan::PlanError;

use super::diagnosis::Diagnosis;
use super::failure::Failure;
use super::global::{Color, Global};
use super::lines;

/// What a command found, where it did what it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing to object to.
    Done,
    /// A check found something.
    Found,
}

/// How talkative the program is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verbosity {
    Quiet,
    Normal,
    Verbose,
}

/// What stdout carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Text for people.
    Text,
    /// JSON, and nothing else.
    Json,
}

/// How a run is shown while it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Showing {
    /// By a line that moves.
    Live,
    /// By a line for each step.
    Lines,
    /// By events on stdout.
    Events,
}

/// What someone answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Yes,
    No,
    /// There is no terminal to ask on.
    NobodyThere,
}

/// How large a terminal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) columns: usize,
    pub(crate) rows: usize,
}

/// The program's voice: results go to stdout, everything else to stderr.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Report {
    format: Format,
    verbosity: Verbosity,
    showing: Showing,
    /// Whether results may be drawn over.
    is_canvas: bool,
}

/// The command did not do what it was asked for.
const FAILED: u8 = 1;
/// The command line or the settings make no sense.
const USAGE: u8 = 2;
/// A check found something.
const FOUND: u8 = 3;
/// The lock was not to be had in time.
const LOCKED: u8 = 4;
/// Something was refused by policy.
const REFUSED: u8 = 5;
/// The database cannot be reached.
const UNREACHABLE: u8 = 6;
/// Ctrl-C, as shells number it.
const INTERRUPTED: u8 = 130;

impl Report {
    /// A voice as the flags ask for it; also decides on colours for the whole process.
    pub(crate) fn new(global: &Global) -> Self {
        match global.color {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        }
        .write_global();
        let verbosity = match (global.quiet, global.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, 0) => Verbosity::Normal,
            (false, _) => Verbosity::Verbose,
        };
        let moves = !global.no_progress && verbosity != Verbosity::Quiet;
        let live = moves && std::io::stderr().is_terminal();
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self {
            format: if global.json {
                Format::Json
            } else {
                Format::Text
            },
            verbosity,
            showing: match (global.json, live) {
                (true, _) => Showing::Events,
                (false, true) => Showing::Live,
                (false, false) => Showing::Lines,
            },
            is_canvas: moves && !global.json && !is_dumb && std::io::stdout().is_terminal(),
        }
    }

    /// What stdout is to carry.
    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// How a run is to be shown.
    pub(crate) fn showing(&self) -> Showing {
        self.showing
    }

    /// The terminal that results go to, as large as it is now, where they may be drawn over.
    pub(crate) fn canvas(&self) -> Option<Size> {
        match self.is_canvas {
            true => terminal_size(),
            false => None,
        }
    }

    /// Whether the user wants to know more.
    pub(crate) fn is_verbose(&self) -> bool {
        self.verbosity >= Verbosity::Verbose
    }

    /// A line of the result.
    pub(crate) fn line(&self, line: impl Display) {
        write_line(&mut anstream::stdout().lock(), &line);
    }

    /// A result that is a file of its own: as it is, without colours.
    pub(crate) fn raw(&self, text: &str) {
        std::io::stdout().lock().write_all(text.as_bytes()).ok();
    }

    /// The result, or one event of it, as a line of JSON.
    pub(crate) fn json(&self, value: &impl Serialize) {
        match serde_json::to_string(value) {
            Ok(text) => self.line(text),
            Err(error) => self.message(format_args!("cannot be written as JSON: {error}")),
        }
    }

    /// Whether there is somebody to be asked.
    pub(crate) fn can_ask(&self) -> bool {
        self.format == Format::Text
            && self.verbosity >= Verbosity::Normal
            && std::io::stdin().is_terminal()
            && std::io::stderr().is_terminal()
    }

    /// The answer to a question; none where it is empty, or the input has ended.
    pub(crate) fn ask(&self, question: impl Display) -> Option<String> {
        let mut err = anstream::stderr().lock();
        write!(err, "{question}").and_then(|()| err.flush()).ok()?;
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).ok()?;
        let answer = answer.trim();
        (!answer.is_empty()).then(|| answer.to_owned())
    }

    /// A message about what is going on.
    pub(crate) fn message(&self, message: impl Display) {
        if self.verbosity >= Verbosity::Normal {
            write_line(&mut anstream::stderr().lock(), &message);
        }
    }

    /// A message of several lines, none of which is too wide for a terminal.
    pub(crate) fn paragraph(&self, text: &str) {
        lines::wrap(text, "")
            .iter()
            .for_each(|line| self.message(line));
    }

    /// Asks a question that is answered with yes or no, where someone is there to answer.
    pub(crate) fn confirm(&self, question: &str) -> Answer {
        if !self.can_ask() {
            return Answer::NobodyThere;
        }
        let answer = self.ask(format_args!("{question} [y/N] "));
        // Whoever cannot be understood has not said yes.
        match answer.unwrap_or_default().to_ascii_lowercase().as_str() {
            "y" | "yes" => Answer::Yes,
            _ => Answer::No,
        }
    }

    /// Ends the process: prints the failure, if any, and says how it went.
    pub(crate) fn finish(&self, outcome: Result<Verdict, Failure>) -> ExitCode {
        match outcome {
            Ok(Verdict::Done) => ExitCode::SUCCESS,
            Ok(Verdict::Found) => FOUND.into(),
            Err(failure) => {
                self.failure(&failure);
                exit_code(&failure).into()
            }
        }
    }

    fn failure(&self, failure: &Failure) {
        let diagnosis = Diagnosis::of(failure);
        let mut err = anstream::stderr().lock();
        write_line(
            &mut err,
            &format_args!("{} {}", "Error:".red().bold(), diagnosis.title),
        );
        if let Some(snippet) = &diagnosis.snippet {
            write_line(&mut err, &snippet.render());
        }
        let mut number = 0;
        for cause in &diagnosis.causes {
            number += 1;
            write_line(
                &mut err,
                &format_args!(
                    "  {}{} {}",
                    number.dimmed(),
                    ".".dimmed(),
                    indented(cause, "     ")
                ),
            );
        }
        for note in &diagnosis.notes {
            write_line(
                &mut err,
                &format_args!("     {}", indented(note, "     ").dimmed()),
            );
        }
        if let Some(hint) = &diagnosis.hint {
            write_line(&mut err, &format_args!("{} {hint}", "hint:".cyan().bold()));
        }
        if let Some(state) = &diagnosis.state {
            write_line(&mut err, &state);
        }
    }
}

/// Answers to a command line that clap does not accept, or that asks for help.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    // Nobody is left to tell when the terminal is gone.
    error.print().ok();
    if error.use_stderr() {
        USAGE.into()
    } else {
        ExitCode::SUCCESS
    }
}

#[cfg(unix)]
fn terminal_size() -> Option<Size> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    // One that does not know its size is taken for one of the smallest that there are.
    let known = |number: u16, smallest: usize| match number {
        0 => smallest,
        number => number.into(),
    };
    Some(Size {
        columns: known(size.ws_col, lines::WIDTH),
        rows: known(size.ws_row, 24),
    })
}

#[cfg(not(unix))]
fn terminal_size() -> Option<Size> {
    None
}

/// Ends the process at once, as a second Ctrl-C asks for.
pub(crate) fn abort() -> ! {
    std::process::exit(INTERRUPTED.into())
}

/// Writes a line at once; a reader that has gone away (`| head`) is no failure of the program's.
fn write_line(to: &mut AutoStream<impl RawStream + AsLockedWrite>, line: &dyn Display) {
    let mut text = format!("{line}\n");
    if to.current_choice() == ColorChoice::Never {
        text = strip_str(&text).to_string();
    }
    to.write_all(text.as_bytes()).ok();
}

fn indented(text: &str, indent: &str) -> String {
    text.replace('\n', &format!("\n{indent}"))
}

fn exit_code(failure: &Failure) -> u8 {
    match failure {
        Failure::Usage(_) | Failure::Target(_) | Failure::Policy(_) => USAGE,
        Failure::Config(ConfigError::Read { .. }) => FAILED,
        Failure::Config(_) => USAGE,
        Failure::Driver(error) => of_driver(error),
        Failure::Run(failure) | Failure::BackedUp { failure, .. } | Failure::Learning(failure) => {
            of_run(failure)
        }
        Failure::Sources(_)
        | Failure::Source(_)
        | Failure::Graph(_)
        | Failure::Build(_)
        | Failure::Lock(_)
        | Failure::Scaffold(_)
        | Failure::Write { .. }
        | Failure::Runtime(_)
        | Failure::Tape(_)
        | Failure::Request(_)
        | Failure::Journal(_)
        | Failure::Replay { .. }
        | Failure::Signals(_) => FAILED,
    }
}

fn of_run(failure: &RunFailure) -> u8 {
    match failure.cause.as_ref() {
        Cause::Plan(PlanError::Target(_)) => USAGE,
        Cause::Locked { .. } => LOCKED,
        Cause::Cancelled => INTERRUPTED,
        Cause::Prepare(PrepareError::Refused { .. }) => REFUSED,
        Cause::Prepare(PrepareError::Load { source, .. }) | Cause::Migration { source, .. } => {
            of_migration(source)
        }
        Cause::Backup { source, .. } | Cause::Restore { source, .. } => match source.as_ref() {
            BackupError::Database(error) => of_driver(error),
            _ => FAILED,
        },
        Cause::Database(error)
        | Cause::Record { source: error, .. }
        | Cause::Transaction { source: error, .. } => of_driver(error),
        _ => FAILED,
    }
}

fn of_migration(error: &MigrationError) -> u8 {
    match error {
        MigrationError::Statement { source, .. } => of_driver(source),
        MigrationError::Admission { .. } | MigrationError::Audit { .. } => REFUSED,
        MigrationError::Cancelled => INTERRUPTED,
        _ => FAILED,
    }
}

fn of_driver(error: &DriverError) -> u8 {
    match error {
        DriverError::Connect { .. } => UNREACHABLE,
        DriverError::Settings { .. } => USAGE,
        DriverError::Denied { .. } | DriverError::NotGranted(_) => REFUSED,
        _ => FAILED,
    }
}
