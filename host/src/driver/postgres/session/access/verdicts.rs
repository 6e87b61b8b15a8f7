//! Verdicts that were given, for statements that come again.

use std::collections::HashMap;

use crate::sql::access::{Change, Definitions};

/// The most that are kept of each kind.
const CAPACITY: usize = 1024;

/// Longer statements hold data and do not come again.
const MAX_KEPT_TEXT: usize = 16 * 1024;

/// That a statement may run, and what it changes.
#[derive(Debug, Clone)]
pub(super) struct Verdict {
    pub(super) changes: Vec<Change>,
    pub(super) definitions: Definitions,
}

/// The statements that may run.
#[derive(Default)]
pub(super) struct Verdicts {
    texts: HashMap<String, Verdict>,
    shapes: HashMap<String, Verdict>,
}

impl Verdicts {
    pub(super) fn of_text(&self, sql: &str) -> Option<Verdict> {
        self.texts.get(sql).cloned()
    }

    pub(super) fn of_shape(&self, shape: &str) -> Option<Verdict> {
        self.shapes.get(shape).cloned()
    }

    /// Keeps a verdict: by the shape where that tells enough, or else by the text. What changes definitions is not
    /// kept, since nothing that was known before holds after it.
    pub(super) fn keep(&mut self, sql: &str, shape: Option<String>, verdict: &Verdict) {
        if verdict.definitions != Definitions::Kept || sql.len() > MAX_KEPT_TEXT {
            return;
        }
        if self.texts.len() >= CAPACITY {
            self.texts.clear();
        }
        self.texts.insert(sql.to_owned(), verdict.clone());
        if let Some(shape) = shape {
            if self.shapes.len() >= CAPACITY {
                self.shapes.clear();
            }
            self.shapes.insert(shape, verdict.clone());
        }
    }

    pub(super) fn clear(&mut self) {
        self.texts.clear();
        self.shapes.clear();
    }
}
