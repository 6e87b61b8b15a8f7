//! A throw-away PgBouncer.

use std::env;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::account::Account;
use crate::process::{ServerProcess, free_port};

const START_TIMEOUT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(10);

/// A running PgBouncer in transaction mode, on a free port of 127.0.0.1, that lets everyone in. Stopped and removed on
/// drop.
#[derive(Debug)]
pub struct PgBouncer {
    port: u16,
    process: Option<ServerProcess>,
    folder: TempDir,
}

impl PgBouncer {
    /// Starts one before a server, which it logs in to as `server` says: `host=… port=… user=…`. All clients share
    /// `connections` to each database.
    ///
    /// # Errors
    /// When the program is missing (the message says how to get it), or does not start (the message has its log).
    pub fn start(server: &str, connections: u32) -> Result<Self> {
        let program = Self::find()?;
        let account = Account::choose()?;
        let folder = tempfile::Builder::new()
            .prefix("whimbrel-pgbouncer-")
            .tempdir()
            .context("cannot create a pooler's folder")?;
        account.own(folder.path())?;
        let port = free_port()?;
        let settings = folder.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = {server}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = any\npool_mode = transaction\nmax_client_conn = 200\n\
             default_pool_size = {connections}\nlogfile = {log}\n",
            log = folder.path().join("log").display()
        );
        fs::write(&settings, text)?;
        account.own(&settings)?;
        let mut command = account.command(program);
        command
            .arg("--quiet")
            .arg(&settings)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut pooler = Self {
            port,
            process: Some(ServerProcess::spawn(command)?),
            folder,
        };
        pooler.wait_until_ready()?;
        Ok(pooler)
    }

    /// Finds the program on this machine.
    ///
    /// # Errors
    /// When it is missing; the message says how to get it.
    pub fn find() -> Result<PathBuf> {
        let search_path = env::var_os("PATH").unwrap_or_default();
        env::split_paths(&search_path)
            .chain([PathBuf::from("/usr/sbin")])
            .map(|folder| folder.join("pgbouncer"))
            .find(|program| program.is_file())
            .context("there is no PgBouncer on this machine\n  hint: run `cargo xtask setup`")
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its folder, with its settings and its log.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.process.as_ref().is_none_or(ServerProcess::has_ended);
            if ended || Instant::now() > deadline {
                let log = fs::read_to_string(self.folder().join("log")).unwrap_or_default();
                bail!("PgBouncer did not start; its log:\n{log}");
            }
            thread::sleep(POLL);
        }
        Ok(())
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            // What cannot be signalled has ended.
            let _ = process.end(Signal::TERM);
        }
    }
}
