//! Whole runs whose components are isolated.

use whimbrel::driver::Durability;
use whimbrel::engine::Engine;
use whimbrel::event::RunReport;
use whimbrel::revision::{Direction, TransactionMode};
use whimbrel_tests::{guest, on_every_postgres, root};

use super::*;
use crate::staging::{Folder, down, engine_over, granting, up, versions};

/// The reference project.
fn reference() -> Folder {
    let source = root().join("migrations");
    let mut folder = Folder::default();
    for entry in source.read_dir_utf8().unwrap().flatten() {
        if entry.path().extension() == Some("sql") {
            let path = format!("migrations/{}", entry.file_name());
            folder = folder.file(&path, std::fs::read(entry.path()).unwrap());
        }
    }
    for entry in source.read_dir_utf8().unwrap().flatten() {
        let component = entry.path().join("migration.wasm");
        if component.is_file() {
            let name = entry.file_name();
            let manifest = entry.path().join("migration.toml");
            folder = folder
                .file(
                    &format!("migrations/{name}/migration.toml"),
                    std::fs::read(manifest).unwrap(),
                )
                .file(
                    &format!("migrations/{name}/migration.wasm"),
                    std::fs::read(component).unwrap(),
                );
        }
    }
    folder
}

/// Rows, definitions, owners and privileges.
async fn everything(db: &Database) -> String {
    let own = [
        "whimbrel_ledger",
        "whimbrel_lock",
        "whimbrel_nonce",
        "whimbrel_pending",
    ];
    let rights = db
        .column(
            "SELECT relname || ' ' || relowner::regrole || ' ' || (SELECT string_agg(x::text, ',' ORDER BY x::text) FROM aclexplode(
             coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::\"char\", relowner))) x)
             FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'S', 'v', 'p') ORDER BY 1",
        )
        .await;
    format!("{}\n{}", db.dump_without(&own).await, rights.join("\n"))
}

async fn both_ways(engine: &Engine) -> RunReport {
    up(engine, "heads").await.unwrap();
    down(engine, "4d08c5e71fa2").await.unwrap();
    up(engine, "heads").await.unwrap()
}

on_every_postgres! {
    async fn the_reference_project_comes_out_the_same(db: Database) {
        let isolated = prepare(&db).await;
        let plain = Database::create(db.backend()).await;
        let unused = prepare(&plain).await;
        drop(unused);
        plain.execute("DROP TABLE whimbrel_ledger").await;
        db.execute("DROP TABLE whimbrel_ledger").await;
        // What others may do with what is made is the same as well.
        for each in [&db, &plain] {
            each.execute("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO pg_monitor").await;
        }
        both_ways(&engine_over(isolated, reference())).await;
        both_ways(&engine_over(driver_with(&plain, Isolation::None), reference())).await;
        let name = role(&plain).name().to_owned();
        let without = everything(&plain).await.replace(&name, role(&db).name());
        assert_eq!(everything(&db).await, without);
        assert_eq!(versions(&db).await, versions(&plain).await);
        let rows = "SELECT revision || action || outcome || statements || ' ' || rows_touched FROM whimbrel_ledger ORDER BY id";
        assert_eq!(db.column(rows).await, plain.column(rows).await);
        assert_eq!(leftovers(&db).await, "nothing");
    }

    async fn components_and_files_share_a_transaction(db: Database) {
        let driver = prepare(&db).await;
        db.execute("DROP TABLE whimbrel_ledger; DROP TABLE whimbrel_version").await;
        // The one that cannot share a transaction, as one that can.
        let apart = "4d08c5e71fa2_index_assignments_by_project.sql";
        let text = std::fs::read_to_string(root().join("migrations").join(apart)).unwrap();
        let text = text.replace("-- transaction: false\n", "").replace(" CONCURRENTLY", "");
        let folder = reference().file(&format!("migrations/{apart}"), text.into_bytes());
        let mut engine = engine_over(driver, folder);
        engine.transaction = TransactionMode::Run;
        let before = everything(&db).await;
        let head = "heads".parse().unwrap();
        let tried = engine.dry_run(&head, Direction::Upgrade, None).await.unwrap();
        assert_eq!(everything(&db).await, before);
        assert_eq!(leftovers(&db).await, "nothing");
        let report = both_ways(&engine).await;
        assert!(report.steps.len() > 3 && tried.steps.len() > 5);
        assert_eq!(leftovers(&db).await, "nothing");
        assert_eq!(db.value("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace \
            AND relowner <> 'postgres'::regrole").await, "0");
    }

    async fn a_component_that_asks_for_too_little_is_rolled_back(db: Database) {
        let driver = prepare(&db).await;
        db.execute("DROP TABLE whimbrel_ledger; CREATE TABLE t_a (n int); CREATE TABLE t_b (n int)").await;
        let manifest = |asked: &str, sql: &str| format!(
            "[capabilities]\n{asked}\n[params]\nbehaviour = \"statement\"\nsql = \"{sql}\"\n");
        let folder = Folder::default()
            .component("a", "", "adversary", &manifest("insert = [\"t_a\"]", "INSERT INTO t_a VALUES (1)"))
            .component("b", "a", "adversary", &manifest("insert = [\"t_a\"]", "INSERT INTO t_b VALUES (1)"));
        let failure = up(&engine_over(driver, folder), "head").await.unwrap_err();
        assert_eq!(failure.state(), "1 of 2 applied; b rolled back; nothing else changed.");
        assert_eq!(db.value("SELECT count(*) FROM t_a").await, "1");
        assert_eq!(db.value("SELECT count(*) FROM t_b").await, "0");
        assert_eq!(versions(&db).await, ["a"]);
        assert_eq!(leftovers(&db).await, "nothing");
    }

    async fn a_host_that_is_no_superuser_does_as_well(db: Database) {
        let host = role(&db).name().replacen("g_", "h_", 1);
        let name = role(&db).name().to_owned();
        let url = db.url();
        let database = url.rsplit('/').next().unwrap().to_owned();
        db.execute(&format!(
            "DO $$ BEGIN IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{name}') THEN EXECUTE 'DROP OWNED BY \"{name}\"'; EXECUTE 'DROP ROLE \"{name}\"'; END IF;
             IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{host}') THEN EXECUTE 'DROP OWNED BY \"{host}\"'; EXECUTE 'DROP ROLE \"{host}\"'; END IF; END $$;
             CREATE ROLE \"{host}\" LOGIN CREATEROLE; ALTER DATABASE \"{database}\" OWNER TO \"{host}\";
             ALTER SCHEMA public OWNER TO \"{host}\"; REVOKE CREATE ON SCHEMA public FROM PUBLIC"
        )).await;
        let url = url.replace("postgres@", &format!("{host}@"));
        let settings = Settings {
            lock_timeout: Duration::from_millis(500),
            version_table: VersionTable::default().to_string(),
            run_lock: RunLockKind::Auto,
            isolation: Isolation::Role(role(&db)),
        };
        let driver = whimbrel::driver::open(&url, Utf8Path::new("."), &settings).unwrap();
        driver.ensure_guest(&role(&db)).await.unwrap();
        both_ways(&engine_over(driver, reference())).await;
        assert_eq!(leftovers(&db).await, "nothing");
        let others = format!("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relowner <> '\"{host}\"'::regrole");
        assert_eq!(db.value(&others).await, "0");
    }

    async fn a_backfill_is_judged_as_its_author_and_written_by_the_host(db: Database) {
        let driver = prepare(&db).await;
        db.execute("DROP TABLE whimbrel_ledger; CREATE TABLE items (id bigint PRIMARY KEY, amount integer NOT NULL, \
            doubled integer, runs integer NOT NULL DEFAULT 0, remark text); \
            INSERT INTO items (id, amount) SELECT i, i FROM generate_series(1, 3000) i").await;
        let manifest = |select: &str| format!("transaction = \"batches\"\n[params]\nmode = \"right\"\n\
            [capabilities]\nselect = [\"items({select})\"]\nupdate = [\"items(doubled, runs, remark)\"]");
        let folder = |select| Folder::default().component_from("a", "", &guest("filler"), &manifest(select));
        let whole = engine_over(Arc::clone(&driver), folder("id, amount, runs, remark"));
        let head = "head".parse().unwrap();
        let tried = whole.dry_run(&head, Direction::Upgrade, None).await.unwrap();
        assert_eq!(tried.steps[0].work.rows, 3_000);
        assert_eq!(db.value("SELECT count(*) FROM items WHERE runs <> 0").await, "0");

        // The rights of the role are what refuses this, even where nobody reads the statements.
        let narrow = engine_over(Arc::clone(&driver), folder("id, amount, remark"));
        let mut capabilities: Grant = (*grant("select items(id, amount, remark); update items(doubled, runs, remark)")).clone();
        capabilities.layers = Layers { database: Layer::On, ..Layers::NONE };
        let failure = up(&granting(narrow, capabilities), "a").await.unwrap_err();
        assert!(format!("{:?}", failure.cause).contains("42501"), "{failure:?}");

        up(&whole, "a").await.unwrap();
        assert_eq!(db.value("SELECT count(*) FROM items WHERE runs = 1 AND doubled = amount * 2").await, "3000");
        assert_eq!(leftovers(&db).await, "nothing");

        // An expression would run as the host, batch by batch.
        let text = "-- whimbrel:migration\n-- id: b\n-- revises: a\n-- message: b\n\n-- whimbrel:backfill\nUPDATE items SET doubled = 1;";
        let declared = folder("id, amount, runs, remark").file("migrations/b_b.sql", text.into());
        let declared = engine_over(driver, declared);
        let library = Arc::clone(&declared.library);
        let mut declared = granting(declared, (*grant("select items; update items")).clone());
        let failure = up(&declared, "b").await.unwrap_err();
        assert!(format!("{:?}", failure.cause).contains("neither an expression nor a condition"), "{failure:?}");
        // One that nothing narrows runs as the host, as ever.
        declared.library = library;
        up(&declared, "b").await.unwrap();
        assert_eq!(db.value("SELECT count(*) FROM items WHERE doubled = 1").await, "3000");
    }

    async fn what_has_no_transaction_is_not_isolated(db: Database) {
        let driver = prepare(&db).await;
        let mut session = driver.connect().await.unwrap();
        let error = session.assume(Authority::Guest(grant("select t"))).await.unwrap_err();
        assert!(error.to_string().contains("a migration without a transaction"), "{error}");
        // A SQL file that nothing narrows runs as the host, as ever.
        session.assume(Authority::File(Arc::new(Grant::everything()))).await.unwrap();
        session.run("CREATE TABLE t (n int)").await.unwrap();
        session.assume(Authority::Host).await.unwrap();
        // One that is narrowed does not.
        session.begin().await.unwrap();
        session.assume(Authority::File(grant("select t"))).await.unwrap();
        assert_eq!(sqlstate(&session.run("INSERT INTO t VALUES (1)").await.unwrap_err()), "42501");
        session.rollback().await.unwrap();
        session.begin().await.unwrap();
        session.commit(&[], Durability::Now).await.unwrap();
    }
}
