//! Backfills: new values for the rows of a table that is in use, batch by batch.
//!
//! A backfill is a revision like any other. Its author says what it works on ([`Spec`]) and how new values are made; the host
//! owns the loop. The rows are cut into ranges of a key, which workers of any number of processes claim from a table in the
//! database. A batch, its place in the range and the notes about its rows are one transaction, so that a batch is done
//! once or not at all, whatever dies in between.
//!
//! Rows that others add or change meanwhile are noted by a trigger. A batch forgets the notes about the rows that it has
//! locked; when all ranges are done, what is noted is worked off until little is left, and the rest with the table locked,
//! together with the proof that the ranges cover all keys, and with the row that records the revision.

mod batch;
mod catch_up;
mod closing;
mod control;
mod crew;
mod declared;
mod ending;
mod error;
mod hands;
mod job;
mod keys;
mod lag;
mod names;
mod notes;
mod old_values;
mod pace;
mod probe;
mod ranges;
mod record;
mod rows;
mod settings;
mod signs;
mod spec;
mod statements;
mod store;
mod table;
mod trial;
mod watched;
mod worker;

use async_trait::async_trait;

pub use control::{BadRowReport, RangeReport, Status, WorkerReport};
pub use declared::Unread;
pub(crate) use ending::Ending;
pub use error::BackfillError;
pub(crate) use job::Job;
pub(crate) use pace::is_loaded;
pub use record::{Counts, State};
pub use rows::{Transformed, Transformer, Verdict};
pub use settings::{BadRows, InvalidSetting, NAMES as SETTING_NAMES, Settings, Window};
pub use spec::{Change, Changed, Drops, Keep, Order, Spec};
pub(crate) use store::Store;
pub use trial::{Cell, ErrorKind, Example, Forecast, Trial};
pub(crate) use worker::Crew;

use crate::migration::{Call, MigrationError};

/// The code of a backfill.
#[async_trait]
pub trait Backfill: Send + Sync {
    /// What it works on. The same for the same call, however often it is asked.
    ///
    /// # Errors
    /// A [`MigrationError`]; one that cannot be undone says so for a downgrade.
    async fn describe(&self, call: &Call) -> Result<Spec, MigrationError>;

    /// What makes new values, for one worker.
    ///
    /// # Errors
    /// [`MigrationError::Admission`] when the code cannot be loaded, or when the database makes the values.
    async fn open(&self, call: &Call) -> Result<Box<dyn Transformer>, MigrationError>;
}
