//! A tape on disk: a line that says what it is, then a line of JSON for each chapter.

use std::fs::OpenOptions;
use std::io::Write as _;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Chapter, State, Tape};
use crate::driver::Dialect;

const FORM: u32 = 1;

/// The first line.
#[derive(Serialize, Deserialize)]
struct Header {
    /// The form of the file.
    whimbrel_record: u32,
    dialect: String,
}

/// Why a record cannot be kept or read.
#[derive(Debug, Error)]
pub enum TapeError {
    /// The file cannot be read or written.
    #[error("cannot {verb} the record {path}")]
    File {
        /// `read` or `write`.
        verb: &'static str,
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is not a record, or one that cannot be read.
    #[error("{path}:{line} is not a record of a dry run")]
    Form {
        /// The file.
        path: Utf8PathBuf,
        /// The line.
        line: usize,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// It is one of another database, or of another version of the program.
    #[error("{path} is a record of {found}, not of {wanted}")]
    Other {
        /// The file.
        path: Utf8PathBuf,
        /// What it is.
        found: String,
        /// What was looked for.
        wanted: String,
    },
}

fn name(form: u32, dialect: &str) -> String {
    format!("{dialect} in form {form}")
}

impl Tape {
    /// Writes it to a new file, which only its owner can read: it holds rows of the database.
    ///
    /// # Errors
    /// [`TapeError::File`]; also when the file is there already.
    pub fn save(&self, path: &Utf8Path) -> Result<(), TapeError> {
        let failed = |source: std::io::Error| TapeError::File {
            verb: "write",
            path: path.to_owned(),
            source,
        };
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = std::io::BufWriter::new(options.open(path).map_err(failed)?);
        let header = Header {
            whimbrel_record: FORM,
            dialect: self.dialect.name().to_owned(),
        };
        let mut line = |text: serde_json::Result<String>| {
            writeln!(file, "{}", text.map_err(std::io::Error::from)?)
        };
        line(serde_json::to_string(&header)).map_err(failed)?;
        for chapter in &self.state().chapters {
            line(serde_json::to_string(chapter)).map_err(failed)?;
        }
        file.flush().map_err(failed)
    }

    /// Reads what [`Tape::save`] has written for such a database.
    ///
    /// # Errors
    /// [`TapeError`].
    pub fn load(path: &Utf8Path, dialect: Dialect) -> Result<Self, TapeError> {
        let text = std::fs::read_to_string(path).map_err(|source| TapeError::File {
            verb: "read",
            path: path.to_owned(),
            source,
        })?;
        let form = |line| {
            move |source| TapeError::Form {
                path: path.to_owned(),
                line,
                source,
            }
        };
        let mut lines = text.lines();
        let header: Header =
            serde_json::from_str(lines.next().unwrap_or_default()).map_err(form(1))?;
        let found = name(header.whimbrel_record, &header.dialect);
        let wanted = name(FORM, dialect.name());
        if found != wanted {
            return Err(TapeError::Other {
                path: path.to_owned(),
                found,
                wanted,
            });
        }
        let mut state = State::default();
        for (at, line) in lines.enumerate() {
            let chapter: Chapter = serde_json::from_str(line).map_err(form(at + 2))?;
            state.chapters.push(chapter);
        }
        let tape = Self::new(dialect);
        *tape.state() = state;
        Ok(tape)
    }
}
