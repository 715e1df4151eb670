//! A listener that runs in the background.

use std::sync::Arc;

use oxlo_serving::RunHandle;
use oxlo_transport::TransportError;
use tokio::sync::watch;

use super::{error::ListenError, report::ListenReport};

pub(crate) type End = Result<ListenReport, ListenError>;

/// A listener that runs in the background, on a task of its own.
///
/// Dropping it stops the listener as [`stop`](Self::stop) does, discards the report, and logs a warning unless the
/// listener was stopped before.
#[derive(Debug)]
#[must_use = "dropping it stops the listener"]
pub struct RunningListener {
    pub(crate) run: RunHandle<End>,
}

impl RunningListener {
    /// Starts a graceful stop and returns at once: the listener takes no more notifications, and running handlers may
    /// finish within the grace period. A second call has no effect.
    pub fn stop(&self) {
        self.run.stop();
    }

    /// Stops at once, without a grace period: handlers are dropped, and their notifications return to the broker.
    pub fn stop_now(&self) {
        self.run.stop_now();
    }

    /// Takes no more notifications until [`resume`](Self::resume). Notifications that were fetched and did not start
    /// return to the broker; running handlers go on. Returns when no more notifications are taken.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future pauses nevertheless.
    pub async fn pause(&self) {
        self.run.pause().await;
    }

    /// Takes notifications again.
    ///
    /// # Errors
    ///
    /// [`TransportError`] if the subscription fails; the listener then stays paused. `Closed` if the listener has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future resumes nevertheless.
    pub async fn resume(&self) -> Result<(), TransportError> {
        self.run.resume().await
    }

    /// Waits until the listener has ended: after [`stop`](Self::stop), after the transport was closed, or because of a
    /// failure. It may be called again, with the same result. After 10 s of waiting for a listener that nothing has
    /// stopped a warning is logged, once.
    ///
    /// # Errors
    ///
    /// [`ListenError::Receive`] if the listener failed permanently, [`ListenError::Cancelled`] if the runtime shut down.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the listener goes on.
    pub async fn wait(&self) -> Result<ListenReport, ListenError> {
        end(self.run.wait().await)
    }

    /// [`wait`](Self::wait) without the warning, for callers that stop the listener themselves.
    pub(crate) async fn ended(&self) -> Result<ListenReport, ListenError> {
        end(self.run.ended().await)
    }

    /// Whether the listener is subscribed at the broker: `false` while the connection is lost, while the listener is
    /// paused, and after a stop. Drivers that do not report changes are polled every 500 ms.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.run.is_ready()
    }

    /// [`is_ready`](Self::is_ready), and every change of it.
    #[must_use]
    pub fn ready(&self) -> watch::Receiver<bool> {
        self.run.ready()
    }
}

fn end(end: Option<Arc<End>>) -> End {
    end.map_or(Err(ListenError::Cancelled), |end| (*end).clone())
}
