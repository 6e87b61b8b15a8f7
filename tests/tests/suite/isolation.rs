//! The database's own enforcement: what a migration may not, it may not even where nobody reads its statements.

mod escapes;
mod grants;
mod roles;
mod runs;

use std::sync::Arc;
use std::time::Duration;

use camino::Utf8Path;
use whimbrel::capability::{Capabilities, Grant, Layer, Layers};
use whimbrel::config::VersionTable;
use whimbrel::driver::{
    Authority, CommitError, Driver, DriverError, Durability, GuestRole, Isolation, RunLockKind,
    Session, Settings, Statement,
};
use whimbrel_tests::Database;

/// A role of the test's own, since roles are the server's and tests run side by side.
pub(crate) fn role(db: &Database) -> GuestRole {
    let name = db.url().rsplit('/').next().unwrap_or_default().to_owned();
    GuestRole::new(name.replacen("t_", "g_", 1), None)
}

pub(crate) fn driver(db: &Database) -> Arc<dyn Driver> {
    driver_with(db, Isolation::Role(role(db)))
}

fn driver_with(db: &Database, isolation: Isolation) -> Arc<dyn Driver> {
    let settings = Settings {
        lock_timeout: Duration::from_millis(500),
        version_table: VersionTable::default().to_string(),
        run_lock: RunLockKind::Auto,
        isolation,
    };
    whimbrel::driver::open(&db.url(), Utf8Path::new("."), &settings).unwrap()
}

/// A database with Whimbrel's tables and a role for guests that an earlier run of the test has not left anything to.
async fn prepare(db: &Database) -> Arc<dyn Driver> {
    let role = role(db);
    let name = role.name();
    db.execute(&format!(
        "DO $$ BEGIN IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{name}') THEN EXECUTE 'DROP OWNED BY \"{name}\"'; \
         EXECUTE 'DROP ROLE \"{name}\"'; END IF; END $$;
         REVOKE CREATE ON SCHEMA public FROM PUBLIC;
         CREATE TABLE whimbrel_version (version_num text PRIMARY KEY);
         CREATE TABLE whimbrel_ledger (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, revision text NOT NULL)"
    ))
    .await;
    let driver = driver(db);
    driver.ensure_guest(&role).await.unwrap();
    driver
}

/// What the layer of the database alone enforces.
fn grant(capabilities: &str) -> Arc<Grant> {
    let capabilities: Capabilities = capabilities.parse().unwrap();
    Arc::new(Grant {
        layers: Layers {
            statements: Layer::Off,
            database: Layer::On,
            audit: Layer::Off,
        },
        ..Grant::only(capabilities)
    })
}

/// A session in whose transaction a guest has been let in.
async fn guest(driver: &dyn Driver, capabilities: &str) -> Box<dyn Session> {
    let mut session = driver.connect().await.unwrap();
    session.begin().await.unwrap();
    session.will_write("\"whimbrel_version\"");
    session
        .assume(Authority::Guest(grant(capabilities)))
        .await
        .unwrap();
    session
}

/// What the engine does when a migration is done.
async fn conclude(mut session: Box<dyn Session>) -> Result<(), CommitError> {
    session.assume(Authority::Host).await.unwrap();
    let record = Statement::new(
        "INSERT INTO \"whimbrel_version\" (version_num) VALUES ($1)",
        ["a".into()],
    );
    session.commit(&[record], Durability::Now).await
}

fn sqlstate(error: &DriverError) -> &str {
    match error {
        DriverError::Database(report) => report.sqlstate.as_deref().unwrap_or(""),
        DriverError::Denied { .. } => "denied",
        DriverError::NotGranted(_) => "not granted",
        _ => "",
    }
}

/// What is there besides the guest's standing rights: nothing, as after every migration.
async fn leftovers(db: &Database) -> String {
    db.value(&format!(
        "SELECT coalesce(string_agg(deptype::text || ' ' || pg_describe_object(classid, objid, objsubid), '; '), 'nothing') \
         FROM pg_shdepend WHERE refobjid = (SELECT oid FROM pg_roles WHERE rolname = '{}') \
         AND dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database())) \
         AND NOT (deptype = 'a' AND classid IN ('pg_proc'::regclass, 'pg_namespace'::regclass))",
        role(db).name()
    ))
    .await
}
