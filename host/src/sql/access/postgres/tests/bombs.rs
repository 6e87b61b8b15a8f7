//! Statements that are made to be too much for whoever reads them: on the stack of an ordinary thread, in debug builds
//! too.

use super::read;

/// As large as the threads that statements are read on.
const STACK: usize = 2 << 20;

fn on_a_small_stack(name: &str, sql: String) {
    let (told, took) = std::thread::Builder::new()
        .stack_size(STACK)
        .spawn(move || {
            let start = std::time::Instant::now();
            (read(&sql).is_ok(), start.elapsed())
        })
        .unwrap()
        .join()
        .unwrap();
    assert!(took.as_secs() < 20, "{name} took {took:?} ({told})");
}

#[test]
fn deep_and_long_statements_end() {
    for depth in [40, 3_900, 100_000] {
        let repeat = |text: &str| text.repeat(depth);
        for (name, sql) in [
            ("sum", format!("SELECT 1{}", repeat("+1"))),
            ("concatenation", format!("SELECT 'a'{}", repeat("||'a'"))),
            (
                "parentheses",
                format!("SELECT {}1{}", repeat("("), repeat(")")),
            ),
            ("negation", format!("SELECT {}true", repeat("NOT "))),
            ("signs", format!("SELECT {}1", repeat("- "))),
            ("and", format!("SELECT true{}", repeat(" AND true"))),
            (
                "or and",
                format!("SELECT true{}", repeat(" OR true AND true")),
            ),
            ("and not", format!("SELECT true{}", repeat(" AND NOT true"))),
            ("casts", format!("SELECT 1{}", repeat("::int"))),
            (
                "functions",
                format!("SELECT {}1{}", repeat("abs("), repeat(")")),
            ),
            (
                "subqueries",
                format!("SELECT {}1{}", repeat("(SELECT "), repeat(")")),
            ),
            (
                "from",
                format!(
                    "SELECT * FROM {}users{}",
                    repeat("(SELECT * FROM "),
                    repeat(") x")
                ),
            ),
            (
                "joins",
                format!("SELECT 1 FROM users{}", repeat(" JOIN users ON true")),
            ),
            (
                "commas",
                format!("SELECT 1 FROM users{}", repeat(", users")),
            ),
            (
                "unions",
                format!("SELECT 1{}", repeat(" UNION ALL SELECT 1")),
            ),
            (
                "union lists",
                format!("SELECT 1, 2{}", repeat(" UNION ALL SELECT 1, 2")),
            ),
            (
                "case",
                format!(
                    "SELECT {}1{}",
                    repeat("CASE WHEN true THEN "),
                    repeat(" END")
                ),
            ),
            (
                "else",
                format!(
                    "SELECT {}1{}",
                    repeat("CASE WHEN true THEN 1 ELSE "),
                    repeat(" END")
                ),
            ),
            (
                "when",
                format!("SELECT CASE {} END", repeat("WHEN true THEN 1 ")),
            ),
            (
                "arrays",
                format!("SELECT {}1{}", repeat("ARRAY["), repeat("]")),
            ),
            (
                "brackets",
                format!("SELECT ARRAY{}1{}", repeat("["), repeat("]")),
            ),
            ("subscripts", format!("SELECT a{}", repeat("[1]"))),
            ("fields", format!("SELECT (a){}", repeat(".b"))),
            ("names", format!("SELECT a{}", repeat(".b"))),
            ("rows", format!("SELECT {}1{}", repeat("ROW("), repeat(")"))),
            (
                "lists",
                format!("INSERT INTO users VALUES (1){}", repeat(", (1)")),
            ),
            ("in", format!("SELECT 1 IN (1{})", repeat(", 1"))),
            (
                "with",
                format!(
                    "{} SELECT 1 {}",
                    repeat("WITH x AS ("),
                    repeat(") SELECT 1")
                ),
            ),
            ("explain", format!("{} SELECT 1", repeat("EXPLAIN "))),
            ("is null", format!("SELECT 1{}", repeat(" IS NULL"))),
            ("collate", format!("SELECT 'a'{}", repeat(" COLLATE \"C\""))),
            (
                "at time zone",
                format!("SELECT now(){}", repeat(" AT TIME ZONE 'UTC'")),
            ),
            (
                "between",
                format!("SELECT 1{}", repeat(" BETWEEN 1 AND 2 AND 1")),
            ),
            (
                "comments",
                format!("SELECT {}1{}", repeat("/*"), repeat("*/")),
            ),
            ("operators", format!("SELECT 1 {}1", repeat("+"))),
            ("operators and minus", format!("SELECT 1 {}1", repeat("*-"))),
            (
                "many columns",
                format!(
                    "SELECT 1{} FROM users{}",
                    ", id".repeat(depth / 2),
                    ", users".repeat(depth / 2)
                ),
            ),
            (
                "stars",
                format!(
                    "SELECT *{} FROM users{}",
                    ", *".repeat(depth / 2),
                    ", users".repeat(depth / 2)
                ),
            ),
            (
                "columns",
                format!("CREATE TABLE t (a int{})", repeat(", a int")),
            ),
            (
                "grouping",
                format!(
                    "SELECT 1 GROUP BY {}1{}",
                    repeat("GROUPING SETS ("),
                    repeat(")")
                ),
            ),
        ] {
            on_a_small_stack(&format!("{name} {depth}"), sql);
        }
    }
}
