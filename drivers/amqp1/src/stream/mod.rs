//! The socket under fe2o3-amqp: it checks what fe2o3-amqp reads, changes what it writes, and sends in batches.
//!
//! Inbound, [`guard`] checks every frame. Outbound, [`outbound`] adapts frames. [`channel_numbers`] maps the numbers of
//! sessions in both directions. This is the lowest layer: it names no type of the modules above it.

pub(crate) mod channel_numbers;
pub(crate) mod guard;
mod handle;
mod outbound;

#[cfg(test)]
mod tests;

use std::{
    fmt, io,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
};

use oxlo_driver_kit::{
    socket::Socket,
    tls::{self, TlsError},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::{poll_read_buf, poll_write_buf};

use self::{channel_numbers::ChannelNumbers, guard::Guard, handle::Shared, outbound::Outbound};
pub(crate) use self::{
    guard::{GuardError, Opened},
    handle::StreamHandle,
};

/// Bytes to read from the socket at a time.
const READ_CHUNK: usize = 64 * 1024;
/// Bytes that may wait for the socket.
const MAX_WAITING: usize = 64 * 1024;

/// A connection to a broker as fe2o3-amqp sees it: only bytes that fe2o3-amqp can parse come out of it. Dropping it
/// closes the connection.
///
/// fe2o3-amqp flushes after each frame, and has one task, which writes, and reads when it has nothing to write. So
/// flushing is left to reading: waiting bytes go to the socket at once when two reads in a row find nothing and nothing
/// was written in between. In between, the other tasks run and can add their frames.
pub(crate) struct GuardedStream {
    socket: Socket,
    guard: Guard,
    outbound: Outbound,
    numbers: ChannelNumbers,
    /// Maximum number of sessions.
    max_sessions: u32,
    shared: Arc<Shared>,
}

impl fmt::Debug for GuardedStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedStream")
            .field("tls", &matches!(self.socket, Socket::Tls(_)))
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}

/// Whether an error of a stream is permanent: the peer speaks another protocol, or TLS failed in a way that a retry
/// does not cure.
pub(crate) fn is_permanent(error: &io::Error) -> bool {
    let Some(inner) = error.get_ref() else { return false };
    inner.downcast_ref::<GuardError>().is_some_and(GuardError::is_permanent)
        || inner.downcast_ref::<TlsError>().is_some_and(TlsError::is_permanent)
}

impl GuardedStream {
    /// Guards a connection. `frame_max` is the largest frame in bytes that the peer may send, and fe2o3-amqp must be
    /// configured with [`GROWTH`](crate::fe2o3_internals::GROWTH) more. `message_max` is the largest message in bytes
    /// that passes whole. `channel_max` is the highest channel number of a session.
    pub(crate) fn new(socket: Socket, frame_max: u32, message_max: usize, channel_max: u16) -> Self {
        Self {
            socket,
            guard: Guard::new(frame_max, message_max),
            outbound: Outbound::default(),
            numbers: ChannelNumbers::default(),
            max_sessions: u32::from(channel_max) + 1,
            shared: Arc::default(),
        }
    }

    /// A handle that outlives the stream.
    pub(crate) fn handle(&self) -> StreamHandle {
        StreamHandle::new(self.shared.clone())
    }

    /// Abandons a session on request, ends late ones, and releases the permits of sessions that are over.
    fn update_sessions(&mut self) {
        if self.shared.abandon.load(Ordering::Acquire) {
            self.shared.abandon.store(false, Ordering::Release);
            self.numbers.abandon();
            self.shared.abandoned.notify_waiters();
        }
        while let Some(number) = self.guard.take_unwanted() {
            self.outbound.end_session(number);
        }
        let freed = self.numbers.take_freed();
        if freed > 0 {
            self.shared.sessions.add_permits(freed);
        }
    }

    /// Writes all waiting bytes to the socket.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outbound.is_empty() {
            if ready!(poll_write_buf(Pin::new(&mut self.socket), cx, self.outbound.bytes()))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
        }
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    /// Writes waiting bytes to the socket, unless more may follow at once.
    fn send_when_quiet(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.outbound.take_has_grown() {
            cx.waker().wake_by_ref();
            return Ok(());
        }
        match self.poll_send(cx) {
            Poll::Ready(Err(error)) => Err(self.failed(error)),
            _ => Ok(()),
        }
    }

    fn failed(&self, error: io::Error) -> io::Error {
        self.shared.failed(tls::classified(error))
    }

    fn refused(&self, error: GuardError) -> io::Error {
        self.shared.failed(io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

impl AsyncRead for GuardedStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.shared.check_alive(&this.shared.reader, cx)?;
        this.update_sessions();
        loop {
            if room.remaining() == 0 || guard::copy_into(this.guard.outbox(), room) {
                return Poll::Ready(Ok(()));
            }
            let inbox = this.guard.inbox();
            inbox.reserve(READ_CHUNK);
            let Poll::Ready(read) = poll_read_buf(Pin::new(&mut this.socket), cx, inbox) else {
                this.send_when_quiet(cx)?;
                return Poll::Pending;
            };
            let bytes = read.map_err(|error| this.failed(error))?;
            if bytes == 0 {
                return Poll::Ready(match this.guard.error_at_end() {
                    Some(error) => Err(this.refused(error)),
                    None => Ok(()),
                });
            }
            let processed = this.guard.process(&mut this.numbers);
            processed.map_err(|error| this.refused(error))?;
            if let Some(opened) = this.guard.opened() {
                let max_sessions = (u32::from(opened.channel_max) + 1).min(this.max_sessions);
                if this.shared.opened.set(opened).is_ok() {
                    this.numbers.set_max(max_sessions);
                    this.shared.sessions.add_permits(max_sessions as usize);
                }
            }
            this.shared.handle_max.store(this.guard.handle_max(), Ordering::Release);
            this.update_sessions();
        }
    }
}

impl AsyncWrite for GuardedStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.shared.check_alive(&this.shared.writer, cx)?;
        if this.outbound.bytes().len() >= MAX_WAITING {
            ready!(this.poll_send(cx)).map_err(|error| this.failed(error))?;
        }
        this.update_sessions();
        let written = this.outbound.write(bytes, &mut this.numbers);
        written.map_err(|error| this.refused(error))?;
        this.guard.count_deliveries(this.outbound.take_deliveries());
        Poll::Ready(Ok(bytes.len()))
    }

    /// Does nothing; see [`GuardedStream`].
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.shared.check_alive(&this.shared.writer, cx)?;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.shared.check_alive(&this.shared.writer, cx)?;
        ready!(this.poll_send(cx)).map_err(|error| this.failed(error))?;
        Pin::new(&mut this.socket).poll_shutdown(cx)
    }
}
