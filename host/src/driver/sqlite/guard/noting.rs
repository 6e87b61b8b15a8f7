//! The triggers of backfills that go on: each notes in a table of Whimbrel's which rows others change meanwhile, and is let do
//! that in anyone's name.
//!
//! What the authorizer calls the trigger in whose name something is done may as well be a query that WITH names, or a view.
//! So only triggers that are there count, and no statement of a migration may have such a name in its text.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext};

use super::text::{name, significant};
use crate::driver::Dialect;
use crate::sql::guard::{NOTE_TRIGGER_PREFIX, NOTES_PREFIX, starts_with};
use crate::sql::{Lexer, Token, TokenKind};

const TRIGGERS: &str = "SELECT name, tbl_name, sql FROM main.sqlite_schema \
     WHERE type = 'trigger' AND name LIKE 'whimbrel\\_note\\_%' ESCAPE '\\'";

/// One trigger; all names in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
struct NoteTrigger {
    /// The table whose changes it notes.
    table: String,
    /// The table in which it does.
    notes: String,
    /// The columns of a changed row that it takes down.
    columns: BTreeSet<String>,
}

/// The triggers that are there, by their names in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::driver::sqlite) struct Noting(BTreeMap<String, NoteTrigger>);

impl Noting {
    /// Reads what is there now.
    pub(in crate::driver::sqlite) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let mut noting = Self::default();
        let mut list = connection.prepare_cached(TRIGGERS)?;
        let mut rows = list.query(())?;
        while let Some(row) = rows.next()? {
            let name: String = row.get(0)?;
            let table: String = row.get(1)?;
            let sql: Option<String> = row.get(2)?;
            if let Some(trigger) = sql.and_then(|sql| NoteTrigger::of(&table, &sql)) {
                noting.0.insert(name.to_ascii_lowercase(), trigger);
            }
        }
        Ok(noting)
    }

    /// Whether one of them does what it is there for.
    pub(super) fn allows(&self, context: &AuthContext<'_>) -> bool {
        let trigger = context
            .accessor
            .and_then(|accessor| self.0.get(&accessor.to_ascii_lowercase()));
        let Some(trigger) = trigger.filter(|_| context.database_name == Some("main")) else {
            return false;
        };
        match context.action {
            AuthAction::Insert { table_name } => table_name.eq_ignore_ascii_case(&trigger.notes),
            AuthAction::Read {
                table_name,
                column_name,
            } => {
                table_name.eq_ignore_ascii_case(&trigger.table)
                    && trigger.columns.contains(&column_name.to_ascii_lowercase())
            }
            _ => false,
        }
    }

    /// Whether there are none.
    pub(in crate::driver::sqlite) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tables in which changes of the table `changed` are noted.
    pub(in crate::driver::sqlite) fn of<'a>(&'a self, changed: &str) -> BTreeSet<&'a str> {
        self.0
            .values()
            .filter(|trigger| trigger.table == changed)
            .map(|trigger| trigger.notes.as_str())
            .collect()
    }
}

impl NoteTrigger {
    /// Reads a trigger; none where it does anything but put what is new of a row into a table of notes.
    fn of(table: &str, sql: &str) -> Option<Self> {
        let mut body = significant(sql)
            .skip_while(|token| !token.is_word("begin"))
            .skip(1);
        if !(body.next()?.is_word("insert") && body.next()?.is_word("into")) {
            return None;
        }
        let notes = name(&body.next()?);
        if !starts_with(&notes, NOTES_PREFIX) {
            return None;
        }
        let values: Vec<Token<'_>> = body
            .skip_while(|token| !token.is_word("values"))
            .skip(1)
            .collect();
        let mut columns = BTreeSet::new();
        let mut rest = values.as_slice();
        while let [before, new, dot, column, after @ ..] = rest {
            let is_first = before.kind == TokenKind::Open;
            if !(is_first || before.text == ",") || !new.is_word("new") || dot.text != "." {
                break;
            }
            columns.insert(name(column));
            rest = after;
        }
        match rest {
            [close, semicolon, end]
                if close.kind == TokenKind::Close
                    && semicolon.kind == TokenKind::Semicolon
                    && end.is_word("end") =>
            {
                Some(Self {
                    table: table.to_ascii_lowercase(),
                    notes,
                    columns,
                })
            }
            _ => None,
        }
    }
}

/// A name in a statement that such a trigger could have.
pub(super) fn named_in(sql: &str) -> Option<String> {
    // Most statements are done with here.
    if !sql.to_ascii_lowercase().contains(NOTE_TRIGGER_PREFIX) {
        return None;
    }
    Lexer::new(sql, Dialect::Sqlite)
        .map_while(Result::ok)
        .filter(|token| {
            // SQLite takes a literal for a name where it expects one.
            matches!(
                token.kind,
                TokenKind::Word | TokenKind::QuotedName | TokenKind::Literal
            )
        })
        .map(|token| name(&token))
        .find(|name| starts_with(name, NOTE_TRIGGER_PREFIX))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn a_trigger_that_does_more_than_note_is_none_of_them() {
        let trigger = |body: &str| {
            let sql = format!(
                "CREATE TRIGGER \"whimbrel_note_a\" AFTER UPDATE OF x ON \"T\" BEGIN {body}; END"
            );
            NoteTrigger::of("T", &sql)
        };
        let noting =
            trigger("INSERT INTO \"whimbrel_notes_a\" (k1, k2) VALUES (NEW.\"A b\", NEW.c)")
                .unwrap();
        assert_eq!(noting.table, "t");
        assert_eq!(noting.notes, "whimbrel_notes_a");
        assert_eq!(
            noting.columns,
            BTreeSet::from(["a b".to_owned(), "c".to_owned()])
        );
        for body in [
            "INSERT INTO t (k1) VALUES (NEW.a)",
            "INSERT INTO whimbrel_notes_a (k1) VALUES (OLD.a)",
            "INSERT INTO whimbrel_notes_a (k1) VALUES ((SELECT a FROM u))",
            "INSERT INTO whimbrel_notes_a (k1) VALUES (NEW.a, (SELECT a FROM u))",
            "INSERT INTO whimbrel_notes_a (k1) VALUES (NEW.a), (NEW.b)",
            "INSERT INTO whimbrel_notes_a (k1) VALUES (NEW.a); DELETE FROM t",
            "INSERT INTO whimbrel_notes_a (k1) SELECT a FROM t",
            "DELETE FROM whimbrel_notes_a",
        ] {
            assert_eq!(trigger(body), None, "{body}");
        }
    }

    #[test]
    fn its_name_is_found_however_it_is_written() {
        for sql in [
            "WITH whimbrel_note_a AS (SELECT 1) SELECT * FROM whimbrel_note_a",
            "WITH \"Whimbrel_Note_a\" AS (SELECT 1) SELECT 1",
            "WITH [WHIMBREL_NOTE_] AS (SELECT 1) SELECT 1",
            "WITH `whimbrel_note_` AS (SELECT 1) SELECT 1",
            "WITH 'whimbrel_note_' AS (SELECT 1) SELECT 1",
        ] {
            assert!(named_in(sql).is_some(), "{sql}");
        }
        for sql in [
            "SELECT 1 -- whimbrel_note_a",
            "SELECT 'about whimbrel_note_a'",
            "SELECT * FROM my_whimbrel_note_a",
        ] {
            assert_eq!(named_in(sql), None, "{sql}");
        }
    }
}
