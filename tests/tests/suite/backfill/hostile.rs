//! Authors who say one thing and do another, and others who wait for their chance.

use whimbrel::backfill::{BackfillError, Spec, State};
use whimbrel::capability::{Grant, Limits};
use whimbrel::engine::{BackfillMode, Cause, Engine};
use whimbrel_tests::{Backend, Database, on_every_database};

use super::coded::Coded;
use super::{COUNTING, coded_engine, folder, told};
use crate::staging::{down, engine, id, up, versions};

fn detached(mut engine: Engine) -> Engine {
    engine.backfills.mode = BackfillMode::Detached;
    engine
}

fn changed(spec: impl Fn(&mut Spec)) -> Coded {
    Coded::counting().with(spec)
}

on_every_database! {
    async fn what_a_backfill_says_of_itself_is_what_it_began_with(db: Database) {
        let begun = detached(coded_engine(&db, 100, Coded::counting()));
        up(&begun, "b").await.unwrap();
        let others = [
            changed(|spec| spec.table = "other".to_owned()),
            changed(|spec| spec.condition = Some("EXISTS (SELECT 1 FROM other)".to_owned())),
            changed(|spec| spec.writes = vec!["remark".to_owned(), "runs".to_owned()]),
        ];
        db.execute("CREATE TABLE other (id bigint NOT NULL PRIMARY KEY, amount integer, doubled integer, runs integer)").await;
        for other in others {
            let engine = coded_engine(&db, 100, other);
            for failure in [up(&engine, "b").await.unwrap_err(), engine.work_on(&id("b")).await.unwrap_err()] {
                assert!(matches!(&*failure.cause, Cause::Backfill { source, .. } if matches!(**source, BackfillError::Changed { .. })), "{failure:?}");
            }
        }
        assert_eq!(versions(&db).await, ["a"]);
    }

    async fn a_grant_that_was_taken_away_is_missed_when_it_goes_on(db: Database) {
        let full = "select items; update items(doubled, runs)";
        let begun = detached(coded_engine(&db, 100, Coded::counting().granted(full)));
        up(&begun, "b").await.unwrap();
        let engine = coded_engine(&db, 100, Coded::counting().granted("select items"));
        let failure = up(&engine, "b").await.unwrap_err();
        assert!(told(&failure).contains("update"), "{}", told(&failure));
    }

    async fn old_values_go_back_where_they_came_from(db: Database) {
        let kept = coded_engine(&db, 100, Coded::counting().keeping());
        up(&kept, "b").await.unwrap();
        db.execute("CREATE TABLE salaries (id bigint NOT NULL PRIMARY KEY, doubled integer, runs integer)").await;
        db.execute("INSERT INTO salaries VALUES (1, 100, 5)").await;
        let other = changed(|spec| spec.table = "salaries".to_owned()).keeping();
        let failure = down(&coded_engine(&db, 100, other), "a").await.unwrap_err();
        assert!(told(&failure).contains("says something else of itself"), "{}", told(&failure));
        assert_eq!(db.value("SELECT doubled FROM salaries").await, "100");
        down(&kept, "a").await.unwrap();
    }

    async fn whimbrels_own_tables_are_none(db: Database) {
        for own in ["whimbrel_version", "whimbrel_ledger", "whimbrel_backfill"] {
            let code = changed(|spec| { spec.table = own.to_owned(); spec.reads = vec![]; spec.writes = vec!["x".to_owned()]; });
            let failure = up(&coded_engine(&db, 10, code), "b").await.unwrap_err();
            let told = told(&failure);
            assert!(told.contains("Whimbrel's own") || told.contains("there is no table"), "{told}");
            up(&detached(coded_engine(&db, 10, Coded::counting())), "b").await.unwrap();
            coded_engine(&db, 10, Coded::counting()).abandon_backfill(&id("b")).await.unwrap();
        }
    }

    async fn what_triggers_and_cascades_do_is_looked_at_before_it_begins(db: Database) {
        let full = "select items; update items; delete items";
        let plain = coded_engine(&db, 100, Coded::counting().dropping().granted(full));
        up(&plain, "a").await.unwrap();
        match db.backend() {
            // Foreign keys do nothing there while a migration runs.
            Backend::Sqlite => {
                db.execute("CREATE TABLE watched (n integer)").await;
                db.execute("CREATE TRIGGER watch AFTER UPDATE ON items BEGIN INSERT INTO watched VALUES (1); END").await;
            }
            Backend::Postgres(_) => {
                db.execute("CREATE TABLE watched (item bigint REFERENCES items ON DELETE CASCADE)").await;
                db.execute("INSERT INTO watched SELECT id FROM items").await;
            }
        }
        let failure = up(&plain, "b").await.unwrap_err();
        assert!(told(&failure).contains("watched"), "{}", told(&failure));
        assert!(plain.backfill_status(None).await.unwrap().is_empty(), "it has not begun");
        let granted = format!("{full}; insert watched; delete watched");
        up(&coded_engine(&db, 100, Coded::counting().dropping().granted(&granted)), "b").await.unwrap();
    }

    async fn no_more_rows_are_written_than_granted(db: Database) {
        let limits = Limits { rows_written: 1_000, ..Limits::NONE };
        let code = Coded::counting().limited(Grant { limits, ..Grant::everything() });
        let mut engine = coded_engine(&db, 20_000, code);
        engine.backfills.changes = vec!["rate=4000".to_owned()];
        let failure = up(&engine, "b").await.unwrap_err();
        assert!(told(&failure).contains("rows-written"), "{}", told(&failure));
        let written: u64 = db.value("SELECT count(*) FROM items WHERE runs = 1").await.parse().unwrap();
        assert!(written < 8_000, "{written} rows");
    }

    async fn a_load_query_that_cannot_be_run_is_refused_and_changes_nothing(db: Database) {
        let engine = detached(coded_engine(&db, 10, Coded::counting()));
        up(&engine, "b").await.unwrap();
        let failure = engine.set_backfill(&id("b"), &["load=SELECT nothing FROM nowhere".to_owned()]).await.unwrap_err();
        assert!(matches!(*failure.cause, Cause::Setting(_)), "{failure:?}");
        let status = engine.backfill_status(None).await.unwrap().remove(0);
        assert_eq!((status.settings.load, status.state), (None, State::Running));
    }
}

#[test]
fn writers_need_neither_our_search_path_nor_our_rights() {
    whimbrel_tests::run(Backend::Postgres(15), |db: Database| async move {
        let engine = detached(engine(&db, folder(&db, 2_000, COUNTING)));
        let role = format!("writer_{}", std::process::id());
        db.execute(&format!("CREATE ROLE {role} LOGIN")).await;
        db.execute("CREATE SCHEMA elsewhere").await;
        db.execute(&format!(
            "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO {role}"
        ))
        .await;
        up(&engine, "b").await.unwrap();
        db.execute(&format!("GRANT ALL ON SCHEMA elsewhere TO {role}"))
            .await;

        let mut client = db.connect_postgres().await;
        client
            .batch_execute(&format!("SET ROLE {role}; SET search_path = elsewhere"))
            .await
            .unwrap();
        // A table in the way of the trigger's, whose own trigger would run as whoever runs that.
        let trap = "CREATE TEMPORARY TABLE whimbrel_notes_b (k1 bigint, id bigint); GRANT ALL ON whimbrel_notes_b TO PUBLIC; \
             CREATE FUNCTION elsewhere.trap() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'sprung by %', current_user; END $$; \
             CREATE TRIGGER trap BEFORE INSERT ON whimbrel_notes_b FOR EACH ROW EXECUTE FUNCTION elsewhere.trap()";
        client.batch_execute(trap).await.unwrap();
        client
            .batch_execute("UPDATE public.items SET amount = 7, runs = 0 WHERE id < 100")
            .await
            .unwrap();
        for table in [
            "whimbrel_notes_b",
            "whimbrel_backfill",
            "whimbrel_backfill_row",
        ] {
            for right in ["SELECT", "INSERT", "UPDATE"] {
                let sql =
                    format!("SELECT has_table_privilege('{role}', 'public.{table}', '{right}')");
                assert_eq!(db.value(&sql).await, "f", "{right} on {table}");
            }
        }
        let own = client
            .batch_execute(
                "CREATE TABLE elsewhere.mine (id bigint); \
                 CREATE TRIGGER mine AFTER INSERT ON elsewhere.mine FOR EACH ROW EXECUTE FUNCTION public.whimbrel_note_b()",
            )
            .await
            .unwrap_err();
        assert_eq!(own.code().unwrap().code(), "42501", "{own}");
        // What a subscription brings, and what runs in its name, is noted as well.
        let transaction = client.transaction().await.unwrap();
        transaction
            .batch_execute(
                "RESET ROLE; SET LOCAL session_replication_role = replica; \
                 UPDATE public.items SET amount = 9, runs = 0 WHERE id BETWEEN 100 AND 110",
            )
            .await
            .unwrap();
        transaction.commit().await.unwrap();
        let noted = "SELECT count(*) FROM public.whimbrel_notes_b";
        assert_eq!(db.value(noted).await, "110");

        let attached = crate::staging::engine(&db, folder(&db, 2_000, COUNTING));
        up(&attached, "b").await.unwrap();
        assert_eq!(db.value(super::WRONG).await, "0");
        db.execute(&format!("DROP OWNED BY {role}")).await;
        drop(client);
        db.execute(&format!("DROP ROLE {role}")).await;
    });
}
