//! Runs targets over seeds that are cut, joined and spoilt at random.

use std::fmt;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use camino::Utf8Path;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use crate::Target;

/// No input may take longer, in a debug build on a busy machine.
const SLOWEST: Duration = Duration::from_secs(10);

/// Inputs that the mutations make are cut to this many bytes.
const LONGEST: usize = 4096;

/// Texts that are put in at random: what readers give a meaning to.
const DICTIONARY: [&str; 32] = [
    "'",
    "\"",
    "$$",
    "$a$",
    "--",
    "/*",
    "*/",
    ";",
    "(",
    ")",
    "[",
    "]",
    ",",
    ".",
    "*",
    "::",
    "\\",
    "E'",
    "U&\"",
    "\0",
    "\u{feff}",
    "é",
    "-- whimbrel:upgrade\n",
    "-- capabilities: ",
    "\n",
    " WITH a AS (",
    " SELECT ",
    " FROM ",
    " UNION ",
    "'''",
    "= [",
    "{",
];

/// What a run of a target came to.
#[derive(Debug, Clone)]
pub struct Report {
    /// How many inputs were tried.
    pub executions: u64,
    /// The first input that failed, and why.
    pub failure: Option<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} executions", self.executions)?;
        match &self.failure {
            Some(failure) => write!(f, ", failed: {failure}"),
            None => Ok(()),
        }
    }
}

/// Runs a target for some time, from a seed of the random numbers. `root` is the repository, whose SQL files are seeds.
pub fn run(target: Target, time: Duration, seed: u64, root: &Utf8Path) -> Report {
    let mut corpus: Vec<String> = target.seeds.iter().map(|&text| text.to_owned()).collect();
    collect(root, &mut corpus);
    let mut dice = StdRng::seed_from_u64(seed);
    let (started, mut executions) = (Instant::now(), 0);
    while started.elapsed() < time {
        let input = match corpus.get(usize::try_from(executions).unwrap_or(usize::MAX)) {
            Some(text) => text.clone(),
            None => mutate(&mut dice, &corpus),
        };
        let before = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| (target.check)(&input)));
        executions += 1;
        let why = match outcome {
            Err(_) => "it panicked",
            Ok(()) if before.elapsed() > SLOWEST => "it was too slow",
            Ok(()) => continue,
        };
        let failure = format!("{why} on {input:?} (seed {seed}, execution {executions})");
        return Report {
            executions,
            failure: Some(failure),
        };
    }
    Report {
        executions,
        failure: None,
    }
}

/// Reads the SQL files below a folder; what cannot be read is no seed.
fn collect(folder: &Utf8Path, corpus: &mut Vec<String>) {
    let Ok(entries) = folder.read_dir_utf8() else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let is_hidden = entry.file_name().starts_with('.') || entry.file_name() == "target";
        if path.is_dir() && !is_hidden {
            collect(path, corpus);
        } else if path.extension() == Some("sql")
            && let Ok(text) = fs::read_to_string(path)
            && text.len() <= LONGEST
        {
            corpus.push(text);
        }
    }
}

fn mutate(dice: &mut StdRng, corpus: &[String]) -> String {
    let pick = |dice: &mut StdRng| corpus.choose(dice).cloned().unwrap_or_default();
    let mut text = pick(dice);
    for _ in 0..dice.random_range(1..=4) {
        let (a, b) = (place(dice, &text), place(dice, &text));
        let (start, end) = (a.min(b), a.max(b));
        match dice.random_range(0..6) {
            0 => text.replace_range(start..end, ""),
            1 => {
                let part = text[start..end].to_owned();
                text.insert_str(place(dice, &text), &part);
            }
            2 => {
                let other = pick(dice);
                let (c, d) = (place(dice, &other), place(dice, &other));
                text.insert_str(start, &other[c.min(d)..c.max(d)]);
            }
            3 => {
                let other = char::from(dice.random_range(0..128_u8));
                text.insert(start, other);
            }
            _ => text.insert_str(start, DICTIONARY.choose(dice).copied().unwrap_or_default()),
        }
    }
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

/// A place between two characters.
fn place(dice: &mut StdRng, text: &str) -> usize {
    let mut at = dice.random_range(0..=text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
