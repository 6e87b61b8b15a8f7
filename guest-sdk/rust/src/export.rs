//! The exports of a component, called by what `#[whimbrel::migration]` writes.

use std::panic::{self, PanicHookInfo};

use crate::backfill::{Backfill, Changes};
use crate::backfill_bindings::exports::whimbrel::migrate::rows;
use crate::batch::Batch;
use crate::bindings::whimbrel::migrate::{context, types};
use crate::db::Db;
use crate::failure;
use crate::log;
use crate::migration::Migration;
use crate::value::Column;

/// The export `upgrade`.
///
/// # Errors
/// Why the migration gave up.
pub fn upgrade<M: Migration>() -> Result<(), types::Error> {
    panic::set_hook(Box::new(report_panic));
    M::upgrade(&Db::imported()).map_err(|error| failure::report(&error))
}

/// The export `downgrade`.
///
/// # Errors
/// Why the migration gave up.
pub fn downgrade<M: Migration>() -> Result<(), types::Error> {
    panic::set_hook(Box::new(report_panic));
    M::downgrade(&Db::imported()).map_err(|error| failure::report(&error))
}

/// What a backfill works on.
///
/// # Errors
/// That there is no way back.
pub fn describe<B: Backfill>() -> Result<rows::Description, types::Error> {
    panic::set_hook(Box::new(report_panic));
    match B::describe(context::direction()) {
        Ok(description) => Ok(description.told),
        Err(error) => Err(failure::report(&error)),
    }
}

/// The new values of rows.
///
/// # Errors
/// Why they cannot be made.
pub fn transform<B: Backfill>(given: types::Batch) -> Result<rows::Outcome, types::Error> {
    panic::set_hook(Box::new(report_panic));
    let made = || {
        let described = B::describe(context::direction())?.told;
        let columns = described.reads.iter().map(|name| Column {
            name: name.trim_matches('"').to_owned(),
            type_name: String::new(),
        });
        let batch = Batch::new(columns.collect(), given);
        let width = described.writes.len();
        let mut changes = Changes::new(width);
        B::transform(&batch, &mut changes)?;
        changes.check(batch.len(), width)?;
        Ok(changes.into_outcome())
    };
    made().map_err(|error: anyhow::Error| failure::report(&error))
}

/// The host keeps an error that begins with `panicked at ` as the reason of the trap that follows.
fn report_panic(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("no message");
    match panic.location() {
        Some(place) => log::write(
            log::Level::Error,
            format_args!("panicked at {place}: {message}"),
        ),
        None => log::write(
            log::Level::Error,
            format_args!("panicked at an unknown place: {message}"),
        ),
    }
}
