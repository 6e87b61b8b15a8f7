//! Counts what a guest allocates, over all of its memories and tables together.

use wasmtime::ResourceLimiter;

const MAX_TABLE_ELEMENTS: usize = 1_000_000;
const MAX_INSTANCES: usize = 256;
const MAX_TABLES: usize = 256;
const MAX_MEMORIES: usize = 64;

/// The meter of one store.
pub(super) struct Meter {
    memory_left: usize,
    table_elements_left: usize,
    denied: bool,
}

impl Meter {
    /// A meter that lets linear memories grow to `memory` bytes in sum.
    pub(super) fn new(memory: u64) -> Self {
        Self {
            memory_left: usize::try_from(memory).unwrap_or(usize::MAX),
            table_elements_left: MAX_TABLE_ELEMENTS,
            denied: false,
        }
    }

    /// Whether the guest ever asked for more memory than it may have.
    pub(super) fn denied(&self) -> bool {
        self.denied
    }
}

fn take(left: &mut usize, current: usize, desired: usize) -> bool {
    match left.checked_sub(desired.saturating_sub(current)) {
        Some(rest) => {
            *left = rest;
            true
        }
        None => false,
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let granted = take(&mut self.memory_left, current, desired);
        self.denied |= !granted;
        Ok(granted)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(take(&mut self.table_elements_left, current, desired))
    }

    fn instances(&self) -> usize {
        MAX_INSTANCES
    }

    fn tables(&self) -> usize {
        MAX_TABLES
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES
    }
}
