//! `whimbrel revision`

use clap::ValueEnum;
use jiff::Timestamp;
use serde::Serialize;
use whimbrel::graph::Graph;
use whimbrel::revision::{RevisionId, check_name};
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
    /// What it is written in
    #[arg(short, long, value_enum, default_value_t)]
    template: Template,
    /// Its parents: revisions, `head`, `heads` (which merges them) or `base` [default: the only head]
    #[arg(long, value_name = "REVISION")]
    head: Vec<String>,
    /// Revisions that must be applied before it without being its parents
    #[arg(long, value_name = "REVISION")]
    depends_on: Vec<String>,
    /// A name for the branch that starts with it
    #[arg(long, value_name = "LABEL")]
    branch_label: Vec<String>,
    /// Its id [default: a random one]
    #[arg(long, value_name = "ID")]
    rev_id: Option<String>,
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
    let (config, project) = context.project()?;
    let graph = project.graph();
    let new = describe(
        args.message,
        &args.head,
        &args.depends_on,
        args.branch_label,
        args.rev_id,
        graph,
    )?;
    let template = match args.template {
        Template::Sql => scaffold::Template::Sql,
        Template::Rust => scaffold::Template::Rust,
    };
    let path = scaffold::create(&config.root, &config.migrations, &new, template)?;

    let report = context.report;
    match report.format() {
        Format::Json => report.json(&Created {
            id: &new.id,
            path: path.as_str(),
        }),
        Format::Text => report.line(&path),
    }
    Ok(Verdict::Done)
}

fn describe(
    message: String,
    parents: &[String],
    depends_on: &[String],
    labels: Vec<String>,
    id: Option<String>,
    graph: &Graph,
) -> Result<NewRevision, Failure> {
    let invalid = |error: whimbrel::revision::InvalidName| Failure::Usage(error.to_string());
    let id = match id {
        Some(id) => RevisionId::new(&id).map_err(invalid)?,
        None => scaffold::new_id(),
    };
    if let Some(taken) = graph.get(id.as_str()) {
        let message = format!("revision {id} exists already: {}", taken.path);
        return Err(Failure::Usage(message));
    }
    for label in &labels {
        check_name(label).map_err(invalid)?;
    }
    Ok(NewRevision {
        id,
        message,
        revises: match parents {
            [] => only_head(graph)?,
            parents => named(graph, parents)?,
        },
        depends_on: named(graph, depends_on)?,
        labels,
        created: Timestamp::now(),
    })
}

fn only_head(graph: &Graph) -> Result<Vec<RevisionId>, TargetError> {
    let heads: Vec<RevisionId> = graph
        .heads()
        .into_iter()
        .map(|head| graph.revision(head).id.clone())
        .collect();
    if heads.len() > 1 {
        return Err(TargetError::MultipleHeads { heads });
    }
    Ok(heads)
}

fn named(graph: &Graph, targets: &[String]) -> Result<Vec<RevisionId>, Failure> {
    let mut ids = Vec::new();
    for target in targets {
        for position in resolve(graph, target)? {
            let id = &graph.revision(position).id;
            if !ids.contains(id) {
                ids.push(id.clone());
            }
        }
    }
    Ok(ids)
}
