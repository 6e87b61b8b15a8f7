//! Workers are killed, the server goes down, and the network between them is cut, while others write.
//!
//! `WHIMBREL_TEST_CHAOS_ROWS` says how many rows the table has, and `WHIMBREL_TEST_CHAOS_BASELINE` for how many seconds writers
//! are watched before the backfill begins; how long their transactions take is printed. `WHIMBREL_TEST_CHAOS_WORKERS` says how many
//! processes work on a server's table: three, unless a single one is to show how it writes ahead. The long run:
//!
//! ```sh
//! WHIMBREL_TEST_CHAOS_ROWS=10000000 WHIMBREL_TEST_CHAOS_BASELINE=60 RUST_TEST_NOCAPTURE=1 \
//!     cargo xtask test workers_and_servers_that_die_leave_every_row_of_a_component_right
//! ```
//!
//! In a file 1000000 rows are as many as is reasonable: `workers_that_die_leave_every_row_of_a_component_right_in_a_file`.

#![expect(
    clippy::print_stderr,
    reason = "what happened when is what a long run is for"
)]

use std::env;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use whimbrel_tests::{Backend, Cluster, Database, Project, Running, guest};

use super::relay::Relay;
use super::writers::{once, write, write_once};
use super::{COUNTING, TABLE, WRONG, filled, leftovers, sql};

const ROWS: u32 = 30_000;

/// How long the network is cut for.
const CUT: Duration = Duration::from_secs(3);

/// What makes the new values.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Code {
    Sql,
    Component,
}

fn number(variable: &str, default: u32) -> u32 {
    let given = env::var(variable);
    given.map_or(default, |text| text.parse().unwrap())
}

fn project(db: &Database, rows: u32, code: Code) -> Project {
    let project = Project::empty().on(db);
    let pace = match rows {
        ROWS => "batch = \"20ms\"\nrate = 1000\n",
        _ => "batch = \"100ms\"\n",
    };
    project.write("whimbrel.toml", format!("[backfill]\n{pace}"));
    let table = format!("{TABLE};\n{}", filled(db.backend(), rows));
    project.sql_migration("a", "", &table, "DROP TABLE items;");
    match code {
        Code::Sql => project.write("migrations/b_test.sql", sql("b", "a", COUNTING)),
        Code::Component => {
            let manifest = "id = \"b\"\nrevises = [\"a\"]\nmessage = \"b\"\ncomponent = \"migration.wasm\"\n\
                 transaction = \"batches\"\n[params]\nmode = \"right\"\n[capabilities]\n\
                 select = [\"items(id, amount, runs, remark)\"]\nupdate = [\"items(doubled, runs, remark)\"]\n";
            project.write("migrations/b/migration.toml", manifest);
            project.write(
                "migrations/b/migration.wasm",
                std::fs::read(guest("filler")).unwrap(),
            );
        }
    }
    project
}

/// Those who write meanwhile, and how long each of their transactions took.
#[derive(Clone, Default)]
struct Writers {
    took: Arc<Mutex<Vec<Duration>>>,
    give_up: Arc<AtomicBool>,
}

impl Writers {
    /// Writes, through whatever happens to the server, until the backfill is over.
    async fn keep_writing(self, db: Arc<Database>, rows: u32, seed: u64, code: Code) {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut next = || {
            let sql = write(&mut rng, rows.into());
            match code {
                Code::Sql => sql,
                // Its new values are made of this column as well.
                Code::Component => sql.replace("SET remark =", "SET runs = 0, remark ="),
            }
        };
        while !self.give_up.load(Ordering::Relaxed) {
            if db.backend() == Backend::Sqlite {
                let started = Instant::now();
                if !once(&db, &next()).await {
                    return;
                }
                self.took.lock().unwrap().push(started.elapsed());
                tokio::time::sleep(Duration::from_millis(1)).await;
                continue;
            }
            let Ok((mut client, connection)) =
                tokio_postgres::connect(&db.url(), tokio_postgres::NoTls).await
            else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            tokio::spawn(connection);
            while !self.give_up.load(Ordering::Relaxed) {
                let sql = next();
                let started = Instant::now();
                match write_once(&mut client, &sql).await {
                    Ok(true) => self.took.lock().unwrap().push(started.elapsed()),
                    Ok(false) => return,
                    Err(_) => break,
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }

    /// How long they took since the last time that this was asked; returns how many they were.
    fn tell(&self, when: &str) -> usize {
        let mut took = std::mem::take(&mut *self.took.lock().unwrap());
        took.sort_unstable();
        let at = |part: f64| {
            took.get((took.len() as f64 * part) as usize)
                .copied()
                .unwrap_or_default()
        };
        eprintln!(
            "writers {when}: {} transactions, median {:?}, p99 {:?}, longest {:?}",
            took.len(),
            at(0.5),
            at(0.99),
            took.last().copied().unwrap_or_default()
        );
        took.len()
    }
}

fn rows_done(project: &Project) -> (u64, String) {
    let status = project
        .run(["backfill", "status", "--json"])
        .succeeds()
        .json();
    let state = status[0]["state"].as_str().unwrap().to_owned();
    (status[0]["counts"]["read"].as_u64().unwrap(), state)
}

/// Cuts the network for a while, in which the workers get nothing done, and which they live through.
fn cut(relay: &Relay, project: &Project, workers: &mut [Running]) -> u64 {
    relay.cut();
    // What was on its way to the database arrives.
    std::thread::sleep(CUT / 4);
    let (before, _) = rows_done(project);
    std::thread::sleep(CUT);
    let (after, _) = rows_done(project);
    relay.restore();
    assert_eq!(after, before, "something was done through a cut network");
    for worker in workers {
        assert!(worker.is_running(), "a worker did not wait for the network");
    }
    after
}

fn survive(backend: Backend, code: Code) {
    let rows = number("WHIMBREL_TEST_CHAOS_ROWS", ROWS);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut cluster = match backend {
        Backend::Postgres(major) => Some((Cluster::start(major).unwrap(), major)),
        Backend::Sqlite => None,
    };
    let db = Arc::new(match &cluster {
        Some((cluster, major)) => runtime.block_on(Database::on(cluster, *major)),
        None => Database::sqlite(),
    });
    let relay = cluster
        .as_ref()
        .map(|_| runtime.block_on(Relay::before(&db)));
    // The writers go directly.
    let workers_url = match &relay {
        Some(relay) => relay.url(Ipv4Addr::LOCALHOST),
        None => db.url(),
    };
    let crew = match cluster {
        Some(_) => number("WHIMBREL_TEST_CHAOS_WORKERS", 3) as usize,
        None => 1,
    };
    let project = project(&db, rows, code);
    project.run(["upgrade", "a"]).succeeds();

    let writers = Writers::default();
    let tasks: Vec<_> = (0..2)
        .map(|seed| {
            runtime.spawn(
                writers
                    .clone()
                    .keep_writing(Arc::clone(&db), rows, seed, code),
            )
        })
        .collect();
    let baseline = number("WHIMBREL_TEST_CHAOS_BASELINE", 0);
    if baseline > 0 {
        std::thread::sleep(Duration::from_secs(baseline.into()));
        writers.tell("before");
    }
    let started = Instant::now();
    project.run(["upgrade", "--detach"]).succeeds();
    let mut rng = StdRng::seed_from_u64(7);
    let mut workers = Vec::new();
    let pauses = match rows {
        ROWS => 150..500,
        _ => u64::from(rows / 6_000)..u64::from(rows / 2_500),
    };
    for round in 0..8 {
        while workers.len() < crew {
            let work = ["--database", &workers_url, "backfill", "work", "b"];
            workers.push(project.start(work));
        }
        std::thread::sleep(Duration::from_millis(rng.random_range(pauses.clone())));
        workers
            .swap_remove(rng.random_range(0..workers.len()))
            .kill();
        eprintln!(
            "{:?}: killed a worker, {} rows done",
            started.elapsed(),
            rows_done(&project).0
        );
        match (round, &mut cluster) {
            (1, Some(_)) => {
                let relay = relay.as_ref().unwrap();
                let done = cut(relay, &project, &mut workers);
                eprintln!(
                    "{:?}: cut the network off for {CUT:?}, {done} rows done",
                    started.elapsed()
                );
            }
            (3, Some((cluster, _))) => {
                cluster.crash().unwrap();
                cluster.restart().unwrap();
                eprintln!(
                    "{:?}: crashed the server and started it again",
                    started.elapsed()
                );
            }
            (5, _) => {
                project.run(["backfill", "pause"]).succeeds();
                std::thread::sleep(Duration::from_millis(600));
                project.run(["backfill", "resume"]).succeeds();
                eprintln!("{:?}: paused and resumed", started.elapsed());
            }
            _ => {}
        }
    }
    let (_, state) = rows_done(&project);
    assert_ne!(state, "done", "it was over before the end of the chaos");
    project.run(["backfill", "set", "rate=none"]).succeeds();
    project.run(["upgrade"]).succeeds();
    eprintln!("{:?}: all is done", started.elapsed());
    for worker in workers {
        worker.wait();
    }
    writers.give_up.store(true, Ordering::Relaxed);
    runtime.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
        assert!(writers.tell("meanwhile") > 100);
        assert_eq!(db.value(WRONG).await, "0");
        assert_eq!(leftovers(&db).await, [""; 0]);
        assert_eq!(
            db.value("SELECT version_num FROM whimbrel_version").await,
            "b"
        );
        eprintln!(
            "{} rows, every one of them right",
            db.value("SELECT count(*) FROM items").await
        );
    });
    drop(db);
}

#[test]
fn workers_and_servers_that_die_leave_every_row_of_an_update_right() {
    survive(Backend::Postgres(15), Code::Sql);
}

#[test]
fn workers_and_servers_that_die_leave_every_row_of_a_component_right() {
    survive(Backend::Postgres(15), Code::Component);
}

#[test]
fn workers_that_die_leave_every_row_of_a_component_right_in_a_file() {
    survive(Backend::Sqlite, Code::Component);
}
