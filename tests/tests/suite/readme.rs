//! The documents at the root say what is true.

use std::collections::BTreeSet;
use std::fs;

use regex::Regex;
use whimbrel_tests::{Project, follow, root};

#[test]
fn its_commands_print_what_it_says() {
    follow(&root().join("README.md"), &Project::empty());
}

#[test]
fn its_table_names_every_command_and_no_other() {
    let help = Project::empty().run(["--help"]).stdout;
    let commands = help.split_once("Commands:\n").unwrap().1;
    let existing: BTreeSet<String> = commands
        .lines()
        .take_while(|line| !line.is_empty())
        .map(|line| line.split_whitespace().next().unwrap().to_owned())
        .filter(|command| command != "help")
        .collect();

    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let table = readme.split_once("| command |").unwrap().1;
    let first_cells = table
        .lines()
        .take_while(|line| line.starts_with('|') || line.starts_with(' '))
        .filter_map(|line| line.split('|').nth(1));
    let command = Regex::new("`([a-z-]+)").unwrap();
    let named: BTreeSet<String> = first_cells
        .flat_map(|cell| command.captures_iter(cell))
        .map(|found| found[1].to_owned())
        .collect();

    assert_eq!(named, existing);
}

#[test]
fn every_dependency_has_a_reason() {
    let manifest = fs::read_to_string(root().join("host/Cargo.toml")).unwrap();
    let architecture = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let reasons = architecture.split_once("## Dependencies").unwrap().1;
    let dependency =
        Regex::new(r"(?m)^([a-z][\w-]*)(?:\.workspace = true| = \{ workspace)").unwrap();
    let tables = manifest.split_once("[dependencies]").unwrap().1;
    let names: Vec<&str> = dependency
        .captures_iter(tables)
        .map(|found| found.get(1).unwrap().as_str())
        .collect();
    assert!(names.contains(&"wasmtime"), "{names:?}");
    for name in names {
        assert!(
            reasons.contains(&format!("`{name}`")),
            "ARCHITECTURE.md does not say what `{name}` is for"
        );
    }
}

#[test]
fn its_links_lead_somewhere() {
    let link = Regex::new(r"\]\(([^)#]+)\)").unwrap();
    for document in ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"] {
        let text = fs::read_to_string(root().join(document)).unwrap();
        for target in link.captures_iter(&text).map(|found| found[1].to_owned()) {
            assert!(
                target.starts_with("https://") || root().join(&target).exists(),
                "{document} links to {target}, which does not exist"
            );
        }
    }
}
