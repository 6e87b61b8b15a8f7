//! What a statement takes away for good.

use serde::Serialize;

/// Something that is gone after a statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Loss {
    /// How much it hurts.
    pub harm: Harm,
    /// What happens, as a sentence without its subject: `drops table a`.
    pub what: String,
}

/// How much a loss hurts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Harm {
    /// A definition goes, such as an index or a view: a statement brings it back.
    Definition,
    /// Data may go: only a backup brings it back.
    Data,
}
