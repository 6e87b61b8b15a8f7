//! The server of the benches: durable, as a server that someone relies on.

use std::cell::Cell;

use anyhow::{Context, Result};
use postgres::{Client, NoTls};
use whimbrel_cluster::{Cluster, LOCAL, Setup};

use crate::install;

/// Has the server leave the tables of a database as they are.
const NO_VACUUM: &str = "DO $$ DECLARE name regclass; BEGIN
     FOR name IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace >= 2200
     LOOP EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = off)', name); END LOOP;
     END $$";

/// A running server.
pub(super) struct BenchServer {
    cluster: Cluster,
    /// How many databases were put aside.
    aside: Cell<u32>,
}

impl BenchServer {
    pub(super) fn start() -> Result<Self> {
        install::postgres(LOCAL)?;
        let cluster = Setup::new(LOCAL)
            .durable()
            .setting("shared_buffers", "512MB")
            .setting("max_wal_size", "4GB")
            .start()?;
        Ok(Self {
            cluster,
            aside: Cell::default(),
        })
    }

    /// The URL of a database. No peer tries TLS first.
    pub(super) fn url(&self, database: &str) -> String {
        format!("{}?sslmode=disable", self.cluster.url(database))
    }

    /// Makes a database anew, from a template where one is named, and settles the disk before what follows.
    ///
    /// The old one is put aside and goes with the cluster: a file system can be slow to make files for seconds after
    /// thousands of them were deleted. What it has left is not vacuumed while others are measured.
    pub(super) fn create(&self, database: &str, template: Option<&str>) -> Result<()> {
        let template = template.unwrap_or("template0");
        let exists = format!("SELECT count(*) FROM pg_database WHERE datname = '{database}'");
        if self.value("postgres", &exists)? > 0 {
            self.execute(database, NO_VACUUM)?;
            self.aside.set(self.aside.get() + 1);
            let aside = self.aside.get();
            self.execute(
                "postgres",
                &format!("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{database}'"),
            )?;
            self.execute(
                "postgres",
                &format!("ALTER DATABASE {database} RENAME TO {database}_{aside}"),
            )?;
        }
        for statement in [
            format!("CREATE DATABASE {database} TEMPLATE {template}"),
            "CHECKPOINT".to_owned(),
        ] {
            self.execute("postgres", &statement)?;
        }
        Ok(())
    }

    /// Runs statements on a database.
    pub(super) fn execute(&self, database: &str, statements: &str) -> Result<()> {
        self.connect(database)?
            .batch_execute(statements)
            .with_context(|| format!("{statements} failed"))
    }

    /// The only value of a query.
    pub(super) fn value(&self, database: &str, query: &str) -> Result<i64> {
        Ok(self.connect(database)?.query_one(query, &[])?.try_get(0)?)
    }

    fn connect(&self, database: &str) -> Result<Client> {
        Ok(Client::connect(&self.url(database), NoTls)?)
    }
}
