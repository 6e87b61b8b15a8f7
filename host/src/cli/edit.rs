//! `whimbrel edit`

use std::env;
use std::process::Command;

use camino::Utf8PathBuf;
use whimbrel::revision::{Kind, Revision};
use whimbrel::source::MANIFEST_FILE;

use super::context::{Context, resolve_all};
use super::failure::Failure;
use super::report::Verdict;

/// Open migrations in an editor: $VISUAL, or else $EDITOR
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Revisions, `head`, `heads` or `current`
    #[arg(value_name = "REVISION", required = true)]
    revisions: Vec<String>,
}

/// Where a component's source is most likely to be.
const SOURCES: [&str; 2] = ["src/lib.rs", "migration.py"];

pub(crate) fn run(args: &Args, context: &Context) -> Result<Verdict, Failure> {
    let config = context.config()?;
    let (project, positions) = resolve_all(context, &args.revisions)?;
    let files: Vec<Utf8PathBuf> = positions
        .into_iter()
        .map(|at| {
            config
                .root
                .path()
                .join(file(&config, project.graph().revision(at)))
        })
        .collect();
    let editor = ["VISUAL", "EDITOR"]
        .iter()
        .filter_map(|name| env::var(name).ok())
        .find(|editor| !editor.trim().is_empty())
        .ok_or_else(|| Failure::Usage("neither VISUAL nor EDITOR names an editor".to_owned()))?;
    // As git does it: a setting may have arguments (`code --wait`).
    let mut words = editor.split_whitespace();
    let failed = |why: String| Failure::Usage(format!("cannot run the editor `{editor}`: {why}"));
    let program = words.next().unwrap_or_default();
    let status = Command::new(program)
        .args(words)
        .args(&files)
        .status()
        .map_err(|error| failed(error.to_string()))?;
    match status.success() {
        true => Ok(Verdict::Done),
        false => Err(failed(status.to_string())),
    }
}

/// The file that an author wants to see.
fn file(config: &whimbrel::config::Config, revision: &Revision) -> Utf8PathBuf {
    match revision.kind {
        Kind::Sql => revision.path.clone(),
        Kind::Component => SOURCES
            .iter()
            .map(|source| revision.path.join(source))
            .find(|path| config.root.path().join(path).is_file())
            .unwrap_or_else(|| revision.path.join(MANIFEST_FILE)),
    }
}
