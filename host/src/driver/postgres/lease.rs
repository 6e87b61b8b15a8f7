//! The run lock where no session can hold one: a row beside the version table, with a lease.
//!
//! The lease ends by the server's clock. It is renewed by the fence of every step, and every few seconds by a task of
//! its own, so that it lasts as long as the process does, however long a step takes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::task::JoinHandle;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};
use uuid::Uuid;

use super::link::Link;
use super::settings::ConnectSettings;
use crate::driver::{DriverError, Holder, Statement, Value};

/// How long a lock outlives the last sign of its holder.
const LEASE: Duration = Duration::from_secs(30);
/// How often a holder gives a sign.
const RENEWAL: Duration = Duration::from_secs(5);

/// The table of the leases, one row for each version table in its schema.
#[derive(Debug, Clone)]
pub(super) struct LeaseTable {
    /// Quoted, with the schema where one is named.
    table: String,
    version_table: String,
    key: i64,
}

/// What came of trying to take a lease.
pub(super) enum Taking {
    Taken(Lease),
    /// Someone else has the lock, by a lease or by a session; who, where it is a lease that can be seen.
    Held(Link, Option<Holder>),
}

impl LeaseTable {
    /// That of a version table, whose advisory lock has the key `key`.
    pub(super) fn new(version_table: &str, key: i64) -> Self {
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let (table, name) = match version_table.rsplit_once('.') {
            Some((schema, name)) => (format!("{}.whimbrel_lock", quoted(schema)), name),
            None => ("whimbrel_lock".to_owned(), version_table),
        };
        Self {
            table,
            version_table: name.to_owned(),
            key,
        }
    }

    /// Whether the table is there; sent at once, and asked in a transaction of its own.
    pub(super) async fn exists(&self, client: &Client) -> Result<bool, tokio_postgres::Error> {
        let rows = client
            .query_typed(
                "SELECT pg_catalog.to_regclass($1) IS NOT NULL",
                &[(&self.table, Type::TEXT)],
            )
            .await?;
        Ok(rows.iter().any(|row| row.try_get(0).unwrap_or(false)))
    }

    /// Who holds a lease that has not run out; removes one that has, so that its holder's fence cannot pass any more.
    pub(super) async fn holder(
        &self,
        client: &Client,
    ) -> Result<Option<Holder>, tokio_postgres::Error> {
        let messages = client
            .simple_query(&format!(
                "DELETE FROM {table} WHERE name = {name} AND expires_at < pg_catalog.clock_timestamp(); {shown}",
                table = self.table,
                name = text(&self.version_table),
                shown = self.shown(),
            ))
            .await?;
        Ok(rows(&messages).find_map(holder_in))
    }

    fn shown(&self) -> String {
        format!(
            "SELECT host, pid, (extract(epoch FROM since) * 1000000)::bigint AS since, \
             (extract(epoch FROM expires_at) * 1000000)::bigint AS expires_at FROM {} WHERE name = {}",
            self.table,
            text(&self.version_table)
        )
    }

    /// Tries to take the lease, in one transaction. It begins with the advisory lock that runs on direct connections
    /// hold, so that none of them is in the middle of anything, nor another that takes the lease.
    pub(super) async fn take(
        &self,
        link: Link,
        settings: ConnectSettings,
        holder: &Holder,
    ) -> Result<Taking, DriverError> {
        let asked = Instant::now();
        let client = link.client.clone();
        let first = format!(
            "BEGIN; SET LOCAL lock_timeout = '2s'; SELECT pg_catalog.pg_try_advisory_xact_lock({}) AS free, \
             pg_catalog.to_regclass({}) IS NULL AS missing",
            self.key,
            text(&self.table)
        );
        let messages = client
            .simple_query(&first)
            .await
            .map_err(|error| link.translate(error))?;
        let says =
            |name: &str| rows(&messages).any(|row| matches!(row.try_get(name), Ok(Some("t"))));
        if !says("free") {
            let known = match says("missing") {
                true => None,
                false => {
                    let shown = client.simple_query(&self.shown()).await;
                    shown
                        .ok()
                        .and_then(|found| rows(&found).find_map(holder_in))
                }
            };
            self.roll_back(&link).await?;
            return Ok(Taking::Held(link, known));
        }
        let token = Uuid::new_v4();
        let create = match says("missing") {
            true => self.definition(),
            false => String::new(),
        };
        let second = format!(
            "{create}{}; COMMIT; {}",
            self.taking(token, holder),
            self.shown()
        );
        let messages = match client.simple_query(&second).await {
            Ok(messages) => messages,
            Err(error) => {
                let error = link.translate(error);
                self.roll_back(&link).await?;
                // The row is locked for as long as its holder needs to commit.
                return match error.is_transient() {
                    true => Ok(Taking::Held(link, None)),
                    false => Err(error),
                };
            }
        };
        if rows(&messages).any(|row| row.try_get("taken").is_ok()) {
            let lease = Lease::keep(self.clone(), token, asked, link, settings);
            return Ok(Taking::Taken(lease));
        }
        let known = rows(&messages).find_map(holder_in);
        Ok(Taking::Held(link, known))
    }

    async fn roll_back(&self, link: &Link) -> Result<(), DriverError> {
        let ended = link.client.batch_execute("ROLLBACK").await;
        ended.map_err(|error| link.translate(error))
    }

    fn definition(&self) -> String {
        format!(
            "CREATE TABLE {} (name text PRIMARY KEY, token text NOT NULL, host text NOT NULL, pid bigint NOT NULL, \
             since timestamptz NOT NULL, expires_at timestamptz NOT NULL); ",
            self.table
        )
    }

    fn taking(&self, token: Uuid, holder: &Holder) -> String {
        format!(
            "INSERT INTO {table} AS held (name, token, host, pid, since, expires_at) \
             VALUES ({name}, '{token}', {host}, {pid}, pg_catalog.clock_timestamp(), {expiry}) \
             ON CONFLICT (name) DO UPDATE SET token = excluded.token, host = excluded.host, pid = excluded.pid, \
                 since = excluded.since, expires_at = excluded.expires_at \
             WHERE held.expires_at < pg_catalog.clock_timestamp() RETURNING 1 AS taken",
            table = self.table,
            name = text(&self.version_table),
            host = text(&holder.host),
            pid = holder.pid,
            expiry = expiry(),
        )
    }

    fn renewal(&self) -> String {
        format!(
            "UPDATE {} SET expires_at = {} WHERE token = $1",
            self.table,
            expiry()
        )
    }
}

fn expiry() -> String {
    format!(
        "pg_catalog.clock_timestamp() + '{} s'::pg_catalog.interval",
        LEASE.as_secs()
    )
}

/// A text as a literal, whatever `standard_conforming_strings` says.
fn text(value: &str) -> String {
    format!("E'{}'", value.replace('\\', "\\\\").replace('\'', "''"))
}

fn rows(messages: &[SimpleQueryMessage]) -> impl Iterator<Item = &SimpleQueryRow> {
    messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    })
}

fn holder_in(row: &SimpleQueryRow) -> Option<Holder> {
    let time = |name: &str| {
        let microseconds = row.try_get(name).ok()??.parse().ok()?;
        Timestamp::from_microsecond(microseconds).ok()
    };
    Some(Holder {
        host: row.try_get("host").ok()??.to_owned(),
        pid: row.try_get("pid").ok()??.parse().ok()?,
        since: time("since"),
        expires: time("expires_at"),
    })
}

/// A lease that is ours, and the task that renews it.
pub(super) struct Lease {
    table: LeaseTable,
    token: Uuid,
    renewed: Arc<Mutex<Instant>>,
    link: Arc<tokio::sync::Mutex<Link>>,
    keeper: JoinHandle<()>,
    given_back: bool,
}

impl Lease {
    fn keep(
        table: LeaseTable,
        token: Uuid,
        asked: Instant,
        link: Link,
        settings: ConnectSettings,
    ) -> Self {
        let renewed = Arc::new(Mutex::new(asked));
        let link = Arc::new(tokio::sync::Mutex::new(link));
        let keeper = Keeper {
            sql: table.renewal(),
            token: token.to_string(),
            renewed: renewed.clone(),
            link: link.clone(),
            settings,
        };
        Self {
            table,
            token,
            renewed,
            link,
            keeper: tokio::spawn(keeper.run()),
            given_back: false,
        }
    }

    pub(super) fn fence(&self) -> Statement {
        Statement::new(
            self.table.renewal(),
            [Value::from(self.token.to_string().as_str())],
        )
    }

    /// Whether it cannot have run out: what was asked of the server ends later by its clock than by ours.
    pub(super) fn is_held(&self) -> bool {
        let renewed = *self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        renewed.elapsed() < LEASE
    }

    /// Gives it back.
    pub(super) async fn release(&mut self) -> Result<(), DriverError> {
        self.keeper.abort();
        self.given_back = true;
        let link = self.link.lock().await;
        let sql = self.table.release();
        let token = self.token.to_string();
        let deleted = link
            .client
            .execute_typed(&sql, &[(&token, Type::TEXT)])
            .await;
        deleted.map(drop).map_err(|error| link.translate(error))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.keeper.abort();
        if self.given_back {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let (sql, token) = (self.table.release(), self.token.to_string());
        let link = self.link.clone();
        // Where the process ends before this is sent, the lease runs out.
        runtime.spawn(async move {
            let link = link.lock().await;
            let _ = link
                .client
                .execute_typed(&sql, &[(&token, Type::TEXT)])
                .await;
        });
    }
}

impl LeaseTable {
    fn release(&self) -> String {
        format!("DELETE FROM {} WHERE token = $1", self.table)
    }
}

/// What renews a lease while a step runs.
struct Keeper {
    sql: String,
    token: String,
    renewed: Arc<Mutex<Instant>>,
    link: Arc<tokio::sync::Mutex<Link>>,
    settings: ConnectSettings,
}

impl Keeper {
    async fn run(self) {
        loop {
            tokio::time::sleep(RENEWAL).await;
            let asked = Instant::now();
            match self.renew().await {
                Ok(1) => {
                    *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = asked;
                }
                // Taken over: it stays lost, and `is_held` says so once it would have run out.
                Ok(_) => return,
                Err(_) => self.reconnect().await,
            }
        }
    }

    async fn renew(&self) -> Result<u64, tokio_postgres::Error> {
        let link = self.link.lock().await;
        link.client
            .execute_typed(&self.sql, &[(&self.token, Type::TEXT)])
            .await
    }

    /// A pooler may close connections that were idle, or be restarted.
    async fn reconnect(&self) {
        let mut link = self.link.lock().await;
        if link.client.is_closed()
            && let Ok(fresh) = Link::open(&self.settings, |_| {}).await
        {
            *link = fresh;
        }
    }
}
