//! What begins a transaction.

use std::time::Duration;

use tokio_postgres::{Client, SimpleQueryMessage};

use crate::driver::postgres::pooler::Route;

/// Has the server look every other second whether the client is still there, so that the statement of a killed one
/// does not go on, holding its locks.
const CHECK_CLIENT: &str = "; SET LOCAL client_connection_check_interval = 2000";

/// The same where the server can do it: PostgreSQL 14, on Linux; elsewhere to ask for it is an error. Returns a row
/// where it did.
const CHECK_CLIENT_IF_POSSIBLE: &str = "; SELECT pg_catalog.set_config('client_connection_check_interval', '2000', true) \
    WHERE pg_catalog.current_setting('server_version_num')::int >= 140000 AND pg_catalog.version() LIKE '%linux%'";

/// Tells which server process a transaction is in.
const PROCESS: &str = "; SELECT pg_catalog.pg_backend_pid() AS process";

/// Begins transactions. All that it sets ends with them, so that behind a pooler nobody else meets it.
pub(super) struct Opening {
    /// In milliseconds.
    lock_timeout: Option<u128>,
    begin: String,
    /// Whether `begin` is in its final form.
    settled: bool,
    route: Route,
    /// The process that the other end said we have.
    announced: Option<i32>,
    /// The table that the next transaction is going to write.
    claim: Option<String>,
}

impl Opening {
    /// Has each transaction give up waiting for a lock after `lock_timeout`, where one is given.
    pub(super) fn new(lock_timeout: Option<Duration>) -> Self {
        let lock_timeout = lock_timeout
            .filter(|timeout| !timeout.is_zero())
            .map(|timeout| timeout.as_millis().clamp(1, i32::MAX.unsigned_abs().into()));
        let mut begin = "BEGIN".to_owned();
        if let Some(milliseconds) = lock_timeout {
            begin.push_str(&format!("; SET LOCAL lock_timeout = {milliseconds}"));
        }
        Self {
            lock_timeout,
            begin,
            settled: false,
            route: Route::Unknown,
            announced: None,
            claim: None,
        }
    }

    /// What has statements outside of transactions give up waiting for a lock as well.
    pub(super) fn patience(&self) -> Option<String> {
        self.lock_timeout
            .map(|milliseconds| format!("SET lock_timeout = {milliseconds}"))
    }

    /// What a transaction is told after BEGIN, to be told again when its settings have been reset.
    pub(super) fn settings(&self) -> &str {
        self.begin.strip_prefix("BEGIN").unwrap_or_default()
    }

    /// What the connection leads to: known once a transaction has begun.
    pub(super) fn route(&self) -> Route {
        self.route
    }

    /// Says which process the other end announced.
    pub(super) fn expect(&mut self, announced: Option<i32>) {
        self.announced = announced;
    }

    /// Has the next transaction hold a lock on a table that a writer holds.
    pub(super) fn claim(&mut self, table: &str) {
        self.claim = Some(format!("; LOCK TABLE {table} IN ROW EXCLUSIVE MODE"));
    }

    /// Whether the next transaction is to hold such a lock.
    pub(super) fn claims(&self) -> bool {
        self.claim.is_some()
    }

    /// Forgets what the next transaction was to hold.
    pub(super) fn release(&mut self) {
        self.claim = None;
    }

    /// Begins a transaction. The first one finds out what the server can do.
    pub(super) async fn begin(&mut self, client: &Client) -> Result<(), tokio_postgres::Error> {
        let claim = self.claim.take().unwrap_or_default();
        if self.settled {
            return client
                .batch_execute(&format!("{}{claim}", self.begin))
                .await;
        }
        let first = format!("{}{CHECK_CLIENT_IF_POSSIBLE}{PROCESS}{claim}", self.begin);
        let messages = client.simple_query(&first).await?;
        let mut process = None;
        for message in &messages {
            let SimpleQueryMessage::Row(row) = message else {
                continue;
            };
            match row.try_get("process") {
                Ok(text) => process = text.and_then(|text| text.parse().ok()),
                Err(_) => self.begin.push_str(CHECK_CLIENT),
            }
        }
        self.route = Route::of(self.announced, process);
        self.settled = true;
        Ok(())
    }
}
