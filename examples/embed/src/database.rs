//! The database, and how it gets the form that this version of the program works with.

use std::sync::Arc;

use anyhow::{Context, Result};
use whimbrel::embedded::Embedded;
use whimbrel::embedded::include_dir::{self, Dir, include_dir};
use whimbrel::event::{Event, Observer};
use whimbrel::project::RunOptions;
use whimbrel::revision::Direction;
use whimbrel::target::Target;

/// The migrations, as they were when the program was compiled.
static MIGRATIONS: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/migrations");

/// Applies the migrations that the database does not have yet; makes the database when there is none.
///
/// When several programs start at once, one of them migrates and the others wait for it.
pub(crate) async fn bring_up_to_date(path: &str) -> Result<()> {
    let options = RunOptions {
        observer: Arc::new(Announce),
        ..RunOptions::default()
    };
    let engine = Embedded::read(&MIGRATIONS)?.engine(&format!("sqlite:{path}"), options)?;
    engine
        .run(&Target::HEAD, Direction::Upgrade)
        .await
        .with_context(|| format!("cannot bring {path} up to date"))?;
    Ok(())
}

/// Tells the user why the start takes longer than usual.
struct Announce;

impl Observer for Announce {
    fn event(&self, event: &Event<'_>) {
        if let Event::StepStarted { message, .. } = event {
            eprintln!("updating the database: {message}");
        }
    }
}
