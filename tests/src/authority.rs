//! In whose name a test's statements run.

use std::sync::Arc;

use whimbrel::capability::Grant;
use whimbrel::driver::Authority;

/// A component that was granted everything.
pub fn as_guest() -> Authority {
    Authority::Guest(Arc::new(Grant::everything()))
}

/// A SQL file without a policy.
pub fn as_file() -> Authority {
    Authority::File(Arc::new(Grant::everything()))
}
