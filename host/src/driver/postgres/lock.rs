//! The run lock: an advisory lock on a connection of its own; behind a pooler, where no connection is, a lease.
//!
//! Whoever takes one of them makes sure that nobody has the other. With the advisory lock held, a run looks for a lease;
//! a lease is only given out in a transaction that holds the advisory lock.

use async_trait::async_trait;
use futures_util::future::join;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};

use super::lease::{Lease, LeaseTable, Taking};
use super::link::Link;
use super::pooler;
use super::settings::ConnectSettings;
use crate::driver::{DriverError, Holder, LockAttempt, RunLock, RunLockKind, Statement};

/// The longest name that the server keeps, in bytes.
const MAX_APPLICATION_NAME: usize = 63;

const APPLICATION_NAME_PREFIX: &str = "whimbrel lock ";

/// Takes the lock only in the process `$3`, or any for 0: in another one it would stay behind on a pooler's connection.
/// The result is then NULL.
const ACQUIRE: &str = "SELECT CASE WHEN $3 IN (0, pg_catalog.pg_backend_pid()) \
        THEN pg_catalog.set_config('application_name', $1, false) END, \
    CASE WHEN $3 IN (0, pg_catalog.pg_backend_pid()) THEN pg_catalog.pg_try_advisory_lock($2) END";

/// A process that no server has.
const NOBODY: i32 = -1;

/// `since` is when the holder's connection last did something, and that was taking the lock.
const HOLDER: &str = "SELECT a.application_name, \
        (extract(epoch FROM a.state_change) * 1000000)::bigint \
    FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 \
      AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()) \
      AND ((l.classid::bigint << 32) | l.objid::bigint) = $1";

const RELEASE: &str = "SELECT pg_catalog.pg_advisory_unlock($1)";

/// The lock of one version table. The session holds it, never a transaction, so that it blocks nothing else.
pub(super) struct PostgresLock {
    /// None once a lease has it.
    link: Option<Link>,
    connection: ConnectSettings,
    key: i64,
    leases: LeaseTable,
    kind: RunLockKind,
    state: State,
}

enum State {
    Free,
    Session,
    Lease(Lease),
}

impl PostgresLock {
    pub(super) fn new(
        link: Link,
        connection: ConnectSettings,
        version_table: &str,
        kind: RunLockKind,
    ) -> Self {
        let key = key(version_table);
        Self {
            link: Some(link),
            connection,
            key,
            leases: LeaseTable::new(version_table, key),
            kind,
            state: State::Free,
        }
    }

    fn link(&self) -> Result<&Link, DriverError> {
        self.link
            .as_ref()
            .ok_or(DriverError::Closed { source: None })
    }

    async fn holder(&self) -> Result<Option<Holder>, DriverError> {
        let link = self.link()?;
        let rows = link
            .client
            .query_typed(HOLDER, &[(&self.key, Type::INT8)])
            .await
            .map_err(|error| link.translate(error))?;
        Ok(rows.first().and_then(|row| {
            let name = row.try_get::<_, &str>(0).ok()?;
            let (pid, host) = name
                .strip_prefix(APPLICATION_NAME_PREFIX)?
                .split_once('@')?;
            Some(Holder {
                host: host.to_owned(),
                pid: pid.parse().ok()?,
                since: row
                    .try_get::<_, Option<i64>>(1)
                    .ok()?
                    .and_then(|since| Timestamp::from_microsecond(since).ok()),
                expires: None,
            })
        }))
    }

    /// Tries to take the session's lock; `None` where the session is not ours alone. Whether there may be leases is
    /// asked in the same flight, in a transaction that begins once the lock is held.
    async fn try_session(&self, holder: &Holder) -> Result<Option<LockAttempt>, DriverError> {
        let link = self.link()?;
        let process = match self.kind {
            RunLockKind::Session => 0,
            _ => pooler::announced_process(&link.client.cancel_token())
                .await
                .unwrap_or(NOBODY),
        };
        let name = application_name(holder);
        let parameters: [(&(dyn ToSql + Sync), Type); 3] = [
            (&name, Type::TEXT),
            (&self.key, Type::INT8),
            (&process, Type::INT4),
        ];
        let (rows, has_leases) = join(
            link.client.query_typed(ACQUIRE, &parameters),
            self.leases.exists(&link.client),
        )
        .await;
        let rows = rows.map_err(|error| link.translate(error))?;
        let has_leases = has_leases.map_err(|error| link.translate(error))?;
        let answer = rows.first().and_then(|row| row.try_get(1).ok());
        match answer.flatten() {
            None => Ok(None),
            Some(false) => Ok(Some(LockAttempt::Held(self.holder().await?))),
            Some(true) if has_leases => self.unless_leased().await.map(Some),
            Some(true) => Ok(Some(LockAttempt::Acquired)),
        }
    }

    /// Gives the session's lock back where someone has a lease.
    async fn unless_leased(&self) -> Result<LockAttempt, DriverError> {
        let link = self.link()?;
        let holder = self.leases.holder(&link.client).await;
        match holder.map_err(|error| link.translate(error))? {
            None => Ok(LockAttempt::Acquired),
            Some(holder) => {
                self.unlock().await?;
                Ok(LockAttempt::Held(Some(holder)))
            }
        }
    }

    /// Gives the session's lock back; false when it was not held.
    async fn unlock(&self) -> Result<bool, DriverError> {
        let link = self.link()?;
        let rows = link
            .client
            .query_typed(RELEASE, &[(&self.key, Type::INT8)])
            .await
            .map_err(|error| link.translate(error))?;
        Ok(rows.iter().any(|row| row.try_get(0).unwrap_or(false)))
    }

    async fn try_lease(&mut self, holder: &Holder) -> Result<LockAttempt, DriverError> {
        let link = self
            .link
            .take()
            .ok_or(DriverError::Closed { source: None })?;
        let connection = self.connection.clone();
        match self.leases.take(link, connection, holder).await? {
            Taking::Taken(lease) => {
                self.state = State::Lease(lease);
                Ok(LockAttempt::Acquired)
            }
            Taking::Held(link, None) => {
                self.link = Some(link);
                Ok(LockAttempt::Held(self.holder().await?))
            }
            Taking::Held(link, known) => {
                self.link = Some(link);
                Ok(LockAttempt::Held(known))
            }
        }
    }
}

/// The key of a version table's lock: the first eight bytes of the SHA-256 of `whimbrel run lock:` and the table's
/// name, big-endian. The server keeps the advisory locks of its databases apart by itself.
fn key(version_table: &str) -> i64 {
    let digest = Sha256::digest(format!("whimbrel run lock:{version_table}"));
    digest
        .iter()
        .take(8)
        .fold(0, |key, &byte| (key << 8) | i64::from(byte))
}

fn application_name(holder: &Holder) -> String {
    let mut name = format!("{APPLICATION_NAME_PREFIX}{}@{}", holder.pid, holder.host);
    // The server puts a question mark for whatever is not ASCII.
    name.truncate(name.floor_char_boundary(MAX_APPLICATION_NAME));
    name
}

#[async_trait]
impl RunLock for PostgresLock {
    async fn try_acquire(&mut self, holder: &Holder) -> Result<LockAttempt, DriverError> {
        if self.is_held() {
            return Ok(LockAttempt::Acquired);
        }
        if self.kind != RunLockKind::Lease {
            match self.try_session(holder).await? {
                Some(LockAttempt::Acquired) => {
                    self.state = State::Session;
                    return Ok(LockAttempt::Acquired);
                }
                Some(held) => return Ok(held),
                None => self.kind = RunLockKind::Lease,
            }
        }
        self.try_lease(holder).await
    }

    fn fence(&self) -> Option<Statement> {
        match &self.state {
            State::Lease(lease) => Some(lease.fence()),
            State::Free | State::Session => None,
        }
    }

    fn is_held(&self) -> bool {
        let is_alive = |link: &Link| !link.client.is_closed();
        match &self.state {
            State::Free => false,
            State::Session => self.link.as_ref().is_some_and(is_alive),
            State::Lease(lease) => lease.is_held(),
        }
    }

    async fn release(&mut self) -> Result<(), DriverError> {
        let released = match std::mem::replace(&mut self.state, State::Free) {
            State::Free => Ok(true),
            State::Session => self.unlock().await,
            State::Lease(mut lease) => lease.release().await.map(|()| true),
        };
        self.link = None;
        if released? {
            return Ok(());
        }
        Err(Box::new(crate::driver::DatabaseError {
            sqlstate: Some(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE.code().to_owned()),
            message: "the run lock was no longer held when it was to be released".to_owned(),
            ..Default::default()
        })
        .into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_never_changes() {
        assert_eq!(key("whimbrel_version"), -8_001_041_899_251_988_317);
        assert_ne!(key("whimbrel_version"), key("other"));
    }

    #[test]
    fn a_long_host_name_is_cut() {
        let holder = Holder {
            host: "h".repeat(100),
            pid: 4_194_304,
            since: None,
            expires: None,
        };
        let name = application_name(&holder);
        assert_eq!(name.len(), MAX_APPLICATION_NAME);
        assert!(name.starts_with("whimbrel lock 4194304@hhh"));
    }
}
