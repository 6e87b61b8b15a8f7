//! A component as a migration.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;

use super::admission::{Wasi, refuse};
use super::backfill_bindings::BackfillPre;
use super::bindings::MigrationPre;
use super::guest::Guest;
use super::runtime::{Runtime, Sandbox};
use super::trap::{Ending as Exit, explain};
use super::watch::Watch;
use crate::capability::Limits;
use crate::digest::Digest;
use crate::driver::{Authority, Session};
use crate::journal::{Ending, Journal, Recorded, Recording, Replay, Replayed, Told};
use crate::migration::{Call, Cancel, Level, Listener, Migration, MigrationError, Work};
use crate::revision::{Direction, RevisionId};

/// What reads a component's bytes, when the cache does not have its compiled code.
pub type ReadComponent = Arc<dyn Fn() -> std::io::Result<Arc<[u8]>> + Send + Sync>;

/// A component that is ready to run, by what it exports.
pub(super) enum Linked {
    /// The world `migration`.
    Migration(MigrationPre<Guest>),
    /// The world `backfill`.
    Backfill(BackfillPre<Guest>),
}

/// A migration whose code is a component.
pub struct ComponentMigration {
    runtime: Runtime,
    digest: Digest,
    read: ReadComponent,
    wasi: Wasi,
    limits: Limits,
    journal: Option<Journal>,
    linked: OnceLock<Linked>,
    /// Held while it is loaded, so that two threads do not both do it.
    loading: Mutex<()>,
}

impl ComponentMigration {
    /// The component whose bytes have this digest. They are only read when they must be compiled; bytes of another
    /// digest are then refused.
    pub fn new(
        runtime: &Runtime,
        digest: Digest,
        read: ReadComponent,
        wasi: Wasi,
        limits: Limits,
    ) -> Self {
        Self {
            runtime: runtime.clone(),
            digest,
            read,
            wasi,
            limits,
            journal: None,
            linked: OnceLock::new(),
            loading: Mutex::default(),
        }
    }

    /// The component with these bytes.
    pub fn from_bytes(
        runtime: &Runtime,
        bytes: impl Into<Arc<[u8]>>,
        wasi: Wasi,
        limits: Limits,
    ) -> Self {
        let bytes = bytes.into();
        let digest = Digest::of(&bytes);
        Self::new(
            runtime,
            digest,
            Arc::new(move || Ok(Arc::clone(&bytes))),
            wasi,
            limits,
        )
    }

    /// The same, with all that it is told and answered written down.
    pub fn with_journal(self, journal: Option<Journal>) -> Self {
        Self { journal, ..self }
    }

    /// The digest of the component's bytes.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Checks, without running any of it, that the component can be loaded; compiles it where needed.
    ///
    /// # Errors
    /// [`MigrationError::Admission`] says why it cannot.
    pub fn load(&self) -> Result<(), MigrationError> {
        self.linked(self.runtime.sandbox()?).map(|_| ())
    }

    /// Compiles the component into the cache and makes it ready to run.
    pub(super) fn compile(&self, sandbox: &Sandbox) -> Result<(), MigrationError> {
        let bytes = (self.read)().map_err(|error| refuse(format!("it cannot be read: {error}")))?;
        if Digest::of(&bytes) != self.digest {
            return Err(refuse(format!(
                "its bytes have changed since they were checked: they are no longer those of {}",
                self.digest
            )));
        }
        super::admission::admit(&super::admission::interface(&bytes)?, self.wasi)?;
        super::admission::size::check(&bytes)?;
        let component = sandbox.compile(&self.digest, &bytes)?;
        let linked = sandbox.link(&component, self.wasi)?;
        self.linked.get_or_init(|| linked);
        Ok(())
    }

    fn linked(&self, sandbox: &Sandbox) -> Result<&Linked, MigrationError> {
        let _turn = match self.linked.get() {
            Some(linked) => return Ok(linked),
            None => self.loading.lock().unwrap_or_else(PoisonError::into_inner),
        };
        if self.linked.get().is_none() {
            let cached = sandbox
                .cache
                .as_ref()
                .ok()
                .and_then(|cache| cache.load(sandbox.engine(), &self.digest));
            match cached {
                Some(component) => {
                    let linked = sandbox.link(&component, self.wasi)?;
                    self.linked.get_or_init(|| linked);
                }
                None => self.compile(sandbox)?,
            }
        }
        let missing = || refuse("it was compiled but cannot be found".to_owned());
        self.linked.get().ok_or_else(missing)
    }

    /// What it runs in, and itself as it is run there.
    pub(super) fn ready(&self) -> Result<(&Sandbox, &Linked), MigrationError> {
        let sandbox = self.runtime.sandbox()?;
        Ok((sandbox, self.linked(sandbox)?))
    }

    /// What it may use.
    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    /// What it gets of WASI.
    pub(super) fn wasi(&self) -> Wasi {
        self.wasi
    }

    async fn call(
        &self,
        call: &Call,
        session: Box<dyn Session>,
    ) -> (Box<dyn Session>, Result<Work, MigrationError>) {
        let (sandbox, linked) = match self.ready().and_then(only_migration) {
            Ok(ready) => ready,
            Err(error) => return (session, Err(error)),
        };
        if let Some(warning) = self.runtime.cache_warning_once() {
            call.listener.log(Level::Warn, &warning);
        }
        let recording = self
            .journal
            .as_ref()
            .map(|journal| journal.record(Told::new(call, self.digest.to_string())));
        let (session, recording, worked, fuel) = self
            .enter(call, session, recording, sandbox, linked, self.limits)
            .await;
        let written = match recording {
            Some(recording) => recording.end(Ending::new(fuel, &worked)),
            None => Ok(()),
        };
        // What the call failed with comes before a journal that lacks it.
        (session, worked.and_then(|work| written.map(|()| work)))
    }

    /// Runs one direction in a store of its own; also returns the fuel that it used.
    async fn enter(
        &self,
        call: &Call,
        session: Box<dyn Session>,
        recording: Option<Recording>,
        sandbox: &Sandbox,
        linked: &MigrationPre<Guest>,
        limits: Limits,
    ) -> (
        Box<dyn Session>,
        Option<Recording>,
        Result<Work, MigrationError>,
        u64,
    ) {
        let canceller = session.canceller();
        let watch = Watch::new(call.cancel.clone(), &limits);
        let mut store = Guest::store(sandbox, call, limits, self.wasi, &watch, session, recording);
        let entered = async {
            store.set_fuel(limits.fuel)?;
            let instance = linked.instantiate_async(&mut store).await?;
            match call.direction {
                Direction::Upgrade => instance.call_upgrade(&mut store).await,
                Direction::Downgrade => instance.call_downgrade(&mut store).await,
            }
        };
        let outcome = watch.over(entered, canceller.as_ref()).await;
        let fuel = limits
            .fuel
            .saturating_sub(store.get_fuel().unwrap_or_default());
        let mut guest = store.into_data();
        let worked = match outcome {
            Some(Ok(Ok(()))) => guest.concluded().await,
            Some(Ok(Err(error))) => Err(explain(Exit::Error(Box::new(error)), &guest)),
            Some(Err(trap)) => Err(explain(Exit::Trap(trap), &guest)),
            None => Err(explain(Exit::Dropped, &guest)),
        };
        let (session, recording) = guest.loan.give_back();
        (session, recording, worked, fuel)
    }

    /// Runs a call again over the journal that it left, without a database.
    ///
    /// # Errors
    /// [`MigrationError::Admission`] when the component cannot be loaded, or the journal has no call of a migration.
    pub async fn replay(&self, recorded: &Recorded) -> Result<Replayed, MigrationError> {
        let told = &recorded.told;
        let nonsense = |what| refuse(format!("the journal has {what} that makes no sense"));
        let call = Call {
            revision: RevisionId::new(&told.revision).map_err(|_| nonsense("a revision"))?,
            direction: told.direction,
            run: uuid::Uuid::nil(),
            dialect: told.dialect,
            now: Timestamp::from_microsecond(told.now).map_err(|_| nonsense("a time"))?,
            seed: told.seed,
            parameters: Arc::new(told.parameters.clone()),
            is_offline: told.is_offline,
            grant: Arc::default(),
            cancel: Cancel::default(),
            listener: Arc::new(Silence),
        };
        let mut limits = self.limits;
        if let Some(ending) = recorded.ending.as_ref().filter(|ending| ending.is_stopped) {
            // Nobody stops it this time.
            limits.fuel = limits.fuel.min(ending.fuel.saturating_add(1));
        }
        let (sandbox, linked) = self.ready().and_then(only_migration)?;
        let replay = Replay::new(recorded.clone());
        let session = Box::new(replay.clone());
        let (_, _, worked, fuel) = self
            .enter(&call, session, None, sandbox, linked, limits)
            .await;
        let is_same_component = told.component == self.digest.to_string();
        Ok(replay.conclude(Ending::new(fuel, &worked), is_same_component))
    }
}

fn only_migration<'a>(
    (sandbox, linked): (&'a Sandbox, &'a Linked),
) -> Result<(&'a Sandbox, &'a MigrationPre<Guest>), MigrationError> {
    match linked {
        Linked::Migration(linked) => Ok((sandbox, linked)),
        Linked::Backfill(_) => Err(refuse(
            "it is a backfill, and cannot be run as a migration: its manifest says `transaction = \"batches\"`"
                .to_owned(),
        )),
    }
}

/// Hears nothing of what a migration says.
struct Silence;

impl Listener for Silence {
    fn log(&self, _: Level, _: &str) {}
    fn progress(&self, _: u64, _: Option<u64>) {}
}

#[async_trait]
impl Migration for ComponentMigration {
    async fn run(
        &self,
        call: &Call,
        mut session: Box<dyn Session>,
    ) -> (Box<dyn Session>, Result<Work, MigrationError>) {
        let unusable = |source| {
            Err(MigrationError::Statement {
                statement: None,
                source,
            })
        };
        if call.cancel.is_requested() {
            return (session, Err(MigrationError::Cancelled));
        }
        if let Err(source) = session
            .assume(Authority::Guest(Arc::clone(&call.grant)))
            .await
        {
            return (session, unusable(source));
        }
        let (mut session, worked) = self.call(call, session).await;
        match (session.assume(Authority::Host).await, worked) {
            (Err(source), Ok(_)) => (session, unusable(source)),
            (_, worked) => (session, worked),
        }
    }
}

impl fmt::Debug for ComponentMigration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ComponentMigration")
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}
