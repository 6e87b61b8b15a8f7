#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use super::*;
use Dialect::Sqlite;
use Harm::{Data, Definition};

type Losses = &'static [(Harm, &'static str)];

fn check(dialect: Dialect, cases: &[(&str, Losses)]) {
    for (sql, expected) in cases {
        let effects = Effects::of(sql, dialect).unwrap();
        let found: Vec<(Harm, &str)> = effects
            .losses
            .iter()
            .map(|loss| (loss.harm, loss.what.as_str()))
            .collect();
        assert_eq!(found, *expected, "{sql}");
    }
}

#[test]
fn what_sqlite_loses() {
    check(
        Sqlite,
        &[
            ("DROP TABLE a", &[(Data, "drops table a")]),
            (
                "drop table if exists main.\"B c\"",
                &[(Data, "drops table main.\"b c\"")],
            ),
            ("DROP INDEX i", &[(Definition, "drops index i")]),
            ("DROP VIEW IF EXISTS v", &[(Definition, "drops view v")]),
            ("DROP TRIGGER t", &[(Definition, "drops trigger t")]),
            (
                "ALTER TABLE a DROP COLUMN b",
                &[(Data, "drops column b of a")],
            ),
            ("ALTER TABLE a DROP b", &[(Data, "drops column b of a")]),
            ("ALTER TABLE a ADD COLUMN drop_ int", &[]),
            ("ALTER TABLE a RENAME COLUMN b TO c", &[]),
            ("DELETE FROM a", &[(Data, "deletes all rows of a")]),
            ("DELETE FROM a WHERE id = 1", &[]),
            (
                "DELETE FROM a RETURNING (SELECT 1 FROM b WHERE b.id = a.id)",
                &[(Data, "deletes all rows of a")],
            ),
            (
                "WITH q AS (SELECT 1 WHERE 1) DELETE FROM a",
                &[(Data, "deletes all rows of a")],
            ),
            ("UPDATE a SET b = 1", &[(Data, "overwrites all rows of a")]),
            (
                "UPDATE OR IGNORE a SET b = (SELECT 1 WHERE 1)",
                &[(Data, "overwrites all rows of a")],
            ),
            ("UPDATE a SET b = 1 WHERE c", &[]),
            ("UPDATE a SET b = 1 FROM c", &[]),
            (
                "CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM a; END",
                &[],
            ),
            ("INSERT INTO a VALUES ('DELETE FROM a')", &[]),
            ("/* DROP TABLE a */ SELECT 1", &[]),
            ("DROP", &[]),
            ("DELETE", &[]),
            ("", &[]),
        ],
    );
}

#[cfg(feature = "parser")]
mod postgresql {
    use super::*;
    use Dialect::Postgresql;

    #[test]
    fn what_postgresql_loses() {
        check(
            Postgresql,
            &[
                (
                    "DROP TABLE a, s.b",
                    &[(Data, "drops table a"), (Data, "drops table s.b")],
                ),
                (
                    "DROP VIEW v CASCADE",
                    &[(Data, "drops view v and all that depends on it")],
                ),
                ("DROP VIEW IF EXISTS v", &[(Definition, "drops view v")]),
                ("DROP SCHEMA s", &[(Definition, "drops schema s")]),
                (
                    "DROP SCHEMA s CASCADE",
                    &[(Data, "drops schema s and all in it")],
                ),
                (
                    "DROP INDEX CONCURRENTLY i",
                    &[(Definition, "drops index i")],
                ),
                (
                    "DROP TRIGGER tr ON s.a",
                    &[(Definition, "drops trigger tr of s.a")],
                ),
                ("DROP FUNCTION f(int)", &[(Definition, "drops function f")]),
                ("DROP TYPE s.mood", &[(Definition, "drops type s.mood")]),
                ("DROP DATABASE d", &[(Data, "drops database d")]),
                (
                    "DROP OWNED BY CURRENT_USER",
                    &[(Data, "drops all that a role owns")],
                ),
                ("TRUNCATE a", &[(Data, "deletes all rows of a")]),
                (
                    "TRUNCATE ONLY a CASCADE",
                    &[(Data, "deletes all rows of a, and of all that refers to it")],
                ),
                (
                    "ALTER TABLE a DROP COLUMN b, DROP CONSTRAINT c, ADD COLUMN d int",
                    &[
                        (Data, "drops column b of a"),
                        (Definition, "drops constraint c of a"),
                    ],
                ),
                (
                    "ALTER TABLE a ALTER b TYPE int",
                    &[(Data, "changes the type of column b of a")],
                ),
                ("DELETE FROM a", &[(Data, "deletes all rows of a")]),
                ("DELETE FROM a USING b", &[]),
                ("DELETE FROM a WHERE true", &[]),
                ("UPDATE a SET b = 1", &[(Data, "overwrites all rows of a")]),
                ("UPDATE a SET b = c.b FROM c", &[]),
                (
                    "WITH gone AS (DELETE FROM a RETURNING *) INSERT INTO b SELECT * FROM gone",
                    &[(Data, "deletes all rows of a")],
                ),
                ("SELECT 'DROP TABLE a'", &[]),
                (
                    "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'DELETE FROM a'",
                    &[],
                ),
            ],
        );
    }

    #[test]
    fn what_cannot_be_seen_is_said() {
        for hidden in [
            "DO $$ BEGIN END $$",
            "CALL p()",
            "DROP TABLE a CASCADE",
            "VACUUM",
        ] {
            assert_eq!(
                Effects::of(hidden, Postgresql).unwrap().sight,
                Sight::Hidden,
                "{hidden}"
            );
        }
        assert_eq!(
            Effects::of("DROP TABLE a", Postgresql).unwrap().sight,
            Sight::Clear
        );
    }

    #[test]
    fn what_a_statement_makes_is_in_nobodys_way() {
        let effects = Effects::of("CREATE TABLE a AS SELECT * FROM b", Postgresql).unwrap();
        assert_eq!(effects.creates, [Relation::named("a")]);
        assert_eq!(effects.locks.len(), 1, "{effects:?}");
        assert_eq!(effects.locks[0].relation, Relation::named("b"));
    }

    #[test]
    fn one_lock_a_table_the_strongest_and_the_longest() {
        let sql = "ALTER TABLE a VALIDATE CONSTRAINT c, ALTER b SET DEFAULT 1";
        let effects = Effects::of(sql, Postgresql).unwrap();
        let [lock] = effects.locks.as_slice() else {
            panic!("{effects:?}")
        };
        assert_eq!(
            (lock.mode, lock.toll),
            (LockMode::AccessExclusive, Toll::Scan)
        );
    }

    #[test]
    fn nesting_and_length_end_in_an_error() {
        let deep = format!("SELECT {}1{}", "(".repeat(100_000), ")".repeat(100_000));
        let chain = format!("SELECT 1{}", " + 1".repeat(200_000));
        let long = format!("SELECT '{}'", "x".repeat(LONGEST));
        for sql in [deep, chain] {
            let error = Effects::of(&sql, Postgresql).unwrap_err();
            assert!(matches!(error, Unread::Syntax(_)), "{error}");
        }
        assert!(matches!(
            Effects::of(&long, Postgresql),
            Err(Unread::TooLong { .. })
        ));
        let error = Effects::of("ALTER TABEL a", Postgresql).unwrap_err();
        assert_eq!(error.to_string(), "syntax error at or near \"TABEL\"");
    }
}
