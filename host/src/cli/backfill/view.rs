//! How a backfill looks: at most 80 columns, whatever it is called and whatever went wrong.

use std::time::Duration;

use whimbrel::backfill::{BadRows, RangeReport, Settings, State, Status, WorkerReport};

use super::look::{Left, Look};
use crate::cli::lines::{columns, fit, plain, shorten};
use crate::cli::progress::{count, human, thousands};

/// How much is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    /// All in all.
    Short,
    /// Each range as well.
    Ranges,
}

/// A worker that has said nothing for longer is shown to be silent.
const SILENT_SECONDS: f64 = 10.0;

/// A backfill in a few lines, none of which is wider than that.
pub(super) fn lines(look: &Look, detail: Detail, width: usize) -> Vec<String> {
    let status = &look.status;
    let title = format!(
        "{} {} of {}: {}",
        status.direction,
        status.revision,
        status.table,
        status.state.name()
    );
    let mut lines = fit(&title, "  ", width);
    let mut say = |text: &str| lines.extend(fit(&format!("  {text}"), "    ", width));
    say(&progress(status, width));
    say(&speed(look));
    say(&rows(status));
    if !status.reason.is_empty() {
        say(&status.reason);
    }
    let finished = status.ranges.iter().filter(|range| range.done).count();
    let taken = status.ranges.iter().filter(|range| range.taken).count();
    say(&format!(
        "{finished} of {} done, {taken} being worked on",
        count(status.ranges.len() as u64, "range")
    ));
    if status.state != State::Done {
        for worker in &status.workers {
            say(&doing(worker));
        }
        say(&settings(&status.settings));
    }
    if let Some(advice) = advice(status) {
        say(&advice);
    }
    if detail == Detail::Ranges {
        lines.extend(ranges(&status.ranges, width));
    }
    lines
}

/// How far it is. Only what has come through all ranges has come through all rows, however few were expected.
fn progress(status: &Status, width: usize) -> String {
    let done = status.counts.read;
    let (part, rows) = match status.state == State::Done || status.is_read_through() {
        true => (1.0, count(done, "row")),
        false => {
            let total = status.estimate.max(done);
            let rows = format!("{} of about {}", thousands(done), count(total, "row"));
            (part(done, total), rows)
        }
    };
    let bar = bar(part, if width < 70 { 10 } else { 30 });
    format!("{bar} {:>3.0} %  {rows}", (part * 100.0).floor())
}

/// What part of rows is done while more of them may come.
fn part(done: u64, total: u64) -> f64 {
    match total {
        0 => 0.0,
        total => (done as f64 / total as f64).min(0.99),
    }
}

fn bar(part: f64, width: usize) -> String {
    let full = ((part * width as f64).floor() as usize).min(width);
    format!("[{}{}]", "#".repeat(full), "-".repeat(width - full))
}

/// How fast it is and when it will be done, as far as that can be told.
fn speed(look: &Look) -> String {
    let status = &look.status;
    let since = time(status.seconds);
    let overall = status.counts.read as f64 / status.seconds.max(1e-3);
    if status.state == State::Done {
        return format!("{} rows/s, took {since}", thousands(overall as u64));
    }
    if status.is_read_through() {
        return format!(
            "all ranges are done; {} of what others have changed",
            left_notes(status.changed)
        );
    }
    match (look.speed, look.left) {
        _ if status.state != State::Running || !status.is_worked_on() => {
            format!("began {since} ago")
        }
        (Some(speed), Some(left)) => {
            format!("{} rows/s, {}", thousands(speed as u64), remaining(left))
        }
        (Some(_), None) => format!("0 rows/s now; began {since} ago"),
        (None, _) if overall > 0.0 => {
            let left = status.estimate.saturating_sub(status.counts.read);
            format!(
                "{} rows/s since it began {since} ago, about {} left at that",
                thousands(overall as u64),
                time(left as f64 / overall)
            )
        }
        (None, _) => format!("began {since} ago"),
    }
}

/// How much is noted to be worked on, which is counted up to a limit.
fn left_notes(number: u64) -> String {
    match number {
        0 => "nothing is left".to_owned(),
        1 => "one note is left".to_owned(),
        2..=100_000 => format!("{} are left", count(number, "note")),
        _ => "more than 100,000 notes are left".to_owned(),
    }
}

fn remaining(left: Left) -> String {
    let (low, likely) = (time(left.low), time(left.likely));
    match left.high.map(time) {
        Some(high) if high == low => format!("{likely} left"),
        Some(high) => format!("{likely} left (between {low} and {high})"),
        None => format!("{likely} left (at least {low})"),
    }
}

/// A duration in its two largest units.
fn time(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..10 => human(Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default()),
        10..60 => format!("{whole} s"),
        60..3_600 => format!("{} min {} s", whole / 60, whole % 60),
        3_600..86_400 => format!("{} h {} min", whole / 3_600, whole % 3_600 / 60),
        _ => format!(
            "{} d {} h",
            thousands(whole / 86_400),
            whole % 86_400 / 3_600
        ),
    }
}

/// What was done.
fn rows(status: &Status) -> String {
    let counts = &status.counts;
    let mut rows = format!("{} written", thousands(counts.written));
    for (number, what) in [
        (counts.kept, "left as they were"),
        (counts.dropped, "deleted"),
        (status.bad_rows, "set aside"),
    ] {
        if number > 0 {
            rows.push_str(&format!(", {} {what}", thousands(number)));
        }
    }
    if status.bad_rows > 0 {
        let revision = &status.revision;
        rows.push_str(&format!(": `whimbrel backfill rows {revision}` shows them"));
    }
    rows
}

fn doing(worker: &WorkerReport) -> String {
    let silent = match worker.seen > SILENT_SECONDS {
        true => format!(", silent for {}", time(worker.seen)),
        false => String::new(),
    };
    format!(
        "worker on {}: {}{silent}, {}",
        worker.place,
        worker.doing,
        count(worker.rows, "row")
    )
}

/// What it waits for that its operator does.
fn advice(status: &Status) -> Option<String> {
    let run = format!("`whimbrel {}`", status.direction);
    match (status.state, status.is_worked_on()) {
        (State::Done, _) | (State::Running, true) => None,
        (State::Running, false) => Some(nobody(&status.direction)),
        (State::Paused, true) => Some("`whimbrel backfill resume` goes on".to_owned()),
        (State::Paused, false) => Some(format!(
            "nobody works on it; after `whimbrel backfill resume`, {run} or `whimbrel backfill work` does"
        )),
        (State::Stopped, _) => Some(format!("{run} goes on from there")),
        (State::Failed, _) => Some(format!("{run} tries again from there")),
    }
}

/// What is said of a backfill that has no worker and may have one.
pub(super) fn nobody(direction: &str) -> String {
    format!("nobody works on it: `whimbrel {direction}` or `whimbrel backfill work` does")
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
        parts.push(format!("at most {}", count(dead, "dead row")));
    }
    match settings.bad_rows {
        BadRows::Fail => {}
        BadRows::SetAside => parts.push(format!(
            "sets at most {} aside",
            count(settings.max_bad_rows, "row")
        )),
        BadRows::Leave => parts.push(format!(
            "leaves out at most {}",
            count(settings.max_bad_rows, "row")
        )),
    }
    parts.join(", ")
}

/// A line for each range: what is left of the width once the numbers stand below each other is for its keys.
fn ranges(ranges: &[RangeReport], width: usize) -> Vec<String> {
    let columns_of = |cells: &[String; 5]| cells.each_ref().map(|cell| columns(cell));
    let cells: Vec<[String; 5]> = ranges.iter().map(range).collect();
    let widest = cells.iter().fold([0; 5], |widest, row| {
        let row = columns_of(row);
        std::array::from_fn(|at| widest[at].max(row[at]))
    });
    let mut lines = Vec::new();
    for (range, [number, state, percent, rows, speed]) in ranges.iter().zip(&cells) {
        let [a, b, c, d, e] = widest;
        let numbers =
            format!("  {number:>a$}  {state:<b$}  {percent:>c$}  {rows:>d$}  {speed:>e$}  ");
        // Two keys, and what stands between them.
        let room = width.saturating_sub(columns(&numbers) + 3) / 2;
        let key = |key: &Option<String>| {
            let key = plain(key.as_deref().unwrap_or("…"));
            shorten(&key, room.max(8))
        };
        let line = format!("{numbers}{} – {}", key(&range.after), key(&range.upto));
        lines.extend(fit(&line, "      ", width));
    }
    lines
}

/// The number of a range, what becomes of it, how far it is, its rows, and how fast its batches are.
fn range(range: &RangeReport) -> [String; 5] {
    let read = range.counts.read;
    let (state, part) = match (range.done, range.taken) {
        (true, _) => ("done", 1.0),
        (false, true) => ("at work", part(read, range.estimate.max(read))),
        (false, false) => ("waits", part(read, range.estimate.max(read))),
    };
    let speed = match range.busy_seconds > 0.0 {
        true => format!(
            "{} rows/s",
            thousands((read as f64 / range.busy_seconds) as u64)
        ),
        false => String::new(),
    };
    [
        range.number.to_string(),
        state.to_owned(),
        format!("{:.0} %", (part * 100.0).floor()),
        count(read, "row"),
        speed,
    ]
}

#[cfg(test)]
mod tests {
    use whimbrel::backfill::Counts;

    use super::*;
    use crate::cli::backfill::look::Rates;

    fn range(number: i64, text: &str) -> RangeReport {
        RangeReport {
            number,
            after: Some(text.to_owned()),
            upto: None,
            cursor: Some(text.to_owned()),
            done: number == 0,
            taken: number == 1,
            counts: Counts {
                read: 9_000_000_000 * number.unsigned_abs(),
                ..Counts::default()
            },
            batches: 7,
            estimate: 1,
            busy_seconds: 0.25,
        }
    }

    fn status(state: State, text: &str) -> Status {
        Status {
            revision: text.to_owned(),
            direction: "upgrade".to_owned(),
            table: text.to_owned(),
            state,
            reason: format!("{text} {text}"),
            settings: Settings {
                rate: Some(u64::MAX),
                max_lag: Some(Duration::MAX),
                load: Some(text.to_owned()),
                window: "22:00-06:00".parse().ok(),
                max_dead: Some(u64::MAX),
                bad_rows: BadRows::SetAside,
                max_bad_rows: u64::MAX,
                ..Settings::default()
            },
            estimate: u64::MAX,
            counts: Counts {
                read: u64::MAX / 2,
                written: u64::MAX,
                kept: u64::MAX,
                dropped: u64::MAX,
                bad: u64::MAX,
            },
            seconds: 1e18,
            bad_rows: u64::MAX,
            changed: u64::MAX,
            ranges: (0..3).map(|number| range(number, text)).collect(),
            workers: vec![WorkerReport {
                place: text.to_owned(),
                doing: format!("waits to try again: {text}"),
                rows: u64::MAX,
                seen: 11.0,
            }],
        }
    }

    #[test]
    fn no_line_is_wider_than_it_may_be() {
        let texts = [
            String::new(),
            "x".repeat(300),
            "a few words ".repeat(30),
            "`quoted and never closed ".repeat(20),
            "語 \u{1b}[2J\r\n\t".repeat(40),
        ];
        let states = [
            State::Running,
            State::Paused,
            State::Stopped,
            State::Failed,
            State::Done,
        ];
        for text in &texts {
            for state in states {
                for width in [20, 50, 80] {
                    let mut rates = Rates::default();
                    for at in 0..5_u32 {
                        let mut status = status(state, text);
                        status.seconds = f64::from(at);
                        status.counts.read += u64::from(at);
                        let look = rates.look(status);
                        for line in lines(&look, Detail::Ranges, width) {
                            assert!(columns(&line) <= width, "{width}: {line:?}");
                            assert!(!line.contains(char::is_control), "{line:?}");
                        }
                    }
                }
            }
        }
    }

    fn bar_of(change: impl FnOnce(&mut Status)) -> String {
        let mut status = status(State::Running, "aa01");
        (status.estimate, status.counts.read) = (1_000, 1_000);
        change(&mut status);
        let look = Rates::default().look(status);
        lines(&look, Detail::Short, 80)[1..3].join("\n")
    }

    #[test]
    fn all_is_done_only_when_all_ranges_are() {
        let open = bar_of(|_| {});
        assert!(
            open.contains("-]  99 %  1,000 of about 1,000 rows"),
            "{open}"
        );
        let more = bar_of(|status| status.counts.read = 1_200);
        assert!(more.contains("99 %  1,200 of about 1,200 rows"), "{more}");
        let through = bar_of(|status| {
            status.ranges.iter_mut().for_each(|range| range.done = true);
            status.changed = 12;
        });
        let text = "#] 100 %  1,000 rows\n  all ranges are done; 12 notes are left of what others have changed";
        assert!(through.contains(text), "{through}");
    }

    #[test]
    fn durations_are_told_in_their_largest_units() {
        let seconds = [0.01, 9.4, 9.6, 61.0, 3_600.0, 90_000.0];
        let told = seconds.map(time);
        let expected = [
            "10 ms",
            "9.4 s",
            "10 s",
            "1 min 1 s",
            "1 h 0 min",
            "1 d 1 h",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn who_is_to_act_is_told() {
        let advice = |state: State, seen: f64| {
            let mut status = status(state, "aa01");
            status.workers[0].seen = seen;
            advice(&status)
        };
        assert_eq!(advice(State::Running, 1.0), None);
        let nobody = advice(State::Running, 60.0);
        assert!(
            nobody.is_some_and(|text| text.starts_with("nobody works on it: `whimbrel upgrade`"))
        );
        assert_eq!(
            advice(State::Paused, 1.0).as_deref(),
            Some("`whimbrel backfill resume` goes on")
        );
    }
}
