//! Which columns tell, when others change them, that a row is to be worked on once more.

use super::table::Table;
use crate::driver::{Dialect, path};
use crate::sql::{Lexer, Token, TokenKind};

/// What of a row is watched, beside its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Watched {
    /// Some columns, in quotes.
    Columns(Vec<String>),
    /// All of it.
    Row,
}

impl Watched {
    /// What is read, what the texts (a condition, an expression) may mean, and the whole row where they may mean that.
    pub(super) fn new(
        reads: &[String],
        texts: impl IntoIterator<Item = impl AsRef<str>>,
        table: &Table,
        qualifier: &str,
        dialect: Dialect,
    ) -> Self {
        let mut all = reads.to_vec();
        for text in texts {
            match Self::mentioned(text.as_ref(), table, qualifier, dialect) {
                Self::Row => return Self::Row,
                Self::Columns(names) => all.extend(names),
            }
        }
        let mut columns = Vec::new();
        for name in all {
            if !columns.contains(&name) {
                columns.push(name);
            }
        }
        Self::Columns(columns)
    }

    fn mentioned(text: &str, table: &Table, qualifier: &str, dialect: Dialect) -> Self {
        let tokens: Vec<Token<'_>> = Lexer::new(text, dialect)
            .filter_map(Result::ok)
            .filter(|token| token.kind != TokenKind::Comment)
            .collect();
        let row = path(qualifier, dialect);
        let mut columns = Vec::new();
        for (at, token) in tokens.iter().enumerate() {
            if !matches!(token.kind, TokenKind::Word | TokenKind::QuotedName) {
                continue;
            }
            if let Some(column) = table.column(token.text, dialect) {
                columns.push(column.name.clone());
                continue;
            }
            let is_row = row.is_some() && path(token.text, dialect) == row;
            let behind = |further: usize| tokens.get(at + further).map(|token| token.text);
            let is_whole = match (behind(1), behind(2)) {
                (Some("."), star) => star == Some("*"),
                _ => true,
            };
            if is_row && is_whole {
                return Self::Row;
            }
        }
        Self::Columns(columns)
    }

    /// Whether a change of this column is seen.
    pub(super) fn includes(&self, column: &String) -> bool {
        match self {
            Self::Row => true,
            Self::Columns(columns) => columns.contains(column),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(texts: &[&str], reads: &[&str]) -> Watched {
        let table = Table::of_columns(
            "\"users\"",
            &["\"id\"", "\"email\"", "\"Odd\"", "\"active\""],
        );
        let reads: Vec<String> = reads.iter().map(|name| (*name).to_owned()).collect();
        Watched::new(&reads, texts, &table, "u", Dialect::Postgresql)
    }

    fn columns(names: &[&str]) -> Watched {
        Watched::Columns(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn a_condition_is_watched_with_what_is_read() {
        assert_eq!(
            watched(&["u.ACTIVE AND \"Odd\" > 1 -- email"], &["\"email\""]),
            columns(&["\"email\"", "\"active\"", "\"Odd\""])
        );
        assert_eq!(watched(&["lower('active') = 'x'"], &[]), columns(&[]));
    }

    #[test]
    fn a_text_about_the_row_watches_all_of_it() {
        assert_eq!(watched(&["to_jsonb(u) ? 'x'"], &[]), Watched::Row);
        assert_eq!(watched(&["hash(u.*)"], &[]), Watched::Row);
        assert_eq!(
            watched(&["u . email IS NULL"], &[]),
            columns(&["\"email\""])
        );
    }
}
