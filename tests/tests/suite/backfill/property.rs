//! Properties that hold of a database, whatever is done in it.

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, TestRunner};
use tokio::runtime::Handle;
use whimbrel_tests::{Backend, Database};

/// Checks so many cases, each in an empty database, and shrinks the first that fails.
///
/// # Panics
/// With the smallest case that fails.
pub(super) async fn holds<S: Strategy>(
    db: &Database,
    cases: u32,
    strategy: S,
    check: impl AsyncFn(S::Value),
) {
    let config = Config {
        cases,
        max_shrink_iters: 10 * cases,
        failure_persistence: None,
        ..Config::default()
    };
    let here = Handle::current();
    let outcome = tokio::task::block_in_place(|| {
        TestRunner::new(config).run(&strategy, |case| {
            here.block_on(async {
                empty(db).await;
                check(case).await;
            });
            Ok(())
        })
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

/// Takes everything out of a database.
pub(super) async fn empty(db: &Database) {
    match db.backend() {
        Backend::Postgres(_) => {
            db.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public;")
                .await;
        }
        Backend::Sqlite => {
            const TABLES: &str = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";
            for table in db.column(TABLES).await {
                db.execute(&format!("DROP TABLE \"{table}\"")).await;
            }
        }
    }
}
