//! An event listener that runs in the background.

use std::future::{Future, pending};

use futures_util::future::join_all;

use crate::listener::{ListenError, ListenReport, RunningListener};

/// An event listener that runs in the background, each subscription on a task of its own.
///
/// Dropping it stops the listener as [`stop`](Self::stop) does, discards the report, and logs a warning unless the
/// listener was stopped before.
#[derive(Debug)]
#[must_use = "dropping it stops the listener"]
pub struct RunningEventListener {
    pub(super) listeners: Vec<RunningListener>,
}

impl RunningEventListener {
    /// Starts a graceful stop and returns at once: the listener takes no more events, and running handlers may finish
    /// within the grace period. A second call has no effect.
    pub fn stop(&self) {
        self.listeners.iter().for_each(RunningListener::stop);
    }

    /// Stops at once, without a grace period; see [`RunningListener::stop_now`].
    pub fn stop_now(&self) {
        self.listeners.iter().for_each(RunningListener::stop_now);
    }

    /// Runs until `shutdown` resolves; stops at once when `force` resolves.
    pub(super) async fn until(&self, shutdown: impl Future, force: impl Future) -> Result<ListenReport, ListenError> {
        let stopping = async {
            shutdown.await;
            self.stop();
        };
        let forcing = async {
            force.await;
            self.stop_now();
        };
        // A subscription that ends by itself ends the others: the listener does not go on with a part of its events.
        let ended = self.listeners.iter().map(|listener| async {
            let ended = listener.ended().await;
            self.stop();
            ended
        });
        let serving = async {
            let mut report = ListenReport::default();
            for ended in join_all(ended).await {
                report.add(&ended?);
            }
            Ok(report)
        };
        tokio::select! {
            biased;
            ended = serving => ended,
            _ = async { tokio::join!(stopping, forcing, pending::<()>()) } => Err(ListenError::Cancelled),
        }
    }

    /// Waits until every subscription has ended, and returns the sum of their reports.
    ///
    /// # Errors
    ///
    /// The first failure of a subscription, as [`RunningListener::wait`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the listener goes on.
    pub async fn wait(&self) -> Result<ListenReport, ListenError> {
        let mut report = ListenReport::default();
        for listener in &self.listeners {
            report.add(&listener.wait().await?);
        }
        Ok(report)
    }

    /// Whether every subscription is established at the broker; see [`RunningListener::is_ready`].
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.listeners.iter().all(RunningListener::is_ready)
    }
}
