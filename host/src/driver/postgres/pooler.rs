//! Whether a pooler stands between us and the server, and how to leave nothing behind on a connection that is shared.
//!
//! In transaction mode a pooler gives each transaction some server connection. What a session holds (its locks, its
//! settings, its prepared statements) then belongs to whoever comes next.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio_postgres::CancelToken;
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

use crate::driver::{Dialect, DriverError};
use crate::sql::leading_keywords;

/// Takes from a server connection what a migration may have left on it. Temporary tables, listeners, session locks and
/// prepared statements would reach other clients; those that a newer PgBouncer keeps for its clients stay.
pub(super) const CLEAN: &str = "RESET SESSION AUTHORIZATION; RESET ALL; UNLISTEN *; DISCARD TEMP; \
    SELECT pg_catalog.pg_advisory_unlock_all(); \
    DO $clean$ DECLARE left_over text; BEGIN \
        FOR left_over IN SELECT name FROM pg_catalog.pg_prepared_statements WHERE name NOT LIKE 'PGBOUNCER%' LOOP \
            EXECUTE pg_catalog.format('DEALLOCATE %I', left_over); \
        END LOOP; \
    END $clean$";

/// What a connection of ours leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    /// No transaction has begun yet, which is what tells.
    Unknown,
    /// A server process of our own.
    Direct,
    /// A pooler: each transaction may run in another process.
    Pooled,
}

impl Route {
    /// `announced` is the process that the other end said we have, `backend` the one that a statement ran in. A pooler
    /// makes up what it announces, since it has no process yet.
    pub(super) fn of(announced: Option<i32>, backend: Option<i32>) -> Self {
        match backend {
            Some(_) if backend == announced => Self::Direct,
            _ => Self::Pooled,
        }
    }
}

/// The process id of the server's key for cancelling. tokio-postgres tells it to nobody but the server, so the request
/// to cancel is written to a pipe.
pub(super) async fn announced_process(token: &CancelToken) -> Option<i32> {
    const SPACE: usize = 64;
    let (near, far) = tokio::io::duplex(SPACE);
    let (sent, heard) = tokio::join!(token.cancel_query_raw(near, NoSecret), overhear(far));
    sent.ok()?;
    heard.ok()
}

async fn overhear(mut pipe: DuplexStream) -> io::Result<i32> {
    const ASKS_FOR_TLS: u32 = 80_877_103;
    let mut length = pipe.read_u32().await?;
    let mut code = pipe.read_u32().await?;
    if code == ASKS_FOR_TLS {
        pipe.write_u8(b'S').await?;
        length = pipe.read_u32().await?;
        code = pipe.read_u32().await?;
    }
    let (process, _key) = (pipe.read_i32().await?, pipe.read_i32().await?);
    match (length, code) {
        (16, 80_877_102) => Ok(process),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// TLS over a pipe inside of this process, where there is nobody to hide from.
struct NoSecret;

struct Plain(DuplexStream);

impl TlsConnect<DuplexStream> for NoSecret {
    type Stream = Plain;
    type Error = io::Error;
    type Future = std::future::Ready<io::Result<Plain>>;

    fn connect(self, pipe: DuplexStream) -> Self::Future {
        std::future::ready(Ok(Plain(pipe)))
    }
}

impl TlsStream for Plain {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Plain {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Plain {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// Refuses what is of no use outside of a transaction behind a pooler, and would reach whoever comes next.
pub(super) fn check_alone(sql: &str) -> Result<(), DriverError> {
    let words = leading_keywords(sql, Dialect::Postgresql, 2);
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    let is_for_session = match word(0) {
        "SET" | "RESET" | "DISCARD" | "LISTEN" | "UNLISTEN" | "PREPARE" | "EXECUTE"
        | "DEALLOCATE" | "DECLARE" | "FETCH" | "LOAD" => true,
        "CREATE" => matches!(word(1), "TEMP" | "TEMPORARY"),
        _ => false,
    };
    match is_for_session {
        true => Err(refusal(words.join(" "))),
        false => Ok(()),
    }
}

/// Says why something cannot be had outside of a transaction.
pub(super) fn refusal(operation: impl Into<String>) -> DriverError {
    DriverError::Denied {
        operation: operation.into(),
        object: String::new(),
        reason: "behind a connection pooler, a migration without a transaction may meet another server process with \
                 each statement; connect to the server directly, or give the migration a transaction"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_announced_process_is_our_own() {
        assert_eq!(Route::of(Some(7), Some(7)), Route::Direct);
        assert_eq!(Route::of(Some(7), Some(8)), Route::Pooled);
        assert_eq!(Route::of(None, Some(8)), Route::Pooled);
        assert_eq!(Route::of(None, None), Route::Pooled);
    }

    #[test]
    fn what_belongs_to_a_session_is_refused() {
        for sql in [
            "SET search_path = x",
            "/* a */ listen x",
            "CREATE TEMP TABLE t ()",
        ] {
            assert!(check_alone(sql).is_err(), "{sql}");
        }
        for sql in ["CREATE INDEX CONCURRENTLY i ON t (n)", "VACUUM t"] {
            assert!(check_alone(sql).is_ok(), "{sql}");
        }
    }
}
