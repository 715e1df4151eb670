//! The end of a run: drain, abandon, close.

use std::{future::Future, time::Duration};

use oxlo_transport::Listener;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::{
    dispatch::Dispatch,
    jobs::{Jobs, named},
};

/// How long replies and settlements may take to leave after the grace period.
const FLUSH: Duration = Duration::from_secs(5);

/// The same at a forced stop.
const FORCED_FLUSH: Duration = Duration::from_millis(200);

/// How long a stop waits for running jobs before the log names them.
const SLOW_STOP: Duration = Duration::from_secs(5);

/// What handlers can observe of the end of their run.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// Cancelled when the run stops taking messages: requeued messages are no longer held back.
    pub stopping: CancellationToken,
    /// Cancelled when the grace period ends: handlers are dropped.
    pub abandon: CancellationToken,
}

/// How a run is drained.
pub(crate) struct Drain<'a> {
    pub(crate) name: &'a str,
    pub(crate) grace: Duration,
    pub(crate) shutdown: &'a Shutdown,
    pub(crate) force: &'a CancellationToken,
}

impl Drain<'_> {
    /// Stops `listener`, waits for the running jobs within the grace period, abandons the others, and closes the
    /// listeners.
    pub(crate) async fn drain<D: Dispatch>(
        &self,
        jobs: &mut Jobs<D>,
        mut listener: Option<Box<dyn Listener<D::Message>>>,
        retired: Vec<Box<dyn Listener<D::Message>>>,
    ) {
        let name = self.name;
        self.shutdown.stopping.cancel();
        let deadline = Instant::now().checked_add(self.grace);
        let finishing = async {
            if let Some(listener) = &mut listener {
                listener.stop().await;
            }
            if timeout(SLOW_STOP, jobs.finish()).await.is_err() {
                tracing::warn!("{name} is stopping and waits for running handlers: {}", jobs.describe());
                jobs.finish().await;
            }
        };
        let in_time = self.force.run_until_cancelled(by(deadline, finishing)).await.unwrap_or(false);
        if !in_time {
            self.shutdown.abandon.cancel();
            if timeout(self.flush(), jobs.finish()).await.is_err() {
                jobs.abort();
            }
        }
        let closing = async {
            for listener in retired.into_iter().chain(listener) {
                listener.close().await;
            }
        };
        if timeout(self.flush(), closing).await.is_err() {
            tracing::warn!("the listener of {name} did not close in time; its messages may be delivered again");
        }
        if !jobs.abandoned.is_empty() {
            tracing::warn!(
                count = jobs.abandoned.iter().map(|job| job.count).sum::<usize>(),
                "{name} abandoned running handlers at shutdown: {}",
                named(jobs.abandoned.iter())
            );
        }
    }

    fn flush(&self) -> Duration {
        if self.force.is_cancelled() { FORCED_FLUSH } else { FLUSH }
    }
}

/// Whether a future ends by the deadline. A deadline that no clock can hold is none.
async fn by(deadline: Option<Instant>, future: impl Future<Output = ()>) -> bool {
    match deadline {
        Some(deadline) => timeout_at(deadline, future).await.is_ok(),
        None => {
            future.await;
            true
        }
    }
}
