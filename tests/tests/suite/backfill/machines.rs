//! Workers on several machines, which are network namespaces here: one of them is cut off, and comes back.

use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use whimbrel_tests::{Backend, Database, Project};

use super::relay::Relay;
use super::{COUNTING, TABLE, WRONG, leftovers, sql};

const ROWS: u32 = 20_000;
const MACHINES: u8 = 3;

/// A network of machines that reach this one, each by a cable of its own.
struct Network {
    /// What no other network of this machine is called.
    name: String,
    /// The second number of its addresses.
    number: u8,
}

fn ip(arguments: &str) {
    let output = Command::new("ip")
        .args(arguments.split_whitespace())
        .output();
    let output = output.expect("`ip` is there: `apt-get install iproute2`");
    assert!(
        output.status.success(),
        "`ip {arguments}` failed, which takes root and network namespaces: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

impl Network {
    fn new(number: u8) -> Self {
        let name = format!("w{:x}{number}", std::process::id());
        let network = Self { name, number };
        for machine in 0..MACHINES {
            let (name, here, there) = (
                network.machine(machine),
                network.cable(machine),
                format!("{}n", network.cable(machine)),
            );
            ip(&format!("netns add {name}"));
            ip(&format!("link add {here} type veth peer name {there}"));
            ip(&format!("link set {there} netns {name}"));
            ip(&format!(
                "addr add {}/30 dev {here}",
                network.address(machine, 1)
            ));
            ip(&format!("link set {here} up"));
            ip(&format!(
                "-n {name} addr add {}/30 dev {there}",
                network.address(machine, 2)
            ));
            ip(&format!("-n {name} link set {there} up"));
            ip(&format!("-n {name} link set lo up"));
        }
        network
    }

    fn machine(&self, machine: u8) -> String {
        format!("{}m{machine}", self.name)
    }

    fn cable(&self, machine: u8) -> String {
        format!("{}c{machine}", self.name)
    }

    fn address(&self, machine: u8, end: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, self.number, machine, end)
    }

    fn plug(&self, machine: u8, state: &str) {
        ip(&format!("link set {} {state}", self.cable(machine)));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for machine in 0..MACHINES {
            // What was not made need not go.
            for gone in [
                format!("link del {}", self.cable(machine)),
                format!("netns del {}", self.machine(machine)),
            ] {
                let _ = Command::new("ip").args(gone.split_whitespace()).output();
            }
        }
    }
}

fn worker(project: &Project, network: &Network, machine: u8, url: &str) -> Child {
    project
        .tool("ip")
        .args(["netns", "exec", &network.machine(machine)])
        .arg(project.command([""; 0]).get_program())
        .args(["--database", url, "backfill", "work", "b"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

async fn until(what: &str, patience: Duration, mut is_so: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !is_so().await {
        assert!(started.elapsed() < patience, "waited too long until {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[test]
fn one_that_is_cut_off_is_done_without_and_comes_back() {
    whimbrel_tests::run(Backend::Postgres(15), |db: Database| async move {
        let relay = Relay::before(&db).await;
        let network = Network::new(200);

        let project = Project::empty().on(&db);
        project.write(
            "whimbrel.toml",
            "[backfill]\nbatch = \"20ms\"\nrate = 3000\n",
        );
        let table = format!(
            "{TABLE};\nINSERT INTO items (id, amount) SELECT i, i % 1000 FROM generate_series(1, {ROWS}) AS i;"
        );
        project.sql_migration("a", "", &table, "DROP TABLE items;");
        project.write("migrations/b_test.sql", sql("b", "a", COUNTING));
        tokio::task::block_in_place(|| {
            project.run(["upgrade", "a"]).succeeds();
            project.run(["upgrade", "--detach"]).succeeds();
        });
        let mut workers: Vec<Child> = (0..MACHINES)
            .map(|machine| {
                let url = relay.url(network.address(machine, 1));
                let url = format!("{url}?tcp_user_timeout=2000");
                worker(&project, &network, machine, &url)
            })
            .collect();
        let done = async |at_least: u32| {
            let sql = format!("SELECT sum(rows_read) >= {at_least} FROM whimbrel_backfill_range");
            db.value(&sql).await == "t"
        };
        until("all work", Duration::from_secs(30), async || {
            db.value("SELECT count(*) FROM whimbrel_backfill_range WHERE owner <> '' AND rows_read > 0 AND state = 'open'").await == "3"
        }).await;
        network.plug(1, "down");
        // The others take over what the one that is cut off has, when its lease has run out.
        until(
            "the others have done all",
            Duration::from_secs(150),
            async || done(ROWS).await,
        )
        .await;
        assert!(
            workers[1].try_wait().unwrap().is_none(),
            "it ended though it could not know"
        );
        network.plug(1, "up");
        until(
            "all workers have ended",
            Duration::from_secs(90),
            async || {
                workers
                    .iter_mut()
                    .all(|worker| worker.try_wait().unwrap().is_some())
            },
        )
        .await;
        for worker in workers {
            let output = worker.wait_with_output().unwrap();
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        tokio::task::block_in_place(|| project.run(["upgrade"]).succeeds());
        assert_eq!(db.value(WRONG).await, "0");
        assert_eq!(leftovers(&db).await, [""; 0]);
    });
}
