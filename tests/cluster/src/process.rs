//! A server's process, and the port that it listens on.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::TcpListener;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};

/// The server's first process, and the thread that waits for it. The kernel interrupts the process when the thread
/// ends, as it does when this process is killed.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    pid: Pid,
    keeper: JoinHandle<io::Result<ExitStatus>>,
}

impl ServerProcess {
    /// Starts a server by an account's command.
    pub(crate) fn spawn(mut command: Command) -> Result<Self> {
        let (sender, spawned) = mpsc::channel();
        let keeper = thread::Builder::new()
            .name("server".to_owned())
            .spawn(move || {
                let mut child = command.spawn()?;
                // The receiver waits for exactly this, below.
                let _ = sender.send(pid_of(&child));
                child.wait()
            })?;
        match spawned.recv() {
            Ok(Some(pid)) => Ok(Self { pid, keeper }),
            Ok(None) => bail!("the server's process has no usable number"),
            Err(_) => match keeper.join() {
                Ok(Err(error)) => {
                    Err(error).context("cannot run the server (by util-linux's `setpriv`)")
                }
                _ => bail!("the thread that starts the server panicked"),
            },
        }
    }

    /// Whether it is gone.
    pub(crate) fn has_ended(&self) -> bool {
        self.keeper.is_finished()
    }

    /// Signals it, and waits for its end.
    pub(crate) fn end(self, signal: Signal) -> Result<()> {
        kill_process(self.pid, signal).context("cannot signal the server")?;
        let status = self
            .keeper
            .join()
            .map_err(|_| anyhow!("the thread that waits for the server panicked"))?;
        status.context("cannot wait for the server")?;
        Ok(())
    }
}

fn pid_of(child: &Child) -> Option<Pid> {
    Pid::from_raw(child.id().try_into().ok()?)
}

/// A free port below those that the kernel hands out for outgoing connections, so that none takes it before the
/// server does.
pub(crate) fn free_port() -> Result<u16> {
    const FIRST: u16 = 20_000;
    const COUNT: u64 = 12_000;
    let random = RandomState::new();
    (0..1_000_u32)
        .map(|attempt| FIRST + (random.hash_one(attempt) % COUNT) as u16)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .context("no free port on 127.0.0.1")
}
