//! What a killed run left behind: a cluster's folder is kept from being removed by a lock that its owner holds,
//! and that the kernel releases with the owner's process.

use std::fs::{self, File};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::storage::Storage;

pub(crate) const FOLDER_PREFIX: &str = "whimbrel-pg-";
const CLAIM: &str = "owner.lock";
/// A folder that nobody has claimed for as long is nobody's.
const OLD: Duration = Duration::from_secs(600);

/// Claims a cluster's folder for this process, for as long as the file is open.
pub(crate) fn claim(folder: &Path) -> Result<File> {
    let unnamed = folder.join("owner.new");
    let file = File::create(&unnamed).context("cannot create the lock of a cluster's folder")?;
    file.lock().context("cannot lock a cluster's folder")?;
    // Only a locked file gets the name that a sweep looks for.
    fs::rename(&unnamed, folder.join(CLAIM))?;
    Ok(file)
}

/// Stops the clusters whose owner is gone, and removes their folders. What cannot be removed stays for the next
/// sweep: it is no reason not to run the tests.
pub(crate) fn sweep() {
    let folders = Storage::folders();
    for entry in folders.iter().flat_map(fs::read_dir).flatten().flatten() {
        let is_cluster = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with(FOLDER_PREFIX));
        if is_cluster && is_abandoned(&entry.path()) {
            stop_server_of(&entry.path());
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn is_abandoned(folder: &Path) -> bool {
    match File::open(folder.join(CLAIM)) {
        Ok(claim) => claim.try_lock().is_ok(),
        // Its owner ended between its first steps, or its last.
        Err(_) => fs::metadata(folder)
            .and_then(|folder| folder.modified())
            .is_ok_and(|since| since.elapsed().is_ok_and(|age| age > OLD)),
    }
}

/// Stops the server that runs on a folder, where there is one.
fn stop_server_of(folder: &Path) {
    let Some(pid) = postmaster(folder) else {
        return;
    };
    let _ = kill_process(pid, Signal::QUIT);
    let deadline = Instant::now() + Duration::from_secs(5);
    while postmaster(folder).is_some() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(20));
    }
}

/// The process that serves the folder; never one that merely has inherited the number.
fn postmaster(folder: &Path) -> Option<Pid> {
    let file = fs::read_to_string(folder.join("data/postmaster.pid")).ok()?;
    let number: i32 = file.lines().next()?.trim().parse().ok()?;
    let command = fs::read(format!("/proc/{number}/cmdline")).ok()?;
    String::from_utf8_lossy(&command)
        .contains(folder.to_str()?)
        .then(|| Pid::from_raw(number))
        .flatten()
}
