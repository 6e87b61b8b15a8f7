//! `whimbrel-fuzz [TARGET] [SECONDS] [SEED]`: runs a target, or each of them in turn. `cargo xtask fuzz` starts it.
#![expect(clippy::print_stdout, reason = "it talks to whoever started it")]

use std::env;
use std::process::ExitCode;
use std::time::Duration;

use camino::Utf8Path;
use whimbrel_fuzz::{TARGETS, run};

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "all".to_owned());
    let mut number = |default: u64| {
        arguments
            .next()
            .and_then(|text| text.parse().ok())
            .unwrap_or(default)
    };
    let (seconds, seed) = (Duration::from_secs(number(60)), number(1));
    let root = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let chosen: Vec<_> = TARGETS
        .iter()
        .filter(|target| name == "all" || target.name == name)
        .collect();
    if chosen.is_empty() {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        println!(
            "`{name}` is no target; there are: all, {}",
            names.join(", ")
        );
        return ExitCode::FAILURE;
    }
    let mut code = ExitCode::SUCCESS;
    for target in chosen {
        let report = run(*target, seconds, seed, &root);
        println!("{}: {report}", target.name);
        if report.failure.is_some() {
            code = ExitCode::FAILURE;
        }
    }
    code
}
