//! What a running server can be told, and how long it serves.

use oxlo_transport::TransportError;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until},
};

/// What a running server is told.
#[derive(Debug)]
pub(crate) enum Command {
    /// Take nothing more, until told otherwise.
    Pause(oneshot::Sender<()>),
    /// Subscribe again, also where it is subscribed.
    Subscribe(oneshot::Sender<Result<(), TransportError>>),
}

/// How long a server serves if nobody stops it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bounds {
    pub(crate) requests: Option<u64>,
    pub(crate) until: Option<Instant>,
}

impl Bounds {
    /// How many requests may be held, with `taken` of them behind us.
    pub(crate) fn prefetch(&self, prefetch: u16, taken: u64) -> u16 {
        let left = self.requests.map_or(u64::MAX, |most| most.saturating_sub(taken));
        prefetch.min(u16::try_from(left).unwrap_or(u16::MAX)).max(1)
    }

    pub(crate) fn is_reached(&self, taken: u64) -> bool {
        self.requests.is_some_and(|most| taken >= most)
    }

    /// Resolves at the deadline.
    pub(crate) async fn over(&self) {
        match self.until {
            Some(until) => sleep_until(until).await,
            None => std::future::pending().await,
        }
    }
}
