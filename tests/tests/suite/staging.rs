//! Engines over migrations that exist in memory alone, and what they leave in a database.

mod granting;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
pub(crate) use granting::granting;
use whimbrel::config::VersionTable;
use whimbrel::driver::{Driver, Isolation, RunLockKind, Settings};
use whimbrel::engine::{Engine, Patience, RunFailure};
use whimbrel::event::RunReport;
use whimbrel::project::{Pinning, Project, RunOptions};
use whimbrel::revision::{Direction, RevisionId};
use whimbrel::source::{Entry, EntryKind, Files};
use whimbrel_tests::{Backend, Database, guest};

/// A request for all that can be asked for.
pub(crate) const EVERYTHING: &str = r#"
[capabilities]
select = ["*.*"]
insert = ["*.*"]
update = ["*.*"]
delete = ["*.*"]
truncate = ["*.*"]
copy = ["*.*"]
grant = ["*.*"]
call = ["*.*"]
extensions = ["*.*"]
ddl = [
    "create table *.*", "alter table *.*", "drop table *.*", "create index on *.*", "alter index *.*", "drop index *.*",
    "create sequence *.*", "alter sequence *.*", "drop sequence *.*", "create schema *.*", "alter schema *.*",
    "drop schema *.*", "create type *.*", "alter type *.*", "drop type *.*", "create statistics *.*",
    "alter statistics *.*", "drop statistics *.*", "create collation *.*", "alter collation *.*", "drop collation *.*",
    "create text search *.*", "alter text search *.*", "drop text search *.*",
]
code = [
    "function *.*", "trigger on *.*", "rule on *.*", "policy on *.*", "view *.*", "default on *.*", "cast *.*",
    "operator *.*",
]
"#;

/// A folder of migrations.
#[derive(Default)]
pub(crate) struct Folder(BTreeMap<Utf8PathBuf, Vec<u8>>);

impl Folder {
    /// A SQL migration.
    pub(crate) fn with(
        mut self,
        id: &str,
        header: &str,
        upgrade: &str,
        downgrade: Option<&str>,
    ) -> Self {
        let mut text = format!(
            "-- whimbrel:migration\n-- id: {id}\n{header}-- message: {id}\n-- whimbrel:upgrade\n{upgrade}\n"
        );
        if let Some(downgrade) = downgrade {
            text.push_str(&format!("-- whimbrel:downgrade\n{downgrade}\n"));
        }
        self.0
            .insert(format!("migrations/{id}_test.sql").into(), text.into());
        self
    }

    /// A migration that makes a table of its own name and drops it again.
    pub(crate) fn table(self, id: &str, revises: &str) -> Self {
        let header = if revises.is_empty() {
            String::new()
        } else {
            format!("-- revises: {revises}\n")
        };
        self.with(
            id,
            &header,
            &format!("CREATE TABLE t_{id} (n integer);"),
            Some(&format!("DROP TABLE t_{id};")),
        )
    }

    /// A file, by its path in the project.
    pub(crate) fn file(mut self, path: &str, content: Vec<u8>) -> Self {
        self.0.insert(path.into(), content);
        self
    }

    /// A component migration: the test guest `component`, and more of its manifest. It asks for everything, unless the
    /// manifest says what it asks for.
    pub(crate) fn component(
        self,
        id: &str,
        revises: &str,
        component: &str,
        manifest: &str,
    ) -> Self {
        self.component_from(id, revises, &guest(component), manifest)
    }

    /// A component migration whose component is in a file.
    pub(crate) fn component_from(
        self,
        id: &str,
        revises: &str,
        component: &Utf8Path,
        manifest: &str,
    ) -> Self {
        let bytes = std::fs::read(component).unwrap();
        self.component_of(id, revises, bytes, manifest)
    }

    /// A component migration of these bytes.
    pub(crate) fn component_of(
        mut self,
        id: &str,
        revises: &str,
        component: Vec<u8>,
        manifest: &str,
    ) -> Self {
        let folder = Utf8PathBuf::from(format!("migrations/{id}_test"));
        let request = match manifest.contains("[capabilities]") {
            true => "",
            false => EVERYTHING,
        };
        let manifest = format!(
            "id = \"{id}\"\nrevises = [{}]\nmessage = \"{id}\"\n{manifest}\n{request}",
            quoted(revises)
        );
        self.0
            .insert(folder.join("migration.toml"), manifest.into());
        self.0.insert(folder.join("migration.wasm"), component);
        self
    }
}

fn quoted(name: &str) -> String {
    if name.is_empty() {
        String::new()
    } else {
        format!("\"{name}\"")
    }
}

impl Files for Folder {
    fn list(&self, folder: &Utf8Path) -> io::Result<Vec<Entry>> {
        let below = |path: &'_ Utf8Path| {
            let inner = path.strip_prefix(folder).ok()?;
            let name = inner.components().next()?.to_string();
            Some((name.clone(), inner.as_str() == name))
        };
        let names: BTreeSet<(String, bool)> =
            self.0.keys().filter_map(|path| below(path)).collect();
        Ok(names
            .into_iter()
            .map(|(name, is_file)| Entry {
                name,
                kind: if is_file {
                    EntryKind::File
                } else {
                    EntryKind::Folder
                },
            })
            .collect())
    }

    fn read(&self, path: &Utf8Path) -> io::Result<Vec<u8>> {
        self.0
            .get(path)
            .cloned()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn exists(&self, path: &Utf8Path) -> bool {
        self.0.keys().any(|file| file.starts_with(path))
    }
}

/// Three migrations in a line, each with a table of its own.
pub(crate) fn three() -> Folder {
    Folder::default()
        .table("a", "")
        .table("b", "a")
        .table("c", "b")
}

/// A line of three whose middle one sleeps when it has made its table.
pub(crate) fn with_sleep(seconds: u32) -> Folder {
    let upgrade = format!("CREATE TABLE t_b (n integer);\nSELECT pg_sleep({seconds});");
    Folder::default()
        .table("a", "")
        .with("b", "-- revises: a\n", &upgrade, None)
        .table("c", "b")
}

/// Waits until a migration of [`with_sleep`] sleeps.
pub(crate) async fn until_it_sleeps(db: &Database) {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
               AND query LIKE 'SELECT pg_sleep%' AND state = 'active'";
    while db.value(sql).await == "0" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A driver for a test's database.
pub(crate) fn driver(db: &Database) -> Arc<dyn Driver> {
    driver_for(&db.url())
}

/// A driver for a database.
pub(crate) fn driver_for(url: &str) -> Arc<dyn Driver> {
    let settings = Settings {
        lock_timeout: Duration::from_millis(200),
        version_table: VersionTable::default().to_string(),
        run_lock: RunLockKind::Auto,
        isolation: Isolation::None,
    };
    whimbrel::driver::open(url, Utf8Path::new("."), &settings).unwrap()
}

/// Enough for a busy machine, and little enough for a test.
pub(crate) fn patience() -> Patience {
    Patience {
        lock_wait: Duration::from_secs(20),
        attempts: 3,
        first_delay: Duration::from_millis(50),
        longest_delay: Duration::from_millis(100),
    }
}

/// An engine on a test's database.
pub(crate) fn engine(db: &Database, folder: Folder) -> Engine {
    engine_over(driver(db), folder)
}

/// An engine on a test's database, its run done as `options` say.
pub(crate) fn engine_with(db: &Database, folder: Folder, options: RunOptions) -> Engine {
    engine_of(driver(db), folder, options)
}

/// An engine that reaches its database by a driver.
pub(crate) fn engine_over(driver: Arc<dyn Driver>, folder: Folder) -> Engine {
    let options = RunOptions {
        patience: patience(),
        pinning: Pinning::AsIs,
        ..RunOptions::default()
    };
    engine_of(driver, folder, options)
}

/// An engine that reaches its database by a driver, its run done as `options` say.
pub(crate) fn engine_of(driver: Arc<dyn Driver>, folder: Folder, options: RunOptions) -> Engine {
    let project = Arc::new(Project::read(Arc::new(folder), Utf8Path::new("migrations")).unwrap());
    project.engine(driver, &VersionTable::default(), options)
}

pub(crate) async fn up(engine: &Engine, target: &str) -> Result<RunReport, RunFailure> {
    engine
        .run(&target.parse().unwrap(), Direction::Upgrade)
        .await
}

pub(crate) async fn down(engine: &Engine, target: &str) -> Result<RunReport, RunFailure> {
    engine
        .run(&target.parse().unwrap(), Direction::Downgrade)
        .await
}

pub(crate) fn id(name: &str) -> RevisionId {
    RevisionId::new(name).unwrap()
}

/// The rows of the version table.
pub(crate) async fn versions(db: &Database) -> Vec<String> {
    db.column("SELECT version_num FROM whimbrel_version ORDER BY 1")
        .await
}

/// Revision, action and outcome of each row of the ledger.
pub(crate) async fn ledger(db: &Database) -> Vec<String> {
    db.column("SELECT revision || ' ' || action || ' ' || outcome FROM whimbrel_ledger ORDER BY id")
        .await
}

/// The tables that migrations made.
pub(crate) async fn tables(db: &Database) -> Vec<String> {
    let sql = match db.backend() {
        Backend::Sqlite => {
            "SELECT name FROM sqlite_master WHERE name LIKE 't\\_%' ESCAPE '\\' AND type = 'table' ORDER BY 1"
        }
        Backend::Postgres(_) => {
            "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' AND tablename LIKE 't\\_%' ORDER BY 1"
        }
    };
    db.column(sql).await
}
