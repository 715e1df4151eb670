//! The state that a stream shares with its tasks and its handles.

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

use oxlo_driver_kit::tls::TlsError;
use socket2::SockRef;
use tokio::{net::TcpStream, sync::watch};
use tokio_util::sync::CancellationToken;

use super::{
    guard::{GuardError, content_header::Repair},
    handle::StreamEnd,
    outbox::Outbox,
    ports::Ports,
};

pub(super) struct Shared {
    killed: CancellationToken,
    /// lapin has nothing more to send.
    lapin_done: CancellationToken,
    outbox: Outbox,
    pub(super) end: watch::Sender<Option<StreamEnd>>,
    /// A second descriptor of the socket, for the kill switch and [`write_now`](Self::write_now); closed with the
    /// stream.
    socket: Mutex<Option<net::TcpStream>>,
    /// Bytes go to the socket unchanged, without TLS.
    plain: bool,
    /// A write failed. Bytes that the peer sent before it went (`connection.close`, a TLS alert) are still to be read.
    write_error: Mutex<Option<io::Error>>,
    ports: Ports,
    pub(super) in_flight: Arc<AtomicUsize>,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    headers_dropped: AtomicU64,
    created: Instant,
    /// Milliseconds from `created` to the last byte in.
    last_read: AtomicU64,
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
    pub(super) fn new(tcp: &TcpStream, plain: bool) -> Self {
        Self {
            killed: CancellationToken::new(),
            lapin_done: CancellationToken::new(),
            outbox: Outbox::default(),
            end: watch::Sender::new(None),
            // Without a second descriptor a kill still fails both directions; the socket then closes with the stream.
            socket: Mutex::new(SockRef::from(tcp).try_clone().ok().map(net::TcpStream::from)),
            plain,
            write_error: Mutex::new(None),
            ports: Ports::default(),
            in_flight: Arc::default(),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            headers_dropped: AtomicU64::new(0),
            created: Instant::now(),
            last_read: AtomicU64::new(0),
        }
    }

    pub(super) fn ports(&self) -> &Ports {
        &self.ports
    }

    pub(super) fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Accepts bytes of lapin for writing.
    pub(super) fn poll_accept(&self, cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // After a write error lapin waits until the reader knows why the connection failed.
        let accepted = self.outbox.poll_accept(cx, bytes, !self.has_write_error());
        // Checked last: a kill in between wakes lapin.
        self.check_alive()?;
        accepted.map(Ok)
    }

    /// Fails if the stream was killed.
    pub(super) fn check_alive(&self) -> io::Result<()> {
        if self.killed.is_cancelled() { Err(self.aborted()) } else { Ok(()) }
    }

    /// The result that lapin gets after the last byte: `Ok` if the peer closed in order.
    pub(super) fn result_at_end(&self) -> io::Result<()> {
        match &*self.end.borrow() {
            Some(StreamEnd::Failed(error)) => Err(copy(error.kind(), error)),
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

    pub(super) fn kill(&self, reason: &'static str) {
        self.finish(StreamEnd::Killed(reason));
        self.killed.cancel();
        self.reset();
    }

    /// Resolves when lapin has nothing more to send.
    pub(super) async fn lapin_done(&self) {
        self.lapin_done.cancelled().await;
    }

    /// lapin closed the stream: it has nothing more to send.
    pub(super) fn lapin_closed(&self) {
        self.lapin_done.cancel();
    }

    /// lapin dropped the stream.
    pub(super) fn lapin_dropped(&self) {
        self.finish(StreamEnd::Dropped);
        self.lapin_done.cancel();
    }

    pub(super) fn set_write_error(&self, error: io::Error) {
        *self.write_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    fn has_write_error(&self) -> bool {
        self.write_error.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    pub(super) fn take_write_error(&self) -> Option<io::Error> {
        self.write_error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether at most `limit` messages are in flight.
    pub(super) fn is_in_flight_at_most(&self, limit: usize) -> bool {
        self.in_flight.load(Ordering::Relaxed) <= limit
    }

    /// Writes as much as the socket takes without blocking, and returns the number of bytes. Writes nothing with TLS,
    /// or when the socket fails: the writing task meets the error.
    pub(super) fn write_now(&self, bytes: &[u8]) -> usize {
        if !self.plain || bytes.is_empty() {
            return 0;
        }
        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        let written = socket.as_ref().and_then(|mut socket| socket.write(bytes).ok()).unwrap_or(0);
        self.count_sent(written);
        written
    }

    /// Resets the socket without waiting for the peer; queued data is discarded.
    pub(super) fn reset(&self) {
        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(socket) = socket {
            // Both fail on a socket that is already down.
            let _ = SockRef::from(&socket).set_linger(Some(Duration::ZERO));
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// Closes the second descriptor, which would keep the connection open after the stream.
    pub(super) fn close_descriptor(&self) {
        drop(self.socket.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    pub(super) fn count_received(&self, bytes: usize) {
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
        let now = u64::try_from(self.created.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_read.store(now, Ordering::Relaxed);
    }

    pub(super) fn count_sent(&self, bytes: usize) {
        self.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn count_repair(&self, reason: Repair) {
        self.headers_dropped.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("oxlo_rabbit_headers_dropped_total", "reason" => reason.label()).increment(1);
        tracing::debug!(reason = reason.label(), "cannot parse the headers of a message, delivering it without them");
    }

    pub(super) fn bytes_in(&self) -> u64 {
        self.bytes_in.load(Ordering::Relaxed)
    }

    pub(super) fn bytes_out(&self) -> u64 {
        self.bytes_out.load(Ordering::Relaxed)
    }

    pub(super) fn headers_dropped(&self) -> u64 {
        self.headers_dropped.load(Ordering::Relaxed)
    }

    pub(super) fn silent_for(&self) -> Duration {
        let last_read = Duration::from_millis(self.last_read.load(Ordering::Relaxed));
        self.created.elapsed().saturating_sub(last_read)
    }

    /// Ends the stream with an error, whose typed cause is kept.
    pub(super) fn fail(&self, error: io::Error) {
        self.finish(StreamEnd::Failed(Arc::new(error)));
    }

    /// Ends the stream: the peer closed its side.
    pub(super) fn peer_closed(&self) {
        self.finish(StreamEnd::Closed);
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

/// A copy of an error with its typed cause: `io::Error` is not `Clone`, and both lapin and the supervisor need the
/// cause.
fn copy(kind: io::ErrorKind, error: &io::Error) -> io::Error {
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
