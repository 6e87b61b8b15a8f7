//! The exports of a component, called by what `#[whimbrel::migration]` writes.

use std::panic::{self, PanicHookInfo};

use crate::bindings::whimbrel::migrate::types;
use crate::db::Db;
use crate::failure;
use crate::log;
use crate::migration::Migration;

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
