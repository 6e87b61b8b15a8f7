//! Backfills that are an UPDATE in a SQL file.

use super::spec::{Change, Changed, Keep, Order, Spec};
use crate::document::nearest;
use crate::driver::{Dialect, path};
use crate::sql::{Lexer, Token, TokenKind};

/// The lines that may stand above the statement, as `-- key: value`.
const OPTIONS: [&str; 6] = ["key", "order", "changed", "keep", "batch", "workers"];

/// Why a section is no backfill; the text says what is wrong and what to write, `line` where, counted from its first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// The line, from 0.
    pub line: u32,
    /// What is wrong with it.
    pub message: String,
}

impl Spec {
    /// Reads a section: lines `-- option: value`, then one UPDATE of one table.
    ///
    /// # Errors
    /// [`Unread`].
    pub fn declared(text: &str, dialect: Dialect) -> Result<Self, Unread> {
        let mut spec = Self::default();
        let mut offset = 0;
        for (number, line) in (0u32..).zip(text.split_inclusive('\n')) {
            let trimmed = line.trim();
            match trimmed.strip_prefix("--").map(str::trim) {
                Some(comment) => spec.option(comment).map_err(|message| Unread {
                    line: number,
                    message,
                })?,
                None if trimmed.is_empty() => {}
                None => break,
            }
            offset += line.len();
        }
        let above = u32::try_from(text[..offset].matches('\n').count()).unwrap_or(u32::MAX);
        let statement = &text[offset..];
        let tokens: Result<Vec<Token<'_>>, _> = Lexer::new(statement, dialect).collect();
        let unread = |line: u32, message: &str| Unread {
            line: above + line,
            message: message.to_owned(),
        };
        let mut tokens = tokens.map_err(|error| unread(0, &error.to_string()))?;
        tokens.retain(|token| token.kind != TokenKind::Comment);
        while tokens
            .last()
            .is_some_and(|token| token.kind == TokenKind::Semicolon)
        {
            tokens.pop();
        }
        Update::new(statement, &tokens, dialect)
            .read(&mut spec)
            .map_err(|(at, message)| {
                let before = &statement[..at.min(statement.len())];
                let line = u32::try_from(before.matches('\n').count()).unwrap_or(u32::MAX);
                unread(line, &message)
            })?;
        Ok(spec)
    }

    /// Reads one line above the statement; what has no `key:` is a comment.
    fn option(&mut self, comment: &str) -> Result<(), String> {
        let Some((key, value)) = comment.split_once(':') else {
            return Ok(());
        };
        let (key, value) = (key.trim(), value.trim());
        if key.is_empty() || key.contains(char::is_whitespace) {
            return Ok(());
        }
        match key {
            "key" => {
                self.key = value
                    .split(',')
                    .map(|name| name.trim().to_owned())
                    .collect()
            }
            "order" => {
                self.order = Order::read(value)
                    .ok_or_else(|| format!("`order: {value}`: write ascending or descending"))?;
            }
            "changed" => {
                self.changed = Some(
                    Changed::read(value)
                        .ok_or_else(|| format!("`changed: {value}`: write again or leave"))?,
                );
            }
            "keep" if value == "old-values" => self.keep = Keep::OldValues,
            "keep" => return Err(format!("`keep: {value}`: write old-values")),
            "batch" => {
                let duration = value
                    .parse::<jiff::SignedDuration>()
                    .ok()
                    .and_then(|duration| duration.try_into().ok());
                self.batch = Some(duration.ok_or_else(|| {
                    format!("`batch: {value}`: write how long one batch should take, as in 250ms")
                })?);
            }
            "workers" => {
                let workers = value.parse().ok().filter(|workers| *workers > 0);
                self.workers = Some(
                    workers
                        .ok_or_else(|| format!("`workers: {value}`: write a number from 1 on"))?,
                );
            }
            _ => {
                return Err(match nearest(key, OPTIONS) {
                    Some(other) => format!("no option is called `{key}`; did you mean `{other}`?"),
                    None => format!(
                        "no option is called `{key}`; there are {}",
                        OPTIONS.join(", ")
                    ),
                });
            }
        }
        Ok(())
    }
}

/// `UPDATE table [AS alias] SET … [WHERE …]`, cut at its keywords.
struct Update<'a> {
    sql: &'a str,
    tokens: &'a [Token<'a>],
    dialect: Dialect,
    depths: Vec<usize>,
}

type At = (usize, String);

impl<'a> Update<'a> {
    fn new(sql: &'a str, tokens: &'a [Token<'a>], dialect: Dialect) -> Self {
        let mut depth = 0_usize;
        let depths = tokens
            .iter()
            .map(|token| {
                if token.kind == TokenKind::Close {
                    depth = depth.saturating_sub(1);
                }
                let here = depth;
                if token.kind == TokenKind::Open {
                    depth += 1;
                }
                here
            })
            .collect();
        Self {
            sql,
            tokens,
            dialect,
            depths,
        }
    }

    fn fail<T>(&self, at: usize, message: &str) -> Result<T, At> {
        let offset = self.tokens.get(at).map_or(self.sql.len(), |t| t.offset);
        Err((offset, message.to_owned()))
    }

    fn outermost(&self, word: &str) -> Option<usize> {
        (0..self.tokens.len()).find(|&at| self.depths[at] == 0 && self.tokens[at].is_word(word))
    }

    /// The text of some tokens, and what lies between them.
    fn text(&self, from: usize, to: usize) -> &'a str {
        match (self.tokens.get(from), to.checked_sub(1)) {
            (Some(first), Some(last)) if last >= from => {
                &self.sql[first.offset..self.tokens[last].end()]
            }
            _ => "",
        }
    }

    fn read(&self, spec: &mut Spec) -> Result<(), At> {
        const FORM: &str =
            "a backfill is one statement: UPDATE table SET column = expression WHERE condition";
        if !self
            .tokens
            .first()
            .is_some_and(|token| token.is_word("update"))
        {
            return self.fail(0, FORM);
        }
        let other = |token: &Token<'_>| {
            token.kind == TokenKind::Semicolon || token.kind == TokenKind::Parameter
        };
        if let Some(at) = self.tokens.iter().position(other) {
            let more = self.tokens[at].kind == TokenKind::Semicolon;
            return self.fail(if more { at + 1 } else { at }, FORM);
        }
        for word in ["from", "returning", "limit", "order"] {
            if let Some(at) = self.outermost(word) {
                return self.fail(
                    at,
                    "a backfill is an UPDATE of one table without FROM, ORDER BY, LIMIT and RETURNING; a subquery can read others",
                );
            }
        }
        let Some(set) = self.outermost("set") else {
            return self.fail(self.tokens.len(), FORM);
        };
        let end = self.tokens.len();
        let condition = self.outermost("where");
        let set_end = condition.unwrap_or(end);
        if set_end <= set + 1 || condition.is_some_and(|at| at + 1 >= end) {
            return self.fail(set_end, FORM);
        }
        self.relation(set, spec)?;
        spec.writes = self.targets(set + 1, set_end)?;
        spec.change = Change::Expression(self.text(set + 1, set_end).to_owned());
        spec.condition = condition.map(|at| self.text(at + 1, end).to_owned());
        spec.reads = self.columns(set + 1, end);
        Ok(())
    }

    /// The table and its alias, before SET.
    fn relation(&self, set: usize, spec: &mut Spec) -> Result<(), At> {
        let mut at = 1;
        while at < set && self.tokens.get(at + 1).is_some_and(|dot| dot.text == ".") {
            at += 2;
        }
        spec.table = self.text(1, at + 1).to_owned();
        let rest = match self.tokens.get(at + 1) {
            Some(token) if token.is_word("as") => at + 2,
            _ => at + 1,
        };
        spec.alias =
            match set.checked_sub(rest) {
                Some(0) if rest == at + 1 => None,
                Some(1) => Some(self.text(rest, set).to_owned()),
                _ => return self.fail(
                    rest,
                    "the name of one table stands between UPDATE and SET, with or without an alias",
                ),
            };
        match path(&spec.table, self.dialect) {
            Some(parts) if parts.len() <= 2 => Ok(()),
            _ => self.fail(1, "UPDATE needs the name of a table"),
        }
    }

    /// The columns that SET names.
    fn targets(&self, from: usize, to: usize) -> Result<Vec<String>, At> {
        let mut targets = Vec::new();
        let mut at = from;
        while at < to {
            if self.tokens[at].kind == TokenKind::Open {
                let close = (at..to).find(|&end| {
                    self.depths[end] == 0 && self.tokens[end].kind == TokenKind::Close
                });
                let names = (at + 1..close.unwrap_or(to))
                    .filter(|&at| self.tokens[at].text != ",")
                    .map(|at| self.tokens[at].text.to_owned());
                targets.extend(names);
            } else {
                targets.push(self.tokens[at].text.to_owned());
            }
            let comma = (at..to).find(|&at| self.depths[at] == 0 && self.tokens[at].text == ",");
            at = comma.map_or(to, |comma| comma + 1);
        }
        match targets
            .iter()
            .all(|name| path(name, self.dialect).is_some_and(|parts| parts.len() == 1))
        {
            true => Ok(targets),
            false => self.fail(from, "SET needs the names of columns"),
        }
    }

    /// All names that may be columns; those that are none are left out when the table is known.
    fn columns(&self, from: usize, to: usize) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for at in from..to {
            let token = &self.tokens[at];
            let is_name = matches!(token.kind, TokenKind::Word | TokenKind::QuotedName);
            let is_function = self
                .tokens
                .get(at + 1)
                .is_some_and(|next| next.kind == TokenKind::Open);
            let is_target = self.tokens.get(at + 1).is_some_and(|next| next.text == "=")
                && self.depths[at] == 0
                && (at == from || self.tokens[at - 1].text == ",");
            if is_name && !is_function && !is_target && !names.iter().any(|name| name == token.text)
            {
                names.push(token.text.to_owned());
            }
        }
        names
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    fn read(text: &str) -> Result<Spec, Unread> {
        Spec::declared(text, Dialect::Postgresql)
    }

    #[test]
    fn an_update_is_cut_into_its_parts() {
        let spec = read(
            "-- key: tenant, id\n-- changed: again\n-- keep: old-values\n-- batch: 250ms\n-- workers: 3\n\
             UPDATE app.users AS u SET email_key = lower(u.email), (a, \"B\") = (1, 2)\nWHERE email IS NOT NULL;\n",
        )
        .unwrap();
        assert_eq!(spec.table, "app.users");
        assert_eq!(spec.alias.as_deref(), Some("u"));
        assert_eq!(spec.key, ["tenant", "id"]);
        assert_eq!(spec.writes, ["email_key", "a", "\"B\""]);
        assert_eq!(
            spec.change,
            Change::Expression("email_key = lower(u.email), (a, \"B\") = (1, 2)".to_owned())
        );
        assert_eq!(spec.condition.as_deref(), Some("email IS NOT NULL"));
        assert_eq!(spec.changed, Some(Changed::Again));
        assert_eq!(spec.keep, Keep::OldValues);
        assert_eq!(spec.batch, Some(std::time::Duration::from_millis(250)));
        assert_eq!(spec.workers, Some(3));
        assert!(spec.reads.contains(&"email".to_owned()), "{:?}", spec.reads);
        assert!(
            !spec.reads.contains(&"email_key".to_owned()),
            "{:?}",
            spec.reads
        );
    }

    #[test]
    fn a_target_that_is_also_read_is_read() {
        let spec = read("UPDATE t SET price = price * 100").unwrap();
        assert_eq!(spec.reads, ["price"]);
        assert_eq!(spec.condition, None);
    }

    #[test]
    fn anything_else_is_refused_with_its_line() {
        let cases = [
            ("SELECT 1", 0, "one statement"),
            ("", 0, "one statement"),
            ("\n\nUPDATE t SET a = 1;\nDELETE FROM t", 3, "one statement"),
            ("UPDATE t SET a = u.b\nFROM u", 1, "one table"),
            ("UPDATE t SET a = 1 RETURNING a", 0, "one table"),
            ("UPDATE t, u SET a = 1", 0, "one table"),
            ("UPDATE t SET a = $1", 0, "one statement"),
            ("UPDATE t SET a = 1 WHERE", 0, "one statement"),
            (
                "-- ordre: ascending\nUPDATE t SET a = 1",
                0,
                "did you mean `order`?",
            ),
            (
                "-- x: y\n-- changed: no\nUPDATE t SET a = 1",
                0,
                "no option",
            ),
            (
                "-- a remark\n-- changed: no\nUPDATE t SET a = 1",
                1,
                "again or leave",
            ),
            ("UPDATE t SET a = 'x", 0, "no end"),
        ];
        for (text, line, part) in cases {
            let unread = read(text).unwrap_err();
            assert_eq!(unread.line, line, "{text}: {unread:?}");
            assert!(unread.message.contains(part), "{text}: {unread:?}");
        }
    }
}
