//! A wire to PostgreSQL that breaks when COMMIT goes over it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How the wire breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Break {
    /// COMMIT does not arrive.
    BeforeCommit,
    /// COMMIT arrives, and its answer does not.
    BeforeTheAnswer,
    /// The client is cut off first, and COMMIT arrives this much later, as it may on a slow way to the server.
    Late(Duration),
    /// COMMIT arrives, its answer does not, and nobody gets through from then on.
    ForGood,
}

/// A proxy in front of a server.
pub(super) struct Wire {
    port: u16,
}

impl Wire {
    /// Listens; the first COMMIT of a migration breaks its connection.
    pub(super) async fn to(server: (String, u16), at: Break) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let broken = Arc::new(AtomicBool::new(false));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if at == Break::ForGood && broken.load(Ordering::SeqCst) {
                    continue;
                }
                let upstream = TcpStream::connect(server.clone()).await.unwrap();
                // An end of a connection is what this is for.
                tokio::spawn(relay(client, upstream, at, Arc::clone(&broken)));
            }
        });
        Self { port }
    }

    /// The URL of a database behind the wire.
    pub(super) fn url(&self, database: &str) -> String {
        let (user, rest) = database
            .strip_prefix("postgres://")
            .and_then(|rest| rest.split_once('@'))
            .expect("a URL of the tests names its user");
        let (_, path) = rest
            .split_once('/')
            .expect("a URL of the tests names its database");
        format!("postgres://{user}@127.0.0.1:{}/{path}", self.port)
    }
}

async fn relay(
    client: TcpStream,
    server: TcpStream,
    at: Break,
    broken: Arc<AtomicBool>,
) -> io::Result<()> {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let answers = tokio::spawn(async move {
        tokio::io::copy(&mut from_server, &mut to_client).await?;
        to_client.shutdown().await
    });
    let mut buffer = vec![0; 1 << 16];
    let mut is_migrating = false;
    loop {
        let count = from_client.read(&mut buffer).await?;
        let message = &buffer[..count];
        if count == 0 {
            return to_server.shutdown().await;
        }
        let says = |word: &[u8]| message.windows(word.len()).any(|part| part == word);
        is_migrating |= says(b"CREATE TABLE t_");
        if !is_migrating || !says(b"COMMIT") || broken.swap(true, Ordering::SeqCst) {
            to_server.write_all(message).await?;
            continue;
        }
        // Aborting the task drops its half of both streams, so that nothing that the server says gets through.
        answers.abort();
        match at {
            Break::BeforeCommit => {}
            Break::BeforeTheAnswer | Break::ForGood => to_server.write_all(message).await?,
            Break::Late(delay) => {
                drop(from_client);
                tokio::time::sleep(delay).await;
                return to_server.write_all(message).await;
            }
        }
        return Ok(());
    }
}
