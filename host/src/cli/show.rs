//! `whimbrel show`

use std::fs;

use owo_colors::OwoColorize;
use serde::Serialize;
use whimbrel::capability::{Capabilities, Limits};
use whimbrel::project::{Petition, Project};
use whimbrel::revision::Kind;
use whimbrel::signature::Signature;
use whimbrel::source::{Problem, Seal};
use whimbrel::wasm;

use super::context::{Context, resolve_all};
use super::failure::Failure;
use super::lines::wrap;
use super::report::{Format, Report, Verdict};
use super::view::{RevisionView, Views};

/// Show all about revisions, and what they ask for
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Revisions, `head`, `heads` or `current`; or the path of a component, which ends in `.wasm`
    #[arg(value_name = "REVISION", required = true)]
    revisions: Vec<String>,
}

/// A revision as `--json` prints it.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    revision: RevisionView<'a>,
    /// `null` for a component that has not been built.
    rights: Option<Rights>,
}

/// What a revision asks for, and what became of it.
#[derive(Serialize)]
struct Rights {
    /// `null` for all that a SQL file may do.
    request: Option<Vec<String>>,
    limits: Limits,
    /// Limits that the policy lowers, and to what.
    caps: Vec<(&'static str, String)>,
    /// What the policy has against it.
    objections: Vec<String>,
    /// Names of keys of the policy.
    signed_by: Vec<String>,
    is_approved: bool,
    /// Why it is not approved.
    refusal: Option<String>,
}

/// A component file as `--json` prints it.
#[derive(Serialize)]
struct Sealed<'a> {
    path: &'a str,
    imports: Vec<String>,
    /// `null` where it does not say what it asks for.
    request: Option<Vec<String>>,
    limits: Option<Limits>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Verdict, Failure> {
    let is_file = |name: &&String| name.ends_with(".wasm");
    if args.revisions.iter().any(|name| is_file(&name)) {
        return show_files(args, &context.report);
    }
    let (project, positions) = resolve_all(context, &args.revisions)?;
    let described = Views::new(project.graph(), None);
    let mut all = Vec::new();
    for position in positions {
        let id = &project.graph().revision(position).id;
        let petition = match project.petition(id) {
            Ok(petition) => petition,
            Err(whimbrel::project::BuildFailure::Source(error))
                if matches!(error.problem, Problem::NotBuilt) =>
            {
                None
            }
            Err(error) => return Err(error.into()),
        };
        all.push((described.of(position), petition));
    }
    let report = &context.report;
    if report.format() == Format::Json {
        let all: Vec<Shown<'_>> = all
            .into_iter()
            .map(|(revision, petition)| Shown {
                revision,
                rights: petition.as_ref().map(Rights::of),
            })
            .collect();
        report.json(&all);
        return Ok(Verdict::Done);
    }
    for (index, (view, petition)) in all.iter().enumerate() {
        if index > 0 {
            report.line("");
        }
        report.line(view.long());
        match petition {
            Some(petition) => show_rights(report, &project, view.kind(), petition),
            None => line(
                report,
                "Asks for",
                "has not been built; run `whimbrel build`",
            ),
        }
    }
    Ok(Verdict::Done)
}

/// What matters of a petition to whoever looks at one revision. What a SQL file may do is of interest where it says so
/// itself, or where somebody decides about it.
fn show_rights(report: &Report, project: &Project, kind: Kind, petition: &Petition) {
    let is_decided = project.policy().is_some() || petition.approval.is_some();
    if kind == Kind::Sql && petition.request.is_none() && !is_decided {
        return;
    }
    show_request(report, petition.request.as_ref(), &petition.limits);
    match &petition.signature {
        Signature::Absent => {}
        Signature::By(names) => {
            line(
                report,
                "Signature",
                &format!("signed by {}", names.join(", ")),
            );
        }
        Signature::Void(why) => {
            line(
                report,
                "Signature",
                &format!("counts for nothing: it {why}"),
            );
        }
    }
    let caps = petition.caps.iter();
    let caps = caps.map(|(name, amount)| format!("caps {name} at {amount}"));
    let objections = petition.objections.iter();
    let objections = objections.map(|objection| format!("refuses it: it {objection}"));
    let mut policy: Vec<String> = caps.chain(objections).collect();
    if policy.is_empty() && project.policy().is_some() {
        policy.push("allows it".to_owned());
    }
    lines(report, "Policy", &policy);
    match petition.refusal() {
        None => line(report, "Approved", &"yes".green().to_string()),
        Some(_) if !is_decided => {}
        Some(refusal) => line(report, "Approved", &format!("no, {refusal}")),
    }
}

fn show_request(report: &Report, request: Option<&Capabilities>, limits: &Limits) {
    let asked = match request {
        None => vec!["all that a SQL file may do".to_owned()],
        Some(request) if request.is_empty() => vec!["nothing".to_owned()],
        Some(request) => request.iter().map(ToString::to_string).collect(),
    };
    lines(report, "Asks for", &asked);
    let limits = limits.set().into_iter();
    let limits: Vec<String> = limits
        .map(|(name, amount)| format!("{name} {amount}"))
        .collect();
    lines(report, "Limits", &limits);
}

fn line(report: &Report, name: &str, value: &str) {
    let text = format!("{:<12}{value}", format!("{name}:"));
    for line in wrap(&text, &" ".repeat(14)) {
        report.line(line);
    }
}

fn lines(report: &Report, name: &str, values: &[String]) {
    for (index, value) in values.iter().enumerate() {
        match index {
            0 => line(report, name, value),
            _ => report.line(format_args!("{:<12}{value}", "")),
        }
    }
}

/// Components as they are on disk: what they import, and what they say that they ask for.
fn show_files(args: &Args, report: &Report) -> Result<Verdict, Failure> {
    let mut all = Vec::new();
    for path in &args.revisions {
        let unreadable = |why: String| Failure::Usage(format!("{path}: {why}"));
        let bytes = fs::read(path).map_err(|error| unreadable(error.to_string()))?;
        let imports = wasm::imports(&bytes).map_err(|error| unreadable(error.to_string()))?;
        let seal = Seal::of(&bytes).map_err(unreadable)?;
        all.push((path, imports, seal));
    }
    if report.format() == Format::Json {
        let all: Vec<Sealed<'_>> = all
            .into_iter()
            .map(|(path, imports, seal)| Sealed {
                path,
                imports,
                request: seal
                    .as_ref()
                    .map(|seal| texts(&seal.capabilities.capabilities)),
                limits: seal.map(|seal| seal.limits),
            })
            .collect();
        report.json(&all);
        return Ok(Verdict::Done);
    }
    for (index, (path, imports, seal)) in all.iter().enumerate() {
        if index > 0 {
            report.line("");
        }
        line(report, "Component", path);
        lines(report, "Imports", imports);
        match seal {
            None => line(report, "Asks for", "it does not say; its manifest does"),
            Some(seal) => {
                show_request(report, Some(&seal.capabilities.capabilities), &seal.limits);
            }
        }
    }
    Ok(Verdict::Done)
}

impl Rights {
    fn of(petition: &Petition) -> Self {
        let refusal = petition.refusal();
        Self {
            request: petition.request.as_ref().map(texts),
            limits: petition.limits,
            caps: petition.caps.clone(),
            objections: petition.objections.clone(),
            signed_by: petition.signature.signers().to_vec(),
            is_approved: refusal.is_none(),
            refusal,
        }
    }
}

fn texts(capabilities: &Capabilities) -> Vec<String> {
    capabilities.iter().map(ToString::to_string).collect()
}
