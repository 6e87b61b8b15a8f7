//! The life of one server: initialise, start, crash, restart, stop.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::account::Account;
use crate::leftovers;
use crate::process::{ServerProcess, free_port};
use crate::server::Server;
use crate::storage::Storage;

const START_TIMEOUT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);

/// How a cluster is to be set up, where [`Cluster::start`] is not enough.
#[derive(Debug, Clone)]
pub struct Setup {
    major: u32,
    settings: String,
    authentication: String,
    files: Vec<(String, Vec<u8>)>,
    storage: Storage,
}

impl Setup {
    /// A cluster of a major version that trusts whoever connects from this machine and does not survive a power
    /// cut (`fsync = off`, and its data in memory where there is room); it does survive [`Cluster::crash`].
    pub fn new(major: u32) -> Self {
        Self {
            major,
            settings: "fsync = off\nfull_page_writes = off\nmax_connections = 200\nshared_buffers = 64MB\n"
                .to_owned(),
            authentication: "local all all trust\nhost all,replication all 127.0.0.1/32 trust\n".to_owned(),
            files: Vec::new(),
            storage: Storage::Memory,
        }
    }

    /// Writes through to the disk at every commit, as a server that someone relies on does.
    #[must_use]
    pub fn durable(mut self) -> Self {
        self.storage = Storage::Disk;
        self.setting("fsync", "on")
            .setting("full_page_writes", "on")
    }

    /// Sets a parameter of `postgresql.conf`.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings
            .push_str(&format!("{name} = '{}'\n", value.replace('\'', "''")));
        self
    }

    /// Replaces the lines of `pg_hba.conf`.
    #[must_use]
    pub fn authentication(mut self, lines: &str) -> Self {
        self.authentication = format!("{}\n", lines.trim_end());
        self
    }

    /// Puts a file (a certificate, a key) into the data folder, readable by the server alone.
    #[must_use]
    pub fn file(mut self, name: &str, contents: impl Into<Vec<u8>>) -> Self {
        self.files.push((name.to_owned(), contents.into()));
        self
    }

    /// Starts the cluster, and returns when it answers.
    ///
    /// # Errors
    /// When there is no server of this version (the message says how to get one), or it does not start (the
    /// message has its log).
    pub fn start(self) -> Result<Cluster> {
        Cluster::launch(self)
    }
}

/// A running PostgreSQL server with a data folder of its own, on a free port of 127.0.0.1 and a socket. Its only
/// role is the superuser `postgres`. Stopped and removed on drop.
#[derive(Debug)]
pub struct Cluster {
    server: Server,
    account: Account,
    storage: Storage,
    port: u16,
    postmaster: Option<ServerProcess>,
    // The claim is given up after the folder is gone: fields are dropped in this order.
    folder: TempDir,
    _claim: File,
}

impl Cluster {
    /// Starts a cluster of a major version with the settings of [`Setup::new`].
    ///
    /// # Errors
    /// As [`Setup::start`].
    pub fn start(major: u32) -> Result<Self> {
        Setup::new(major).start()
    }

    /// Starts a replica, which streams from this server, with a folder and a port of its own. It needs `pg_basebackup`,
    /// which comes with Debian's server.
    ///
    /// # Errors
    /// When it cannot be made, or does not start.
    pub fn standby(&self) -> Result<Self> {
        let mut standby = Self::stopped(self.server.clone(), self.account, self.storage)?;
        let output = standby
            .command("pg_basebackup")
            .args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync"])
            .args(["--host=127.0.0.1", "--username=postgres"])
            .arg(format!("--port={}", self.port))
            .arg("--pgdata")
            .arg(standby.data_folder())
            .output()
            .context("cannot run `pg_basebackup` (by util-linux's `setpriv`)")?;
        ensure!(
            output.status.success(),
            "`pg_basebackup` failed:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let mut configuration = File::options()
            .append(true)
            .open(standby.data_folder().join("postgresql.auto.conf"))?;
        configuration.write_all(standby.place().as_bytes())?;
        standby.restart().context("cannot start a replica")?;
        Ok(standby)
    }

    fn launch(setup: Setup) -> Result<Self> {
        let server = Server::find(setup.major)?;
        let mut cluster = Self::stopped(server, Account::choose()?, setup.storage)?;
        cluster.initialise(&setup)?;
        cluster
            .restart()
            .with_context(|| format!("cannot start a PostgreSQL {} cluster", setup.major))?;
        Ok(cluster)
    }

    /// A folder for a server that has no data yet.
    fn stopped(server: Server, account: Account, storage: Storage) -> Result<Self> {
        leftovers::sweep();
        let folder = tempfile::Builder::new()
            .prefix(leftovers::FOLDER_PREFIX)
            .tempdir_in(storage.folder())
            .context("cannot create a cluster's folder")?;
        let claim = leftovers::claim(folder.path())?;
        account.own(folder.path())?;
        Ok(Self {
            server,
            account,
            storage,
            port: free_port()?,
            postmaster: None,
            folder,
            _claim: claim,
        })
    }

    /// The settings that say where it listens.
    fn place(&self) -> String {
        format!(
            "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = '{}'\n",
            self.port,
            self.folder.path().display()
        )
    }

    /// The URL of a database of this cluster, for the superuser, over TCP.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// The TCP port on 127.0.0.1; it stays the same when the cluster restarts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of the Unix socket.
    pub fn socket_folder(&self) -> &Path {
        self.folder.path()
    }

    /// The data folder.
    pub fn data_folder(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// What the server has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Ends the server as a crash does: every connection is cut, nothing is written, and the next start recovers
    /// from the log.
    ///
    /// # Errors
    /// When the server does not run or cannot be signalled.
    pub fn crash(&mut self) -> Result<()> {
        self.end(Signal::QUIT)
    }

    /// Stops the server in order: open transactions are rolled back.
    ///
    /// # Errors
    /// When the server does not run or cannot be signalled.
    pub fn stop(&mut self) -> Result<()> {
        self.end(Signal::INT)
    }

    /// Starts the server again, after [`crash`](Self::crash) or [`stop`](Self::stop), on the same port and data.
    ///
    /// # Errors
    /// When it does not come up; the message has its log.
    pub fn restart(&mut self) -> Result<()> {
        ensure!(self.postmaster.is_none(), "the server is still running");
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_file())?;
        let mut command = self.command("postgres");
        command
            .arg("-D")
            .arg(self.data_folder())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        self.postmaster = Some(ServerProcess::spawn(command)?);
        self.wait_until_ready()
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = self.account.command(self.server.program(program));
        command
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LC_ALL", "C");
        command
    }

    fn initialise(&self, setup: &Setup) -> Result<()> {
        let data = self.data_folder();
        let output = self
            .command("initdb")
            .args(["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"])
            .args(["--username=postgres", "--pgdata"])
            .arg(&data)
            .output()
            .context("cannot run `initdb` (by util-linux's `setpriv`)")?;
        ensure!(
            output.status.success(),
            "`initdb` failed:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let configuration = self.place() + &setup.settings;
        fs::write(data.join("postgresql.auto.conf"), configuration)?;
        fs::write(data.join("pg_hba.conf"), &setup.authentication)?;
        for (name, contents) in &setup.files {
            let path = data.join(name);
            fs::write(&path, contents)?;
            fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
            self.account.own(&path)?;
        }
        Ok(())
    }

    /// Waits for the word `ready` that the server writes into its PID file.
    fn wait_until_ready(&mut self) -> Result<()> {
        const STATUS_LINE: usize = 7;
        let deadline = Instant::now() + START_TIMEOUT;
        let file = self.data_folder().join("postmaster.pid");
        loop {
            let ready = fs::read_to_string(&file).is_ok_and(|text| {
                text.lines()
                    .nth(STATUS_LINE)
                    .is_some_and(|status| status.trim() == "ready")
            });
            let ended = self
                .postmaster
                .as_ref()
                .is_none_or(ServerProcess::has_ended);
            if ended {
                self.postmaster = None;
                bail!("the server ended while starting; its log:\n{}", self.log());
            }
            if ready {
                return Ok(());
            }
            if Instant::now() > deadline {
                let _ = self.crash();
                bail!("the server did not start in time; its log:\n{}", self.log());
            }
            thread::sleep(POLL);
        }
    }

    fn end(&mut self, signal: Signal) -> Result<()> {
        let postmaster = self.postmaster.take().context("the server does not run")?;
        postmaster.end(signal)?;
        // A crash leaves the file; it would pass for a sign of readiness at the next start.
        let _ = fs::remove_file(self.data_folder().join("postmaster.pid"));
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.postmaster.is_some() {
            let _ = self.crash();
        }
    }
}
