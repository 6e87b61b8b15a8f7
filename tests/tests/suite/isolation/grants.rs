//! What is granted works, and leaves the database as it would be without isolation.

use super::*;
use whimbrel_tests::on_every_postgres;

on_every_postgres! {
    async fn what_is_granted_works_and_leaves_nothing_behind(db: Database) {
        let driver = prepare(&db).await;
        db.execute("CREATE TABLE users (id serial PRIMARY KEY, name text, secret text); INSERT INTO users (name) VALUES ('a');
                    CREATE TABLE orders (id int PRIMARY KEY, user_id int REFERENCES users)").await;
        let mut session = guest(&*driver, "select users(id, name); insert users(name); update users(name); create table tag_*; \
            alter table orders; create index on orders; create sequence n_*; create type mood").await;
        for sql in [
            "UPDATE users SET name = name || 'b' WHERE id = 1",
            "INSERT INTO users (name) VALUES ('c')",
            "CREATE TABLE tag_one (id serial PRIMARY KEY, user_id int REFERENCES users (id), at timestamptz DEFAULT now())",
            "INSERT INTO tag_one (user_id) VALUES (1)",
            "CREATE INDEX tag_one_by_user ON tag_one (user_id)",
            "ALTER TABLE orders ADD COLUMN note text NOT NULL DEFAULT ''",
            "CREATE INDEX orders_by_note ON orders (lower(note))",
            "CREATE SEQUENCE n_one", "CREATE TYPE mood AS ENUM ('ok')",
            "CREATE TEMPORARY TABLE scratch AS SELECT 1 AS n",
            "DROP TABLE scratch",
        ] {
            session.run(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
        conclude(session).await.unwrap();
        assert_eq!(db.column("SELECT version_num FROM whimbrel_version").await, ["a"]);
        assert_eq!(db.column("SELECT name FROM users ORDER BY id").await, ["ab", "c"]);
        assert_eq!(leftovers(&db).await, "nothing");
        assert_eq!(db.value("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relowner <> 'postgres'::regrole").await, "0");
        assert_eq!(db.value("SELECT count(*) FROM whimbrel_pending").await, "0");
    }
}
