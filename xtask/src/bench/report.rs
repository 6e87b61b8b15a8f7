//! What was measured, beside what was hoped for.

use std::time::Duration;

use crate::table::{self, heading};

/// The lines of the report.
#[derive(Debug, Default)]
pub(super) struct Report {
    rows: Vec<Vec<String>>,
}

impl Report {
    /// Adds a ratio of Whimbrel to a peer, which should be at most `limit`.
    pub(super) fn ratio(
        &mut self,
        what: &str,
        ours: Duration,
        peer: &str,
        theirs: Duration,
        limit: f64,
    ) {
        let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
        self.add(
            what,
            &milliseconds(ours),
            &format!("{peer} {}", milliseconds(theirs)),
            &format!("{ratio:.3}"),
            &format!("≤ {limit:.3}"),
            ratio <= limit,
        );
    }

    /// Adds a figure of its own, which should be at most `limit`.
    pub(super) fn figure(&mut self, what: &str, value: f64, unit: &str, limit: f64) {
        self.add(
            what,
            &format!("{value:.1} {unit}"),
            "",
            "",
            &format!("≤ {limit} {unit}"),
            value <= limit,
        );
    }

    /// Adds what was held of memory, in bytes, which should be at most `limit` MiB.
    pub(super) fn memory(&mut self, what: &str, bytes: u64, limit: f64) {
        self.figure(what, bytes as f64 / f64::from(1 << 20), "MiB", limit);
    }

    /// Adds something worth knowing that nothing is asked of.
    pub(super) fn note(&mut self, what: &str, value: Duration) {
        self.remark(what, &milliseconds(value), "");
    }

    /// Adds how many rows a second were done, beside what `peer` has published.
    pub(super) fn rate(&mut self, what: &str, rows: usize, taken: Duration, peer: Option<&str>) {
        let rate = rows as f64 / taken.as_secs_f64();
        self.remark(what, &format!("{rate:.0} rows/s"), peer.unwrap_or_default());
    }

    fn remark(&mut self, what: &str, ours: &str, peer: &str) {
        let row = [what, ours, peer, "", "", ""];
        self.rows.push(row.map(str::to_owned).to_vec());
    }

    pub(super) fn print(&self) {
        heading("Medians of alternating runs");
        table::print(
            &["what", "whimbrel", "peer", "ratio", "goal", "met"],
            &self.rows,
        );
    }

    fn add(&mut self, what: &str, ours: &str, theirs: &str, ratio: &str, goal: &str, met: bool) {
        let met = if met { "yes" } else { "no" };
        let row = [what, ours, theirs, ratio, goal, met];
        self.rows.push(row.map(str::to_owned).to_vec());
    }
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}
