//! What the shared flows need of one incarnation of a connection.

use std::{future::Future, time::Duration};

use oxlo_transport::{TransportError, backoff::Backoff, error::Refusal};
use tokio::time::Instant;

/// How long to wait after the broker allowed no further channel. Long, because a broker may close the connection, and with
/// it every other subscription, for each attempt.
pub const LIMIT_PAUSE: Duration = Duration::from_secs(15);
/// A subscription that lasted longer than this resets the backoff.
const STABLE_AFTER: Duration = Duration::from_secs(1);

/// One incarnation of a connection.
pub trait Session: Send + Sync + 'static {
    /// Resolves when this incarnation has ended.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    fn ended(&self) -> impl Future<Output = ()> + Send;
}

/// Why a subscription could not be made.
#[derive(Debug)]
pub enum AttachError {
    /// The broker refused it.
    Refused(TransportError),
    /// The connection, the session or the channel was lost: another attempt may succeed.
    Lost(TransportError),
}

/// The pauses between attempts to subscribe.
#[derive(Debug, Default)]
pub(crate) struct Pauses(Backoff);

impl Pauses {
    /// A subscription that was made at `since` has ended.
    pub(crate) fn ended(&mut self, since: Instant) {
        if since.elapsed() > STABLE_AFTER {
            self.0.reset();
        }
    }

    /// The pause before the next attempt, after a failure if there was one.
    pub(crate) fn next(&mut self, failure: Option<&TransportError>) -> Duration {
        match failure {
            Some(TransportError::Refused { refusal: Refusal::ChannelLimit, .. }) => LIMIT_PAUSE,
            _ => self.0.next(&mut rand::rng()),
        }
    }
}
