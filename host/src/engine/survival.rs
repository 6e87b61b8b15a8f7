//! Which steps of a failed run are in effect for good.
//!
//! All commits of a run but the last are deferred: the server answers before they are on its disk, and brings them
//! there within a second, in their order. So a server that goes down in the middle of a run may lose the last of the
//! steps that it has committed, each as a whole with its records. A failure must not call those done.

use std::collections::BTreeSet;

use super::step::Failed;
use super::{Aftermath, Engine, Progress};
use crate::driver::Session;
use crate::event::Event;
use crate::migration::Level;
use crate::plan::Plan;
use crate::revision::RevisionId;

impl Engine {
    /// Waits until the steps that were done are durable; where the connection is gone, finds out over another one
    /// which of them are, and forgets the others.
    pub(super) async fn make_sure(
        &self,
        session: &mut dyn Session,
        plan: &Plan,
        progress: &mut Progress,
        (cause, aftermath): Failed,
    ) -> Failed {
        let Some(first) = progress.done.first() else {
            return (cause, aftermath);
        };
        if self.history.flush(session).await.is_ok() {
            return (cause, aftermath);
        }
        let unknown = Aftermath::UnknownFrom(first.revision.clone());
        let rows = match aftermath {
            // It was asked for long enough.
            Aftermath::Unknown(_) => None,
            _ => self.ask_again().await,
        };
        let at_most = match aftermath {
            Aftermath::Committed(_) => progress.done.len() + 1,
            _ => progress.done.len(),
        };
        let survived = rows.and_then(|rows| survived(plan, at_most, &rows));
        let Some(survived) = survived else {
            progress.done.clear();
            return (cause, unknown);
        };
        if survived < progress.done.len() {
            let lost = &progress.done[survived].revision;
            self.observer.event(&Event::Log {
                revision: lost,
                level: Level::Warn,
                message: "the server went down before this and what followed it was on its disk: it is undone",
            });
        }
        let aftermath = match aftermath {
            Aftermath::Committed(id) if survived < at_most => Aftermath::RolledBack(id),
            other => other,
        };
        progress.done.truncate(survived);
        (cause, aftermath)
    }
}

/// After how many steps of a plan, at most `at_most`, the version table has these rows.
fn survived(plan: &Plan, at_most: usize, rows: &[String]) -> Option<usize> {
    let rows: BTreeSet<&str> = rows.iter().map(String::as_str).collect();
    let mut expected: BTreeSet<&str> = plan.from.iter().map(RevisionId::as_str).collect();
    let mut found = (expected == rows).then_some(0);
    for (at, step) in plan.steps.iter().take(at_most).enumerate() {
        for removed in &step.removes {
            expected.remove(removed.as_str());
        }
        expected.extend(step.adds.iter().map(|added| added.as_str()));
        if expected == rows {
            found = Some(at + 1);
        }
    }
    found
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::plan::Step;
    use crate::revision::Direction;

    fn id(name: &str) -> RevisionId {
        RevisionId::new(name).unwrap()
    }

    fn step(removes: &[&str], adds: &[&str]) -> Step {
        Step {
            revision: id(adds[0]),
            direction: Direction::Upgrade,
            removes: removes.iter().copied().map(id).collect(),
            adds: adds.iter().copied().map(id).collect(),
        }
    }

    #[test]
    fn the_rows_tell_how_far_a_run_came() {
        let steps = vec![
            step(&[], &["a"]),
            step(&["a"], &["b"]),
            step(&[], &["x"]),
            step(&["b", "x"], &["m"]),
        ];
        let plan = Plan {
            direction: Direction::Upgrade,
            from: Vec::new(),
            to: vec![id("m")],
            steps,
            assumed: None,
        };
        let survived = |at_most, rows: &[&str]| {
            let rows: Vec<String> = rows.iter().copied().map(String::from).collect();
            survived(&plan, at_most, &rows)
        };
        assert_eq!(survived(4, &[]), Some(0));
        assert_eq!(survived(4, &["b"]), Some(2));
        assert_eq!(survived(4, &["x", "b"]), Some(3));
        assert_eq!(survived(4, &["m"]), Some(4));
        assert_eq!(survived(3, &["m"]), None, "further than it can have come");
        assert_eq!(survived(4, &["z"]), None);
    }
}
