//! The thread's half: one socket, and patience with a collector that is away.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

#[cfg(unix)]
use std::os::unix::net::UnixDatagram;

use super::Counts;

/// How long a collector that does not read may hold the thread up until it is tried anew.
#[cfg(unix)]
const SEND_LIMIT: Duration = Duration::from_secs(1);
/// Until a collector that is away is tried again.
const PAUSE: Duration = Duration::from_millis(500);

pub(super) struct Sender {
    path: PathBuf,
    counts: Arc<Counts>,
    #[cfg(unix)]
    socket: Option<UnixDatagram>,
    /// Whether the log has said that the collector is away.
    complained: bool,
}

impl Sender {
    pub(super) fn new(path: PathBuf, counts: Arc<Counts>) -> Self {
        Self {
            path,
            counts,
            #[cfg(unix)]
            socket: None,
            complained: false,
        }
    }

    /// Sends one datagram, however long its receiver is away; drops it where sending it again would fail again, and
    /// where nobody is left who tells more.
    pub(super) fn send(&mut self, datagram: &[u8]) {
        while let Err(error) = self.attempt(datagram) {
            let over = Arc::strong_count(&self.counts) == 1;
            if over || !is_away(error.kind()) {
                tracing::debug!(%error, size = datagram.len(), "a metric cannot be sent and is dropped");
                self.counts.drop_one();
                break;
            }
            if !std::mem::replace(&mut self.complained, true) {
                tracing::warn!(%error, socket = %self.path.display(), "the collector of oslo.metrics cannot be reached; metrics wait for it, and are dropped when their queue is full");
            }
            thread::sleep(PAUSE);
        }
        self.counts.done.fetch_add(1, Ordering::Release);
    }

    /// Over the socket that is there, or else over a new one.
    #[cfg(unix)]
    fn attempt(&mut self, datagram: &[u8]) -> io::Result<()> {
        // A collector that was restarted has another socket at the same path.
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
        if std::mem::take(&mut self.complained) {
            tracing::info!(socket = %self.path.display(), "the collector of oslo.metrics is there again");
        }
        Ok(())
    }

    #[cfg(not(unix))]
    fn attempt(&mut self, _: &[u8]) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "this system has no Unix datagram sockets"))
    }
}

/// Whether it is the collector that is not there, or does not read. Everything else, such as a datagram above the system's
/// limit, would fail again.
fn is_away(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{
        ConnectionRefused, ConnectionReset, Interrupted, NotFound, PermissionDenied, TimedOut, WouldBlock,
    };
    let away = [ConnectionRefused, ConnectionReset, Interrupted, NotFound, PermissionDenied, TimedOut, WouldBlock];
    away.contains(&kind)
}
