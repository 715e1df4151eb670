//! What outlives a stream: its counters, its kill switch, and the news of its end.

use std::{
    fmt,
    io::{self, Write as _},
    net::{self, Shutdown},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use socket2::SockRef;
use tokio::{net::TcpStream, sync::watch};
use tokio_util::sync::CancellationToken;

use super::{
    guard::content_header::Reason,
    outbox::{Outbox, Sender},
    ports::Ports,
};

/// How a stream ended. The first cause stays.
#[derive(Clone, Debug)]
pub(crate) enum StreamEnd {
    /// The peer closed its side.
    Closed,
    /// Reading or writing failed, or the guard refused what the peer sent. The typed cause is inside, see
    /// [`is_permanent`](super::is_permanent).
    Failed(Arc<io::Error>),
    /// [`StreamHandle::kill`], with its reason.
    Killed(&'static str),
    /// lapin let go of the stream, after a close by us or an error of its own.
    Dropped,
}

impl fmt::Display for StreamEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the broker closed the connection"),
            Self::Failed(error) => write!(f, "{error}"),
            Self::Killed(reason) => write!(f, "the connection was given up: {reason}"),
            Self::Dropped => f.write_str("the connection was closed"),
        }
    }
}

/// A handle on a [`GuardedStream`](super::GuardedStream), cheap to clone. Dropping it does nothing.
#[derive(Clone, Debug)]
pub(crate) struct StreamHandle {
    shared: Arc<Shared>,
}

impl StreamHandle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Ends the stream at once in both directions: what is being read or written fails, data that the kernel has not sent
    /// yet is thrown away, and the peer gets a reset. Does nothing to a stream that has ended.
    pub(crate) fn kill(&self, reason: &'static str) {
        self.shared.kill(reason);
    }

    /// Waits for the end of the stream and tells it; at once if it has ended.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the end stays known.
    pub(crate) async fn ended(&self) -> StreamEnd {
        let mut end = self.shared.end.subscribe();
        // The sender lives in what `self` holds, so that the wait cannot fail.
        match end.wait_for(Option::is_some).await {
            Ok(end) => end.clone().unwrap_or(StreamEnd::Dropped),
            Err(_) => StreamEnd::Dropped,
        }
    }

    /// The end of the stream, if it has ended.
    pub(crate) fn end(&self) -> Option<StreamEnd> {
        self.shared.end.borrow().clone()
    }

    /// Whither messages and confirms go on this stream.
    pub(crate) fn ports(&self) -> &Ports {
        &self.shared.ports
    }

    /// The right to send on a channel that lapin has opened.
    pub(crate) fn sender(&self, channel: u16) -> Sender {
        Sender::new(self.shared.clone(), channel, self.shared.outbox.frame_max())
    }

    /// How much is under way on it: messages that are neither confirmed nor lost, and deliveries that are not settled.
    pub(crate) fn under_way(&self) -> Arc<AtomicUsize> {
        self.shared.under_way.clone()
    }

    /// Bytes received, after TLS.
    #[cfg_attr(not(test), allow(dead_code, reason = "offered to whoever watches a connection"))]
    pub(crate) fn bytes_in(&self) -> u64 {
        self.shared.bytes_in.load(Ordering::Relaxed)
    }

    /// Bytes sent, before TLS.
    #[cfg_attr(not(test), allow(dead_code, reason = "offered to whoever watches a connection"))]
    pub(crate) fn bytes_out(&self) -> u64 {
        self.shared.bytes_out.load(Ordering::Relaxed)
    }

    /// Messages on this stream whose headers, properties or names the guard had to change.
    #[cfg_attr(not(test), allow(dead_code, reason = "offered to whoever watches a connection"))]
    pub(crate) fn headers_dropped(&self) -> u64 {
        self.shared.headers_dropped.load(Ordering::Relaxed)
    }

    /// How long ago the peer was last heard of: bytes received, or else the stream's beginning. To the millisecond.
    #[cfg_attr(not(test), allow(dead_code, reason = "offered to whoever watches a connection"))]
    pub(crate) fn silent_for(&self) -> Duration {
        let heard = Duration::from_millis(self.shared.heard.load(Ordering::Relaxed));
        self.shared.born.elapsed().saturating_sub(heard)
    }
}

pub(super) struct Shared {
    killed: CancellationToken,
    /// lapin is done with the stream.
    let_go: CancellationToken,
    outbox: Outbox,
    end: watch::Sender<Option<StreamEnd>>,
    /// A second descriptor of the socket, for the kill switch and [`write_now`](Self::write_now); gone with the stream.
    socket: Mutex<Option<net::TcpStream>>,
    /// What is written goes to the socket as it is, without TLS.
    plain: bool,
    /// A write failed. What the peer had to say before it went (`connection.close`, a TLS alert) is still to be read.
    unwritable: Mutex<Option<io::Error>>,
    ports: Ports,
    under_way: Arc<AtomicUsize>,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    headers_dropped: AtomicU64,
    born: Instant,
    /// Milliseconds from `born` to the last byte in.
    heard: AtomicU64,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("end", &*self.end.borrow())
            .field("bytes_in", &self.bytes_in)
            .field("bytes_out", &self.bytes_out)
            .field("headers_dropped", &self.headers_dropped)
            .finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn of(tcp: &TcpStream, plain: bool) -> Self {
        Self {
            killed: CancellationToken::new(),
            let_go: CancellationToken::new(),
            outbox: Outbox::default(),
            end: watch::Sender::new(None),
            // Without it (no descriptors left) a kill still fails both directions; the socket then closes with the stream.
            socket: Mutex::new(SockRef::from(tcp).try_clone().ok().map(net::TcpStream::from)),
            plain,
            unwritable: Mutex::new(None),
            ports: Ports::default(),
            under_way: Arc::default(),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            headers_dropped: AtomicU64::new(0),
            born: Instant::now(),
            heard: AtomicU64::new(0),
        }
    }

    /// Takes bytes of lapin's that are to be written.
    pub(super) fn poll_take(&self, cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // What cannot be written waits for the reader to find out why.
        let taken = self.outbox.poll_take(cx, bytes, !self.is_unwritable());
        // Looked at last: a kill in between wakes.
        self.alive()?;
        taken.map(Ok)
    }

    /// Fails if the stream was killed.
    pub(super) fn alive(&self) -> io::Result<()> {
        if self.killed.is_cancelled() { Err(self.aborted()) } else { Ok(()) }
    }

    /// What to say to lapin behind the last byte: `Ok` if the peer closed in order.
    pub(super) fn last_word(&self) -> io::Result<()> {
        match &*self.end.borrow() {
            Some(StreamEnd::Failed(error)) => Err(copy_of(error.kind(), error)),
            Some(StreamEnd::Killed(_)) => Err(self.aborted()),
            _ => Ok(()),
        }
    }

    fn aborted(&self) -> io::Error {
        let end = self.end.borrow().as_ref().map(StreamEnd::to_string).unwrap_or_default();
        io::Error::new(io::ErrorKind::ConnectionAborted, end)
    }

    /// Resolves when the stream is killed.
    pub(super) async fn killed(&self) {
        self.killed.cancelled().await;
    }

    fn kill(&self, reason: &'static str) {
        self.finish(StreamEnd::Killed(reason));
        self.killed.cancel();
        self.shut();
    }

    /// Resolves when lapin is done with the stream.
    pub(super) async fn let_go(&self) {
        self.let_go.cancelled().await;
    }

    pub(super) fn cannot_write(&self, error: io::Error) {
        *self.unwritable.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    pub(super) fn is_unwritable(&self) -> bool {
        self.unwritable.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    pub(super) fn unwritable(&self) -> Option<io::Error> {
        self.unwritable.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn ports(&self) -> &Ports {
        &self.ports
    }

    pub(super) fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Whether no more than this is under way.
    pub(super) fn is_under_way_at_most(&self, most: usize) -> bool {
        self.under_way.load(Ordering::Relaxed) <= most
    }

    /// Writes what the socket takes without waiting, and says how many bytes that were. None where TLS is in between, or
    /// where it fails: whoever writes else comes upon the error.
    pub(super) fn write_now(&self, bytes: &[u8]) -> usize {
        if !self.plain || bytes.is_empty() {
            return 0;
        }
        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        let written = socket.as_ref().and_then(|mut socket| socket.write(bytes).ok()).unwrap_or(0);
        self.sent(written);
        written
    }

    /// Ends the socket without waiting for the peer: the close that follows sends a reset, not what is still queued.
    pub(super) fn shut(&self) {
        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(socket) = socket {
            // Both fail on a socket that is down already, which is what they are for.
            let _ = SockRef::from(&socket).set_linger(Some(Duration::ZERO));
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    pub(super) fn received(&self, bytes: usize) {
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
        let heard = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard.store(heard, Ordering::Relaxed);
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn header_dropped(&self, reason: Reason) {
        self.headers_dropped.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("oxlo_rabbit_headers_dropped_total", "reason" => reason.label()).increment(1);
        tracing::debug!(
            reason = reason.label(),
            "a message came with headers that cannot be parsed; it is delivered without them"
        );
    }

    /// Notes an error as the stream's end and hands it on, with its typed cause intact.
    pub(super) fn failed(&self, error: io::Error) -> io::Error {
        let kind = error.kind();
        let kept = Arc::new(error);
        self.finish(StreamEnd::Failed(Arc::clone(&kept)));
        copy_of(kind, &kept)
    }

    pub(super) fn closed(&self) {
        self.finish(StreamEnd::Closed);
    }

    /// lapin has nothing more to send.
    pub(super) fn finished(&self) {
        self.let_go.cancel();
    }

    pub(super) fn dropped(&self) {
        self.finish(StreamEnd::Dropped);
        self.let_go.cancel();
    }

    /// Gives up the second descriptor: it would keep the connection open behind the stream.
    pub(super) fn release(&self) {
        drop(self.socket.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    fn finish(&self, end: StreamEnd) {
        self.end.send_if_modified(|known| {
            let first = known.is_none();
            if first {
                *known = Some(end);
            }
            first
        });
        self.outbox.close();
        self.ports.end();
    }
}

/// `io::Error` cannot be cloned, and both lapin and the supervisor want the cause.
fn copy_of(kind: io::ErrorKind, error: &io::Error) -> io::Error {
    use oxlo_driver_kit::tls::TlsError;

    use super::guard::GuardError;
    let inner = error.get_ref();
    if let Some(cause) = inner.and_then(|inner| inner.downcast_ref::<GuardError>()) {
        return io::Error::new(kind, cause.clone());
    }
    if let Some(cause) = inner.and_then(|inner| inner.downcast_ref::<TlsError>()) {
        return io::Error::new(kind, cause.clone());
    }
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(kind, error.to_string()),
    }
}
