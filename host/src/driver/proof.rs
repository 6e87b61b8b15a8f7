//! Whether two databases answer a question alike, as a statement that each of them can be asked.

use super::Dialect;
use crate::sql::{leading_keywords, names, without_semicolon};

/// A statement of one text: a digest of the rows of `sql` in their order, or where the database knows none the rows
/// themselves. None for a statement that writes, which must not run once more, and one without columns.
pub(super) fn query(sql: &str, width: usize, dialect: Dialect) -> Option<String> {
    if width == 0 || writes(sql, dialect) {
        return None;
    }
    let columns: Vec<String> = (1..=width).map(|at| format!("c{at}")).collect();
    let names = columns.join(", ");
    let digest = match dialect {
        Dialect::Postgresql => {
            "pg_catalog.md5(coalesce(pg_catalog.string_agg(answer::text, E'\\n'), ''))".to_owned()
        }
        Dialect::Sqlite => {
            let row: Vec<String> = columns
                .iter()
                .map(|name| format!("quote({name})"))
                .collect();
            format!(
                "coalesce(group_concat({}, char(10)), '')",
                row.join(" || ',' || ")
            )
        }
    };
    let sql = without_semicolon(sql, dialect);
    Some(format!(
        "WITH answer ({names}) AS (\n{sql}\n) SELECT {digest} FROM answer"
    ))
}

fn writes(sql: &str, dialect: Dialect) -> bool {
    let words = leading_keywords(sql, dialect, 1);
    match words.first().map(String::as_str) {
        Some("SELECT" | "VALUES" | "TABLE") => false,
        Some("WITH") => names(sql, dialect).any(|name| match name {
            Ok(name) => {
                ["insert", "update", "delete", "merge"].contains(&&*name.text.to_lowercase())
            }
            Err(_) => true,
        }),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_writes_is_not_asked_twice() {
        let proof = |sql| query(sql, 1, Dialect::Postgresql);
        assert!(proof("SELECT 1; -- done").is_some_and(|sql| sql.contains("(\nSELECT 1\n)")));
        assert!(proof("WITH a AS (SELECT 1) SELECT * FROM a").is_some());
        assert_eq!(proof("DELETE FROM t RETURNING id"), None);
        assert_eq!(
            proof("WITH a AS (DELETE FROM t RETURNING 1) SELECT * FROM a"),
            None
        );
        assert_eq!(query("SELECT", 0, Dialect::Postgresql), None);
    }
}
