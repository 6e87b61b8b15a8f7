//! The inert part of WASI that an interpreter needs to start and to show a traceback.
//!
//! Interfaces are linked one by one. There are no arguments, environment, files or network; clocks stand at the time
//! of the run, randomness is seeded, and what is printed goes into the log.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::io::AsyncWrite;
use wasmtime::component::{HasData, Linker, ResourceTable};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream, WasiCli, WasiCliView as _};
use wasmtime_wasi::clocks::{HostMonotonicClock, HostWallClock, WasiClocks, WasiClocksView as _};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem, io, random, sockets};
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi::random::{WasiRandom, WasiRandomView as _};
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView as _};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder};

use super::guest::{Guest, SharedConsole};
use crate::migration::{Call, Level};

/// The most bytes that one request for randomness gets.
const MAX_RANDOM: u64 = 1 << 20;
/// The longest unfinished line that is held back for its end.
const MAX_PENDING: usize = 64 << 10;

/// Gives WASI's streams the table that they share with the guest's other handles.
struct HasTable;

impl HasData for HasTable {
    type Data<'a> = &'a mut ResourceTable;
}

/// Links the inert interfaces.
pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let l = linker;
    io::error::add_to_linker::<Guest, HasTable>(l, |g| &mut g.table)?;
    io::poll::add_to_linker::<Guest, HasTable>(l, |g| &mut g.table)?;
    io::streams::add_to_linker::<Guest, HasTable>(l, |g| &mut g.table)?;
    clocks::wall_clock::add_to_linker::<Guest, WasiClocks>(l, Guest::clocks)?;
    clocks::monotonic_clock::add_to_linker::<Guest, WasiClocks>(l, Guest::clocks)?;
    random::random::add_to_linker::<Guest, WasiRandom>(l, Guest::random)?;
    random::insecure::add_to_linker::<Guest, WasiRandom>(l, Guest::random)?;
    random::insecure_seed::add_to_linker::<Guest, WasiRandom>(l, Guest::random)?;
    cli::exit::add_to_linker::<Guest, WasiCli>(l, Guest::cli)?;
    cli::environment::add_to_linker::<Guest, WasiCli>(l, Guest::cli)?;
    cli::stdin::add_to_linker::<Guest, WasiCli>(l, Guest::cli)?;
    cli::stdout::add_to_linker::<Guest, WasiCli>(l, Guest::cli)?;
    cli::stderr::add_to_linker::<Guest, WasiCli>(l, Guest::cli)?;
    cli::terminal_input::add_to_linker::<Guest, WasiCli>(l, Guest::cli)?;
    cli::terminal_output::add_to_linker::<Guest, WasiCli>(l, Guest::cli)?;
    cli::terminal_stdin::add_to_linker::<Guest, WasiCli>(l, Guest::cli)?;
    cli::terminal_stdout::add_to_linker::<Guest, WasiCli>(l, Guest::cli)?;
    cli::terminal_stderr::add_to_linker::<Guest, WasiCli>(l, Guest::cli)?;
    filesystem::preopens::add_to_linker::<Guest, WasiFilesystem>(l, Guest::filesystem)?;
    filesystem::types::add_to_linker::<Guest, WasiFilesystem>(l, Guest::filesystem)?;
    sockets::network::add_to_linker::<Guest, WasiSockets>(l, &Default::default(), Guest::sockets)?;
    sockets::instance_network::add_to_linker::<Guest, WasiSockets>(l, Guest::sockets)?;
    sockets::tcp::add_to_linker::<Guest, WasiSockets>(l, Guest::sockets)?;
    sockets::udp::add_to_linker::<Guest, WasiSockets>(l, Guest::sockets)?;
    sockets::tcp_create_socket::add_to_linker::<Guest, WasiSockets>(l, Guest::sockets)?;
    sockets::udp_create_socket::add_to_linker::<Guest, WasiSockets>(l, Guest::sockets)?;
    sockets::ip_name_lookup::add_to_linker::<Guest, WasiSockets>(l, Guest::sockets)?;
    shut_network(l)
}

/// Python's runtime imports the types of sockets. What would make one, or ask for an address, traps.
fn shut_network(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    const DOORS: [(&str, &str); 3] = [
        ("wasi:sockets/tcp-create-socket@0.2.12", "create-tcp-socket"),
        ("wasi:sockets/udp-create-socket@0.2.12", "create-udp-socket"),
        ("wasi:sockets/ip-name-lookup@0.2.12", "resolve-addresses"),
    ];
    linker.allow_shadowing(true);
    for (interface, function) in DOORS {
        linker
            .instance(interface)?
            .func_new(function, |_, _, _, _| {
                Err(wasmtime::Error::msg("a migration has no network"))
            })?;
    }
    linker.allow_shadowing(false);
    Ok(())
}

/// The context of one call.
pub(super) fn context(call: &Call, console: &SharedConsole) -> WasiCtx {
    let mut seed = [0; 32];
    for chunk in seed.chunks_mut(call.seed.len()) {
        chunk.copy_from_slice(&call.seed);
    }
    let capture = |stream| Capture {
        console: Arc::clone(console),
        stream,
        pending: Arc::default(),
    };
    let mut builder = WasiCtxBuilder::new();
    builder
        .stdout(capture(Stream::Out))
        .stderr(capture(Stream::Err))
        .wall_clock(Fixed(
            Duration::try_from(call.now.as_duration()).unwrap_or_default(),
        ))
        .monotonic_clock(Fixed(Duration::ZERO))
        .secure_random(StdRng::from_seed(seed))
        .insecure_random(StdRng::from_seed(seed))
        .insecure_random_seed(u128::from(u64::from_le_bytes(call.seed)))
        .max_random_size(MAX_RANDOM)
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false);
    builder.build()
}

/// A clock that stands still.
struct Fixed(Duration);

impl HostWallClock for Fixed {
    fn resolution(&self) -> Duration {
        Duration::from_micros(1)
    }

    fn now(&self) -> Duration {
        self.0
    }
}

impl HostMonotonicClock for Fixed {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        0
    }
}

/// Which of its streams an interpreter writes to.
#[derive(Debug, Clone, Copy)]
enum Stream {
    Out,
    Err,
}

/// Collects what is printed into lines of the log.
#[derive(Clone)]
struct Capture {
    console: SharedConsole,
    stream: Stream,
    /// The begin of a line whose end has not come.
    pending: Arc<Mutex<Vec<u8>>>,
}

impl Capture {
    fn line(&self, line: &[u8]) -> StreamResult<()> {
        let line = String::from_utf8_lossy(line);
        let mut console = self.console.lock().unwrap_or_else(PoisonError::into_inner);
        let written = match self.stream {
            Stream::Out => console.write(Level::Info, &line),
            Stream::Err => console.write_stderr(&line),
        };
        written.map_err(|flood| StreamError::Trap(wasmtime::Error::new(flood)))
    }
}

impl OutputStream for Capture {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.extend_from_slice(&bytes);
        while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            self.line(&line[..end])?;
        }
        if pending.len() > MAX_PENDING {
            self.line(&std::mem::take(&mut *pending))?;
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(MAX_PENDING)
    }
}

#[async_trait]
impl Pollable for Capture {
    async fn ready(&mut self) {}
}

impl IsTerminal for Capture {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Capture {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    /// Only WASI 0.3 asks for this one, and none of it is linked.
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(MemoryOutputPipe::new(0))
    }
}
