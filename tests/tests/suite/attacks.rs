//! What a hostile component may try with SQL, one line an attack, held by all layers together and by each of them alone.
//!
//! `attacks/postgresql.txt` has the attacks. An attack is held when the run fails and the database is what it was.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use whimbrel::capability::{Grant, Layer, Layers};
use whimbrel::driver::{Authority, DriverError, ResultLimit, Session, Value};
use whimbrel::migration::{
    Call, Description, Fingerprint, Library, Migration, MigrationError, PrepareError,
    StatementSource, Work,
};
use whimbrel::revision::{Direction, RevisionId};
use whimbrel_tests::{Backend, Database};

use crate::staging::{Folder, driver, engine_over, up, versions};

const ATTACKS: &str = include_str!("attacks/postgresql.txt");
const SETUP: &str = include_str!("attacks/setup.sql");
const STATE: &str = include_str!("attacks/state.sql");
const GRANTED: &str = "select allowed; insert allowed; update allowed(note); delete allowed; select parted; select kin; create table tag_*";
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
    /// Something that the grant does not cover was done, or read by a run that succeeded.
    Breach(String),
}

/// A component that runs an attack, without a sandbox that might hold it.
struct Attacker {
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
        let result = match session
            .assume(Authority::Guest(Arc::clone(&call.grant)))
            .await
        {
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
}

/// Which layers are at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alone {
    All,
    Statements,
    Audit,
}

impl Alone {
    fn layers(self) -> Layers {
        match self {
            Self::All => Layers::ALL,
            Self::Statements => Layers {
                statements: Layer::On,
                ..Layers::NONE
            },
            Self::Audit => Layers {
                audit: Layer::On,
                ..Layers::NONE
            },
        }
    }

    /// Whether the table says that it holds an attack.
    fn holds(self, attack: &Attack) -> bool {
        match self {
            Self::All => true,
            Self::Statements => attack.held_by.contains('S'),
            Self::Audit => attack.held_by.contains('A'),
        }
    }
}

impl fmt::Display for Alone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::All => "all layers",
            Self::Statements => "the check of statements",
            Self::Audit => "the audit",
        })
    }
}

async fn prepare(db: &Database) {
    engine_over(driver(db), Folder::default().table("a", ""))
        .ensure_version()
        .await
        .unwrap();
    db.execute(SETUP).await;
}

async fn try_one(db: &Database, attack: &Attack, layers: Layers) -> Verdict {
    let before = db.value(STATE).await;
    let leaked = Arc::new(Mutex::new(false));
    let grant = Grant {
        layers,
        ..Grant::only(GRANTED.parse().unwrap())
    };
    let folder = Folder::default().table("a", "");
    let mut engine = engine_over(driver(db), folder);
    engine.library = Arc::new(Attacks {
        grant: Arc::new(grant),
        attacker: Arc::new(Attacker {
            statements: attack.statements.clone(),
            leaked: Arc::clone(&leaked),
        }),
    });
    let result = up(&engine, "head").await;
    let after = db.value(STATE).await;
    let at = versions(db).await;
    match result {
        Ok(_) if *leaked.lock().unwrap() => Verdict::Breach("the secret was read".to_owned()),
        Ok(_) => Verdict::Breach("the run succeeded".to_owned()),
        Err(_) if before != after => Verdict::Breach("the database has changed".to_owned()),
        Err(_) if !at.is_empty() => Verdict::Breach(format!("the versions are {at:?}")),
        Err(_) => Verdict::Held,
    }
}

fn held(major: u32, alone: Alone) {
    whimbrel_tests::run(Backend::Postgres(major), move |mut db| async move {
        prepare(&db).await;
        let mut wrong = Vec::new();
        let all = attacks();
        let names: BTreeSet<&str> = all.iter().map(|attack| attack.name).collect();
        assert_eq!(names.len(), all.len(), "each attack has a name of its own");
        for attack in &all {
            let verdict = try_one(&db, attack, alone.layers()).await;
            if (verdict == Verdict::Held) != alone.holds(attack) {
                wrong.push(format!("{}: {verdict:?}", attack.name));
            }
            if verdict != Verdict::Held {
                db = Database::create(Backend::Postgres(major)).await;
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

macro_rules! on_each {
    ($($name:ident: $alone:expr;)+) => {$(
        mod $name {
            use super::*;

            #[test]
            fn postgres_13() {
                held(13, $alone);
            }
            #[test]
            fn postgres_15() {
                held(15, $alone);
            }
            #[test]
            fn postgres_18() {
                held(18, $alone);
            }
        }
    )+};
}

on_each! {
    all_layers_hold: Alone::All;
    the_check_of_statements_holds_alone: Alone::Statements;
    the_audit_holds_alone: Alone::Audit;
}
