//! A part of the terminal that is drawn again and again, or, where there is none, one text after another.

use super::lines::{self, WIDTH, columns};
use super::report::{Report, Size};

/// What is shown.
pub(super) struct Frames {
    report: Report,
    frame: Vec<String>,
    /// What stands there: the frame, as far as there is room, and the remark.
    drawn: Vec<String>,
    remark: Option<String>,
}

impl Frames {
    pub(super) fn new(report: Report) -> Self {
        Self {
            report,
            frame: Vec::new(),
            drawn: Vec::new(),
            remark: None,
        }
    }

    /// How wide a line may be.
    pub(super) fn width(&self) -> usize {
        let size = self.report.canvas();
        size.map_or(WIDTH, |size| size.columns.min(WIDTH))
    }

    /// Shows lines, none of which is wider than that, in the place of the last ones.
    pub(super) fn show(&mut self, lines: Vec<String>) {
        let is_first = self.frame.is_empty();
        self.frame = lines;
        self.remark = None;
        match self.report.canvas() {
            Some(size) => self.draw(size, &[]),
            None => {
                if !is_first {
                    self.report.line("");
                }
                self.frame.iter().for_each(|line| self.report.line(line));
            }
        }
    }

    /// Says something below the last lines, until there are others.
    pub(super) fn remark(&mut self, remark: &str) {
        match self.report.canvas() {
            Some(size) => self.draw(size, &lines::fit(remark, "  ", self.width())),
            None if self.remark.as_deref() == Some(remark) => {}
            None => self.report.message(remark),
        }
        self.remark = Some(remark.to_owned());
    }

    fn draw(&mut self, size: Size, remark: &[String]) {
        // The cursor stands below the last line.
        let room = size.rows.saturating_sub(1 + remark.len());
        let mut lines = low(self.frame.clone(), room);
        lines.extend_from_slice(remark);
        let mut text = match height(&self.drawn, size) {
            0 => String::new(),
            rows => format!("\x1b[{rows}A\x1b[J"),
        };
        for line in &lines {
            text.push_str(line);
            text.push('\n');
        }
        self.report.raw(&text);
        self.drawn = lines;
    }
}

/// How many rows lines take by now: a terminal that has become narrower has cut them.
fn height(lines: &[String], size: Size) -> usize {
    let rows = |line: &String| columns(line).div_ceil(size.columns).max(1);
    lines.iter().map(rows).sum()
}

/// As many lines as there are rows; what is left out is counted in the last one.
fn low(mut lines: Vec<String>, rows: usize) -> Vec<String> {
    if lines.len() > rows {
        let kept = rows.saturating_sub(1);
        let more = lines.len() - kept;
        lines.truncate(kept);
        lines.push(format!("… {more} more lines"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_frame_is_higher_than_the_terminal() {
        let lines: Vec<String> = (0..5).map(|at| at.to_string()).collect();
        assert_eq!(low(lines.clone(), 5), lines);
        assert_eq!(low(lines.clone(), 3), ["0", "1", "… 3 more lines"]);
        assert_eq!(low(lines, 0), ["… 5 more lines"]);
    }

    #[test]
    fn a_narrower_terminal_has_cut_the_lines() {
        let lines = ["x".repeat(80), String::new(), "x".repeat(41)];
        let size = |columns| Size { columns, rows: 24 };
        assert_eq!(height(&lines, size(80)), 3);
        assert_eq!(height(&lines, size(40)), 5);
    }
}
