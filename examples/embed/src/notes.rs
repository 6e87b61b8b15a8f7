//! What the program is about.

use anyhow::{Result, ensure};
use rusqlite::{Connection, Row};

/// One note.
pub(crate) struct Note {
    pub(crate) id: i64,
    pub(crate) text: String,
}

/// The notes of a database that is up to date.
pub(crate) struct Notes(Connection);

impl Notes {
    pub(crate) fn open(path: &str) -> Result<Self> {
        Ok(Self(Connection::open(path)?))
    }

    pub(crate) fn add(&self, text: &str) -> Result<i64> {
        self.0
            .execute("INSERT INTO notes (text) VALUES (?1)", [text])?;
        Ok(self.0.last_insert_rowid())
    }

    pub(crate) fn remove(&self, id: i64) -> Result<()> {
        let removed = self.0.execute("DELETE FROM notes WHERE id = ?1", [id])?;
        ensure!(removed == 1, "there is no note {id}");
        Ok(())
    }

    pub(crate) fn all(&self) -> Result<Vec<Note>> {
        let mut statement = self.0.prepare("SELECT id, text FROM notes ORDER BY id")?;
        let notes = statement.query_map([], note)?;
        Ok(notes.collect::<rusqlite::Result<_>>()?)
    }

    pub(crate) fn search(&self, words: &str) -> Result<Vec<Note>> {
        let mut statement = self.0.prepare(
            "SELECT rowid, text FROM notes_index WHERE notes_index MATCH ?1 ORDER BY rank",
        )?;
        let notes = statement.query_map([words], note)?;
        Ok(notes.collect::<rusqlite::Result<_>>()?)
    }
}

fn note(row: &Row<'_>) -> rusqlite::Result<Note> {
    Ok(Note {
        id: row.get(0)?,
        text: row.get(1)?,
    })
}
