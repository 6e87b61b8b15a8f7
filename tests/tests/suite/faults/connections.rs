//! Servers that die and connections that break.

use std::time::Duration;

use whimbrel::engine::{Aftermath, Cause};
use whimbrel_tests::{Database, on_every_postgres};

use super::aftermath::{after, told};
use super::proxy::{Break, Wire};
use crate::staging::{driver_for, engine, engine_over, id, three, until_it_sleeps, up, with_sleep};

async fn terminate(db: &Database, which: &str) {
    let ended = db
        .column(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
             AND pid <> pg_backend_pid() AND {which}"
        ))
        .await;
    assert_eq!(ended, ["t"]);
}

/// Breaks the wire at the COMMIT of `b`; returns what the engine makes of it, and checks that it is true.
async fn broken_commit(db: &Database, at: Break) -> Aftermath {
    up(&engine(db, three()), "a").await.unwrap();
    let server: tokio_postgres::Config = db.url().parse().unwrap();
    let wire = Wire::to(("127.0.0.1".to_owned(), server.get_ports()[0]), at).await;
    let cut_off = engine_over(driver_for(&wire.url(&db.url())), three());
    let failure = up(&cut_off, "b").await.unwrap_err();
    assert!(
        matches!(
            *failure.cause,
            Cause::Transaction {
                stage: "committed",
                ..
            }
        ),
        "{failure:?}"
    );
    let committed: &[&str] = match at {
        Break::BeforeCommit => &["a"],
        _ => &["a", "b"],
    };
    after(db, committed, &engine(db, three())).await;
    failure.aftermath
}

on_every_postgres! {
    async fn the_connection_is_terminated(db: Database) {
        let engine_that_loses = engine(&db, with_sleep(600));
        let killer = async {
            until_it_sleeps(&db).await;
            terminate(&db, "query LIKE 'SELECT pg_sleep%'").await;
        };
        let (result, ()) = tokio::join!(up(&engine_that_loses, "head"), killer);
        let failure = result.unwrap_err();
        assert_eq!(failure.state(), "1 of 3 applied; b rolled back; nothing else changed.");
        // The end of the connection may overtake the server's last words.
        let told = told(&*failure.cause);
        assert!(
            told.contains("terminating connection") || told.contains("the connection to the database has ended"),
            "{failure:?}"
        );
        after(&db, &["a"], &engine(&db, three())).await;
    }

    async fn the_connection_of_the_lock_is_terminated(db: Database) {
        let engine_that_loses = engine(&db, with_sleep(1));
        let killer = async {
            until_it_sleeps(&db).await;
            terminate(&db, "application_name LIKE 'whimbrel lock%'").await;
        };
        let (result, ()) = tokio::join!(up(&engine_that_loses, "head"), killer);
        let failure = result.unwrap_err();
        assert!(matches!(*failure.cause, Cause::LockLost), "{failure:?}");
        assert_eq!(failure.state(), "2 of 3 applied; nothing else changed.");
        after(&db, &["a", "b"], &engine(&db, with_sleep(1))).await;
    }

    async fn the_statement_is_cancelled_by_an_operator(db: Database) {
        let engine_that_loses = engine(&db, with_sleep(600));
        let operator = async {
            until_it_sleeps(&db).await;
            db.execute("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND datname = current_database()").await;
        };
        let (result, ()) = tokio::join!(up(&engine_that_loses, "head"), operator);
        let failure = result.unwrap_err();
        assert_eq!(failure.aftermath, Aftermath::RolledBack(id("b")), "{failure:?}");
        after(&db, &["a"], &engine(&db, three())).await;
    }

    async fn the_wire_breaks_before_the_commit(db: Database) {
        assert_eq!(broken_commit(&db, Break::BeforeCommit).await, Aftermath::RolledBack(id("b")));
    }

    async fn the_wire_breaks_before_the_answer_to_the_commit(db: Database) {
        assert_eq!(broken_commit(&db, Break::BeforeTheAnswer).await, Aftermath::Committed(id("b")));
    }

    async fn the_wire_breaks_while_the_commit_is_on_its_way(db: Database) {
        let late = Break::Late(Duration::from_millis(300));
        assert_eq!(broken_commit(&db, late).await, Aftermath::Committed(id("b")));
    }

    async fn the_wire_breaks_for_good_at_the_commit(db: Database) {
        assert_eq!(broken_commit(&db, Break::ForGood).await, Aftermath::Unknown(id("b")));
    }
}
