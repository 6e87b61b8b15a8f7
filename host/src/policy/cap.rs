//! The most that a call may use, by the operator.

use std::time::Duration;

use serde::Deserialize;

use crate::capability::{Limits, limits};

/// Upper bounds of limits; none where nothing is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Cap {
    /// Bytes of memory.
    #[serde(deserialize_with = "limits::some_size")]
    pub memory: Option<u64>,
    /// Units of computing.
    pub fuel: Option<u64>,
    /// The time of a call.
    #[serde(deserialize_with = "limits::some_duration")]
    pub time: Option<Duration>,
    /// Statements of a call.
    pub statements: Option<u64>,
    /// Rows that a call adds, changes or removes.
    pub rows_written: Option<u64>,
    /// Rows of a result.
    pub result_rows: Option<u64>,
    /// Bytes of a result.
    #[serde(deserialize_with = "limits::some_size")]
    pub result_bytes: Option<u64>,
    /// Bytes that one call of the host may carry.
    #[serde(deserialize_with = "limits::some_size")]
    pub call_bytes: Option<u64>,
    /// Cursors and savepoints at once.
    pub handles: Option<u32>,
    /// Lines of log.
    pub log_lines: Option<u64>,
    /// Bytes of log.
    #[serde(deserialize_with = "limits::some_size")]
    pub log_bytes: Option<u64>,
}

impl Cap {
    /// The smaller of each.
    pub fn apply(&self, limits: Limits) -> Limits {
        fn lower<T: Ord>(limit: T, cap: Option<T>) -> T {
            match cap {
                Some(cap) => cap.min(limit),
                None => limit,
            }
        }
        Limits {
            memory: lower(limits.memory, self.memory),
            fuel: lower(limits.fuel, self.fuel),
            time: lower(limits.time, self.time),
            result_rows: lower(limits.result_rows, self.result_rows),
            statements: lower(limits.statements, self.statements),
            rows_written: lower(limits.rows_written, self.rows_written),
            result_bytes: lower(limits.result_bytes, self.result_bytes),
            call_bytes: lower(limits.call_bytes, self.call_bytes),
            handles: lower(limits.handles, self.handles),
            log_lines: lower(limits.log_lines, self.log_lines),
            log_bytes: lower(limits.log_bytes, self.log_bytes),
        }
    }
}
