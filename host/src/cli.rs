//! The command line: one file a command, over the library's public API.

mod approve;
mod backfill;
mod branches;
mod build;
mod check;
mod completions;
mod context;
mod current;
mod diagnosis;
mod doctor;
mod drawing;
mod dry_run;
mod edit;
mod ensure_version;
mod failure;
mod forecast;
mod frames;
mod global;
mod graph;
mod heads;
mod history;
mod init;
mod learn;
mod lines;
mod list_templates;
mod merge;
mod plan;
mod policy;
mod progress;
mod repair;
mod replay;
mod report;
mod restore;
mod revision;
mod run;
mod same_command;
mod show;
mod snippet;
mod stamp;
mod trial_view;
mod view;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use context::Context;
use failure::Failure;
use global::Global;
use report::{Report, Verdict};

/// Migrations of SQL databases, as SQL files and as sandboxed WebAssembly components.
#[derive(Debug, Parser)]
#[command(name = "whimbrel", version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Args),
    ListTemplates(list_templates::Args),
    Revision(revision::Args),
    Merge(merge::Args),
    Build(build::Args),
    Approve(approve::Args),
    Upgrade(run::UpgradeArgs),
    Downgrade(run::DowngradeArgs),
    Restore(restore::Args),
    Stamp(stamp::Args),
    Replay(replay::Args),
    Repair(repair::Args),
    #[command(subcommand)]
    Backfill(backfill::Command),
    Plan(plan::Args),
    Current(current::Args),
    History(history::Args),
    Graph(graph::Args),
    Heads(heads::Args),
    Branches(branches::Args),
    Show(show::Args),
    Edit(edit::Args),
    Check(check::Args),
    EnsureVersion(ensure_version::Args),
    Doctor(doctor::Args),
    Completions(completions::Args),
}

impl Command {
    fn run(self, context: &Context) -> Result<Verdict, Failure> {
        match self {
            Self::Init(args) => init::run(&args, context),
            Self::ListTemplates(_) => Ok(list_templates::run(context)),
            Self::Revision(args) => revision::run(args, context),
            Self::Merge(args) => merge::run(args, context),
            Self::Build(args) => build::run(&args, context),
            Self::Approve(args) => approve::run(&args, context),
            Self::Upgrade(args) => run::upgrade(args, context),
            Self::Downgrade(args) => run::downgrade(args, context),
            Self::Restore(args) => restore::run(&args, context),
            Self::Stamp(args) => stamp::run(&args, context),
            Self::Replay(args) => replay::run(&args, context),
            Self::Repair(args) => repair::run(&args, context),
            Self::Backfill(command) => backfill::run(command, context),
            Self::Plan(args) => plan::run(&args, context),
            Self::Current(args) => current::run(&args, context),
            Self::History(args) => history::run(&args, context),
            Self::Graph(args) => graph::run(&args, context),
            Self::Heads(args) => heads::run(&args, context),
            Self::Branches(_) => branches::run(context),
            Self::Show(args) => show::run(&args, context),
            Self::Edit(args) => edit::run(&args, context),
            Self::Check(_) => check::run(context),
            Self::EnsureVersion(args) => ensure_version::run(&args, context),
            Self::Doctor(_) => doctor::run(context),
            Self::Completions(args) => completions::run(&args, context),
        }
    }
}

/// Runs the command that the process was started with.
pub(crate) fn main() -> ExitCode {
    let Cli { global, command } = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return report::usage(&error),
    };
    let context = Context::new(Report::new(&global), global);
    let outcome = command.run(&context);
    context.report.finish(outcome)
}
