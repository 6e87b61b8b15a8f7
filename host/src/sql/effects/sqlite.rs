//! SQLite's statements, by their words. What is locked is always the whole database, so that only what is lost counts.

use super::{Effects, Harm, InTransaction, Lock, LockMode, Relation, Toll};
use crate::driver::Dialect;
use crate::sql::{Lexer, Token, TokenKind, leading_keywords, names};

/// What a statement does.
pub(super) fn effects(sql: &str) -> Effects {
    let mut found = Effects::default();
    let words = leading_keywords(sql, Dialect::Sqlite, 3);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut cursor = Cursor::new(sql);
    match words.as_slice() {
        ["DROP", kind, ..] => {
            let (kind, harm) = match *kind {
                "TABLE" => ("table", Harm::Data),
                "VIEW" => ("view", Harm::Definition),
                "INDEX" => ("index", Harm::Definition),
                "TRIGGER" => ("trigger", Harm::Definition),
                _ => return found,
            };
            cursor.skip(2);
            cursor.skip_words(&["if", "exists"]);
            if let Some(object) = cursor.name() {
                found.lose(harm, format!("drops {kind} {object}"));
                if kind == "table" {
                    found.note(object, Toll::Rows);
                }
            }
        }
        ["ALTER", "TABLE", ..] => {
            cursor.skip(2);
            let table = cursor.name();
            if let (Some(table), true) = (table, cursor.word("drop")) {
                cursor.skip_words(&["column"]);
                if let Some(column) = cursor.name() {
                    found.lose(Harm::Data, format!("drops column {column} of {table}"));
                    found.note(table, Toll::Rewrite);
                }
            }
        }
        ["CREATE", "INDEX", ..] | ["CREATE", "UNIQUE", "INDEX"] => {
            if cursor.find("on")
                && let Some(table) = cursor.name()
            {
                found.note(table, Toll::Scan);
            }
        }
        ["CREATE", "TABLE", ..] => {
            cursor.skip(2);
            cursor.skip_words(&["if", "not", "exists"]);
            found.creates.extend(cursor.name());
        }
        ["VACUUM", ..] => found.transaction = InTransaction::Refused,
        _ => found.change_rows(&mut cursor),
    }
    found
}

impl Effects {
    /// `UPDATE` and `DELETE`, behind what `WITH` names.
    fn change_rows(&mut self, cursor: &mut Cursor<'_>) {
        if cursor.word("with")
            && !cursor.find_any(&["update", "delete", "insert", "replace", "select"])
        {
            return;
        }
        if cursor.word("delete") {
            cursor.skip_words(&["from"]);
            if let Some(table) = cursor.name() {
                if !cursor.find("where") {
                    self.lose(Harm::Data, format!("deletes all rows of {table}"));
                }
                self.note(table, Toll::Rows);
            }
        } else if cursor.word("update") {
            if cursor.word("or") {
                cursor.skip(1);
            }
            if let Some(table) = cursor.name() {
                let narrowed = cursor.find_any(&["where", "from"]);
                if !narrowed {
                    self.lose(Harm::Data, format!("overwrites all rows of {table}"));
                }
                self.note(table, Toll::Rows);
            }
        } else if (cursor.word("insert") || cursor.word("replace"))
            && cursor.find("into")
            && let Some(table) = cursor.name()
        {
            self.note(table, Toll::Rows);
        }
    }

    /// Notes a table that the statement works on. SQLite has no locks of tables; that nobody else writes meanwhile is
    /// said once for the database.
    fn note(&mut self, table: Relation, toll: Toll) {
        self.lock(Lock::new(table, LockMode::Exclusive, toll));
    }
}

/// Goes through the tokens of a statement that stand in no parentheses.
struct Cursor<'a> {
    tokens: std::vec::IntoIter<Token<'a>>,
}

impl<'a> Cursor<'a> {
    fn new(sql: &'a str) -> Self {
        let mut depth = 0_usize;
        let outside = |token: &Token<'_>| match token.kind {
            TokenKind::Comment => false,
            TokenKind::Open => {
                depth += 1;
                false
            }
            TokenKind::Close => {
                depth = depth.saturating_sub(1);
                false
            }
            _ => depth == 0,
        };
        let tokens: Vec<Token<'a>> = Lexer::new(sql, Dialect::Sqlite)
            .map_while(Result::ok)
            .filter(outside)
            .collect();
        Self {
            tokens: tokens.into_iter(),
        }
    }

    fn skip(&mut self, count: usize) {
        self.tokens.by_ref().take(count).for_each(drop);
    }

    /// Takes the next token if it is this word.
    fn word(&mut self, word: &str) -> bool {
        let is_it = self
            .tokens
            .as_slice()
            .first()
            .is_some_and(|token| token.is_word(word));
        if is_it {
            self.tokens.next();
        }
        is_it
    }

    /// Takes as many of these words as come, in their order.
    fn skip_words(&mut self, words: &[&str]) {
        for word in words {
            self.word(word);
        }
    }

    /// Goes behind the next such word.
    fn find(&mut self, word: &str) -> bool {
        self.tokens.by_ref().any(|token| token.is_word(word))
    }

    /// Goes to the next of these words.
    fn find_any(&mut self, words: &[&str]) -> bool {
        while let Some(token) = self.tokens.as_slice().first() {
            if words.iter().any(|word| token.is_word(word)) {
                return true;
            }
            self.tokens.next();
        }
        false
    }

    /// A name, with the schema before it.
    fn name(&mut self) -> Option<Relation> {
        let first = self.part()?;
        let dotted = self
            .tokens
            .as_slice()
            .first()
            .is_some_and(|token| token.text == ".");
        if !dotted {
            return Some(Relation::named(first));
        }
        self.tokens.next();
        Some(Relation {
            schema: Some(first),
            name: self.part()?,
        })
    }

    fn part(&mut self) -> Option<String> {
        let token = self.tokens.next()?;
        let name = names(token.text, Dialect::Sqlite).next()?.ok()?;
        Some(name.text.into_owned())
    }
}
