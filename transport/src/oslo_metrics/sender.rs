//! The sending thread: one socket, and retries while the collector is unavailable.

#[cfg(unix)]
use std::os::unix::net::UnixDatagram;
use std::{
    io,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

use super::Counts;

/// How long a send may block on a collector that does not read, before it is retried.
#[cfg(unix)]
const SEND_LIMIT: Duration = Duration::from_secs(1);
/// The pause between attempts to reach an unavailable collector.
const PAUSE: Duration = Duration::from_millis(500);

pub(super) struct Sender {
    path: PathBuf,
    counts: Arc<Counts>,
    #[cfg(unix)]
    socket: Option<UnixDatagram>,
    /// Whether it was logged that the collector is unavailable.
    logged: bool,
}

impl Sender {
    pub(super) fn new(path: PathBuf, counts: Arc<Counts>) -> Self {
        Self {
            path,
            counts,
            #[cfg(unix)]
            socket: None,
            logged: false,
        }
    }

    /// Sends one datagram, retrying while the collector is unavailable. Drops it if a retry cannot succeed, or if every
    /// [`OsloMetrics`](super::OsloMetrics) was dropped.
    pub(super) fn send(&mut self, datagram: &[u8]) {
        while let Err(error) = self.attempt(datagram) {
            let closing = Arc::strong_count(&self.counts) == 1;
            if closing || !is_transient(error.kind()) {
                tracing::debug!(%error, size = datagram.len(), "cannot send a metric, dropping it");
                self.counts.drop_one();
                break;
            }
            if !std::mem::replace(&mut self.logged, true) {
                tracing::warn!(%error, socket = %self.path.display(), "the oslo.metrics collector is unavailable; metrics are queued, and dropped while the queue is full");
            }
            thread::sleep(PAUSE);
        }
        self.counts.done.fetch_add(1, Ordering::Release);
    }

    /// Sends over the open socket, or else over a new one.
    #[cfg(unix)]
    fn attempt(&mut self, datagram: &[u8]) -> io::Result<()> {
        // A restarted collector has a new socket at the same path.
        if let Some(socket) = &self.socket
            && socket.send(datagram).is_ok()
        {
            return Ok(());
        }
        self.socket = None;
        let socket = UnixDatagram::unbound()?;
        socket.connect(&self.path)?;
        socket.set_write_timeout(Some(SEND_LIMIT))?;
        socket.send(datagram)?;
        self.socket = Some(socket);
        if std::mem::take(&mut self.logged) {
            tracing::info!(socket = %self.path.display(), "the oslo.metrics collector is available again");
        }
        Ok(())
    }

    #[cfg(not(unix))]
    fn attempt(&mut self, _: &[u8]) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "this system has no Unix datagram sockets"))
    }
}

/// Whether the collector is missing or does not read, so that a retry may succeed. Any other error, such as a datagram above
/// the system's limit, would occur again.
fn is_transient(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{
        ConnectionRefused, ConnectionReset, Interrupted, NotFound, PermissionDenied, TimedOut, WouldBlock,
    };
    let transient = [ConnectionRefused, ConnectionReset, Interrupted, NotFound, PermissionDenied, TimedOut, WouldBlock];
    transient.contains(&kind)
}
