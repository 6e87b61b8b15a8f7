//! `cargo xtask test`: servers, guests, the program, then every test.

use std::env;
use std::thread;

use anyhow::{Result, anyhow};
use whimbrel_cluster::{Cluster, LOCAL, VERSIONS};

use crate::guests;
use crate::install;
use crate::process::{cargo, run, target_folder};

/// Which tests to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only the tests whose path contains one of these.
    filter: Vec<String>,
}

/// The server that a user names, in place of the one that this machine would have.
const USERS_SERVER: &str = "WHIMBREL_TEST_POSTGRES";

/// How many tests run at once, where the user does not say.
const THREADS: &str = "RUST_TEST_THREADS";
/// How many there are for each core: tests wait for servers, and for time to pass, about as long as they compute.
const THREADS_PER_CORE: usize = 2;

/// Sets up, builds, and runs the tests.
pub(crate) fn run_tests(options: &Options) -> Result<()> {
    set_up()?;
    // Everything at once, so that the program and the tests share the same build of each dependency.
    run_cargo(&["build", "--workspace", "--all-targets"])?;
    let clusters = start_clusters()?;
    let mut tests = cargo();
    tests.args(["test", "--workspace", "--no-fail-fast"]);
    if !options.filter.is_empty() {
        tests.arg("--").args(&options.filter);
    }
    if env::var_os(THREADS).is_none() {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        tests.env(THREADS, (cores * THREADS_PER_CORE).to_string());
    }
    for major in VERSIONS {
        if let Some(url) = users_server(major) {
            tests.env(variable(major), url);
        }
    }
    for (major, cluster) in &clusters {
        tests.env(variable(*major), cluster.url("postgres"));
    }
    tests.env(
        "WHIMBREL_TEST_PROGRAM",
        target_folder().join("debug/whimbrel"),
    );
    tests.env(
        "WHIMBREL_TEST_ALEMBIC",
        install::python_packages(&install::ALEMBIC)?.join("python3"),
    );
    run(&mut tests)
}

/// Installs the PostgreSQL servers and the toolchains of the guests, where they are missing.
pub(crate) fn set_up() -> Result<()> {
    install::libclang()?;
    for major in VERSIONS {
        if users_server(major).is_none() {
            install::postgres(major)?;
        }
    }
    install::pg_dump()?;
    install::sqlite3()?;
    install::ip()?;
    install::pgbouncer()?;
    guests::build()
}

fn run_cargo(arguments: &[&str]) -> Result<()> {
    run(cargo().args(arguments))
}

fn variable(major: u32) -> String {
    format!("{USERS_SERVER}_{major}")
}

/// The URL that the environment has for a version's server.
fn users_server(major: u32) -> Option<String> {
    let general = (major == LOCAL).then_some(USERS_SERVER.to_owned());
    [Some(variable(major)), general]
        .into_iter()
        .flatten()
        .find_map(|name| env::var(name).ok())
}

/// One cluster for each version that the environment has no server for.
fn start_clusters() -> Result<Vec<(u32, Cluster)>> {
    let starting: Vec<_> = VERSIONS
        .into_iter()
        .filter(|major| users_server(*major).is_none())
        .map(|major| (major, thread::spawn(move || Cluster::start(major))))
        .collect();
    starting
        .into_iter()
        .map(|(major, thread)| {
            let cluster = thread
                .join()
                .map_err(|_| anyhow!("starting PostgreSQL {major} panicked"))?;
            Ok((major, cluster?))
        })
        .collect()
}
