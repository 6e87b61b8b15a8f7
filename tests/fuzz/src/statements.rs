//! Statements: the walk that says what they do, and the cut between them.

use std::collections::BTreeSet;

use whimbrel::capability::Name;
use whimbrel::driver::Dialect;
use whimbrel::sql::access::{
    Catalog, Changes, Context, Origin, Outcome, Parsed, Reading, Relation, RelationKind, Routine,
    Subject, Wanted,
};
use whimbrel::sql::guard::Protected;
use whimbrel::sql::{Lexer, TokenKind, split};

pub(crate) const SEEDS: &[&str] = &[
    "SELECT a.id, (SELECT max(b.n) FROM b WHERE b.id = a.id) FROM app.a AS a WHERE EXISTS (SELECT FROM c) FOR UPDATE",
    "WITH RECURSIVE t (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t WHERE n < 5), gone AS (DELETE FROM a RETURNING *) INSERT INTO b SELECT * FROM gone, t",
    "INSERT INTO a (id, n) SELECT id, n FROM b ON CONFLICT (id) DO UPDATE SET n = excluded.n WHERE a.n < (SELECT 1) RETURNING *",
    "MERGE INTO a USING b ON a.id = b.id WHEN MATCHED THEN UPDATE SET n = b.n WHEN NOT MATCHED THEN INSERT VALUES (b.id)",
    "UPDATE a SET (n, s) = (SELECT n, s FROM b) FROM c WHERE a.id = c.id",
    "CREATE TABLE x (id serial PRIMARY KEY, n int REFERENCES a, s text DEFAULT lower('X'), CHECK (n > 0))",
    "ALTER TABLE a ADD COLUMN n int DEFAULT 1, DROP COLUMN s, RENAME TO b",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 1 FROM a; $$",
    "CREATE OR REPLACE VIEW v AS SELECT sum(n) OVER (PARTITION BY s) FROM a GROUP BY GROUPING SETS ((n), ())",
    "SELECT * FROM ROWS FROM (generate_series(1, 2), unnest(ARRAY[1])) AS f, LATERAL (TABLE b) AS l TABLESAMPLE x (1)",
    "SELECT nextval('app.seq'::regclass), current_setting('timezone'), U&\"d\\0061ta\", E'\\'', B'1', $1::int[] [1:2]",
    "DROP TABLE IF EXISTS a, \"Odd \"\"Name\"",
    "TRUNCATE a",
    "LOCK TABLE a IN SHARE MODE",
    "EXPLAIN ANALYZE DELETE FROM a",
    "BEGIN",
    "SET ROLE x",
    "DO $$ x $$",
    "COPY a FROM PROGRAM 'x'",
];

/// Names that start so stand for tables with two columns, `f…` for functions of someone's.
fn answer(catalog: &mut Catalog, wanted: &Wanted) {
    catalog.expect(wanted);
    catalog.default_schema = "public".to_owned();
    for written in &wanted.relations {
        let name = Name::new(
            written.schema.as_deref().unwrap_or("public"),
            written.name.clone(),
        );
        let kind = match written.name.as_bytes() {
            [b's', ..] => RelationKind::Sequence,
            [b'v', ..] => RelationKind::View,
            _ => RelationKind::Table,
        };
        let columns = ["id", "n", "s"].map(str::to_owned).to_vec();
        catalog.add_relation(
            written.clone(),
            Relation {
                name,
                kind,
                columns,
                types: BTreeSet::new(),
            },
            1,
        );
    }
    for written in &wanted.functions {
        let (schema, origin) = match written.name.as_bytes() {
            [b'f'] => ("public", Origin::Other),
            _ => ("pg_catalog", Origin::Server),
        };
        let schema = written.schema.as_deref().unwrap_or(schema);
        let name = Name::new(schema, written.name.clone());
        let routine = Routine {
            name,
            origin,
            types: BTreeSet::new(),
        };
        catalog.add_function(written.clone(), routine);
    }
}

/// What is read from a statement; nothing where it is refused.
fn read(sql: &str) -> Option<Reading> {
    let parsed = Parsed::new(sql).ok()??;
    let (mut catalog, changes, protected) = (
        Catalog::default(),
        Changes::default(),
        Protected::new("whimbrel_version"),
    );
    for _ in 0..12 {
        let context = Context {
            catalog: &catalog,
            changes: &changes,
            protected: &protected,
            subject: Subject::Component,
        };
        match parsed.read(&context).ok()? {
            Outcome::Read(reading) => return Some(reading),
            Outcome::Ask(wanted) => answer(&mut catalog, &wanted),
        }
    }
    panic!("it asks for ever more names: {sql:?}");
}

fn accesses(reading: &Reading) -> BTreeSet<String> {
    reading
        .accesses
        .iter()
        .map(|found| found.access.to_string())
        .collect()
}

/// The same statement with a comment in every gap.
fn with_comments(sql: &str) -> Option<String> {
    let (mut text, mut end) = (String::new(), 0);
    for token in Lexer::new(sql, Dialect::Postgresql) {
        let token = token.ok()?;
        let gap = sql.get(end..token.offset)?;
        text.push_str(gap);
        // Literals that follow each other on new lines are one, and no comment of this kind may stand between them.
        if !gap.is_empty() && token.kind != TokenKind::Literal {
            text.push_str("/* ' */ ");
        }
        text.push_str(token.text);
        end = token.end();
    }
    text.push_str(sql.get(end..)?);
    Some(text)
}

/// A statement is refused or read, and comments, parentheses and EXPLAIN add nothing to what it does.
pub(crate) fn statement(sql: &str) {
    let Some(reading) = read(sql) else { return };
    let before = accesses(&reading);
    for other in [
        with_comments(sql),
        Some(format!("({sql}\n)")),
        Some(format!("EXPLAIN {sql}")),
    ]
    .into_iter()
    .flatten()
    {
        if let Some(after) = read(&other).map(|reading| accesses(&reading)) {
            assert!(
                after == before,
                "{sql:?} does {before:?}, but {other:?} does {after:?}"
            );
        }
    }
}

/// A text that is cut is cut in the same way again, and each statement is one.
pub(crate) fn split_is_stable(text: &str) {
    for dialect in [Dialect::Postgresql, Dialect::Sqlite] {
        let Ok(pieces) = split(text, dialect) else {
            continue;
        };
        for piece in pieces {
            assert_eq!(
                text.get(piece.offset..piece.offset + piece.text.len()),
                Some(piece.text)
            );
            // At the beginning of a text it is a mark, anywhere else it may be a letter.
            if piece.text.starts_with('\u{feff}') {
                continue;
            }
            match split(piece.text, dialect).as_deref() {
                Ok([again]) => assert_eq!(again.text, piece.text),
                other => panic!("{:?} is one statement, and then {other:?}", piece.text),
            }
        }
    }
}
