//! Statements as a script has them.

use crate::driver::{Dialect, DriverError, Value};
use crate::sql::{Lexer, TokenKind, leading_keywords, split};

/// Makes sure that a migration's statement is one statement to `psql` and `sqlite3`, too, and no command of theirs.
pub(super) fn check(sql: &str, dialect: Dialect) -> Result<(), DriverError> {
    let refused = |reason: &str| DriverError::Denied {
        operation: "a statement".to_owned(),
        object: String::new(),
        reason: reason.to_owned(),
    };
    let pieces = split(sql, dialect).map_err(|_| refused("its end cannot be told"))?;
    if pieces.len() != 1 {
        return Err(refused("a script needs exactly one statement here"));
    }
    for token in Lexer::new(sql, dialect) {
        let token = token.map_err(|_| refused("its end cannot be told"))?;
        if token.kind == TokenKind::Symbol && token.text == "\\" {
            return Err(refused(
                "`psql` takes what follows a backslash for a command",
            ));
        }
    }
    if dialect == Dialect::Sqlite {
        if pieces[0].text.starts_with('.') {
            return Err(refused(
                "`sqlite3` takes a line with a dot in front for a command",
            ));
        }
        let ends = |line: &str| line.trim() == "/" || line.trim().eq_ignore_ascii_case("go");
        if sql.lines().any(ends) {
            return Err(refused(
                "`sqlite3` takes a line of `/` or `go` for the end of a statement",
            ));
        }
    }
    Ok(())
}

/// A statement with literals in the place of its parameters, without a semicolon.
pub(in crate::driver) fn filled(
    sql: &str,
    params: &[Value],
    dialect: Dialect,
) -> Result<String, DriverError> {
    let mut text = String::with_capacity(sql.len());
    let mut copied = 0;
    let mut end = 0;
    for token in Lexer::new(sql, dialect) {
        let token = token.map_err(|error| {
            DriverError::Conversion(format!("the statement has no end: {error}"))
        })?;
        match token.kind {
            TokenKind::Comment | TokenKind::Semicolon => {}
            TokenKind::Parameter => {
                let value = token
                    .text
                    .strip_prefix('$')
                    .and_then(|number| number.parse::<usize>().ok())
                    .and_then(|number| Some((number, params.get(number.checked_sub(1)?)?)));
                let Some((number, value)) = value else {
                    return Err(DriverError::Conversion(format!(
                        "there is no value for the parameter {}",
                        token.text
                    )));
                };
                text.push_str(&sql[copied..token.offset]);
                text.push_str(&literal(value, number, dialect)?);
                copied = token.offset + token.text.len();
                end = copied;
            }
            _ => end = token.offset + token.text.len(),
        }
    }
    text.push_str(&sql[copied..end.max(copied)]);
    Ok(text)
}

/// A value as a literal. A quoted one has no type of its own on PostgreSQL, as a parameter has none: its place says what
/// it is.
fn literal(value: &Value, number: usize, dialect: Dialect) -> Result<String, DriverError> {
    match dialect {
        #[cfg(feature = "postgres")]
        Dialect::Postgresql => crate::driver::postgres::literal(value, number),
        #[cfg(feature = "sqlite")]
        Dialect::Sqlite => crate::driver::sqlite::literal(value, number),
        #[cfg(not(all(feature = "postgres", feature = "sqlite")))]
        _ => Err(DriverError::Conversion(format!(
            "parameter ${number}: there is no driver for {dialect}"
        ))),
    }
}

/// A change of one of Whimbrel's own tables, which stops the script unless it is one of exactly one row.
pub(super) fn exacting(change: &str, dialect: Dialect) -> String {
    if change.starts_with("INSERT") {
        return format!("{change};");
    }
    match dialect {
        Dialect::Postgresql => format!(
            "WITH changed AS ({change} RETURNING 1)\nSELECT 1 / (count(*) = 1)::int AS is_where_the_script_starts FROM changed;"
        ),
        Dialect::Sqlite => {
            format!("{change};\nINSERT INTO temp.whimbrel_assertion SELECT changes();")
        }
    }
}

/// Stops the script unless a query of one text returns this one.
pub(super) fn same(query: &str, expected: &str, dialect: Dialect) -> String {
    match dialect {
        Dialect::Postgresql => {
            format!("SELECT 1 / (({query}) = {expected})::int AS is_what_the_dry_run_read;")
        }
        Dialect::Sqlite => {
            format!("INSERT INTO temp.whimbrel_reading SELECT ({query}) = {expected};")
        }
    }
}

/// Whether a statement has a number of rows that it touched.
pub(super) fn counts(sql: &str, dialect: Dialect) -> bool {
    let words = leading_keywords(sql, dialect, 1);
    matches!(
        words.first().map(String::as_str),
        Some("INSERT" | "UPDATE" | "DELETE" | "MERGE" | "WITH")
    )
}

/// Stops the script unless the statement before it has touched so many rows.
pub(super) fn touched(rows: u64, dialect: Dialect) -> String {
    match dialect {
        Dialect::Postgresql => {
            format!(
                "SELECT 1 / (:ROW_COUNT = {rows})::int AS touched_as_many_rows_as_in_the_dry_run;"
            )
        }
        Dialect::Sqlite => {
            format!("INSERT INTO temp.whimbrel_reading SELECT changes() = {rows};")
        }
    }
}

#[cfg(all(test, feature = "postgres", feature = "sqlite"))]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn filled_in(sql: &str, params: &[Value], dialect: Dialect) -> String {
        filled(sql, params, dialect).unwrap()
    }

    #[test]
    fn literals_take_the_place_of_parameters() {
        let params = [
            Value::from("it's"),
            Value::Int64(5),
            Value::Null,
            Value::Bytes(vec![0, 255]),
        ];
        let sql = "UPDATE t SET a = $1, b = '$2', c = $3, d = $4 WHERE e = $2; -- done";
        assert_eq!(
            filled_in(sql, &params, Dialect::Postgresql),
            r"UPDATE t SET a = 'it''s', b = '$2', c = NULL, d = E'\\x00ff' WHERE e = '5'"
        );
        assert_eq!(
            filled_in(sql, &params, Dialect::Sqlite),
            "UPDATE t SET a = 'it''s', b = '$2', c = NULL, d = X'00ff' WHERE e = 5"
        );
        assert!(filled("SELECT $5", &params, Dialect::Sqlite).is_err());
    }

    #[test]
    fn backslashes_and_nul_are_literal() {
        let text = [Value::from(r"a\b")];
        assert_eq!(
            filled_in("SELECT $1", &text, Dialect::Postgresql),
            r"SELECT E'a\\b'"
        );
        assert_eq!(
            filled_in("SELECT $1", &text, Dialect::Sqlite),
            r"SELECT 'a\b'"
        );
        let nul = [Value::from("a\0b")];
        assert!(filled("SELECT $1", &nul, Dialect::Postgresql).is_err());
        assert_eq!(
            filled_in("SELECT $1", &nul, Dialect::Sqlite),
            "SELECT CAST(X'610062' AS TEXT)"
        );
    }

    #[test]
    fn commands_of_the_programs_are_refused() {
        for sql in [
            r"SELECT 1 \! reboot",
            r"\! reboot",
            "SELECT 1; SELECT 2",
            "SELECT 'open",
            "",
        ] {
            assert!(check(sql, Dialect::Postgresql).is_err(), "{sql}");
        }
        for sql in [
            ".shell reboot",
            "DELETE FROM t\ngo\nWHERE a",
            "SELECT 4\n / \n2",
            "SELECT 1; SELECT 2",
        ] {
            assert!(check(sql, Dialect::Sqlite).is_err(), "{sql}");
        }
        check(r"SELECT 'a \! b', $$ \! $$", Dialect::Postgresql).unwrap();
        check("SELECT 1 -- ;", Dialect::Sqlite).unwrap();
    }
}
