//! The shape of a statement: its text without its plain literals.

use crate::driver::Dialect;
use crate::sql::{Lexer, TokenKind};

/// What stands for a literal. No statement has it: the server takes no NUL.
const LITERAL: char = '\0';

/// The text of a PostgreSQL statement with a mark for each number and each plain `'literal'`, where that is all that
/// statements of the same shape differ in. `None` where a literal may be part of a name (`UESCAPE`), or where the text
/// cannot be cut into tokens.
///
/// What has a prefix (`E'…'`, `U&'…'`), dollar quotes, and numbers that older servers cut otherwise (`0x1F`, `1_000`)
/// belong to the shape as they are.
pub fn shape(sql: &str) -> Option<String> {
    let mut shape = String::with_capacity(sql.len());
    let mut end = 0;
    for token in Lexer::new(sql, Dialect::Postgresql) {
        let token = token.ok()?;
        shape.push_str(sql.get(end..token.offset)?);
        end = token.end();
        let is_plain = match token.kind {
            TokenKind::Literal => token.text.starts_with('\''),
            TokenKind::Number => token
                .text
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.'),
            TokenKind::Word if token.is_word("uescape") => return None,
            _ => false,
        };
        match (is_plain, token.kind) {
            (true, TokenKind::Literal) => {
                shape.push(LITERAL);
                shape.push('\'');
            }
            (true, _) => shape.push(LITERAL),
            (false, _) => shape.push_str(token.text),
        }
    }
    shape.push_str(sql.get(end..)?);
    Some(shape)
}

#[cfg(test)]
mod tests {
    use super::shape;

    fn same(a: &str, b: &str) -> bool {
        shape(a).is_some() && shape(a) == shape(b)
    }

    #[test]
    fn literals_are_not_part_of_a_shape() {
        assert!(same(
            "INSERT INTO t VALUES (1, 'a')",
            "INSERT INTO t VALUES (2.5, 'b''c; --')"
        ));
        assert!(!same("SELECT 1", "SELECT '1'"));
        assert!(!same("SELECT a", "SELECT b"));
        assert!(!same("SELECT \"a\"", "SELECT \"b\""));
        assert!(!same("SELECT E'a'", "SELECT E'b'"));
        assert!(!same("SELECT $1", "SELECT $2"));
        assert!(!same("SELECT 0x1", "SELECT 1"));
        assert!(!same("SELECT $$a$$", "SELECT $$b$$"));
        assert!(!same("SELECT 'a'", "SELECT 'a' 'b'"));
    }

    #[test]
    fn names_that_literals_escape_have_no_shape() {
        assert_eq!(shape("SELECT U&\"!0061\" UESCAPE '!'"), None);
        assert_eq!(shape("SELECT 'open"), None);
    }
}
