//! A database for one test.

mod postgres;
mod sqlite;

use std::collections::BTreeSet;
use std::env;
use std::panic::Location;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;

use whimbrel_cluster::Cluster;

use crate::Backend;
use crate::backend::server_url;
use crate::dump::Dump;

use self::postgres::PostgresDatabase;
use self::sqlite::SqliteDatabase;

/// A row as [`Database::query`] gives it: the text of each value, none for NULL.
pub type Row = Vec<Option<String>>;

/// A fresh database that one test has for itself, named after the test. It is dropped when the test passes, and
/// left for inspection, until the next run, when the test fails.
#[derive(Debug)]
pub struct Database {
    name: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Postgres(PostgresDatabase),
    Sqlite(SqliteDatabase),
}

impl Database {
    /// A database on the server of a major version.
    #[track_caller]
    pub fn postgres(major: u32) -> impl Future<Output = Self> {
        Self::create(Backend::Postgres(major))
    }

    /// A SQLite file in a folder of its own, not yet created.
    #[track_caller]
    pub fn sqlite() -> Self {
        Self::sqlite_in(&env::temp_dir())
    }

    /// A SQLite file in a folder of its own, not yet created, in another folder.
    #[track_caller]
    pub fn sqlite_in(parent: &Path) -> Self {
        let name = claim_name(Location::caller());
        Self {
            kind: Kind::Sqlite(SqliteDatabase::create(parent)),
            name,
        }
    }

    /// A database on a cluster of the test's own, of a major version.
    #[track_caller]
    pub fn on(cluster: &Cluster, major: u32) -> impl Future<Output = Self> {
        let name = claim_name(Location::caller());
        let server = cluster.url("postgres");
        async move {
            let database = PostgresDatabase::create(server, major, &name).await;
            Self {
                kind: Kind::Postgres(database),
                name,
            }
        }
    }

    /// A database of a kind.
    #[track_caller]
    pub fn create(backend: Backend) -> impl Future<Output = Self> {
        let name = claim_name(Location::caller());
        async move {
            let kind = match backend {
                Backend::Sqlite => Kind::Sqlite(SqliteDatabase::create(&env::temp_dir())),
                Backend::Postgres(major) => {
                    Kind::Postgres(PostgresDatabase::create(server_url(major), major, &name).await)
                }
            };
            Self { name, kind }
        }
    }

    /// Which kind it is.
    pub fn backend(&self) -> Backend {
        match &self.kind {
            Kind::Postgres(database) => Backend::Postgres(database.major()),
            Kind::Sqlite(_) => Backend::Sqlite,
        }
    }

    /// Its URL, as Whimbrel takes it.
    pub fn url(&self) -> String {
        match &self.kind {
            Kind::Postgres(database) => database.url().to_owned(),
            Kind::Sqlite(database) => database.url(),
        }
    }

    /// Runs SQL, any number of statements, on a connection of its own.
    pub async fn execute(&self, sql: &str) {
        match &self.kind {
            Kind::Postgres(database) => database.execute(sql).await,
            Kind::Sqlite(database) => database.execute(sql),
        }
    }

    /// The rows of a query, on a connection of its own.
    pub async fn query(&self, sql: &str) -> Vec<Row> {
        match &self.kind {
            Kind::Postgres(database) => database.query(sql).await,
            Kind::Sqlite(database) => database.query(sql),
        }
    }

    /// The first column of a query's rows; NULL as `NULL`.
    pub async fn column(&self, sql: &str) -> Vec<String> {
        let rows = self.query(sql).await;
        rows.into_iter()
            .map(|row| {
                let value = row.into_iter().next().expect("the query has a column");
                value.unwrap_or_else(|| "NULL".to_owned())
            })
            .collect()
    }

    /// The only value of a query; NULL as `NULL`.
    pub async fn value(&self, sql: &str) -> String {
        let mut values = self.column(sql).await;
        assert_eq!(values.len(), 1, "{sql} returns one row");
        values.remove(0)
    }

    /// Schema and data as text: equal exactly when two databases hold the same.
    pub async fn dump(&self) -> String {
        self.dump_without(&[]).await
    }

    /// As [`dump`](Self::dump), without some tables and what belongs to them.
    pub async fn dump_without(&self, tables: &[&str]) -> String {
        Dump::without(tables).of(self).await
    }

    /// A connection to PostgreSQL. Panics on SQLite.
    pub async fn connect_postgres(&self) -> tokio_postgres::Client {
        match &self.kind {
            Kind::Postgres(database) => database.connect().await,
            Kind::Sqlite(_) => panic!("this database is SQLite"),
        }
    }

    /// A connection to SQLite. Panics on PostgreSQL.
    pub fn connect_sqlite(&self) -> rusqlite::Connection {
        match &self.kind {
            Kind::Sqlite(database) => database.connect(),
            Kind::Postgres(_) => panic!("this database is PostgreSQL"),
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let keep = thread::panicking();
        match &mut self.kind {
            Kind::Postgres(database) if !keep => database.remove(),
            Kind::Sqlite(database) if keep => database.keep(),
            Kind::Postgres(_) | Kind::Sqlite(_) => {}
        }
        names().remove(&self.name);
    }
}

static NAMES: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

fn names() -> std::sync::MutexGuard<'static, BTreeSet<String>> {
    NAMES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A name for a database: the path of the test, which is the name of its thread, or else where in the code the
/// database was asked for. A second database of the same test gets a number.
fn claim_name(caller: &Location<'_>) -> String {
    let thread = thread::current();
    let path = match thread.name() {
        Some(path) if path.contains("::") => path.to_owned(),
        _ => format!("{}:{}:{}", caller.file(), caller.line(), caller.column()),
    };
    let mut names = names();
    let name = (1..)
        .map(|number| database_name(&path, number))
        .find(|name| !names.contains(name))
        .expect("numbers do not run out");
    names.insert(name.clone());
    name
}

/// The end of the path, which tells most, and a hash of the whole, within the 63 bytes of a PostgreSQL name.
fn database_name(path: &str, number: u32) -> String {
    const LONGEST_TAIL: usize = 40;
    let plain: String = path
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '_'
            }
        })
        .collect();
    let tail = &plain[plain.len().saturating_sub(LONGEST_TAIL)..];
    let hash = path.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    format!("t_{}_{hash:08x}_{number}", tail.trim_matches('_'))
}
