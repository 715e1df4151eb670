//! The socket under lapin: it carries the data plane and passes the rest to lapin.
//!
//! Inbound, [`reader`] reads the socket. [`inbound`] and [`guard`] check every frame, [`ports`] take messages and
//! confirms to the channel they belong to, and lapin gets the remaining bytes.
//!
//! Outbound, [`outbox`] collects [`frames`] of the driver and bytes of lapin, and [`writer`] writes them. With few
//! messages in flight, whoever adds a frame writes it at once.
//!
//! This is the lowest layer: it names no type of the modules above it. Those implement its traits,
//! [`ports::ConfirmSink`] and [`DeferredFrames`].

pub(crate) mod channel_close;
pub(crate) mod frames;
pub(crate) mod guard;
mod handle;
mod inbound;
mod layout;
mod outbox;
pub(crate) mod ports;
mod reader;
pub(crate) mod received;
#[cfg(any(test, feature = "__fuzz"))]
pub(crate) mod replay;
mod shared;
mod writer;

#[cfg(test)]
pub(crate) mod tests;

use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

pub(crate) use channel_close::ChannelClose;
pub(crate) use frames::Frames;
use futures_io::{AsyncRead, AsyncWrite};
use guard::{Guard, GuardError};
pub(crate) use handle::{StreamEnd, StreamHandle};
use inbound::Inbound;
pub(crate) use outbox::{ChannelSender, DeferredFrames};
use oxlo_driver_kit::{
    socket::Socket,
    tls::{self, TlsError},
};
use shared::Shared;
use tokio::{
    io::{AsyncRead as TokioRead, AsyncWrite as TokioWrite, DuplexStream, ReadBuf},
    task::AbortHandle,
};

/// Whether an error of a [`GuardedStream`], also one that passed through lapin, is permanent: the peer speaks another
/// protocol, or TLS failed in a way that a retry does not cure.
pub(crate) fn is_permanent(error: &io::Error) -> bool {
    let Some(inner) = error.get_ref() else { return false };
    inner.downcast_ref::<GuardError>().is_some_and(GuardError::is_permanent)
        || inner.downcast_ref::<TlsError>().is_some_and(TlsError::is_permanent)
}

/// How many bytes may wait for lapin to read them.
const LAPIN_BUFFER: usize = 64 * 1024;

/// A connection to a broker as lapin sees it: only bytes that lapin can parse come out of it.
///
/// Its [`StreamHandle`] counts bytes, ends the stream, and reports its end. Dropping the stream closes the connection.
pub(crate) struct GuardedStream {
    /// The bytes that the reader leaves to lapin.
    visible: DuplexStream,
    reader: AbortHandle,
    shared: Arc<Shared>,
}

impl fmt::Debug for GuardedStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedStream").field("shared", &self.shared).finish_non_exhaustive()
    }
}

impl GuardedStream {
    /// Guards a connection on which the client offers `frame_max` bytes; 0 means 131 072.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, which runs the reading and the writing task.
    pub(crate) fn new(socket: Socket, frame_max: u32) -> Self {
        match socket {
            Socket::Plain(tcp) => {
                let shared = Shared::new(&tcp, true);
                let (read, write) = tcp.into_split();
                Self::from_halves(read, write, shared, frame_max)
            }
            Socket::Tls(stream) => {
                let shared = Shared::new(stream.get_ref().0, false);
                let (read, write) = tokio::io::split(*stream);
                Self::from_halves(read, write, shared, frame_max)
            }
        }
    }

    fn from_halves(
        read: impl TokioRead + Send + Unpin + 'static,
        write: impl TokioWrite + Send + Unpin + 'static,
        shared: Shared,
        frame_max: u32,
    ) -> Self {
        // A frame is buffered whole before it is checked, so that the broker must not choose the limit alone.
        let frame_max = if frame_max == 0 { guard::DEFAULT_FRAME_MAX } else { frame_max };
        let (to_lapin, visible) = tokio::io::duplex(LAPIN_BUFFER);
        let shared = Arc::new(shared);
        let reading = reader::run(read, Inbound::new(Guard::new(frame_max)), to_lapin, shared.clone());
        let reader = tokio::spawn(reading).abort_handle();
        // Not aborted: it ends by itself when everything is written.
        tokio::spawn(writer::run(write, shared.clone()));
        Self { visible, reader, shared }
    }

    /// A handle that outlives the stream.
    pub(crate) fn handle(&self) -> StreamHandle {
        StreamHandle::new(Arc::clone(&self.shared))
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
            0 => Poll::Ready(this.shared.result_at_end().map(|()| 0)),
            bytes => Poll::Ready(Ok(bytes)),
        }
    }
}

impl AsyncWrite for GuardedStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.shared.poll_accept(cx, bytes)
    }

    /// Never waits: accepted bytes are written by the writing task.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.shared.check_alive())
    }

    /// Never waits: lapin blocks a thread on it, and a TLS shutdown with a frozen peer would block that thread for
    /// ever.
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.lapin_closed();
        Poll::Ready(Ok(()))
    }
}

impl Drop for GuardedStream {
    fn drop(&mut self) {
        self.shared.lapin_dropped();
        self.reader.abort();
    }
}
