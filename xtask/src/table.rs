//! Tables and headings on a terminal.

use std::env;
use std::io::{self, IsTerminal};

/// Prints a heading, bold on a terminal.
pub(crate) fn heading(text: &str) {
    if io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none() {
        println!("\n\x1b[1m{text}\x1b[0m");
    } else {
        println!("\n{text}\n{}", "=".repeat(text.chars().count()));
    }
}

/// Prints rows under column names, numbers to the right.
pub(crate) fn print(columns: &[&str], rows: &[Vec<String>]) {
    const LONGEST_CELL: usize = 44;
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            row.iter()
                .map(|cell| shortened(cell, LONGEST_CELL))
                .collect()
        })
        .collect();
    let width = |index: usize| {
        let heads = columns[index].chars().count();
        cells
            .iter()
            .map(|row| row[index].chars().count())
            .chain([heads])
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let is_number = |index: usize| cells.iter().all(|row| row[index].parse::<f64>().is_ok());
    let numeric: Vec<bool> = (0..columns.len()).map(is_number).collect();
    let line = |row: &[String]| {
        let padded: Vec<String> = row
            .iter()
            .zip(widths.iter().zip(&numeric))
            .map(|(cell, (&width, numeric))| match numeric {
                true => format!("{cell:>width$}"),
                false => format!("{cell:<width$}"),
            })
            .collect();
        println!("  {}", padded.join("  ").trim_end());
    };
    line(
        &columns
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>(),
    );
    line(
        &widths
            .iter()
            .map(|width| "─".repeat(*width))
            .collect::<Vec<_>>(),
    );
    for row in &cells {
        line(row);
    }
}

/// A cell on one line, with control characters shown and the end of a long one cut.
fn shortened(cell: &str, longest: usize) -> String {
    let plain: String = cell
        .chars()
        .map(|c| if c == '\n' { '⏎' } else { c })
        .collect();
    if plain.chars().count() <= longest {
        return plain;
    }
    let start: String = plain.chars().take(longest - 1).collect();
    format!("{start}…")
}
