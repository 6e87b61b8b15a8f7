//! Steps that cannot be recorded.

use whimbrel::engine::{Aftermath, Cause};
use whimbrel_tests::{Backend, Database, on_every_database};

use super::aftermath::{after, in_effect};
use crate::staging::{engine, id, three, up};

fn refuse_rows(backend: Backend) -> &'static str {
    match backend {
        Backend::Sqlite => {
            "CREATE TRIGGER refuse BEFORE INSERT ON whimbrel_ledger WHEN NEW.outcome = 'done' \
             BEGIN SELECT RAISE(ABORT, 'the ledger is closed'); END"
        }
        Backend::Postgres(_) => {
            "ALTER TABLE whimbrel_ledger ADD CONSTRAINT refuse CHECK (outcome <> 'done') NOT VALID"
        }
    }
}

fn accept_rows(backend: Backend) -> &'static str {
    match backend {
        Backend::Sqlite => "DROP TRIGGER refuse",
        Backend::Postgres(_) => "ALTER TABLE whimbrel_ledger DROP CONSTRAINT refuse",
    }
}

on_every_database! {
    async fn the_ledger_refuses_the_row(db: Database) {
        up(&engine(&db, three()), "a").await.unwrap();
        db.execute(refuse_rows(db.backend())).await;
        let failure = up(&engine(&db, three()), "head").await.unwrap_err();
        assert!(matches!(*failure.cause, Cause::Record { .. }), "{failure:?}");
        assert_eq!(failure.aftermath, Aftermath::RolledBack(id("b")));
        assert_eq!(in_effect(&db).await, ["a"]);
        db.execute(accept_rows(db.backend())).await;
        after(&db, &["a"], &engine(&db, three())).await;
    }

    async fn the_version_row_is_changed_by_someone_else_meanwhile(db: Database) {
        up(&engine(&db, three()), "a").await.unwrap();
        // A migration of the team's may do what a guest may not; it stands for another tool here.
        db.execute("CREATE TABLE side_effects (n integer)").await;
        let meddle = match db.backend() {
            Backend::Sqlite => "CREATE TRIGGER meddle BEFORE INSERT ON side_effects BEGIN DELETE FROM whimbrel_version; END",
            Backend::Postgres(_) => "CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS \
                'BEGIN DELETE FROM whimbrel_version; RETURN NEW; END'; \
                CREATE TRIGGER meddle BEFORE INSERT ON side_effects FOR EACH ROW EXECUTE FUNCTION meddle()",
        };
        db.execute(meddle).await;
        let meddling = crate::staging::Folder::default().table("a", "")
            .with("b", "-- revises: a\n", "CREATE TABLE t_b (n integer);\nINSERT INTO side_effects VALUES (1);", None)
            .table("c", "b");
        let failure = up(&engine(&db, meddling), "head").await.unwrap_err();
        assert_eq!(failure.aftermath, Aftermath::RolledBack(id("b")), "{failure:?}");
        after(&db, &["a"], &engine(&db, three())).await;
    }
}
