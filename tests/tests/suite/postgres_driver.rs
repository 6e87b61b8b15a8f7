//! The PostgreSQL driver against real servers.

mod session;
mod tls;
mod values;

use std::time::Duration;

use camino::Utf8Path;
use whimbrel::driver::{
    self, Authority, Driver, Isolation, ResultLimit, RunLockKind, Session, Settings, Value,
};
use whimbrel_tests::Database;

const NO_LIMIT: ResultLimit = ResultLimit::NONE;

fn settings() -> Settings {
    Settings {
        lock_timeout: Duration::from_millis(200),
        version_table: "whimbrel_version".to_owned(),
        run_lock: RunLockKind::Auto,
        isolation: Isolation::None,
    }
}

pub(crate) fn open(url: &str) -> std::sync::Arc<dyn Driver> {
    driver::open(url, Utf8Path::new("."), &settings()).unwrap()
}

async fn connect(db: &Database, authority: Authority) -> Box<dyn Session> {
    let mut session = open(&db.url()).connect().await.unwrap();
    session.assume(authority).await.unwrap();
    session
}

async fn rows(session: &mut dyn Session, sql: &str, params: &[Value]) -> Vec<Vec<Value>> {
    session
        .query(sql, params, NO_LIMIT)
        .await
        .unwrap_or_else(|error| panic!("{sql}\n{error:?}"))
        .into_rows()
}

async fn value(session: &mut dyn Session, sql: &str, params: &[Value]) -> Value {
    let mut rows = rows(session, sql, params).await;
    assert_eq!(rows.len(), 1, "{sql}");
    rows.remove(0).remove(0)
}
