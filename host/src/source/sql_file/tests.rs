#![expect(clippy::unwrap_used, reason = "a test may panic")]

use super::*;
use crate::revision::RevisionId;

const PATH: &str = "migrations/8f2c1d7a90be_add_status.sql";

fn parse(text: &str) -> Result<(Revision, SqlFile), Vec<String>> {
    SqlFile::parse(Utf8Path::new(PATH), text.as_bytes().to_vec())
        .map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

/// The errors of a file, without its path in front.
fn errors(text: &str) -> Vec<String> {
    let errors = parse(text).unwrap_err();
    let strip = |error: &String| error.strip_prefix(PATH).map(str::to_owned);
    errors.iter().map(|error| strip(error).unwrap()).collect()
}

/// A file that is right but for the header lines that are added to it.
fn with_header(lines: &str) -> String {
    format!("-- whimbrel:migration\n-- id: 8f2c1d7a90be\n{lines}-- whimbrel:upgrade\nSELECT 1;\n")
}

fn section(file: &SqlFile, direction: Direction, dialect: Dialect) -> Option<(&str, u32)> {
    file.section(direction, dialect)
        .map(|section| (section.text, section.first_line))
}

#[test]
fn a_full_header_is_read() {
    let (revision, file) = parse(
        "-- whimbrel:migration\n\
         -- id: 8f2c1d7a90be\n\
         -- revises: 5d0e11aa2b3c, 66aa\n\
         -- depends-on: 77aa01020304\n\
         -- labels: billing\n\
         -- message: add status to projects\n\
         -- created: 2026-11-22T10:00:00Z\n\
         -- transaction: false\n\
         -- whimbrel:upgrade\n\
         ALTER TABLE a;\n\
         -- whimbrel:downgrade\n",
    )
    .unwrap();
    let ids = |ids: &[&str]| -> Vec<RevisionId> {
        ids.iter().map(|id| RevisionId::new(id).unwrap()).collect()
    };
    assert_eq!(
        revision,
        Revision {
            id: RevisionId::new("8f2c1d7a90be").unwrap(),
            revises: ids(&["5d0e11aa2b3c", "66aa"]),
            depends_on: ids(&["77aa01020304"]),
            labels: vec!["billing".to_owned()],
            message: "add status to projects".to_owned(),
            created: Some("2026-11-22T10:00:00Z".parse().unwrap()),
            path: PATH.into(),
            kind: Kind::Sql,
            transactional: Transactional::No,
        }
    );
    let upgrade = section(&file, Direction::Upgrade, Dialect::Sqlite);
    assert_eq!(upgrade, Some(("ALTER TABLE a;\n", 10)));
    let downgrade = section(&file, Direction::Downgrade, Dialect::Sqlite);
    assert_eq!(downgrade, Some(("", 12)), "an empty section is a no-op");
}

#[test]
fn what_is_left_out_has_a_default() {
    let (revision, file) = parse(&with_header("")).unwrap();
    assert_eq!(revision.message, "add status", "the file's name says it");
    assert_eq!(revision.revises, []);
    assert_eq!(revision.transactional, Transactional::Yes);
    assert_eq!(file.section(Direction::Downgrade, Dialect::Sqlite), None);
}

#[test]
fn a_section_for_one_dialect_goes_before_the_common_one() {
    let (_, file) = parse(
        "-- whimbrel:migration\n-- id: 8f2c1d7a90be\n\
         -- whimbrel:upgrade\ncommon\n\
         -- whimbrel:upgrade postgresql\nits own\n\
         -- whimbrel:downgrade sqlite\nonly here\n",
    )
    .unwrap();
    let section = |direction, dialect| section(&file, direction, dialect);
    assert_eq!(
        section(Direction::Upgrade, Dialect::Sqlite),
        Some(("common\n", 4))
    );
    assert_eq!(
        section(Direction::Upgrade, Dialect::Postgresql),
        Some(("its own\n", 6))
    );
    assert_eq!(
        section(Direction::Downgrade, Dialect::Sqlite),
        Some(("only here\n", 8))
    );
    assert_eq!(section(Direction::Downgrade, Dialect::Postgresql), None);
}

#[test]
fn a_file_that_does_not_say_what_it_is_is_refused() {
    for text in ["", "CREATE TABLE a;", "\n-- whimbrel:migration\n"] {
        let errors = errors(text);
        assert!(
            errors[0].starts_with(":1: has no `-- whimbrel:migration` in its first line"),
            "{errors:?}"
        );
    }
}

#[test]
fn header_mistakes_name_line_and_key() {
    let cases = [
        (
            "-- revise: a\n",
            ":3: unknown key `revise`; did you mean `revises`?",
        ),
        ("-- colour: red\n", ":3: unknown key `colour`"),
        (
            "\n-- message: a\n-- message: b\n",
            ":5: `message` is given twice",
        ),
        (
            "-- revises:\n",
            ":3: `revises` has no value; leave the line out instead",
        ),
        (
            "-- revises: a-b\n",
            ":3: revises: `a-b` contains `-`; ids and labels use letters, digits, `_` and `.`",
        ),
        (
            "-- revises: a,,b\n",
            ":3: revises: an empty name is not a revision id",
        ),
        ("-- labels: head\n", ":3: labels: `head` is a reserved word"),
        (
            "-- created: yesterday\n",
            ":3: created: `yesterday` is not a time such as 2026-11-22T10:00:00Z",
        ),
        (
            "-- transaction: no\n",
            ":3: transaction: `no` is none of `true`, `migration` and `false`",
        ),
        (
            "-- revises 5d0e11aa2b3c\n",
            ":3: `-- revises 5d0e11aa2b3c` is not of the form `-- key: value`; other comments belong below \
             `-- whimbrel:upgrade`",
        ),
        (
            "SELECT 1;\n",
            ":3: there is SQL before `-- whimbrel:upgrade`",
        ),
    ];
    for (lines, expected) in cases {
        assert_eq!(errors(&with_header(lines)), [expected], "{lines}");
    }
}

#[test]
fn section_mistakes_name_the_line() {
    let cases = [
        (
            "-- whimbrel:upgrad\n",
            ":5: unknown section `upgrad`; did you mean `upgrade`?",
        ),
        (
            "-- whimbrel:upgrade mysql\n",
            ":5: unknown dialect `mysql`; a section is for `postgresql`, for `sqlite`, or for both when none is named",
        ),
        (
            "--  whimbrel:upgrade\n",
            ":5: `whimbrel:upgrade` is already in line 3",
        ),
    ];
    for (lines, expected) in cases {
        assert_eq!(errors(&(with_header("") + lines)), [expected], "{lines}");
    }
}

#[test]
fn all_mistakes_of_a_file_are_told_at_once() {
    let text = "-- whimbrel:migration\n-- revise: a\n-- created: now\n";
    assert_eq!(
        errors(text),
        [
            ": has no `-- whimbrel:upgrade`; an empty section is fine",
            ": `id` is missing",
            ":2: unknown key `revise`; did you mean `revises`?",
            ":3: created: `now` is not a time such as 2026-11-22T10:00:00Z",
        ]
    );
}

#[test]
fn the_name_of_the_file_starts_with_the_id() {
    let text = with_header("").replace("8f2c1d7a90be", "aaaa");
    assert_eq!(
        errors(&text),
        [": the name must start with the id, as in `aaaa_add_status.sql`"]
    );
}

#[test]
fn bytes_that_are_not_text_are_refused() {
    let errors = SqlFile::parse(Utf8Path::new(PATH), vec![0xff]).unwrap_err();
    assert!(matches!(errors[0].problem, Problem::NotUtf8));
}

#[test]
fn the_digest_is_of_what_runs_whatever_the_line_endings() {
    let digest = |text: &str| parse(text).unwrap().1.digest();
    let plain = with_header("");
    assert_eq!(digest(&plain), digest(&plain.replace('\n', "\r\n")));
    assert_eq!(digest(&plain), digest(&format!("\u{feff}{plain}")));
    assert_eq!(digest(&plain), digest(&with_header("-- message: better\n")));
    assert_ne!(
        digest(&plain),
        digest(&plain.replace("SELECT 1", "SELECT 2"))
    );
    assert_ne!(
        digest(&plain),
        digest(&(plain.clone() + "-- whimbrel:downgrade\n"))
    );
    assert_ne!(
        digest(&plain),
        digest(&plain.replace("whimbrel:upgrade", "whimbrel:upgrade sqlite"))
    );
}
