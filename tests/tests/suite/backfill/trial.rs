//! Backfills that are tried, planned, learned from and written as scripts.

use whimbrel::backfill::Cell;
use whimbrel::capability::Grant;
use whimbrel::driver::Value;
use whimbrel::engine::{Aftermath, BackfillMode, DryRun, Engine};
use whimbrel::revision::Direction;
use whimbrel::target::Target;
use whimbrel_tests::{Backend, Database, on_every_database};

use super::coded::{Coded, Made, number};
use super::{COUNTING, coded_engine, folder, leftovers, sql, told};
use crate::staging::{engine, granting, id, up, versions};

fn grant(capabilities: &str) -> Grant {
    Grant::only(capabilities.parse().unwrap())
}

fn head() -> Target {
    "head".parse().unwrap()
}

async fn tried(mut engine: Engine, sample: Option<u64>) -> DryRun {
    engine.backfills.sample = sample;
    engine
        .dry_run(&head(), Direction::Upgrade, None)
        .await
        .unwrap()
}

/// What is there of the rows and of Whimbrel's tables: what no dry run may change.
async fn state(db: &Database) -> (String, Vec<String>, Vec<String>) {
    (
        db.value("SELECT count(*) FROM items WHERE runs = 0 AND doubled IS NULL")
            .await,
        leftovers(db).await,
        versions(db).await,
    )
}

on_every_database! {
    async fn a_sample_is_taken_from_all_over_the_table(db: Database) {
        let engine = engine(&db, folder(&db, 20_000, COUNTING).table("c", "b"));
        up(&engine, "a").await.unwrap();
        let before = state(&db).await;
        let dry = tried(engine, Some(1_000)).await;
        assert_eq!(dry.left_out, [id("c")]);
        assert_eq!(dry.steps.len(), 1);
        let trial = dry.steps[0].backfill.as_ref().unwrap();
        assert_eq!((trial.rows, trial.tried, trial.counts.written), (20_000, 1_000, 1_000));
        assert!(trial.errors.is_empty());
        assert_eq!(trial.wal_bytes.is_some(), db.backend() != Backend::Sqlite);
        let keys: Vec<u32> = trial.examples.iter().map(|row| row.key.parse().unwrap()).collect();
        assert_eq!(keys.len(), 5);
        assert!(keys.windows(2).all(|pair| pair[1] >= pair[0] + 900), "{keys:?}");
        let example = &trial.examples[1];
        let shown = |cells: &[Cell]| -> Vec<(String, String)> {
            cells.iter().map(|cell| (cell.column.clone(), cell.value.clone())).collect()
        };
        let amount = keys[1] % 1_000;
        assert_eq!(shown(&example.reads)[0], ("amount".to_owned(), amount.to_string()));
        assert_eq!(shown(&example.before), [("doubled".to_owned(), "NULL".to_owned()), ("runs".to_owned(), "0".to_owned())]);
        assert_eq!(
            shown(example.after.as_ref().unwrap()),
            [("doubled".to_owned(), (amount * 2).to_string()), ("runs".to_owned(), "1".to_owned())]
        );
        let per_row = trial.duration / 1_000;
        assert!(trial.forecast.duration >= per_row * 19_000);
        assert_eq!(state(&db).await, before);
    }

    async fn without_a_sample_all_is_tried_and_what_follows(db: Database) {
        let backfill = format!("{COUNTING}\n\n-- whimbrel:downgrade\nUPDATE items SET doubled = NULL;");
        let after = "-- whimbrel:upgrade\nDELETE FROM items WHERE doubled <> amount * 2;";
        let engine = engine(&db, folder(&db, 5_000, &backfill).file("migrations/c_after.sql", sql("c", "b", after)));
        up(&engine, "a").await.unwrap();
        let before = state(&db).await;
        let dry = tried(engine, None).await;
        assert!(dry.left_out.is_empty());
        assert_eq!(dry.steps[0].backfill.as_ref().unwrap().counts.written, 5_000);
        assert_eq!((dry.steps[0].work.rows, dry.steps[1].work.rows), (5_000, 0));
        assert_eq!(state(&db).await, before);
    }

    async fn what_would_fail_is_told_by_kind(db: Database) {
        let code = Coded::new(&["amount", "runs"], &["doubled", "runs"], |row| {
            let [amount, runs] = [number(&row[0]), number(&row[1])];
            match amount % 1_000 {
                13 => Made::Fail(format!("{amount} is unlucky")),
                14 | 113 => Made::Fail("\"so\" it goes".to_owned()),
                15 => Made::Keep,
                _ => Made::Write(vec![Value::Int64(amount * 2), Value::Int64(runs + 1)]),
            }
        });
        let coded = coded_engine(&db, 3_000, code);
        up(&coded, "a").await.unwrap();
        let before = state(&db).await;
        let dry = tried(coded, None).await;
        let trial = dry.steps[0].backfill.as_ref().unwrap();
        assert_eq!((trial.counts.bad, trial.counts.kept, trial.counts.written), (9, 3, 2_988));
        let kinds: Vec<(&str, u64, &str)> = trial.errors.iter().map(|kind| (kind.error.as_str(), kind.rows, kind.key.as_str())).collect();
        assert_eq!(kinds, [("\"so\" it goes", 6, "14"), ("13 is unlucky", 3, "13")]);
        assert_eq!(state(&db).await, before);

        // The database may be the one that refuses a row.
        db.execute("CREATE UNIQUE INDEX items_doubled ON items (doubled)").await;
        let declared = engine(&db, folder(&db, 3_000, "-- whimbrel:backfill\nUPDATE items SET doubled = CASE WHEN id IN (700, 1500) THEN 10 ELSE id * 2 END"));
        let dry = tried(declared, None).await;
        let trial = dry.steps[0].backfill.as_ref().unwrap();
        assert_eq!((trial.counts.bad, trial.counts.written), (2, 2_998));
        assert_eq!((trial.errors.len(), trial.errors[0].rows, trial.errors[0].key.as_str()), (1, 2, "700"));
        assert_eq!(state(&db).await, before);
    }

    async fn a_dry_run_needs_what_the_run_needs(db: Database) {
        let engine = engine(&db, folder(&db, 100, COUNTING));
        up(&engine, "a").await.unwrap();
        let engine = granting(engine, grant("select items(amount, runs, id); update items(runs)"));
        let before = state(&db).await;
        let failure = engine.dry_run(&head(), Direction::Upgrade, None).await.unwrap_err();
        assert_eq!(failure.aftermath, Aftermath::DryRun);
        assert!(told(&failure).contains("not granted"), "{}", told(&failure));
        assert_eq!(state(&db).await, before);
    }

    async fn old_values_are_put_back_in_a_dry_run_as_well(db: Database) {
        let backfill = "-- whimbrel:backfill\n-- keep: old-values\n-- changed: leave\nUPDATE items SET amount = amount + 1;";
        let engine = engine(&db, folder(&db, 2_000, backfill));
        up(&engine, "a").await.unwrap();
        let dry = engine.dry_run(&head(), Direction::Upgrade, None).await.unwrap();
        assert_eq!(dry.steps[0].work.rows, 2_000);
        up(&engine, "b").await.unwrap();
        let down = engine.dry_run(&"a".parse().unwrap(), Direction::Downgrade, None).await.unwrap();
        assert_eq!(down.steps[0].work.rows, 2_000);
        let trial = down.steps[0].backfill.as_ref().unwrap();
        assert_eq!((trial.examples[0].before[0].value.as_str(), trial.examples[0].after.as_ref().unwrap()[0].value.as_str()), ("2", "1"));
        assert_eq!(versions(&db).await, ["b"]);
        assert_eq!(db.value("SELECT count(*) FROM items WHERE amount = id % 1000 + 1").await, "2000");
    }

    async fn a_script_does_what_a_statement_can(db: Database) {
        let declared = engine(&db, folder(&db, 100, COUNTING));
        let script = declared.script(None, &head(), Direction::Upgrade, None).await.unwrap();
        assert!(script.contains("UPDATE items SET doubled = amount * 2, runs = runs + 1;"), "{script}");
        let keeping = "-- whimbrel:backfill\n-- keep: old-values\nUPDATE items SET doubled = 1;";
        let keeping = engine(&db, folder(&db, 100, keeping));
        let failure = keeping.script(None, &head(), Direction::Upgrade, None).await.unwrap_err();
        assert!(told(&failure).contains("keeps old values"), "{}", told(&failure));
        let coded = coded_engine(&db, 100, Coded::counting());
        let failure = coded.script(None, &head(), Direction::Upgrade, None).await.unwrap_err();
        assert!(told(&failure).contains("a component makes its new values"), "{}", told(&failure));
    }

    async fn other_migrations_write_the_table_of_one_that_goes_on(db: Database) {
        let other = "-- whimbrel:upgrade\nUPDATE items SET amount = amount + 1000 WHERE id <= 50;\n\
             INSERT INTO items (id, amount) VALUES (-1, 7);";
        let folder = folder(&db, 3_000, COUNTING).file("migrations/o_other.sql", sql("o", "a", other));
        let mut engine = engine(&db, folder);
        up(&engine, "a").await.unwrap();
        engine.backfills.mode = BackfillMode::Detached;
        let report = up(&engine, "b").await.unwrap();
        assert_eq!(report.detached, [id("b")]);
        engine.work_on(&id("b")).await.unwrap();
        let narrow = grant("select items(amount, id); update items(amount); insert items");
        let all = std::sync::Arc::clone(&engine.library);
        let mut engine = granting(engine, narrow);
        let report = up(&engine, "o").await.unwrap();
        assert_eq!(report.steps[0].work.rows, 51);
        engine.library = all;
        engine.backfills.mode = BackfillMode::Attached;
        up(&engine, "heads").await.unwrap();
        assert_eq!(db.value("SELECT count(*) FROM items WHERE doubled <> amount * 2 OR doubled IS NULL").await, "0");
        assert_eq!(db.value("SELECT count(*) FROM items WHERE runs = 2").await, "50");
        assert_eq!(db.value("SELECT count(*) FROM items WHERE runs = 1").await, "2951");
        assert_eq!(leftovers(&db).await, [""; 0]);
    }
}
