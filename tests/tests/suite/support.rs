//! The support library does what the other tests rely on.

use whimbrel_tests::{Cluster, Database, Project, follow, on_every_database};

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

const STORY: &str = "\
# A story

```console
$ cd /; mkdir -p $OLDPWD/nest && cd $OLDPWD/nest
$ cat > bird <<END
> whimbrel
> END
$ cat bird; echo 'it took 12 ms'
whimbrel
it took 3.5 s
```

```console exit=3
$ (exit 3)
```
";

#[test]
fn a_document_is_followed_in_one_shell() {
    let project = Project::empty();
    project.write("story.md", STORY);
    follow(&project.path().join("story.md"), &project);
    assert_eq!(project.read("nest/bird"), "whimbrel\n");
}

#[test]
#[should_panic(expected = "sparrow")]
fn a_document_that_says_something_else_fails() {
    let project = Project::empty();
    project.write(
        "story.md",
        STORY.replacen("\nwhimbrel\nit", "\nsparrow\nit", 1),
    );
    follow(&project.path().join("story.md"), &project);
}

#[test]
#[should_panic(expected = "the exit code of `(exit 3)`")]
fn a_command_that_fails_unexpectedly_fails_the_document() {
    let project = Project::empty();
    project.write("story.md", STORY.replace(" exit=3", ""));
    follow(&project.path().join("story.md"), &project);
}

#[test]
fn a_copy_of_an_example_lies_where_its_paths_lead() {
    let project = Project::copy_of("examples/data-migration");
    assert!(project.path().join("whimbrel.toml").is_file());
    assert!(
        project
            .path()
            .join("../../guest-sdk/rust/Cargo.toml")
            .is_file()
    );
}
