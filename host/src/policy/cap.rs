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
}

impl Cap {
    /// The smaller of each.
    pub fn apply(&self, mut limits: Limits) -> Limits {
        fn lower<T: Ord + Copy>(limit: &mut T, cap: Option<T>) {
            *limit = cap.map_or(*limit, |cap| cap.min(*limit));
        }
        lower(&mut limits.memory, self.memory);
        lower(&mut limits.fuel, self.fuel);
        lower(&mut limits.time, self.time);
        lower(&mut limits.statements, self.statements);
        lower(&mut limits.rows_written, self.rows_written);
        lower(&mut limits.result_rows, self.result_rows);
        lower(&mut limits.result_bytes, self.result_bytes);
        limits
    }
}
