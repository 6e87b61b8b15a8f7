//! A journal on disk: a line that says what it is, then lines of JSON for each call, what it asked for, and its end.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::sync::{Arc, Mutex, PoisonError};

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::exchange::{Answered, Asked, Ending, Exchange, Told};
use crate::migration::{Failure, MigrationError};

const FORM: u32 = 1;
/// How large a journal gets, in bytes; the last answer may go beyond it by its own size. What comes after is not kept,
/// and the journal says so.
const MAX_BYTES: u64 = 1 << 30;

#[derive(Serialize, Deserialize)]
struct Header {
    /// The form of the file.
    whimbrel_journal: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Line {
    Call(Box<Told>),
    Exchange(Exchange),
    End(Ending),
    /// The journal has reached this size, in bytes, and goes no further.
    Full(u64),
}

/// Why a journal cannot be kept or read.
#[derive(Debug, Error)]
pub enum JournalError {
    /// The file cannot be read or written.
    #[error("cannot {verb} the journal {path}")]
    File {
        /// `read` or `write`.
        verb: &'static str,
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is not a journal, or damaged.
    #[error("{path}:{line} is not a line of a journal")]
    Form {
        /// The file.
        path: Utf8PathBuf,
        /// The line.
        line: usize,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// It is of another version of the program.
    #[error("{path} is a journal in form {found}; this version of Whimbrel reads form {FORM}")]
    Other {
        /// The file.
        path: Utf8PathBuf,
        /// Its form.
        found: u32,
    },
}

/// Where what components are told and answered is written down. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Journal {
    path: Utf8PathBuf,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    file: File,
    written: u64,
    is_full: bool,
}

impl Journal {
    /// Begins a new file, which only its owner can read: it is going to hold rows of the database.
    ///
    /// # Errors
    /// [`JournalError::File`]; also when the file is there already.
    pub fn create(path: &Utf8Path) -> Result<Self, JournalError> {
        let failed = |source| JournalError::File {
            verb: "write",
            path: path.to_owned(),
            source,
        };
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let state = State {
            file: options.open(path).map_err(failed)?,
            written: 0,
            is_full: false,
        };
        let journal = Self {
            path: path.to_owned(),
            state: Arc::new(Mutex::new(state)),
        };
        let header = Header {
            whimbrel_journal: FORM,
        };
        journal.write(&header).map_err(failed)?;
        Ok(journal)
    }

    /// Begins to write down a call.
    pub(crate) fn record(&self, told: Told) -> Recording {
        let mut recording = Recording {
            journal: self.clone(),
            failure: None,
        };
        recording.write(&Line::Call(Box::new(told)));
        recording
    }

    /// Writes a line at once, so that it is there whatever becomes of this process.
    fn write(&self, line: &impl Serialize) -> io::Result<()> {
        let state = &mut *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_full {
            return Ok(());
        }
        state.is_full = state.written >= MAX_BYTES;
        let mut text = match state.is_full {
            true => serde_json::to_vec(&Line::Full(state.written))?,
            false => serde_json::to_vec(line)?,
        };
        text.push(b'\n');
        state.file.write_all(&text)?;
        state.written += text.len() as u64;
        Ok(())
    }
}

/// A call that is being written down.
pub(crate) struct Recording {
    journal: Journal,
    failure: Option<io::Error>,
}

impl Recording {
    /// Writes down what was asked for and answered.
    pub(crate) fn exchange(&mut self, asked: Asked, answered: Answered) {
        self.write(&Line::Exchange(Exchange { asked, answered }));
    }

    /// Writes down how it ended.
    ///
    /// # Errors
    /// [`MigrationError::Failed`] when any of the call could not be written: whoever wants a journal cannot do without.
    pub(crate) fn end(mut self, ending: Ending) -> Result<(), MigrationError> {
        self.write(&Line::End(ending));
        match self.failure {
            None => Ok(()),
            Some(error) => Err(MigrationError::Failed(Box::new(Failure {
                message: format!(
                    "the journal {} cannot be written: {error}",
                    self.journal.path
                ),
                hint: Some("make room for it, or run without a journal".to_owned()),
                ..Failure::default()
            }))),
        }
    }

    fn write(&mut self, line: &Line) {
        if self.failure.is_none() {
            self.failure = self.journal.write(line).err();
        }
    }
}

/// One call of a component, as a journal has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// What it was told.
    pub told: Told,
    /// What it asked for, and was answered.
    pub exchanges: Vec<Exchange>,
    /// How it ended; none where the journal has no end of it.
    pub ending: Option<Ending>,
}

/// Reads a journal.
///
/// # Errors
/// A [`JournalError`]. A last line that is cut short counts as not written: the process may have ended in it.
pub fn load(path: &Utf8Path) -> Result<Vec<Recorded>, JournalError> {
    let failed = |source| JournalError::File {
        verb: "read",
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let mut reader = BufReader::new(file);
    let mut calls: Vec<Recorded> = Vec::new();
    let mut text = Vec::new();
    for line in 1.. {
        text.clear();
        if reader.read_until(b'\n', &mut text).map_err(failed)? == 0 {
            break;
        }
        let form = |source| JournalError::Form {
            path: path.to_owned(),
            line,
            source,
        };
        if line == 1 {
            let header: Header = serde_json::from_slice(&text).map_err(form)?;
            if header.whimbrel_journal != FORM {
                return Err(JournalError::Other {
                    path: path.to_owned(),
                    found: header.whimbrel_journal,
                });
            }
            continue;
        }
        if !text.ends_with(b"\n") {
            break;
        }
        let call = calls.last_mut().filter(|call| call.ending.is_none());
        let stray = || serde::de::Error::custom("it belongs to no call");
        match serde_json::from_slice(&text).map_err(form)? {
            Line::Call(told) => calls.push(Recorded {
                told: *told,
                exchanges: Vec::new(),
                ending: None,
            }),
            Line::Exchange(exchange) => call.ok_or_else(|| form(stray()))?.exchanges.push(exchange),
            Line::End(ending) => call.ok_or_else(|| form(stray()))?.ending = Some(ending),
            Line::Full(_) => break,
        }
    }
    Ok(calls)
}
