//! The stream under lapin: dialled by us, with TLS, a guard against headers that would kill the process, and a kill switch.
//!
//! What comes in is read by a task of ours (`reader`), which judges it (`inbound`, `guard`), hands messages and confirms to
//! whom they concern (`ports`), and leaves lapin the rest. What goes out, messages and acknowledgements of ours (`frames`)
//! and all else of lapin's, waits in one place (`outbox`) for another task of ours to write it (`writer`).

pub(crate) mod frames;
pub(crate) mod guard;
mod handle;
mod inbound;
mod layout;
mod outbox;
pub(crate) mod ports;
mod reader;
#[cfg(any(test, feature = "__fuzz"))]
pub(crate) mod replay;
pub(crate) mod runtime;
mod writer;

#[cfg(test)]
pub(crate) mod tests;

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use tokio::io::{AsyncRead as TokioRead, AsyncWrite as TokioWrite, DuplexStream, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

use guard::{Guard, GuardError};
use handle::Shared;
use inbound::Inbound;
use oxlo_driver_net::dial::{self, DialError};
use oxlo_driver_net::tls::{self, Tls, TlsError};

pub(crate) use frames::Frames;
pub(crate) use handle::{StreamEnd, StreamHandle};
pub(crate) use outbox::{Deferred, Sender};

/// Where a stream goes and what it is made of.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// A DNS name or an IP address (IPv6 without brackets).
    pub(crate) host: String,
    /// The TCP port.
    pub(crate) port: u16,
    /// TLS, or plain TCP if absent. There is no falling back from one to the other.
    pub(crate) tls: Option<Tls>,
    /// How long sent data may stay unacknowledged by the peer's kernel: oslo sets the heartbeat threshold. `None`: the system's default.
    pub(crate) user_timeout: Option<Duration>,
    /// The `frame_max` to offer, in bytes; 0 stands for 131 072.
    pub(crate) frame_max: u32,
}

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
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
    /// Whether nobody listens there.
    pub(crate) fn is_refused(&self) -> bool {
        matches!(self, Self::Dial(error) if error.is_refused())
    }

    /// Whether another attempt at the same peer must fail until someone changes its, or our, configuration.
    pub(crate) fn is_permanent(&self) -> bool {
        matches!(self, Self::Tls { error, .. } if error.is_permanent())
    }
}

/// Whether an error that came out of a [`GuardedStream`], through lapin or not, is a permanent one: a peer that speaks
/// another protocol, or TLS trouble that a retry does not heal.
pub(crate) fn is_permanent(error: &io::Error) -> bool {
    let Some(inner) = error.get_ref() else { return false };
    inner.downcast_ref::<GuardError>().is_some_and(GuardError::is_permanent)
        || inner.downcast_ref::<TlsError>().is_some_and(TlsError::is_permanent)
}

/// Dials a peer and speaks TLS with it if it shall, all within `limit`. No byte of AMQP is sent yet.
///
/// # Errors
///
/// See [`ConnectError`].
///
/// # Cancel safety
///
/// Dropping the future closes what it had opened.
pub(crate) async fn connect(peer: &Peer, limit: Duration) -> Result<GuardedStream, ConnectError> {
    let Peer { host, port, tls, user_timeout, frame_max } = peer;
    let deadline = Instant::now() + limit;
    let tcp = dial::dial(host, *port, limit, *user_timeout).await?;
    let Some(tls) = tls else { return Ok(GuardedStream::plain(tcp, *frame_max)) };
    match tokio::time::timeout_at(deadline, tls.handshake(host, tcp)).await {
        Ok(Ok(stream)) => Ok(GuardedStream::tls(stream, *frame_max)),
        Ok(Err(error)) => Err(ConnectError::Tls { host: host.clone(), port: *port, error }),
        Err(_) => Err(ConnectError::TlsTimeout { host: host.clone(), port: *port, limit }),
    }
}

/// How many bytes may wait for lapin to take them.
const FOR_LAPIN: usize = 64 * 1024;

/// A connection to a broker as lapin sees it: only bytes that lapin survives come out of it.
///
/// Its [`StreamHandle`] counts, kills, and tells the end. Dropping the stream closes the connection.
pub(crate) struct GuardedStream {
    /// What the reader leaves to lapin.
    visible: DuplexStream,
    reader: AbortHandle,
    shared: Arc<Shared>,
    frame_max: u32,
}

impl fmt::Debug for GuardedStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedStream").field("shared", &self.shared).finish_non_exhaustive()
    }
}

impl GuardedStream {
    /// Guards a plain TCP connection on which we offer `frame_max`; 0 stands for 131 072.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, which is what reads and writes it.
    pub(crate) fn plain(tcp: TcpStream, frame_max: u32) -> Self {
        let shared = Shared::of(&tcp, true);
        let (read, write) = tcp.into_split();
        Self::new(read, write, shared, frame_max)
    }

    /// Guards a TLS connection on which we offer `frame_max`; 0 stands for 131 072.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, which is what reads and writes it.
    pub(crate) fn tls(stream: TlsStream<TcpStream>, frame_max: u32) -> Self {
        let shared = Shared::of(stream.get_ref().0, false);
        let (read, write) = tokio::io::split(stream);
        Self::new(read, write, shared, frame_max)
    }

    fn new(
        read: impl TokioRead + Send + Unpin + 'static,
        write: impl TokioWrite + Send + Unpin + 'static,
        shared: Shared,
        frame_max: u32,
    ) -> Self {
        // lapin allocates 64 times what is agreed: a broker must not get to name it alone.
        let frame_max = if frame_max == 0 { guard::DEFAULT_FRAME_MAX } else { frame_max };
        let (for_lapin, visible) = tokio::io::duplex(FOR_LAPIN);
        let shared = Arc::new(shared);
        let reading = reader::read(read, Inbound::new(Guard::new(frame_max)), for_lapin, shared.clone());
        let reader = tokio::spawn(reading).abort_handle();
        // Ends by itself, when it has written what there was.
        tokio::spawn(writer::write(write, shared.clone()));
        Self { visible, reader, shared, frame_max }
    }

    /// A handle that outlives the stream.
    pub(crate) fn handle(&self) -> StreamHandle {
        StreamHandle::new(Arc::clone(&self.shared))
    }

    /// The `frame_max` that the guard takes for offered.
    pub(crate) fn frame_max(&self) -> u32 {
        self.frame_max
    }
}

impl AsyncRead for GuardedStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let mut buffer = ReadBuf::new(out);
        if buffer.capacity() == 0 {
            return Poll::Ready(Ok(0));
        }
        ready!(Pin::new(&mut this.visible).poll_read(cx, &mut buffer))?;
        match buffer.filled().len() {
            0 => Poll::Ready(this.shared.last_word().map(|()| 0)),
            bytes => Poll::Ready(Ok(bytes)),
        }
    }
}

impl AsyncWrite for GuardedStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.shared.poll_take(cx, bytes)
    }

    /// Never waits: what is taken will be written.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.shared.alive())
    }

    /// Never waits: lapin blocks a thread on it, and a TLS farewell to a frozen peer would hold that thread for ever.
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.finished();
        Poll::Ready(Ok(()))
    }
}

impl Drop for GuardedStream {
    fn drop(&mut self) {
        self.shared.dropped();
        self.reader.abort();
    }
}
