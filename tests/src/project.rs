//! A project in a folder of its own, and the `whimbrel` program run in it.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use camino::{Utf8DirEntry, Utf8Path, Utf8PathBuf};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::Database;
use crate::workspace::{self, program, target_folder};

/// A folder with a project in it, removed on drop. The program runs there with nothing of the caller's environment
/// but the search path and the Rust toolchain.
#[derive(Debug)]
pub struct Project {
    folder: TempDir,
    /// Where in it the project is.
    inside: Utf8PathBuf,
    environment: BTreeMap<String, String>,
}

impl Project {
    /// An empty folder.
    pub fn empty() -> Self {
        Self::in_folder(&env::temp_dir())
    }

    /// An empty folder in another one.
    pub fn in_folder(parent: &Path) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("whimbrel-project-")
            .tempdir_in(parent)
            .expect("a temporary folder can be created");
        Self {
            folder,
            inside: Utf8PathBuf::new(),
            environment: clean_environment(),
        }
    }

    /// A copy of a folder of the clone (`migrations`, `examples/quickstart`), without what is built from it. It lies
    /// among links to the rest of the clone, so that what it refers to by a relative path is there.
    pub fn copy_of(folder: &str) -> Self {
        let mut project = Self::empty();
        let root = project.path();
        let outermost = folder.split('/').next();
        for entry in entries(workspace::root()) {
            let name = entry.file_name();
            if Some(name) != outermost && !matches!(name, "target" | ".git") {
                symlink(entry.path(), root.join(name)).expect("a link can be made");
            }
        }
        project.inside = folder.into();
        let to = root.join(folder);
        fs::create_dir_all(&to).unwrap_or_else(|error| panic!("cannot create {to}: {error}"));
        copy(&workspace::root().join(folder), &to);
        project
    }

    /// Makes a database the project's, by `WHIMBREL_DATABASE_URL`.
    #[must_use]
    pub fn on(self, db: &Database) -> Self {
        self.variable("WHIMBREL_DATABASE_URL", &db.url())
    }

    /// Sets a variable of the environment that the program runs in.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The folder, without symbolic links in its path.
    pub fn path(&self) -> Utf8PathBuf {
        Utf8PathBuf::from_path_buf(self.folder.path().to_owned())
            .expect("the path is UTF-8")
            .canonicalize_utf8()
            .expect("the folder exists")
            .join(&self.inside)
    }

    /// Writes a file, and the folders that it lies in.
    pub fn write(&self, path: &str, contents: impl AsRef<[u8]>) {
        let path = self.path().join(path);
        let parent = path.parent().expect("a file lies in a folder");
        fs::create_dir_all(parent)
            .unwrap_or_else(|error| panic!("cannot create {parent}: {error}"));
        fs::write(&path, contents).unwrap_or_else(|error| panic!("cannot write {path}: {error}"));
    }

    /// Reads a file.
    pub fn read(&self, path: &str) -> String {
        let path = self.path().join(path);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read {path}: {error}"))
    }

    /// Writes a SQL migration `migrations/ID_SLUG.sql`; `revises` as in its header, empty for a base.
    pub fn sql_migration(&self, id: &str, revises: &str, upgrade: &str, downgrade: &str) {
        let revises = match revises {
            "" => String::new(),
            parents => format!("-- revises: {parents}\n"),
        };
        self.write(
            &format!("migrations/{id}_test.sql"),
            format!(
                "-- whimbrel:migration\n-- id: {id}\n{revises}-- message: test\n-- created: 2026-11-22T10:00:00Z\n\
                 -- whimbrel:upgrade\n{upgrade}\n-- whimbrel:downgrade\n{downgrade}\n"
            ),
        );
    }

    /// The program with arguments, for a test that needs more than [`run`](Self::run).
    pub fn command<I>(&self, arguments: I) -> Command
    where
        I: IntoIterator<Item: AsRef<OsStr>>,
    {
        let mut command = self.tool(program().as_std_path());
        command.args(arguments);
        command
    }

    /// Another program, in the same folder and environment.
    pub fn tool(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.path())
            .env_clear()
            .envs(&self.environment)
            .stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub fn run<I>(&self, arguments: I) -> Outcome
    where
        I: IntoIterator<Item: AsRef<OsStr>>,
    {
        Outcome::of(self.command(arguments))
    }

    /// Runs the program on a terminal; what appears there is the outcome's `stdout`.
    pub fn run_on_terminal<I>(&self, arguments: I) -> Outcome
    where
        I: IntoIterator<Item: AsRef<OsStr>>,
    {
        let words = std::iter::once(quote(program().as_str())).chain(
            arguments
                .into_iter()
                .map(|word| quote(&word.as_ref().to_string_lossy())),
        );
        let line: Vec<String> = words.collect();
        let mut terminal = self.tool("script");
        terminal
            .args(["--quiet", "--return", "--command"])
            .arg(line.join(" "))
            .arg("/dev/null")
            .env("TERM", "xterm-256color");
        Outcome::of(terminal)
    }

    /// Starts the program.
    pub fn start<I>(&self, arguments: I) -> Running
    where
        I: IntoIterator<Item: AsRef<OsStr>>,
    {
        let child = self
            .command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        Running { child }
    }
}

/// A running `whimbrel`. What it prints must fit a pipe (64 KiB) until [`wait`](Self::wait) reads it.
#[derive(Debug)]
pub struct Running {
    child: Child,
}

impl Running {
    /// Presses Ctrl-C.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// Ends it as `kill -9` does.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a child has a process id"), signal)
            .expect("the child can be signalled");
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child
            .try_wait()
            .expect("the child can be waited for")
            .is_none()
    }

    /// Waits for its end.
    pub fn wait(self) -> Outcome {
        let output = self.child.wait_with_output();
        Outcome::from(output.expect("the child can be waited for"))
    }
}

/// How a run of the program ended, and what it printed.
#[derive(Debug)]
pub struct Outcome {
    /// Its status; a killed one has no code.
    pub status: ExitStatus,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Outcome {
    fn of(mut command: Command) -> Self {
        match command.output() {
            Ok(output) => Self::from(output),
            Err(error) => panic!("cannot run {command:?}: {error}"),
        }
    }

    /// Demands exit code 0.
    #[track_caller]
    pub fn succeeds(self) -> Self {
        self.exits_with(0)
    }

    /// Demands an exit code.
    #[track_caller]
    pub fn exits_with(self, code: i32) -> Self {
        assert_eq!(
            self.status.code(),
            Some(code),
            "it ended with {}\nstdout:\n{}\nstderr:\n{}",
            self.status,
            self.stdout,
            self.stderr
        );
        self
    }

    /// Stdout as one JSON document.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("stdout is not JSON: {error}\n{}", self.stdout))
    }

    /// Stdout as one JSON document a line.
    #[track_caller]
    pub fn events(&self) -> Vec<Value> {
        self.stdout
            .lines()
            .map(|line| {
                serde_json::from_str(line)
                    .unwrap_or_else(|error| panic!("a line of stdout is not JSON: {error}\n{line}"))
            })
            .collect()
    }
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        Self {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// The search path with the built program first, a home without settings, the Rust toolchain of the caller, and
/// one cache of compiled components for all tests.
fn clean_environment() -> BTreeMap<String, String> {
    let home = env::var("HOME").unwrap_or_default();
    let inherited = |name: &str, default: String| env::var(name).unwrap_or(default);
    let programs = program();
    let programs = programs.parent().expect("a program lies in a folder");
    let mut environment = BTreeMap::from([
        (
            "PATH",
            format!(
                "{programs}:{}",
                inherited("PATH", "/usr/bin:/bin".to_owned())
            ),
        ),
        ("HOME", "/nonexistent".to_owned()),
        ("LANG", "C.UTF-8".to_owned()),
        (
            "CARGO_HOME",
            inherited("CARGO_HOME", format!("{home}/.cargo")),
        ),
        (
            "RUSTUP_HOME",
            inherited("RUSTUP_HOME", format!("{home}/.rustup")),
        ),
        (
            "CARGO_TARGET_DIR",
            target_folder().join("test-projects").into_string(),
        ),
        (
            "XDG_CACHE_HOME",
            target_folder().join("test-cache").into_string(),
        ),
    ]);
    if let Ok(toolchain) = env::var("RUSTUP_TOOLCHAIN") {
        environment.insert("RUSTUP_TOOLCHAIN", toolchain);
    }
    environment
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn entries(folder: &Utf8Path) -> Vec<Utf8DirEntry> {
    let entries = folder.read_dir_utf8().and_then(Iterator::collect);
    entries.unwrap_or_else(|error| panic!("cannot read {folder}: {error}"))
}

/// Copies a folder's files, but for build output.
fn copy(from: &Utf8Path, to: &Utf8Path) {
    for entry in entries(from) {
        let copied = to.join(entry.file_name());
        if !entry.file_type().expect("an entry has a type").is_dir() {
            fs::copy(entry.path(), &copied)
                .unwrap_or_else(|error| panic!("cannot copy {}: {error}", entry.path()));
        } else if !matches!(entry.file_name(), "target" | ".whimbrel") {
            fs::create_dir_all(&copied)
                .unwrap_or_else(|error| panic!("cannot create {copied}: {error}"));
            copy(entry.path(), &copied);
        }
    }
}

/// A word for the shell.
fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
