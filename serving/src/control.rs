//! Commands to a run, and the limits of its life.

use oxlo_transport::TransportError;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until},
};

/// A command from the handle of a run.
#[derive(Debug)]
pub(crate) enum Command {
    /// Take no more messages until the next `Subscribe`.
    Pause(oneshot::Sender<()>),
    /// Subscribe again, replacing the current subscription if there is one.
    Subscribe(oneshot::Sender<Result<(), TransportError>>),
}

/// When a run ends that is not stopped before.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// After this many messages.
    pub messages: Option<u64>,
    /// At this moment.
    pub until: Option<Instant>,
}

impl Limits {
    /// Whether a run ends by itself.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        self.messages.is_some() || self.until.is_some()
    }

    /// The prefetch that does not fetch more than the run may still take; at least 1.
    #[must_use]
    pub fn prefetch(&self, prefetch: u16, taken: u64) -> u16 {
        let left = self.messages.map_or(u64::MAX, |most| most.saturating_sub(taken));
        prefetch.min(u16::try_from(left).unwrap_or(u16::MAX)).max(1)
    }

    pub(crate) fn is_reached(&self, taken: u64) -> bool {
        self.messages.is_some_and(|most| taken >= most)
    }

    /// Resolves at the deadline.
    pub(crate) async fn deadline(&self) {
        match self.until {
            Some(until) => sleep_until(until).await,
            None => std::future::pending().await,
        }
    }
}
