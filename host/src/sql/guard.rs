//! Which statements a migration may not send to PostgreSQL or write into a script, by their leading words and the names
//! in them.
//!
//! This is a first look at tokens, before the database sees the statement. It keeps honest mistakes out; what a
//! hostile guest may do is for the layers behind it to decide. SQLite itself asks before each access, when it runs a
//! statement; a script that is only written has this look alone.

use super::{Lexer, Token, TokenKind, names, split};
use crate::driver::{Authority, Dialect, DriverError};

/// The names that belong to Whimbrel: its version table and everything that starts with `whimbrel_`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protected {
    version_table: String,
}

/// How all of Whimbrel's own tables start, unless the version table was given another name.
const OWN_PREFIX: &str = "whimbrel_";

impl Protected {
    /// Protects a version table, with or without its schema, and all of Whimbrel's other tables.
    pub fn new(version_table: &str) -> Self {
        let name = version_table.rsplit('.').next().unwrap_or(version_table);
        Self {
            version_table: name.trim_matches('"').to_owned(),
        }
    }

    /// Whether the name, without its schema, is one of them.
    pub fn covers(&self, name: &str) -> bool {
        name.eq_ignore_ascii_case(&self.version_table) || starts_with(name, OWN_PREFIX)
    }
}

/// How the tables start in which the trigger of a backfill notes what others change.
pub(crate) const NOTES_PREFIX: &str = "whimbrel_notes_";
/// How that trigger starts.
pub(crate) const NOTE_TRIGGER_PREFIX: &str = "whimbrel_note_";

/// Whether a name starts so, however it is written.
pub(crate) fn starts_with(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Checks one statement against what `authority` may do.
///
/// # Errors
/// [`DriverError::Denied`] names the operation and the reason. Text that cannot be cut into tokens passes: the
/// database will refuse it, and say why better.
pub fn check(
    sql: &str,
    dialect: Dialect,
    authority: &Authority,
    protected: &Protected,
) -> Result<(), DriverError> {
    if *authority == Authority::Host {
        return Ok(());
    }
    let tokens: Vec<_> = Lexer::new(sql, dialect)
        .map_while(Result::ok)
        .filter(|token| token.kind != TokenKind::Comment)
        .skip_while(|token| token.kind == TokenKind::Semicolon)
        .collect();
    check_is_one(&tokens, sql, dialect)?;
    let words = leading_words(&tokens);
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    if let Some((operation, reason)) = denied(&words, authority) {
        return Err(denial(operation, "", reason));
    }
    if words.first() == Some(&"COPY")
        && let Some(stream) = tokens
            .iter()
            .find(|token| token.is_word("stdin") || token.is_word("stdout"))
    {
        return Err(denial(
            "COPY",
            &stream.text.to_ascii_uppercase(),
            "nobody stands at the other end of STDIN and STDOUT",
        ));
    }
    check_names(sql, dialect, authority, protected)
}

fn denial(operation: impl Into<String>, object: &str, reason: &str) -> DriverError {
    DriverError::Denied {
        operation: operation.into(),
        object: object.to_owned(),
        reason: reason.to_owned(),
    }
}

fn check_is_one(tokens: &[Token<'_>], sql: &str, dialect: Dialect) -> Result<(), DriverError> {
    let goes_on = tokens
        .iter()
        .skip_while(|token| token.kind != TokenKind::Semicolon)
        .any(|token| token.kind != TokenKind::Semicolon);
    if goes_on && split(sql, dialect).is_ok_and(|pieces| pieces.len() > 1) {
        return Err(denial(
            "more than one statement",
            "",
            "send them one by one",
        ));
    }
    Ok(())
}

fn check_names(
    sql: &str,
    dialect: Dialect,
    authority: &Authority,
    protected: &Protected,
) -> Result<(), DriverError> {
    if let Some(name) = protected_name(sql, dialect, protected) {
        return Err(denial("access", &name, "the name belongs to Whimbrel"));
    }
    for name in names(sql, dialect).map_while(Result::ok) {
        if authority.is_guest() && name.text == "set_config" {
            return Err(denial("set_config", "", SETTINGS));
        }
    }
    Ok(())
}

/// The first name in a text that belongs to Whimbrel.
pub(crate) fn protected_name(sql: &str, dialect: Dialect, protected: &Protected) -> Option<String> {
    names(sql, dialect)
        .map_while(Result::ok)
        .find(|name| protected.covers(&name.text))
        .map(|name| name.text.into_owned())
}

/// The first words in upper case, without parentheses before them and without `EXPLAIN` and its options: what is
/// explained may also be run.
fn leading_words(tokens: &[Token<'_>]) -> Vec<String> {
    const ENOUGH: usize = 4;
    let mut rest = tokens;
    loop {
        rest = skip_while(rest, |token| token.kind == TokenKind::Open);
        let [first, after @ ..] = rest else { break };
        if !first.is_word("explain") {
            break;
        }
        rest = match after {
            [open, ..] if open.kind == TokenKind::Open => skip_parentheses(after),
            _ => skip_while(after, |token| {
                ["analyze", "analyse", "verbose"]
                    .iter()
                    .any(|word| token.is_word(word))
            }),
        };
    }
    rest.iter()
        .take_while(|token| token.kind == TokenKind::Word)
        .take(ENOUGH)
        .map(|token| token.text.to_ascii_uppercase())
        .collect()
}

fn skip_while<'t, 'a>(
    tokens: &'t [Token<'a>],
    skip: impl Fn(&Token<'a>) -> bool,
) -> &'t [Token<'a>] {
    let start = tokens.iter().position(|token| !skip(token));
    &tokens[start.unwrap_or(tokens.len())..]
}

fn skip_parentheses<'t, 'a>(tokens: &'t [Token<'a>]) -> &'t [Token<'a>] {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token.kind {
            TokenKind::Open => depth += 1,
            TokenKind::Close => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return &tokens[at + 1..];
        }
    }
    &[]
}

const TRANSACTION: &str = "the transaction belongs to Whimbrel";
const SESSION: &str = "the session belongs to Whimbrel";
const SETTINGS: &str = "a component may not change the session's settings";
const CODE: &str = "a component may not run code inside the server";
const SERVER: &str = "a component may only change its own database";
const FILES: &str = "a component may not reach files and programs of the server";
const OTHER_FILES: &str = "a migration stays in its own database";
const CURSORS: &str = "a component opens cursors through its interface";

type Denial = (String, &'static str);

fn denied(words: &[&str], authority: &Authority) -> Option<Denial> {
    let reason = in_transaction_control(words).or_else(|| match authority {
        Authority::Host => None,
        Authority::File(_) => of_files(words),
        Authority::Guest(_) => of_files(words).or_else(|| of_guests(words)),
    })?;
    let length = match words {
        ["CREATE" | "DROP" | "ALTER" | "START" | "PREPARE", _, ..] => 2,
        _ => 1,
    };
    Some((words[..length].join(" "), reason))
}

fn in_transaction_control(words: &[&str]) -> Option<&'static str> {
    match words {
        [
            "BEGIN" | "COMMIT" | "END" | "ROLLBACK" | "ABORT" | "SAVEPOINT" | "RELEASE",
            ..,
        ]
        | ["START" | "PREPARE", "TRANSACTION", ..] => Some(TRANSACTION),
        _ => None,
    }
}

fn of_files(words: &[&str]) -> Option<&'static str> {
    match words {
        ["DISCARD" | "DEALLOCATE", ..] => Some(SESSION),
        ["ATTACH" | "DETACH", ..] => Some(OTHER_FILES),
        _ => None,
    }
}

fn of_guests(words: &[&str]) -> Option<&'static str> {
    match words {
        ["SET" | "RESET", ..] => Some(SETTINGS),
        ["DO" | "CALL" | "LOAD", ..] => Some(CODE),
        ["PREPARE" | "EXECUTE" | "LISTEN" | "UNLISTEN" | "NOTIFY", ..] => Some(SESSION),
        ["DECLARE" | "FETCH" | "MOVE" | "CLOSE", ..] => Some(CURSORS),
        ["COPY", ..] => Some(FILES),
        ["PRAGMA", ..] => Some(SETTINGS),
        [
            "VACUUM" | "CHECKPOINT" | "REASSIGN" | "IMPORT" | "SECURITY",
            ..,
        ] => Some(SERVER),
        [
            "CREATE" | "DROP" | "ALTER",
            "DATABASE" | "ROLE" | "USER" | "GROUP" | "SUBSCRIPTION" | "PUBLICATION" | "TABLESPACE"
            | "SYSTEM" | "SERVER" | "FOREIGN" | "EVENT" | "LANGUAGE" | "TRUSTED" | "PROCEDURAL"
            | "EXTENSION",
            ..,
        ] => Some(SERVER),
        [
            "CREATE",
            "OR",
            "REPLACE",
            "LANGUAGE" | "TRUSTED" | "PROCEDURAL",
        ] => Some(SERVER),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use Who::{File, Guest, Host};

    #[derive(Clone, Copy)]
    enum Who {
        Host,
        File,
        Guest,
    }

    fn allows(sql: &str, who: Who) -> bool {
        let grant = Arc::new(crate::capability::Grant::everything());
        let authority = match who {
            Host => Authority::Host,
            File => Authority::File(grant),
            Guest => Authority::Guest(grant),
        };
        let protected = Protected::new("app.versions");
        check(sql, Dialect::Postgresql, &authority, &protected).is_ok()
    }

    #[test]
    fn nobody_but_the_host_ends_the_transaction() {
        for sql in [
            "COMMIT",
            "commit prepared 'x'",
            "/* SELECT */ begin",
            ";;commit",
            "ROLLBACK TO SAVEPOINT x",
            "prepare transaction 'x'",
            "START TRANSACTION",
            "EXPLAIN ANALYZE COMMIT",
            "DISCARD ALL",
            "SELECT 1; COMMIT",
        ] {
            assert!(!allows(sql, File), "{sql}");
            assert!(!allows(sql, Guest), "{sql}");
            assert!(allows(sql, Host), "{sql}");
        }
    }

    #[test]
    fn components_may_less_than_files() {
        for sql in [
            "SET search_path = x",
            "RESET ALL",
            "DO $$ BEGIN END $$",
            "CALL p()",
            "EXECUTE p",
            "EXPLAIN ANALYZE EXECUTE p",
            "EXPLAIN (ANALYZE, BUFFERS) EXECUTE p",
            "EXPLAIN (ANALYZE (TRUE)) VACUUM",
            "COPY t TO '/tmp/x'",
            "CREATE DATABASE x",
            "ALTER SYSTEM SET a = b",
            "DROP ROLE x",
            "VACUUM t",
            "SELECT set_config('role', 'x', false)",
            "FETCH 1 FROM c",
        ] {
            assert!(allows(sql, File), "{sql}");
            assert!(!allows(sql, Guest), "{sql}");
        }
    }

    #[test]
    fn ordinary_statements_pass() {
        for sql in [
            "SELECT 'COMMIT'",
            "(SELECT 1) UNION (SELECT 2);",
            "INSERT INTO t VALUES ($1) -- BEGIN",
            "CREATE TABLE begin_times (at timestamptz)",
            "EXPLAIN ANALYZE SELECT 1",
            "WITH x AS (SELECT 1) SELECT * FROM x",
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END",
            "'unterminated",
            "",
        ] {
            assert!(allows(sql, File), "{sql}");
            assert!(allows(sql, Guest), "{sql}");
        }
    }

    #[test]
    fn what_is_whimbrels_is_out_of_reach() {
        for sql in [
            "DELETE FROM versions",
            "DELETE FROM app.\"versions\"",
            "SELECT * FROM Whimbrel_Ledger",
            "WITH x AS (UPDATE whimbrel_lock SET a = 1 RETURNING 1) SELECT 1",
        ] {
            assert!(!allows(sql, File), "{sql}");
        }
        assert!(allows(
            "SELECT 'versions', 'whimbrel_lock' FROM whimbrel",
            Guest
        ));
    }

    #[test]
    fn files_copy_neither_to_nor_from_the_client() {
        assert!(!allows("COPY t FROM STDIN", File));
        assert!(allows("COPY t FROM '/srv/t.csv'", File));
    }
}
