//! The support library does what the other tests rely on.

use whimbrel_tests::{Cluster, Database, on_every_database};

on_every_database! {
    async fn a_database_starts_empty_and_dumps_what_is_put_into_it(db: Database) {
        assert_eq!(db.dump().await, "");
        db.execute("CREATE TABLE birds (id integer PRIMARY KEY, name text NOT NULL);
                    INSERT INTO birds VALUES (1, 'whimbrel'), (2, 'curlew')").await;
        let before = db.dump().await;
        assert!(before.contains("whimbrel") && before.contains("birds"), "{before}");
        db.execute("UPDATE birds SET name = 'godwit' WHERE id = 2").await;
        assert_ne!(db.dump().await, before, "data counts");
        db.execute("UPDATE birds SET name = 'curlew' WHERE id = 2").await;
        assert_eq!(db.dump().await, before);
        db.execute("CREATE INDEX birds_by_name ON birds (name)").await;
        assert_ne!(db.dump().await, before, "schema counts");
        assert_eq!(db.dump_without(&["birds"]).await, "");
    }

    async fn a_query_gives_text_and_nulls(db: Database) {
        assert_eq!(db.query("SELECT 1, 'two', NULL").await, [[Some("1".into()), Some("two".into()), None]]);
        assert_eq!(db.value("SELECT 3").await, "3");
    }
}

#[test]
fn a_crashed_cluster_keeps_what_was_committed() {
    let mut cluster = Cluster::start(15).unwrap();
    let url = cluster.url("postgres");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let open = runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls)
            .await
            .unwrap();
        let connection = tokio::spawn(connection);
        client.batch_execute("CREATE TABLE kept ()").await.unwrap();
        client
            .batch_execute("BEGIN; CREATE TABLE lost ()")
            .await
            .unwrap();
        (client, connection)
    });
    cluster.crash().unwrap();
    drop(open);
    cluster.restart().unwrap();
    let tables = runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls)
            .await
            .unwrap();
        tokio::spawn(connection);
        let rows = client
            .query(
                "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'",
                &[],
            )
            .await
            .unwrap();
        rows.iter().map(|row| row.get(0)).collect::<Vec<String>>()
    });
    assert_eq!(tables, ["kept"]);
}
