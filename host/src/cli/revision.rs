//! `whimbrel revision`

use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};
use clap::ValueEnum;
use jiff::Timestamp;
use serde::Serialize;
use whimbrel::config::Config;
use whimbrel::graph::{Graph, Position};
use whimbrel::revision::{RevisionId, check_name, message};
use whimbrel::scaffold::{self, NewRevision};
use whimbrel::target::TargetError;

use super::context::{Context, resolve};
use super::failure::Failure;
use super::report::{Format, Verdict};

/// Write a new, empty migration
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What it does, in one line
    #[arg(short, long)]
    message: String,
    /// Its parents: revisions, `head`, `heads` (which merges them), `base` or `label@head` [default: the only head]
    #[arg(long, value_name = "REVISION")]
    head: Vec<String>,
    /// Print the migration instead of writing a file
    #[arg(long)]
    sql: bool,
    #[command(flatten)]
    new: New,
}

/// Where a new migration goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// Into a folder of migrations.
    Files,
    /// To stdout.
    Stdout,
}

/// What `revision` and `merge` have in common.
#[derive(Debug, clap::Args)]
pub(crate) struct New {
    /// What it is written in
    #[arg(short, long, value_enum, default_value_t)]
    template: Template,
    /// Let parents be revisions that are no heads, which starts a branch
    #[arg(long)]
    splice: bool,
    /// Revisions or labels that must be applied before it without being its parents
    #[arg(long, value_name = "REVISION")]
    depends_on: Vec<String>,
    /// A name for the branch that starts with it
    #[arg(long, value_name = "LABEL")]
    branch_label: Vec<String>,
    /// Its id [default: a random one]
    #[arg(long, value_name = "ID")]
    rev_id: Option<String>,
    /// The folder for it, one of `migrations` in the settings [default: that of its parent]
    #[arg(long, value_name = "FOLDER")]
    path: Option<Utf8PathBuf>,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Template {
    /// One file of SQL
    #[default]
    Sql,
    /// A WebAssembly component, in Rust
    Rust,
}

#[derive(Serialize)]
struct Created<'a> {
    id: &'a RevisionId,
    path: &'a str,
}

pub(crate) fn run(args: Args, context: &Context) -> Result<Verdict, Failure> {
    let output = match args.sql {
        true => Output::Stdout,
        false => Output::Files,
    };
    write(
        context,
        args.message,
        args.new,
        output,
        |graph| match args.head.as_slice() {
            [] => only_head(graph),
            parents => resolve_each(graph, parents),
        },
    )
}

/// Writes a migration with the parents that `parents` finds, and says where.
pub(crate) fn write(
    context: &Context,
    message: String,
    new: New,
    output: Output,
    parents: impl FnOnce(&Graph) -> Result<Vec<Position>, Failure>,
) -> Result<Verdict, Failure> {
    let (config, project) = context.project()?;
    let graph = project.graph();
    let parents = parents(graph)?;
    let report = context.report;
    if let Some(advice) = message::advice(&message) {
        report.message(format_args!("warning: {advice}"));
    }
    let template = match new.template {
        Template::Sql => scaffold::Template::Sql,
        Template::Rust => scaffold::Template::Rust,
    };
    let folder = new.path.clone();
    let revision = describe(message, &parents, new, graph)?;
    if output == Output::Stdout {
        if template != scaffold::Template::Sql {
            return Err(Failure::Usage(
                "a component is several files, which --sql cannot print".to_owned(),
            ));
        }
        report.raw(&scaffold::sql_text(&revision));
        return Ok(Verdict::Done);
    }
    let folder = folder_of(&config, graph, &parents, folder)?;
    let path = scaffold::create(&config.root, &folder, &revision, template, &config.naming)?;
    match report.format() {
        Format::Json => report.json(&Created {
            id: &revision.id,
            path: path.as_str(),
        }),
        Format::Text => report.line(&path),
    }
    for hook in &config.post_write {
        run_hook(&config, hook, &path)?;
    }
    Ok(Verdict::Done)
}

fn describe(
    message: String,
    parents: &[Position],
    new: New,
    graph: &Graph,
) -> Result<NewRevision, Failure> {
    let invalid = |error: whimbrel::revision::InvalidName| Failure::Usage(error.to_string());
    let id = match new.rev_id {
        Some(id) => RevisionId::new(&id).map_err(invalid)?,
        None => scaffold::new_id(),
    };
    if let Some(taken) = graph.get(id.as_str()) {
        let message = format!("revision {id} exists already: {}", taken.path);
        return Err(Failure::Usage(message));
    }
    for label in &new.branch_label {
        check_name(label).map_err(invalid)?;
        if let Some(taken) = graph.labelled(label).or_else(|| graph.position(label)) {
            let path = &graph.revision(taken).path;
            return Err(Failure::Usage(format!(
                "`{label}` names a revision already: {path}"
            )));
        }
    }
    for &parent in parents {
        if !new.splice && !graph.is_head(parent) {
            let id = &graph.revision(parent).id;
            return Err(Failure::Usage(format!(
                "revision {id} is not a head; add --splice to start a branch from it"
            )));
        }
    }
    let mut depends_on = Vec::new();
    for target in &new.depends_on {
        match graph.labelled(target) {
            // A label stays one, so that the file says what is meant.
            Some(_) => depends_on.push(RevisionId::new(target).map_err(invalid)?),
            None => depends_on.extend(ids(graph, &resolve(graph, target)?)),
        }
    }
    Ok(NewRevision {
        id,
        message,
        revises: ids(graph, parents),
        depends_on,
        labels: new.branch_label,
        created: Timestamp::now(),
    })
}

/// The folder that is asked for, or else that of the first parent, or else the first one.
fn folder_of(
    config: &Config,
    graph: &Graph,
    parents: &[Position],
    asked: Option<Utf8PathBuf>,
) -> Result<Utf8PathBuf, Failure> {
    let folders = &config.migrations.paths;
    if let Some(asked) = asked {
        let is_inside = |folder: &&Utf8PathBuf| asked.starts_with(folder.as_path());
        return match folders.iter().any(|folder| is_inside(&folder)) {
            true => Ok(asked),
            false => Err(Failure::Usage(format!(
                "{asked} is not in a folder of migrations: the settings have {}",
                list(folders)
            ))),
        };
    }
    let beside = parents
        .first()
        .and_then(|&parent| graph.revision(parent).path.parent().map(Utf8Path::to_owned));
    Ok(beside
        .or_else(|| folders.first().cloned())
        .unwrap_or_else(|| "migrations".into()))
}

fn list(folders: &[Utf8PathBuf]) -> String {
    let names: Vec<&str> = folders.iter().map(|folder| folder.as_str()).collect();
    names.join(", ")
}

/// Runs a command of the settings on a new file or folder.
fn run_hook(config: &Config, hook: &str, path: &Utf8Path) -> Result<(), Failure> {
    let failed = |why: String| Failure::Usage(format!("the hook `{hook}` failed on {path}: {why}"));
    let mut words = hook.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or_default());
    let mut names_it = false;
    for word in words {
        names_it |= word.contains("{path}");
        command.arg(word.replace("{path}", path.as_str()));
    }
    if !names_it {
        command.arg(path);
    }
    let status = command
        .current_dir(config.root.path())
        .status()
        .map_err(|error| failed(error.to_string()))?;
    match status.success() {
        true => Ok(()),
        false => Err(failed(status.to_string())),
    }
}

fn only_head(graph: &Graph) -> Result<Vec<Position>, Failure> {
    let heads = graph.heads();
    if heads.len() > 1 {
        let heads = ids(graph, &heads);
        return Err(TargetError::MultipleHeads { heads }.into());
    }
    Ok(heads)
}

/// The revisions that targets name, each once.
pub(crate) fn resolve_each(graph: &Graph, targets: &[String]) -> Result<Vec<Position>, Failure> {
    let mut found = Vec::new();
    for target in targets {
        for position in resolve(graph, target)? {
            if !found.contains(&position) {
                found.push(position);
            }
        }
    }
    Ok(found)
}

fn ids(graph: &Graph, positions: &[Position]) -> Vec<RevisionId> {
    positions
        .iter()
        .map(|&position| graph.revision(position).id.clone())
        .collect()
}
