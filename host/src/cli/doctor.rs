//! `whimbrel doctor`

use std::fmt::Display;

use owo_colors::OwoColorize;
use serde::Serialize;
use whimbrel::config::Config;
use whimbrel::engine::{Engine, Problem};
use whimbrel::graph::{Graph, Position};
use whimbrel::plan::Applied;
use whimbrel::project::{Project, RunOptions};
use whimbrel::revision::RevisionId;
use whimbrel::source::{Drift, Lock};

use super::context::{Context, block_on};
use super::diagnosis::Diagnosis;
use super::failure::Failure;
use super::policy;
use super::progress::count;
use super::report::{Format, Report, Verdict};

/// Look for trouble: settings, migrations, lock file, components, database
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// How one check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    Warning,
    Error,
}

#[derive(Debug, Serialize)]
struct Check {
    check: &'static str,
    status: Status,
    detail: String,
}

/// The checks so far.
#[derive(Default)]
struct Checks(Vec<Check>);

impl Checks {
    fn add(&mut self, check: &'static str, status: Status, detail: impl Display) {
        let detail = detail.to_string();
        self.0.push(Check {
            check,
            status,
            detail,
        });
    }

    fn fail(&mut self, check: &'static str, failure: &Failure) {
        let diagnosis = Diagnosis::of(failure);
        let lines: Vec<String> = std::iter::once(diagnosis.title)
            .chain(diagnosis.causes)
            .chain(diagnosis.hint.map(|hint| format!("hint: {hint}")))
            .collect();
        self.add(check, Status::Error, lines.join("\n"));
    }
}

pub(crate) fn run(context: &Context) -> Result<Verdict, Failure> {
    let mut checks = Checks::default();
    match context.config() {
        Ok(config) => {
            checks.add("settings", Status::Ok, config.path());
            check_project(context, &config, &mut checks);
        }
        Err(failure) => checks.fail("settings", &failure),
    }
    print(&context.report, &checks.0);
    let is_sound = checks.0.iter().all(|check| check.status != Status::Error);
    Ok(if is_sound {
        Verdict::Done
    } else {
        Verdict::Found
    })
}

fn check_project(context: &Context, config: &Config, checks: &mut Checks) {
    match Project::open(config) {
        Ok(project) => {
            check_graph(project.graph(), checks);
            check_policy(config, &project, checks);
            check_lock(config, &project, checks);
            if let Some(warning) = project.runtime().cache_warning() {
                checks.add("component cache", Status::Warning, warning);
            }
        }
        // Without migrations there is no engine that could ask the database.
        Err(error) => return checks.fail("migrations", &error.into()),
    }
    if let Err(failure) = block_on(check_database(context, config, checks)) {
        checks.fail("database", &failure);
    }
}

fn check_graph(graph: &Graph, checks: &mut Checks) {
    let heads: Vec<&str> = graph
        .heads()
        .into_iter()
        .map(|head| graph.revision(head).id.as_str())
        .collect();
    let (status, detail) = match heads.as_slice() {
        [] => (Status::Ok, "none yet".to_owned()),
        [head] => (Status::Ok, format!("{}, head {head}", graph.len())),
        heads => (
            Status::Warning,
            format!(
                "{}, with {} heads: {}",
                graph.len(),
                heads.len(),
                heads.join(", ")
            ),
        ),
    };
    checks.add("migrations", status, detail);
}

fn check_policy(config: &Config, project: &Project, checks: &mut Checks) {
    let Some(rules) = project.policy().map(|policy| policy.rules.len()) else {
        return;
    };
    let warnings = policy::warnings(project, config);
    match warnings.is_empty() {
        true => {
            let rules = count(rules as u64, "rule");
            checks.add(
                "policy",
                Status::Ok,
                format_args!("{}, {rules}", policy::path(config)),
            );
        }
        false => checks.add("policy", Status::Warning, warnings.join("\n")),
    }
}

fn check_lock(config: &Config, project: &Project, checks: &mut Checks) {
    let lock = match Lock::read(config.root.as_ref()) {
        Ok(lock) => lock,
        Err(error) => return checks.fail("whimbrel.lock", &error.into()),
    };
    let mut drifted = Vec::new();
    for migration in project.migrations().iter() {
        let id = &migration.revision.id;
        match lock.check(migration) {
            Ok(None) => {}
            Ok(Some(Drift::Unpinned)) => drifted.push(format!("{id} is not pinned")),
            Ok(Some(Drift::Content)) => drifted.push(format!("{id} has changed")),
            Ok(Some(Drift::Source)) => drifted.push(format!("{id} has a newer source")),
            Ok(Some(Drift::Parameters)) => drifted.push(format!("{id} has other parameters")),
            Err(error) => drifted.push(error.to_string()),
        }
    }
    if drifted.is_empty() {
        checks.add("whimbrel.lock", Status::Ok, "pins every migration as it is");
    } else {
        drifted.push("hint: `whimbrel build` brings it up to date".to_owned());
        checks.add("whimbrel.lock", Status::Warning, drifted.join("\n"));
    }
}

async fn check_database(
    context: &Context,
    config: &Config,
    checks: &mut Checks,
) -> Result<(), Failure> {
    let engine = &context.connect(config, RunOptions::default()).await?.engine;
    let place = format!("{} ({})", engine.driver.location(), engine.driver.dialect());
    checks.add("database", Status::Ok, place);
    let state = engine.state().await?;
    match Applied::from_rows(&engine.graph, &state.rows) {
        Ok(applied) => {
            let is_pending = |&position: &Position| !applied.selection().contains(position);
            let pending = engine.graph.positions().filter(is_pending).count();
            let rows: Vec<String> = applied
                .rows(&engine.graph)
                .iter()
                .map(RevisionId::to_string)
                .collect();
            let at = if rows.is_empty() {
                "base".to_owned()
            } else {
                rows.join(", ")
            };
            checks.add(
                "revisions",
                Status::Ok,
                format!("at {at}, {pending} pending"),
            );
        }
        Err(error) => checks.fail("revisions", &error.into()),
    }
    check_records(engine, checks).await
}

async fn check_records(engine: &Engine, checks: &mut Checks) -> Result<(), Failure> {
    let problems = engine.problems().await?;
    if problems.is_empty() {
        checks.add("ledger", Status::Ok, "agrees with the migrations");
    }
    for problem in problems {
        let hint = "hint: `whimbrel repair` shows what can be done";
        let (check, status) = match problem {
            Problem::InvalidIndex { .. } => ("schema", Status::Warning),
            Problem::Implied { .. } => ("ledger", Status::Warning),
            // The check of the revisions has said it.
            Problem::Missing { .. } => continue,
            _ => ("ledger", Status::Error),
        };
        checks.add(check, status, format!("{problem}\n{hint}"));
    }
    Ok(())
}

fn print(report: &Report, checks: &[Check]) {
    if report.format() == Format::Json {
        return report.json(&checks);
    }
    for check in checks {
        let mark = match check.status {
            Status::Ok => "ok     ".green().to_string(),
            Status::Warning => "warning".yellow().to_string(),
            Status::Error => "error  ".red().to_string(),
        };
        let detail = check.detail.replace('\n', &format!("\n{:26}", ""));
        report.line(format_args!("{mark}  {:<15}  {detail}", check.check));
    }
}
