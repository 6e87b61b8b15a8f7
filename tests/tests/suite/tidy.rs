//! The house keeps its order: who may know whom, how long a file may be, who prints, what is tested.

use std::collections::BTreeSet;
use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use regex::Regex;
use whimbrel_tests::root;

/// A source file of the host's library or binary.
struct Source {
    path: Utf8PathBuf,
    text: String,
}

impl Source {
    /// The module that stands at the top of the tree: `wasm` for `wasm/host.rs`.
    fn room(&self) -> &str {
        let first = self.path.components().next().unwrap();
        first.as_str().trim_end_matches(".rs")
    }

    /// The text up to the tests that stand beside the code.
    fn without_tests(&self) -> &str {
        let tests = self.text.find("\n#[cfg(test)]\nmod ");
        tests.map_or(&self.text, |start| &self.text[..start])
    }

    /// The rooms that the file names, in `use crate::…` and in paths. Imports of the documentation do not count.
    fn knows(&self) -> BTreeSet<String> {
        let code: String = self
            .without_tests()
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect::<Vec<_>>()
            .join("\n");
        let path = Regex::new(r"\bcrate::(\w+)").unwrap();
        let list = Regex::new(r"\buse crate::\{([^;]*)\};").unwrap();
        let first_words = Regex::new(r"(?:^|,)\s*(\w+)").unwrap();
        let mut rooms: BTreeSet<String> = path
            .captures_iter(&code)
            .map(|found| found[1].to_owned())
            .collect();
        for found in list.captures_iter(&code) {
            let outermost = without_braces(&found[1]);
            rooms.extend(
                first_words
                    .captures_iter(&outermost)
                    .map(|word| word[1].to_owned()),
            );
        }
        rooms
    }
}

/// The text without what stands in braces.
fn without_braces(text: &str) -> String {
    let mut depth = 0;
    text.chars()
        .filter(|c| {
            depth += i32::from(*c == '{');
            let outside = depth == 0;
            depth -= i32::from(*c == '}');
            outside
        })
        .collect()
}

fn sources(folder: &str) -> Vec<Source> {
    let root = root().join(folder);
    let mut sources: Vec<Source> = files(&root)
        .into_iter()
        .filter(|path| path.extension() == Some("rs"))
        .map(|path| Source {
            text: fs::read_to_string(&path).unwrap(),
            path: path.strip_prefix(&root).unwrap().to_owned(),
        })
        .collect();
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!sources.is_empty(), "there is code in {folder}");
    sources
}

fn files(folder: &Utf8Path) -> Vec<Utf8PathBuf> {
    let mut found = Vec::new();
    for entry in folder.read_dir_utf8().unwrap() {
        let entry = entry.unwrap();
        if !entry.file_type().unwrap().is_dir() {
            found.push(entry.path().to_owned());
        } else if entry.file_name() != "target" {
            found.extend(files(entry.path()));
        }
    }
    found
}

/// Whom each room of the host must not know.
const FORBIDDEN: &str = "
    policy: build config driver engine event graph history migration plan project source sql target wasm
    signature: build config driver engine event graph history migration plan policy project source sql target wasm
    capability: build config driver engine event graph history migration plan project source sql target wasm
    revision:  build driver engine event graph history migration plan project source sql target wasm
    graph:     build config driver engine event history migration plan project source sql target wasm
    target:    build config driver engine event history migration plan project source sql wasm
    plan:      build config driver engine event history migration project source sql wasm
    picture:   build config driver engine event history migration project source sql target wasm
    sql:       build config engine event graph history migration plan project source target wasm
    driver:    build config engine event graph history migration plan project source target wasm
    journal:   build config engine event graph history plan project source sql target wasm
    migration: build config engine event graph history plan project source target wasm
    history:   build engine event graph project source target wasm
    event:     build config engine graph history project source target wasm
    engine:    build config project source wasm
    wasm:      build config engine event graph history plan project source target
    source:    build engine event history plan project target
    build:     engine event graph history plan project target
    config:    build engine event graph history plan project source target wasm
";

/// The rooms that a room must not know.
fn forbidden_to(room: &str) -> Vec<&'static str> {
    let line = FORBIDDEN
        .lines()
        .find_map(|line| line.trim().strip_prefix(room)?.strip_prefix(':'));
    line.map_or(vec![], |rooms| rooms.split_whitespace().collect())
}

#[test]
fn knowledge_flows_in_one_direction() {
    let mut broken = Vec::new();
    for source in sources("host/src") {
        let knows = source.knows();
        let mut unwanted = forbidden_to(source.room());
        if source.room() != "cli" && source.room() != "main" {
            unwanted.push("cli");
        }
        for room in unwanted {
            if knows.contains(room) {
                broken.push(format!("host/src/{} knows `{room}`", source.path));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn knowledge_is_read_from_lists_and_paths() {
    let source = Source {
        path: "engine.rs".into(),
        text: "use crate::{driver::{Session, Value}, plan::Plan};\n// crate::wasm\nfn f() { crate::history::read() }\n\
               #[cfg(test)]\nmod tests { use crate::project; }\n"
            .to_owned(),
    };
    let knows: Vec<String> = source.knows().into_iter().collect();
    assert_eq!(knows, ["driver", "history", "plan"]);
}

#[test]
fn files_are_of_a_readable_length() {
    const LONGEST: usize = 700;
    for folder in [
        "host/src",
        "guest-sdk/rust",
        "tests/src",
        "tests/cluster/src",
        "tests/fuzz/src",
        "xtask/src",
    ] {
        for source in sources(folder) {
            let lines = source.without_tests().lines().count();
            assert!(
                lines <= LONGEST,
                "{folder}/{} has {lines} lines: more than one idea?",
                source.path
            );
        }
    }
}

#[test]
fn files_are_named_after_an_idea() {
    for folder in [
        "host/src",
        "guest-sdk/rust",
        "tests/src",
        "tests/cluster/src",
        "tests/fuzz/src",
        "xtask/src",
    ] {
        for source in sources(folder) {
            let name = source.path.file_stem().unwrap();
            let nameless = ["util", "utils", "helpers", "common", "misc"];
            assert!(
                !nameless.contains(&name),
                "{folder}/{}: name it after what is in it",
                source.path
            );
        }
    }
}

#[test]
fn only_the_report_prints() {
    let printing = Regex::new(r"\b(anstream::)?e?print(ln)?!|\bstd(out|err)\(\)").unwrap();
    for source in sources("host/src") {
        if source.path == "cli/report.rs" {
            continue;
        }
        for (index, line) in source.without_tests().lines().enumerate() {
            let is_comment = line.trim_start().starts_with("//");
            assert!(
                is_comment || !printing.is_match(line) || line.contains(".is_terminal()"),
                "host/src/{}:{} prints: {line}",
                source.path,
                index + 1
            );
        }
    }
}

#[test]
fn unsafe_code_is_in_the_compiled_cache_alone() {
    let unsafe_code = Regex::new(r"\bunsafe\s*(\{|fn|impl)|unsafe_code").unwrap();
    let with_unsafe: Vec<Utf8PathBuf> = sources("host/src")
        .into_iter()
        .filter(|source| {
            unsafe_code.is_match(&source.text)
                && source.path != "lib.rs"
                && source.path != "main.rs"
        })
        .map(|source| source.path)
        .collect();
    assert!(with_unsafe.len() <= 1, "unsafe code in {with_unsafe:?}");
}

#[test]
fn every_guest_program_has_a_test() {
    let suite: String = sources("tests/tests/suite")
        .into_iter()
        .filter(|source| source.path != "tidy.rs")
        .map(|source| source.text)
        .collect();
    let guests = root().join("tests/guests");
    for entry in guests.read_dir_utf8().unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if entry.file_type().unwrap().is_dir() && name != "target" {
            assert!(
                suite.contains(&format!("\"{name}\"")),
                "no test runs the guest program {}",
                entry.path()
            );
        }
    }
}

#[test]
fn readme_names_the_two_commands() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    for command in ["cargo xtask demo", "cargo xtask test"] {
        assert!(
            readme.contains(command),
            "README.md does not name `{command}`"
        );
    }
}

#[test]
fn every_example_has_a_readme_that_the_tests_follow() {
    let suite: String = sources("tests/tests/suite")
        .into_iter()
        .filter(|source| source.path != "tidy.rs")
        .map(|source| source.text)
        .collect();
    for entry in root().join("examples").read_dir_utf8().unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        assert!(
            entry.path().join("README.md").is_file(),
            "examples/{name} has no README.md"
        );
        assert!(
            suite.contains(&format!("\"{name}\"")),
            "no test follows examples/{name}/README.md"
        );
    }
}
