//! A session whose isolated migrations have a connection of their own.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join;

use super::catalog::Catalog;
use super::guest::{Ending, Entered, Ground, Nonces};
use super::spare::Spare;
use super::{current, find, no_schema, require_direct};
use crate::capability::{Grant, Layer};
use crate::driver::postgres::Postgres;
use crate::driver::postgres::session::PostgresSession;
use crate::driver::{
    Authority, Batch, Canceller, Column, CommitError, CopyTarget, CursorId, Dialect, DriverError,
    Durability, GuestRole, RelationLock, ResultLimit, Rows, Session, Statement, Touched, Value,
};

/// The host's session, and the guest's while a transaction is a guest's.
pub(crate) struct IsolatedSession {
    host: PostgresSession,
    driver: Postgres,
    role: GuestRole,
    ground: Option<Ground>,
    transaction: Transaction,
    /// The table that the transaction is going to write.
    claim: Option<String>,
    sharing: Sharing,
    sequel: Sequel,
    spare: Spare,
}

/// Whether another transaction comes after one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sequel {
    None,
    Expected,
}

/// Whether a transaction is for one migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sharing {
    Alone,
    /// It is for several: it is on the guest's connection from its first statement, and what the host and its SQL files
    /// do in it goes through the host's function.
    Shared,
}

/// Whose a transaction is.
enum Transaction {
    /// There is none.
    None,
    /// The host's. It is the guest's as soon as one comes, since nothing has been done in it.
    Host,
    /// The host's, for a SQL file.
    File,
    Guest(Box<Visit>),
}

/// A transaction on the guest's connection.
struct Visit {
    session: PostgresSession,
    nonces: Nonces,
    /// What the guest has; none between two migrations.
    entered: Option<Entered>,
}

impl IsolatedSession {
    /// A session that lets migrations in as `role`.
    pub(crate) fn new(host: PostgresSession, driver: Postgres, role: GuestRole) -> Self {
        Self {
            host,
            driver,
            role,
            ground: None,
            transaction: Transaction::None,
            claim: None,
            sharing: Sharing::Alone,
            sequel: Sequel::None,
            spare: Spare::default(),
        }
    }

    fn active(&mut self) -> &mut PostgresSession {
        match &mut self.transaction {
            Transaction::Guest(visit) => &mut visit.session,
            _ => &mut self.host,
        }
    }

    fn active_ref(&self) -> &PostgresSession {
        match &self.transaction {
            Transaction::Guest(visit) => &visit.session,
            _ => &self.host,
        }
    }

    /// Where the host is, found out once.
    async fn ground(&mut self) -> Result<(), DriverError> {
        if self.ground.is_none() {
            let place = find(&mut self.host, &self.driver.version_table).await?;
            let current = current(&mut self.host).await?;
            if current.schema.is_none() {
                return Err(no_schema());
            }
            self.ground = Some(Ground {
                place,
                current,
                role: self.role.name().to_owned(),
            });
        }
        Ok(())
    }

    /// Lets a migration in that is held to its grant.
    async fn let_in(
        &mut self,
        authority: Authority,
        grant: &Arc<Grant>,
    ) -> Result<(), DriverError> {
        match &self.transaction {
            Transaction::None => {
                return Err(refused(
                    "a migration without a transaction",
                    "rights that outlive a transaction would be needed; run it in a transaction, or as a SQL file that no \
                     policy narrows",
                ));
            }
            Transaction::File => {
                return Err(refused(
                    "a second migration in a transaction",
                    "all of them must be known when it begins",
                ));
            }
            Transaction::Host | Transaction::Guest(_) => {}
        }
        let catalog = self.open_visit(Some(grant)).await?;
        let (Some(ground), Transaction::Guest(visit)) = (&self.ground, &mut self.transaction)
        else {
            return Err(closed());
        };
        visit.session.assume(Authority::Host).await?;
        let catalog = match catalog {
            Some(catalog) => catalog,
            // What earlier migrations have made in this transaction is seen in it alone.
            None => ground.look(&mut visit.session, grant).await?,
        };
        let claim = self.claim.take();
        let entered = ground
            .enter(
                &mut visit.session,
                &mut visit.nonces,
                grant,
                catalog,
                claim.as_deref(),
            )
            .await?;
        require_direct(visit.session.route())?;
        visit.entered = Some(entered);
        if std::mem::replace(&mut self.sequel, Sequel::None) == Sequel::Expected {
            self.spare
                .prepare(&self.driver, &self.role, &ground.current.user);
        }
        visit.session.assume(authority).await
    }

    /// Turns the host's transaction, which has done nothing yet, into one on a connection of the guest's own, unless it is
    /// one; with nonces for a visit. Returns what a grant speaks of, where the host sees what the transaction will see.
    async fn open_visit(
        &mut self,
        grant: Option<&Arc<Grant>>,
    ) -> Result<Option<Catalog>, DriverError> {
        if matches!(self.transaction, Transaction::Host) {
            self.host.rollback().await?;
            self.ground().await?;
        }
        let ground = self.ground.as_ref().ok_or_else(closed)?;
        if let Transaction::Guest(visit) = &mut self.transaction {
            visit.nonces = Nonces::issue(&mut self.host, ground).await?;
            return Ok(None);
        }
        let host = &mut self.host;
        let ready = async {
            let nonces = Nonces::issue(host, ground).await?;
            let catalog = match grant {
                Some(grant) => Some(ground.look(host, grant).await?),
                None => None,
            };
            Ok::<_, DriverError>((nonces, catalog))
        };
        let (spare, driver) = (&mut self.spare, &self.driver);
        let connected = async {
            match spare.take().await {
                Some(session) => Ok(session),
                None => driver
                    .guest_link(&self.role)
                    .await
                    .map(|link| driver.session(link)),
            }
        };
        let (ready, session) = join(ready, connected).await;
        // What is wrong with the role says more than that it cannot log in.
        let (nonces, catalog) = ready?;
        let mut session = session?;
        session.begin().await?;
        self.transaction = Transaction::Guest(Box::new(Visit {
            session,
            nonces,
            entered: None,
        }));
        Ok(catalog)
    }

    /// Runs a statement of the host's or of its SQL file's in a transaction that is on the guest's connection.
    async fn run_as_host(&mut self, sql: &str) -> Result<u64, DriverError> {
        let (Some(ground), Transaction::Guest(visit)) = (&self.ground, &mut self.transaction)
        else {
            return Err(closed());
        };
        if visit.nonces.is_empty() {
            visit.nonces = Nonces::issue(&mut self.host, ground).await?;
        }
        let visit = &mut **visit;
        visit.session.check(sql).await?;
        let authority = visit.session.authority().clone();
        visit.session.assume(Authority::Host).await?;
        let claim = self.claim.take();
        let done = ground
            .run(&mut visit.session, &mut visit.nonces, claim.as_deref(), sql)
            .await;
        visit.session.assume(authority).await?;
        done
    }

    /// Ends the guest's part of a transaction.
    async fn conclude(&mut self, records: &[Statement], how: Ending) -> Result<(), CommitError> {
        let closed = || CommitError::Commit(closed());
        let Transaction::Guest(visit) = &mut self.transaction else {
            return Err(closed());
        };
        let ground = self.ground.as_ref().ok_or_else(closed)?;
        let visit = &mut **visit;
        match visit.entered.take() {
            Some(entered) => {
                ground
                    .conclude(&mut visit.session, &mut visit.nonces, entered, records, how)
                    .await
            }
            None => {
                if visit.nonces.is_empty() {
                    let issued = Nonces::issue(&mut self.host, ground).await;
                    visit.nonces = issued.map_err(CommitError::Record)?;
                }
                ground
                    .record(&mut visit.session, &mut visit.nonces, records)
                    .await
            }
        }
    }
}

fn closed() -> DriverError {
    DriverError::Closed { source: None }
}

fn refused(operation: &str, reason: &str) -> DriverError {
    DriverError::Denied {
        operation: operation.to_owned(),
        object: String::new(),
        reason: format!("with isolation = \"role\", {reason}"),
    }
}

/// The grant that the database is to enforce, where it is one.
fn enforced(authority: &Authority) -> Option<Arc<Grant>> {
    let grant = authority.grant()?;
    let is_narrowed = authority.is_guest() || !grant.is_unrestricted();
    (is_narrowed && grant.layers.database == Layer::On).then(|| Arc::clone(grant))
}

#[async_trait]
impl Session for IsolatedSession {
    fn dialect(&self) -> Dialect {
        self.host.dialect()
    }

    fn enforces(&self, authority: &Authority) -> bool {
        enforced(authority).is_some()
    }

    async fn assume(&mut self, authority: Authority) -> Result<(), DriverError> {
        if let Some(grant) = enforced(&authority) {
            return self.let_in(authority, &grant).await;
        }
        if authority == Authority::Host {
            self.host.assume(Authority::Host).await?;
            return match &mut self.transaction {
                Transaction::Guest(visit) => visit.session.assume(authority).await,
                _ => Ok(()),
            };
        }
        // A SQL file that nothing narrows.
        if self.sharing == Sharing::Shared && matches!(self.transaction, Transaction::Host) {
            self.open_visit(None).await?;
        }
        match &mut self.transaction {
            Transaction::Guest(visit) => visit.session.assume(authority).await,
            Transaction::Host => {
                self.transaction = Transaction::File;
                self.host.assume(authority).await
            }
            Transaction::None | Transaction::File => self.host.assume(authority).await,
        }
    }

    async fn begin(&mut self) -> Result<(), DriverError> {
        self.host.begin().await?;
        self.transaction = Transaction::Host;
        self.claim = None;
        Ok(())
    }

    fn will_share(&mut self) {
        self.sharing = Sharing::Shared;
    }

    fn will_begin_again(&mut self) {
        self.sequel = Sequel::Expected;
    }

    fn will_write(&mut self, table: &str) {
        self.claim = Some(table.to_owned());
        self.host.will_write(table);
    }

    async fn commit(
        &mut self,
        records: &[Statement],
        durability: Durability,
    ) -> Result<(), CommitError> {
        if !matches!(self.transaction, Transaction::Guest(_)) {
            self.transaction = Transaction::None;
            self.sharing = Sharing::Alone;
            return self.host.commit(records, durability).await;
        }
        self.sharing = Sharing::Alone;
        let concluded = self.conclude(records, Ending::Commit).await;
        let Transaction::Guest(mut visit) =
            std::mem::replace(&mut self.transaction, Transaction::None)
        else {
            return Err(CommitError::Commit(closed()));
        };
        match concluded {
            Ok(()) => visit.session.commit(&[], durability).await,
            Err(error) => {
                // The error is what there is to tell; the transaction ends with the connection at the latest.
                let _ = visit.session.rollback().await;
                Err(error)
            }
        }
    }

    async fn record(&mut self, records: &[Statement]) -> Result<(), CommitError> {
        if !matches!(self.transaction, Transaction::Guest(_)) {
            return self.host.record(records).await;
        }
        let concluded = self.conclude(records, Ending::GoOn).await;
        if concluded.is_err() {
            // As above.
            let _ = self.rollback().await;
        }
        concluded
    }

    async fn has_relations(&mut self, but: &str) -> Result<bool, DriverError> {
        self.active().has_relations(but).await
    }

    async fn touched(&mut self) -> Result<Touched, DriverError> {
        self.active().touched().await
    }

    fn default_schema(&self) -> &str {
        self.active_ref().default_schema()
    }

    async fn locks(&mut self) -> Result<Vec<RelationLock>, DriverError> {
        self.active().locks().await
    }

    async fn name_relations(
        &mut self,
        relations: &[u32],
    ) -> Result<Vec<(u32, String)>, DriverError> {
        self.active().name_relations(relations).await
    }

    async fn rollback(&mut self) -> Result<(), DriverError> {
        self.sharing = Sharing::Alone;
        match std::mem::replace(&mut self.transaction, Transaction::None) {
            // The connection goes with the transaction: nobody else meets what a migration has left on it.
            Transaction::Guest(mut visit) => visit.session.rollback().await,
            _ => self.host.rollback().await,
        }
    }

    async fn run(&mut self, sql: &str) -> Result<u64, DriverError> {
        if self.sharing == Sharing::Shared && matches!(self.transaction, Transaction::Host) {
            self.open_visit(None).await?;
        }
        match &self.transaction {
            Transaction::Guest(visit) if visit.entered.is_none() => self.run_as_host(sql).await,
            _ => self.active().run(sql).await,
        }
    }

    async fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, DriverError> {
        self.active().execute(sql, params).await
    }

    async fn will_execute_many(&mut self, sql: &str, batch: &Arc<Batch>) {
        self.active().will_execute_many(sql, batch).await;
    }

    async fn execute_many(&mut self, sql: &str, batch: &Arc<Batch>) -> Result<u64, DriverError> {
        self.active().execute_many(sql, batch).await
    }

    async fn copy_in(&mut self, to: &CopyTarget, batch: &Arc<Batch>) -> Result<u64, DriverError> {
        self.active().copy_in(to, batch).await
    }

    async fn query(
        &mut self,
        sql: &str,
        params: &[Value],
        limit: ResultLimit,
    ) -> Result<Rows, DriverError> {
        self.active().query(sql, params, limit).await
    }

    async fn query_table(
        &mut self,
        sql: &str,
        params: &[Value],
        limit: ResultLimit,
    ) -> Result<Rows, DriverError> {
        self.active().query_table(sql, params, limit).await
    }

    async fn open_cursor(&mut self, sql: &str, params: &[Value]) -> Result<CursorId, DriverError> {
        self.active().open_cursor(sql, params).await
    }

    fn cursor_columns(&self, cursor: CursorId) -> Result<Arc<[Column]>, DriverError> {
        self.active_ref().cursor_columns(cursor)
    }

    async fn fetch(
        &mut self,
        cursor: CursorId,
        max_rows: u32,
        limit: ResultLimit,
    ) -> Result<Rows, DriverError> {
        self.active().fetch(cursor, max_rows, limit).await
    }

    async fn close_cursor(&mut self, cursor: CursorId) -> Result<(), DriverError> {
        self.active().close_cursor(cursor).await
    }

    async fn savepoint(&mut self, name: &str) -> Result<(), DriverError> {
        self.active().savepoint(name).await
    }

    async fn release_savepoint(&mut self, name: &str) -> Result<(), DriverError> {
        self.active().release_savepoint(name).await
    }

    async fn rollback_to_savepoint(&mut self, name: &str) -> Result<(), DriverError> {
        self.active().rollback_to_savepoint(name).await
    }

    fn take_notices(&mut self) -> Vec<String> {
        self.active().take_notices()
    }

    fn canceller(&self) -> Arc<dyn Canceller> {
        self.active_ref().canceller()
    }
}
