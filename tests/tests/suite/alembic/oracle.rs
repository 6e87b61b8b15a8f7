//! Alembic itself, in a process that answers.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::Deserialize;
use serde_json::{Value, json};
use whimbrel_tests::root;

use super::cases::{self, Node};

/// A Python with Alembic in it, as `cargo xtask test` sets one up.
const PYTHON: &str = "WHIMBREL_TEST_ALEMBIC";

pub(super) struct Oracle {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// What is in a database.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub(super) struct State {
    /// The version table's rows, in order.
    pub(super) rows: Vec<String>,
    /// The revisions that have run up and not down since, in order.
    pub(super) applied: Vec<String>,
}

/// What came of a command.
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    pub(super) error: Option<String>,
    /// Whether the error is one that Alembic did not mean to raise.
    pub(super) crashed: bool,
    /// Whether it called the command ambiguous.
    pub(super) warned: bool,
    #[serde(flatten)]
    pub(super) state: State,
}

impl Oracle {
    pub(super) fn start() -> Self {
        let python = std::env::var(PYTHON).unwrap_or_else(|_| {
            panic!("{PYTHON} must name a Python that has Alembic; `cargo xtask test` sets it up")
        });
        let mut process = Command::new(python)
            .arg(root().join("tests/alembic/oracle.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            input: process.stdin.take().unwrap(),
            output: BufReader::new(process.stdout.take().unwrap()),
            process,
        }
    }

    /// Begins anew with a graph and an empty database.
    pub(super) fn begin(&mut self, graph: &[Node]) {
        let _: State = self.ask(&json!({ "graph": graph }));
    }

    pub(super) fn run(&mut self, command: &cases::Command) -> Answer {
        self.ask(&json!({ "command": command.verb.name(), "targets": command.targets }))
    }

    /// Makes the database another.
    pub(super) fn set(&mut self, state: &State) {
        let State { rows, applied } = state;
        let _: State = self.ask(&json!({ "set": rows, "applied": applied }));
    }

    fn ask<T: for<'de> Deserialize<'de>>(&mut self, request: &Value) -> T {
        writeln!(self.input, "{request}").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        // It ends with its input at the latest.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
