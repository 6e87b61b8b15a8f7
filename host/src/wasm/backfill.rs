//! A component as the code of a backfill.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::Handle;
use wasmtime::Store;

use super::backfill_bindings::BackfillPre;
use super::backfill_bindings::exports::whimbrel::migrate::rows::{
    Changed as WitChanged, Description, Order as WitOrder, Verdict as WitVerdict,
};
use super::bindings::whimbrel::migrate::types::{Error as WitError, TextForm};
use super::component::{ComponentMigration, Linked};
use super::convert;
use super::guest::Guest;
use super::trap::{Ending, explain};
use super::watch::Watch;
use crate::backfill::{
    Backfill, Change, Changed, Drops, Keep, Order, Spec, Transformed, Transformer, Verdict,
};
use crate::driver::recording::{Recording, Script};
use crate::driver::{Batch, Session};
use crate::migration::{Call, MigrationError};
use crate::printable;

/// The code of a backfill in a component. Each call has an instance of its own.
pub struct ComponentBackfill(Arc<ComponentMigration>);

impl ComponentBackfill {
    /// The backfill of a component that exports the world `backfill`.
    pub fn new(component: ComponentMigration) -> Self {
        Self(Arc::new(component))
    }

    async fn describe_as_told(&self, call: &Call) -> Result<Description, MigrationError> {
        let described = within(&self.0, call, async |store, linked| {
            let instance = linked.instantiate_async(&mut *store).await?;
            instance
                .whimbrel_migrate_rows()
                .call_describe(&mut *store)
                .await
        });
        described.await
    }
}

/// Runs one call in a fresh store, within the limits of a call.
async fn within<T>(
    component: &ComponentMigration,
    call: &Call,
    run: impl AsyncFnOnce(
        &mut Store<Guest>,
        &BackfillPre<Guest>,
    ) -> wasmtime::Result<Result<T, WitError>>,
) -> Result<T, MigrationError> {
    let (sandbox, linked) = component.ready()?;
    let Linked::Backfill(linked) = linked else {
        return Err(super::admission::refuse(
            "it is a migration and no backfill: its manifest says `transaction = \"batches\"`"
                .to_owned(),
        ));
    };
    let limits = component.limits();
    // It imports nothing that could reach a database; this one answers nothing.
    let nothing: Box<dyn Session> =
        Box::new(Recording::new(call.dialect, "", Script::default(), None));
    let canceller = nothing.canceller();
    let watch = Watch::new(call.cancel.clone(), &limits);
    let mut store = Guest::store(
        sandbox,
        call,
        limits,
        component.wasi(),
        &watch,
        nothing,
        None,
    );
    let entered = async {
        store.set_fuel(limits.fuel)?;
        run(&mut store, linked).await
    };
    let outcome = watch.over(entered, canceller.as_ref()).await;
    let guest = store.into_data();
    if let Some(verdict) = guest.decided() {
        return Err(verdict);
    }
    match outcome {
        Some(Ok(Ok(made))) => Ok(made),
        Some(Ok(Err(error))) => Err(explain(Ending::Error(Box::new(error)), &guest)),
        Some(Err(trap)) => Err(explain(Ending::Trap(trap), &guest)),
        None => Err(explain(Ending::Dropped, &guest)),
    }
}

/// Has a call compute on a thread of its own, so that whoever shares this one goes on meanwhile.
async fn apart<T: Send + 'static>(
    call: impl Future<Output = Result<T, MigrationError>> + Send + 'static,
) -> Result<T, MigrationError> {
    let runtime = Handle::current();
    let computing = tokio::task::spawn_blocking(move || runtime.block_on(call));
    match computing.await {
        Ok(outcome) => outcome,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The runtime ends.
            Err(_) => Err(MigrationError::Cancelled),
        },
    }
}

#[async_trait]
impl Backfill for ComponentBackfill {
    async fn describe(&self, call: &Call) -> Result<Spec, MigrationError> {
        Ok(spec(self.describe_as_told(call).await?))
    }

    async fn open(&self, call: &Call) -> Result<Box<dyn Transformer>, MigrationError> {
        let text = self.describe_as_told(call).await?.text;
        Ok(Box::new(Rows {
            component: Arc::clone(&self.0),
            call: call.clone(),
            text,
        }))
    }
}

fn spec(told: Description) -> Spec {
    Spec {
        table: told.table,
        alias: None,
        key: told.key,
        reads: told.reads,
        writes: told.writes,
        condition: told.condition,
        change: Change::Transform,
        order: match told.order {
            WitOrder::Ascending => Order::Ascending,
            WitOrder::Descending => Order::Descending,
        },
        changed: told.changed.map(|changed| match changed {
            WitChanged::Again => Changed::Again,
            WitChanged::Leave => Changed::Leave,
        }),
        keep: match told.keep_old_values {
            true => Keep::OldValues,
            false => Keep::Nothing,
        },
        drops: match told.may_drop {
            true => Drops::Rows,
            false => Drops::Never,
        },
        batch: told
            .batch_milliseconds
            .filter(|batch| *batch > 0)
            .map(|batch| Duration::from_millis(batch.into())),
        workers: told.workers.filter(|workers| (1..=256).contains(workers)),
    }
}

/// Makes new values by calls of a component.
struct Rows {
    component: Arc<ComponentMigration>,
    call: Call,
    text: TextForm,
}

#[async_trait]
impl Transformer for Rows {
    async fn transform(&mut self, rows: Batch) -> Result<Transformed, MigrationError> {
        let unfit =
            |error: crate::driver::DriverError| MigrationError::Unfinished(error.to_string());
        let given = convert::given(rows, self.text).map_err(unfit)?;
        let (component, call) = (Arc::clone(&self.component), self.call.clone());
        let made = apart(async move {
            let made = within(&component, &call, async |store, linked| {
                let instance = linked.instantiate_async(&mut *store).await?;
                instance
                    .whimbrel_migrate_rows()
                    .call_transform(&mut *store, &given)
                    .await
            });
            made.await
        });
        let made = made.await?;
        let verdicts = made.verdicts.into_iter().map(|verdict| match verdict {
            WitVerdict::Write => Verdict::Write,
            WitVerdict::Keep => Verdict::Keep,
            WitVerdict::Drop => Verdict::Drop,
            WitVerdict::Fail(reason) => Verdict::Fail(one_line(&reason)),
        });
        Ok(Transformed {
            verdicts: verdicts.collect(),
            values: convert::sent_batch(made.values).map_err(unfit)?,
        })
    }
}

/// What a guest gives as a reason, as it may be shown and kept.
fn one_line(reason: &str) -> String {
    const LONGEST: usize = 500;
    printable::line(reason).chars().take(LONGEST).collect()
}
