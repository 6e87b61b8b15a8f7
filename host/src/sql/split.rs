//! Cuts a file of SQL into the statements that a server takes one at a time.

use thiserror::Error;

use super::lexer::{Construct, Lexer, Token, TokenKind};
use crate::driver::Dialect;

/// One statement of a text, without its semicolon and without the comments around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The statement; comments inside it are kept.
    pub text: &'a str,
    /// Where it starts: bytes from the start of the text.
    pub offset: usize,
    /// Where it starts, for people.
    pub start: Location,
}

/// A place in a text, as editors count: from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// The line.
    pub line: u32,
    /// The character in the line.
    pub column: u32,
}

impl Location {
    const START: Self = Self { line: 1, column: 1 };

    /// Where one is after `text` that starts here.
    fn after(self, text: &str) -> Self {
        let mut lines = text.rsplit('\n');
        let last = lines.next().map_or(0, |line| line.chars().count());
        let newlines = count(lines.count());
        if newlines == 0 {
            Self {
                line: self.line,
                column: self.column.saturating_add(count(last)),
            }
        } else {
            Self {
                line: self.line.saturating_add(newlines),
                column: count(last).saturating_add(1),
            }
        }
    }
}

impl Piece<'_> {
    /// Where a character of the statement stands in the text, by its 1-based position as databases report it. A
    /// position past the end is the end.
    pub fn locate(&self, position: u32) -> Location {
        let characters = usize::try_from(position).map_or(usize::MAX, |p| p.saturating_sub(1));
        let end = self
            .text
            .char_indices()
            .nth(characters)
            .map_or(self.text.len(), |(at, _)| at);
        self.start.after(&self.text[..end])
    }
}

/// Why a text cannot be cut into statements.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SplitError {
    /// Something is opened and never closed.
    #[error("the {construct} that starts at line {line} has no end")]
    Unterminated {
        /// What.
        construct: Construct,
        /// The 1-based line where it starts.
        line: u32,
    },
    /// A command of psql or of the sqlite3 shell.
    #[error(
        "`{command}` at line {line} is a command of the {shell} shell, not SQL; remove it or write it as SQL"
    )]
    ShellCommand {
        /// Its first word.
        command: String,
        /// `psql` or `sqlite3`.
        shell: &'static str,
        /// The 1-based line.
        line: u32,
    },
    /// Data of COPY between statements, as `pg_dump` writes it.
    #[error(
        "COPY … FROM STDIN at line {line} needs a client that sends data; write INSERT statements, \
         as `pg_dump --inserts` does, or load the data from a component"
    )]
    CopyFromStdin {
        /// The 1-based line.
        line: u32,
    },
}

impl SplitError {
    /// The 1-based line that the error is about.
    pub fn line(&self) -> u32 {
        match self {
            Self::Unterminated { line, .. }
            | Self::ShellCommand { line, .. }
            | Self::CopyFromStdin { line } => *line,
        }
    }

    /// The same error in a text that has `lines` more lines in front.
    #[must_use]
    pub fn below(mut self, lines: u32) -> Self {
        match &mut self {
            Self::Unterminated { line, .. }
            | Self::ShellCommand { line, .. }
            | Self::CopyFromStdin { line } => *line = line.saturating_add(lines),
        }
        self
    }
}

/// Cuts `text` into its statements. What holds nothing but comments is no statement.
///
/// # Errors
/// [`SplitError`] with the line of what no server would take.
pub fn split(text: &str, dialect: Dialect) -> Result<Vec<Piece<'_>>, SplitError> {
    let line_of = |offset: usize| Location::START.after(&text[..offset]).line;
    let unterminated = |construct, offset| SplitError::Unterminated {
        construct,
        line: line_of(offset),
    };

    let mut pieces = Vec::new();
    let mut last_end = (0, Location::START);
    let mut finish = |statement: &Statement| -> Result<(), SplitError> {
        let Some((offset, end)) = statement.span else {
            return Ok(());
        };
        if statement.copies_from_stdin() {
            return Err(SplitError::CopyFromStdin {
                line: line_of(offset),
            });
        }
        let start = last_end.1.after(&text[last_end.0..offset]);
        last_end = (offset, start);
        pieces.push(Piece {
            text: &text[offset..end],
            offset,
            start,
        });
        Ok(())
    };

    let mut statement = Statement::default();
    for token in Lexer::new(text, dialect) {
        let token = match token {
            Ok(token) => token,
            Err(error) => return Err(unterminated(error.construct, error.offset)),
        };
        if let Some(shell) = statement.shell_command(&token, dialect) {
            let command = text[token.offset..]
                .split_whitespace()
                .next()
                .unwrap_or_default();
            return Err(SplitError::ShellCommand {
                command: command.to_owned(),
                shell,
                line: line_of(token.offset),
            });
        }
        match token.kind {
            TokenKind::Comment => {}
            TokenKind::Semicolon if statement.may_end() => {
                finish(&statement)?;
                statement = Statement::default();
            }
            _ => statement.take(&token, dialect),
        }
    }
    if let Some(offset) = statement.body {
        return Err(unterminated(Construct::Body, offset));
    }
    if let Some(&offset) = statement.parentheses.first() {
        return Err(unterminated(Construct::Parenthesis, offset));
    }
    finish(&statement)?;
    Ok(pieces)
}

/// The statement that is being read.
#[derive(Default)]
struct Statement<'a> {
    /// First byte, and the byte after the last.
    span: Option<(usize, usize)>,
    /// Its first words, up to the first token that is none.
    head: Head<'a>,
    /// The parentheses that are open, by their offsets.
    parentheses: Vec<usize>,
    /// Where the body that is open begins.
    body: Option<usize>,
    /// The token before, comments left out.
    previous: Option<Token<'a>>,
    /// FROM STDIN was read outside of parentheses.
    from_stdin: bool,
}

/// What a statement is, as far as it matters to find its end.
#[derive(Default)]
enum Head<'a> {
    /// So far these words, which do not say.
    Words(Vec<&'a str>),
    /// It may have a body in which semicolons end nothing.
    WithBody,
    /// COPY.
    Copy,
    /// Anything else.
    #[default]
    Plain,
}

impl<'a> Statement<'a> {
    fn may_end(&self) -> bool {
        self.parentheses.is_empty() && self.body.is_none()
    }

    fn copies_from_stdin(&self) -> bool {
        self.from_stdin && matches!(self.head, Head::Copy)
    }

    /// The shell whose command the token would start here.
    fn shell_command(&self, token: &Token<'_>, dialect: Dialect) -> Option<&'static str> {
        match (token.text, dialect) {
            ("\\", Dialect::Postgresql) => Some("psql"),
            (".", Dialect::Sqlite) if self.span.is_none() => Some("sqlite3"),
            _ => None,
        }
    }

    fn take(&mut self, token: &Token<'a>, dialect: Dialect) {
        match &mut self.span {
            Some((_, end)) => *end = token.end(),
            None => {
                self.span = Some((token.offset, token.end()));
                self.head = Head::Words(Vec::new());
            }
        }
        if let Head::Words(words) = &mut self.head {
            if token.kind == TokenKind::Word {
                words.push(token.text);
                if let Some(head) = classify(words, dialect) {
                    self.head = head;
                }
            } else {
                self.head = Head::Plain;
            }
        }
        match token.kind {
            TokenKind::Open => self.parentheses.push(token.offset),
            TokenKind::Close => {
                self.parentheses.pop();
            }
            TokenKind::Word => self.take_word(token, dialect),
            _ => {}
        }
        self.previous = Some(*token);
    }

    fn take_word(&mut self, token: &Token<'a>, dialect: Dialect) {
        let Some(previous) = self.previous else {
            return;
        };
        if matches!(self.head, Head::Copy) {
            self.from_stdin |= previous.is_word("from") && token.is_word("stdin");
        }
        if !matches!(self.head, Head::WithBody) {
            return;
        }
        match (self.body, dialect) {
            (None, Dialect::Postgresql) if previous.is_word("begin") && token.is_word("atomic") => {
                self.body = Some(previous.offset);
            }
            (None, Dialect::Sqlite) if token.is_word("begin") => self.body = Some(token.offset),
            // END closes the body only where a statement could start: any other belongs to a CASE or is a name.
            (Some(_), _)
                if token.is_word("end")
                    && (previous.kind == TokenKind::Semicolon || previous.is_word("atomic")) =>
            {
                self.body = None;
            }
            _ => {}
        }
    }
}

/// What a statement that starts with `words` is; `None` while the next word may tell.
fn classify<'a>(words: &[&str], dialect: Dialect) -> Option<Head<'a>> {
    let is =
        |at: usize, keyword: &str| words.get(at).map(|word| word.eq_ignore_ascii_case(keyword));
    if dialect == Dialect::Postgresql && is(0, "COPY")? {
        return Some(Head::Copy);
    }
    let create = match (is(0, "EXPLAIN")?, dialect) {
        (true, Dialect::Sqlite) if is(1, "QUERY")? => 3,
        (true, Dialect::Sqlite) => 1,
        _ => 0,
    };
    if !is(create, "CREATE")? {
        return Some(Head::Plain);
    }
    let (skipped, objects): (&[&str], &[&str]) = match dialect {
        Dialect::Postgresql => (&["OR", "REPLACE"], &["FUNCTION", "PROCEDURE"]),
        Dialect::Sqlite => (&["TEMP", "TEMPORARY"], &["TRIGGER"]),
    };
    let among = |word: &str, list: &[&str]| list.iter().any(|one| one.eq_ignore_ascii_case(word));
    let object = words[create + 1..]
        .iter()
        .find(|word| !among(word, skipped))?;
    Some(if among(object, objects) {
        Head::WithBody
    } else {
        Head::Plain
    })
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test may panic")]

    use super::*;
    use Dialect::{Postgresql, Sqlite};

    fn texts(text: &str, dialect: Dialect) -> Vec<&str> {
        let pieces = split(text, dialect).unwrap_or_else(|error| panic!("{text}: {error}"));
        pieces.into_iter().map(|piece| piece.text).collect()
    }

    #[test]
    fn semicolons_end_statements_and_comments_are_none() {
        for dialect in [Postgresql, Sqlite] {
            assert_eq!(texts("", dialect), [""; 0]);
            assert_eq!(texts(" ;; -- nothing;\n/* ; */ ;", dialect), [""; 0]);
            assert_eq!(texts("\u{feff}a ; b", dialect), ["a", "b"]);
            assert_eq!(
                texts("-- lead\na /* in; */ b -- trail\n; c -- end", dialect),
                ["a /* in; */ b", "c"]
            );
            assert_eq!(
                texts("select ';', \";\"; b", dialect),
                ["select ';', \";\"", "b"]
            );
        }
    }

    #[test]
    fn a_statement_that_holds_semicolons_stays_whole() {
        let cases = [
            (
                Postgresql,
                "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$BEGIN; RETURN 1; END$$",
            ),
            (Postgresql, "DO $do$ BEGIN PERFORM $$;$$; END $do$"),
            (
                Postgresql,
                "CREATE RULE r AS ON INSERT TO t DO ALSO (INSERT INTO a VALUES (1); DELETE FROM b)",
            ),
            (
                Postgresql,
                "create function f() returns int begin atomic select case when true then 1 end; select 2 as end; end",
            ),
            (
                Postgresql,
                "CREATE OR REPLACE PROCEDURE p(a int DEFAULT 1) BEGIN ATOMIC INSERT INTO t VALUES (a); END",
            ),
            (
                Postgresql,
                "CREATE FUNCTION f() RETURNS void BEGIN ATOMIC END",
            ),
            (
                Sqlite,
                "CREATE TRIGGER x AFTER INSERT ON t BEGIN UPDATE t SET a = CASE WHEN 1 THEN 2 END; SELECT end FROM t; END",
            ),
            (
                Sqlite,
                "create temp trigger if not exists [begin] after update on t when new.a > 1 begin select 1; end",
            ),
            (
                Sqlite,
                "EXPLAIN CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END",
            ),
            (
                Sqlite,
                "explain query plan create trigger x after insert on t begin select 1;; end",
            ),
        ];
        for (dialect, statement) in cases {
            for text in [
                statement.to_owned(),
                format!("{statement} ; "),
                format!("a; {statement} -- x\n; b"),
            ] {
                assert!(texts(&text, dialect).contains(&statement), "{text}");
            }
            assert_eq!(
                texts(&format!("a;{statement};b"), dialect),
                ["a", statement, "b"]
            );
        }
    }

    #[test]
    fn begin_elsewhere_opens_no_body() {
        assert_eq!(
            texts("BEGIN; CREATE TABLE begin (atomic int); END;", Postgresql),
            ["BEGIN", "CREATE TABLE begin (atomic int)", "END"]
        );
        assert_eq!(
            texts("CREATE TRIGGER broken AFTER INSERT ON t; SELECT 1", Sqlite),
            ["CREATE TRIGGER broken AFTER INSERT ON t", "SELECT 1"]
        );
        assert_eq!(
            texts(
                "CREATE TRIGGER t BEFORE INSERT ON b EXECUTE FUNCTION begin(); a",
                Postgresql
            ),
            [
                "CREATE TRIGGER t BEFORE INSERT ON b EXECUTE FUNCTION begin()",
                "a"
            ]
        );
    }

    #[test]
    fn what_cannot_be_cut_is_named_with_its_line() {
        let body = |line| SplitError::Unterminated {
            construct: Construct::Body,
            line,
        };
        let cases = [
            (
                Postgresql,
                "a;\n'b;\n\n",
                SplitError::Unterminated {
                    construct: Construct::Literal,
                    line: 2,
                },
            ),
            (
                Postgresql,
                "a;\n\nDO $f$ BEGIN\n;",
                SplitError::Unterminated {
                    construct: Construct::DollarQuote("$f$".to_owned()),
                    line: 3,
                },
            ),
            (
                Sqlite,
                "a;\n/* b;",
                SplitError::Unterminated {
                    construct: Construct::Comment,
                    line: 2,
                },
            ),
            (
                Postgresql,
                "a;\nb (\n(c);\nd;",
                SplitError::Unterminated {
                    construct: Construct::Parenthesis,
                    line: 2,
                },
            ),
            (
                Sqlite,
                "\nCREATE TRIGGER x AFTER INSERT ON t\nBEGIN\nSELECT 1;\n",
                body(3),
            ),
            (
                Postgresql,
                "CREATE FUNCTION f() RETURNS int\nBEGIN ATOMIC\n SELECT CASE WHEN a THEN b END;",
                body(2),
            ),
            (
                Postgresql,
                "a;\n\\connect other\n",
                SplitError::ShellCommand {
                    command: "\\connect".to_owned(),
                    shell: "psql",
                    line: 2,
                },
            ),
            (
                Sqlite,
                "a;\n.mode csv\n",
                SplitError::ShellCommand {
                    command: ".mode".to_owned(),
                    shell: "sqlite3",
                    line: 2,
                },
            ),
            (
                Postgresql,
                "\nCOPY t (a, b) FROM stdin;\n1\tit's\n\\.\n",
                SplitError::CopyFromStdin { line: 2 },
            ),
            (
                Postgresql,
                "COPY t FROM STDIN WITH (FORMAT csv)",
                SplitError::CopyFromStdin { line: 1 },
            ),
        ];
        for (dialect, text, expected) in cases {
            let error = split(text, dialect).unwrap_err();
            assert_eq!(error, expected, "{text}");
            assert!(
                error
                    .to_string()
                    .contains(&format!("line {}", error.line()))
            );
        }
    }

    #[test]
    fn positions_lead_back_to_the_file() {
        let text = "-- ä\na;\r\n  sélect\n  üx; c";
        let pieces = split(text, Postgresql).unwrap();
        assert_eq!(pieces[1].text, "sélect\n  üx");
        assert_eq!(&text[pieces[1].offset..][..3], "sé");
        let at = |line, column| Location { line, column };
        assert_eq!(pieces[0].start, at(2, 1));
        assert_eq!(pieces[1].start, at(3, 3));
        assert_eq!(pieces[2].start, at(4, 7));
        assert_eq!(pieces[1].locate(1), at(3, 3));
        assert_eq!(pieces[1].locate(3), at(3, 5));
        assert_eq!(pieces[1].locate(11), at(4, 4));
        assert_eq!(pieces[1].locate(0), at(3, 3));
        assert_eq!(pieces[1].locate(u32::MAX), at(4, 5));
    }

    /// The splitter must take whatever an editor can save, and lose nothing but what lies between statements.
    #[test]
    fn any_text_is_cut_or_refused() {
        use rand::{RngExt as _, SeedableRng as _};
        const SCRAPS: &[&str] = &[
            "'",
            "\"",
            "$$",
            "$a$",
            "$1",
            "$",
            "/*",
            "*/",
            "--",
            "\n",
            "\r",
            ";",
            "(",
            ")",
            "E'",
            "U&\"",
            "\\",
            "[",
            "]",
            "`",
            "CREATE ",
            "TRIGGER ",
            "FUNCTION ",
            "BEGIN ",
            "ATOMIC ",
            "CASE ",
            "END ",
            "COPY ",
            "FROM ",
            "STDIN ",
            "x",
            "ü",
            "\u{feff}",
            "\0",
            "1e+",
            ".",
            "?",
            ":a",
            " ",
            "🦤",
        ];
        let mut random = rand::rngs::StdRng::seed_from_u64(7);
        for _ in 0..20_000 {
            let text: String = (0..random.random_range(0..24))
                .map(|_| SCRAPS[random.random_range(0..SCRAPS.len())])
                .collect();
            for dialect in [Postgresql, Sqlite] {
                let Ok(pieces) = split(&text, dialect) else {
                    continue;
                };
                // A byte order mark is one only where the file begins.
                let inner = |from: usize, to: usize| match from {
                    0 => text[..to].to_owned(),
                    _ => format!(" {}", &text[from..to]),
                };
                let mut end = 0;
                for piece in pieces {
                    assert!(piece.offset >= end && !piece.text.is_empty(), "{text:?}");
                    assert_eq!(&text[piece.offset..][..piece.text.len()], piece.text);
                    assert_eq!(piece.locate(1), piece.start);
                    let between = inner(end, piece.offset);
                    assert_eq!(split(&between, dialect), Ok(Vec::new()), "{text:?}");
                    let alone = inner(piece.offset, piece.offset + piece.text.len());
                    assert_eq!(texts(&alone, dialect), [piece.text], "{text:?}");
                    end = piece.offset + piece.text.len();
                }
            }
        }
    }
}
