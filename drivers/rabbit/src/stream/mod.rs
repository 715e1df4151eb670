//! The stream under lapin: dialled by us, with TLS, a guard against headers that would kill the process, and a kill switch.
//!
//! What comes in is read by a task of ours (`reader`), which judges it (`inbound`, `guard`), hands messages and confirms to
//! whom they concern (`ports`), and leaves lapin the rest. What goes out, messages and acknowledgements of ours (`frames`)
//! and all else of lapin's, goes by one place (`outbox`), where another task of ours finds it and writes it (`writer`), unless
//! there is so little under way that whoever has it writes it himself.

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

use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

pub(crate) use frames::Frames;
use futures_io::{AsyncRead, AsyncWrite};
use guard::{Guard, GuardError};
use handle::Shared;
pub(crate) use handle::{StreamEnd, StreamHandle};
use inbound::Inbound;
pub(crate) use outbox::{Deferred, Sender};
use oxlo_driver_kit::{
    socket::Socket,
    tls::{self, TlsError},
};
use tokio::{
    io::{AsyncRead as TokioRead, AsyncWrite as TokioWrite, DuplexStream, ReadBuf},
    task::AbortHandle,
};

/// Whether an error that came out of a [`GuardedStream`], through lapin or not, is a permanent one: a peer that speaks
/// another protocol, or TLS trouble that a retry does not heal.
pub(crate) fn is_permanent(error: &io::Error) -> bool {
    let Some(inner) = error.get_ref() else { return false };
    inner.downcast_ref::<GuardError>().is_some_and(GuardError::is_permanent)
        || inner.downcast_ref::<TlsError>().is_some_and(TlsError::is_permanent)
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
}

impl fmt::Debug for GuardedStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedStream").field("shared", &self.shared).finish_non_exhaustive()
    }
}

impl GuardedStream {
    /// Guards a connection on which we offer `frame_max`; 0 stands for 131 072.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, which is what reads and writes it.
    pub(crate) fn new(socket: Socket, frame_max: u32) -> Self {
        match socket {
            Socket::Plain(tcp) => {
                let shared = Shared::of(&tcp, true);
                let (read, write) = tcp.into_split();
                Self::of(read, write, shared, frame_max)
            }
            Socket::Tls(stream) => {
                let shared = Shared::of(stream.get_ref().0, false);
                let (read, write) = tokio::io::split(*stream);
                Self::of(read, write, shared, frame_max)
            }
        }
    }

    fn of(
        read: impl TokioRead + Send + Unpin + 'static,
        write: impl TokioWrite + Send + Unpin + 'static,
        shared: Shared,
        frame_max: u32,
    ) -> Self {
        // A broker must not get to name it alone: a frame is read whole before it is judged.
        let frame_max = if frame_max == 0 { guard::DEFAULT_FRAME_MAX } else { frame_max };
        let (for_lapin, visible) = tokio::io::duplex(FOR_LAPIN);
        let shared = Arc::new(shared);
        let reading = reader::read(read, Inbound::new(Guard::new(frame_max)), for_lapin, shared.clone());
        let reader = tokio::spawn(reading).abort_handle();
        // Ends by itself, when it has written what there was.
        tokio::spawn(writer::write(write, shared.clone()));
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
