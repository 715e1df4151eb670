//! A handle that outlives a stream: its counters, its kill switch, and its end.

use std::{
    fmt, io,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use super::{outbox::ChannelSender, ports::Ports, shared::Shared};

/// How a stream ended. The first cause is kept.
#[derive(Clone, Debug)]
pub(crate) enum StreamEnd {
    /// The peer closed its side.
    Closed,
    /// Reading or writing failed, or the guard refused bytes of the peer. The typed cause is inside, see
    /// [`is_permanent`](super::is_permanent).
    Failed(Arc<io::Error>),
    /// [`StreamHandle::kill`], with its reason.
    Killed(&'static str),
    /// lapin dropped the stream, after closing the connection or an error of its own.
    Dropped,
}

impl fmt::Display for StreamEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the broker closed the connection"),
            Self::Failed(error) => write!(f, "{error}"),
            Self::Killed(reason) => write!(f, "the connection was aborted: {reason}"),
            Self::Dropped => f.write_str("the connection was closed"),
        }
    }
}

/// A handle to a [`GuardedStream`](super::GuardedStream), cheap to clone. Dropping it does nothing.
#[derive(Clone, Debug)]
pub(crate) struct StreamHandle {
    shared: Arc<Shared>,
}

impl StreamHandle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Ends the stream at once in both directions: pending reads and writes fail, unsent data is discarded, and the
    /// peer gets a reset. Has no effect on a stream that has ended.
    pub(crate) fn kill(&self, reason: &'static str) {
        self.shared.kill(reason);
    }

    /// Waits for the end of the stream; returns at once if it has ended.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the end stays known.
    pub(crate) async fn ended(&self) -> StreamEnd {
        let mut end = self.shared.end.subscribe();
        // The watch sender lives in `self.shared`, so that the wait cannot fail.
        match end.wait_for(Option::is_some).await {
            Ok(end) => end.clone().unwrap_or(StreamEnd::Dropped),
            Err(_) => StreamEnd::Dropped,
        }
    }

    /// The end of the stream, if it has ended.
    pub(crate) fn end(&self) -> Option<StreamEnd> {
        self.shared.end.borrow().clone()
    }

    /// Per-channel receivers of messages and confirms.
    pub(crate) fn ports(&self) -> &Ports {
        self.shared.ports()
    }

    /// A sender for a channel that lapin has opened.
    pub(crate) fn sender(&self, channel: u16) -> ChannelSender {
        ChannelSender::new(self.shared.clone(), channel, self.shared.outbox().frame_max())
    }

    /// The number of messages in flight on this stream: published and not confirmed, or delivered and not settled.
    pub(crate) fn in_flight(&self) -> Arc<AtomicUsize> {
        self.shared.in_flight.clone()
    }

    /// Bytes received, after TLS.
    #[cfg_attr(not(test), allow(dead_code, reason = "for observers of a connection"))]
    pub(crate) fn bytes_in(&self) -> u64 {
        self.shared.bytes_in()
    }

    /// Bytes sent, before TLS.
    #[cfg_attr(not(test), allow(dead_code, reason = "for observers of a connection"))]
    pub(crate) fn bytes_out(&self) -> u64 {
        self.shared.bytes_out()
    }

    /// Messages on this stream whose headers, properties or names the guard changed.
    #[cfg_attr(not(test), allow(dead_code, reason = "for observers of a connection"))]
    pub(crate) fn headers_dropped(&self) -> u64 {
        self.shared.headers_dropped()
    }

    /// Time since the last byte from the peer, or since the stream was created. Precise to the millisecond.
    #[cfg_attr(not(test), allow(dead_code, reason = "for observers of a connection"))]
    pub(crate) fn silent_for(&self) -> Duration {
        self.shared.silent_for()
    }
}
