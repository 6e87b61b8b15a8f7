//! New values for the rows of a table that is in use.

use crate::backfill_bindings::exports::whimbrel::migrate::rows;
use crate::batch::Batch;
use crate::error::Error;
use crate::host::Direction;
use crate::row_buffer::{RowBuffer, ToRow};
use crate::value::Value;

pub use crate::backfill_bindings::exports::whimbrel::migrate::rows::{Changed, Order};
pub use whimbrel_sdk_macros::backfill;

/// A backfill: which rows of which table, and their new values.
///
/// The host reads and writes; this code has no database. What it makes depends on the rows alone, so that the host may
/// have them made again, for more or fewer of them, or in several instances at once. `migration.toml` says
/// `transaction = "batches"`.
///
/// ```
/// use whimbrel_sdk::prelude::*;
/// use whimbrel_sdk::{Backfill, Batch, Changes, Description, Direction, Value};
///
/// /// Fills in `users.email_key`.
/// #[whimbrel::backfill]
/// struct EmailKeys;
///
/// impl Backfill for EmailKeys {
///     fn describe(direction: Direction) -> Result<Description> {
///         ensure!(direction == Direction::Upgrade, "the keys are dropped with their column");
///         Ok(Description::new("users").reads(["email"]).writes(["email_key"]))
///     }
///
///     fn transform(rows: &Batch, changes: &mut Changes) -> Result<()> {
///         for email in rows.values::<Option<&str>>(0)? {
///             match email? {
///                 Some(email) => changes.write(&(email.to_lowercase(),))?,
///                 None => changes.keep(),
///             }
///         }
///         Ok(())
///     }
/// }
///
/// let rows = Batch::from_rows(
///     ["email"],
///     vec![vec![Value::Text("Ada@Example.org".into())], vec![Value::Null]],
/// );
/// let changes = Changes::of::<EmailKeys>(Direction::Upgrade, &rows)?;
/// assert_eq!(changes.written(), [Some(vec![Value::Text("ada@example.org".into())]), None]);
/// # Ok::<(), anyhow::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is marked `#[whimbrel::backfill]` but is no backfill",
    note = "write `impl Backfill for {Self}` with `describe` and `transform`"
)]
pub trait Backfill {
    /// What it works on.
    ///
    /// # Errors
    /// That there is no way back, for a downgrade.
    fn describe(direction: Direction) -> anyhow::Result<Description>;

    /// Says of each row, in their order, what becomes of it. The columns of `rows` are those of [`Description::reads`], by
    /// position and by name.
    ///
    /// # Errors
    /// Any error is taken to be the fault of one of the rows; the host finds out which.
    fn transform(rows: &Batch, changes: &mut Changes) -> anyhow::Result<()>;
}

/// What a backfill works on. Names are as in SQL: `orders`, `app.orders`, `"Odd name"`.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    pub(crate) told: rows::Description,
}

impl Description {
    /// Works on this table, in the order of its primary key.
    pub fn new(table: impl Into<String>) -> Self {
        Self {
            told: rows::Description {
                table: table.into(),
                key: Vec::new(),
                reads: Vec::new(),
                writes: Vec::new(),
                condition: None,
                order: Order::Ascending,
                changed: None,
                keep_old_values: false,
                may_drop: false,
                batch_milliseconds: None,
                workers: None,
                text: crate::bindings::whimbrel::migrate::types::TextForm::Cells,
            },
        }
    }

    /// Takes rows in the order of these columns: those of a unique index, none of which can be null.
    pub fn key<S: Into<String>>(mut self, columns: impl IntoIterator<Item = S>) -> Self {
        self.told.key = columns.into_iter().map(Into::into).collect();
        self
    }

    /// Makes new values of these columns.
    pub fn reads<S: Into<String>>(mut self, columns: impl IntoIterator<Item = S>) -> Self {
        self.told.reads = columns.into_iter().map(Into::into).collect();
        self
    }

    /// Gives these columns new values.
    pub fn writes<S: Into<String>>(mut self, columns: impl IntoIterator<Item = S>) -> Self {
        self.told.writes = columns.into_iter().map(Into::into).collect();
        self
    }

    /// Works only on rows that this condition of SQL holds for.
    pub fn condition(mut self, condition: impl Into<String>) -> Self {
        self.told.condition = Some(condition.into());
        self
    }

    /// Begins at this end of the key.
    pub fn order(mut self, order: Order) -> Self {
        self.told.order = order;
        self
    }

    /// What becomes of rows that others change when they have been worked on. Needed where a column is read and written.
    pub fn changed(mut self, changed: Changed) -> Self {
        self.told.changed = Some(changed);
        self
    }

    /// Keeps what is overwritten, and puts it back on a downgrade.
    pub fn keep_old_values(mut self) -> Self {
        self.told.keep_old_values = true;
        self
    }

    /// Rows may be dropped.
    pub fn may_drop(mut self) -> Self {
        self.told.may_drop = true;
        self
    }

    /// How long one batch should take, in milliseconds, unless the operator says otherwise.
    pub fn batch_milliseconds(mut self, milliseconds: u32) -> Self {
        self.told.batch_milliseconds = Some(milliseconds);
        self
    }

    /// How many workers it has, unless the operator says otherwise.
    pub fn workers(mut self, workers: u32) -> Self {
        self.told.workers = Some(workers);
        self
    }
}

/// What becomes of rows: one call for each of them, in their order.
#[derive(Debug, Clone, PartialEq)]
pub struct Changes {
    values: RowBuffer,
    /// Empty as long as all are written.
    verdicts: Vec<rows::Verdict>,
    nothing: Vec<Value>,
}

impl Changes {
    /// No rows yet, of this many columns that are written.
    pub(crate) fn new(width: usize) -> Self {
        Self {
            values: RowBuffer::new(),
            verdicts: Vec::new(),
            nothing: vec![Value::Null; width],
        }
    }

    /// What a backfill makes of rows, for a test.
    ///
    /// # Errors
    /// What the backfill gives up with, or that it has not said of each row what becomes of it.
    pub fn of<B: Backfill>(direction: Direction, rows: &Batch) -> anyhow::Result<Self> {
        let width = B::describe(direction)?.told.writes.len();
        let mut changes = Self::new(width);
        B::transform(rows, &mut changes)?;
        changes.check(rows.len(), width)?;
        Ok(changes)
    }

    pub(crate) fn check(&self, rows: usize, width: usize) -> Result<(), Error> {
        if self.values.len() != rows {
            return Err(Error::Conversion(format!(
                "{rows} rows were given, and something was said of {}",
                self.values.len()
            )));
        }
        if rows > 0 && self.values.width() != width {
            return Err(Error::Conversion(format!(
                "rows of {} values for {width} columns",
                self.values.width()
            )));
        }
        Ok(())
    }

    /// The next row gets these values, in the order of [`Description::writes`].
    ///
    /// # Errors
    /// [`Error::Conversion`] when they are not as many as the rows before had.
    pub fn write(&mut self, row: &impl ToRow) -> Result<(), Error> {
        self.values.push(row)?;
        if !self.verdicts.is_empty() {
            self.verdicts.push(rows::Verdict::Write);
        }
        Ok(())
    }

    /// The next row stays as it is.
    pub fn keep(&mut self) {
        self.decide(rows::Verdict::Keep);
    }

    /// The next row is deleted; [`Description::may_drop`] has to say that this can be.
    pub fn drop_row(&mut self) {
        self.decide(rows::Verdict::Drop);
    }

    /// The next row cannot be worked on, for this reason.
    pub fn fail(&mut self, reason: impl Into<String>) {
        self.decide(rows::Verdict::Fail(reason.into()));
    }

    fn decide(&mut self, verdict: rows::Verdict) {
        if self.verdicts.is_empty() {
            self.verdicts = vec![rows::Verdict::Write; self.values.len()];
        }
        self.verdicts.push(verdict);
        let nothing = std::mem::take(&mut self.nothing);
        // What is not as wide as the rows before it is noticed when all are counted.
        let _ = self.values.push(&nothing);
        self.nothing = nothing;
    }

    /// The new values of each row; none for a row that is not written.
    pub fn written(&self) -> Vec<Option<Vec<Value>>> {
        let is_written =
            |at: usize| matches!(self.verdicts.get(at), None | Some(rows::Verdict::Write));
        (0..self.values.len())
            .map(|at| is_written(at).then(|| self.values.row(at)))
            .collect()
    }

    /// The reasons of rows that cannot be worked on, with their places.
    pub fn failed(&self) -> Vec<(usize, &str)> {
        let verdicts = self.verdicts.iter().enumerate();
        verdicts
            .filter_map(|(at, verdict)| match verdict {
                rows::Verdict::Fail(reason) => Some((at, reason.as_str())),
                _ => None,
            })
            .collect()
    }

    #[cfg(target_family = "wasm")]
    pub(crate) fn into_outcome(self) -> rows::Outcome {
        rows::Outcome {
            values: self.values.into_batch(),
            verdicts: self.verdicts,
        }
    }
}
