//! What migrations have read from a database, kept so that it can be read again without one.
//!
//! A tape has a chapter for each call of a migration, with the answers in the order in which they were given. Whoever plays
//! a chapter must ask the same in the same order: the same code, told the same, does.

mod file;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

pub use file::TapeError;

use super::{Batch, Column, Dialect, DriverError, Value};
use crate::digest::Digest;

/// A record of what was read. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Tape {
    dialect: Dialect,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    chapters: Vec<Chapter>,
    /// The chapter that is open, and how many of its answers were played.
    open: Option<(usize, usize)>,
}

/// What one call of a migration was answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Chapter {
    title: String,
    answers: Vec<Answer>,
}

/// One answer of a database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Answer {
    /// A statement that changes something touched so many rows.
    Changed {
        /// The statement.
        question: Question,
        /// The rows that it touched.
        rows: u64,
    },
    /// A statement that reads returned rows.
    Rows {
        /// The statement.
        question: Question,
        /// The columns.
        columns: Vec<Column>,
        /// The rows.
        rows: Vec<Vec<Value>>,
        /// What another database must answer to the [proof](super::proof) of this; empty where there is none.
        proof: String,
    },
    /// A cursor was opened.
    Cursor {
        /// The statement.
        question: Question,
        /// The columns.
        columns: Vec<Column>,
        /// As of rows.
        proof: String,
    },
    /// The next rows of a cursor.
    Fetched {
        /// Which, from 0 in the order in which they were opened.
        cursor: u32,
        /// The rows; none at the end.
        rows: Vec<Vec<Value>>,
    },
}

/// A statement, as an answer remembers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    sql: String,
    /// The SHA-256 of the parameters.
    parameters: String,
}

impl Question {
    /// What was asked.
    pub(crate) fn new(sql: &str, params: &[Value]) -> Self {
        let values: Vec<String> = params.iter().map(|value| format!("{value:?}")).collect();
        let digest = Digest::of_parts(values.iter().map(String::as_bytes));
        Self {
            sql: sql.to_owned(),
            parameters: digest.to_string(),
        }
    }

    /// What was asked once for each row of a batch.
    pub(crate) fn of_batch(sql: &str, batch: &Batch) -> Self {
        let rows = (0..batch.len()).flat_map(|at| batch.row(at));
        let values: Vec<String> = std::iter::once(format!("{} columns", batch.width()))
            .chain(rows.map(|value| format!("{value:?}")))
            .collect();
        let digest = Digest::of_parts(values.iter().map(String::as_bytes));
        Self {
            sql: sql.to_owned(),
            parameters: digest.to_string(),
        }
    }
}

impl std::fmt::Display for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The begin of a digest tells one list of parameters from another.
        let parameters = self.parameters.get(..12).unwrap_or(&self.parameters);
        write!(f, "`{}` with parameters {parameters}", self.sql)
    }
}

impl Answer {
    fn question(&self) -> Option<&Question> {
        match self {
            Self::Changed { question, .. }
            | Self::Rows { question, .. }
            | Self::Cursor { question, .. } => Some(question),
            Self::Fetched { .. } => None,
        }
    }
}

impl Tape {
    /// An empty one, for answers of such a database.
    pub fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            state: Arc::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a chapter, which takes the place of one with the same title.
    pub fn record(&self, title: &str) {
        let mut state = self.state();
        state.chapters.retain(|chapter| chapter.title != title);
        state.chapters.push(Chapter {
            title: title.to_owned(),
            answers: Vec::new(),
        });
        state.open = Some((state.chapters.len() - 1, 0));
    }

    /// Opens a chapter to be played; one that is not there has no answers.
    pub fn play(&self, title: &str) {
        let mut state = self.state();
        let at = state
            .chapters
            .iter()
            .position(|chapter| chapter.title == title);
        state.open = at.map(|at| (at, 0));
    }

    /// Adds an answer to the chapter that is open.
    pub(crate) fn push(&self, answer: Answer) {
        let state = &mut *self.state();
        if let Some((at, _)) = state.open
            && let Some(chapter) = state.chapters.get_mut(at)
        {
            chapter.answers.push(answer);
        }
    }

    /// The next answer of the chapter that is open, which must be one to `question`; none for one of a cursor.
    ///
    /// # Errors
    /// [`DriverError::Unrecorded`].
    pub(crate) fn next(&self, question: Option<&Question>) -> Result<Answer, DriverError> {
        let unrecorded = |reason: &str| DriverError::Unrecorded(reason.to_owned());
        let state = &mut *self.state();
        let Some((at, played)) = &mut state.open else {
            return Err(unrecorded("it has nothing of this migration as it is now"));
        };
        let answers = state
            .chapters
            .get(*at)
            .map_or(&[][..], |chapter| &chapter.answers);
        let Some(answer) = answers.get(*played) else {
            return Err(unrecorded("the migration asks for more than it did then"));
        };
        if answer.question() != question {
            return Err(unrecorded("the migration asked for something else then"));
        }
        *played += 1;
        Ok(answer.clone())
    }
}
