//! How a backfill looks: at most 80 columns.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use whimbrel::backfill::{BadRows, Settings, State, Status};

use super::progress::{count, human};

/// How much is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    /// All in all.
    Short,
    /// Each range as well.
    Ranges,
}

/// Rows a second, and how certain that is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rate {
    mean: f64,
    deviation: f64,
}

/// What a watcher learns of the rates of backfills.
#[derive(Default)]
pub(super) struct Rates {
    known: HashMap<String, (Instant, u64, Vec<f64>)>,
}

impl Rates {
    /// How many seconds of looking the rate is made of.
    const MEMORY: usize = 30;

    /// Takes another look; says what is known after at least three.
    pub(super) fn learn(&mut self, status: &Status) -> Option<Rate> {
        let now = Instant::now();
        let read = status.counts.read;
        let Some((at, rows, rates)) = self.known.get_mut(&status.revision) else {
            self.known
                .insert(status.revision.clone(), (now, read, Vec::new()));
            return None;
        };
        let seconds = now.duration_since(*at).as_secs_f64();
        rates.push(read.saturating_sub(*rows) as f64 / seconds.max(1e-3));
        if rates.len() > Self::MEMORY {
            rates.remove(0);
        }
        (*at, *rows) = (now, read);
        Rate::of(rates)
    }
}

impl Rate {
    fn of(rates: &[f64]) -> Option<Self> {
        if rates.len() < 3 {
            return None;
        }
        let len = rates.len() as f64;
        let mean = rates.iter().sum::<f64>() / len;
        let variance = rates.iter().map(|rate| (rate - mean).powi(2)).sum::<f64>() / (len - 1.0);
        Some(Self {
            mean,
            // Of the mean, not of one second.
            deviation: (variance / len).sqrt(),
        })
    }
}

/// A backfill in a few lines.
pub(super) fn text(status: &Status, rate: Option<Rate>, detail: Detail) -> String {
    let mut text = String::new();
    let done = status.counts.read;
    let total = status.estimate.max(done);
    let part = match (status.state, total) {
        (State::Done, _) | (_, 0) => 1.0,
        _ => done as f64 / total as f64,
    };
    let _ = writeln!(
        text,
        "{} {} of {}: {}",
        status.direction,
        status.revision,
        status.table,
        status.state.name()
    );
    let _ = writeln!(
        text,
        "  {} {:>3.0} %  {} of about {}",
        bar(part),
        (part * 100.0).floor(),
        thousands(done),
        thousands(total)
    );
    let _ = writeln!(text, "  {}", speed(status, rate, total));
    let counts = &status.counts;
    let mut rows = format!("{} written", thousands(counts.written));
    for (number, what) in [
        (counts.kept, "left as they were"),
        (counts.dropped, "deleted"),
        (status.bad_rows, "set aside"),
    ] {
        if number > 0 {
            let _ = write!(rows, ", {} {what}", thousands(number));
        }
    }
    let _ = writeln!(text, "  {rows}");
    if !status.reason.is_empty() {
        let _ = writeln!(text, "  {}", status.reason);
    }
    let finished = status.ranges.iter().filter(|range| range.done).count();
    let taken = status.ranges.iter().filter(|range| range.taken).count();
    let _ = writeln!(
        text,
        "  {finished} of {} done, {taken} being worked on",
        count(status.ranges.len() as u64, "range")
    );
    if status.state != State::Done {
        for worker in &status.workers {
            let silent = match worker.seen > 10.0 {
                true => format!(
                    ", silent for {}",
                    human(Duration::try_from_secs_f64(worker.seen.floor()).unwrap_or_default())
                ),
                false => String::new(),
            };
            let _ = writeln!(
                text,
                "  worker on {}: {}{silent}, {} rows",
                worker.place,
                worker.doing,
                thousands(worker.rows)
            );
        }
        let _ = writeln!(text, "  {}", settings(&status.settings));
    }
    if detail == Detail::Ranges {
        for range in &status.ranges {
            let state = match (range.done, range.taken) {
                (true, _) => "done",
                (false, true) => "at work",
                (false, false) => "waits",
            };
            let end = |key: &Option<String>| shortened(key.as_deref().unwrap_or("…"));
            let _ = writeln!(
                text,
                "  {:>4} {:<8} {:>11} rows  {} – {}{}",
                range.number,
                state,
                thousands(range.counts.read),
                end(&range.after),
                end(&range.upto),
                match &range.cursor {
                    Some(cursor) if !range.done => format!(", at {}", shortened(cursor)),
                    _ => String::new(),
                }
            );
        }
    }
    text.trim_end().to_owned()
}

/// How fast it is and when it will be done, as far as that can be told.
fn speed(status: &Status, rate: Option<Rate>, total: u64) -> String {
    let seconds = |seconds: f64| {
        let told = match seconds < 10.0 {
            true => seconds.max(0.0),
            false => seconds.round(),
        };
        human(Duration::try_from_secs_f64(told).unwrap_or(Duration::MAX))
    };
    let overall = status.counts.read as f64 / status.seconds.max(1e-3);
    let left = total.saturating_sub(status.counts.read) as f64;
    match (status.state, rate) {
        (State::Done, _) => format!(
            "{} rows/s, took {}",
            thousands(overall as u64),
            seconds(status.seconds)
        ),
        (State::Running, _)
            if !status.ranges.is_empty() && status.ranges.iter().all(|range| range.done) =>
        {
            "all ranges are done; `whimbrel upgrade` works on what changed, and ends it".to_owned()
        }
        (State::Running, Some(Rate { mean, deviation })) if mean > 0.0 => {
            // Two standard deviations of the mean to either side.
            let fast = left / (mean + 2.0 * deviation);
            let slow = left / (mean - 2.0 * deviation).max(mean / 10.0);
            format!(
                "{} rows/s, {} left (between {} and {})",
                thousands(mean as u64),
                seconds(left / mean),
                seconds(fast),
                seconds(slow)
            )
        }
        (State::Running, None) if overall > 0.0 => format!(
            "{} rows/s since it began {} ago, about {} left at that",
            thousands(overall as u64),
            seconds(status.seconds),
            seconds(left / overall)
        ),
        _ => format!("began {} ago", seconds(status.seconds)),
    }
}

/// The settings that say something.
pub(super) fn settings(settings: &Settings) -> String {
    let mut parts = vec![
        count(settings.workers.into(), "worker"),
        format!("batches of {}", human(settings.batch)),
    ];
    if let Some(rate) = settings.rate {
        parts.push(format!("at most {} rows/s", thousands(rate)));
    }
    if let Some(lag) = settings.max_lag {
        parts.push(format!("waits for replicas {} behind", human(lag)));
    }
    if settings.load.is_some() {
        parts.push("waits for a load query".to_owned());
    }
    if let Some(window) = settings.window {
        parts.push(format!("from {window}"));
    }
    if let Some(dead) = settings.max_dead {
        parts.push(format!("at most {} dead rows", thousands(dead)));
    }
    match settings.bad_rows {
        BadRows::Fail => {}
        BadRows::SetAside => parts.push(format!(
            "sets at most {} rows aside",
            thousands(settings.max_bad_rows)
        )),
        BadRows::Leave => parts.push(format!(
            "leaves out at most {} rows",
            thousands(settings.max_bad_rows)
        )),
    }
    parts.join(", ")
}

fn bar(part: f64) -> String {
    const WIDTH: usize = 30;
    let full = ((part * WIDTH as f64).floor() as usize).min(WIDTH);
    format!("[{}{}]", "#".repeat(full), "-".repeat(WIDTH - full))
}

fn shortened(text: &str) -> String {
    const LONGEST: usize = 14;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A number with its thousands apart.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        let cases = [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_234_567, "1,234,567"),
        ];
        for (number, text) in cases {
            assert_eq!(thousands(number), text);
        }
    }

    #[test]
    fn a_steady_rate_is_certain() {
        assert_eq!(Rate::of(&[1.0, 2.0]), None);
        let steady = Rate::of(&[100.0; 5]).map(|rate| (rate.mean, rate.deviation));
        assert_eq!(steady, Some((100.0, 0.0)));
        let uneven = Rate::of(&[50.0, 150.0, 50.0, 150.0]);
        assert!(uneven.is_some_and(|rate| rate.mean == 100.0 && rate.deviation > 20.0));
    }
}
