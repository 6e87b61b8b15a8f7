//! Guests that do what they must not.

use whimbrel::engine::Aftermath;
use whimbrel_tests::{Backend, Database, on_every_database};

use super::aftermath::{after, in_effect, told};
use crate::staging::{Folder, engine, id, ledger, up};

/// A line of three whose middle one is the test guest `adversary`. It makes its table before it does anything else.
fn with_adversary(behaviour: &str, sql: &str, limits: &str) -> Folder {
    let tables = format!(
        "[limits]\n{limits}\n[params]\nfirst = \"CREATE TABLE t_b (n integer)\"\nbehaviour = \"{behaviour}\"\n\
         sql = \"{sql}\"\n"
    );
    Folder::default()
        .table("a", "")
        .component("b", "a", "adversary", &tables)
        .table("c", "b")
}

/// Runs a guest that must fail, be undone, and be recorded with what `says` is a part of.
async fn fails(db: &Database, behaviour: &str, sql: &str, limits: &str, says: &str) {
    let failure = up(&engine(db, with_adversary(behaviour, sql, limits)), "head")
        .await
        .unwrap_err();
    assert_eq!(
        failure.aftermath,
        Aftermath::RolledBack(id("b")),
        "{failure:?}"
    );
    assert_eq!(failure.done.len(), 1, "{failure:?}");
    let text = told(&*failure.cause);
    assert!(text.contains(says), "`{text}` does not say `{says}`");
    assert_eq!(ledger(db).await, ["a upgrade done", "b upgrade failed"]);
    after(db, &["a"], &engine(db, with_adversary("nothing", "", ""))).await;
}

/// Runs a guest that tries what is refused and goes on: the migration is then as good as without the attempt.
async fn is_refused(db: &Database, sql: &str) {
    let folder = with_adversary("ignore-error", sql, "");
    up(&engine(db, folder), "b").await.unwrap();
    after(
        db,
        &["a", "b"],
        &engine(db, with_adversary("ignore-error", sql, "")),
    )
    .await;
}

/// One line a fault: its name, what the guest does, with which statement, under which limits, and a part of what the
/// failure says.
macro_rules! guests_fail {
    ($($name:ident: $behaviour:literal $((sql $sql:literal))? $([$limits:literal])? => $says:literal;)+) => {
        on_every_database! {$(
            async fn $name(db: Database) {
                let (sql, limits) = (concat!($($sql)?), concat!($($limits)?));
                fails(&db, $behaviour, sql, limits, $says).await;
            }
        )+}
    };
}

guests_fail! {
    returns_an_error: "fail" => "it gives up";
    returns_a_database_error: "statement" (sql "SELEKT 1") => "syntax error";
    panics: "panic" => "panicked at";
    aborts: "exit" => "trapped";
    overflows_its_stack: "stack" => "stack";
    loops_until_its_fuel_is_gone: "loop" ["fuel = 10000000"] => "(fuel)";
    loops_until_its_time_is_up: "loop" ["time = \"500ms\""] => "(time)";
    eats_memory: "memory" ["memory = \"32MiB\""] => "(memory)";
    floods_the_log_with_lines: "log-lines" => "(log-lines)";
    floods_the_log_with_bytes: "log-bytes" => "(log-bytes)";
    asks_for_more_rows_than_it_may: "endless-query" ["result-rows = 10000"] => "(result-rows)";
    asks_for_ten_gigabytes_of_rows: "query"
        (sql "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000000) SELECT i, 'a hundred bytes a row make ten gigabytes in all, of which no host keeps more than it is told to keep' FROM n")
        ["result-bytes = \"1MiB\""] => "(result-bytes)";
    reads_without_end: "endless-cursor" ["time = \"500ms\""] => "(time)";
    opens_a_million_handles: "handles" (sql "SELECT 1") => "(handles)";
    sends_a_statement_of_a_hundred_megabytes: "huge-statement" => "trapped";
    drops_a_handle_twice: "cursor-dropped-twice" (sql "SELECT 1") => "trapped";
    ends_a_savepoint_twice: "savepoint-twice" => "savepoint";
    ends_savepoints_out_of_order: "savepoint-order" => "savepoint";
    leaves_a_savepoint_open: "savepoint-unfinished" => "savepoint";
    uses_a_cursor_after_its_end: "cursor-outlived" (sql "SELECT 1") => "cursor";
    commits: "statement" (sql "COMMIT") => "COMMIT is not allowed";
    commits_behind_a_comment: "statement" (sql "/* a comment */ COMMIT") => "COMMIT is not allowed";
    ends_the_transaction: "statement" (sql "END") => "not allowed";
    rolls_back: "statement" (sql "ROLLBACK") => "ROLLBACK is not allowed";
    sets_a_savepoint_of_its_own: "statement" (sql "SAVEPOINT s") => "SAVEPOINT is not allowed";
    sends_two_statements: "statement" (sql "SELECT 1; SELECT 2") => "not allowed";
    hides_a_commit_behind_a_statement: "statement" (sql "SELECT 1; COMMIT") => "not allowed";
    writes_the_version_table: "statement" (sql "DELETE FROM whimbrel_version") => "not allowed";
    writes_the_ledger: "statement" (sql "DELETE FROM whimbrel_ledger") => "not allowed";
    drops_the_ledger: "statement" (sql "DROP TABLE whimbrel_ledger") => "not allowed";
}

on_every_database! {
    async fn ignores_that_it_may_not_commit(db: Database) {
        is_refused(&db, "COMMIT").await;
    }

    async fn ignores_that_it_may_not_roll_back(db: Database) {
        is_refused(&db, "ROLLBACK").await;
    }

    async fn ignores_that_it_may_not_send_two_statements(db: Database) {
        is_refused(&db, "DROP TABLE t_a; COMMIT").await;
    }

    async fn ignores_that_a_statement_failed(db: Database) {
        match db.backend() {
            // The failed statement is undone by itself, and the transaction lives.
            Backend::Sqlite => is_refused(&db, "SELEKT 1").await,
            // The transaction is lost with it, whatever the guest says.
            Backend::Postgres(_) => fails(&db, "ignore-error", "SELECT 1 / 0", "", "an earlier statement has failed").await,
        }
    }

    async fn fails_on_the_way_down(db: Database) {
        let sound = |sql| with_adversary("statement", sql, "");
        let drops = "DROP TABLE IF EXISTS t_never";
        up(&engine(&db, sound(drops)), "head").await.unwrap();
        let engine = engine(&db, sound(drops));
        let failure = crate::staging::down(&engine, "a").await.unwrap_err();
        assert_eq!(failure.aftermath, Aftermath::RolledBack(id("b")), "{failure:?}");
        assert_eq!(in_effect(&db).await, ["a", "b"], "its downgrade makes the table that is there already");
    }
}
