//! Statements of components against what was granted, on real servers: names are resolved as the server does.

use std::sync::Arc;

use whimbrel::capability::{Capabilities, Grant};
use whimbrel::driver::{Authority, DriverError, Session};
use whimbrel_tests::{Database, on_every_postgres};

use crate::postgres_driver::open;

const SETUP: &str = "
CREATE SCHEMA app;
CREATE TABLE users (id int PRIMARY KEY, email text, ssn text);
CREATE TABLE app.users (id int, login text);
CREATE TABLE secret (id int, body text);
CREATE SEQUENCE numbers;
CREATE FUNCTION slug(t text) RETURNS text LANGUAGE sql AS 'SELECT t';
CREATE FUNCTION lower(t int) RETURNS text LANGUAGE sql AS 'SELECT ''over''';
CREATE VIEW emails AS SELECT id, email FROM users;
INSERT INTO users VALUES (1, 'a', 's'); INSERT INTO secret VALUES (1, 'x');
";

async fn guest(db: &Database, granted: &str) -> Box<dyn Session> {
    db.execute(SETUP).await;
    let mut session = open(&db.url()).connect().await.unwrap();
    session.begin().await.unwrap();
    let granted: Capabilities = granted.parse().unwrap();
    let grant = Arc::new(Grant::only(granted));
    session.assume(Authority::Guest(grant)).await.unwrap();
    session
}

async fn runs(session: &mut dyn Session, sql: &str) {
    session
        .run(sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
}

/// What a grant does not cover is told by its name; the transaction goes on.
async fn lacks(session: &mut dyn Session, sql: &str, access: &str) {
    match session.run(sql).await {
        Err(DriverError::NotGranted(why)) => assert_eq!(why.access.to_string(), access, "{sql}"),
        other => panic!("{sql}: {other:?}"),
    }
}

async fn is_denied(session: &mut dyn Session, sql: &str) {
    match session.run(sql).await {
        Err(DriverError::Denied { .. }) => {}
        other => panic!("{sql}: {other:?}"),
    }
}

on_every_postgres! {
    async fn a_component_touches_what_it_was_granted(db: Database) {
        let mut session = guest(&db, "select users(id); update users(email); create table tag_*; insert app.users").await;
        let session = &mut *session;
        runs(session, "SELECT id FROM users").await;
        runs(session, "SELECT count(*) FROM users").await;
        runs(session, "UPDATE users SET email = 'b' WHERE id = 1").await;
        runs(session, "INSERT INTO app.users VALUES (1, 'x')").await;
        lacks(session, "SELECT ssn FROM users", "select public.users(ssn)").await;
        lacks(session, "SELECT * FROM users", "select public.users(email, id, ssn)").await;
        lacks(session, "UPDATE users SET email = ssn", "select public.users(ssn)").await;
        lacks(session, "SELECT 1 FROM secret", "select public.secret()").await;
        lacks(session, "SELECT login FROM app.users", "select app.users(login)").await;
        lacks(session, "SELECT slug('a')", "call public.slug").await;
        lacks(session, "SELECT lower('a')", "call public.lower").await;
        lacks(session, "SELECT nextval('numbers')", "update public.numbers()").await;
        lacks(session, "CREATE TABLE other (id int)", "create table public.other").await;
        lacks(session, "SELECT email FROM emails", "select public.emails(email)").await;
        lacks(session, "ALTER TABLE users ADD COLUMN a int", "alter table public.users").await;
        is_denied(session, "SELECT pg_read_file('x')").await;
        is_denied(session, "DELETE FROM whimbrel_version").await;
        is_denied(session, "SET search_path = app").await;
        is_denied(session, "SELECT * FROM pg_authid").await;
        runs(session, "SELECT relname FROM pg_class LIMIT 1").await;
        runs(session, "SELECT pg_catalog.lower('a'), upper('b'), now()").await;
    }

    async fn what_a_component_makes_is_its_own_until_it_is_rolled_back(db: Database) {
        let mut session = guest(&db, "create table tag_*; alter table users; select users(id); code view v").await;
        let session = &mut *session;
        session.savepoint("s").await.unwrap();
        runs(session, "CREATE TABLE tag_a (id int, name text)").await;
        runs(session, "INSERT INTO tag_a VALUES (1, 'a')").await;
        runs(session, "ALTER TABLE tag_a ADD COLUMN b int; ").await;
        runs(session, "SELECT b FROM tag_a").await;
        session.rollback_to_savepoint("s").await.unwrap();
        lacks(session, "INSERT INTO tag_a VALUES (1, 'a')", "insert public.tag_a").await;
        runs(session, "CREATE TABLE IF NOT EXISTS tag_b (id int)").await;
        runs(session, "DELETE FROM tag_b").await;
        runs(session, "DROP TABLE tag_b").await;

        // Another name is not another table.
        runs(session, "ALTER TABLE users RENAME COLUMN id TO n").await;
        runs(session, "ALTER TABLE users RENAME COLUMN ssn TO id").await;
        lacks(session, "SELECT id FROM users", "select public.users(ssn)").await;
        runs(session, "SELECT n FROM users").await;
        runs(session, "CREATE VIEW v AS SELECT n FROM users").await;
        runs(session, "SELECT * FROM v").await;
        is_denied(session, "UPDATE v SET n = 5").await;
    }

    async fn temporary_tables_hide_nothing(db: Database) {
        let mut session = guest(&db, "select users(id)").await;
        let session = &mut *session;
        runs(session, "CREATE TEMP TABLE scratch (a int)").await;
        runs(session, "INSERT INTO scratch SELECT id FROM users").await;
        runs(session, "CREATE TEMP TABLE secret (id int, body text)").await;
        // The name is still that of the table that everyone has.
        lacks(session, "SELECT body FROM secret", "select public.secret(body)").await;
        runs(session, "SELECT body FROM pg_temp.secret").await;
        runs(session, "CREATE TEMP TABLE users (id int, ssn text)").await;
        lacks(session, "SELECT ssn FROM users", "select public.users(ssn)").await;
    }

    async fn a_statement_that_differs_in_its_literals_is_judged_by_them(db: Database) {
        let mut session = guest(&db, "select users(id); update numbers").await;
        let session = &mut *session;
        for n in 0..20 {
            runs(session, &format!("SELECT id FROM users WHERE id = {n}")).await;
            lacks(session, &format!("SELECT id FROM users WHERE ssn = '{n}'"), "select public.users(id, ssn)").await;
        }
        runs(session, "SELECT nextval('numbers')").await;
        lacks(session, "SELECT nextval('other')", "update public.other()").await;
        is_denied(session, "SELECT nextval('1259')").await;
    }
}
