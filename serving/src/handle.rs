//! The handle of a run in the background.

use std::sync::Arc;

use oxlo_transport::TransportError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::{control::Command, usage::UsageCheck};

/// A run on a task of its own, whose end is an `E`.
///
/// Dropping the handle stops the run as [`stop`](Self::stop) does, and logs a warning unless the run was stopped before.
#[derive(Debug)]
#[must_use = "dropping it stops the run"]
pub struct RunHandle<E> {
    pub(crate) stop: CancellationToken,
    pub(crate) force: CancellationToken,
    pub(crate) commands: mpsc::UnboundedSender<Command>,
    pub(crate) ready: watch::Receiver<bool>,
    pub(crate) end: watch::Receiver<Option<Arc<E>>>,
    pub(crate) usage: UsageCheck,
}

impl<E> RunHandle<E> {
    /// Starts a graceful stop and returns at once. A second call has no effect.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Stops at once, without a grace period.
    pub fn stop_now(&self) {
        self.force.cancel();
        self.stop.cancel();
    }

    /// Takes no more messages until [`resume`](Self::resume). Returns when that is so; running messages go on.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future pauses nevertheless.
    pub async fn pause(&self) {
        let (done, paused) = oneshot::channel();
        if self.commands.send(Command::Pause(done)).is_ok() {
            let _ = paused.await;
        }
    }

    /// Takes messages again, if it is not ready.
    ///
    /// # Errors
    ///
    /// Why the subscription failed; the run then stays paused. `Closed` if the run has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future resumes nevertheless.
    pub async fn resume(&self) -> Result<(), TransportError> {
        if *self.ready.borrow() { Ok(()) } else { self.reset().await }
    }

    /// Subscribes again and ends the old subscription. A paused run resumes.
    ///
    /// # Errors
    ///
    /// Why the subscription failed; the old one then stays. `Closed` if the run has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future resubscribes nevertheless.
    pub async fn reset(&self) -> Result<(), TransportError> {
        let (done, subscribed) = oneshot::channel();
        self.commands.send(Command::Subscribe(done)).map_err(|_| TransportError::Closed)?;
        subscribed.await.unwrap_or(Err(TransportError::Closed))
    }

    /// Waits until the run has ended; `None` if its runtime shut down before. Logs a warning, once, after 10 s of
    /// waiting for a run that nothing has stopped.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn wait(&self) -> Option<Arc<E>> {
        tokio::select! {
            biased;
            end = self.ended() => end,
            never = self.usage.waiting(&self.stop) => match never {},
        }
    }

    /// [`wait`](Self::wait) without the warning, for callers that stop the run themselves.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn ended(&self) -> Option<Arc<E>> {
        let mut end = self.end.clone();
        end.wait_for(Option::is_some).await.ok()?.clone()
    }

    /// Whether the subscription stands at the broker: `false` while disconnected, while paused, and after a stop.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// [`is_ready`](Self::is_ready), and every change of it.
    #[must_use]
    pub fn ready(&self) -> watch::Receiver<bool> {
        self.ready.clone()
    }
}

impl<E> Drop for RunHandle<E> {
    fn drop(&mut self) {
        self.usage.dropped(&self.stop, self.end.borrow().is_some());
        self.stop.cancel();
    }
}
