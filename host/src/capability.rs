//! What a migration asks for, what it was granted, and what its statements do: plain data, without a database.
//!
//! A [`Capability`] speaks of patterns, an [`Access`] of one object. A [`Grant`] is what one call may do; it is asked of
//! each access. Where statements are judged, each access must be covered as a whole by one capability, or its columns by
//! several.
//!
//! ```
//! use whimbrel::capability::{Capabilities, Capability};
//!
//! let asked: Capability = "update users(name, email)".parse()?;
//! assert_eq!(asked.to_string(), "update users(email, name)");
//! let granted: Capabilities = ["update users", "create table tag_*"].into_iter().map(str::parse).collect::<Result<_, _>>()?;
//! assert!(granted.cover(&asked));
//! # Ok::<(), whimbrel::capability::InvalidCapability>(())
//! ```

mod access;
mod action;
mod grant;
mod lesson;
pub(crate) mod limits;
mod parse;
mod pattern;
mod request;
mod set;
#[cfg(test)]
mod tests;

use std::fmt;

pub use access::{Access, Columns, Name};
pub use action::{Action, Code, Kind};
pub use grant::{Grant, Layer, Layers, NotGranted, Reach};
pub use lesson::Lesson;
pub use limits::Limits;
pub use parse::InvalidCapability;
pub use pattern::Pattern;
pub use request::Request;
pub use set::Capabilities;

/// The right to do one kind of thing to the objects that a pattern names.
///
/// Its text is the action and the object: `select users(id, email)`, `create table tag_*`, `code trigger on users`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capability {
    /// What may be done.
    pub action: Action,
    /// To which objects.
    pub object: Pattern,
    /// To which of their columns, where the action has some.
    pub columns: Columns,
}

impl Capability {
    /// Whether it allows all of what another one allows.
    pub fn covers(&self, other: &Self) -> bool {
        self.action == other.action
            && self.object.covers(&other.object)
            && self.columns.cover(&other.columns)
    }

    /// Whether it speaks of what an access does, on any of its columns. `default_schema` is that of names without one.
    pub fn concerns(&self, access: &Access, default_schema: &str) -> bool {
        self.action.allows(access.action) && self.object.matches(&access.object, default_schema)
    }

    /// The same with all names in lower case, as SQLite compares them.
    pub fn in_lower_case(&self) -> Self {
        let columns = match &self.columns {
            Columns::All => Columns::All,
            Columns::Some(names) => {
                Columns::some(names.iter().map(|name| name.to_ascii_lowercase()))
            }
        };
        Self {
            action: self.action,
            object: self.object.in_lower_case(),
            columns,
        }
    }

    /// Whether both speak of some object in common.
    pub fn meets(&self, other: &Self) -> bool {
        self.action == other.action
            && self.object.meets(&other.object)
            && self.columns.meet(&other.columns)
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.action, self.object, self.columns)
    }
}
