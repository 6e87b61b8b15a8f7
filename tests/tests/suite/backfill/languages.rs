//! Backfills in other languages than Rust: three guests that do the same.

use whimbrel_tests::{Backend, Database, guest};

use super::{TABLE, filled, leftovers, told};
use crate::staging::{Folder, engine, up};

const ROWS: u32 = 3_000;
/// The row that none of them can work on.
const BAD: u32 = 777;

async fn works(db: Database, component: &str, language: &str) {
    let table = format!(
        "{TABLE};\n{}\nUPDATE items SET remark = 'Größe ' || id WHERE id % 3 = 0;\nUPDATE items SET remark = 'bad' WHERE id = {BAD};",
        filled(db.backend(), ROWS)
    );
    let manifest = format!(
        "{language}transaction = \"batches\"\n[capabilities]\nselect = [\"items(id, amount, runs, remark)\"]\n\
         update = [\"items(doubled, runs, remark)\"]\n"
    );
    let folder = Folder::default()
        .with("a", "", &table, None)
        .component_from("b", "a", &guest(component), &manifest);
    let engine = engine(&db, folder);
    let failure = up(&engine, "b").await.unwrap_err();
    assert!(
        told(&failure).contains("the remark is bad"),
        "{}",
        told(&failure)
    );
    db.execute(&format!("UPDATE items SET remark = NULL WHERE id = {BAD}"))
        .await;
    up(&engine, "b").await.unwrap();
    let right = format!(
        "SELECT count(*) FROM items WHERE amount % 10 <> 0 AND runs = 1 AND doubled = amount * 2 AND remark = \
         CASE WHEN id % 3 = 0 AND id <> {BAD} THEN 'Größe ' || id || ', done' ELSE 'done' END"
    );
    assert_eq!(db.value(&right).await, "2700");
    let kept = "SELECT count(*) FROM items WHERE amount % 10 = 0 AND runs = 0 AND doubled IS NULL";
    assert_eq!(db.value(kept).await, "300");
    assert_eq!(leftovers(&db).await, [""; 0]);
}

macro_rules! on_both {
    ($($name:ident: $component:literal, $language:literal;)+) => {$(
        mod $name {
            use super::*;

            #[test]
            fn sqlite() {
                whimbrel_tests::run(Backend::Sqlite, |db| works(db, $component, $language));
            }
            #[test]
            fn postgres() {
                whimbrel_tests::run(Backend::Postgres(15), |db| works(db, $component, $language));
            }
        }
    )+};
}

on_both! {
    c_makes_new_values: "c-filler", "";
    javascript_makes_new_values: "javascript-filler", "language = \"javascript\"\n";
    python_makes_new_values: "python-filler", "language = \"python\"\n";
}
