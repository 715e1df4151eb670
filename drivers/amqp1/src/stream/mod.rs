//! The stream under fe2o3-amqp: dialled by us, with TLS, a guard against what would kill the process, and a kill switch.

pub(crate) mod channels;
pub(crate) mod guard;
mod outbound;

#[cfg(test)]
mod tests;

use std::{
    fmt, io,
    pin::Pin,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Context, Poll, ready},
};

use futures_util::task::AtomicWaker;
use oxlo_driver_kit::{
    socket::Socket,
    tls::{self, TlsError},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{Notify, Semaphore},
};
use tokio_util::io::{poll_read_buf, poll_write_buf};

use self::{channels::Channels, guard::Guard, outbound::Outbound};
pub(crate) use self::{
    guard::{GROWTH, GuardError, Opened},
    outbound::{PAIR_RECEIVER, PAIR_SENDER, SURPLUS},
};

/// What is asked of the socket at a time.
const CHUNK: usize = 64 * 1024;
/// How much waits at most for the socket to take it.
const FULL: usize = 64 * 1024;

/// A connection to a broker as fe2o3-amqp sees it: only bytes that it survives come out of it. Dropping it closes the
/// connection.
///
/// fe2o3-amqp flushes after each frame, and has one task that writes, and reads whenever it has nothing else to do. So
/// flushing is left to reading: what was written goes to the socket, all at once, when twice in a row nothing came and nothing
/// was written in between. In between the other tasks get their turn, and with it the chance to add their frames.
pub(crate) struct GuardedStream {
    socket: Socket,
    guard: Guard,
    outbound: Outbound,
    channels: Channels,
    /// How many sessions we use at most.
    channels_max: u32,
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

/// What a stream's owner can do with it and learn of it. Dropping it does nothing.
#[derive(Clone, Debug)]
pub(crate) struct StreamHandle(Arc<Shared>);

impl StreamHandle {
    /// Ends the stream at once in both directions.
    pub(crate) fn kill(&self) {
        self.0.killed.store(true, Ordering::Release);
        self.0.reader.wake();
        self.0.writer.wake();
    }

    /// What the peer said of itself; nothing before it opened.
    pub(crate) fn opened(&self) -> Opened {
        self.0.opened.get().cloned().unwrap_or_default()
    }

    /// A permit for each session that may still be begun; there are none before the peer opened.
    pub(crate) fn room(&self) -> &Semaphore {
        &self.0.room
    }

    /// How many links each session may have.
    pub(crate) fn links_max(&self) -> u32 {
        self.0.handle_max.load(Ordering::Acquire).saturating_add(1)
    }

    /// Gives up the session that was begun last, if the broker has not begun it: fe2o3-amqp hears nothing of it any more
    /// once this returns.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives it up all the same.
    pub(crate) async fn abandon_session(&self) {
        let abandoned = self.0.abandoned.notified();
        self.0.abandon.store(true, Ordering::Release);
        self.0.reader.wake();
        abandoned.await;
    }

    /// The first thing that went wrong.
    pub(crate) fn failure(&self) -> Option<Arc<io::Error>> {
        self.0.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[derive(Debug)]
struct Shared {
    killed: AtomicBool,
    /// Whether the session that was not begun is to be given up, and when it was.
    abandon: AtomicBool,
    abandoned: Notify,
    room: Semaphore,
    handle_max: AtomicU32,
    reader: AtomicWaker,
    writer: AtomicWaker,
    opened: OnceLock<Opened>,
    failure: Mutex<Option<Arc<io::Error>>>,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            killed: AtomicBool::new(false),
            abandon: AtomicBool::new(false),
            abandoned: Notify::new(),
            room: Semaphore::new(0),
            handle_max: AtomicU32::new(u32::MAX),
            reader: AtomicWaker::new(),
            writer: AtomicWaker::new(),
            opened: OnceLock::new(),
            failure: Mutex::new(None),
        }
    }
}

impl Shared {
    /// Notes an error, and hands a copy on: fe2o3-amqp keeps none of its cause.
    fn failed(&self, error: io::Error) -> io::Error {
        let copy = io::Error::new(error.kind(), error.to_string());
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| Arc::new(error));
        copy
    }

    fn alive(&self, waker: &AtomicWaker, cx: &Context<'_>) -> io::Result<()> {
        // Register first, look second: a kill in between wakes.
        waker.register(cx.waker());
        if self.killed.load(Ordering::Acquire) {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the connection was given up"));
        }
        Ok(())
    }
}

/// Whether an error of a stream is a permanent one: a peer that speaks another protocol, or TLS trouble that a retry does
/// not heal.
pub(crate) fn is_permanent(error: &io::Error) -> bool {
    let Some(inner) = error.get_ref() else { return false };
    inner.downcast_ref::<GuardError>().is_some_and(GuardError::is_permanent)
        || inner.downcast_ref::<TlsError>().is_some_and(TlsError::is_permanent)
}

impl GuardedStream {
    /// Guards a connection. `frame_max` is the largest frame that the peer may send, of which fe2o3-amqp must be told
    /// [`GROWTH`] more; `message_max` the largest message that is let through whole; `channel_max` the highest number of a
    /// session.
    pub(crate) fn new(socket: Socket, frame_max: u32, message_max: usize, channel_max: u16) -> Self {
        Self {
            socket,
            guard: Guard::new(frame_max, message_max),
            outbound: Outbound::default(),
            channels: Channels::default(),
            channels_max: u32::from(channel_max) + 1,
            shared: Arc::default(),
        }
    }

    /// A handle that outlives the stream.
    pub(crate) fn handle(&self) -> StreamHandle {
        StreamHandle(self.shared.clone())
    }

    /// Does what was learnt of sessions and asked about them.
    fn see_to_sessions(&mut self) {
        if self.shared.abandon.load(Ordering::Acquire) {
            self.shared.abandon.store(false, Ordering::Release);
            self.channels.abandon();
            self.shared.abandoned.notify_waiters();
        }
        while let Some(number) = self.guard.take_to_end() {
            self.outbound.end(number);
        }
        let freed = self.channels.freed();
        if freed > 0 {
            self.shared.room.add_permits(freed);
        }
    }

    /// Hands what was written to the socket, all of it.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outbound.is_empty() {
            if ready!(poll_write_buf(Pin::new(&mut self.socket), cx, self.outbound.bytes()))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
        }
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    /// Sends what was written, unless more may follow at once.
    fn send_when_quiet(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.outbound.is_growing() {
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
        this.shared.alive(&this.shared.reader, cx)?;
        this.see_to_sessions();
        loop {
            if room.remaining() == 0 || guard::take(this.guard.outbox(), room) {
                return Poll::Ready(Ok(()));
            }
            let inbox = this.guard.inbox();
            inbox.reserve(CHUNK);
            let Poll::Ready(read) = poll_read_buf(Pin::new(&mut this.socket), cx, inbox) else {
                this.send_when_quiet(cx)?;
                return Poll::Pending;
            };
            let bytes = read.map_err(|error| this.failed(error))?;
            if bytes == 0 {
                return Poll::Ready(match this.guard.ended() {
                    Some(error) => Err(this.refused(error)),
                    None => Ok(()),
                });
            }
            let worked = this.guard.work(&mut this.channels);
            worked.map_err(|error| this.refused(error))?;
            if let Some(opened) = this.guard.opened() {
                let most = (u32::from(opened.channel_max) + 1).min(this.channels_max);
                if this.shared.opened.set(opened).is_ok() {
                    this.channels.allow(most);
                    this.shared.room.add_permits(most as usize);
                }
            }
            this.shared.handle_max.store(this.guard.handle_max(), Ordering::Release);
            this.see_to_sessions();
        }
    }
}

impl AsyncWrite for GuardedStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.shared.alive(&this.shared.writer, cx)?;
        if this.outbound.bytes().len() >= FULL {
            ready!(this.poll_send(cx)).map_err(|error| this.failed(error))?;
        }
        this.see_to_sessions();
        let written = this.outbound.write(bytes, &mut this.channels);
        written.map_err(|error| this.refused(error))?;
        this.guard.delivered(this.outbound.take_deliveries());
        Poll::Ready(Ok(bytes.len()))
    }

    /// Does nothing; see [`GuardedStream`].
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.shared.alive(&this.shared.writer, cx)?;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.shared.alive(&this.shared.writer, cx)?;
        ready!(this.poll_send(cx)).map_err(|error| this.failed(error))?;
        Pin::new(&mut this.socket).poll_shutdown(cx)
    }
}
