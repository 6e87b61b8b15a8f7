//! Runs a program and passes on what it writes.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use super::BuildError;

/// How many of the last lines of a program's output its failure shows.
const SHOWN: usize = 60;

/// Runs `command` to its end; its stderr goes to `output` line by line. Returns its stdout.
pub(super) fn run(
    command: &mut Command,
    output: &mut dyn FnMut(&str),
) -> Result<String, BuildError> {
    let name = describe(command);
    let failed = |status: String, output: String| BuildError::Command {
        command: name,
        status,
        output,
    };
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Err(failed(error.to_string(), String::new())),
    };
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let mut tail = VecDeque::new();
    let written = std::thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let mut text = Vec::new();
            let read = stdout.map(|mut stdout| stdout.read_to_end(&mut text));
            read.transpose().map(|_| text)
        });
        for line in stderr
            .into_iter()
            .flat_map(|stderr| BufReader::new(stderr).split(b'\n').map_while(Result::ok))
        {
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            output(&line);
            if tail.len() == SHOWN {
                tail.pop_front();
            }
            tail.push_back(line);
        }
        reader.join().unwrap_or_else(|_| Ok(Vec::new()))
    });
    let said = Vec::from(tail).join("\n");
    match (child.wait(), written) {
        (Ok(status), Ok(text)) if status.success() => {
            Ok(String::from_utf8_lossy(&text).into_owned())
        }
        (Ok(status), Ok(_)) => Err(failed(status.to_string(), said)),
        (Err(error), _) | (_, Err(error)) => Err(failed(error.to_string(), said)),
    }
}

fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}
