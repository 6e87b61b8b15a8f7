//! The data of a store: one guest during one call.

use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::component::ResourceTable;
use wasmtime::{Store, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::admission::Wasi;
use super::console::Console;
use super::loan::Loan;
use super::meter::Meter;
use super::runtime::Sandbox;
use super::wasi;
use super::watch::Watch;
use crate::capability::Limits;
use crate::driver::{ResultLimit, Session};
use crate::journal::Recording;
use crate::migration::{Call, MigrationError, Work};

/// Handles that an interpreter's runtime holds on WASI's streams and clocks.
const WASI_HANDLES: u32 = 64;

/// A log that the guest's own calls and the captured streams of its interpreter share.
pub(super) type SharedConsole = Arc<Mutex<Console>>;

/// One guest during one call.
pub(super) struct Guest {
    pub(super) call: Call,
    pub(super) limits: Limits,
    pub(super) loan: Loan,
    pub(super) table: ResourceTable,
    pub(super) meter: Meter,
    pub(super) watch: Arc<Watch>,
    console: SharedConsole,
    wasi: WasiCtx,
}

impl Guest {
    /// A fresh store for one call.
    pub(super) fn store(
        sandbox: &Sandbox,
        call: &Call,
        limits: Limits,
        kind: Wasi,
        watch: &Arc<Watch>,
        session: Box<dyn Session>,
        recording: Option<Recording>,
    ) -> Store<Self> {
        let console = Arc::new(Mutex::new(Console::new(Arc::clone(&call.listener), limits)));
        let handles = match kind {
            Wasi::Refused => limits.handles,
            Wasi::Inert => limits.handles.saturating_add(WASI_HANDLES),
        };
        let mut table = ResourceTable::new();
        table.set_max_capacity(handles as usize);
        let results = ResultLimit {
            rows: limits.result_rows,
            bytes: limits.result_bytes,
        };
        let guest = Self {
            call: call.clone(),
            limits,
            loan: Loan::new(session, results, limits.statements, recording),
            table,
            meter: Meter::new(limits.memory),
            watch: Arc::clone(watch),
            wasi: wasi::context(call, &console),
            console,
        };
        let mut store = Store::new(sandbox.engine(), guest);
        store.limiter(|guest| &mut guest.meter);
        store.set_hostcall_fuel(usize::try_from(limits.call_bytes).unwrap_or(usize::MAX));
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|store| match store.data().watch.check() {
            Some(_) => Err(wasmtime::Error::msg("the call was told to stop")),
            None => Ok(UpdateDeadline::Yield(1)),
        });
        store
    }

    /// What the call did, once the guest has returned `ok`.
    ///
    /// # Errors
    /// What the host decided meanwhile (a stop, a limit), or what the guest left undone.
    pub(super) async fn concluded(&mut self) -> Result<Work, MigrationError> {
        match self.decided() {
            Some(verdict) => Err(verdict),
            None => self.loan.conclude().await,
        }
    }

    /// What the call fails with, whatever the guest says: a stop, a flood, then a limit or a lost connection.
    pub(super) fn decided(&self) -> Option<MigrationError> {
        let stopped = self.watch.verdict();
        let flooded = || self.console().flooded().cloned();
        stopped
            .or_else(flooded)
            .or_else(|| self.loan.verdict().cloned())
    }

    /// The log.
    pub(super) fn console(&self) -> std::sync::MutexGuard<'_, Console> {
        self.console.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}
