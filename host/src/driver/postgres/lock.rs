//! The run lock: an advisory lock on a connection of its own.

use async_trait::async_trait;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::link::Link;
use crate::driver::{DriverError, Holder, LockAttempt, RunLock, Statement};

/// The longest name that the server keeps, in bytes.
const MAX_APPLICATION_NAME: usize = 63;

const APPLICATION_NAME_PREFIX: &str = "whimbrel lock ";

const ACQUIRE: &str = "SELECT pg_catalog.set_config('application_name', $1, false), \
                       pg_catalog.pg_try_advisory_lock($2)";

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
    link: Option<Link>,
    key: i64,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Free,
    Held,
}

impl PostgresLock {
    pub(super) fn new(link: Link, version_table: &str) -> Self {
        Self {
            link: Some(link),
            key: key(version_table),
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
            })
        }))
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
        let link = self.link()?;
        let name = application_name(holder);
        let rows = link
            .client
            .query_typed(ACQUIRE, &[(&name, Type::TEXT), (&self.key, Type::INT8)])
            .await
            .map_err(|error| link.translate(error))?;
        if rows.iter().any(|row| row.try_get(1).unwrap_or(false)) {
            self.state = State::Held;
            return Ok(LockAttempt::Acquired);
        }
        Ok(LockAttempt::Held(self.holder().await?))
    }

    fn fence(&self) -> Option<Statement> {
        None
    }

    fn is_held(&self) -> bool {
        let alive = self
            .link
            .as_ref()
            .is_some_and(|link| !link.client.is_closed());
        self.state == State::Held && alive
    }

    async fn release(&mut self) -> Result<(), DriverError> {
        let Some(link) = self.link.take() else {
            return Ok(());
        };
        if std::mem::replace(&mut self.state, State::Free) == State::Free {
            return Ok(());
        }
        let rows = link
            .client
            .query_typed(RELEASE, &[(&self.key, Type::INT8)])
            .await
            .map_err(|error| link.translate(error))?;
        if rows.iter().any(|row| row.try_get(0).unwrap_or(false)) {
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
        };
        let name = application_name(&holder);
        assert_eq!(name.len(), MAX_APPLICATION_NAME);
        assert!(name.starts_with("whimbrel lock 4194304@hhh"));
    }
}
