//! What a statement does to those who use the database meanwhile: which tables it locks, how and for how long, and what
//! it takes away for good. Read from its text; no server is asked.
//!
//! PostgreSQL's statements are read by its own parser. What it says of locks is what the documentation and the sources
//! of PostgreSQL 13 to 18 say, and the tests compare it with what servers do.

mod lock;
mod loss;
#[cfg(feature = "parser")]
mod postgres;
mod retype;
mod sqlite;

use serde::Serialize;
use thiserror::Error;

pub use lock::{Advice, Blocks, ForeignKeys, Lock, LockMode, Part, Relation, Toll};
pub use loss::{Harm, Loss};
pub use retype::{ColumnType, Retype};

use crate::driver::Dialect;

/// The longest statement that is read, in bytes: what is larger holds data.
pub const LONGEST: usize = 1 << 20;

/// What a statement does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Effects {
    /// The tables that it locks, each once, by the strongest lock. On SQLite, which has one lock for the whole
    /// database, those that it changes.
    pub locks: Vec<Lock>,
    /// What it takes away.
    pub losses: Vec<Loss>,
    /// The relations that it makes, which nobody else sees before the commit.
    pub creates: Vec<Relation>,
    /// The columns that it gives another type, where it does nothing else.
    pub retypes: Vec<Retype>,
    /// Whether it can run in a transaction.
    pub transaction: InTransaction,
    /// Whether all that it does can be read from it.
    pub sight: Sight,
}

/// Whether a statement can run in a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum InTransaction {
    /// It can.
    #[default]
    Allowed,
    /// The database refuses it there.
    Refused,
}

/// Whether all that a statement does can be read from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Sight {
    /// It can.
    #[default]
    Clear,
    /// It runs code or touches objects that only the server knows.
    Hidden,
}

/// Why nothing is known of a statement.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unread {
    /// The parser does not take it.
    #[error("{0}")]
    Syntax(String),
    /// It is longer than what is read.
    #[error("it has {bytes} bytes; only statements up to {LONGEST} are read")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// This program was built without the dialect's parser.
    #[error("this program was built without a parser for {0}")]
    NoParser(Dialect),
}

impl Effects {
    /// What one statement of a dialect does. It uses the stack as deep as the statement is nested: call it on a thread
    /// of the usual size, and never on the stack of a guest.
    ///
    /// # Errors
    /// When the statement cannot be read.
    pub fn of(sql: &str, dialect: Dialect) -> Result<Self, Unread> {
        if sql.len() > LONGEST {
            return Err(Unread::TooLong { bytes: sql.len() });
        }
        match dialect {
            Dialect::Sqlite => Ok(sqlite::effects(sql)),
            #[cfg(feature = "parser")]
            Dialect::Postgresql => postgres::effects(sql),
            #[cfg(not(feature = "parser"))]
            Dialect::Postgresql => Err(Unread::NoParser(dialect)),
        }
    }

    /// Adds a lock, or makes the one that is there stronger and longer.
    fn lock(&mut self, lock: Lock) {
        let same = |there: &&mut Lock| there.relation == lock.relation && there.part == lock.part;
        match self.locks.iter_mut().find(same) {
            Some(there) => {
                there.mode = there.mode.max(lock.mode);
                there.foreign_keys.extend(lock.foreign_keys);
                if lock.toll > there.toll {
                    there.toll = lock.toll;
                    there.advice = lock.advice;
                }
            }
            None => self.locks.push(lock),
        }
    }

    fn lose(&mut self, harm: Harm, what: impl Into<String>) {
        self.losses.push(Loss {
            harm,
            what: what.into(),
        });
    }

    /// Makes less of it where the columns that get another type have one of the same binary form now. `current` tells what
    /// the database knows of a column.
    pub fn settle(&mut self, current: impl Fn(&Retype) -> Option<ColumnType>) {
        let mut toll = Toll::Instant;
        for retype in &self.retypes {
            match current(retype) {
                Some(column) if retype.keeps_the_form_of(&column) => {
                    toll = toll.max(column.toll());
                }
                _ => return,
            }
        }
        if !self.retypes.is_empty() {
            self.losses.clear();
            for lock in &mut self.locks {
                lock.toll = toll;
                lock.advice = None;
            }
        }
    }

    /// The longest that it does.
    pub fn toll(&self) -> Toll {
        let tolls = self.locks.iter().map(|lock| lock.toll);
        tolls.max().unwrap_or(Toll::Instant)
    }
}

#[cfg(test)]
mod tests;
