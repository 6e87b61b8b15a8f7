//! Statements that can be run for many rows at once: with arrays in the place of their parameters.
//!
//! Only what is plainly recognised is rewritten, by its tokens: INSERT of one row of VALUES, UPDATE and DELETE by a key,
//! without subqueries and with functions that are known to compute only. Anything else is run row by row.

use std::fmt::Write as _;

use super::lexer::{Lexer, Token, TokenKind};
use super::words::names;
use crate::driver::Dialect;

/// The name of the rows in the rewritten statement.
const ROWS: &str = "whimbrel_rows";
/// How the names of their columns begin. No table's are likely to.
const COLUMN: &str = "whimbrel_";

/// Words that an opening parenthesis may follow: keywords, and functions of PostgreSQL's own that only compute.
const BEFORE_PARENTHESES: [&str; 41] = [
    "abs",
    "and",
    "any",
    "btrim",
    "case",
    "cast",
    "ceil",
    "coalesce",
    "concat",
    "concat_ws",
    "conflict",
    "else",
    "floor",
    "greatest",
    "in",
    "initcap",
    "jsonb_build_object",
    "least",
    "left",
    "length",
    "lower",
    "lpad",
    "ltrim",
    "md5",
    "not",
    "now",
    "nullif",
    "or",
    "replace",
    "reverse",
    "right",
    "round",
    "rpad",
    "rtrim",
    "split_part",
    "substr",
    "then",
    "trim",
    "upper",
    "values",
    "when",
];

/// Words that make a statement more than is understood here.
const STRANGE: [&str; 14] = [
    "between",
    "current",
    "default",
    "distinct",
    "from",
    "intersect",
    "overriding",
    "returning",
    "select",
    "table",
    "tablesample",
    "union",
    "using",
    "with",
];

/// A statement over arrays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Many {
    head: String,
    tail: String,
    /// The parameters, counted from 1, that together tell the rows of a batch apart: the statement has the same effect
    /// as row by row only for a batch in which no two rows have the same values for them. Empty where it always has.
    pub distinct: Vec<usize>,
}

impl Many {
    /// Recognises a statement.
    pub fn new(sql: &str) -> Option<Self> {
        let tokens: Vec<Token<'_>> = Lexer::new(sql, Dialect::Postgresql)
            .collect::<Result<Vec<_>, _>>()
            .ok()?
            .into_iter()
            .filter(|token| token.kind != TokenKind::Comment)
            .collect();
        let statement = Tokens::new(sql, tokens)?;
        match statement.word(0)?.as_str() {
            "insert" => statement.insert(),
            "update" => statement.update(),
            "delete" => statement.delete(),
            _ => None,
        }
    }

    /// The statement, whose parameters are arrays of these types, as SQL spells them.
    ///
    /// The arrays are taken apart where a SELECT names its columns: PostgreSQL stores what a function in FROM returns before it
    /// reads on, which costs a tenth of an UPDATE of many rows.
    pub fn over(&self, types: &[String]) -> String {
        let columns: Vec<String> = (types.iter().zip(1..))
            .map(|(element, number)| {
                format!("pg_catalog.unnest(${number}::{element}[]) AS {COLUMN}{number}")
            })
            .collect();
        format!(
            "{}(SELECT {}) AS {ROWS}{}",
            self.head,
            columns.join(", "),
            self.tail
        )
    }
}

struct Tokens<'a> {
    sql: &'a str,
    tokens: Vec<Token<'a>>,
    /// How many parentheses are open before each.
    depths: Vec<usize>,
}

impl<'a> Tokens<'a> {
    /// `None` where something stands in the statement that is not understood.
    fn new(sql: &'a str, mut tokens: Vec<Token<'a>>) -> Option<Self> {
        while tokens
            .last()
            .is_some_and(|token| token.kind == TokenKind::Semicolon)
        {
            tokens.pop();
        }
        let mut depth = 0_usize;
        let mut depths = Vec::with_capacity(tokens.len());
        for token in &tokens {
            if token.kind == TokenKind::Close {
                depth = depth.checked_sub(1)?;
            }
            depths.push(depth);
            match token.kind {
                TokenKind::Open => depth += 1,
                TokenKind::Semicolon => return None,
                TokenKind::Symbol if !"=,.:+-*/|<>%".contains(token.text) => return None,
                _ => {}
            }
        }
        (depth == 0).then_some(Self {
            sql,
            tokens,
            depths,
        })
    }

    /// A word that is no quoted name, in lower case.
    fn word(&self, at: usize) -> Option<String> {
        let token = self.tokens.get(at)?;
        (token.kind == TokenKind::Word).then(|| token.text.to_ascii_lowercase())
    }

    fn is(&self, at: usize, word: &str) -> bool {
        self.tokens.get(at).is_some_and(|token| token.is_word(word))
    }

    fn kind(&self, at: usize) -> Option<TokenKind> {
        self.tokens.get(at).map(|token| token.kind)
    }

    /// Reads a name with or without a schema; where it ends.
    fn name(&self, mut at: usize) -> Option<usize> {
        loop {
            if !matches!(self.kind(at)?, TokenKind::Word | TokenKind::QuotedName) {
                return None;
            }
            at += 1;
            match self.tokens.get(at) {
                Some(dot) if dot.text == "." => at += 1,
                _ => return Some(at),
            }
        }
    }

    /// The parenthesis that closes the one at `at`.
    fn closing(&self, at: usize) -> Option<usize> {
        let depth = *self.depths.get(at)?;
        (at + 1..self.tokens.len())
            .find(|&end| self.depths[end] == depth && self.tokens[end].kind == TokenKind::Close)
    }

    /// Whether all from `from` to `to` is an expression that only computes.
    fn is_plain(&self, from: usize, to: usize) -> bool {
        (from..to).all(|at| match self.word(at) {
            Some(word) if STRANGE.contains(&word.as_str()) => false,
            Some(word) => {
                self.kind(at + 1) != Some(TokenKind::Open)
                    || BEFORE_PARENTHESES.contains(&word.as_str())
            }
            // A quoted name may be that of any function.
            None => {
                self.kind(at) != Some(TokenKind::QuotedName)
                    || self.kind(at + 1) != Some(TokenKind::Open)
            }
        })
    }

    /// The text of some tokens and what lies between them, with columns in the place of parameters.
    fn filled(&self, from: usize, to: usize) -> Option<String> {
        let mut text = String::new();
        for at in from..to {
            let token = &self.tokens[at];
            if token.kind == TokenKind::Parameter {
                let number: usize = token.text.strip_prefix('$')?.parse().ok()?;
                let _ = write!(text, "{ROWS}.{COLUMN}{number}");
            } else {
                text.push_str(token.text);
            }
            let end = token.offset + token.text.len();
            let next = self.tokens.get(at + 1).map_or(end, |next| next.offset);
            // A comment between two tokens goes, and what remains keeps them apart.
            if next > end && at + 1 < to {
                text.push(' ');
            }
        }
        Some(text)
    }

    fn has_parameters(&self, from: usize, to: usize) -> bool {
        self.tokens[from..to]
            .iter()
            .any(|token| token.kind == TokenKind::Parameter)
    }

    fn insert(&self) -> Option<Many> {
        if !self.is(1, "into") {
            return None;
        }
        let columns = self.name(2)?;
        if self.kind(columns)? != TokenKind::Open {
            return None;
        }
        let columns_end = self.closing(columns)?;
        let values = columns_end + 2;
        if !self.is(columns_end + 1, "values") || self.kind(values)? != TokenKind::Open {
            return None;
        }
        let values_end = self.closing(values)?;
        let end = self.tokens.len();
        if !self.is_plain(values + 1, values_end) {
            return None;
        }
        let distinct = match values_end + 1 {
            rest if rest == end => Vec::new(),
            rest => self.conflict(rest, (columns, columns_end), (values, values_end))?,
        };
        Some(Many {
            head: format!(
                "{} SELECT {} FROM ",
                self.text(0, columns_end + 1),
                self.filled(values + 1, values_end)?
            ),
            tail: match values_end + 1 == end {
                true => String::new(),
                false => format!(" {}", self.text(values_end + 1, end)),
            },
            distinct,
        })
    }

    /// What an `ON CONFLICT` makes of rows with the same key: nothing happens to the later ones, or each changes the row
    /// again, which one statement refuses to do.
    fn conflict(
        &self,
        at: usize,
        columns: (usize, usize),
        values: (usize, usize),
    ) -> Option<Vec<usize>> {
        let end = self.tokens.len();
        if !self.is(at, "on") || !self.is(at + 1, "conflict") || self.has_parameters(at, end) {
            return None;
        }
        if !self.is_plain(at, end) {
            return None;
        }
        let target = at + 2;
        let (keys, action) = match self.kind(target)? {
            TokenKind::Open => {
                let target_end = self.closing(target)?;
                (self.list(target, target_end), target_end + 1)
            }
            _ => (Vec::new(), target),
        };
        if !self.is(action, "do") {
            return None;
        }
        if self.is(action + 1, "nothing") && action + 2 == end {
            return Some(Vec::new());
        }
        if !self.is(action + 1, "update") || !self.is(action + 2, "set") || keys.is_empty() {
            return None;
        }
        let names = self.list(columns.0, columns.1);
        let given = self.list(values.0, values.1);
        keys.iter()
            .map(|key| {
                let column = self.folded(*key)?;
                let at = names
                    .iter()
                    .position(|name| self.folded(*name).as_ref() == Some(&column))?;
                let (from, to) = *given.get(at)?;
                (to == from + 1).then(|| self.parameter(from)).flatten()
            })
            .collect()
    }

    /// The pieces between the commas of a list in parentheses.
    fn list(&self, open: usize, close: usize) -> Vec<(usize, usize)> {
        self.pieces(open + 1, close, |token| token.text == ",")
    }

    /// Cuts at tokens of the outermost level.
    fn pieces(
        &self,
        from: usize,
        to: usize,
        is_cut: impl Fn(&Token<'_>) -> bool,
    ) -> Vec<(usize, usize)> {
        let Some(&depth) = self.depths.get(from) else {
            return Vec::new();
        };
        let mut pieces = Vec::new();
        let mut start = from;
        for at in from..to {
            if self.depths[at] == depth && is_cut(&self.tokens[at]) {
                pieces.push((start, at));
                start = at + 1;
            }
        }
        pieces.push((start, to));
        pieces
    }

    /// The name that a piece is, as the server compares it: the last part, where it has several.
    fn folded(&self, (from, to): (usize, usize)) -> Option<String> {
        if from >= to || self.name(from)? != to {
            return None;
        }
        let last = &self.tokens[to - 1];
        let name = names(last.text, Dialect::Postgresql).next()?.ok()?;
        Some(name.text.into_owned())
    }

    fn parameter(&self, at: usize) -> Option<usize> {
        let token = self.tokens.get(at)?;
        match token.kind {
            TokenKind::Parameter => token.text.strip_prefix('$')?.parse().ok(),
            _ => None,
        }
    }

    fn update(&self) -> Option<Many> {
        let table = 1 + usize::from(self.is(1, "only"));
        let set = self.relation(table, "set")?;
        let filter = self.outermost(set, "where")?;
        let end = self.tokens.len();
        if !self.is_plain(set + 1, end) {
            return None;
        }
        let keys = self.keys(filter + 1)?;
        for (from, to) in self.pieces(set + 1, filter, |token| token.text == ",") {
            let equals = (from..to).find(|&at| self.tokens[at].text == "=")?;
            let target = self.folded((from, equals))?;
            if keys.iter().any(|(column, _)| *column == target) {
                return None;
            }
        }
        Some(Many {
            head: format!("{} FROM ", self.filled(0, filter)?),
            tail: format!(" {}", self.filled(filter, end)?),
            distinct: keys.into_iter().map(|(_, number)| number).collect(),
        })
    }

    fn delete(&self) -> Option<Many> {
        if !self.is(1, "from") {
            return None;
        }
        let table = 2 + usize::from(self.is(2, "only"));
        let filter = self.relation(table, "where")?;
        let end = self.tokens.len();
        if !self.is_plain(filter, end) {
            return None;
        }
        let keys = self.keys(filter + 1)?;
        Some(Many {
            head: format!("{} USING ", self.text(0, filter)),
            tail: format!(" {}", self.filled(filter, end)?),
            distinct: keys.into_iter().map(|(_, number)| number).collect(),
        })
    }

    /// Reads a table with or without an alias, up to this keyword.
    fn relation(&self, at: usize, then: &str) -> Option<usize> {
        let mut at = self.name(at)?;
        if !self.is(at, then) {
            at += usize::from(self.is(at, "as"));
            at = self.name(at).filter(|&end| end == at + 1)?;
        }
        self.is(at, then).then_some(at)
    }

    fn outermost(&self, from: usize, word: &str) -> Option<usize> {
        (from..self.tokens.len()).find(|&at| self.depths[at] == 0 && self.is(at, word))
    }

    /// The columns that a condition compares with a parameter each, and these: at least one.
    fn keys(&self, from: usize) -> Option<Vec<(String, usize)>> {
        let end = self.tokens.len();
        let mixes = |at: usize| self.is(at, "or") || self.is(at, "case");
        if (from..end).any(|at| self.depths[at] == 0 && mixes(at)) {
            return None;
        }
        let keys: Vec<_> = self
            .pieces(from, end, |token| token.is_word("and"))
            .into_iter()
            .filter_map(|(from, to)| self.key(from, to))
            .collect();
        (!keys.is_empty()).then_some(keys)
    }

    /// `column = $1` or `$1 = column`.
    fn key(&self, from: usize, to: usize) -> Option<(String, usize)> {
        let equals = (from..to).find(|&at| self.tokens[at].text == "=")?;
        let (left, right) = ((from, equals), (equals + 1, to));
        let only =
            |(from, to): (usize, usize)| (to == from + 1).then(|| self.parameter(from)).flatten();
        match (only(left), only(right)) {
            (None, Some(number)) => Some((self.folded(left)?, number)),
            (Some(number), None) => Some((self.folded(right)?, number)),
            _ => None,
        }
    }

    /// The text of some tokens as it stands.
    fn text(&self, from: usize, to: usize) -> &'a str {
        let start = self.tokens[from].offset;
        let last = &self.tokens[to - 1];
        &self.sql[start..last.offset + last.text.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(sql: &str) -> Option<(String, Vec<usize>)> {
        let many = Many::new(sql)?;
        let parameters = sql.matches('$').count();
        let types: Vec<String> = (0..parameters).map(|_| "int8".to_owned()).collect();
        Some((many.over(&types), many.distinct))
    }

    #[test]
    fn plain_statements_are_written_over_arrays() {
        let one = "(SELECT pg_catalog.unnest($1::int8[]) AS whimbrel_1) AS whimbrel_rows";
        let two = "(SELECT pg_catalog.unnest($1::int8[]) AS whimbrel_1, pg_catalog.unnest($2::int8[]) AS whimbrel_2) AS whimbrel_rows";
        let three = "(SELECT pg_catalog.unnest($1::int8[]) AS whimbrel_1, pg_catalog.unnest($2::int8[]) AS whimbrel_2, \
             pg_catalog.unnest($3::int8[]) AS whimbrel_3) AS whimbrel_rows";
        let cases = [
            (
                "INSERT INTO app.t (a, b) VALUES ($1, lower($2) || 'x')",
                format!(
                    "INSERT INTO app.t (a, b) SELECT whimbrel_rows.whimbrel_1, lower(whimbrel_rows.whimbrel_2) || 'x' FROM {two}"
                ),
                vec![],
            ),
            (
                "INSERT INTO t (a) VALUES ($1) ON CONFLICT DO NOTHING;",
                format!(
                    "INSERT INTO t (a) SELECT whimbrel_rows.whimbrel_1 FROM {one} ON CONFLICT DO NOTHING"
                ),
                vec![],
            ),
            (
                "INSERT INTO t (a, \"B\") VALUES ($1, $2) ON CONFLICT (\"B\") DO UPDATE SET a = excluded.a",
                format!(
                    "INSERT INTO t (a, \"B\") SELECT whimbrel_rows.whimbrel_1, whimbrel_rows.whimbrel_2 FROM {two} \
                     ON CONFLICT (\"B\") DO UPDATE SET a = excluded.a"
                ),
                vec![2],
            ),
            (
                "UPDATE t SET a = $2, b = b + $3 WHERE id = $1 AND c > 0",
                format!(
                    "UPDATE t SET a = whimbrel_rows.whimbrel_2, b = b + whimbrel_rows.whimbrel_3 FROM {three} \
                     WHERE id = whimbrel_rows.whimbrel_1 AND c > 0"
                ),
                vec![1],
            ),
            (
                "update only app.t AS x set a = $1 -- why\n where x.k = $2 and $3 = x.l",
                format!(
                    "update only app.t AS x set a = whimbrel_rows.whimbrel_1 FROM {three} \
                     where x.k = whimbrel_rows.whimbrel_2 and whimbrel_rows.whimbrel_3 = x.l"
                ),
                vec![2, 3],
            ),
            (
                "DELETE FROM t WHERE id = $1",
                format!("DELETE FROM t USING {one} WHERE id = whimbrel_rows.whimbrel_1"),
                vec![1],
            ),
        ];
        for (sql, expected, distinct) in cases {
            assert_eq!(over(sql), Some((expected, distinct)), "{sql}");
        }
    }

    #[test]
    fn what_may_mean_something_else_over_arrays_is_left_alone() {
        let refused = [
            "SELECT $1",
            "INSERT INTO t VALUES ($1)",
            "INSERT INTO t (a) VALUES ($1), ($2)",
            "INSERT INTO t (a) VALUES (DEFAULT)",
            "INSERT INTO t (a) SELECT $1",
            "INSERT INTO t (a) VALUES ((SELECT max(a) + $1 FROM t))",
            "INSERT INTO t (a) VALUES (my_function($1))",
            "INSERT INTO t (a) VALUES (\"lower\"($1))",
            "INSERT INTO t (a) VALUES ($1) RETURNING a",
            "INSERT INTO t (a) VALUES ($1) ON CONFLICT (a) DO UPDATE SET b = $2",
            "INSERT INTO t (a) VALUES ($1 + 1) ON CONFLICT (a) DO UPDATE SET b = 1",
            "INSERT INTO t (a) VALUES ($1) ON CONFLICT ON CONSTRAINT k DO UPDATE SET b = 1",
            "UPDATE t SET a = $1",
            "UPDATE t SET a = $1 WHERE id > $2",
            "UPDATE t SET id = $2 WHERE id = $1",
            "UPDATE t SET (a, b) = ($2, $3) WHERE id = $1",
            "UPDATE t SET a = $2 WHERE id = $1 OR b",
            "UPDATE t SET a = $2 WHERE b BETWEEN 1 AND id = $1",
            "UPDATE t SET a = (SELECT 1) WHERE id = $1",
            "UPDATE t SET a = u.b FROM u WHERE t.id = $1",
            "UPDATE t SET a = $2 WHERE CURRENT OF c",
            "UPDATE t SET a = f($2) WHERE id = $1",
            "UPDATE t SET a = $2 WHERE NOT id = $1",
            "UPDATE t SET a = $2 WHERE id = $1 RETURNING a",
            "DELETE FROM t USING u WHERE t.id = $1",
            "DELETE FROM t",
            "DELETE FROM t WHERE id = $1; DELETE FROM t",
            "WITH x AS (SELECT 1) DELETE FROM t WHERE id = $1",
            "DELETE FROM t WHERE id = $1)",
        ];
        for sql in refused {
            assert_eq!(over(sql), None, "{sql}");
        }
    }
}
