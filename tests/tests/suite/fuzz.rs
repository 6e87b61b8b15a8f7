//! What must hold for any input of Whimbrel's readers, on mutated seeds for a moment; `cargo xtask fuzz` runs them for long.

use std::time::Duration;

use whimbrel_fuzz::{TARGETS, run};
use whimbrel_tests::root;

#[test]
fn what_must_hold_for_any_input_holds_for_mutated_seeds() {
    for target in TARGETS {
        let report = run(target, Duration::from_secs(2), 1, root());
        assert!(report.failure.is_none(), "{}: {report}", target.name);
        assert!(report.executions > 20, "{}: {report}", target.name);
    }
}
