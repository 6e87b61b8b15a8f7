//! Measuring: programs in turn, medians.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::process::output;

/// Runs a command, which must succeed, and returns how long it took.
pub(super) fn time(mut command: Command) -> Result<Duration> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let started = Instant::now();
    let ended = command
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    let elapsed = started.elapsed();
    ensure!(
        ended.status.success(),
        "{command:?} failed ({}):\n{}",
        ended.status,
        String::from_utf8_lossy(&ended.stderr)
    );
    Ok(elapsed)
}

/// Takes every subject's measurement in turn, `rounds` times, and returns the median of each. Taking turns spreads
/// what else the machine does over all of them.
pub(super) fn medians<S>(
    subjects: &[S],
    rounds: usize,
    mut measure: impl FnMut(&S) -> Result<Duration>,
) -> Result<Vec<Duration>> {
    let mut taken = vec![Vec::with_capacity(rounds); subjects.len()];
    for _ in 0..rounds {
        for (subject, taken) in subjects.iter().zip(&mut taken) {
            taken.push(measure(subject)?);
        }
    }
    Ok(taken.into_iter().map(median).collect())
}

/// The one in the middle.
pub(super) fn median(mut durations: Vec<Duration>) -> Duration {
    durations.sort_unstable();
    durations
        .get(durations.len() / 2)
        .copied()
        .unwrap_or_default()
}

/// The most memory that a command held, in bytes.
pub(super) fn peak_memory(python: &Path, command: &Command) -> Result<u64> {
    const SCRIPT: &str = "import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)";
    let mut measured = Command::new(python);
    measured
        .args(["-S", "-E", "-c", SCRIPT])
        .arg(command.get_program())
        .args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        measured.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            measured.env(name, value);
        }
    }
    let kibibytes: u64 = output(&mut measured)?.trim().parse()?;
    Ok(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_take_turns() {
        let mut order = Vec::new();
        let taken = medians(&[1, 2], 3, |subject| {
            order.push(*subject);
            Ok(Duration::from_secs(order.len() as u64))
        });
        assert_eq!(order, [1, 2, 1, 2, 1, 2]);
        assert_eq!(
            taken.ok(),
            Some(vec![Duration::from_secs(3), Duration::from_secs(4)])
        );
    }
}
