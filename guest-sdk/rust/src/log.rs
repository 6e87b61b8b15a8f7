//! What a migration says while it runs.
//!
//! In a component it goes to the host, which shows and records it. Natively it goes to the [`record`] around the
//! call, or else to the standard error stream.

use std::fmt;

pub use crate::bindings::whimbrel::migrate::log::Level;

/// Something that a migration said.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// A line of log.
    Line(Level, String),
    /// How far it was.
    Progress {
        /// How much was done.
        done: u64,
        /// Of how much, where that was known.
        total: Option<u64>,
    },
}

/// Writes a line; the macros [`debug!`](crate::debug), [`info!`](crate::info), [`warn!`](crate::warn) and
/// [`error!`](crate::error!) are shorter.
pub fn write(level: Level, message: fmt::Arguments<'_>) {
    sink::send(Entry::Line(level, message.to_string()));
}

/// Tells how far the migration is, of how much where that is known.
pub fn progress(done: u64, total: impl Into<Option<u64>>) {
    sink::send(Entry::Progress {
        done,
        total: total.into(),
    });
}

#[cfg(target_family = "wasm")]
mod sink {
    use super::Entry;
    use crate::bindings::whimbrel::migrate::log;

    pub(super) fn send(entry: Entry) {
        match entry {
            Entry::Line(level, message) => log::write(level, &message),
            Entry::Progress { done, total } => log::progress(
                done.try_into().unwrap_or(i64::MAX),
                total.map(|total| total.try_into().unwrap_or(i64::MAX)),
            ),
        }
    }
}

#[cfg(not(target_family = "wasm"))]
mod sink {
    use std::cell::RefCell;

    use super::Entry;

    thread_local! {
        static ENTRIES: RefCell<Vec<Vec<Entry>>> = const { RefCell::new(Vec::new()) };
    }

    #[expect(
        clippy::print_stderr,
        reason = "a test shows what it did not ask to record"
    )]
    pub(super) fn send(entry: Entry) {
        ENTRIES.with_borrow_mut(|recorders| match recorders.last_mut() {
            Some(entries) => entries.push(entry),
            None => eprintln!("{entry:?}"),
        });
    }

    /// Runs `work` and returns, beside its result, what was said on this thread meanwhile.
    pub fn record<T>(work: impl FnOnce() -> T) -> (T, Vec<Entry>) {
        ENTRIES.with_borrow_mut(|recorders| recorders.push(Vec::new()));
        let result = work();
        let entries = ENTRIES.with_borrow_mut(Vec::pop).unwrap_or_default();
        (result, entries)
    }
}

#[cfg(not(target_family = "wasm"))]
pub use sink::record;

/// Writes a line for whoever debugs the migration; takes what [`format!`] takes.
#[macro_export]
macro_rules! debug {
    ($($message:tt)+) => { $crate::log::write($crate::log::Level::Debug, ::core::format_args!($($message)+)) };
}

/// Writes a line worth knowing; takes what [`format!`] takes.
#[macro_export]
macro_rules! info {
    ($($message:tt)+) => { $crate::log::write($crate::log::Level::Info, ::core::format_args!($($message)+)) };
}

/// Writes a line to look at; takes what [`format!`] takes.
#[macro_export]
macro_rules! warn {
    ($($message:tt)+) => { $crate::log::write($crate::log::Level::Warn, ::core::format_args!($($message)+)) };
}

/// Writes a line about something that went wrong; takes what [`format!`] takes.
#[macro_export]
macro_rules! error {
    ($($message:tt)+) => { $crate::log::write($crate::log::Level::Error, ::core::format_args!($($message)+)) };
}

/// Iterators that tell how far they are.
pub trait ProgressExt: Iterator + Sized {
    /// Reports progress while the items go by: a hundred times where the total is known, else every 1,000 items;
    /// and once more at the end.
    fn with_progress(self, total: impl Into<Option<u64>>) -> WithProgress<Self> {
        let total = total.into();
        WithProgress {
            items: self,
            done: 0,
            stride: total.map_or(1000, |total| (total / 100).max(1)),
            total,
        }
    }
}

impl<I: Iterator> ProgressExt for I {}

/// The iterator that [`ProgressExt::with_progress`] returns.
#[derive(Debug)]
pub struct WithProgress<I> {
    items: I,
    done: u64,
    stride: u64,
    total: Option<u64>,
}

impl<I: Iterator> Iterator for WithProgress<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.items.next();
        if item.is_some() {
            self.done += 1;
        }
        let is_due = self.done.is_multiple_of(self.stride);
        if item.is_some() == is_due {
            progress(self.done, self.total);
        }
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_progress_are_recorded_in_order() {
        let ((), entries) = record(|| {
            crate::info!("{} rows", 3);
            progress(1, None);
        });
        assert_eq!(
            entries,
            [
                Entry::Line(Level::Info, "3 rows".into()),
                Entry::Progress {
                    done: 1,
                    total: None
                }
            ]
        );
    }

    #[test]
    fn an_iterator_reports_every_stride_and_its_end() {
        let (count, entries) = record(|| (0..2500).with_progress(None).count());
        assert_eq!(count, 2500);
        let done: Vec<u64> = entries
            .into_iter()
            .map(|entry| match entry {
                Entry::Progress { done, .. } => done,
                Entry::Line(_, line) => panic!("unexpected line {line}"),
            })
            .collect();
        assert_eq!(done, [1000, 2000, 2500]);
    }
}
