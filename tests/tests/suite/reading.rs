//! Whatever a guest sends is read to an end: random texts and statements with random changes neither panic nor end the
//! process. `PROPTEST_CASES` is their number.

use proptest::prelude::*;
use whimbrel::sql::access::{Catalog, Changes, Context, Outcome, Parsed, Subject, shape};
use whimbrel::sql::guard::Protected;

/// Pieces of SQL that mean something to the parser.
const PIECES: [&str; 64] = [
    "SELECT",
    "FROM",
    "WHERE",
    "users",
    "orders",
    "(",
    ")",
    ",",
    ".",
    "*",
    "'a'",
    "1",
    "$1",
    "AS",
    "x",
    "y",
    "JOIN",
    "ON",
    "USING",
    "LATERAL",
    "WITH",
    "RECURSIVE",
    "INSERT INTO",
    "VALUES",
    "UPDATE",
    "SET",
    "=",
    "DELETE FROM",
    "RETURNING",
    "ON CONFLICT",
    "DO UPDATE",
    "DO NOTHING",
    "MERGE INTO",
    "WHEN MATCHED THEN",
    "CREATE TABLE",
    "int",
    "DEFAULT",
    "CHECK",
    "REFERENCES",
    "ALTER TABLE",
    "ADD COLUMN",
    "DROP COLUMN",
    "RENAME TO",
    "DROP",
    "TABLE",
    "VIEW",
    "CREATE VIEW",
    "CREATE INDEX",
    "GROUP BY",
    "ORDER BY",
    "LIMIT",
    "UNION ALL",
    "EXISTS",
    "IN",
    "CASE WHEN",
    "THEN",
    "END",
    "::",
    "ARRAY[",
    "]",
    "OVER",
    "lower(",
    "nextval(",
    "--\n",
];

fn read(sql: &str) {
    let Ok(Some(parsed)) = Parsed::new(sql) else {
        return;
    };
    let mut catalog = Catalog::default();
    let (changes, protected) = (Changes::default(), Protected::new("whimbrel_version"));
    for _ in 0..8 {
        let context = Context {
            catalog: &catalog,
            changes: &changes,
            protected: &protected,
            subject: Subject::Component,
        };
        match parsed.read(&context) {
            Ok(Outcome::Ask(wanted)) => {
                catalog.default_schema = "public".to_owned();
                catalog.expect(&wanted);
            }
            Ok(Outcome::Read(_)) | Err(_) => return,
        }
    }
    panic!("`{sql}` asks for ever more names");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_to_an_end(sql in "\\PC{0,200}") {
        read(&sql);
    }

    #[test]
    fn any_row_of_words_is_read_to_an_end(pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..40)) {
        read(&pieces.join(" "));
    }

    /// Statements of one shape are cut into the same tokens, but for their literals.
    #[test]
    fn literals_do_not_change_a_shape(number in 0..u32::MAX, text in "[^'\0]{0,20}") {
        let with = |number: u32, text: &str| format!("SELECT a, '{text}' FROM t WHERE b = {number} -- '");
        prop_assert_eq!(shape(&with(number, &text)), shape(&with(0, "")));
    }
}
