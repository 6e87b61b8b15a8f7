//! A database on a PostgreSQL server.

use std::thread;

use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use super::Row;

#[derive(Debug)]
pub(super) struct PostgresDatabase {
    major: u32,
    server: String,
    name: String,
    url: String,
}

impl PostgresDatabase {
    /// Creates the database on a server, after dropping one of that name which an earlier run left.
    pub(super) async fn create(server: String, major: u32, name: &str) -> Self {
        let maintenance = connect(&server).await;
        drop_database(&maintenance, name).await;
        run(
            &maintenance,
            &format!("CREATE DATABASE \"{name}\" TEMPLATE template0"),
        )
        .await;
        Self {
            major,
            url: with_database(&server, name),
            server,
            name: name.to_owned(),
        }
    }

    pub(super) fn major(&self) -> u32 {
        self.major
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) async fn connect(&self) -> Client {
        connect(&self.url).await
    }

    pub(super) async fn execute(&self, sql: &str) {
        run(&self.connect().await, sql).await;
    }

    pub(super) async fn query(&self, sql: &str) -> Vec<Row> {
        let messages = self
            .connect()
            .await
            .simple_query(sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}\nfailed: {error:?}"));
        messages
            .iter()
            .filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => Some(
                    (0..row.len())
                        .map(|index| row.get(index).map(str::to_owned))
                        .collect(),
                ),
                _ => None,
            })
            .collect()
    }

    /// Drops the database, whoever is still connected to it.
    pub(super) fn remove(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        // A runtime cannot be entered from within another one, and a test may drop its database anywhere.
        let removal = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime starts");
            runtime.block_on(async {
                // A test may have stopped its own server; its databases are gone with it.
                if let Ok(maintenance) = try_connect(&server).await {
                    drop_database(&maintenance, &name).await;
                }
            });
        });
        let _ = removal.join();
    }
}

async fn try_connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn connect(url: &str) -> Client {
    try_connect(url)
        .await
        .unwrap_or_else(|error| panic!("cannot connect to {url}: {error:?}"))
}

async fn run(client: &Client, sql: &str) {
    client
        .batch_execute(sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}\nfailed: {error:?}"));
}

async fn drop_database(maintenance: &Client, name: &str) {
    run(
        maintenance,
        &format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)"),
    )
    .await;
}

/// A server's URL with another database in it.
fn with_database(url: &str, name: &str) -> String {
    let (base, parameters) = match url.split_once('?') {
        Some((base, parameters)) => (base, format!("?{parameters}")),
        None => (url, String::new()),
    };
    let authority = base.find("://").map_or(0, |index| index + 3);
    let end = base[authority..]
        .find('/')
        .map_or(base.len(), |index| authority + index);
    format!("{}/{name}{parameters}", &base[..end])
}
