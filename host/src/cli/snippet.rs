//! A piece of SQL with a caret under what is wrong with it.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet as Source};
use whimbrel::migration::StatementSource;
use whimbrel::printable;

/// A statement and the place in it that an error is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snippet {
    path: Option<String>,
    /// The statement, moved to the column that it starts at in its file.
    text: String,
    first_line: usize,
    span: Range<usize>,
}

impl Snippet {
    /// The statement, with the caret at a 1-based character position as databases report it, or under its first line.
    pub(crate) fn new(statement: &StatementSource, position: Option<u32>) -> Self {
        let (path, first_line, column) = match &statement.origin {
            Some((path, start)) => (
                Some(printable::line(path.as_str())),
                start.line,
                start.column,
            ),
            None => (None, 1, 1),
        };
        let indent = " ".repeat(usize::try_from(column.saturating_sub(1)).unwrap_or(0));
        let sql = printable::in_place(&statement.sql);
        let span = span(&sql, position);
        Self {
            path,
            span: span.start + indent.len()..span.end + indent.len(),
            text: indent + &sql,
            first_line: usize::try_from(first_line).unwrap_or(1),
        }
    }

    /// The lines to print, without the last line ending.
    pub(crate) fn render(&self) -> String {
        let source: Source<'_, _> = Source::source(self.text.as_str())
            .path(self.path.as_deref())
            .line_start(self.first_line)
            .annotation(AnnotationKind::Primary.span(self.span.clone()));
        let group = Group::with_level(Level::ERROR).element(source);
        Renderer::styled().render(&[group]).trim_end().to_owned()
    }
}

/// The word at a position, or the first line.
fn span(sql: &str, position: Option<u32>) -> Range<usize> {
    let Some(position) = position.and_then(|position| usize::try_from(position).ok()) else {
        return 0..sql.find('\n').unwrap_or(sql.len());
    };
    let start = sql
        .char_indices()
        .nth(position.saturating_sub(1))
        .map_or(sql.len(), |(at, _)| at);
    let rest = &sql[start..];
    let word = rest
        .find(|c: char| !(c.is_alphanumeric() || c == '_'))
        .unwrap_or(rest.len());
    let length = match word {
        0 => rest.chars().next().map_or(0, char::len_utf8),
        word => word,
    };
    start..start + length
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]

    use whimbrel::sql::Location;

    use super::*;

    fn snippet(sql: &str, column: u32, position: Option<u32>) -> String {
        let statement = StatementSource {
            sql: sql.to_owned(),
            origin: Some(("migrations/a_b.sql".into(), Location { line: 7, column })),
        };
        let rendered = Snippet::new(&statement, position).render();
        String::from_utf8(anstream::adapter::strip_bytes(rendered.as_bytes()).into_vec()).unwrap()
    }

    #[test]
    fn the_caret_stands_under_the_word_at_the_position() {
        assert_eq!(
            snippet("ALTER TABLE größe\n  ADD COLUMN", 3, Some(13)),
            " --> migrations/a_b.sql:7:15\n  |\n7 |   ALTER TABLE größe\n  |               ^^^^^"
        );
    }

    #[test]
    fn without_a_position_the_first_line_is_marked() {
        assert_eq!(
            snippet("DROP\nTABLE x", 1, None),
            " --> migrations/a_b.sql:7:1\n  |\n7 | DROP\n  | ^^^^"
        );
    }
}
