//! What the open transaction has locked.

use tokio_postgres::types::Type;

use super::PostgresSession;
use crate::driver::{DriverError, RelationLock};
use crate::sql::effects::LockMode;

/// Relations of the catalog are below this number, which never changes (`FirstNormalObjectId`).
const LOCKS: &str = "SELECT relation, mode FROM pg_catalog.pg_locks \
    WHERE locktype = 'relation' AND granted AND pid = pg_catalog.pg_backend_pid() AND relation >= 16384";

/// Indexes and TOAST tables are left out: nobody waits for them alone.
const NAMES: &str = "SELECT c.oid, pg_catalog.format('%I.%I', n.nspname, c.relname) \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.oid = ANY ($1) AND c.relkind IN ('r', 'p', 'm', 'v', 'f', 'S')";

const ANY: &str = "SELECT EXISTS (SELECT FROM pg_catalog.pg_class \
    WHERE oid >= 16384 AND relkind IN ('r', 'p', 'm', 'v', 'f', 'S') \
    AND relname <> $1 AND relname NOT LIKE 'whimbrel\\_%')";

impl PostgresSession {
    pub(super) async fn has_relations_inner(&mut self, but: &str) -> Result<bool, DriverError> {
        let client = self.link.client.clone();
        let rows = self
            .send(client.query_typed(ANY, &[(&but, Type::TEXT)]))
            .await?;
        Ok(rows.iter().any(|row| row.try_get(0).unwrap_or(true)))
    }

    pub(super) async fn locks_inner(&mut self) -> Result<Vec<RelationLock>, DriverError> {
        let client = self.link.client.clone();
        let rows = self.send(client.query_typed(LOCKS, &[])).await?;
        let locks = rows.iter().filter_map(|row| {
            Some(RelationLock {
                relation: row.try_get(0).ok()?,
                mode: LockMode::in_pg_locks(row.try_get(1).ok()?)?,
            })
        });
        Ok(locks.collect())
    }

    pub(super) async fn name_relations_inner(
        &mut self,
        relations: &[u32],
    ) -> Result<Vec<(u32, String)>, DriverError> {
        let client = self.link.client.clone();
        let rows = self
            .send(client.query_typed(NAMES, &[(&relations, Type::OID_ARRAY)]))
            .await?;
        let named = rows
            .iter()
            .filter_map(|row| Some((row.try_get(0).ok()?, row.try_get(1).ok()?)));
        Ok(named.collect())
    }
}
