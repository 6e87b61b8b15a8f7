//! What a guest says, made safe to show.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::capability::Limits;
use crate::migration::{Level, Listener, MigrationError};
use crate::printable;

/// How many lines of an interpreter's stderr are kept, to explain a trap.
const MAX_TAIL: usize = 40;
const TRACEBACK: &str = "Traceback (most recent call last)";
const PANIC_PREFIX: &str = "panicked at ";

/// The log of one call: sanitises, counts, and remembers what explains a trap.
pub(super) struct Console {
    listener: Arc<dyn Listener>,
    limits: Limits,
    lines: u64,
    bytes: u64,
    panic: Option<String>,
    tail: VecDeque<String>,
    flooded: Option<MigrationError>,
}

impl Console {
    /// A console that shows what it is told to `listener`.
    pub(super) fn new(listener: Arc<dyn Listener>, limits: Limits) -> Self {
        Self {
            listener,
            limits,
            lines: 0,
            bytes: 0,
            panic: None,
            tail: VecDeque::new(),
            flooded: None,
        }
    }

    /// Writes a message of one or several lines.
    ///
    /// # Errors
    /// [`MigrationError::Limit`] when the call has written more than it may.
    pub(super) fn write(&mut self, level: Level, message: &str) -> Result<(), MigrationError> {
        self.bytes = self.bytes.saturating_add(message.len() as u64);
        if self.bytes > self.limits.log_bytes {
            return self.flood("log-bytes", self.limits.log_bytes, "bytes");
        }
        if level == Level::Error && message.starts_with(PANIC_PREFIX) {
            self.panic = Some(printable::line(message));
        }
        for line in message.trim_end_matches(['\r', '\n']).split('\n') {
            self.lines += 1;
            if self.lines > self.limits.log_lines {
                return self.flood("log-lines", self.limits.log_lines, "lines");
            }
            self.listener.log(level, &printable::line(line));
        }
        Ok(())
    }

    /// Writes a line of an interpreter's stderr, where its tracebacks go.
    ///
    /// # Errors
    /// As [`Console::write`].
    pub(super) fn write_stderr(&mut self, line: &str) -> Result<(), MigrationError> {
        if self.tail.len() == MAX_TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(printable::line(line));
        self.write(Level::Warn, line)
    }

    /// Passes progress on; what is negative counts as 0.
    pub(super) fn progress(&self, done: i64, total: Option<i64>) {
        let count = |n: i64| u64::try_from(n).unwrap_or(0);
        self.listener.progress(count(done), total.map(count));
    }

    /// The guest's own account of why it trapped: its panic message, or the exception on its stderr.
    pub(super) fn last_words(&self) -> Option<String> {
        self.panic.clone().or_else(|| self.exception())
    }

    /// The panic of a Rust program that has no hook of the SDK's: the place, and the first line of the message below it.
    fn rust_panic(&self) -> Option<String> {
        let is_panic = |line: &String| line.starts_with("thread '") && line.contains(PANIC_PREFIX);
        let at = self.tail.iter().rposition(is_panic)?;
        let place = &self.tail[at][self.tail[at].find(PANIC_PREFIX)?..];
        let message = self.tail.get(at + 1).map_or("", String::as_str);
        Some(format!("{place} {message}").trim_end().to_owned())
    }

    /// The exception of the last traceback; without one, a panic, or the last line that is not indented. What an interpreter's
    /// runtime writes after its traceback, its own panic among that, says nothing of the migration.
    fn exception(&self) -> Option<String> {
        let is_statement = |line: &&String| !line.is_empty() && !line.starts_with(' ');
        let traceback = self
            .tail
            .iter()
            .rposition(|line| line.starts_with(TRACEBACK));
        match traceback {
            Some(at) => self.tail.iter().skip(at + 1).find(is_statement).cloned(),
            None => self
                .rust_panic()
                .or_else(|| self.tail.iter().rfind(is_statement).cloned()),
        }
    }

    /// The lines of an interpreter's traceback that name a place, the innermost first.
    pub(super) fn traceback(&self) -> Vec<String> {
        let places = self.tail.iter().rev().map(|line| line.trim());
        places
            .filter(|line| line.starts_with("File \"") || line.starts_with("at "))
            .map(str::to_owned)
            .collect()
    }

    /// The limit that the guest has flooded, if it has.
    pub(super) fn flooded(&self) -> Option<&MigrationError> {
        self.flooded.as_ref()
    }

    fn flood(
        &mut self,
        what: &'static str,
        limit: u64,
        unit: &'static str,
    ) -> Result<(), MigrationError> {
        let error = MigrationError::Limit { what, limit, unit };
        self.flooded = Some(error.clone());
        Err(error)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]

    use std::sync::Mutex;

    use super::*;
    use crate::printable::MAX_LINE;

    #[derive(Default)]
    struct Lines(Mutex<Vec<String>>);

    impl Listener for Lines {
        fn log(&self, _: Level, message: &str) {
            self.0.lock().unwrap().push(message.to_owned());
        }
        fn progress(&self, done: u64, total: Option<u64>) {
            self.log(Level::Info, &format!("{done} of {total:?}"));
        }
    }

    fn console(limits: Limits) -> (Console, Arc<Lines>) {
        let lines = Arc::new(Lines::default());
        (Console::new(lines.clone(), limits), lines)
    }

    #[test]
    fn escapes_and_reordering_marks_never_reach_the_terminal() {
        let (mut console, lines) = console(Limits::default());
        console
            .write(Level::Info, "\u{1b}[31mred\u{7}\u{202e}\tend\r\n")
            .unwrap();
        assert_eq!(*lines.0.lock().unwrap(), ["[31mred end"]);
    }

    #[test]
    fn lines_are_split_and_cut() {
        let (mut console, lines) = console(Limits::default());
        console
            .write(Level::Info, &format!("a\n{}", "x".repeat(5000)))
            .unwrap();
        let lines = lines.0.lock().unwrap();
        assert_eq!(lines[0], "a");
        assert_eq!(lines[1].chars().count(), MAX_LINE + 1);
    }

    #[test]
    fn a_flood_is_an_error_that_stays_known() {
        let (mut console, lines) = console(Limits {
            log_lines: 2,
            ..Limits::default()
        });
        assert!(console.write(Level::Info, "1\n2").is_ok());
        assert!(console.write(Level::Info, "3").is_err());
        assert_eq!(lines.0.lock().unwrap().len(), 2);
        assert!(matches!(
            console.flooded(),
            Some(MigrationError::Limit {
                what: "log-lines",
                limit: 2,
                unit: "lines"
            })
        ));
    }

    #[test]
    fn the_panic_message_explains_a_trap() {
        let (mut console, _) = console(Limits::default());
        console
            .write(Level::Error, "panicked at src/lib.rs:3:5:\nboom")
            .unwrap();
        console.write(Level::Error, "later").unwrap();
        assert_eq!(
            console.last_words().unwrap(),
            "panicked at src/lib.rs:3:5: boom"
        );
    }

    #[test]
    fn so_does_a_panic_without_a_hook() {
        let (mut console, _) = console(Limits::default());
        for line in [
            "",
            "thread '<unnamed>' (1) panicked at src/lib.rs:3:5:",
            "boom",
            "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace",
        ] {
            console.write_stderr(line).unwrap();
        }
        assert_eq!(
            console.last_words().unwrap(),
            "panicked at src/lib.rs:3:5: boom"
        );
    }
}
