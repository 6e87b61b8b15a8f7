//! Documentation that runs: the `console` blocks of a Markdown file, followed as its reader would.
//!
//! A line that starts with `$ ` is a command of bash, continued by lines that start with `> `; the lines after it
//! are what it prints, on either stream. All commands of a file run in one shell, one after another. A command must
//! succeed, unless it is the last of a block that is opened by `` ```console exit=3 ``.
//!
//! Durations, times, process ids and the folder differ from run to run: both sides are compared without them, so
//! that the file keeps what its author once saw. `[..]` stands for any text within a line, `...` for any lines.
//! With `WHIMBREL_TEST_OVERWRITE=1` the file is rewritten with what the commands print.

use std::env;
use std::fmt::Write;
use std::fs;
use std::ops::Range;

use camino::Utf8Path;
use regex::Regex;
use snapbox::IntoData;

use crate::Project;

/// One command of a document.
#[derive(Debug)]
struct Step {
    command: String,
    exit_code: i32,
    /// The lines of the document that hold its output.
    output: Range<usize>,
}

/// What a command did.
#[derive(Debug)]
struct Printed {
    output: String,
    exit_code: i32,
}

/// Runs the commands of a document in a project, and compares what they print with what the document says.
///
/// # Panics
/// When they differ, with a diff, and when a command's exit code is not the expected one.
pub fn follow(document: &Utf8Path, project: &Project) {
    let text = fs::read_to_string(document)
        .unwrap_or_else(|error| panic!("cannot read {document}: {error}"));
    let lines: Vec<&str> = text.lines().collect();
    let steps = parse(&lines);
    assert!(
        !steps.is_empty(),
        "{document} has no command in a `console` block"
    );
    let printed = run(&steps, project);
    let actual = with_outputs(&lines, &steps, &printed);
    if env::var_os("WHIMBREL_TEST_OVERWRITE").is_some() {
        fs::write(document, actual)
            .unwrap_or_else(|error| panic!("cannot write {document}: {error}"));
    } else {
        let unstable = Unstable::new(project);
        // A backslash in a command is no path separator.
        snapbox::Assert::new()
            .normalize_paths(false)
            .eq(unstable.remove(&actual), unstable.remove(&text).into_data());
    }
    for (step, printed) in steps.iter().zip(&printed) {
        assert_eq!(
            printed.exit_code, step.exit_code,
            "the exit code of `{}` in {document}; it printed:\n{}",
            step.command, printed.output
        );
    }
}

fn parse(lines: &[&str]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut in_block = false;
    let mut exit_code = 0;
    for (index, line) in lines.iter().enumerate() {
        if let Some(info) = line.strip_prefix("```") {
            if in_block && let Some(last) = steps.last_mut() {
                last.exit_code = exit_code;
            }
            in_block = !in_block && info.split_whitespace().next() == Some("console");
            exit_code = expected_exit_code(info);
        } else if in_block && let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step {
                command: command.to_owned(),
                exit_code: 0,
                output: index + 1..index + 1,
            });
        } else if in_block && let Some(step) = steps.last_mut() {
            match line.strip_prefix("> ").or(line.strip_prefix('>')) {
                Some(more) if step.output.is_empty() => {
                    step.command = format!("{}\n{more}", step.command);
                    step.output = index + 1..index + 1;
                }
                _ => step.output.end = index + 1,
            }
        }
    }
    steps
}

/// The number in a fence's `exit=N`.
fn expected_exit_code(info: &str) -> i32 {
    info.split_whitespace()
        .find_map(|word| word.strip_prefix("exit="))
        .map_or(0, |code| code.parse().expect("`exit=` takes a number"))
}

/// Runs all commands in one bash, which marks the end of each with a line of its own.
fn run(steps: &[Step], project: &Project) -> Vec<Printed> {
    const END: char = '\u{1e}';
    let mut script = "exec 2>&1\n".to_owned();
    for step in steps {
        write!(
            script,
            "{{ {}\n}} </dev/null\nprintf '{END}%d{END}' $?\n",
            step.command
        )
        .expect("a string takes any text");
    }
    let output = project
        .tool("bash")
        .args(["--noprofile", "--norc", "-c", &script])
        .output()
        .expect("bash runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let mut parts = text.split(END);
    steps
        .iter()
        .map(|step| match (parts.next(), parts.next()) {
            (Some(output), Some(code)) => Printed {
                output: output.trim_end().to_owned(),
                exit_code: code.parse().expect("the shell prints a number"),
            },
            _ => panic!("the shell ended in `{}`:\n{text}", step.command),
        })
        .collect()
}

/// The document with what the commands printed in place of what it said that they print.
fn with_outputs(lines: &[&str], steps: &[Step], printed: &[Printed]) -> String {
    let mut text = String::new();
    let mut next = 0;
    for (step, printed) in steps.iter().zip(printed) {
        for line in &lines[next..step.output.start] {
            writeln!(text, "{line}").expect("a string takes any text");
        }
        if !printed.output.is_empty() {
            writeln!(text, "{}", printed.output).expect("a string takes any text");
        }
        next = step.output.end;
    }
    for line in &lines[next..] {
        writeln!(text, "{line}").expect("a string takes any text");
    }
    text
}

/// What differs from run to run.
struct Unstable {
    folder: String,
    patterns: Vec<(Regex, &'static str)>,
}

impl Unstable {
    fn new(project: &Project) -> Self {
        let patterns = [
            (
                r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?( ?UTC|Z|[+-]\d\d:\d\d)?",
                "TIMESTAMP",
            ),
            (r"\b(\d+ min )?\d+(\.\d+)? ?(µs|ms|s|min)\b", "DURATION"),
            (r#""duration_us":\d+"#, r#""duration_us":DURATION"#),
            (r"\bprocess \d+ on [\w.-]+", "process PID on HOST"),
            // Columns are as wide as what stands in them.
            (r"[ \t]+", " "),
            (r"[─━═-]{4,}", "----"),
            (r" +\n", "\n"),
        ];
        Self {
            folder: project.path().as_str().trim_end_matches('/').to_owned(),
            patterns: patterns
                .into_iter()
                .map(|(pattern, word)| (Regex::new(pattern).expect("the pattern is valid"), word))
                .collect(),
        }
    }

    fn remove(&self, text: &str) -> String {
        let text = text.replace(&self.folder, "FOLDER");
        self.patterns.iter().fold(text, |text, (pattern, word)| {
            pattern.replace_all(&text, *word).into_owned()
        })
    }
}
