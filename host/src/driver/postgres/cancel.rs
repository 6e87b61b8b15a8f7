//! Stopping what a connection is running.
//!
//! The request goes over a connection of its own, which stays open until the server closes it: it has dealt with the request
//! then. PgBouncer forgets a request whose sender has gone.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{CancelToken, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::settings::{Host, Target};
use crate::driver::Canceller;

/// How long a request may take. It is repeated as long as it is wanted.
const PATIENCE: Duration = Duration::from_secs(10);

/// Stops what a connection is running, over a second connection with the same encryption.
#[derive(Clone)]
pub(super) struct PostgresCanceller {
    pub(super) token: CancelToken,
    pub(super) target: Target,
    pub(super) encryption: Option<MakeRustlsConnect>,
}

impl PostgresCanceller {
    async fn request(&self) -> io::Result<()> {
        let Target { host, port } = &self.target;
        match host {
            Host::Unix(directory) => {
                let socket = directory.join(format!(".s.PGSQL.{port}"));
                self.send(UnixStream::connect(socket).await?, "").await
            }
            Host::Tcp { name, address } => {
                let stream = match address {
                    Some(address) => TcpStream::connect((*address, *port)).await?,
                    None => TcpStream::connect((name.as_str(), *port)).await?,
                };
                self.send(stream, name).await
            }
        }
    }

    async fn send<S>(&self, stream: S, name: &str) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = Patient(stream);
        let sent = match &self.encryption {
            Some(connector) => {
                let mut connector = connector.clone();
                let tls = MakeTlsConnect::<Patient<S>>::make_tls_connect(&mut connector, name)
                    .map_err(io::Error::other)?;
                self.token.cancel_query_raw(stream, tls).await
            }
            None => self.token.cancel_query_raw(stream, NoTls).await,
        };
        sent.map_err(io::Error::other)
    }
}

#[async_trait]
impl Canceller for PostgresCanceller {
    async fn cancel(&self) {
        // Best effort, as the trait says: a server that cannot be reached has other ways to tell.
        let _ = tokio::time::timeout(PATIENCE, self.request()).await;
    }
}

/// A stream that is shut down by the other side: it waits for that.
struct Patient<S>(S);

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut space = [0; 64];
            let mut unwanted = ReadBuf::new(&mut space);
            match ready!(Pin::new(&mut self.0).poll_read(cx, &mut unwanted)) {
                Ok(()) if !unwanted.filled().is_empty() => {}
                // Whether it was closed or broken off, there is nobody left to wait for.
                Ok(()) | Err(_) => return Poll::Ready(Ok(())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test may panic")]

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_stream_is_shut_down_by_the_other_side() {
        let (near, mut far) = tokio::io::duplex(64);
        let mut near = Patient(near);
        near.write_all(b"request").await.unwrap();
        let waits = tokio::time::timeout(Duration::from_millis(20), near.shutdown()).await;
        assert!(waits.is_err(), "it closed first");
        let mut request = [0; 7];
        far.read_exact(&mut request).await.unwrap();
        far.write_all(b"unwanted").await.unwrap();
        drop(far);
        near.shutdown().await.unwrap();
    }
}
