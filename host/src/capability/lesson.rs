//! What migrations turn out to do when they are watched instead of judged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Access, Action, Capabilities, Capability, Columns, Pattern};

/// A record of accesses, shared by all that watch one migration. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Lesson(Arc<Mutex<BTreeSet<Access>>>);

impl Lesson {
    /// Notes an access. The default schema is left out of its name, as a request leaves it out.
    pub fn note(&self, access: &Access, default_schema: &str) {
        let mut access = access.clone();
        if access.object.schema.as_deref() == Some(default_schema) {
            access.object.schema = None;
        }
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(access);
    }

    /// The fewest and narrowest capabilities that cover all that was noted: each object by its name, its columns
    /// together.
    pub fn request(&self) -> Capabilities {
        let accesses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found: BTreeMap<(Action, Pattern), Columns> = BTreeMap::new();
        let writes = |access: &Access| {
            matches!(
                access.action,
                Action::Insert | Action::Update | Action::Delete
            )
        };
        for access in accesses.iter() {
            let mut action = access.action;
            if action == Action::Write {
                // Which of the three it was is known from elsewhere, or does not matter.
                if accesses
                    .iter()
                    .any(|other| other.object == access.object && writes(other))
                {
                    continue;
                }
                action = Action::Update;
            }
            found
                .entry((action, Pattern::exactly(&access.object)))
                .and_modify(|columns| columns.join(&access.columns))
                .or_insert_with(|| access.columns.clone());
        }
        found
            .into_iter()
            .map(|((action, object), columns)| Capability {
                action,
                object,
                columns,
            })
            .collect()
    }
}

impl PartialEq for Lesson {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Lesson {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::{Grant, Name, Reach};

    #[test]
    fn a_request_covers_what_was_seen_and_no_more() {
        let lesson = Lesson::default();
        let grant = Grant {
            reach: Reach::Learning(lesson.clone()),
            ..Grant::everything()
        };
        let users = || Name::new("public", "users");
        for access in [
            Access::new(Action::Select, users()).with_columns(Columns::some(["id"])),
            Access::new(Action::Select, Name::bare("users")).with_columns(Columns::some(["name"])),
            Access::new(Action::Write, users()),
            Access::new(Action::Update, users()).with_columns(Columns::some(["name"])),
            Access::new(Action::Write, Name::new("app", "log")),
        ] {
            assert!(grant.check(&access, "public").is_ok());
        }
        let texts: Vec<String> = lesson.request().iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "select users(id, name)",
                "update users(name)",
                "update app.log"
            ]
        );
    }
}
