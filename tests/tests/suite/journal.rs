//! What components were told and answered, and that they do the same again.

use camino::{Utf8Path, Utf8PathBuf};
use std::sync::Arc;

use whimbrel::journal::{self, Journal, Recorded, Replayed, Verdict};
use whimbrel::project::{Project, RunOptions};
use whimbrel_tests::{Database, guest, on_every_database};

use crate::staging::{Folder, engine_with, patience, up};

/// A folder of one component.
fn folder(component: &str, manifest: &str) -> Folder {
    Folder::default().component_from("b", "", &guest(component), manifest)
}

/// The journal of an upgrade of that folder.
async fn recorded(db: &Database, folder: Folder, at: &Utf8Path) -> Vec<Recorded> {
    let options = RunOptions {
        journal: Some(Journal::create(at).unwrap()),
        patience: patience(),
        ..RunOptions::default()
    };
    let engine = engine_with(db, folder, options);
    // What became of it stands in the journal.
    let _ = up(&engine, "head").await;
    journal::load(at).unwrap()
}

async fn replayed(folder: Folder, recorded: &Recorded) -> Replayed {
    let project = Project::read(Arc::new(folder), Utf8Path::new("migrations")).unwrap();
    Arc::new(project).replay(recorded).await.unwrap()
}

fn temporary() -> (tempfile::TempDir, Utf8PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = Utf8Path::from_path(folder.path()).unwrap().join("journal");
    (folder, file)
}

/// Runs a component, checks what `error` its journal has of it, and that it does the same again, twice.
async fn does_the_same(db: &Database, folder: impl Fn() -> Folder, error: Option<&str>) {
    let (_kept, file) = temporary();
    let calls = recorded(db, folder(), &file).await;
    let [call] = calls.as_slice() else {
        panic!("one call was made, not {calls:?}")
    };
    let ending = call.ending.as_ref().unwrap();
    assert!(ending.fuel > 0, "{ending:?}");
    match (&ending.error, error) {
        (None, None) => {}
        (Some(found), Some(error)) => assert!(found.contains(error), "{found}"),
        (found, wanted) => panic!("{found:?}, not {wanted:?}"),
    }
    for _ in 0..2 {
        let again = replayed(folder(), call).await;
        assert_eq!(again.verdict, Verdict::Same);
        assert_eq!(again.ending, *ending);
        assert_eq!(again.exchanges, call.exchanges.len());
        assert!(again.is_same_component);
    }
}

on_every_database! {
    async fn a_guest_in_c_does_the_same_again(db: Database) {
        does_the_same(&db, || folder("c", ""), None).await;
    }

    async fn a_guest_in_python_does_the_same_again(db: Database) {
        does_the_same(&db, || folder("python", "language = \"python\"\n"), None).await;
    }

    async fn a_guest_in_rust_does_the_same_again(db: Database) {
        db.execute("CREATE TABLE v (a bigint, d double precision); CREATE TABLE w (a bigint, d double precision); \
                    INSERT INTO v VALUES (1, 0.1), (NULL, NULL), (-9223372036854775808, -1e300)").await;
        let manifest = "[params]\nread = \"SELECT a, d FROM v ORDER BY a\"\nwrite = \"INSERT INTO w VALUES ($1, $2)\"\nthrough = \"cursor\"\n";
        does_the_same(&db, || folder("values", manifest), None).await;
    }

    async fn two_runs_have_the_same_statements_answers_fuel_and_records(db: Database) {
        let folder = || {
            let values = "[params]\nread = \"SELECT a, d FROM v ORDER BY a\"\nwrite = \"INSERT INTO w VALUES ($1, $2)\"\nthrough = \"cursor\"\n";
            let fails = "[params]\nfirst = \"CREATE TABLE t_b (n integer)\"\nbehaviour = \"statement\"\nsql = \"SELEKT 1\"\n";
            Folder::default()
                .component_from("a", "", &guest("values"), values)
                .component_from("b", "a", &guest("c"), "")
                .component_from("c", "b", &guest("adversary"), fails)
        };
        let other = Database::create(db.backend()).await;
        let mut runs = Vec::new();
        for database in [&db, &other] {
            database.execute("CREATE TABLE v (a bigint, d double precision); CREATE TABLE w (a bigint, d double precision); \
                              INSERT INTO v VALUES (1, 0.1), (NULL, NULL), (-9223372036854775808, -1e300)").await;
            let (_kept, file) = temporary();
            let mut calls = recorded(database, folder(), &file).await;
            assert_eq!(calls.len(), 3);
            for call in &mut calls {
                assert!(call.ending.as_ref().is_some_and(|ending| ending.fuel > 0), "{call:?}");
                // What tells one run from another.
                call.told.run = String::new();
                call.told.now = 0;
                call.told.seed = [0; 8];
            }
            let records = database.column("SELECT revision || ' ' || action || ' ' || outcome || ' ' || digest || ' ' || parameters_digest \
                || ' ' || statements || ' ' || rows_touched || ' ' || tally FROM whimbrel_ledger ORDER BY id").await;
            assert_eq!(records.len(), 3);
            runs.push((calls, records, database.dump_without(&["whimbrel_ledger", "whimbrel_lock"]).await));
        }
        assert_eq!(runs[0], runs[1]);
    }

    async fn a_failure_is_the_same_again(db: Database) {
        let adversary = |behaviour: &str| {
            let manifest = format!("[limits]\nfuel = 10000000\n[params]\nfirst = \"CREATE TABLE t_b (n integer)\"\nsql = \"SELEKT 1\"\nbehaviour = \"{behaviour}\"\n");
            folder("adversary", &manifest)
        };
        for (behaviour, error) in [
            ("panic", "panicked"),
            ("statement", "syntax error"),
            ("panic-after-error", "panicked"),
            ("loop", "(fuel)"),
            ("stack", "stack"),
            ("savepoint-order", "savepoint"),
        ] {
            does_the_same(&db, || adversary(behaviour), Some(error)).await;
        }
    }
}

#[tokio::test]
async fn a_component_that_asks_for_something_else_is_told_where() {
    let db = Database::create(whimbrel_tests::Backend::Sqlite).await;
    let (_kept, file) = temporary();
    let mut calls = recorded(&db, folder("c", ""), &file).await;
    let call = &mut calls[0];
    let (first, second) = (call.exchanges[0].clone(), call.exchanges[1].clone());
    call.exchanges[0] = second;
    call.exchanges[1] = first;
    match replayed(folder("c", ""), call).await.verdict {
        Verdict::Differs(difference) => {
            assert_eq!(difference.after, 0);
            assert!(
                difference.then.contains("INSERT INTO waders"),
                "{difference}"
            );
            assert!(
                difference.now.contains("CREATE TABLE waders"),
                "{difference}"
            );
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_journal_that_was_cut_short_is_as_good_as_what_is_left_of_it() {
    let db = Database::create(whimbrel_tests::Backend::Sqlite).await;
    let (_kept, file) = temporary();
    recorded(&db, folder("c", ""), &file).await;
    let text = std::fs::read_to_string(&file).unwrap();
    let cut = text.rfind("{\"exchange\"").unwrap() + 20;
    std::fs::write(&file, &text[..cut]).unwrap();
    let calls = journal::load(&file).unwrap();
    assert_eq!(calls[0].exchanges.len(), 2);
    let again = replayed(folder("c", ""), &calls[0]).await;
    assert_eq!(again.verdict, Verdict::SameSoFar);
    assert_eq!(again.exchanges, 2);
    for nonsense in [
        "",
        "{}\n",
        "{\"whimbrel_journal\":2}\n",
        "{\"whimbrel_journal\":1}\n{\"end\":{}}\n",
    ] {
        std::fs::write(&file, nonsense).unwrap();
        let read = journal::load(&file);
        assert!(read.is_err() || nonsense.is_empty(), "{nonsense}: {read:?}");
    }
}

#[cfg(unix)]
#[test]
fn nobody_else_reads_a_journal_and_no_file_is_overwritten() {
    use std::os::unix::fs::PermissionsExt;
    let (_kept, file) = temporary();
    drop(Journal::create(&file).unwrap());
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(Journal::create(&file).is_err());
}
