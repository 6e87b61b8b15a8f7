//! What a call has made it may use; what it has renamed it has not made.

use super::{read_after, verdict};
use crate::sql::access::{Changes, Subject};

/// Reads statements one after another, each as if those before it had run. The catalog stays as it is: what is made is
/// known by its name alone.
fn call(steps: &[(&str, &str)]) {
    let mut changes = Changes::default();
    for (sql, expected) in steps {
        let read = read_after(sql, &changes, Subject::Component);
        if let Ok(reading) = &read {
            changes.apply(&reading.changes);
        }
        assert_eq!(verdict(read), *expected, "{sql}");
    }
}

#[test]
fn what_is_made_is_free() {
    call(&[
        ("CREATE TABLE tag (id int)", "create table public.tag"),
        ("INSERT INTO tag VALUES (1)", "nothing"),
        ("SELECT * FROM public.tag FOR UPDATE", "nothing"),
        ("CREATE INDEX i ON tag (id)", "nothing"),
        ("ALTER TABLE tag ADD COLUMN b text", "nothing"),
        (
            "CREATE TRIGGER t BEFORE INSERT ON tag EXECUTE FUNCTION touch()",
            "call public.touch; code trigger on public.tag",
        ),
        ("ALTER TABLE tag RENAME TO label", "nothing"),
        ("TRUNCATE label", "nothing"),
        ("SELECT * FROM tag", "select public.tag"),
        ("DROP TABLE label CASCADE", "nothing"),
        ("SELECT * FROM label", "select public.label"),
    ]);
    call(&[
        ("CREATE SCHEMA s", "create schema s"),
        ("CREATE TABLE s.t (id int)", "nothing"),
        ("ALTER SCHEMA s RENAME TO s2", "nothing"),
        ("DELETE FROM s2.t", "nothing"),
        ("DELETE FROM s.t", "delete s.t"),
    ]);
}

#[test]
fn what_is_there_already_is_not_made() {
    call(&[
        (
            "CREATE TABLE IF NOT EXISTS users (id int)",
            "create table public.users",
        ),
        ("SELECT ssn FROM users", "select public.users(ssn)"),
    ]);
    call(&[
        ("CREATE SCHEMA IF NOT EXISTS app", "create schema app"),
        ("SELECT id FROM app.users", "select app.users(id)"),
    ]);
    call(&[
        (
            "CREATE OR REPLACE VIEW active AS SELECT 1 AS id",
            "code view public.active",
        ),
        ("SELECT id FROM active", "select public.active(id)"),
    ]);
}

#[test]
fn names_that_were_changed_go_on_under_their_old_ones() {
    call(&[
        (
            "ALTER TABLE users RENAME TO people",
            "alter table public.users",
        ),
        ("SELECT ssn FROM people", "select public.users(ssn)"),
        (
            "ALTER TABLE people RENAME TO persons",
            "alter table public.users",
        ),
        ("DELETE FROM persons", "delete public.users"),
    ]);
    // Granted `orders`, a migration gets no further by calling another table so.
    call(&[
        (
            "ALTER TABLE orders RENAME TO gone",
            "alter table public.orders",
        ),
        (
            "ALTER TABLE events RENAME TO log",
            "alter table public.events",
        ),
        ("SELECT body FROM log", "select public.events(body)"),
        (
            "ALTER TABLE log SET SCHEMA app",
            "alter table public.events; create table app.log",
        ),
        ("SELECT body FROM app.log", "select public.events(body)"),
    ]);
    call(&[
        (
            "ALTER TABLE users RENAME COLUMN id TO x",
            "alter table public.users",
        ),
        (
            "ALTER TABLE users RENAME COLUMN ssn TO id",
            "alter table public.users",
        ),
        ("SELECT id FROM users", "select public.users(ssn)"),
        ("UPDATE users SET id = ''", "update public.users(ssn)"),
    ]);
    call(&[
        ("ALTER SCHEMA app RENAME TO other", "alter schema app"),
        ("SELECT a FROM other.users", "select app.users(a)"),
    ]);
}

#[test]
fn rows_of_others_are_not_free_behind_a_name_that_is() {
    call(&[
        (
            "CREATE TABLE part PARTITION OF events DEFAULT",
            "alter table public.events; create table public.part; insert public.events",
        ),
        ("SELECT * FROM part", "select public.part"),
    ]);
    call(&[
        ("CREATE TABLE mine (at int)", "create table public.mine"),
        (
            "ALTER TABLE mine INHERIT events",
            "alter table public.events; insert public.events",
        ),
        ("INSERT INTO mine VALUES (1)", "insert public.mine"),
    ]);
    call(&[
        (
            "CREATE TABLE mine (at int) PARTITION BY LIST (at)",
            "create table public.mine",
        ),
        (
            "ALTER TABLE mine ATTACH PARTITION events DEFAULT",
            "alter table public.events; delete public.events; insert public.events; select public.events; update public.events",
        ),
    ]);
}
