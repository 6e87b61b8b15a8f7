//! `whimbrel approve`

use serde::Serialize;
use whimbrel::capability::{Capabilities, Limits};
use whimbrel::engine::{Cause, RunFailure};
use whimbrel::migration::PrepareError;
use whimbrel::project::{ASK_THE_OPERATOR, Petition, Rebuild};
use whimbrel::revision::RevisionId;
use whimbrel::signature::Signature;

use super::context::{Context, resolve};
use super::failure::Failure;
use super::progress::Progress;
use super::report::{Answer, Format, Verdict};

/// Approve what migrations ask for, for exactly their present content
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Revisions, `head` or `heads` [default: all that are not approved]
    #[arg(value_name = "REVISION")]
    revisions: Vec<String>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// What `--json` says of one revision.
#[derive(Serialize)]
struct Entry<'a> {
    revision: &'a RevisionId,
    digest: String,
    request: Option<Vec<String>>,
    limits: &'a Limits,
    signed_by: &'a [String],
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Verdict, Failure> {
    let report = context.report;
    let (config, project) = context.project()?;
    let graph = project.graph();
    let mut ids = Vec::new();
    for target in &args.revisions {
        let found = resolve(graph, target)?;
        ids.extend(found.into_iter().map(|at| graph.revision(at).id.clone()));
    }
    if args.revisions.is_empty() {
        ids.extend(graph.revisions().map(|revision| revision.id.clone()));
    }
    let ids: Vec<&RevisionId> = ids.iter().collect();
    let progress = Progress::new(report);
    project.build(&config.root, &ids, Rebuild::Stale, &progress)?;
    progress.clear();

    let mut petitions = project.petitions(&config.root, &ids)?;
    petitions.retain(|petition| !petition.is_approved());
    if report.format() == Format::Text {
        for petition in &petitions {
            show(context, petition);
        }
    }
    let refused = petitions
        .iter()
        .find(|petition| !petition.objections.is_empty());
    if let Some(petition) = refused {
        let refused = PrepareError::Refused {
            revision: petition.revision.clone(),
            reason: format!("it {}", petition.objections.join("; it ")),
            remedy: ASK_THE_OPERATOR.to_owned(),
        };
        return Err(RunFailure::untouched(Cause::Prepare(refused)).into());
    }
    if !petitions.is_empty() && !args.yes {
        match report.confirm("Approve this?") {
            Answer::Yes => {}
            Answer::No => return Err(Failure::Usage("nothing was approved".to_owned())),
            Answer::NobodyThere => {
                return Err(Failure::Usage(
                    "nobody is there to be asked; read what is asked for and give --yes".to_owned(),
                ));
            }
        }
    }
    project.approve(&config.root, &petitions)?;
    if report.format() == Format::Json {
        let entries: Vec<Entry<'_>> = petitions.iter().map(Entry::of).collect();
        report.json(&entries);
    }
    report.message(match petitions.len() {
        0 => "Everything is approved.".to_owned(),
        count => format!(
            "Approved {} in whimbrel.lock.",
            super::progress::count(count as u64, "revision")
        ),
    });
    Ok(Verdict::Done)
}

impl<'a> Entry<'a> {
    fn of(petition: &'a Petition) -> Self {
        Self {
            revision: &petition.revision,
            digest: petition.digest.to_string(),
            request: petition
                .request
                .as_ref()
                .map(|request| request.iter().map(ToString::to_string).collect()),
            limits: &petition.limits,
            signed_by: petition.signature.signers(),
        }
    }
}

/// The request as a diff against the last approval.
fn show(context: &Context, petition: &Petition) {
    let report = context.report;
    report.line(&petition.revision);
    let asked = lines(petition.request.as_ref(), &petition.limits);
    let before = petition
        .approval
        .as_ref()
        .map(|approval| lines(approval.capabilities.as_ref(), &approval.limits))
        .unwrap_or_default();
    if asked.is_empty() {
        report.line("    asks for nothing");
    }
    for line in &asked {
        let mark = if before.contains(line) { ' ' } else { '+' };
        report.line(format_args!("  {mark} {line}"));
    }
    for line in before.iter().filter(|line| !asked.contains(line)) {
        report.line(format_args!("  - {line}"));
    }
    for (name, amount) in &petition.caps {
        report.line(format_args!("  the policy caps {name} at {amount}"));
    }
    match &petition.signature {
        Signature::Absent => {}
        Signature::By(names) => report.line(format_args!("  signed by {}", names.join(", "))),
        Signature::Void(why) => {
            report.line(format_args!("  its signature counts for nothing: it {why}"))
        }
    }
    for objection in &petition.objections {
        report.line(format_args!("  it {objection}"));
    }
    if petition
        .approval
        .as_ref()
        .is_some_and(|approval| approval.digest != petition.digest)
    {
        report.line("  its content has changed since it was approved");
    }
}

/// What is asked for or approved, a line each.
fn lines(capabilities: Option<&Capabilities>, limits: &Limits) -> Vec<String> {
    let mut lines = match capabilities {
        None => vec!["all that a SQL file may do".to_owned()],
        Some(list) => list.iter().map(ToString::to_string).collect(),
    };
    let limits = limits.set().into_iter();
    lines.extend(limits.map(|(name, amount)| format!("limit {name} {amount}")));
    lines
}
