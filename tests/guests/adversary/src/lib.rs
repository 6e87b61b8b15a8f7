//! A guest that does what it must not. The parameter `behaviour` says what; the parameter `sql` is the statement of
//! those that run one; the statement of the parameter `first`, if there is one, runs before anything else, so that
//! there is something to undo.

mod behaviour;

wit_bindgen::generate!({ path: "../../../wit", world: "migration" });

use whimbrel::migrate::{context, log, sql, types};

struct Adversary;

impl Guest for Adversary {
    fn upgrade() -> Result<(), types::Error> {
        std::panic::set_hook(Box::new(|panic| {
            log::write(log::Level::Error, &panic.to_string());
        }));
        if let Some(first) = text("first") {
            sql::execute(&first, &[])?;
        }
        behaviour::run(&text("behaviour").unwrap_or_default())
    }

    fn downgrade() -> Result<(), types::Error> {
        Self::upgrade()
    }
}

/// A parameter whose JSON is a plain string without escapes.
fn text(name: &str) -> Option<String> {
    Some(context::parameter(name)?.trim_matches('"').to_owned())
}

export!(Adversary);
