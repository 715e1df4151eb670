//! A server that runs in the background.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{error::ServeError, report::ServeReport};

pub(crate) type End = Option<Result<ServeReport, ServeError>>;

/// A server that runs in the background, on a task of its own.
///
/// Dropping it stops the server as [`stop`](Self::stop) does; nobody then learns how it ended.
#[derive(Debug)]
#[must_use = "dropping it stops the server"]
pub struct RunningServer {
    pub(crate) stop: CancellationToken,
    pub(crate) ready: Arc<AtomicBool>,
    pub(crate) end: watch::Receiver<End>,
}

impl RunningServer {
    /// Begins to stop: nothing more is taken, what runs may finish within the grace. Returns at once; a second call
    /// does nothing.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits until the server has ended, which needs [`stop`](Self::stop), or the transport's close, or a failure. It
    /// may be called more than once, and then says the same again.
    ///
    /// # Errors
    ///
    /// [`ServeError::Receive`] if the listener failed for good, [`ServeError::Cancelled`] if the runtime shut down.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the server is not touched by it.
    pub async fn wait(&self) -> Result<ServeReport, ServeError> {
        let mut end = self.end.clone();
        match end.wait_for(Option::is_some).await {
            Ok(end) => end.clone().unwrap_or(Err(ServeError::Cancelled)),
            Err(_) => Err(ServeError::Cancelled),
        }
    }

    /// Whether its consumers stand at the broker, as of at most half a second ago; `false` once it stops. A busy
    /// server, all of whose places are taken, keeps saying what it knew last.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
