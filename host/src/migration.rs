//! What the engine asks of a migration, whatever it is made of.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use camino::Utf8PathBuf;
use jiff::Timestamp;
use thiserror::Error;

use crate::backfill::Backfill;
use crate::capability::Grant;
use crate::driver::{DatabaseError, Dialect, DriverError, Session};
use crate::revision::{Direction, RevisionId};
use crate::sql::{Location, SplitError};

/// The code of a revision.
#[async_trait]
pub trait Migration: Send + Sync {
    /// Runs the migration in one direction.
    ///
    /// The engine has begun the transaction and will end it; the migration only issues statements. It is called
    /// again from the start, in a new transaction, when its failure [is transient](MigrationError::is_transient),
    /// so that it keeps no state between calls.
    ///
    /// The session belongs to the migration for the time of the call, and comes back whatever happens. When the
    /// future is dropped the session is dropped with it.
    async fn run(
        &self,
        call: &Call,
        session: Box<dyn Session>,
    ) -> (Box<dyn Session>, Result<Work, MigrationError>);
}

/// What identifies the code of a revision: SHA-256 in lower-case hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fingerprint {
    /// Of what runs: the component, or the SQL text with its line endings normalised.
    pub content: String,
    /// Of the source that a component was built from.
    pub source: Option<String>,
    /// Of the resolved parameters.
    pub parameters: Option<String>,
}

/// Where the engine gets the code of revisions from.
pub trait Library: Send + Sync {
    /// Whether the revision can go in this direction; a downgrade that was never written cannot.
    fn supports(&self, revision: &RevisionId, direction: Direction) -> bool;

    /// The SHA-256 of what runs: the first part of the [fingerprint](Library::fingerprint), which costs less alone.
    ///
    /// # Errors
    /// [`MigrationError::Admission`] when the code cannot be read.
    fn content_digest(&self, revision: &RevisionId) -> Result<String, MigrationError>;

    /// What identifies the revision's code.
    ///
    /// # Errors
    /// [`MigrationError::Admission`] when the code cannot be read.
    fn fingerprint(&self, revision: &RevisionId) -> Result<Fingerprint, MigrationError>;

    /// The parameters of the run over those of the revision.
    ///
    /// # Errors
    /// [`MigrationError::Admission`] when a parameter of the run is not of the type that the revision declares.
    fn parameters(
        &self,
        revision: &RevisionId,
    ) -> Result<Arc<serde_json::Map<String, serde_json::Value>>, MigrationError>;

    /// What the revision may do to the database.
    ///
    /// # Errors
    /// [`MigrationError::Admission`] when there is no such revision, or when it may not run at all.
    fn grant(&self, revision: &RevisionId) -> Result<Arc<Grant>, MigrationError>;

    /// What can be told of the revision's code without running it.
    ///
    /// # Errors
    /// [`MigrationError::Script`] when a file cannot be cut into statements, [`MigrationError::Admission`] when there is
    /// no such revision.
    fn describe(
        &self,
        revision: &RevisionId,
        direction: Direction,
    ) -> Result<Description, MigrationError>;

    /// What the revision asks for, and what would keep it from running now.
    fn standing(&self, _revision: &RevisionId, _direction: Direction) -> Standing {
        Standing::default()
    }

    /// Makes ready what is about to run: builds it where that is due, and compiles it on all cores.
    ///
    /// # Errors
    /// The first revision that cannot be made ready, with the reason.
    fn prepare(&self, revisions: &[&RevisionId], direction: Direction) -> Result<(), PrepareError>;

    /// The revision as a backfill, where this direction of it is one.
    ///
    /// # Errors
    /// [`MigrationError::Admission`] when its code cannot be read.
    fn backfill(
        &self,
        revision: &RevisionId,
        direction: Direction,
    ) -> Result<Option<Arc<dyn Backfill>>, MigrationError>;

    /// Says that a migration will be loaded soon, which may be begun on another thread now. What fails is told when it
    /// is loaded.
    fn load_ahead(&self, _revision: &RevisionId) {}

    /// The code of a revision.
    ///
    /// # Errors
    /// [`MigrationError::Admission`] when it cannot be loaded.
    fn load(&self, revision: &RevisionId) -> Result<Arc<dyn Migration>, MigrationError>;
}

/// What a revision asks for, and what becomes of that.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// What it asks for, a capability each; none where it does not say.
    pub request: Option<Vec<String>>,
    /// What keeps it from running, in a sentence each.
    pub obstacles: Vec<String>,
}

/// What can be told of a revision's code without running it.
#[derive(Debug, Clone)]
pub enum Description {
    /// The statements of a SQL file, in their order.
    Sql(Vec<StatementSource>),
    /// A component.
    Component {
        /// What it is written in, where it is built from source.
        language: Option<String>,
        /// The interfaces that it imports, which is all that it could ever ask for; or why it cannot be read.
        imports: Result<Vec<String>, MigrationError>,
        /// Whether it is built from the source that lies beside it now, so that this is what would run.
        freshness: Freshness,
    },
}

/// Whether a component is built from the source that lies beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// It is, or there is no source.
    Fresh,
    /// It would be built anew before it runs.
    Stale,
}

/// Why the code of a revision is not ready to run.
#[derive(Debug, Error)]
pub enum PrepareError {
    /// It cannot be loaded.
    #[error("revision {revision} cannot be loaded")]
    Load {
        /// The revision.
        revision: RevisionId,
        /// Why.
        #[source]
        source: Box<MigrationError>,
    },
    /// It is not what was approved.
    #[error("revision {revision} may not run: {reason}")]
    Refused {
        /// The revision.
        revision: RevisionId,
        /// Why.
        reason: String,
        /// What to do about it.
        remedy: String,
    },
    /// It could not be built, or what was built could not be kept.
    #[error(transparent)]
    Build(Arc<dyn std::error::Error + Send + Sync>),
}

/// What one call of a migration is told.
#[derive(Clone)]
pub struct Call {
    /// The revision.
    pub revision: RevisionId,
    /// The direction.
    pub direction: Direction,
    /// The run it belongs to.
    pub run: uuid::Uuid,
    /// The dialect of the session.
    pub dialect: Dialect,
    /// The time of the run: the same at every call.
    pub now: Timestamp,
    /// Eight bytes derived from run and revision, to seed a generator with.
    pub seed: [u8; 8],
    /// The parameters of the run (`-x`) over those of the revision, as JSON values by name.
    pub parameters: Arc<serde_json::Map<String, serde_json::Value>>,
    /// Whether a script is being written, so that there is nothing to read from.
    pub is_offline: bool,
    /// What it may do to the database.
    pub grant: Arc<Grant>,
    /// Set when the user wants the run to stop.
    pub cancel: Cancel,
    /// Where the migration's log lines and progress go.
    pub listener: Arc<dyn Listener>,
}

/// How serious a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// For whoever debugs the migration.
    Debug,
    /// Worth knowing.
    Info,
    /// Something to look at.
    Warn,
    /// Something went wrong.
    Error,
}

/// Receives what a migration says while it runs. Called on the thread that runs it; must return soon.
pub trait Listener: Send + Sync {
    /// A line of log; already sanitised.
    fn log(&self, level: Level, message: &str);
    /// How far the migration is, of how much where that is known.
    fn progress(&self, done: u64, total: Option<u64>);
}

/// A request to stop, shared by whoever may ask and whoever must obey. Cloning shares it.
#[derive(Clone, Default)]
pub struct Cancel(Arc<CancelState>);

#[derive(Default)]
struct CancelState {
    requested: std::sync::atomic::AtomicBool,
    notify: tokio::sync::Notify,
}

impl Cancel {
    /// Asks to stop; from any thread.
    pub fn request(&self) {
        self.0
            .requested
            .store(true, std::sync::atomic::Ordering::SeqCst);
        self.0.notify.notify_waiters();
    }

    /// Whether someone asked.
    pub fn is_requested(&self) -> bool {
        self.0.requested.load(std::sync::atomic::Ordering::SeqCst)
    }

    /// Returns when someone has asked.
    pub async fn requested(&self) {
        let notified = self.0.notify.notified();
        tokio::pin!(notified);
        notified.as_mut().enable();
        if self.is_requested() {
            return;
        }
        notified.await;
    }
}

/// What a call did, as far as it is worth counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Work {
    /// Statements that ran.
    pub statements: u64,
    /// Rows that they touched.
    pub rows: u64,
}

impl std::ops::AddAssign for Work {
    fn add_assign(&mut self, other: Self) {
        self.statements += other.statements;
        self.rows += other.rows;
    }
}

/// A statement as an error shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementSource {
    /// The text that was sent.
    pub sql: String,
    /// The file it stands in and where it starts there, where it comes from a file.
    pub origin: Option<(Utf8PathBuf, Location)>,
}

/// What a guest says when it gives up by itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Failure {
    /// What went wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Where in the guest's source, in the form of its language.
    pub trace: Option<String>,
    /// The database error behind it.
    pub cause: Option<DatabaseError>,
    /// The statement that `cause` came from, where it is known.
    pub statement: Option<StatementSource>,
}

/// Why a call of a migration failed. What the guest did wrong and what happened to the host are apart.
#[derive(Debug, Clone, Error)]
pub enum MigrationError {
    /// The database, or the session's authority, refused a statement.
    #[error("a statement failed")]
    Statement {
        /// Which one, where known.
        statement: Option<Box<StatementSource>>,
        /// Why.
        #[source]
        source: DriverError,
    },
    /// The SQL of a file cannot be cut into statements; nothing of it ran.
    #[error("{path} cannot be read as SQL")]
    Script {
        /// The file.
        path: Utf8PathBuf,
        /// Why, with the line in the file.
        #[source]
        source: SplitError,
    },
    /// The migration gave up by itself.
    #[error("{}", .0.message)]
    Failed(Box<Failure>),
    /// The guest's code trapped.
    #[error("the guest trapped: {message}")]
    Trap {
        /// The panic message of the guest, or else the name of the trap.
        message: String,
        /// The guest's frames from the innermost, where names are known.
        backtrace: Vec<String>,
        /// The statement that the guest ran last, where one explains the trap.
        source: Option<DriverError>,
    },
    /// It hit a limit of its own or of the policy.
    #[error("the migration exceeded its limit of {limit} {unit} ({what})")]
    Limit {
        /// The name of the limit as manifests and policies spell it (`memory`, `fuel`, `time`).
        what: &'static str,
        /// Its value.
        limit: u64,
        /// The unit of the value.
        unit: &'static str,
    },
    /// The component cannot be loaded: it is not a component, asks for what the host does not offer, or lacks an export.
    #[error("the component cannot be loaded: {}", reasons.join("; "))]
    Admission {
        /// Why, in one sentence each.
        reasons: Vec<String>,
    },
    /// The transaction did what is not granted; it is rolled back.
    #[error("the transaction did what is not granted: {}", differences.join("; "))]
    Audit {
        /// Each thing that it did, with what is granted instead.
        differences: Vec<String>,
    },
    /// The migration left something undone (an open savepoint).
    #[error("{0}")]
    Unfinished(String),
    /// The user asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl MigrationError {
    /// Whether running the whole call again in a new transaction may help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Statement { source, .. } => source.is_transient(),
            Self::Failed(failure) => failure
                .cause
                .as_ref()
                .is_some_and(|cause| DriverError::Database(Box::new(cause.clone())).is_transient()),
            Self::Trap {
                source: Some(source),
                ..
            } => source.is_transient(),
            _ => false,
        }
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("revision", &self.revision)
            .field("direction", &self.direction)
            .finish_non_exhaustive()
    }
}
