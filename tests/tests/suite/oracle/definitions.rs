//! Random statements that define, lock or empty relations, or write by other ways than INSERT, UPDATE and DELETE alone.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

/// Tables with the columns `id`, `n` and `s`, as they are written. None of them has anything to do with another.
pub(super) const ALONE: [&str; 6] = [
    "isle",
    "public.reef",
    "app.isle",
    "app.cove",
    r#""Odd Schema"."Weird ""Table""#,
    r#"public."select""#,
];

/// Further relations with these columns that can be read, locked and mostly written to.
const TIED: [&str; 12] = [
    "owner",
    "item",
    "ranges",
    "ranges_low",
    "ranges_low_a",
    "base",
    "derived",
    "audited",
    "ruled",
    "numbered",
    "isle_view",
    "deep_view",
];

/// Statements; `$T` is one table, `$U` another, `$R` anything with rows, `$E` a number, `$B` a condition, `$Q` a query of
/// the three columns, `$N` a name that nothing has.
const TEMPLATES: &[&str] = &[
    "LOCK TABLE $R IN $M MODE",
    "LOCK TABLE ONLY $T, $U",
    "TRUNCATE $T",
    "TRUNCATE ONLY $T, $U RESTART IDENTITY",
    "SELECT * FROM $R AS t WHERE $B FOR UPDATE",
    "SELECT t.id FROM $R AS t, $T AS u WHERE $B FOR NO KEY UPDATE OF u",
    "SELECT t.n FROM $R AS t WHERE $B FOR SHARE",
    "SELECT t.n, count(*) FROM $R AS t GROUP BY GROUPING SETS ((t.n), ()) HAVING count(*) > $E",
    "SELECT t.n, t.s, sum(t.id) FROM $R AS t GROUP BY CUBE (t.n, t.s) ORDER BY $E",
    "SELECT sum(t.id) FILTER (WHERE $B) OVER w FROM $R AS t WINDOW w AS (PARTITION BY t.n ORDER BY (SELECT max(id) FROM $U))",
    "WITH RECURSIVE isle AS (SELECT id, n, s FROM $R UNION ALL SELECT t.id, t.n, t.s FROM isle AS t JOIN $T AS u ON u.id = t.n WHERE t.id > 5) SELECT * FROM isle",
    "WITH isle AS (SELECT * FROM $R) SELECT * FROM isle, public.isle AS t WHERE $B",
    "WITH isle AS (SELECT * FROM isle), reef AS (SELECT * FROM isle) SELECT * FROM reef",
    "WITH gone AS (DELETE FROM $T AS t WHERE $B RETURNING *) INSERT INTO $U (id, n, s) SELECT id + 1000, n, s FROM gone",
    "WITH a AS (WITH b AS (SELECT * FROM $R) SELECT * FROM b) UPDATE $T AS t SET n = a.n FROM a WHERE $B",
    "SELECT * FROM $R AS t WHERE (t.id, t.n) IN (SELECT id, n FROM $U) OR t.n = ANY (ARRAY(SELECT id FROM $T))",
    "SELECT t.id FROM $R AS t JOIN LATERAL (SELECT u.n AS m FROM $U AS u WHERE u.id = t.id) AS l ON true",
    "SELECT * FROM ROWS FROM (generate_series(1, (SELECT max(id)::int FROM $R)), unnest(ARRAY(SELECT n FROM $T))) AS f (a, b)",
    "SELECT * FROM $R AS t TABLESAMPLE BERNOULLI ((SELECT max(id) FROM $U))",
    "SELECT DISTINCT ON ((SELECT max(id) FROM $U)) t.id FROM $R AS t LIMIT (SELECT count(*) FROM $T) OFFSET 0",
    "TABLE $R",
    "VALUES ((SELECT max(id) FROM $R)), ($E)",
    "INSERT INTO $T AS t (id, n, s) $Q ON CONFLICT (id) DO UPDATE SET n = (SELECT max(id) FROM $U) WHERE $B RETURNING $E",
    "INSERT INTO $T (id, n, s) VALUES (901, (SELECT max(id) FROM $U), 'x')",
    "INSERT INTO item (id, n, s) VALUES (903, 1, 'x')",
    "INSERT INTO numbered (n, s) $Q2",
    "INSERT INTO audited (id, n, s) VALUES (901, 2, 'x')",
    "INSERT INTO ruled (id, n, s) VALUES (901, 2, 'x')",
    "INSERT INTO ranges (id, n, s) VALUES (3, 2, 'x')",
    "DELETE FROM owner AS t WHERE $B",
    "DELETE FROM base AS t USING $U AS u WHERE $B",
    "UPDATE ranges AS t SET n = $E",
    "UPDATE isle_view AS t SET (n, s) = (SELECT u.n, u.s FROM $U AS u LIMIT 1)",
    "UPDATE ONLY base AS t SET s = 'x' FROM $U AS u WHERE $B RETURNING (SELECT max(id) FROM $T)",
    "DELETE FROM ONLY base AS t WHERE $B",
    "MERGE INTO $T AS t USING $R AS u ON t.id = u.id WHEN MATCHED AND $B THEN UPDATE SET n = (SELECT max(id) FROM $U) WHEN NOT MATCHED THEN INSERT (id, n, s) VALUES (u.id + 2000, u.n, u.s)",
    "MERGE INTO $T AS t USING ($Q) AS u (id, n, s) ON t.id = u.id WHEN MATCHED THEN DELETE",
    "MERGE INTO $T AS t USING $R AS u ON $B WHEN NOT MATCHED THEN DO NOTHING",
    "CREATE TABLE $N AS $Q",
    "CREATE TEMP TABLE $N AS SELECT * FROM $R WITH NO DATA",
    "CREATE TABLE $N (LIKE $T INCLUDING ALL)",
    "CREATE TABLE $N (more int) INHERITS ($T)",
    "CREATE TABLE $N (id int REFERENCES $T, s text DEFAULT 'x')",
    "CREATE TABLE $N (id serial PRIMARY KEY, CHECK (id > 0))",
    "CREATE TABLE $N PARTITION OF ranges FOR VALUES FROM (9000) TO (9100)",
    "CREATE UNLOGGED TABLE $N (t $T)",
    "SELECT id, n INTO TEMP $N FROM $R AS t WHERE $B",
    "CREATE VIEW $N AS SELECT * FROM $R",
    "CREATE TEMP VIEW $N AS $Q",
    "CREATE MATERIALIZED VIEW $N AS $Q",
    "CREATE OR REPLACE VIEW isle_view AS SELECT id, n, s FROM public.isle WHERE n IS NOT NULL",
    "REFRESH MATERIALIZED VIEW stored",
    "CREATE INDEX ON $T (n)",
    "CREATE INDEX $N ON $T (lower(s)) WHERE n > 0",
    "CREATE INDEX ON ranges (n)",
    "CREATE STATISTICS $N ON id, n FROM $T",
    "CREATE SEQUENCE $N OWNED BY $T.id",
    "CREATE SCHEMA $N CREATE TABLE inside (id int) CREATE VIEW seen AS SELECT * FROM $R",
    "CREATE RULE $N AS ON INSERT TO $T DO ALSO SELECT * FROM $U",
    "CREATE RULE $N AS ON UPDATE TO $T DO INSTEAD INSERT INTO $U (id, n, s) VALUES (new.id, new.n, new.s)",
    "CREATE TRIGGER $N BEFORE INSERT ON $T FOR EACH ROW EXECUTE FUNCTION noted()",
    "CREATE CONSTRAINT TRIGGER $N AFTER UPDATE ON $T FROM $U DEFERRABLE FOR EACH ROW EXECUTE FUNCTION noted()",
    "CREATE POLICY $N ON $T USING (EXISTS (SELECT FROM $U AS u WHERE u.id = n))",
    "CREATE FUNCTION $N() RETURNS SETOF $T LANGUAGE sql AS 'SELECT 1, 2, NULL::text'",
    "ALTER TABLE $T ADD COLUMN more int DEFAULT 5",
    "ALTER TABLE $T ADD COLUMN more int REFERENCES $U",
    "ALTER TABLE $T ADD FOREIGN KEY (n) REFERENCES $U (id) ON DELETE CASCADE NOT VALID",
    "ALTER TABLE $T ADD CHECK (n > -1000), ALTER n SET NOT NULL",
    "ALTER TABLE $T ALTER COLUMN n TYPE bigint USING n + 1",
    "ALTER TABLE $T ALTER COLUMN n SET DEFAULT nextval('numbers')",
    "ALTER TABLE $T ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY",
    "ALTER TABLE $T DROP COLUMN s",
    "ALTER TABLE $T DROP CONSTRAINT IF EXISTS nosuch",
    "ALTER TABLE $T RENAME TO $N",
    "ALTER TABLE $T RENAME COLUMN n TO m",
    "ALTER TABLE $T SET SCHEMA spare",
    "ALTER TABLE $T INHERIT base",
    "ALTER TABLE derived NO INHERIT base",
    "ALTER TABLE ranges DETACH PARTITION ranges_high",
    "ALTER TABLE ranges ATTACH PARTITION $T FOR VALUES FROM (9000) TO (9100)",
    "ALTER TABLE ranges_low ADD COLUMN more int",
    "ALTER TABLE ranges ADD COLUMN more int",
    "ALTER TABLE $T ENABLE ROW LEVEL SECURITY, REPLICA IDENTITY FULL",
    "ALTER TABLE $T CLUSTER ON nosuch",
    "ALTER TABLE $T OWNER TO CURRENT_USER",
    "ALTER TABLE audited DISABLE TRIGGER ALL",
    "ALTER TABLE ruled DISABLE RULE copied",
    "ALTER TABLE $T SET (fillfactor = 80)",
    "ALTER TABLE $T OF threes",
    "ALTER INDEX isle_by_n RENAME TO $N",
    "ALTER INDEX isle_by_n SET (fillfactor = 70)",
    "ALTER SEQUENCE numbers OWNED BY $T.id",
    "ALTER SEQUENCE numbers RESTART",
    "ALTER VIEW isle_view RENAME TO $N",
    "ALTER VIEW isle_view ALTER COLUMN n SET DEFAULT 3",
    "ALTER MATERIALIZED VIEW stored SET SCHEMA app",
    "ALTER TYPE threes ADD ATTRIBUTE more int CASCADE",
    "DROP TABLE $T",
    "DROP TABLE IF EXISTS $T, nosuch",
    "DROP VIEW deep_view",
    "DROP MATERIALIZED VIEW stored",
    "DROP INDEX isle_by_n",
    "DROP SEQUENCE numbers",
    "DROP RULE copied ON ruled",
    "DROP TRIGGER noted ON audited",
    "DROP TABLE ranges_low_a",
    "COMMENT ON TABLE $T IS 'x'",
    "COMMENT ON COLUMN $T.n IS 'x'",
    "COMMENT ON INDEX isle_by_n IS 'x'",
    "GRANT SELECT ON $T, $U TO PUBLIC",
    "REVOKE ALL ON $R FROM PUBLIC",
    "ANALYZE $T",
    "CLUSTER $T",
    "REINDEX TABLE $T",
    "EXPLAIN $Q",
    "EXPLAIN (ANALYZE) DELETE FROM $T AS t WHERE $B",
    "EXPLAIN ANALYZE CREATE TABLE $N AS $Q",
    "SELECT nextval('numbers'), setval('app.steps', 5)",
    "SELECT last_value FROM numbers",
    "SELECT currval('public.numbers'::regclass), $E",
    "SELECT '$T'::regclass, to_regclass('$U')",
    "SELECT pg_total_relation_size('$T'), pg_relation_size('$U'::regclass)",
    "SELECT pg_get_viewdef('isle_view'::regclass)",
    "SELECT t, t.*, row_to_json(t), (t).n FROM $R AS t WHERE $B",
    "SELECT count(*) FROM $R, $T AS u NATURAL JOIN $U AS v",
    "COPY $T TO STDOUT",
    "COPY ($Q) TO '/tmp/x'",
    "DO $$ BEGIN DELETE FROM $T; END $$",
    "SELECT query_to_xml('TABLE $T', true, true, '')",
    "SELECT table_to_xml('$T', true, true, '')",
    "SELECT twice(t.id) FROM $R AS t",
    "PREPARE $N AS SELECT * FROM $T",
    "DECLARE $N CURSOR FOR SELECT * FROM $T",
];

/// Makes one statement of a seed.
pub(super) fn statement(seed: u64) -> String {
    let mut dice = StdRng::seed_from_u64(seed);
    let template = one(&mut dice, TEMPLATES);
    fill(&mut dice, template, 3)
}

fn one<'t>(dice: &mut StdRng, all: &[&'t str]) -> &'t str {
    all.choose(dice).copied().unwrap_or_default()
}

fn fill(dice: &mut StdRng, template: &str, depth: u32) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('$') {
        text.push_str(before);
        let mark = after.chars().next().unwrap_or_default();
        rest = after.get(mark.len_utf8()..).unwrap_or_default();
        let part = match mark {
            'T' | 'U' => one(dice, &ALONE).to_owned(),
            'R' => relation(dice),
            'E' => number(dice, depth),
            'B' => condition(dice, depth),
            'Q' if rest.starts_with('2') => {
                rest = &rest[1..];
                format!("SELECT n, s FROM {}", relation(dice))
            }
            'Q' => query(dice, depth),
            'N' => "fresh_one".to_owned(),
            'M' => one(
                dice,
                &[
                    "ACCESS SHARE",
                    "ROW SHARE",
                    "ROW EXCLUSIVE",
                    "SHARE",
                    "EXCLUSIVE",
                    "ACCESS EXCLUSIVE",
                ],
            )
            .to_owned(),
            other => format!("${other}"),
        };
        text.push_str(&part);
    }
    text + rest
}

fn relation(dice: &mut StdRng) -> String {
    match dice.random_ratio(2, 3) {
        true => one(dice, &ALONE).to_owned(),
        false => one(dice, &TIED).to_owned(),
    }
}

fn query(dice: &mut StdRng, depth: u32) -> String {
    let plain = [
        "SELECT id, n, s FROM $R",
        "SELECT t.id, $E, t.s FROM $R AS t WHERE $B",
    ];
    let deep = [
        "(SELECT id, n, s FROM $R) UNION ALL (SELECT id, n, s FROM $R)",
        "SELECT t.id, t.n, t.s FROM ($Q) AS t (id, n, s) WHERE $B",
        "WITH c AS (SELECT id, n, s FROM $R) SELECT c.id, t.n, c.s FROM c, $T AS t WHERE $B",
        "SELECT t.id, max(t.n), NULL::text FROM $R AS t GROUP BY t.id HAVING max(t.id) > (SELECT count(*) FROM $U)",
        "WITH RECURSIVE c (id, n, s) AS ((SELECT id, n, s FROM $R) UNION (SELECT t.id, t.n, t.s FROM c AS t WHERE $B)) TABLE c",
        "(SELECT id, n, s FROM $R) EXCEPT (SELECT u.id, u.n, u.s FROM $T AS u)",
    ];
    let template = match depth {
        0 => one(dice, &plain),
        _ => one(dice, &[plain.as_slice(), &deep].concat()),
    };
    fill(dice, template, depth.saturating_sub(1))
}

fn number(dice: &mut StdRng, depth: u32) -> String {
    let plain = ["7", "length('x')"];
    let deep = [
        "(SELECT max(t.id) FROM $R AS t WHERE $B)",
        "CASE WHEN EXISTS ($Q) THEN 1 ELSE $E END",
        "coalesce($E, (SELECT count(*) FROM $R)::int)",
        "(ARRAY(SELECT id FROM $R))[$E]",
        "greatest($E, (SELECT n FROM $T LIMIT 1))",
    ];
    let template = match depth {
        0 => one(dice, &plain),
        _ => one(dice, &[plain.as_slice(), &deep].concat()),
    };
    fill(dice, template, depth.saturating_sub(1))
}

fn condition(dice: &mut StdRng, depth: u32) -> String {
    let plain = ["t.id > 0", "t.n IS NOT NULL", "t.s <> 'q'"];
    let deep = [
        "t.id IN (SELECT u.id FROM $R AS u)",
        "EXISTS (SELECT FROM $R AS u WHERE u.id = t.id)",
        "NOT ($B AND t.n = $E)",
        "t.n > ALL (SELECT x.n FROM ($Q) AS x (id, n, s))",
        "(t.id, t.s) = ANY (SELECT u.id, u.s FROM $T AS u)",
        "t.id BETWEEN $E AND (SELECT sum(n) FROM $U)",
        "ROW(t.id, $E) IS DISTINCT FROM ROW(t.n, 3)",
    ];
    let template = match depth {
        0 => one(dice, &plain),
        _ => one(dice, &[plain.as_slice(), &deep].concat()),
    };
    fill(dice, template, depth.saturating_sub(1))
}
