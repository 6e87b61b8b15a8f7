//! What a hostile component may try with SQL, one line an attack, held by all layers together and by each of them alone.
//!
//! `attacks/postgresql.txt` has the attacks. An attack is held when the run fails and the database is what it was. That each
//! of them does something where no layer is at work is a test of its own.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use whimbrel::backfill::Backfill;
use whimbrel::capability::{Grant, Layer, Layers};
use whimbrel::driver::{Authority, Driver, DriverError, ResultLimit, Session, Value};
use whimbrel::migration::{
    Call, Description, Fingerprint, Library, Migration, MigrationError, PrepareError,
    StatementSource, Work,
};
use whimbrel::revision::{Direction, RevisionId};
use whimbrel_tests::{Cluster, Database};

use crate::isolation;
use crate::staging::{Folder, driver, engine_over, up};

const ATTACKS: &str = include_str!("attacks/postgresql.txt");
const SETUP: &str = include_str!("attacks/setup.sql");
const STATE: &str = include_str!("attacks/state.sql");
const GRANTED: &str = "select allowed; insert allowed; update allowed(note); delete allowed; select parted; select kin; select people; \
     insert delayed; insert noted; create table tag_*";
/// What stands in every table that is not granted.
const SECRET: &str = "hush";
/// How long an attack may keep the server busy.
const DEADLINE: Duration = Duration::from_secs(3);

/// One line of the table.
struct Attack {
    name: &'static str,
    /// The layers that hold it alone.
    held_by: &'static str,
    statements: Vec<String>,
}

fn attacks() -> Vec<Attack> {
    let lines = ATTACKS
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let mut parts = line.split(" ¦ ");
            let mut part = || parts.next().unwrap_or_else(|| panic!("{line}"));
            Attack {
                name: part(),
                held_by: part(),
                statements: part().split(" ;; ").map(bomb).collect(),
            }
        })
        .collect()
}

/// Statements too large to be written down.
fn bomb(sql: &str) -> String {
    match sql {
        "!deep" => format!("SELECT {}1{}", "(".repeat(100_000), ")".repeat(100_000)),
        "!wide" => format!("SELECT 1{}", " + 1".repeat(1_000_000)),
        "!huge" => format!("SELECT '{}'", "x".repeat(80 << 20)),
        "!nul" => "SELECT 'a\0b', word FROM secrets".to_owned(),
        sql => sql.to_owned(),
    }
}

/// How an attack ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    /// The run failed, and nothing has changed.
    Held,
    /// The run succeeded; no secret was read.
    Passed,
    /// Something that the grant does not cover was done, or read by a run that succeeded.
    Breach(String),
}

/// Who attacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    /// A component.
    Component,
    /// A SQL file that a policy holds to a grant.
    File,
}

/// A migration that runs an attack, without a sandbox that might hold it.
struct Attacker {
    who: Who,
    statements: Vec<String>,
    leaked: Arc<Mutex<bool>>,
}

impl Attacker {
    async fn attack(&self, session: &mut dyn Session) -> Result<(), MigrationError> {
        for sql in &self.statements {
            let limit = ResultLimit {
                rows: 100_000,
                bytes: 16 << 20,
            };
            let canceller = session.canceller();
            let mut rows = None;
            {
                let query = session.query(sql, &[], limit);
                tokio::pin!(query);
                for _ in 0..2 {
                    match tokio::time::timeout(DEADLINE, &mut query).await {
                        Ok(done) => {
                            rows = Some(done);
                            break;
                        }
                        Err(_) => canceller.cancel().await,
                    }
                }
            }
            let rows = rows.unwrap_or(Err(DriverError::Cancelled));
            let rows = rows.map_err(|source| MigrationError::Statement {
                statement: Some(Box::new(StatementSource {
                    sql: sql.chars().take(200).collect(),
                    origin: None,
                })),
                source,
            })?;
            let is_secret =
                |value: &Value| matches!(value, Value::Text(text) if text.contains(SECRET));
            if rows.into_rows().iter().flatten().any(is_secret) {
                *self.leaked.lock().unwrap() = true;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Migration for Attacker {
    async fn run(
        &self,
        call: &Call,
        mut session: Box<dyn Session>,
    ) -> (Box<dyn Session>, Result<Work, MigrationError>) {
        let grant = Arc::clone(&call.grant);
        let authority = match self.who {
            Who::Component => Authority::Guest(grant),
            Who::File => Authority::File(grant),
        };
        let result = match session.assume(authority).await {
            Ok(()) => self.attack(&mut *session).await,
            Err(source) => Err(MigrationError::Statement {
                statement: None,
                source,
            }),
        };
        (session, result.map(|()| Work::default()))
    }
}

/// A library of one attack.
struct Attacks {
    grant: Arc<Grant>,
    attacker: Arc<Attacker>,
}

impl Library for Attacks {
    fn supports(&self, _: &RevisionId, _: Direction) -> bool {
        true
    }

    fn content_digest(&self, revision: &RevisionId) -> Result<String, MigrationError> {
        Ok(revision.to_string())
    }

    fn fingerprint(&self, revision: &RevisionId) -> Result<Fingerprint, MigrationError> {
        Ok(Fingerprint {
            content: revision.to_string(),
            ..Fingerprint::default()
        })
    }

    fn parameters(
        &self,
        _: &RevisionId,
    ) -> Result<Arc<serde_json::Map<String, serde_json::Value>>, MigrationError> {
        Ok(Arc::default())
    }

    fn grant(&self, _: &RevisionId) -> Result<Arc<Grant>, MigrationError> {
        Ok(Arc::clone(&self.grant))
    }

    fn describe(&self, _: &RevisionId, _: Direction) -> Result<Description, MigrationError> {
        Ok(Description::Sql(Vec::new()))
    }

    fn prepare(&self, _: &[&RevisionId], _: Direction) -> Result<(), PrepareError> {
        Ok(())
    }

    fn load(&self, _: &RevisionId) -> Result<Arc<dyn Migration>, MigrationError> {
        Ok(Arc::clone(&self.attacker) as _)
    }

    fn backfill(
        &self,
        _revision: &RevisionId,
        _direction: Direction,
    ) -> Result<Option<Arc<dyn Backfill>>, MigrationError> {
        Ok(None)
    }
}

/// Which layers are at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alone {
    All,
    Statements,
    Database,
    Audit,
    /// None, to see what an attack does.
    Nothing,
}

impl Alone {
    fn layers(self) -> Layers {
        match self {
            Self::All => Layers::ALL,
            Self::Statements => Layers {
                statements: Layer::On,
                ..Layers::NONE
            },
            Self::Database => Layers {
                database: Layer::On,
                ..Layers::NONE
            },
            Self::Audit => Layers {
                audit: Layer::On,
                ..Layers::NONE
            },
            Self::Nothing => Layers::NONE,
        }
    }

    /// Its letter in the table; none for all together.
    fn letter(self) -> Option<char> {
        match self {
            Self::All => None,
            Self::Statements => Some('S'),
            Self::Database => Some('D'),
            Self::Audit => Some('A'),
            Self::Nothing => Some('-'),
        }
    }

    /// Whether an attack ended as the table says.
    fn is_as_said(self, attack: &Attack, verdict: &Verdict) -> bool {
        let Some(letter) = self.letter() else {
            return *verdict == Verdict::Held;
        };
        let is_held = attack.held_by.contains(letter);
        let is_harmless = attack.held_by.contains(letter.to_ascii_lowercase()) && !is_held;
        match verdict {
            Verdict::Held => is_held,
            Verdict::Passed => is_harmless || !is_held,
            Verdict::Breach(_) => !is_held && !is_harmless,
        }
    }

    /// A driver that lets components in as the layers ask for.
    fn driver(self, db: &Database) -> Arc<dyn Driver> {
        match self {
            Self::All | Self::Database => isolation::driver(db),
            Self::Statements | Self::Audit | Self::Nothing => driver(db),
        }
    }
}

impl fmt::Display for Alone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::All => "all layers",
            Self::Statements => "the check of statements",
            Self::Database => "the database's own rights",
            Self::Audit => "the audit",
            Self::Nothing => "no layer",
        })
    }
}

async fn prepare(db: &Database) {
    engine_over(driver(db), Folder::default().table("a", ""))
        .ensure_version()
        .await
        .unwrap();
    db.execute(SETUP).await;
    db.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        .await;
    let guests = isolation::driver(db);
    guests.ensure_guest(&isolation::role(db)).await.unwrap();
}

/// The statements with the name of the database in them.
fn here(db: &Database, statements: &[String]) -> Vec<String> {
    let url = db.url();
    let name = url.rsplit('/').next().unwrap_or_default();
    let name = name.split('?').next().unwrap_or_default();
    let put = |sql: &String| sql.replace("{db}", &format!("\"{name}\""));
    statements.iter().map(put).collect()
}

async fn try_one(db: &Database, attack: &Attack, alone: Alone, who: Who) -> Verdict {
    let before = db.value(STATE).await;
    let leaked = Arc::new(Mutex::new(false));
    let grant = Grant {
        layers: alone.layers(),
        ..Grant::only(GRANTED.parse().unwrap())
    };
    let folder = Folder::default().table("a", "");
    let mut engine = engine_over(alone.driver(db), folder);
    engine.library = Arc::new(Attacks {
        grant: Arc::new(grant),
        attacker: Arc::new(Attacker {
            who,
            statements: here(db, &attack.statements),
            leaked: Arc::clone(&leaked),
        }),
    });
    let result = up(&engine, "head").await;
    let after = db.value(STATE).await;
    let is_there = "SELECT to_regclass('public.whimbrel_version') IS NOT NULL";
    if db.value(is_there).await != "t" {
        return Verdict::Breach("the version table is gone".to_owned());
    }
    let at = db
        .column("SELECT version_num FROM public.whimbrel_version")
        .await;
    match result {
        Ok(_) if *leaked.lock().unwrap() => Verdict::Breach("the secret was read".to_owned()),
        Ok(_) => Verdict::Passed,
        Err(_) if before != after => Verdict::Breach("the database has changed".to_owned()),
        Err(_) if !at.is_empty() => Verdict::Breach(format!("the versions are {at:?}")),
        Err(_) => Verdict::Held,
    }
}

/// Takes away what an attack that went through has left for the server as a whole, where it stands in the way.
async fn clean(db: &Database) {
    let client = db.connect_postgres().await;
    for sql in [
        "ALTER SUBSCRIPTION sneaky SET (slot_name = NONE)",
        "DROP SUBSCRIPTION sneaky",
        "ROLLBACK PREPARED 'sneaky'",
        "DROP DATABASE sneaky",
        "DROP ROLE sneaky",
        "ALTER SYSTEM RESET ALL",
        "ALTER ROLE ALL RESET ALL",
        "ALTER DATABASE postgres RESET ALL",
    ] {
        // What is not there need not be taken away.
        client.simple_query(sql).await.ok();
    }
}

fn held(major: u32, alone: Alone, who: Who) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        // Some attacks are on the server as a whole, which the other tests work with.
        let cluster = Cluster::start(major).unwrap();
        let mut db = Database::on(&cluster, major).await;
        prepare(&db).await;
        let mut wrong = Vec::new();
        let all = attacks();
        let names: BTreeSet<&str> = all.iter().map(|attack| attack.name).collect();
        assert_eq!(names.len(), all.len(), "each attack has a name of its own");
        for attack in &all {
            let is_unknown = |sql: &String| major < 15 && sql.starts_with("MERGE");
            if attack.statements.iter().any(is_unknown) {
                continue;
            }
            let verdict = try_one(&db, attack, alone, who).await;
            if !alone.is_as_said(attack, &verdict) {
                wrong.push(format!("{}: {verdict:?}", attack.name));
            }
            if verdict != Verdict::Held {
                clean(&db).await;
                db = Database::on(&cluster, major).await;
                prepare(&db).await;
            }
        }
        assert!(
            wrong.is_empty(),
            "{alone}, {} of {}:\n{}",
            wrong.len(),
            all.len(),
            wrong.join("\n")
        );
    });
}

#[test]
fn all_layers_hold_on_postgres_13() {
    held(13, Alone::All, Who::Component);
}

#[test]
fn all_layers_hold_on_postgres_15() {
    held(15, Alone::All, Who::Component);
}

#[test]
fn all_layers_hold_on_postgres_18() {
    held(18, Alone::All, Who::Component);
}

#[test]
fn the_check_of_statements_holds_alone() {
    held(18, Alone::Statements, Who::Component);
}

#[test]
fn the_database_holds_alone() {
    held(13, Alone::Database, Who::Component);
}

#[test]
fn the_audit_holds_alone() {
    held(15, Alone::Audit, Who::Component);
}

#[test]
fn nothing_holds_without_them() {
    held(15, Alone::Nothing, Who::Component);
}

/// The database knows no difference between a file and the user whose migrations they are.
#[test]
fn the_check_of_statements_holds_files_alone() {
    held(15, Alone::Statements, Who::File);
}
