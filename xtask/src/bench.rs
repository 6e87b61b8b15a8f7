//! `cargo xtask bench`: Whimbrel beside its peers, in the same run, on the same durable PostgreSQL 15 cluster.

mod backfill;
mod checks;
mod components;
mod fill;
mod graph;
mod layout;
mod measure;
mod peer;
mod report;
mod scripted;
mod server;
mod steps;
mod writers;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::install;
use crate::process::{cargo, run, target_folder};

use self::peer::Peer;
use self::report::Report;
use self::server::BenchServer;

/// What to measure, and how often.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Which benches to run; all by default.
    #[arg(value_enum)]
    only: Vec<Bench>,
    /// How many migrations the projects have.
    #[arg(long, default_value_t = 1_000)]
    migrations: usize,
    /// How many rows the filled table has.
    #[arg(long, default_value_t = 1_000_000)]
    rows: usize,
    /// How often each long measurement is taken; quick ones are taken ten times as often.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Measures this `whimbrel` instead of a fresh release build.
    #[arg(long)]
    program: Option<PathBuf>,
}

/// One line of questions to Whimbrel's speed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Bench {
    /// `upgrade head` with nothing to do, and with everything to do.
    Steps,
    /// As many component migrations as SQL files.
    Components,
    /// Many small statements with and without the checks of grants.
    Checks,
    /// A guest that fills a column, beside the same loop in native code.
    Fill,
    /// A backfill, beside a native loop with the same batches and one UPDATE.
    Backfill,
    /// Backfills of ten thousand to ten million rows.
    Scale,
    /// A backfill in Python, beside loops with psycopg2.
    Python,
    /// A backfill in JavaScript, beside a loop with `pg` in Node.
    Javascript,
    /// Transactions beside a throttled backfill, and beside one that comes to its end.
    Writers,
    /// Thousands of revisions on disk: reading, planning, listing.
    Graph,
    /// A graph of a hundred thousand revisions, and a plan, in memory.
    Planning,
    /// Runs that are only tried, and runs that are only written.
    Offline,
    /// The program itself: size, start, memory.
    Program,
}

impl Options {
    fn includes(&self, bench: Bench) -> bool {
        self.only.is_empty() || self.only.contains(&bench)
    }
}

/// What all benches work with.
struct Bed {
    /// The release build of `whimbrel`.
    whimbrel: PathBuf,
    /// The release build of the native loop.
    native_fill: PathBuf,
    /// An empty folder for projects.
    folder: PathBuf,
    server: BenchServer,
    migrations: usize,
    rows: usize,
    rounds: usize,
    /// Two runs at once would measure each other, and share the folder.
    _turn: File,
}

/// Measures, and prints the table of ratios.
pub(crate) fn run_benches(options: &Options) -> Result<()> {
    let bed = Bed::prepare(options)?;
    let mut report = Report::default();
    if options.includes(Bench::Program) {
        steps::program(&bed, &mut report)?;
    }
    if options.includes(Bench::Steps) {
        let peers = Peer::install_all()?;
        steps::compare(&bed, peers, &mut report)?;
    }
    if options.includes(Bench::Components) {
        components::compare(&bed, &mut report)?;
    }
    if options.includes(Bench::Checks) {
        checks::compare(&bed, &mut report)?;
    }
    if options.includes(Bench::Fill) {
        fill::compare(&bed, &mut report)?;
    }
    if options.includes(Bench::Backfill) {
        backfill::compare(&bed, &mut report)?;
    }
    if options.includes(Bench::Scale) {
        backfill::scale(&bed, &mut report)?;
    }
    if options.includes(Bench::Python) {
        scripted::python(&bed, &mut report)?;
    }
    if options.includes(Bench::Javascript) {
        scripted::javascript(&bed, &mut report)?;
    }
    if options.includes(Bench::Writers) {
        writers::compare(&bed, &mut report)?;
    }
    if options.includes(Bench::Graph) {
        graph::compare(&bed, &mut report)?;
    }
    if options.includes(Bench::Planning) {
        graph::planning(&mut report)?;
    }
    if options.includes(Bench::Offline) {
        graph::dry_run(&bed, &mut report)?;
        graph::scripts(&bed, &mut report)?;
    }
    report.print();
    Ok(())
}

impl Bed {
    fn prepare(options: &Options) -> Result<Self> {
        let programs = target_folder().join("release");
        install::libclang()?;
        let mut build = cargo();
        build.args(["build", "--release", "--package=native-fill"]);
        let whimbrel = match &options.program {
            Some(program) => fs::canonicalize(program)
                .with_context(|| format!("there is no {}", program.display()))?,
            None => {
                build.arg("--package=whimbrel");
                programs.join("whimbrel")
            }
        };
        run(&mut build)?;
        let folder = target_folder().join("bench");
        let turn = File::create(target_folder().join("bench.lock"))?;
        turn.lock().context("cannot wait for another run")?;
        empty(&folder)?;
        Ok(Self {
            whimbrel,
            native_fill: programs.join("native-fill"),
            folder,
            server: BenchServer::start()?,
            migrations: options.migrations,
            rows: options.rows,
            rounds: options.rounds,
            _turn: turn,
        })
    }
}

fn empty(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    Ok(fs::create_dir_all(folder)?)
}
