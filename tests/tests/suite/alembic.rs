//! Whimbrel beside Alembic: the same graphs and the same commands, each on a SQLite database of its own. After every
//! command, success or failure must agree, and so must the version table's rows and what is applied.
//!
//! `WHIMBREL_TEST_SEED` makes other cases; a case that fails is shrunk to a small one and printed.

mod cases;
mod oracle;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use whimbrel::engine::{Engine, Stamping};
use whimbrel::graph::Graph;
use whimbrel::revision::Direction;
use whimbrel::target::Target;
use whimbrel_tests::Database;

use crate::staging::{Folder, engine};
use cases::{Case, Command, Node, Verb, cases};
use oracle::{Answer, Oracle, State};

/// How many commands each test runs at least.
const COMMANDS: u32 = 1_300;
const COMMANDS_PER_CASE: usize = 30;

/// How many commands came out how.
#[derive(Debug, Default, Clone)]
struct Tally {
    commands: u32,
    done: u32,
    refused: u32,
    /// Where the two differ, and it is known why.
    crashed: u32,
    redundant: u32,
    lost: u32,
    unresolved: u32,
}

/// Where the two may differ.
enum Difference {
    /// Alembic raised an error that it did not mean to raise, and Whimbrel does what was asked.
    Crashed,
    /// Alembic's version table has a row that another one implies, after which it refuses to upgrade.
    Redundant,
    /// Alembic's version table lacks one of several revisions that were to be stamped.
    Lost,
    /// Alembic does not look at the branch that is named: in a downgrade that has one way to go and in a stamp of an empty
    /// database, where Whimbrel finds no such branch; in a stamp by the start of an id, where Whimbrel takes the one on it.
    Unresolved,
}

#[test]
fn agrees_on_the_first_quarter() {
    agree(0);
}

#[test]
fn agrees_on_the_second_quarter() {
    agree(1);
}

#[test]
fn agrees_on_the_third_quarter() {
    agree(2);
}

#[test]
fn agrees_on_the_last_quarter() {
    agree(3);
}

#[expect(
    clippy::print_stderr,
    reason = "`--nocapture` shows what the comparison covered"
)]
fn agree(part: u64) {
    let seed: u64 = match std::env::var("WHIMBREL_TEST_SEED") {
        Ok(seed) => seed.parse().expect("WHIMBREL_TEST_SEED is a number"),
        Err(_) => 20,
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&part.to_le_bytes());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let oracle = RefCell::new(Oracle::start());
    let tally = RefCell::new(Tally::default());
    let failed = Cell::new(false);
    let mut case = 0u64;
    while tally.borrow().commands < COMMANDS {
        bytes[16..24].copy_from_slice(&case.to_le_bytes());
        case += 1;
        let config = Config {
            cases: 1,
            failure_persistence: None,
            max_shrink_iters: 2_000,
            ..Config::default()
        };
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let outcome =
            TestRunner::new_with_rng(config, rng).run(&cases(COMMANDS_PER_CASE), |case| {
                let mut counted = Tally::default();
                let outcome =
                    runtime.block_on(compare(&case, &mut oracle.borrow_mut(), &mut counted));
                // What is tried to find a smaller case does not count.
                if !failed.get() {
                    tally.borrow_mut().add(&counted);
                }
                failed.set(failed.get() || outcome.is_err());
                outcome.map_err(TestCaseError::fail)
            });
        if let Err(TestError::Fail(reason, case)) = outcome {
            panic!("seed {seed}, part {part}: {reason}\n{case:?}");
        }
    }
    let tally = tally.into_inner();
    eprintln!("seed {seed}, part {part}: {tally:?}");
    assert!(
        tally.done * 3 > tally.commands,
        "too few commands do anything: {tally:?}"
    );
    assert!(
        tally.refused * 10 > tally.commands,
        "too few commands are refused: {tally:?}"
    );
    let known = tally.crashed + tally.redundant + tally.lost + tally.unresolved;
    assert!(known * 20 < tally.commands, "too many differ: {tally:?}");
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.commands += other.commands;
        self.done += other.done;
        self.refused += other.refused;
        self.crashed += other.crashed;
        self.redundant += other.redundant;
        self.lost += other.lost;
        self.unresolved += other.unresolved;
    }
}

async fn compare(case: &Case, oracle: &mut Oracle, tally: &mut Tally) -> Result<(), String> {
    let db = Database::sqlite();
    db.execute("CREATE TABLE applied (id text PRIMARY KEY)")
        .await;
    let engine = engine(&db, folder(&case.graph));
    oracle.begin(&case.graph);
    for command in &case.commands {
        if command.verb == Verb::Downgrade {
            // From several heads, the first of the table is meant: in the same order for both.
            oracle.set(&state_in_order(&db).await);
        }
        let ours = run(&engine, command).await;
        let state = state(&db).await;
        let theirs = oracle.run(command);
        tally.commands += 1;
        match difference(&engine.graph, command, &ours, &state, &theirs) {
            Ok(None) => match ours {
                Ok(_) => tally.done += 1,
                Err(_) => tally.refused += 1,
            },
            Ok(Some(known)) => {
                match known {
                    Difference::Crashed => tally.crashed += 1,
                    Difference::Redundant => tally.redundant += 1,
                    Difference::Lost => tally.lost += 1,
                    Difference::Unresolved => tally.unresolved += 1,
                }
                oracle.set(&state);
            }
            Err(why) => {
                return Err(format!(
                    "`{command}`: {why}\n  ours: {ours:?} {state:?}\n  theirs: {theirs:?}"
                ));
            }
        }
    }
    Ok(())
}

/// Whether a command counted from one of several heads that it did not name, or why it failed.
async fn run(engine: &Engine, command: &Command) -> Result<bool, String> {
    let targets = command
        .targets
        .iter()
        .map(|target| target.parse())
        .collect::<Result<Vec<Target>, _>>()
        .map_err(|error| error.to_string())?;
    let direction = match command.verb {
        Verb::Upgrade => Direction::Upgrade,
        Verb::Downgrade => Direction::Downgrade,
        Verb::Stamp => {
            let stamped = engine.stamp(&targets, Stamping::Move).await;
            return stamped
                .map(|_| false)
                .map_err(|failure| failure.cause.to_string());
        }
    };
    let failed = |failure: whimbrel::engine::RunFailure| failure.cause.to_string();
    let plan = engine.plan(&targets[0], direction).await.map_err(failed)?;
    let report = engine.run(&targets[0], direction).await.map_err(failed)?;
    assert_eq!(report.steps.len(), plan.steps.len());
    Ok(plan.assumed.is_some())
}

/// How the two differ, if that is known.
fn difference(
    graph: &Graph,
    command: &Command,
    ours: &Result<bool, String>,
    state: &State,
    theirs: &Answer,
) -> Result<Option<Difference>, &'static str> {
    match (ours, &theirs.error) {
        (Err(why), None) => {
            let branches = command
                .targets
                .iter()
                .filter_map(|target| target.parse::<Target>().ok()?.branch);
            let unresolved = branches.into_iter().any(|branch| {
                why.starts_with(&format!("no revision is called `{branch}`"))
                    || why.starts_with(&format!("`{branch}` is the start of"))
            });
            if command.verb != Verb::Upgrade && unresolved {
                return Ok(Some(Difference::Unresolved));
            }
            return Err("Alembic does it");
        }
        (Ok(_), Some(_)) if theirs.crashed => return Ok(Some(Difference::Crashed)),
        (Ok(_), Some(why))
            if command.verb == Verb::Stamp
                && why.starts_with("Can't locate revision identified by")
                && command.targets.iter().any(|target| target.contains('@')) =>
        {
            return Ok(Some(Difference::Unresolved));
        }
        (Ok(_), Some(_)) => return Err("Alembic refuses it"),
        (Err(_), Some(_)) if *state == theirs.state => return Ok(None),
        (Err(_), Some(_)) if theirs.crashed => return Ok(Some(Difference::Crashed)),
        (Err(_), Some(_)) => return Err("a refused command changed something"),
        (Ok(warned), None) if *warned != theirs.warned => {
            return Err("only one of them calls it ambiguous");
        }
        (Ok(_), None) => {}
    }
    if *state == theirs.state {
        return Ok(None);
    }
    let minimal = without_implied(graph, &theirs.state.rows);
    if minimal == state.rows && state.applied == theirs.state.applied {
        return Ok(Some(Difference::Redundant));
    }
    if command.verb == Verb::Stamp {
        let implied = closure(graph, &theirs.state.rows);
        let lost = command
            .targets
            .iter()
            .filter_map(|target| target.parse::<Target>().ok()?.resolve(graph, &[]).ok())
            .flatten()
            .any(|at| !implied.contains(graph.revision(at).id.as_str()));
        if lost {
            return Ok(Some(Difference::Lost));
        }
    }
    Err("the databases differ")
}

/// The rows and all that they need.
fn closure<'a>(graph: &'a Graph, rows: &[String]) -> BTreeSet<&'a str> {
    let rows = rows.iter().filter_map(|row| graph.position(row));
    let closure = graph.ancestors(rows);
    closure
        .iter()
        .map(|at| graph.revision(at).id.as_str())
        .collect()
}

fn without_implied(graph: &Graph, rows: &[String]) -> Vec<String> {
    let needs_it =
        |row: &str, other: &str| row != other && closure(graph, &[other.to_owned()]).contains(row);
    rows.iter()
        .filter(|row| !rows.iter().any(|other| needs_it(row, other)))
        .cloned()
        .collect()
}

async fn state(db: &Database) -> State {
    let mut state = state_in_order(db).await;
    state.rows.sort();
    state
}

/// The same, its rows in the order in which the database gives them.
async fn state_in_order(db: &Database) -> State {
    let has_versions = db
        .value("SELECT count(*) FROM sqlite_master WHERE name = 'whimbrel_version'")
        .await;
    State {
        rows: match has_versions.as_str() {
            "1" => db.column("SELECT version_num FROM whimbrel_version").await,
            _ => Vec::new(),
        },
        applied: db.column("SELECT id FROM applied ORDER BY 1").await,
    }
}

/// The migrations of a graph; each keeps book of whether it has run.
fn folder(graph: &[Node]) -> Folder {
    graph.iter().fold(Folder::default(), |folder, node| {
        let keys = [
            ("revises", &node.revises),
            ("depends-on", &node.depends_on),
            ("labels", &node.labels),
        ];
        let header: String = keys
            .iter()
            .filter(|(_, values)| !values.is_empty())
            .map(|(key, values)| format!("-- {key}: {}\n", values.join(", ")))
            .collect();
        let id = &node.id;
        folder.with(
            id,
            &header,
            &format!("INSERT INTO applied VALUES ('{id}');"),
            Some(&format!("DELETE FROM applied WHERE id = '{id}';")),
        )
    })
}
