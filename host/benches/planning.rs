//! Making a graph of many revisions and planning an upgrade to its head, in memory. The arguments are the numbers of
//! revisions; for each it prints their number, milliseconds, and bytes of memory for each revision.

#![expect(clippy::print_stdout, reason = "what is printed is the result")]

use std::time::Instant;

use whimbrel::graph::Graph;
use whimbrel::plan::plan;
use whimbrel::revision::{Direction, InvalidName, Kind, Revision, RevisionId, Transactional};
use whimbrel::target::Target;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let counts: Vec<usize> = std::env::args()
        .skip(1)
        .filter_map(|count| count.parse().ok())
        .collect();
    // Cargo adds an argument of its own, and may give no other.
    for count in if counts.is_empty() {
        vec![10_000]
    } else {
        counts
    } {
        let revisions = ladder(count)?;
        let before = resident()?;
        let started = Instant::now();
        let graph = Graph::new(revisions)?;
        let plan = plan::<&str>(&graph, &[], &Target::HEAD, Direction::Upgrade)?;
        let taken = started.elapsed();
        let memory = resident()?.saturating_sub(before) / count;
        assert_eq!(plan.steps.len(), count);
        println!("planned {count} {:.1} {memory}", taken.as_secs_f64() * 1e3);
    }
    Ok(())
}

/// In every ten, two revise the same one, and the next merges them.
fn ladder(count: usize) -> Result<Vec<Revision>, InvalidName> {
    let id = |number: usize| RevisionId::new(&format!("{number:012x}"));
    (1..=count)
        .map(|number| {
            let parents = match (number, number % 10) {
                (1, _) => vec![],
                (_, 5) => vec![number - 2],
                (_, 6) => vec![number - 2, number - 1],
                _ => vec![number - 1],
            };
            Ok(Revision {
                id: id(number)?,
                revises: parents.into_iter().map(id).collect::<Result<_, _>>()?,
                depends_on: Vec::new(),
                labels: Vec::new(),
                message: "step".to_owned(),
                created: None,
                path: format!("migrations/{number:012x}_step.sql").into(),
                kind: Kind::Sql,
                transactional: Transactional::Yes,
            })
        })
        .collect()
}

/// The memory that this process holds, in bytes.
fn resident() -> Result<usize, Box<dyn std::error::Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next());
    Ok(kibibytes.ok_or("no VmRSS")?.parse::<usize>()? * 1024)
}
