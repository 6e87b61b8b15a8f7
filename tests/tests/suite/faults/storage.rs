//! Disks that are full or read-only.

use std::os::unix::fs::{MetadataExt, chown};

use whimbrel::engine::Aftermath;
use whimbrel_tests::{Cluster, Database, Project, on_every_postgres};

use super::aftermath::{after, told, unharmed};
use super::tmpfs::Tmpfs;
use crate::staging::{Folder, engine, id, three, up};

const MEGABYTE: u64 = 1 << 20;

fn block_on(body: impl Future<Output = ()>) {
    tokio::runtime::Runtime::new().unwrap().block_on(body);
}

/// A line of three whose middle one fills whatever it is given.
fn with_flood(upgrade: &str) -> Folder {
    Folder::default()
        .table("a", "")
        .with("b", "-- revises: a\n", upgrade, None)
        .table("c", "b")
}

mod the_disk_fills_up {
    use super::*;

    #[test]
    fn sqlite() {
        let disk = Tmpfs::of_size(MEGABYTE);
        let db = Database::sqlite_in(disk.path());
        block_on(async {
            let flood = with_flood(
                "CREATE TABLE t_b (n integer);\nINSERT INTO t_b WITH RECURSIVE n(i) AS \
                 (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n;",
            );
            let failure = up(&engine(&db, flood), "head").await.unwrap_err();
            assert_eq!(
                failure.aftermath,
                Aftermath::RolledBack(id("b")),
                "{failure:?}"
            );
            assert!(told(&*failure.cause).contains("full"), "{failure:?}");
            after(&db, &["a"], &engine(&db, three())).await;
        });
    }

    #[test]
    fn postgres_15() {
        let disk = Tmpfs::of_size(4 * MEGABYTE);
        let cluster = Cluster::start(15).unwrap();
        let account = std::fs::metadata(cluster.data_folder()).unwrap();
        chown(disk.path(), Some(account.uid()), Some(account.gid())).unwrap();
        block_on(async {
            let db = Database::on(&cluster, 15).await;
            let place = disk.path().display();
            db.execute(&format!("CREATE TABLESPACE small LOCATION '{place}'"))
                .await;
            let flood = with_flood(
                "CREATE TABLE t_b (n integer) TABLESPACE small;\n\
                 INSERT INTO t_b SELECT generate_series(1, 100000000);",
            );
            let failure = up(&engine(&db, flood), "head").await.unwrap_err();
            assert_eq!(
                failure.aftermath,
                Aftermath::RolledBack(id("b")),
                "{failure:?}"
            );
            assert!(
                told(&*failure.cause).contains("No space left"),
                "{failure:?}"
            );
            after(&db, &["a"], &engine(&db, three())).await;
        });
        drop(cluster);
    }
}

#[test]
fn the_disk_is_full_from_the_start_sqlite() {
    let disk = Tmpfs::of_size(MEGABYTE);
    let db = Database::sqlite_in(disk.path());
    block_on(async {
        up(&engine(&db, three()), "a").await.unwrap();
        let ballast = disk.path().join("ballast");
        // As much as there is room for; that it ends with an error is what is wanted.
        let _ = std::fs::write(&ballast, vec![0; MEGABYTE as usize]);
        let failure = up(&engine(&db, three()), "head").await.unwrap_err();
        assert!(told(&*failure.cause).contains("full"), "{failure:?}");
        std::fs::remove_file(ballast).unwrap();
        after(&db, &["a"], &engine(&db, three())).await;
    });
}

#[test]
fn the_file_system_is_read_only_sqlite() {
    let disk = Tmpfs::of_size(MEGABYTE);
    let db = Database::sqlite_in(disk.path());
    block_on(async {
        up(&engine(&db, three()), "a").await.unwrap();
        disk.make_read_only();
        let engine_that_cannot = engine(&db, three());
        let failure = up(&engine_that_cannot, "head").await.unwrap_err();
        assert_eq!(failure.state(), "Nothing was changed.");
        assert!(told(&*failure.cause).contains("readonly"), "{failure:?}");
        let state = engine_that_cannot.state().await.unwrap();
        assert_eq!(state.rows, ["a"], "what is there can still be read");
        assert_eq!(
            up(&engine_that_cannot, "a").await.unwrap().steps,
            [],
            "nor does a run with nothing to do need more"
        );
        disk.make_writable();
        after(&db, &["a"], &engine(&db, three())).await;
    });
}

on_every_postgres! {
    async fn the_server_takes_no_writes(db: Database) {
        up(&engine(&db, three()), "a").await.unwrap();
        let name = db.value("SELECT current_database()").await;
        db.execute(&format!("ALTER DATABASE \"{name}\" SET default_transaction_read_only = on")).await;
        let failure = up(&engine(&db, three()), "head").await.unwrap_err();
        assert!(told(&*failure.cause).contains("read-only"), "{failure:?}");
        db.execute(&format!("BEGIN READ WRITE; ALTER DATABASE \"{name}\" RESET default_transaction_read_only; COMMIT")).await;
        after(&db, &["a"], &engine(&db, three())).await;
    }

    async fn the_folder_of_the_project_is_read_only(db: Database) {
        let disk = Tmpfs::of_size(MEGABYTE);
        let project = Project::in_folder(disk.path()).on(&db);
        project.write("whimbrel.toml", "");
        project.sql_migration("a", "", "CREATE TABLE t_a (n integer);", "DROP TABLE t_a;");
        disk.make_read_only();
        let unpinned = project.run(["upgrade", "head"]).exits_with(1);
        assert!(unpinned.stderr.contains("whimbrel.lock"), "{}", unpinned.stderr);
        assert!(unpinned.stderr.contains("Nothing was changed"), "{}", unpinned.stderr);
        unharmed(&db, &[]).await;
        disk.make_writable();
        project.run(["build"]).succeeds();
        disk.make_read_only();
        project.run(["upgrade", "head"]).succeeds();
        unharmed(&db, &["a"]).await;
        disk.make_writable();
    }
}
