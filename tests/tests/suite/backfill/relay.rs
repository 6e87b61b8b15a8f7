//! A network between workers and a server, which can be cut.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use whimbrel_tests::Database;

/// Passes on to a server what comes to a port of all addresses of this machine, as long as its runtime runs.
///
/// While it is cut nothing is passed on, and nobody is told: not even that the other end has closed the connection.
#[derive(Debug)]
pub(super) struct Relay {
    /// The URL of the database, before its address and after it.
    url: (String, String),
    port: u16,
    network: watch::Sender<Network>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Network {
    is_cut: bool,
    /// How often it was.
    cuts: u32,
}

impl Relay {
    /// Before the server of a database.
    pub(super) async fn before(db: &Database) -> Self {
        let url = db.url();
        let (user, place) = url.rsplit_once('@').unwrap();
        let (server, name) = place.split_once('/').unwrap();
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await.unwrap();
        let relay = Self {
            url: (format!("{user}@"), format!("/{name}")),
            port: listener.local_addr().unwrap().port(),
            network: watch::Sender::default(),
        };
        let network = relay.network.subscribe();
        tokio::spawn(accept(listener, server.parse().unwrap(), network));
        relay
    }

    /// The URL of the database for those who reach this machine by an address.
    pub(super) fn url(&self, address: Ipv4Addr) -> String {
        let (before, after) = &self.url;
        format!("{before}{address}:{}{after}", self.port)
    }

    /// Cuts it.
    pub(super) fn cut(&self) {
        self.network.send_modify(|network| {
            network.is_cut = true;
            network.cuts += 1;
        });
    }

    /// Restores it. Every other connection goes on as if nothing had been, and the rest turn out to be gone: the longer a cut
    /// is, the more routers forget.
    pub(super) fn restore(&self) {
        self.network.send_modify(|network| network.is_cut = false);
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, network: watch::Receiver<Network>) {
    let mut goes_on = false;
    while let Ok((from, _)) = listener.accept().await {
        goes_on = !goes_on;
        tokio::spawn(carry(from, server, network.clone(), goes_on));
    }
}

/// One connection, which ends with the first cut unless it goes on.
async fn carry(
    from: TcpStream,
    server: SocketAddr,
    mut network: watch::Receiver<Network>,
    goes_on: bool,
) {
    let Ok(Network { cuts, .. }) = restored(&mut network).await else {
        return;
    };
    let Ok(to) = TcpStream::connect(server).await else {
        return;
    };
    for end in [&from, &to] {
        end.set_nodelay(true).unwrap();
    }
    let ((from, answer), (back, to)) = (from.into_split(), to.into_split());
    let carried = async {
        let (there, back) = (
            pass(from, to, network.clone()),
            pass(back, answer, network.clone()),
        );
        tokio::join!(there, back)
    };
    let mut network = network.clone();
    let forgotten = network.wait_for(|now| !goes_on && !now.is_cut && now.cuts > cuts);
    tokio::select! {
        // Either end is told by its socket, which is closed.
        _ = carried => {}
        _ = forgotten => {}
    }
}

/// How it is as soon as it is not cut.
async fn restored(
    network: &mut watch::Receiver<Network>,
) -> Result<Network, watch::error::RecvError> {
    network.wait_for(|now| !now.is_cut).await.map(|now| *now)
}

/// One direction of a connection, up to its end.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut network: watch::Receiver<Network>,
) {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        if restored(&mut network).await.is_err() {
            return;
        }
        let passed = match read {
            0 => to.shutdown().await,
            _ => to.write_all(&buffer[..read]).await,
        };
        if read == 0 || passed.is_err() {
            return;
        }
    }
}
