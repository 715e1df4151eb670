//! Opens a TCP socket, with TLS if configured.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_rustls::client::TlsStream;

use crate::{
    dial::{self, DialError},
    tls::{Tls, TlsError},
};

/// Where a connection goes.
#[derive(Clone, Debug)]
pub struct Peer {
    /// A DNS name or an IP address (IPv6 without brackets).
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// TLS, or plain TCP if absent. Neither falls back to the other.
    pub tls: Option<Tls>,
    /// How long sent data may stay unacknowledged by the peer's kernel. `None`: the system's default.
    pub user_timeout: Option<Duration>,
}

/// Why a socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No TCP connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// TCP, but no TLS.
    #[error("TLS with {host}:{port} failed: {error}")]
    Tls {
        /// The host that was dialled.
        host: String,
        /// Its port.
        port: u16,
        /// What went wrong.
        #[source]
        error: TlsError,
    },
    /// The peer accepted TCP and then left the TLS handshake unanswered.
    #[error("TLS with {host}:{port} failed: no answer within {limit:?}")]
    TlsTimeout {
        /// The host that was dialled.
        host: String,
        /// Its port.
        port: u16,
        /// The limit for the whole of it.
        limit: Duration,
    },
}

impl ConnectError {
    /// Whether nothing listens on the port.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Dial(error) if error.is_refused())
    }

    /// Whether every attempt fails until the configuration of either side changes.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        matches!(self, Self::Tls { error, .. } if error.is_permanent())
    }
}

/// A connection. Dropping it closes it.
#[derive(Debug)]
pub enum Socket {
    /// By TCP alone.
    Plain(TcpStream),
    /// With TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, room),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, room),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

/// Dials a peer, and completes the TLS handshake if TLS is configured, all within `limit`. Nothing else is sent.
///
/// # Errors
///
/// See [`ConnectError`].
///
/// # Cancel safety
///
/// Dropping the future closes what it had opened.
pub async fn connect(peer: &Peer, limit: Duration) -> Result<Socket, ConnectError> {
    let Peer { host, port, tls, user_timeout } = peer;
    let deadline = Instant::now() + limit;
    let tcp = dial::dial(host, *port, limit, *user_timeout).await?;
    let Some(tls) = tls else { return Ok(Socket::Plain(tcp)) };
    match timeout_at(deadline, tls.handshake(host, tcp)).await {
        Ok(Ok(stream)) => Ok(Socket::Tls(Box::new(stream))),
        Ok(Err(error)) => Err(ConnectError::Tls { host: host.clone(), port: *port, error }),
        Err(_) => Err(ConnectError::TlsTimeout { host: host.clone(), port: *port, limit }),
    }
}
