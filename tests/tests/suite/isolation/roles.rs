//! The role itself.

use super::*;
use whimbrel_tests::on_every_postgres;

on_every_postgres! {
    async fn a_role_that_is_more_than_a_guest_is_refused(db: Database) {
        let driver = prepare(&db).await;
        let role = role(&db);
        let name = role.name();
        db.execute("CREATE TABLE t (n int)").await;
        for (more, less, said) in [
            ("ALTER ROLE {} CREATEDB", "ALTER ROLE {} NOCREATEDB", "CREATEDB"),
            ("ALTER ROLE {} SUPERUSER", "ALTER ROLE {} NOSUPERUSER", "NOSUPERUSER"),
            ("GRANT pg_read_all_stats TO {}", "REVOKE pg_read_all_stats FROM {}", "pg_read_all_stats"),
            ("GRANT SELECT ON t TO {}", "REVOKE SELECT ON t FROM {}", "has rights of its own on table t"),
            ("ALTER TABLE t OWNER TO {}", "ALTER TABLE t OWNER TO postgres", "owns table t"),
            ("GRANT CREATE ON SCHEMA public TO PUBLIC", "REVOKE CREATE ON SCHEMA public FROM PUBLIC", "everyone may create"),
            ("ALTER ROLE {} SET search_path = x", "ALTER ROLE {} RESET ALL", "settings of its own"),
            ("GRANT SELECT ON whimbrel_version TO PUBLIC", "REVOKE ALL ON whimbrel_version FROM PUBLIC", "may use whimbrel_version"),
            ("ALTER ROLE {} NOLOGIN", "ALTER ROLE {} LOGIN", "cannot log in"),
        ] {
            let quoted = format!("\"{name}\"");
            db.execute(&more.replace("{}", &quoted)).await;
            let error = driver.ensure_guest(&role).await.unwrap_err().to_string();
            assert!(error.contains(said), "{more}: {error}");
            let mut session = driver.connect().await.unwrap();
            session.begin().await.unwrap();
            assert!(session.assume(Authority::Guest(grant("select t"))).await.is_err(), "{more}");
            db.execute(&less.replace("{}", &quoted)).await;
            driver.ensure_guest(&role).await.unwrap();
        }
    }
}
