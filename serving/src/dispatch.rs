//! What a server or a listener implements to be served by the loop.

use std::{fmt, future::Future, sync::Arc};

use async_trait::async_trait;
use oxlo_transport::{Delivery, Listener, TransportError};
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    jobs::{Running, Stalled},
    report::Summary,
};

/// Handles the messages of one run.
pub trait Dispatch: Send + Sync + 'static {
    /// What the listener yields.
    type Message: Send + 'static;
    /// A delivery on its way to a worker. Small, because it is moved several times.
    type Job: Send + 'static;
    /// How handling one job ended.
    type Outcome: Send + Sync + 'static;
    /// Summarises the run.
    type Report: Report;

    /// Accepts a delivery, on the loop's task and in the order of arrival.
    fn accept(&self, delivery: Delivery<Self::Message>) -> Self::Job;

    /// Names a job in reports, for example by its method.
    fn name(job: &Self::Job) -> Arc<str>;

    /// The number of messages in a job.
    fn messages(_job: &Self::Job) -> usize {
        1
    }

    /// Handles a job on a worker. `slot` is the job's share of the concurrency; it may be dropped before the future
    /// ends.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future must drop the handler and return unsettled messages to the broker.
    fn run(&self, job: Self::Job, slot: Slot) -> impl Future<Output = Self::Outcome> + Send;

    /// The number of messages that were abandoned because the grace period ended.
    fn abandoned(outcome: &Self::Outcome) -> usize;

    /// Counts a job that ended. `None`: its task panicked outside of the handler.
    fn count(&self, report: &mut Self::Report, running: &Running, outcome: Option<Self::Outcome>);

    /// Logs that every slot is taken and no job ends.
    fn warn_stalled(&self, stalled: &Stalled<'_>);
}

/// Summarises one run.
pub trait Report: Default + fmt::Display + Send + Sync + 'static {
    /// Adds what the loop itself knows, when the run has ended.
    fn finish(&mut self, summary: Summary);
}

/// Subscribes for a run, again after a pause or a reset.
#[async_trait]
pub trait Source<M: Send + 'static>: Send + Sync + 'static {
    /// Subscribes. `taken` is the number of messages that the run has taken so far.
    ///
    /// # Errors
    ///
    /// Why the broker refused the subscription.
    async fn subscribe(&self, taken: u64) -> Result<Box<dyn Listener<M>>, TransportError>;
}

/// One job's share of the concurrency. Dropping it lets the loop take another message.
#[derive(Debug)]
pub struct Slot {
    _permit: OwnedSemaphorePermit,
}

impl From<OwnedSemaphorePermit> for Slot {
    fn from(permit: OwnedSemaphorePermit) -> Self {
        Self { _permit: permit }
    }
}
