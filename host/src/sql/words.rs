//! What the words and names of a statement say, without understanding the statement.

use std::borrow::Cow;

use super::lexer::{Lexer, Token, TokenKind, Unterminated};
use crate::driver::Dialect;

/// The first words of a statement, at most `n`, in upper case. Comments and the parentheses before the first word
/// are skipped; the first token that is no word ends the list.
pub fn leading_keywords(sql: &str, dialect: Dialect, n: usize) -> Vec<String> {
    Lexer::new(sql, dialect)
        .map_while(Result::ok)
        .filter(|token| token.kind != TokenKind::Comment)
        .skip_while(|token| token.kind == TokenKind::Open)
        .take_while(|token| token.kind == TokenKind::Word)
        .take(n)
        .map(|token| token.text.to_ascii_uppercase())
        .collect()
}

/// A statement up to the semicolon that ends it.
pub fn without_semicolon(sql: &str, dialect: Dialect) -> &str {
    let mut end = sql.len();
    let mut depth = 0_usize;
    for token in Lexer::new(sql, dialect).map_while(Result::ok) {
        match token.kind {
            TokenKind::Open => depth += 1,
            TokenKind::Close => depth = depth.saturating_sub(1),
            TokenKind::Semicolon if depth == 0 && end == sql.len() => end = token.offset,
            TokenKind::Semicolon | TokenKind::Comment => {}
            // What was ended goes on: that is for the server to refuse.
            _ => end = sql.len(),
        }
    }
    &sql[..end]
}

/// A keyword or the name of something, as the server compares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name<'a> {
    /// The name without quotes, escapes resolved and case folded where the server folds it.
    pub text: Cow<'a, str>,
    /// Whether it was quoted, so that it is no keyword.
    pub quoting: Quoting,
    /// Where it starts: bytes from the start of the statement.
    pub offset: usize,
}

/// Whether a name was in quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quoting {
    /// It was not, and may be a keyword.
    Bare,
    /// It was.
    Quoted,
}

/// The words and quoted names of a statement in their order; see [`names`].
#[derive(Debug, Clone)]
pub struct Names<'a> {
    tokens: Lexer<'a>,
    dialect: Dialect,
}

/// All words and quoted names of a statement in their order: keywords, tables, columns, functions. What stands in
/// literals and comments is left out. Ends after the first error.
pub fn names(sql: &str, dialect: Dialect) -> Names<'_> {
    Names {
        tokens: Lexer::new(sql, dialect),
        dialect,
    }
}

impl<'a> Iterator for Names<'a> {
    type Item = Result<Name<'a>, Unterminated>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let token = match self.tokens.next()? {
                Ok(token) => token,
                Err(error) => return Some(Err(error)),
            };
            let (text, quoting) = match token.kind {
                TokenKind::Word => (Cow::Borrowed(token.text), Quoting::Bare),
                TokenKind::QuotedName => (self.unquote(&token), Quoting::Quoted),
                _ => continue,
            };
            return Some(Ok(Name {
                text: fold(text, quoting, self.dialect),
                quoting,
                offset: token.offset,
            }));
        }
    }
}

impl<'a> Names<'a> {
    fn unquote(&self, token: &Token<'a>) -> Cow<'a, str> {
        let unicode = token.text.starts_with(['U', 'u']);
        let quoted = if unicode {
            &token.text[2..]
        } else {
            token.text
        };
        let inner = &quoted[1..quoted.len() - 1];
        let name = match quoted.as_bytes()[0] {
            quote @ (b'"' | b'`') => {
                let quote = char::from(quote);
                let doubled = [quote, quote].iter().collect::<String>();
                if inner.contains(&doubled) {
                    Cow::Owned(inner.replace(&doubled, quote.encode_utf8(&mut [0; 4])))
                } else {
                    Cow::Borrowed(inner)
                }
            }
            _ => Cow::Borrowed(inner),
        };
        if unicode {
            let escape = self.unicode_escape();
            resolve_unicode(&name, escape).map_or(name, Cow::Owned)
        } else {
            name
        }
    }

    /// The character of an UESCAPE clause that follows, else a backslash.
    fn unicode_escape(&self) -> char {
        let mut ahead = self
            .tokens
            .clone()
            .map_while(Result::ok)
            .filter(|token| token.kind != TokenKind::Comment);
        if ahead.next().is_some_and(|token| token.is_word("uescape"))
            && let Some(literal) = ahead.next()
            && let Some(escape) = literal.text.strip_prefix('\'')
        {
            return escape.chars().next().unwrap_or('\\');
        }
        '\\'
    }
}

/// Resolves `\0041` and `\+000041`; `None` where the server would refuse an escape.
fn resolve_unicode(text: &str, escape: char) -> Option<String> {
    let mut resolved = String::with_capacity(text.len());
    let mut rest = text;
    let mut units = Vec::new();
    while let Some(at) = rest.find(escape) {
        if at > 0 {
            resolved.push_str(&take_units(&mut units)?);
            resolved.push_str(&rest[..at]);
        }
        rest = &rest[at + escape.len_utf8()..];
        if let Some(after) = rest.strip_prefix(escape) {
            resolved.push_str(&take_units(&mut units)?);
            resolved.push(escape);
            rest = after;
            continue;
        }
        let (digits, len) = match rest.strip_prefix('+') {
            Some(long) => (long.get(..6)?, 7),
            None => (rest.get(..4)?, 4),
        };
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let code = u32::from_str_radix(digits, 16).ok()?;
        match u16::try_from(code) {
            Ok(unit) => units.push(unit),
            Err(_) => {
                resolved.push_str(&take_units(&mut units)?);
                resolved.push(char::from_u32(code)?);
            }
        }
        rest = &rest[len..];
    }
    resolved.push_str(&take_units(&mut units)?);
    resolved.push_str(rest);
    Some(resolved)
}

/// Escapes may write one character as a surrogate pair.
fn take_units(units: &mut Vec<u16>) -> Option<String> {
    let text = String::from_utf16(units).ok()?;
    units.clear();
    Some(text)
}

/// The longest name that PostgreSQL keeps, in bytes; it cuts longer ones.
const POSTGRESQL_NAME_BYTES: usize = 63;

fn fold(text: Cow<'_, str>, quoting: Quoting, dialect: Dialect) -> Cow<'_, str> {
    let folds = dialect == Dialect::Sqlite || quoting == Quoting::Bare;
    let mut text = if folds && text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        text
    };
    if dialect == Dialect::Postgresql && text.len() > POSTGRESQL_NAME_BYTES {
        let end = text.floor_char_boundary(POSTGRESQL_NAME_BYTES);
        text = Cow::Owned(text[..end].to_owned());
    }
    text
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test may panic")]

    use super::*;
    use Dialect::{Postgresql, Sqlite};

    fn texts(sql: &str, dialect: Dialect) -> Vec<String> {
        names(sql, dialect)
            .map(|name| name.unwrap().text.into_owned())
            .collect()
    }

    #[test]
    fn leading_keywords_skip_comments_and_parentheses() {
        let cases: &[(&str, Dialect, &[&str])] = &[
            ("/* COMMIT */ -- x\n select a", Postgresql, &["SELECT", "A"]),
            ("((SELECT 1))", Postgresql, &["SELECT"]),
            ("create temp table t", Sqlite, &["CREATE", "TEMP"]),
            ("/* /* */ COMMIT", Sqlite, &["COMMIT"]),
            ("/* /* */ COMMIT", Postgresql, &[]),
            ("\"COMMIT\"", Postgresql, &[]),
            ("'x' SELECT", Postgresql, &[]),
        ];
        for (sql, dialect, expected) in cases {
            assert_eq!(leading_keywords(sql, *dialect, 2), *expected, "{sql}");
        }
    }

    #[test]
    fn names_are_as_the_server_compares_them() {
        let cases: &[(&str, Dialect, &[&str])] = &[
            (
                r#"SELECT "Mixed", "a""b" FROM S.T -- c"#,
                Postgresql,
                &["select", "Mixed", "a\"b", "from", "s", "t"],
            ),
            (
                "SELECT [A b], `C``d`, \"E\" FROM 'lit'",
                Sqlite,
                &["select", "a b", "c`d", "e", "from"],
            ),
            (r#"U&"\0077him\+000062rel""#, Postgresql, &["whimbrel"]),
            (r#"U&"\\a\D83E\DDA4""#, Postgresql, &["\\a🦤"]),
            (
                r#"U&"!0041" /* x */ UESCAPE '!'"#,
                Postgresql,
                &["A", "uescape"],
            ),
            (r#"U&"\zzzz""#, Postgresql, &["\\zzzz"]),
            (r#"U&"\D83E""#, Postgresql, &["\\D83E"]),
            ("$$ hidden $$ 'x' e'y'", Postgresql, &[]),
        ];
        for (sql, dialect, expected) in cases {
            assert_eq!(texts(sql, *dialect), *expected, "{sql}");
        }
    }

    #[test]
    fn postgresql_cuts_long_names() {
        let long = "ä".repeat(40);
        assert_eq!(texts(&long, Postgresql), ["ä".repeat(31)]);
        assert_eq!(texts(&long, Sqlite), [long]);
    }

    #[test]
    fn quoting_tells_keywords_from_names() {
        let found: Vec<_> = names("drop \"DROP\"", Postgresql)
            .map(|name| name.unwrap())
            .map(|name| (name.quoting, name.offset))
            .collect();
        assert_eq!(found, [(Quoting::Bare, 0), (Quoting::Quoted, 5)]);
        assert!(names("a 'b", Postgresql).any(|name| name.is_err()));
    }

    #[test]
    fn only_the_semicolon_at_the_end_goes() {
        for (sql, without) in [
            ("SELECT 1 ; -- x", "SELECT 1 "),
            ("SELECT ';' -- ;", "SELECT ';' -- ;"),
            ("SELECT 1; SELECT 2", "SELECT 1; SELECT 2"),
            ("SELECT 1;;", "SELECT 1"),
        ] {
            assert_eq!(without_semicolon(sql, Postgresql), without);
        }
    }
}
