//! A listener that runs in the background.

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::report::{ListenError, ListenReport};
use crate::oversight::Oversight;

/// A listener that runs in the background, on a task of its own.
///
/// Dropping it stops the listener as [`stop`](Self::stop) does; nobody then learns how it ended. If nobody stopped it
/// before, a warning says so.
#[derive(Debug)]
#[must_use = "dropping it stops the listener"]
pub struct RunningListener {
    pub(crate) stop: CancellationToken,
    pub(crate) force: CancellationToken,
    pub(crate) ready: watch::Receiver<bool>,
    pub(crate) end: watch::Receiver<Option<Result<ListenReport, ListenError>>>,
    pub(crate) oversight: Oversight,
}

impl RunningListener {
    /// Begins to stop: nothing more is taken, what runs may finish within the grace. Returns at once.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Ends at once, without grace: handlers are dropped where they wait, and their notifications go back to the
    /// broker.
    pub fn stop_now(&self) {
        self.force.cancel();
        self.stop.cancel();
    }

    /// Waits until the listener has ended, which needs [`stop`](Self::stop), or the transport's close, or a failure. It
    /// may be called more than once, and then says the same again. When it has waited 10 s for a listener that nothing
    /// has told to stop, a warning names the listener, once.
    ///
    /// # Errors
    ///
    /// [`ListenError::Receive`] if it failed for good, [`ListenError::Cancelled`] if the runtime shut down.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the listener is not touched by it.
    pub async fn wait(&self) -> Result<ListenReport, ListenError> {
        tokio::select! {
            biased;
            ended = self.ended() => ended,
            never = self.oversight.waiting(&self.stop) => match never {},
        }
    }

    /// As [`wait`](Self::wait), for those who stop it themselves.
    pub(crate) async fn ended(&self) -> Result<ListenReport, ListenError> {
        let mut end = self.end.clone();
        match end.wait_for(Option::is_some).await {
            Ok(end) => end.clone().unwrap_or(Err(ListenError::Cancelled)),
            Err(_) => Err(ListenError::Cancelled),
        }
    }

    /// Whether it is subscribed at the broker: `false` while the connection is lost, and once it stops. Drivers that
    /// do not report changes are asked every half second.
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

impl Drop for RunningListener {
    fn drop(&mut self) {
        self.oversight.dropped(&self.stop, self.end.borrow().is_some());
        self.stop.cancel();
    }
}
