//! `whimbrel backfill status`

use std::time::Duration;

use whimbrel::backfill::{State, Status};
use whimbrel::engine::Engine;
use whimbrel::project::RunOptions;
use whimbrel::revision::RevisionId;

use super::look::{Look, Rates};
use super::view::{self, Detail};
use super::{Which, find};
use crate::cli::context::{Context, block_on};
use crate::cli::failure::Failure;
use crate::cli::lines::WIDTH;
use crate::cli::report::{Format, Verdict};

/// The revision that is named, if one is.
pub(super) async fn named(
    engine: &Engine,
    name: Option<String>,
) -> Result<Option<RevisionId>, Failure> {
    match name {
        Some(name) => {
            let revision = Some(name);
            find(engine, &Which { revision }).await.map(Some)
        }
        None => Ok(None),
    }
}

pub(super) fn show(
    name: Option<String>,
    detail: Detail,
    context: &Context,
) -> Result<Verdict, Failure> {
    let config = context.config()?;
    let (revision, all) = block_on(async {
        let connected = context.connect(&config, RunOptions::default()).await?;
        let engine = &connected.engine;
        let revision = named(engine, name).await?;
        let all = look(engine, revision.as_ref()).await?;
        Ok((revision, all))
    })?;
    let report = context.report;
    if report.format() == Format::Json {
        report.json(&all);
        return Ok(Verdict::Done);
    }
    match revision {
        Some(revision) if all.is_empty() => {
            report.message(format_args!("{revision} has not begun as a backfill."));
        }
        None if all.is_empty() => report.message("There has been no backfill here."),
        _ => {}
    }
    for look in &all {
        let lines = view::lines(look, detail, WIDTH);
        lines.iter().for_each(|line| report.line(line));
    }
    Ok(Verdict::Done)
}

/// Looks at backfills: once, or where one of them moves, often enough to say how fast.
async fn look(engine: &Engine, revision: Option<&RevisionId>) -> Result<Vec<Look>, Failure> {
    const LOOKS: u32 = 4;
    const PAUSE: Duration = Duration::from_millis(350);
    let mut rates = Rates::default();
    let mut statuses = engine.backfill_status(revision).await?;
    let moves = |status: &Status| {
        status.state == State::Running && status.is_worked_on() && !status.is_read_through()
    };
    for _ in 1..LOOKS {
        if !statuses.iter().any(moves) {
            break;
        }
        for status in &statuses {
            rates.look(status.clone());
        }
        tokio::time::sleep(PAUSE).await;
        statuses = engine.backfill_status(revision).await?;
    }
    Ok(statuses
        .into_iter()
        .map(|status| rates.look(status))
        .collect())
}
