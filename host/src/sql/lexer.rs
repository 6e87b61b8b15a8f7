//! Tokens of SQL, as the server of a dialect cuts them.

use std::fmt;

use thiserror::Error;

use crate::driver::Dialect;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// A keyword or a name without quotes.
    Word,
    /// A name in quotes: `"…"`, `U&"…"`, and in SQLite also `[…]` and `` `…` ``.
    QuotedName,
    /// A literal in quotes, with its prefix: `'…'`, `E'…'`, `U&'…'`, `N'…'`, `B'…'`, `X'…'`, `$tag$…$tag$`.
    Literal,
    /// A number without sign.
    Number,
    /// A parameter: `$1`, and in SQLite also `?`, `?1`, `:name`, `@name`, `$name`.
    Parameter,
    /// A comment, of either form.
    Comment,
    /// `;`
    Semicolon,
    /// `(`
    Open,
    /// `)`
    Close,
    /// One character of anything else; an operator may be several of them.
    Symbol,
}

/// A piece of SQL text that means something. White space lies between tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'a> {
    /// What it is.
    pub kind: TokenKind,
    /// Its text, quotes included.
    pub text: &'a str,
    /// Where it starts: bytes from the start of the lexed text.
    pub offset: usize,
}

impl Token<'_> {
    /// Whether it is this keyword, in whatever case; a quoted name is none.
    pub fn is_word(&self, keyword: &str) -> bool {
        self.kind == TokenKind::Word && self.text.eq_ignore_ascii_case(keyword)
    }

    /// The byte after its last.
    pub fn end(&self) -> usize {
        self.offset + self.text.len()
    }
}

/// Something in SQL that has a beginning and an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Construct {
    /// A literal in single quotes.
    Literal,
    /// A name in quotes.
    QuotedName,
    /// A dollar quote; its delimiter, as in `$body$`.
    DollarQuote(String),
    /// A comment that starts with `/*`.
    Comment,
    /// A parenthesis.
    Parenthesis,
    /// The body of a function or trigger, from BEGIN to END.
    Body,
}

impl fmt::Display for Construct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal => f.write_str("string literal"),
            Self::QuotedName => f.write_str("quoted name"),
            Self::DollarQuote(delimiter) => write!(f, "{delimiter} quote"),
            Self::Comment => f.write_str("comment"),
            Self::Parenthesis => f.write_str("parenthesis"),
            Self::Body => f.write_str("BEGIN … END body"),
        }
    }
}

/// The text ends inside of something.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a {construct} has no end")]
pub struct Unterminated {
    /// Inside of what.
    pub construct: Construct,
    /// Where that starts: bytes from the start of the lexed text.
    pub offset: usize,
}

/// Cuts SQL into tokens, comments included. Ends after the first error.
#[derive(Debug, Clone)]
pub struct Lexer<'a> {
    text: &'a str,
    at: usize,
    dialect: Dialect,
}

impl<'a> Lexer<'a> {
    /// Reads `text` as `dialect` does, PostgreSQL with `standard_conforming_strings` on.
    pub fn new(text: &'a str, dialect: Dialect) -> Self {
        Self {
            text,
            at: 0,
            dialect,
        }
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    fn pass_while(&mut self, mut wanted: impl FnMut(u8) -> bool) {
        while self.peek(0).is_some_and(&mut wanted) {
            self.at += 1;
        }
    }

    fn skip_whitespace(&mut self) {
        const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
        loop {
            self.pass_while(|byte| byte.is_ascii_whitespace() || byte == b'\x0b');
            // Behind the beginning it is a letter to PostgreSQL, and space to SQLite.
            let is_letter = self.dialect == Dialect::Postgresql && self.at > 0;
            if is_letter || !self.rest().starts_with(BYTE_ORDER_MARK) {
                return;
            }
            self.at += BYTE_ORDER_MARK.len();
        }
    }

    /// Moves over the next token, which is there.
    fn advance(&mut self, first: u8) -> Result<TokenKind, Construct> {
        match (first, self.dialect) {
            (b'-', _) if self.peek(1) == Some(b'-') => Ok(self.line_comment()),
            (b'/', _) if self.peek(1) == Some(b'*') => self.block_comment(),
            (b'\'', _) => self.quoted(b'\'', Escape::Doubling),
            (b'"', _) => self.quoted(b'"', Escape::Doubling),
            (b'`', Dialect::Sqlite) => self.quoted(b'`', Escape::Doubling),
            (b'[', Dialect::Sqlite) => self.quoted(b']', Escape::None),
            (b'$', Dialect::Postgresql) => self.dollar(),
            (b'?' | b'$' | b'@' | b'#' | b':', Dialect::Sqlite) => Ok(self.sqlite_parameter(first)),
            (b'0'..=b'9', _) => Ok(self.number()),
            (b'.', _) if self.peek(1).is_some_and(|byte| byte.is_ascii_digit()) => {
                Ok(self.number())
            }
            (byte, _) if starts_word(byte) => self.word(),
            (byte, _) => {
                self.at += 1;
                Ok(match byte {
                    b';' => TokenKind::Semicolon,
                    b'(' => TokenKind::Open,
                    b')' => TokenKind::Close,
                    _ => TokenKind::Symbol,
                })
            }
        }
    }

    fn line_comment(&mut self) -> TokenKind {
        let carriage_return_ends = self.dialect == Dialect::Postgresql;
        self.pass_while(|byte| byte != b'\n' && !(carriage_return_ends && byte == b'\r'));
        TokenKind::Comment
    }

    fn block_comment(&mut self) -> Result<TokenKind, Construct> {
        self.at += 2;
        let mut depth = 1_u32;
        while let Some(byte) = self.peek(0) {
            match (byte, self.peek(1)) {
                (b'*', Some(b'/')) => {
                    self.at += 2;
                    depth -= 1;
                    if depth == 0 {
                        return Ok(TokenKind::Comment);
                    }
                }
                (b'/', Some(b'*')) if self.dialect == Dialect::Postgresql => {
                    self.at += 2;
                    depth += 1;
                }
                _ => self.at += 1,
            }
        }
        Err(Construct::Comment)
    }

    /// Moves over a quoted run; the opening quote is next.
    fn quoted(&mut self, close: u8, escape: Escape) -> Result<TokenKind, Construct> {
        let (kind, construct) = if close == b'\'' {
            (TokenKind::Literal, Construct::Literal)
        } else {
            (TokenKind::QuotedName, Construct::QuotedName)
        };
        self.at += 1;
        while let Some(byte) = self.peek(0) {
            if byte == b'\\' && escape == Escape::Backslash {
                self.at += 2;
            } else if byte != close {
                self.at += 1;
            } else if escape != Escape::None && self.peek(1) == Some(close) {
                self.at += 2;
            } else {
                self.at += 1;
                if escape == Escape::Backslash && self.continues_on_next_line() {
                    continue;
                }
                return Ok(kind);
            }
        }
        Err(construct)
    }

    /// After the end of an escape literal: a literal on a following line is more of it, in the same syntax. Moves
    /// into it.
    fn continues_on_next_line(&mut self) -> bool {
        let mut ahead = self.clone();
        let mut newline = false;
        loop {
            ahead.pass_while(|byte| {
                newline |= matches!(byte, b'\n' | b'\r');
                byte.is_ascii_whitespace() || byte == b'\x0b'
            });
            if ahead.rest().starts_with(b"--") {
                ahead.line_comment();
            } else {
                break;
            }
        }
        if newline && ahead.peek(0) == Some(b'\'') {
            self.at = ahead.at + 1;
            return true;
        }
        false
    }

    fn dollar(&mut self) -> Result<TokenKind, Construct> {
        self.at += 1;
        if self.peek(0).is_some_and(|byte| byte.is_ascii_digit()) {
            self.pass_while(|byte| byte.is_ascii_digit());
            return Ok(TokenKind::Parameter);
        }
        let start = self.at - 1;
        let tag = self.rest();
        let tag_len = tag
            .iter()
            .position(|&byte| !continues_word(byte) || byte == b'$')
            .unwrap_or(tag.len());
        if tag.get(tag_len) != Some(&b'$') {
            return Ok(TokenKind::Symbol);
        }
        let delimiter = &self.text[start..=self.at + tag_len];
        let body = self.at + tag_len + 1;
        match self.text[body..].find(delimiter) {
            Some(len) => {
                self.at = body + len + delimiter.len();
                Ok(TokenKind::Literal)
            }
            None => Err(Construct::DollarQuote(delimiter.to_owned())),
        }
    }

    fn sqlite_parameter(&mut self, first: u8) -> TokenKind {
        self.at += 1;
        if first == b'?' {
            self.pass_while(|byte| byte.is_ascii_digit());
            return TokenKind::Parameter;
        }
        let start = self.at;
        while let Some(byte) = self.peek(0) {
            if continues_word(byte) {
                self.at += 1;
            } else if byte == b':' && self.peek(1) == Some(b':') {
                self.at += 2;
            } else if byte == b'(' && self.at > start {
                // SQLite takes the array elements of Tcl for one name, whatever stands in the parentheses.
                self.pass_while(|byte| !byte.is_ascii_whitespace() && byte != b')');
                if self.peek(0) == Some(b')') {
                    self.at += 1;
                }
                break;
            } else {
                break;
            }
        }
        if self.at == start {
            TokenKind::Symbol
        } else {
            TokenKind::Parameter
        }
    }

    fn number(&mut self) -> TokenKind {
        let digit = |byte: u8| byte.is_ascii_digit() || byte == b'_';
        if self.peek(0) == Some(b'0')
            && matches!(self.peek(1), Some(b'x' | b'X'))
            && self.peek(2).is_some_and(|byte| byte.is_ascii_hexdigit())
        {
            self.at += 2;
            self.pass_while(|byte| byte.is_ascii_hexdigit() || byte == b'_');
            return TokenKind::Number;
        }
        self.pass_while(digit);
        // `1..10` is a range of two numbers.
        if self.peek(0) == Some(b'.') && self.peek(1) != Some(b'.') {
            self.at += 1;
            self.pass_while(digit);
        }
        if matches!(self.peek(0), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(self.peek(1), Some(b'+' | b'-')));
            if self
                .peek(1 + sign)
                .is_some_and(|byte| byte.is_ascii_digit())
            {
                self.at += 1 + sign;
                self.pass_while(digit);
            }
        }
        TokenKind::Number
    }

    fn word(&mut self) -> Result<TokenKind, Construct> {
        match self.prefix_len() {
            Some(len) => {
                let escape = match self.rest()[0] {
                    b'E' | b'e' => Escape::Backslash,
                    _ => Escape::Doubling,
                };
                self.at += len;
                self.quoted(self.text.as_bytes()[self.at], escape)
            }
            None => {
                self.pass_while(continues_word);
                Ok(TokenKind::Word)
            }
        }
    }

    /// How long a prefix is that belongs to the quote directly behind it.
    fn prefix_len(&self) -> Option<usize> {
        let postgresql = self.dialect == Dialect::Postgresql;
        match (self.rest(), postgresql) {
            ([b'X' | b'x', b'\'', ..], _) => Some(1),
            ([b'E' | b'e' | b'B' | b'b' | b'N' | b'n', b'\'', ..], true) => Some(1),
            ([b'U' | b'u', b'&', b'\'' | b'"', ..], true) => Some(2),
            _ => None,
        }
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Result<Token<'a>, Unterminated>;

    fn next(&mut self) -> Option<Self::Item> {
        self.skip_whitespace();
        let offset = self.at;
        let first = self.peek(0)?;
        let kind = match self.advance(first) {
            Ok(kind) => kind,
            Err(construct) => {
                self.at = self.text.len();
                return Some(Err(Unterminated { construct, offset }));
            }
        };
        Some(Ok(Token {
            kind,
            text: &self.text[offset..self.at],
            offset,
        }))
    }
}

/// How a quote gets into quotes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escape {
    None,
    Doubling,
    Backslash,
}

/// Both databases take every byte of a character beyond ASCII for a letter.
fn starts_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || !byte.is_ascii()
}

fn continues_word(byte: u8) -> bool {
    starts_word(byte) || byte.is_ascii_digit() || byte == b'$'
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test may panic")]

    use super::TokenKind::*;
    use super::*;
    use Dialect::{Postgresql, Sqlite};

    fn tokens(text: &str, dialect: Dialect) -> Vec<(TokenKind, &str)> {
        Lexer::new(text, dialect)
            .map(|token| token.unwrap())
            .map(|token| (token.kind, token.text))
            .collect()
    }

    #[test]
    fn a_byte_order_mark_behind_the_beginning_is_a_letter_to_postgresql() {
        let text = "\u{feff}a \u{feff}E'b\\'";
        assert_eq!(
            tokens(text, Postgresql),
            [(Word, "a"), (Word, "\u{feff}E"), (Literal, "'b\\'")]
        );
        assert_eq!(tokens("a \u{feff}b", Sqlite), [(Word, "a"), (Word, "b")]);
    }

    #[test]
    fn one_token_is_one_token_in_both_dialects() {
        let cases = [
            ("select", Word),
            ("_a1$b", Word),
            ("größe", Word),
            ("'it''s'", Literal),
            (r"'a\'", Literal),
            ("''", Literal),
            ("X'00ff'", Literal),
            (r#""a ""quoted"" name;""#, QuotedName),
            ("1", Number),
            ("1.5e-10", Number),
            (".5", Number),
            ("1.", Number),
            ("0xFFee", Number),
            ("1_000", Number),
            ("$1", Parameter),
            ("-- a; b", Comment),
            ("/* ' \" $$ ; */", Comment),
            (";", Semicolon),
            ("(", Open),
            (")", Close),
            (",", Symbol),
            ("\\", Symbol),
        ];
        for (text, kind) in cases {
            for dialect in [Postgresql, Sqlite] {
                assert_eq!(tokens(text, dialect), [(kind, text)], "{dialect}");
            }
        }
    }

    #[test]
    fn what_the_dialects_read_differently() {
        type Tokens<'a> = &'a [(TokenKind, &'a str)];
        let cases: &[(&str, Dialect, Tokens<'_>)] = &[
            (r"E'a\';'", Postgresql, &[(Literal, r"E'a\';'")]),
            (
                r"E'a\' x",
                Sqlite,
                &[(Word, "E"), (Literal, r"'a\'"), (Word, "x")],
            ),
            (r"e'\\'''", Postgresql, &[(Literal, r"e'\\'''")]),
            (r"U&'\'", Postgresql, &[(Literal, r"U&'\'")]),
            ("N'a'", Postgresql, &[(Literal, "N'a'")]),
            ("B'01'", Postgresql, &[(Literal, "B'01'")]),
            (
                r#"U&"d\0061t""#,
                Postgresql,
                &[(QuotedName, r#"U&"d\0061t""#)],
            ),
            ("[a;b]", Sqlite, &[(QuotedName, "[a;b]")]),
            (
                "a[1]",
                Postgresql,
                &[(Word, "a"), (Symbol, "["), (Number, "1"), (Symbol, "]")],
            ),
            ("`a``;`", Sqlite, &[(QuotedName, "`a``;`")]),
            ("$$;$$", Postgresql, &[(Literal, "$$;$$")]),
            ("$a$ $b$ $a$", Postgresql, &[(Literal, "$a$ $b$ $a$")]),
            ("$ä$;$ä$", Postgresql, &[(Literal, "$ä$;$ä$")]),
            ("a$b$;", Postgresql, &[(Word, "a$b$"), (Semicolon, ";")]),
            ("1$$;$$", Postgresql, &[(Number, "1"), (Literal, "$$;$$")]),
            (
                "$1$$;$$",
                Postgresql,
                &[(Parameter, "$1"), (Literal, "$$;$$")],
            ),
            ("$a", Postgresql, &[(Symbol, "$"), (Word, "a")]),
            ("/* /* */ ; */", Postgresql, &[(Comment, "/* /* */ ; */")]),
            (
                "/* /* */ ;",
                Sqlite,
                &[(Comment, "/* /* */"), (Semicolon, ";")],
            ),
            ("--a\rb", Postgresql, &[(Comment, "--a"), (Word, "b")]),
            ("--a\rb", Sqlite, &[(Comment, "--a\rb")]),
            (
                "a::b",
                Postgresql,
                &[(Word, "a"), (Symbol, ":"), (Symbol, ":"), (Word, "b")],
            ),
            ("?", Sqlite, &[(Parameter, "?")]),
            ("?12", Sqlite, &[(Parameter, "?12")]),
            (":name", Sqlite, &[(Parameter, ":name")]),
            ("@name", Sqlite, &[(Parameter, "@name")]),
            ("$a::b(;)", Sqlite, &[(Parameter, "$a::b(;)")]),
            (
                "$(;",
                Sqlite,
                &[(Symbol, "$"), (Open, "("), (Semicolon, ";")],
            ),
            (
                "a ? b",
                Postgresql,
                &[(Word, "a"), (Symbol, "?"), (Word, "b")],
            ),
        ];
        for (text, dialect, expected) in cases {
            assert_eq!(tokens(text, *dialect), *expected, "{dialect}: {text}");
        }
    }

    #[test]
    fn an_escape_literal_goes_on_after_a_line_break() {
        let continued = "E'a' -- why\n  'b\\';'";
        assert_eq!(tokens(continued, Postgresql), [(Literal, continued)]);
        assert_eq!(
            tokens("E'a' 'b'", Postgresql),
            [(Literal, "E'a'"), (Literal, "'b'")]
        );
    }

    #[test]
    fn comments_start_inside_of_operators() {
        assert_eq!(
            tokens("1+--;\n2*/*;*/3", Postgresql),
            [
                (Number, "1"),
                (Symbol, "+"),
                (Comment, "--;"),
                (Number, "2"),
                (Symbol, "*"),
                (Comment, "/*;*/"),
                (Number, "3")
            ]
        );
    }

    #[test]
    fn numbers_end_where_words_and_ranges_begin() {
        assert_eq!(
            tokens(r"1E'a\''", Postgresql),
            [(Number, "1"), (Literal, r"E'a\''")]
        );
        assert_eq!(
            tokens("1..10", Postgresql),
            [(Number, "1"), (Symbol, "."), (Number, ".10")]
        );
    }

    #[test]
    fn what_has_no_end_is_named_with_its_start() {
        let cases = [
            ("a 'b", Postgresql, Construct::Literal),
            (r"a E'b\'", Postgresql, Construct::Literal),
            ("a E'b\\", Postgresql, Construct::Literal),
            ("a \"b", Sqlite, Construct::QuotedName),
            ("a [b", Sqlite, Construct::QuotedName),
            ("a /* /* */", Postgresql, Construct::Comment),
            (
                "a $x$ b $y$",
                Postgresql,
                Construct::DollarQuote("$x$".to_owned()),
            ),
        ];
        for (text, dialect, construct) in cases {
            let mut lexer = Lexer::new(text, dialect);
            assert_eq!(lexer.next().unwrap().unwrap().text, "a");
            let error = lexer.next().unwrap().unwrap_err();
            assert_eq!(
                error,
                Unterminated {
                    construct,
                    offset: 2
                },
                "{text}"
            );
            assert_eq!(lexer.next(), None, "{text}");
        }
    }
}
