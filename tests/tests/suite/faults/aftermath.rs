//! What must hold after every fault.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use whimbrel::driver::{Holder, LockAttempt};
use whimbrel::engine::Engine;
use whimbrel_tests::{Backend, Database};

use crate::staging::{driver, ledger, tables, up, versions};

/// A server may take a moment to see that a client is gone.
const MOMENT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(50);

/// Demands that nobody holds a lock and that exactly `applied` is in effect.
pub(crate) async fn unharmed(db: &Database, applied: &[&str]) {
    nobody_holds_a_lock(db).await;
    assert_eq!(in_effect(db).await, applied);
}

/// Demands that the database is [`unharmed`], and that `next` then brings it to its head.
pub(crate) async fn after(db: &Database, applied: &[&str], next: &Engine) {
    unharmed(db, applied).await;
    let report = match up(next, "head").await {
        Ok(report) => report,
        Err(failure) => panic!("the next upgrade failed: {failure:?}"),
    };
    let mut all = applied.to_vec();
    all.extend(report.steps.iter().map(|step| step.revision.as_str()));
    unharmed(db, &all).await;
}

/// The revisions that are in effect, on which the schema, the version table and the ledger must agree.
pub(super) async fn in_effect(db: &Database) -> Vec<String> {
    let made: Vec<String> = tables(db)
        .await
        .iter()
        .map(|table| table.trim_start_matches("t_").to_owned())
        .collect();
    if !has_history(db).await {
        assert!(made.is_empty(), "no history, and yet there are {made:?}");
        return made;
    }
    let applied: Vec<String> = match versions(db).await.as_slice() {
        [] => Vec::new(),
        [head] => {
            let last = head.chars().next().expect("an id is not empty");
            ('a'..=last).map(String::from).collect()
        }
        several => panic!("a line has one head, not {several:?}"),
    };
    assert_eq!(made, applied, "the schema against the version table");
    assert_eq!(
        recorded(db).await,
        applied,
        "the ledger against the version table"
    );
    applied
}

/// What the ledger takes for applied; a step that it takes for unfinished is a failure.
async fn recorded(db: &Database) -> Vec<String> {
    let mut last = BTreeMap::new();
    for entry in ledger(db).await {
        let (revision, what) = entry.split_once(' ').expect("an entry has three words");
        if !what.ends_with(" failed") {
            last.insert(revision.to_owned(), what.to_owned());
        }
    }
    last.retain(|revision, what| match what.as_str() {
        "upgrade done" => true,
        "downgrade done" => false,
        other => panic!("the ledger says of {revision}: {other}"),
    });
    last.into_keys().collect()
}

async fn has_history(db: &Database) -> bool {
    let sql = match db.backend() {
        Backend::Sqlite => "SELECT count(*) FROM sqlite_schema WHERE name = 'whimbrel_version'",
        Backend::Postgres(_) => {
            "SELECT count(*) FROM pg_tables WHERE tablename = 'whimbrel_version'"
        }
    };
    db.value(sql).await == "1"
}

/// Demands that the run lock is free, and that no transaction is open.
pub(super) async fn nobody_holds_a_lock(db: &Database) {
    let holder = Holder {
        host: this_host(),
        pid: std::process::id(),
        since: None,
        expires: None,
    };
    let mut lock = driver(db).open_lock("whimbrel_version").await.unwrap();
    let deadline = Instant::now() + MOMENT;
    loop {
        match lock.try_acquire(&holder).await.unwrap() {
            LockAttempt::Acquired => break,
            LockAttempt::Held(holder) => {
                assert!(
                    Instant::now() < deadline,
                    "{holder:?} still holds the run lock"
                );
            }
        }
        tokio::time::sleep(POLL).await;
    }
    lock.release().await.unwrap();
    while open_transactions(db).await != "0" {
        assert!(Instant::now() < deadline, "a transaction is still open");
        tokio::time::sleep(POLL).await;
    }
}

/// The name of this machine, on which a dead holder is known to be dead.
fn this_host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    name.trim_end().to_owned()
}

async fn open_transactions(db: &Database) -> String {
    match db.backend() {
        // The run lock could not have been taken beside one: SQLite has one writer.
        Backend::Sqlite => "0".to_owned(),
        Backend::Postgres(_) => {
            db.value(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                 AND xact_start IS NOT NULL AND pid <> pg_backend_pid() AND backend_type = 'client backend'",
            )
            .await
        }
    }
}

/// An error with all its causes.
pub(crate) fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
