//! What the checks of grants cost: the migrations of a project with all layers at work, and with none. The arguments are
//! the URL of a PostgreSQL database that may be emptied, the folder of the project, and how often each is run. For each
//! revision it prints its id, and the medians with and without the checks in milliseconds.
//!
//! The first revision makes what the others work on, and is not measured.

#![expect(clippy::print_stdout, reason = "what is printed is the result")]

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use camino::Utf8Path;
use serde_json::{Map, Value};
use whimbrel::backfill::Backfill;
use whimbrel::capability::{Grant, Layers, Reach};
use whimbrel::config::{Root, VersionTable};
use whimbrel::driver::{self, RunLockKind, Settings};
use whimbrel::migration::{
    Description, Fingerprint, Library, Migration, MigrationError, PrepareError,
};
use whimbrel::project::{Project, RunOptions};
use whimbrel::revision::{Direction, RevisionId};
use whimbrel::target::Target;

/// What the SQL files of the project may do while they are checked.
const GRANTED: &str = "select people(id); update people(note)";

/// Whether the layers are at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Checks {
    On,
    Off,
}

fn main() -> Result<(), Box<dyn Error>> {
    // Cargo adds `--bench` to them.
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let [url, folder, rounds] = arguments.as_slice() else {
        // Cargo runs benches without arguments to see whether they start.
        return Ok(());
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(measure(url, Utf8Path::new(folder), rounds.parse()?))
}

async fn measure(url: &str, folder: &Utf8Path, rounds: usize) -> Result<(), Box<dyn Error>> {
    let mut taken: BTreeMap<(RevisionId, Checks), Vec<Duration>> = BTreeMap::new();
    for round in 0..rounds {
        let mut order = [Checks::On, Checks::Off];
        if round % 2 == 1 {
            order.reverse();
        }
        for checks in order {
            for (revision, duration) in run(url, folder, checks).await? {
                taken.entry((revision, checks)).or_default().push(duration);
            }
        }
    }
    let mut median = |revision: &RevisionId, checks| {
        let times = taken.get_mut(&(revision.clone(), checks))?;
        times.sort();
        times.get(times.len() / 2).copied()
    };
    for revision in revisions(folder)? {
        if let Some((on, off)) = median(&revision, Checks::On).zip(median(&revision, Checks::Off)) {
            let milliseconds = |duration: Duration| duration.as_secs_f64() * 1e3;
            println!(
                "checked {revision} {:.1} {:.1}",
                milliseconds(on),
                milliseconds(off)
            );
        }
    }
    Ok(())
}

fn project(folder: &Utf8Path) -> Result<Arc<Project>, Box<dyn Error>> {
    let root = Arc::new(Root::open(folder)?);
    Ok(Arc::new(Project::read(root, Utf8Path::new("migrations"))?))
}

fn revisions(folder: &Utf8Path) -> Result<Vec<RevisionId>, Box<dyn Error>> {
    let project = project(folder)?;
    let graph = project.graph();
    Ok(graph
        .positions()
        .map(|at| graph.revision(at).id.clone())
        .collect())
}

async fn run(
    url: &str,
    folder: &Utf8Path,
    checks: Checks,
) -> Result<Vec<(RevisionId, Duration)>, Box<dyn Error>> {
    let table = VersionTable::default();
    let settings = Settings {
        lock_timeout: Duration::from_secs(3),
        version_table: table.to_string(),
        run_lock: RunLockKind::Auto,
        isolation: whimbrel::driver::Isolation::None,
    };
    let driver = driver::open(url, folder, &settings)?;
    let mut session = driver.connect().await?;
    session
        .run("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        .await?;
    drop(session);
    let mut engine = project(folder)?.engine(driver, &table, RunOptions::default());
    engine.library = Arc::new(Checked {
        library: Arc::clone(&engine.library),
        checks,
    });
    let report = engine.run(&Target::HEAD, Direction::Upgrade).await?;
    let measured = report.steps.into_iter().skip(1);
    Ok(measured
        .map(|step| (step.revision, step.duration))
        .collect())
}

/// The code of another library, with other grants.
struct Checked {
    library: Arc<dyn Library>,
    checks: Checks,
}

impl Library for Checked {
    fn supports(&self, revision: &RevisionId, direction: Direction) -> bool {
        self.library.supports(revision, direction)
    }

    fn content_digest(&self, revision: &RevisionId) -> Result<String, MigrationError> {
        self.library.content_digest(revision)
    }

    fn fingerprint(&self, revision: &RevisionId) -> Result<Fingerprint, MigrationError> {
        self.library.fingerprint(revision)
    }

    fn parameters(&self, revision: &RevisionId) -> Result<Arc<Map<String, Value>>, MigrationError> {
        self.library.parameters(revision)
    }

    fn grant(&self, revision: &RevisionId) -> Result<Arc<Grant>, MigrationError> {
        let grant = (*self.library.grant(revision)?).clone();
        let is_first = revision.as_str() == "000000000001";
        let reach = match grant.reach {
            Reach::Everything if !is_first => {
                Reach::Only(GRANTED.parse().map_err(|error| MigrationError::Admission {
                    reasons: vec![format!("{error}")],
                })?)
            }
            reach => reach,
        };
        Ok(Arc::new(match self.checks {
            Checks::On => Grant { reach, ..grant },
            Checks::Off => Grant {
                reach: Reach::Everything,
                layers: Layers::NONE,
                ..grant
            },
        }))
    }

    fn describe(
        &self,
        revision: &RevisionId,
        direction: Direction,
    ) -> Result<Description, MigrationError> {
        self.library.describe(revision, direction)
    }

    fn prepare(&self, revisions: &[&RevisionId], direction: Direction) -> Result<(), PrepareError> {
        self.library.prepare(revisions, direction)
    }

    fn load(&self, revision: &RevisionId) -> Result<Arc<dyn Migration>, MigrationError> {
        self.library.load(revision)
    }

    fn backfill(
        &self,
        _revision: &RevisionId,
        _direction: Direction,
    ) -> Result<Option<Arc<dyn Backfill>>, MigrationError> {
        Ok(None)
    }
}
