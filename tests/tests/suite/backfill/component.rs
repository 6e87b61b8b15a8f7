//! Backfills in components, of which the author may be anyone.

use whimbrel::engine::Aftermath;
use whimbrel_tests::{Database, guest, on_every_database};

use super::{TABLE, filled, leftovers, told};
use crate::staging::{Folder, down, engine, id, up, versions};

const ROWS: u32 = 4_000;

const REQUEST: &str = "[capabilities]
select = [\"items(id, amount, runs, remark)\"]
update = [\"items(doubled, runs, remark)\"]
";

fn folder(db: &Database, mode: &str, manifest: &str, request: &str) -> Folder {
    let table = format!(
        "{TABLE};\n{}\nCREATE TABLE secrets (secret integer);\nINSERT INTO secrets VALUES (1);",
        filled(db.backend(), ROWS)
    );
    let manifest = format!("{manifest}\n[params]\nmode = \"{mode}\"\n{request}");
    Folder::default()
        .with("a", "", &table, None)
        .component_from("b", "a", &guest("filler"), &manifest)
}

fn in_mode(db: &Database, mode: &str) -> Folder {
    folder(db, mode, "transaction = \"batches\"", REQUEST)
}

/// What each mode fails with when nothing was begun, and when it was.
const REFUSED: [(&str, &str); 6] = [
    ("no-table", "is not the name of a table"),
    ("other-column", "has no column"),
    ("escape", "is no expression of SQL by itself"),
    ("two-statements", "is no expression of SQL by itself"),
    ("other-table", "secrets"),
    ("spin-in-describe", "exceeded its limit"),
];
const FAILED: [(&str, &str); 10] = [
    ("trap", "unreachable"),
    ("spin", "exceeded its limit"),
    ("fill-memory", "exceeded its limit"),
    ("fail", "thirteen"),
    ("drop", "does not say so"),
    ("fewer-rows", "values for"),
    ("fewer-columns", "2 columns"),
    ("fewer-verdicts", "verdicts"),
    ("lying-offsets", "offset"),
    ("no-text", "UTF-8"),
];

on_every_database! {
    async fn its_rows_are_done_once_and_in_its_order(db: Database) {
        let engine = engine(&db, in_mode(&db, "right"));
        let report = up(&engine, "head").await.unwrap();
        assert_eq!(report.steps[1].work.rows, u64::from(ROWS));
        assert_eq!(db.value("SELECT count(*) FROM items WHERE runs = 1 AND doubled = amount * 2 AND remark = 'done'").await, "4000");
        assert_eq!(leftovers(&db).await, [""; 0]);
        let failure = down(&engine, "a").await.unwrap_err();
        assert!(told(&failure).contains("there is no way back"), "{}", told(&failure));
        assert_eq!(versions(&db).await, ["b"]);
    }

    async fn what_it_describes_is_judged_before_anything_begins(db: Database) {
        for (mode, expected) in REFUSED {
            let manifest = "transaction = \"batches\"\n[limits]\ntime = \"2s\"";
            let engine = engine(&db, folder(&db, mode, manifest, REQUEST));
            let failure = up(&engine, "b").await.unwrap_err();
            assert!(told(&failure).contains(expected), "{mode}: {}", told(&failure));
            assert_eq!(failure.aftermath, Aftermath::RolledBack(id("b")), "{mode}");
            assert!(engine.backfill_status(None).await.unwrap().is_empty(), "{mode}");
        }
        for request in [
            "[capabilities]\nselect = [\"items(id, amount, runs, remark)\"]\nupdate = [\"items(doubled, runs)\"]",
            "[capabilities]\nselect = [\"items(id, amount, runs)\"]\nupdate = [\"items(doubled, runs, remark)\"]",
            "[capabilities]\nselect = [\"items(amount, runs, remark)\"]\nupdate = [\"items(doubled, runs, remark)\"]",
        ] {
            let engine = engine(&db, folder(&db, "right", "transaction = \"batches\"", request));
            let failure = up(&engine, "b").await.unwrap_err();
            assert!(told(&failure).contains("not granted"), "{request}: {}", told(&failure));
        }
        assert_eq!(leftovers(&db).await, [""; 0]);
    }

    async fn what_it_returns_is_never_taken_on_trust(db: Database) {
        for (mode, expected) in FAILED {
            let manifest = "transaction = \"batches\"\n[limits]\ntime = \"1s\"\nmemory = \"16 MiB\"";
            let engine = engine(&db, folder(&db, mode, manifest, REQUEST));
            let failure = up(&engine, "b").await.unwrap_err();
            assert!(told(&failure).contains(expected), "{mode}: {}", told(&failure));
            assert!(!told(&failure).contains('\u{1b}'), "{mode}");
            assert_eq!(failure.aftermath, Aftermath::Unfinished(id("b")), "{mode}");
            assert_eq!(db.value("SELECT count(*) FROM items WHERE id % 1000 = 13 AND runs <> 0").await, "0", "{mode}");
        }
        // What was committed before stays, and is not done again.
        let engine = engine(&db, in_mode(&db, "right"));
        up(&engine, "b").await.unwrap();
        assert_eq!(db.value("SELECT count(*) FROM items WHERE runs = 1 AND remark = 'done'").await, "4000");
        assert_eq!(leftovers(&db).await, [""; 0]);
    }

    async fn a_manifest_that_says_otherwise_is_refused(db: Database) {
        let migration = engine(&db, folder(&db, "right", "", REQUEST));
        let failure = up(&migration, "b").await.unwrap_err();
        assert!(told(&failure).contains("transaction = \"batches\""), "{}", told(&failure));
        let batches = "transaction = \"batches\"";
        let other = in_mode(&db, "right").component_from("m", "a", &guest("values"), batches);
        let failure = up(&engine(&db, other), "m").await.unwrap_err();
        assert!(told(&failure).contains("a migration and no backfill"), "{}", told(&failure));
    }
}
