//! What the authorizer is not told of a statement, and its text says.

use crate::capability::Columns;
use crate::driver::Dialect;
use crate::sql::{Lexer, Token, TokenKind};

use super::functions;

/// What a statement does, by its first word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::driver::sqlite) enum Leading {
    /// It makes something.
    Create,
    /// It changes or removes something, or takes statistics. Such a statement reads and writes no table of the user's choice
    /// beside the one that it is about.
    Change,
    /// Anything else.
    #[default]
    Other,
}

/// What the text of one statement says.
#[derive(Debug, Clone, Default)]
pub(in crate::driver::sqlite) struct Reading {
    pub(super) leading: Leading,
    /// The columns that an INSERT names.
    pub(super) inserts: Option<(String, Columns)>,
    /// A row that is in the way of another one is removed.
    pub(super) replaces: bool,
    /// The new name of a table.
    pub(super) renames_to: Option<String>,
    /// A function in the expression of a default, which SQLite looks up only when a row is added.
    pub(super) default_calls: Option<String>,
    /// The tables that its foreign keys refer to.
    pub(super) refers_to: Vec<String>,
}

impl Reading {
    /// Reads a statement.
    pub(super) fn of(sql: &str) -> Self {
        let mut tokens = significant(sql).peekable();
        while tokens
            .next_if(|token| {
                ["explain", "query", "plan"]
                    .iter()
                    .any(|word| token.is_word(word))
            })
            .is_some()
        {}
        let Some(first) = tokens.peek().copied() else {
            return Self::default();
        };
        let is = |words: &[&str]| words.iter().any(|word| first.is_word(word));
        if is(&["create", "alter"]) {
            let tokens: Vec<Token<'_>> = tokens.collect();
            return Self::of_definition(&tokens);
        }
        if is(&["drop", "analyze"]) {
            return Self {
                leading: Leading::Change,
                ..Self::default()
            };
        }
        if is(&["insert", "replace", "update", "with"]) {
            return Self {
                replaces: replaces(sql),
                inserts: inserts(tokens),
                ..Self::default()
            };
        }
        Self::default()
    }

    fn of_definition(tokens: &[Token<'_>]) -> Self {
        let leading = match tokens.first() {
            Some(first) if first.is_word("create") => Leading::Create,
            _ => Leading::Change,
        };
        let code = tokens
            .iter()
            .take(3)
            .any(|token| token.is_word("trigger") || token.is_word("view"));
        if code {
            return Self {
                leading,
                ..Self::default()
            };
        }
        let after = |word: &'static str| {
            tokens
                .windows(2)
                .filter(move |pair| pair[0].is_word(word))
                .map(|pair| &pair[1])
        };
        let renames_to = tokens
            .windows(3)
            .find(|three| three[0].is_word("rename") && three[1].is_word("to"))
            .map(|three| name(&three[2]));
        Self {
            leading,
            renames_to,
            default_calls: default_calls(tokens),
            refers_to: after("references").map(name).collect(),
            ..Self::default()
        }
    }
}

/// Whether a statement, or the body of a trigger, removes rows that are in the way of others.
pub(super) fn replaces(sql: &str) -> bool {
    let mut before: Option<Token<'_>> = None;
    let mut tokens = significant(sql).peekable();
    while let Some(token) = tokens.next() {
        if token.is_word("replace") {
            let into = tokens.peek().is_some_and(|next| next.is_word("into"));
            let call = tokens
                .peek()
                .is_some_and(|next| next.kind == TokenKind::Open);
            if into || (!call && before.is_some_and(|before| before.is_word("or"))) {
                return true;
            }
        }
        before = Some(token);
    }
    false
}

/// The table and the columns of an INSERT. No other word INTO is in such a statement.
fn inserts<'a>(tokens: impl Iterator<Item = Token<'a>>) -> Option<(String, Columns)> {
    let mut tokens = tokens
        .skip_while(|token| !token.is_word("into"))
        .skip(1)
        .peekable();
    let mut table = name(&tokens.next()?);
    if tokens.next_if(|token| token.text == ".").is_some() {
        table = name(&tokens.next()?);
    }
    if tokens.next_if(|token| token.is_word("as")).is_some() {
        tokens.next()?;
    }
    if tokens
        .next_if(|token| token.kind == TokenKind::Open)
        .is_none()
    {
        return Some((table, Columns::All));
    }
    let columns = tokens
        .take_while(|token| token.kind != TokenKind::Close)
        .filter(|token| token.text != ",")
        .map(|token| name(&token));
    Some((table, Columns::some(columns)))
}

fn default_calls(tokens: &[Token<'_>]) -> Option<String> {
    let mut rest = tokens;
    while let Some(at) = rest
        .windows(2)
        .position(|pair| pair[0].is_word("default") && pair[1].kind == TokenKind::Open)
    {
        rest = &rest[at + 2..];
        let mut depth = 1_usize;
        for pair in rest.windows(2) {
            match pair[0].kind {
                TokenKind::Open => depth += 1,
                TokenKind::Close => depth -= 1,
                TokenKind::Number | TokenKind::Symbol | TokenKind::Parameter => {}
                _ if pair[1].kind == TokenKind::Open => {
                    let called = name(&pair[0]);
                    let operator =
                        pair[0].kind == TokenKind::Word && OPERATORS.contains(&called.as_str());
                    if !operator && !functions::is_harmless(&called) {
                        return Some(called);
                    }
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    None
}

/// Words that may stand before a parenthesis in an expression and call nothing.
const OPERATORS: [&str; 17] = [
    "and", "between", "case", "cast", "collate", "else", "escape", "exists", "glob", "in", "is",
    "like", "not", "or", "select", "then", "when",
];

pub(super) fn significant(sql: &str) -> impl Iterator<Item = Token<'_>> {
    Lexer::new(sql, Dialect::Sqlite)
        .map_while(Result::ok)
        .filter(|token| token.kind != TokenKind::Comment)
}

/// A name without its quotes, in lower case. SQLite takes a literal for a name where it expects one.
pub(super) fn name(token: &Token<'_>) -> String {
    let text = token.text;
    let inner = || {
        text.get(1..text.len().saturating_sub(1))
            .unwrap_or_default()
    };
    let name = match text.as_bytes().first() {
        Some(b'"') => inner().replace("\"\"", "\""),
        Some(b'\'') => inner().replace("''", "'"),
        Some(b'`') => inner().replace("``", "`"),
        Some(b'[') => inner().to_owned(),
        _ => text.to_owned(),
    };
    name.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn an_insert_names_its_columns() {
        for (sql, columns) in [
            (
                "INSERT INTO t (a, \"B\") VALUES (1, 2)",
                Columns::some(["a", "b"]),
            ),
            (
                "WITH x AS (SELECT 1) INSERT OR IGNORE INTO main.T AS u([a]) SELECT 1",
                Columns::some(["a"]),
            ),
            ("INSERT INTO t VALUES (1)", Columns::All),
            ("EXPLAIN INSERT INTO t DEFAULT VALUES", Columns::All),
        ] {
            assert_eq!(
                Reading::of(sql).inserts.unwrap(),
                ("t".to_owned(), columns),
                "{sql}"
            );
        }
    }

    #[test]
    fn a_replacement_is_told_from_the_function() {
        for sql in [
            "REPLACE INTO t VALUES (1)",
            "INSERT OR /* */ REPLACE INTO t VALUES (1)",
            "WITH x AS (SELECT 1) UPDATE OR REPLACE t SET a = 1",
        ] {
            assert!(Reading::of(sql).replaces, "{sql}");
        }
        for sql in [
            "UPDATE t SET a = replace(a, 'x', 'y')",
            "INSERT INTO t SELECT a OR replace (a, 'or replace', 'into')",
        ] {
            assert!(!Reading::of(sql).replaces, "{sql}");
        }
    }

    #[test]
    fn a_definition_says_what_it_calls_and_refers_to() {
        let reading = Reading::of(
            "CREATE TABLE t (a DEFAULT (1 + abs(2)), b TEXT CHECK (length(b) > 1) REFERENCES \"Up\" (id), c VARCHAR(10) DEFAULT ('x' || \"Beam\"(1)))",
        );
        assert_eq!(reading.default_calls.as_deref(), Some("beam"));
        assert_eq!(reading.refers_to, ["up"]);
        let harmless = Reading::of(
            "CREATE TABLE t (a DEFAULT (strftime('%s', 'now')), b DEFAULT (CASE WHEN (1 IN (1, 2)) THEN (3) END), PRIMARY KEY (a))",
        );
        assert_eq!(harmless.default_calls, None);
        let renamed = Reading::of("ALTER TABLE main.t RENAME TO 'New'");
        assert_eq!(renamed.renames_to.as_deref(), Some("new"));
        assert_eq!(Reading::of("ALTER TABLE t RENAME a TO b").renames_to, None);
    }
}
